#!/bin/bash
# Loads the records of a file into an empty collection of Kinto, past its API: COPY into the table
# in which Kinto's PostgreSQL backend keeps them, a million records in about two minutes. All of
# them are stored, in one transaction, or none.
set -euo pipefail

usage() {
    cat <<'END'
Usage: first-load.sh RECORDS.data postgresql://USER@HOST/DATABASE

Loads the records of a file (one per line, as inventory-to-records prints them, plain or gzip)
into the empty collection of a Kinto server that keeps its records in that database. The
collection must exist. Each line is checked as to-kinto and Kinto do; a single bad one, and
nothing is loaded.

Variables:
  BUCKET, COLLECTION  which collection is loaded (default: build-hub, releases)
  PGPASSWORD          the password of the database; or ~/.pgpass, see the manual of psql
  PYTHON              a Python in which buildhub and fastjsonschema are installed
                      (default: the one of the command to-kinto)
END
}

fail() {
    echo "first-load: $1" >&2
    exit 1
}

case "${1:-}" in -h | --help) usage; exit 0 ;; esac
if [ $# != 2 ] || [ ! -r "$1" ]; then
    [ $# = 2 ] && echo "first-load: $1 cannot be read." >&2
    usage >&2
    exit 2
fi
records=$1
database=$2
here=$(dirname "$(readlink -f "$0")")
bucket=${BUCKET:-build-hub}
collection=${COLLECTION:-releases}
case "$bucket$collection" in *[!a-zA-Z0-9_-]*)
    echo "first-load: BUCKET and COLLECTION may contain letters, digits, - and _ only." >&2
    exit 2
    ;;
esac
parent="/buckets/$bucket/collections/$collection"
command -v psql >/dev/null || fail "psql is not installed: apt-get install postgresql-client"
PYTHON=${PYTHON:-$(dirname "$(readlink -f "$(command -v to-kinto || echo .)")")/python}
"$PYTHON" -c 'import buildhub, fastjsonschema' ||
    fail "$PYTHON lacks buildhub or fastjsonschema: set PYTHON, or pip install them."

# No ~/.psqlrc; stop at the first error; VERBOSITY leaves out where in the script it was.
run_sql() {
    psql --no-psqlrc --quiet --tuples-only --no-align \
        --set ON_ERROR_STOP=1 --set VERBOSITY=terse "$database" "$@"
}

# The version of the tables that this script was written for, by Kinto 26.
version=$(run_sql <<<"SELECT max(value::integer) FROM metadata WHERE name = 'storage_schema_version'") ||
    fail "there is no Kinto in this database: check the URL, or run \`kinto migrate\` first."
[ "$version" = 26 ] ||
    fail "Kinto's tables have version ${version:-(none)}, and only 26 is known: use to-kinto instead."
schema=$(run_sql <<<"
    SELECT jsonb_build_object('schema', data->'schema', 'version', as_epoch(last_modified))
    FROM objects
    WHERE resource_name = 'collection' AND parent_id = '/buckets/$bucket' AND id = '$collection'
        AND NOT deleted")
[ -n "$schema" ] ||
    fail "Kinto has no collection $parent: run kinto-wizard with initialization.yml first."

start=$SECONDS
# The rows come with the statement COMMIT behind them: whatever ends before that leaves nothing.
"$PYTHON" "$here/first_load.py" "$records" "$parent" "$schema" | run_sql >&2 ||
    fail "nothing was loaded."
echo "first-load: the records are stored, after $((SECONDS - start)) seconds; now the indexes." >&2
indexes=$here/../jobs/indexes.sql
# More memory than the default, for a minute: sorting on disk takes twice as long.
PGOPTIONS="-c maintenance_work_mem=512MB ${PGOPTIONS:-}" run_sql --file "$indexes" >&2 ||
    fail "all records are loaded, but not all indexes were made: psql --file $(readlink -f "$indexes")"
cat >&2 <<END
first-load: done, after $((SECONDS - start)) seconds. Let Kinto itself say that every record is there:

    to-kinto --check --server http://localhost:8888/v1 --bucket $bucket --collection $collection $records
END
