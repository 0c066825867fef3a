"""Take out of an installation what a Lambda or a container never uses.

``python .lambda/prune.py FOLDER`` prunes a ``site-packages`` folder (or any folder that pip
installed into): the tests and caches of the libraries, pip's own notes, and the descriptions
of the 400 services of AWS that buildhub does not talk to.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

#: Folders that hold no code which runs: bytecode (what is wanted of it is made later), commands for
#: a terminal, the libraries' own tests.
USELESS_FOLDERS = {"__pycache__", "bin", "test", "tests"}

#: pip's notes on how it installed a package: they name the builder's folders and the time.
#: METADATA, entry points and licences stay.
USELESS_FILES = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}

#: The services that buildhub talks to.
BOTOCORE_SERVICES = {"s3", "secretsmanager"}

#: Only a type checker or a C compiler reads them.
USELESS_ENDINGS = {".pyc", ".pyi", ".pyx", ".pxd", ".h", ".c"}


def prune(folder: Path) -> None:
    """Prune ``folder`` in place."""
    for path in sorted(folder.rglob("*"), key=lambda path: len(path.parts), reverse=True):
        if path.is_dir():
            if path.name in USELESS_FOLDERS or _is_unused_service(path):
                shutil.rmtree(path)
        elif path.suffix in USELESS_ENDINGS or _is_note_of_pip(path):
            path.unlink()


def _is_unused_service(path: Path) -> bool:
    """One of botocore's folders of a service; its data folder has files of its own besides."""
    return path.parent.parts[-2:] == ("botocore", "data") and path.name not in BOTOCORE_SERVICES


def _is_note_of_pip(path: Path) -> bool:
    return path.name in USELESS_FILES and path.parent.name.endswith(".dist-info")


if __name__ == "__main__":
    prune(Path(sys.argv[1]))
