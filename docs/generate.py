"""Writes the parts of the documentation that come from the code: ``docs/generated/``.

``make docs`` runs it. What it writes is committed, so that it can be read and compared where
the repository is, and a test fails when it is not what the code says today.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import yaml

from buildhub import lambda_s3_event, lambda_s3_inventory
from buildhub.settings import SETTINGS, Setting
from docs import drawing

DOCS = Path(__file__).parent
GENERATED = DOCS / "generated"

COMMANDS = (
    "archive-to-inventory",
    "inventory-to-records",
    "to-kinto",
    "kinto-to-records",
    "kinto-to-search",
    "latest-inventory-to-kinto",
    "missing-builds",
    "s3-event-to-kinto",
)

#: The commands that do the same as the Lambdas, with the same settings.
INVENTORY_COMMAND, EVENT_COMMAND = "latest-inventory-to-kinto", "s3-event-to-kinto"

LAMBDAS = {"inventory Lambda": lambda_s3_inventory, "event Lambda": lambda_s3_event}


def command(name: str) -> click.Command:
    """The click command behind a command's name."""
    module = name.replace("-", "_")
    found: click.Command = import_module(f"buildhub.commands.{module}").main
    return found


def help_text(name: str) -> str:
    """Returns ``NAME --help`` for a terminal of 80 columns: click leaves two of them free."""
    main = command(name)
    with click.Context(
        main, info_name=name, **main.context_settings | {"terminal_width": 78}
    ) as context:
        return main.get_help(context) + "\n"


def uses(name: str, variable: Setting) -> bool:
    """Tells if a command uses a variable: has an option for it."""
    return variable.name in {param.name for param in command(name).params}


def users(variable: Setting) -> list[str]:
    """Returns the users of a variable: commands, as references, and the Lambdas."""
    found = [f":doc:`/commands/{name}`" for name in COMMANDS if uses(name, variable)]
    if uses(INVENTORY_COMMAND, variable):
        found.append("inventory Lambda")
    if uses(EVENT_COMMAND, variable):
        found.append(":doc:`event Lambda </commands/lambda_s3_event>`")
    return found


def lambda_defaults(variable: Setting) -> str:
    """Returns the default in the Lambdas, where it is another one there."""
    differs = {
        name: module.DEFAULTS[variable.name]
        for name, module in LAMBDAS.items()
        if variable.name in module.DEFAULTS
    }
    if len(set(differs.values())) == 1 and len(differs) == len(LAMBDAS):
        return f"; in the Lambdas ``{next(iter(differs.values()))}``"
    return "".join(f"; in the {name} ``{default}``" for name, default in differs.items())


def variables() -> str:
    """Returns the page's part on each variable, in the table's order."""
    return "\n".join(line for variable in SETTINGS.values() for line in _variable(variable))


def _variable(variable: Setting) -> Iterator[str]:
    context = click.Context(click.Command("variables"))
    default = variable.get_help_extra(context)["default"]
    if default == variable.opts[0].removeprefix("--"):  # of a pair of flags
        default = "true"
    shown = default.strip("()") if default.startswith("(") else f"``{default}``"
    options = [f"``{name}``" for name in (*variable.opts, *variable.secondary_opts)]
    yield f".. envvar:: {variable.envvar}"
    yield ""
    yield f"   {variable.help}"
    yield ""
    kind = variable.make_metavar(context).lower().strip("[]").replace("|", " or ")
    yield f"   :Type: {kind}{', a secret' if variable.secret else ''}"
    yield f"   :Default: {shown}{lambda_defaults(variable)}"
    if variable.secret:
        yield f"   :From a file: ``{variable.envvar}_FILE``"
    yield f"   :Option: {', '.join(options)}"
    yield f"   :Used by: {', '.join(users(variable))}"
    yield ""


def schema() -> dict[str, Any]:
    """The JSON schema of a record, from ``jobs/initialization.yml``."""
    content = yaml.safe_load((DOCS.parent / "jobs" / "initialization.yml").read_text())
    found: dict[str, Any] = content["buckets"]["build-hub"]["collections"]["releases"]["data"]
    return dict(found["schema"])


def fields(of: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Each field's dotted name, its part of the schema, and whether it is always there."""
    for name, part in of["properties"].items():
        always = name in of.get("required", ())
        if part["type"] == "object":
            yield from fields(part, f"{prefix}{name}.")
        else:
            yield prefix + name, part, always


def fields_table() -> str:
    """A table of all fields."""
    rows = [("Field", "Type", "Always", "What it is")]
    for name, part, always in fields(schema()):
        kind = part.get("format", part["type"])
        choices = ", ".join(f"``{choice}``" for choice in part.get("enum", ()))
        what = part["description"] + (f" One of {choices}." if choices else "")
        rows.append((f"``{name}``", kind, "yes" if always or name == "id" else "", what))
    return "\n".join(_list_table(rows, widths=(22, 12, 8, 58))) + "\n"


def _list_table(rows: Iterable[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    yield ".. list-table::"
    yield "   :header-rows: 1"
    yield f"   :widths: {' '.join(map(str, widths))}"
    yield ""
    for row in rows:
        for index, cell in enumerate(row):
            yield f"   {'  ' if index else '* '}- {cell}".rstrip()


def output(*arguments: str) -> str:
    """Returns what a program of the repository prints."""
    return subprocess.run(
        arguments, cwd=DOCS.parent, check=True, capture_output=True, text=True
    ).stdout


def everything() -> dict[Path, str]:
    """Each file that is generated, and its content of today."""
    files = {GENERATED / f"{name}.txt": help_text(name) for name in COMMANDS}
    files[GENERATED / "variables.rst"] = variables()
    files[GENERATED / "fields.rst"] = fields_table()
    files[GENERATED / "container.txt"] = output(".docker/entrypoint.sh", "help")
    files[GENERATED / "make.txt"] = output("make", "--no-print-directory", "help")
    for name in ("overview", "architecture"):
        files[DOCS / f"{name}.svg"] = drawing.svg((DOCS / f"{name}.txt").read_text())
    return files


if __name__ == "__main__":
    GENERATED.mkdir(exist_ok=True)
    for path, text in everything().items():
        path.write_text(text)
