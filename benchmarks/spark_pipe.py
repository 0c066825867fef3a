"""``inventory-to-records`` on Spark: one process for each partition of the rows.

    spark-submit --master 'local[2]' benchmarks/spark_pipe.py 'inventory/*.csv.gz' records

writes the records of these files to the folder ``records``, one text file for each partition. A
compressed file is one partition; a third argument is the number of partitions to spread the rows
over. docs/performance.rst says what it needs.
"""

import os
import sys

from pyspark.sql import SparkSession

FILES, OUTPUT, *PARTITIONS = sys.argv[1:]

rows = SparkSession.builder.appName("buildhub").getOrCreate().sparkContext.textFile(FILES)
if PARTITIONS:
    rows = rows.repartition(int(PARTITIONS[0]))
# Without checkCode, Spark takes what a failed command has printed for all of its output; without
# env, the command has neither a PATH nor buildhub's settings.
records = rows.pipe("inventory-to-records -q", env=dict(os.environ), checkCode=True)
records.saveAsTextFile(OUTPUT)
