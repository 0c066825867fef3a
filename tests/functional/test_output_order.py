"""The records of ``inventory-to-records`` come in the order of the inventory, always."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from tests.support import commands
from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import release_tree

pytestmark = pytest.mark.functional

COMMAND = Path(sys.executable).with_name("inventory-to-records")


@pytest.mark.parametrize("seed", range(3))
def test_the_order_is_the_inventorys_whichever_answer_comes_first(
    seed: int, tmp_path: Path
) -> None:
    files = {}
    for version in range(40, 70):
        files |= release_tree("firefox", f"{version}.0", builds=(1,), platforms=("mac",))
    keys = sorted(key for key in files if "/releases/" in key)
    rows = [f'"b","{quote_plus(key, safe="/")}","1","2017-06-13T12:00:00.000Z"' for key in keys]
    with ArchiveServer(files) as server:
        server.answer_in_random_order(seed)
        done = commands.run(
            ["inventory-to-records", "--jobs", "8"],
            input="\n".join(rows),
            env={"ARCHIVE_URL": server.url, "CACHE_FOLDER": str(tmp_path)},
            text=True,
        )
        assert done.returncode == 0, done.stderr
        documents = [path for path in server.answered if path.endswith(".json")]
    records = [json.loads(line)["data"] for line in done.stdout.splitlines()]
    assert [data["download"]["url"] for data in records] == [server.url + key for key in keys]
    assert documents != sorted(documents)  # else this shows nothing
