"""The documentation says all there is to say, and what it quotes of the code is true today."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import jsonschema
import pytest

from buildhub.settings import SETTINGS, Setting
from docs import drawing, generate
from tests.support import commands

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.rst") if "_build" not in page.parts)
README = ROOT / "README.rst"

BASH = re.compile(r"^( *)\.\. code-block:: bash\n\n((?:\1 +.*\n|\n)+)", re.MULTILINE)


@pytest.mark.parametrize("path", generate.everything(), ids=lambda path: path.name)
def test_what_is_generated_is_what_the_code_says_today(path):
    assert path.read_text() == generate.everything()[path], "run `make docs` and commit"


def test_nothing_is_left_over_that_is_generated_no_more():
    assert set(generate.GENERATED.iterdir()) <= set(generate.everything())


def test_each_command_has_a_page_and_is_in_the_readme():
    installed = {
        entry.name
        for entry in entry_points(group="console_scripts")
        if entry.value.startswith("buildhub.")
    }
    assert installed == set(generate.COMMANDS)
    pages = {page.stem for page in (DOCS / "commands").iterdir()}
    assert pages == {*installed, "lambda_s3_event"}
    for name in installed:
        assert name in README.read_text()


@pytest.mark.parametrize("name", generate.COMMANDS)
def test_the_help_on_the_page_is_what_the_command_prints(name):
    printed = commands.run([name, "--help"], text=True, env={"COLUMNS": "80"}).stdout
    assert (generate.GENERATED / f"{name}.txt").read_text() == printed
    assert f"../generated/{name}.txt" in (DOCS / "commands" / f"{name}.rst").read_text()


@pytest.mark.parametrize("name", generate.COMMANDS)
def test_each_option_is_explained_and_names_its_variable(name):
    for param in generate.command(name).params:
        if param.param_type_name == "option":
            assert re.match(r"[A-Z].{10,}?\.( |$)", param.help or "", re.DOTALL), param.name
            names_variable = not isinstance(param, Setting) or param.show_envvar
            assert names_variable, param.name


def documented_variables() -> set[str]:
    pages = [DOCS / "configuration.rst", generate.GENERATED / "variables.rst"]
    text = "".join(page.read_text() for page in pages)
    return set(re.findall(r"^\.\. envvar:: (\w+)$", text, re.MULTILINE))


def test_each_variable_of_the_settings_is_documented():
    assert {variable.envvar for variable in SETTINGS.values()} <= documented_variables()
    assert ".. include:: generated/variables.rst" in (DOCS / "configuration.rst").read_text()


@pytest.mark.parametrize("variable", SETTINGS.values(), ids=lambda v: v.envvar)
def test_each_variable_is_used(variable):
    assert generate.users(variable)


def test_each_variable_that_the_code_reads_besides_is_documented():
    """None is read past the table of settings without being told of."""
    read = set()
    for path in (ROOT / "buildhub").rglob("*.py"):
        read |= set(re.findall(r'(?:environ(?:\.get\(|\[)|getenv\()"(\w+)"', path.read_text()))
    of_lambda_itself = {name for name in read if name.startswith("AWS_LAMBDA_")}
    assert read - of_lambda_itself <= documented_variables()


def test_each_variable_of_the_makefile_is_documented():
    settable = re.findall(r"^([A-Z_]+) \?=", (ROOT / "Makefile").read_text(), re.MULTILINE)
    settable += re.findall(r"ifdef ([A-Z_]+)", (ROOT / "Makefile").read_text())
    assert set(settable) - {"PYTHON", "LAMBDA_ZIP"} <= documented_variables()


def names_of_fields(data, prefix=""):
    for name, value in data.items():
        if isinstance(value, dict):
            yield from names_of_fields(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_each_field_of_a_record_is_described():
    """All those that the example has, and no others."""
    record = json.loads((DOCS / "record.json").read_text())["data"]
    rows = (generate.GENERATED / "fields.rst").read_text().split("\n   * - ")[2:]
    described = {}
    for row in rows:
        name, _, _, description = re.split(r"\n     -", row)
        described[name.strip("`")] = description.strip()
    assert described.keys() == {*names_of_fields(record), "last_modified", "schema"}
    assert all(len(description) > 10 for description in described.values()), described
    assert ".. include:: generated/fields.rst" in (DOCS / "data.rst").read_text()


def test_the_example_of_a_record_is_one_and_has_every_field():
    record = json.loads((DOCS / "record.json").read_text())["data"]
    jsonschema.validate(record, generate.schema())
    of_the_server = {"last_modified", "schema"}
    for name, _, _ in generate.fields(generate.schema()):
        value = record
        for step in name.split("."):
            value = value.get(step, {})
        assert value or name in of_the_server


def test_each_channel_that_a_record_may_have_is_described():
    text = (DOCS / "data.rst").read_text()
    for channel in ("release", "beta", "aurora", "esr", "nightly", "-old-id"):
        assert f"``{channel}``" in text


def test_the_drawing_of_the_packages_has_all_of_them():
    text = (DOCS / "architecture.txt").read_text()
    drawn = set(re.findall(r"^box .*? \| (\w+) \|", text, re.MULTILINE))
    packages = {
        path.stem
        for path in (ROOT / "buildhub").glob("[!_]*")
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    base = "errors logs retries sentry signals storage streams"
    assert drawn == packages - set(base.split())


def texts_of_the_code() -> str:
    """All texts in buildhub, those that are put together from pieces in one piece."""
    found = []
    for path in (ROOT / "buildhub").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_each_message_that_is_explained_is_one():
    operations = (DOCS / "operations.rst").read_text()
    section = operations.partition("What messages mean\n")[2].partition("When builds are missing")[
        0
    ]
    messages = re.findall(r"^(\S.*)\n   \S", section, re.MULTILINE)
    texts = texts_of_the_code()
    assert len(messages) > 10
    for message in messages:
        for piece in message.replace("``", "").split("…"):
            assert piece.strip() in texts, message


def test_each_reason_for_which_a_build_is_skipped_is_explained():
    operations = (DOCS / "operations.rst").read_text()
    texts = "\n".join(path.read_text() for path in (ROOT / "buildhub").rglob("*.py"))
    reasons = set(re.findall(r'(?:skipped\[|_skip\()"([^"]+)"', texts))
    assert len(reasons) > 2
    assert {reason for reason in reasons if f"\n{reason} " not in operations} == set()


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.stem)
def test_each_block_of_bash_can_be_parsed(page):
    blocks = BASH.findall(page.read_text())
    for _, block in blocks:
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.stem)
def test_a_pipe_of_ours_is_shown_with_pipefail(page):
    """Without it a failure in front of the last command goes unnoticed."""
    blocks = BASH.findall(page.read_text())
    for _, block in blocks:
        if re.search(r"inventory-to-records.*\|", block):
            assert "set -o pipefail" in block


@pytest.mark.slow
def test_the_pages_are_built_without_a_warning(tmp_path):
    sphinx = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    done = subprocess.run(
        [*sphinx, "-b", "html", str(DOCS), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tutorial.html").exists()


def test_a_drawing_says_which_line_it_cannot_read():
    with pytest.raises(ValueError, match="circle a 0 0"):
        drawing.svg("box a 0 0 ours | A\ncircle a 0 0\n")


def is_part_of(part, whole):
    """Tells if all that ``part`` has is in ``whole``."""
    if not isinstance(part, dict):
        return bool(part == whole)
    return all(name in whole and is_part_of(value, whole[name]) for name, value in part.items())


def test_the_record_in_the_readme_is_the_documentations():
    """It may lack fields, but none that every record has."""
    block = README.read_text().partition(".. code-block:: json\n")[2]
    record = json.loads(re.split(r"\n(?=\S)", block)[0])
    assert is_part_of(record, json.loads((DOCS / "record.json").read_text()))
    jsonschema.validate(record["data"], generate.schema())
