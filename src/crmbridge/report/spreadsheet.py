"""Tables as CSV that a spreadsheet can open: exact ids and amounts, ISO moments, no formulas.

A text cell that a spreadsheet would run as a formula (it starts with = + - @, a tab or a return) gets
`GUARD` in front. Ids are never touched, and neither are numbers and phone numbers, which start with a sign
but do nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

GUARD: Final = "'"
_FORMULA: Final = "^[=+\\-@\t\r＝＋－＠]"
_HARMLESS: Final = r"^[+\-][0-9 ().,/+\-]*$"


def schema(own: pa.Schema) -> pa.Schema:
    """The columns as CSV holds them."""
    return pa.schema([(field.name, _type(field.type)) for field in own])


def cells(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch's values as CSV holds them."""
    columns = [_cell(name, batch.column(at)) for at, name in enumerate(batch.schema.names)]
    return pa.record_batch(columns, schema=schema(batch.schema))


def guarded(texts: pa.Array) -> pa.Array:
    """Texts with the guard in front of those that would run as formulas."""
    risky = pc.and_(
        pc.match_substring_regex(texts, _FORMULA), pc.invert(pc.match_substring_regex(texts, _HARMLESS))
    )
    return pc.if_else(risky, pc.binary_join_element_wise(GUARD, texts, ""), texts)


def _type(own: pa.DataType) -> pa.DataType:
    exact = pa.types.is_boolean(own) or pa.types.is_integer(own) or pa.types.is_floating(own)
    return own if exact or pa.types.is_date(own) else pa.string()


def _cell(name: str, column: pa.Array) -> pa.Array:
    own = column.type
    if pa.types.is_decimal(own):
        # Arrow writes small amounts with an exponent.
        return pa.array([None if cell is None else _exact(cell) for cell in column.to_pylist()], pa.string())
    if pa.types.is_timestamp(own):
        return pc.replace_substring_regex(pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ"), r"\.0+Z$", "Z")
    if not pa.types.is_string(own):
        return column
    return column if name == "id" or name.endswith("_id") else guarded(column)


def _exact(amount: Decimal) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
