"""From a file's columns to a record's fields: the settings of one object, held against one header."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
from pydantic import ValidationError

from crmbridge.connectors.files.cells import Convert, FieldRule, Moments, Stage, converter, field_rules
from crmbridge.connectors.files.options import ROW, ObjectOptions
from crmbridge.errors import SettingsError
from crmbridge.model.columns import schema
from crmbridge.model.fields import is_own_name
from crmbridge.model.records import ObjectName

ID: Final = "id"
_FROM_STAGES: Final[tuple[Literal["stage", "is_closed", "is_won"], ...]] = ("stage", "is_closed", "is_won")


@dataclass(frozen=True)
class Source:
    """Where one field comes from: a column's cells, each converted to the field's `type`; null stays null."""

    field: str
    column: str
    rule: FieldRule
    convert: Convert
    type: pa.DataType


@dataclass(frozen=True)
class FileMapping:
    """How the rows of one file become records of one object.

    `ids` are the columns whose texts, joined by "-", are the id; where there are none it is the row's number
    after `row_prefix`, which `row_fields` hold as well. `constants` are values of the model. `attributes` are
    the columns that no field takes, sorted. `replace` gives other texts for a column's cells. `absent` are
    the record's own fields that the file does not show, sorted.
    """

    object: ObjectName
    ids: tuple[str, ...]
    row_prefix: str
    row_fields: tuple[str, ...]
    sources: tuple[Source, ...]
    constants: Mapping[str, Any]
    attributes: tuple[str, ...]
    replace: Mapping[str, Mapping[str, str]]
    absent: tuple[str, ...]


def map_columns(
    object_name: ObjectName,
    options: ObjectOptions,
    columns: Sequence[str],
    *,
    file: str,
    zone: ZoneInfo,
    row_prefix: str = "",
) -> FileMapping:
    """Hold the settings of an object against the columns of a file; `file` is its name for messages.

    Raises SettingsError for a column that is not there, a field that can't be filled, or a constant that is
    none.
    """
    for setting, column in _named(options):
        if column not in columns:
            raise SettingsError(
                f"{object_name}: {file} has no column {column!r}, which {setting} names.",
                remedy=f"{_close(column, columns)}Correct {setting}, or export it. {_there_are(columns)}",
            )
        if is_own_name(column):
            raise SettingsError(
                f"{object_name}: {setting} names {column!r}, a field that crmbridge writes and never reads.",
                remedy="Take it out.",
            )
    ids = () if options.by_row else options.id or (ID,)
    if ids == (ID,) and ID not in columns:
        raise SettingsError(
            f"{object_name}: {file} has no column 'id', and the settings do not say which one is.",
            remedy=f'Set id = a column, several, or "row" for the row\'s number. {_there_are(columns)}',
        )
    taken = _taken(object_name, options, columns)
    sources = tuple(_sources(object_name, options, taken, zone))
    constants = _constants(object_name, options, zone)
    row_fields = tuple(field for field, column in taken.items() if column == ROW)
    rules = field_rules(object_name)
    shown = {ID, *row_fields, *constants, *(source.field for source in sources)}
    for field, rule in rules.items():
        if rule.required and field not in shown:
            raise SettingsError(
                f"{object_name}: every {object_name} needs {field}, and {file} has no column of that name.",
                remedy=f"Map a column to it under fields, or give it under constants. {_there_are(columns)}",
            )
    used = {source.column for source in sources} | set(ids)
    return FileMapping(
        object=object_name,
        ids=ids,
        row_prefix=row_prefix,
        row_fields=row_fields,
        sources=sources,
        constants=constants,
        attributes=tuple(sorted(name for name in columns if name not in used and not is_own_name(name))),
        replace=options.replace,
        absent=tuple(sorted(field for field in rules if field not in shown)),
    )


def _named(options: ObjectOptions) -> Iterator[tuple[str, str]]:
    """Every column that the settings name, with the setting."""
    if not options.by_row:
        yield from (("id", column) for column in options.id or ())
    yield from ((f"fields.{field}", column) for field, column in options.fields.items() if column != ROW)
    yield from (("replace", column) for column in options.replace)


def _taken(object_name: ObjectName, options: ObjectOptions, columns: Sequence[str]) -> dict[str, str]:
    """The column of each field: as the settings say, or by its name where they say nothing."""
    taken = dict(options.fields)
    settled = {ID, *options.constants, *(_FROM_STAGES[1:] if options.stages else ())}
    for field in field_rules(object_name):
        if field in columns and field not in taken and field not in settled:
            taken[field] = field
    return taken


def _sources(
    object_name: ObjectName, options: ObjectOptions, taken: Mapping[str, str], zone: ZoneInfo
) -> Iterator[Source]:
    rules, own = field_rules(object_name), schema(object_name)
    moments = Moments(zone, options.date_format or ())
    for field, column in taken.items():
        if column == ROW or (field == "stage" and options.stages):
            continue
        words = options.outcomes if field == "outcome" else {}
        convert = converter(rules[field], moments=moments, decimal=options.decimal, words=words)
        yield Source(field, column, rules[field], convert, own.field(field).type)
    if options.outcomes and "outcome" not in taken:
        raise SettingsError(
            f"{object_name}: outcomes are given, but no column for the outcome.",
            remedy="Name the column: fields = { outcome = ... }.",
        )
    if options.stages is not None:
        column = taken.get("stage", ROW)
        if column == ROW:
            raise SettingsError(
                f"{object_name}: stages are given, but no column for the stage.",
                remedy="Name the column: fields = { stage = ... }.",
            )
        for field in _FROM_STAGES:
            says = Stage(options.stages, field)
            yield Source(field, column, rules[field], says, own.field(field).type)


def _constants(object_name: ObjectName, options: ObjectOptions, zone: ZoneInfo) -> dict[str, Any]:
    values = {}
    for field, text in options.constants.items():
        rule = field_rules(object_name)[field]
        convert = converter(rule, moments=Moments(zone), decimal=".", words={})
        try:
            values[field] = rule.adapter.validate_python(convert(text))
        except ValidationError as error:
            raise _no_constant(object_name, field, error.errors()[0]["msg"]) from error
        except ValueError as error:
            raise _no_constant(object_name, field, str(error)) from error
    return values


def _no_constant(object_name: ObjectName, field: str, reason: str) -> SettingsError:
    return SettingsError(f"{object_name}: constants.{field}: {reason}.", remedy="Correct it in the settings.")


def _close(column: str, columns: Sequence[str]) -> str:
    folded = {name.casefold(): name for name in columns}
    close = difflib.get_close_matches(column.casefold(), folded, n=1)
    return f"Did you mean {folded[close[0]]!r}? " if close else ""


def _there_are(columns: Sequence[str]) -> str:
    return f"There are: {', '.join(columns)}."
