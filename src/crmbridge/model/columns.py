"""Records as columns: the Arrow form of the common model, which the lake stores and the metrics read.

A record's own fields have the columns of `schema(object)`. Each attribute is a text column named
`attribute_column(name)` whose cell is *tagged*, so that JSON's types and absence survive:

| the CRM's value | cell |
|---|---|
| absent | null |
| null | `null` |
| true, false | `true`, `false` |
| a number | its shortest exact form: `12`, `0.5` |
| a text | `"` + the text, unescaped and without a closing quote; the empty text is `"` |

`absent` names the record's own fields that the CRM did not show, sorted and joined by commas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any, Final, get_args

import pyarrow as pa
from pydantic import AwareDatetime

from crmbridge.model.records import MONEY_DECIMALS, MONEY_DIGITS, RECORDS, ObjectName, Record, Scalar

ATTRIBUTE_PREFIX: Final = "attributes."
ABSENT: Final = "absent"

_ARROW: Final[Mapping[Any, pa.DataType]] = {
    str: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    Decimal: pa.decimal128(MONEY_DIGITS, MONEY_DECIMALS),
    AwareDatetime: pa.timestamp("us", tz="UTC"),
    date: pa.date32(),
}


def attribute_column(name: str) -> str:
    """The column that holds the attribute of this name."""
    return ATTRIBUTE_PREFIX + name


def _arrow_type(annotation: Any) -> pa.DataType:
    if annotation in _ARROW:
        return _ARROW[annotation]
    for part in get_args(annotation):
        if part is type(None):
            continue
        return pa.string() if isinstance(part, str) else _arrow_type(part)
    raise TypeError(f"no column type for {annotation!r}")


@cache
def schema(object_name: ObjectName) -> pa.Schema:
    """The columns of a record's own fields, in the model's order, then `absent`."""
    fields = [
        pa.field(name, _arrow_type(info.annotation))
        for name, info in RECORDS[object_name].model_fields.items()
        if name != "attributes"
    ]
    return pa.schema([*fields, pa.field(ABSENT, pa.string())])


def tag(value: Scalar) -> str:
    """One attribute's cell. Raises TypeError for what is not a JSON scalar."""
    if isinstance(value, str):
        return '"' + value
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, (int, float)):
        return repr(value)
    raise TypeError(f"{type(value).__name__} is not a JSON scalar")


def untag(cell: str | None) -> Scalar:
    """The attribute behind a cell; None for null. Absent (a null cell) must be told apart before."""
    if cell is None or cell == "null":
        return None
    if cell.startswith('"'):
        return cell[1:]
    if cell in ("true", "false"):
        return cell == "true"
    return float(cell) if any(sign in cell for sign in ".eni") else int(cell)


def to_table(object_name: ObjectName, records: Sequence[Record]) -> pa.Table:
    """Turn validated records of one object into a table: `schema(object)` and a column per attribute."""
    own = schema(object_name)
    names = own.names[:-1]
    columns: dict[str, Any] = {}
    rows = [record.__dict__ for record in records]
    for name in names:
        columns[name] = pa.array([row[name] for row in rows], own.field(name).type)
    absent_cells: dict[frozenset[str], str] = {}
    absents = []
    for record in records:
        shown = frozenset(record.model_fields_set)
        cell = absent_cells.get(shown)
        if cell is None:
            cell = absent_cells[shown] = ",".join(sorted(name for name in names if name not in shown))
        absents.append(cell)
    columns[ABSENT] = pa.array(absents, pa.string())
    keys: dict[str, None] = {}
    for record in records:
        keys.update(dict.fromkeys(record.attributes))
    missing = object()
    for key in sorted(keys):
        cells: list[str | None] = []
        for record in records:
            value: Any = record.attributes.get(key, missing)
            if value is missing:
                cells.append(None)
            elif isinstance(value, str):
                cells.append('"' + value)
            else:
                cells.append(tag(value))
        columns[attribute_column(key)] = pa.array(cells, pa.string())
    return pa.table(columns)


def from_table(object_name: ObjectName, table: pa.Table) -> list[Record]:
    """The records a table holds: the inverse of `to_table` (columns that are not the model's are ignored)."""
    own = schema(object_name).names[:-1]
    attributes = [name for name in table.column_names if name.startswith(ATTRIBUTE_PREFIX)]
    rows: list[dict[str, Any]] = []
    for row in table.to_pylist():
        hidden = set((row.get(ABSENT) or "").split(","))
        record = {name: row[name] for name in own if name in row and name not in hidden}
        record["attributes"] = {
            name.removeprefix(ATTRIBUTE_PREFIX): untag(row[name])
            for name in attributes
            if row[name] is not None
        }
        rows.append(record)
    return [RECORDS[object_name].model_validate(row) for row in rows]
