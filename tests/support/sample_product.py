"""Runs one of our commands with a made-up product in the table, as an entry there would add it.

python -m tests.support.sample_product inventory_to_records --explain KEY
"""

from __future__ import annotations

import importlib
import sys

from buildhub.builds.products import PRODUCTS, Product

SAMPLE = Product(
    name="sample",
    folder="samples",
    app="specimen",
    examples="specimen_1.0.tar.xz",
    file=r"(?: {app} _ \d++ (?: \. \d++ )++ b?+ \d*+ \.tar\.xz )",
    beta="aurora",
    metadata_name="about_{app}_{version}.json",
)

if __name__ == "__main__":
    PRODUCTS[SAMPLE.name] = SAMPLE
    command = importlib.import_module(f"buildhub.commands.{sys.argv.pop(1)}")
    command.main()
