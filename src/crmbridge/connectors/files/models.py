"""The decoder through the model: dictionaries that the model checks, and columns made of its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
from pydantic import ValidationError

from crmbridge.connectors.files.cells import scalar_of, text_of
from crmbridge.connectors.files.mapping import FileMapping, Source
from crmbridge.model.columns import attribute_column, to_table
from crmbridge.model.records import ObjectName, Record, page_adapter

AT_ONCE: Final = 5_000
"""Records held as models at one time: long lists of them cost memory, and time for the garbage collector."""

_UNSEEN: Final = object()


def convert(
    cells: pa.Table, ids: pa.Array, row_ids: pa.Array, mapping: FileMapping
) -> tuple[pa.Table, list[int], dict[int, str]]:
    """The rows that are records, as a table of `model.columns`; which rows they are; the others' reasons."""
    tables: list[pa.Table] = []
    kept: list[int] = []
    reasons: dict[int, str] = {}
    for start in range(0, cells.num_rows, AT_ONCE):
        part = cells.slice(start, AT_ONCE)
        rows, wrong = _rows(part, ids.slice(start, AT_ONCE), row_ids.slice(start, AT_ONCE), mapping)
        fine = [row for row in range(len(rows)) if row not in wrong]
        records, refused = _validated(mapping.object, [rows[row] for row in fine])
        wrong |= {fine[place]: reason for place, reason in refused.items()}
        if records:
            tables.append(to_table(mapping.object, records))
        kept += [start + row for row in range(len(rows)) if row not in wrong]
        reasons |= {start + row: reason for row, reason in wrong.items()}
    return pa.concat_tables(tables) if tables else _no_records(mapping), kept, reasons


def _rows(
    cells: pa.Table, ids: pa.Array, row_ids: pa.Array, mapping: FileMapping
) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """What the model is to check, row by row, and the reasons of the rows with a cell that can't be read."""
    listed = {name: cells[name].to_pylist() for name in cells.column_names}
    wrong: dict[int, list[str]] = {}
    values: dict[str, Sequence[Any]] = {"id": ids.to_pylist()}
    for row, identity in enumerate(values["id"]):
        if not identity:
            wrong.setdefault(row, []).append(f"id: {_no_id(mapping)}")
    for field in mapping.row_fields:
        values[field] = row_ids.to_pylist()
    for source in mapping.sources:
        values[source.field] = _converted(listed[source.column], source, wrong)
    attributes = [
        listed[name]
        if pa.types.is_string(cells.schema.field(name).type)
        else [None if cell is None else scalar_of(cell) for cell in listed[name]]
        for name in mapping.attributes
    ]
    fields = tuple(values)
    rows = [dict(zip(fields, row, strict=True)) for row in zip(*values.values(), strict=True)]
    if attributes:
        for whole, held in zip(rows, zip(*attributes, strict=True), strict=True):
            whole["attributes"] = dict(zip(mapping.attributes, held, strict=True))
    for whole in rows:
        whole.update(mapping.constants)
    return rows, {row: "; ".join(reasons) for row, reasons in wrong.items()}


def _converted(cells: list[Any], source: Source, wrong: dict[int, list[str]]) -> list[Any]:
    if source.convert is text_of and all(cell is None or isinstance(cell, str) for cell in cells):
        return cells
    known: dict[Any, Any] = {None: None}
    values = []
    for row, cell in enumerate(cells):
        value = known.get(cell, _UNSEEN)
        if value is _UNSEEN:
            try:
                value = source.convert(cell)
            except ValueError as error:
                value = error
            known[cell] = value
        if isinstance(value, ValueError):
            wrong.setdefault(row, []).append(f"{source.field}: {value}")
        values.append(value)
    return values


def _validated(
    object_name: ObjectName, rows: list[dict[str, Any]]
) -> tuple[Sequence[Record], dict[int, str]]:
    """The records of the rows that the model takes, and its reasons for the others by their place."""
    adapter = page_adapter(object_name)
    try:
        return adapter.validate_python(rows), {}
    except ValidationError as error:
        reasons: dict[int, list[str]] = {}
        for mistake in error.errors(include_url=False):
            reasons.setdefault(int(mistake["loc"][0]), []).append(_sentence(mistake))
    fine = [row for place, row in enumerate(rows) if place not in reasons]
    return adapter.validate_python(fine), {place: "; ".join(said) for place, said in reasons.items()}


def _sentence(mistake: Mapping[str, Any]) -> str:
    place = [str(part) for part in mistake["loc"][1:] if part != "attributes"]
    if mistake["input"] is None:
        return f"{place[0]}: is missing"
    message = mistake["msg"].removeprefix("Value error, ")
    return f"{place[0]}: {str(mistake['input'])[:100]!r}: {message[:1].lower()}{message[1:]}"


def _no_id(mapping: FileMapping) -> str:
    return f"{' or '.join(mapping.ids)} is empty"


def _no_records(mapping: FileMapping) -> pa.Table:
    table = to_table(mapping.object, [])
    for name in mapping.attributes:
        table = table.append_column(attribute_column(name), pa.array([], pa.string()))
    return table
