"""The documentation's example of ``--summary`` for Prometheus' node-exporter."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.rst"
SUMMARY = {
    "exit_status": 1,
    "began": "2026-11-28T03:00:01Z",
    "seconds": 74.2,
    "newest_build": None,
    "counts": {"created": 3, "skipped": {"no metadata": 2}},
    "sections": [{"section": "firefox/nightly", "created": 3}],
}
PRINTED = """\
buildhub_exit_status 1
buildhub_began_seconds 1795834801
buildhub_duration_seconds 74.2
buildhub_count{name="created"} 3
buildhub_section_created{section="firefox/nightly"} 3
"""


@pytest.mark.skipif(not shutil.which("jq"), reason="the example uses jq")
def test_the_filter_makes_metrics_of_a_summary() -> None:
    (program,) = re.findall(r"jq -r '([^']+)'", OPERATIONS.read_text())
    for newest, line in (
        (None, ""),
        ("2026-11-27T21:14:36Z", "buildhub_newest_build_seconds 1795814076\n"),
    ):
        summary = json.dumps(SUMMARY | {"newest_build": newest})
        said = subprocess.check_output(["jq", "-r", program], input=summary, text=True)
        first, count = PRINTED.split("buildhub_count")
        assert said == f"{first}{line}buildhub_count{count}"
