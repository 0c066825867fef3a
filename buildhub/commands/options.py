"""The click options of the settings, and the types of other options."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..settings import VARIABLES, Variable
from ..settings.parsers import boolean

if TYPE_CHECKING:
    from ..inventory.row_formats import Schema


class SettingType(click.ParamType[Any]):
    """The type of a setting's option: the same parser and messages as for the variable."""

    def __init__(self, variable: Variable) -> None:
        self.name = variable.kind
        self.variable = variable

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The parsed value; a usage error if it is not valid."""
        try:
            return self.variable.parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


class SchemaType(click.ParamType["Schema"]):
    """The names of an inventory's columns: ``Bucket, Key, Size, LastModifiedDate, ETag``."""

    name = "columns"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Schema:
        """The schema; a usage error if a required column is missing."""
        from ..inventory.row_formats import Schema

        try:
            return Schema.parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


def option(name: str, **changes: Any) -> Callable[[Any], Any]:
    """The click option of the setting ``name``; ``changes`` replace fields of its description.

    Its value is None if the option is not given: :meth:`Settings.from_environment` then takes
    the variable or the default, so that option > environment > default is decided in one place.
    """
    variable = dataclasses.replace(VARIABLES[name], **changes)
    flags = variable.options
    notes = f"{variable.env}; default: {variable.default_text or variable.default}"
    declaration: dict[str, Any] = {"metavar": variable.kind.upper()}
    if variable.parse is boolean:
        flags = tuple(f"{flag}/--no-{flag.removeprefix('--')}" for flag in flags)
        declaration = {"is_flag": True, "default": None}
    elif variable.repeatable:
        declaration |= {"multiple": True, "type": str, "callback": _joined(variable)}
    else:
        declaration |= {"type": SettingType(variable)}
    return click.option(*flags, name, help=f"{variable.help}  [{notes}]", **declaration)


def _joined(variable: Variable) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A repeatable option: its values, each possibly a list, as one list; None if not given."""

    def callback(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> Any:
        return SettingType(variable).convert(" ".join(values), param, ctx) if values else None

    return callback
