"""Prints the SQL that stores the records of a file in Kinto's table: a part of first-load.sh.

    first_load.py RECORDS.data /buckets/build-hub/collections/releases '{"schema": …, "version": …}'

The last argument has the JSON schema of the collection, or null, and when it was last changed.
Exit status 1, and no COMMIT behind the rows, if any line is not what to-kinto and Kinto accept.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import fastjsonschema
import orjson

from buildhub import streams
from buildhub.errors import BadInput
from buildhub.kinto.batch import record_data
from buildhub.signals import CancellationToken

#: Bad lines that are reported before giving up.
MAX_REPORTED = 20

#: Kinto writes no record of any collection meanwhile, so that no timestamp occurs twice. The rest
#: is asked again as it may have changed since the script looked.
BEGIN = """\
BEGIN;
LOCK TABLE objects IN SHARE ROW EXCLUSIVE MODE;
DO $$ BEGIN
    IF EXISTS (
        SELECT FROM objects WHERE parent_id = '{parent}' AND resource_name = 'record'
    ) THEN
        RAISE EXCEPTION '{parent} is not empty, or holds the tombstones of deleted records:'
            ' use to-kinto instead.';
    END IF;
END $$;
COPY objects (id, parent_id, resource_name, data, deleted) FROM STDIN;
"""
# Kinto's own trigger gives each row its last_modified.
ROW = b"%s\t%s\trecord\t%s\tf\n"

# The data of a record whose id occurs again: the last one counts, as with to-kinto.
UPDATE = b"""\
UPDATE objects SET data = '%s' WHERE id = '%s' AND parent_id = '%s' AND resource_name = 'record';
"""
END = b"""\
ANALYZE objects;
COMMIT;
"""


def lines(path: str) -> Iterator[bytes]:
    """Yields the lines of a file, plain or gzip."""
    for block in streams.blocks(streams.chunks(path, CancellationToken())):
        yield from block.removesuffix(b"\n").split(b"\n")


def stored_data(line: bytes, check: Callable[[Any], Any], version: int) -> tuple[bytes, bytes]:
    """Returns a record's id, and its data as Kinto stores it.

    Raises :class:`BadInput` if to-kinto or Kinto would refuse the line.
    """
    try:
        data = dict(record_data(orjson.loads(line)))
        check(data)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"not valid JSON ({error.msg})") from None
    except fastjsonschema.JsonSchemaValueException as error:
        raise BadInput(f"the schema does not allow it: {error.message}") from None
    record_id = data.pop("id", None) or str(uuid.uuid4())
    encoded = orjson.dumps(data | {"schema": version})
    if b"\\u0000" in encoded:
        raise BadInput("PostgreSQL stores no text with a null character")
    return record_id.encode(), encoded


def rows(path: str, parent: bytes, check: Callable[[Any], Any], version: int) -> Iterator[bytes]:
    """Yields the rows of COPY, its end, and what has to be changed in them afterwards.

    Raises :class:`BadInput` at the end, or after :data:`MAX_REPORTED` bad lines.
    """
    known: set[bytes] = set()
    again: dict[bytes, bytes] = {}
    bad = 0
    for number, line in enumerate(lines(path), 1):
        if not line.strip() or bad == MAX_REPORTED:
            continue
        try:
            record_id, data = stored_data(line, check, version)
        except BadInput as error:
            print(f"first-load: {path}, line {number}: {error}.", file=sys.stderr)
            bad += 1
            continue
        if record_id in known:
            again[record_id] = data
            continue
        known.add(record_id)
        yield ROW % (record_id, parent, data.replace(b"\\", b"\\\\"))
    if bad:
        raise BadInput(f"{bad} bad lines.")
    yield b"\\.\n"
    for record_id, data in again.items():
        yield UPDATE % (data.replace(b"'", b"''"), record_id, parent)
    print(f"first-load: {len(known):,} records are sent.", file=sys.stderr)


def main(path: str, parent: str, collection: str) -> None:
    """Prints the whole transaction; what is wrong with the file goes to standard error."""
    facts = json.loads(collection)
    check = fastjsonschema.compile(facts["schema"] or {}, use_formats=False)
    write = sys.stdout.buffer.write
    try:
        write(BEGIN.format(parent=parent).encode())
        for row in rows(path, parent.encode(), check, facts["version"]):
            write(row)
        write(END)
    except BadInput as error:
        sys.exit(f"first-load: {error}")
    except BrokenPipeError:
        sys.exit("first-load: psql has ended.")


if __name__ == "__main__":
    main(*sys.argv[1:])
