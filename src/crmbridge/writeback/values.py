"""Values of our own fields: what is written is what is compared.

A value is *written* as `written_table` makes it: numbers rounded to the field's decimals, texts trimmed and
cut to the field's length, an empty text as null. Two values are *equal* when they differ in nothing a CRM can
be blamed for: rounding, white space at the ends, the way a moment is spelt, a boolean that can't be empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.errors import CRMBridgeError
from crmbridge.model.fields import CATALOGUE, Field, FieldValue, result_schema
from crmbridge.model.records import ObjectName

ELLIPSIS: Final = "…"

Values = Mapping[str, FieldValue]
"""Values of one record by key of the field catalogue; an absent key is the same as None."""


def equal(key: str, one: FieldValue, other: FieldValue) -> bool:
    """Whether two values of the field are the same to a reader of the CRM.

    Numbers are compared at the field's decimals, datetimes as moments to the second. None, an absent value
    and an empty text are one. So are None and False: several CRMs have check boxes that can't be empty.
    """
    return one == other or _comparable(CATALOGUE[key], one) == _comparable(CATALOGUE[key], other)


def holds(held: Values, wanted: Values) -> bool:
    """Whether all values of `wanted` are held."""
    return all(equal(key, value, held.get(key)) for key, value in wanted.items())


def differing(wanted: Values, held: Values) -> list[str]:
    """The keys of `wanted` whose value in `held` is not equal, in the order of `wanted`."""
    return [key for key, value in wanted.items() if not equal(key, value, held.get(key))]


def shown(key: str, value: FieldValue) -> str:
    """The value in words: a number with the field's decimals, `none` for what is empty."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)) and CATALOGUE[key].type == "number":
        return f"{value:.{CATALOGUE[key].decimals}f}"
    return str(value)


def _comparable(field: Field, value: FieldValue) -> FieldValue | datetime:
    if value is None or value == "":
        return None
    if field.type == "boolean":
        return value or None
    if field.type == "number" and isinstance(value, (int, float)) and math.isfinite(value):
        return round(float(value), field.decimals) + 0.0
    if isinstance(value, str):
        if field.type == "datetime":
            return _moment(value)
        return value.replace("\r\n", "\n").strip() or None
    return value


def _moment(text: str) -> datetime | str:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return text
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)


def table_of(object_name: ObjectName, keys: Iterable[str], held: Iterable[tuple[str, Values]]) -> pa.Table:
    """Values by record as a table of `result_schema(object_name, keys)`, in the order given.

    Raises TypeError where a value does not have its field's type.
    """
    schema = result_schema(object_name, keys)
    items = list(held)
    columns = [pa.array([identifier for identifier, _ in items], pa.string())]
    for column in schema:
        if column.name == "id":
            continue
        try:
            columns.append(pa.array([values.get(column.name) for _, values in items], column.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise TypeError(
                f"a value of {object_name}.{column.name} is not a {column.type}: {error}"
            ) from error
    return pa.table(columns, schema=schema)


def checked_ids(object_name: ObjectName, table: pa.Table) -> pa.Array:
    """The ids of the results. Raises CRMBridgeError for an id that is missing or there twice."""
    ids = _column(table, "id", pa.string())
    if ids.null_count:
        raise CRMBridgeError(f"{ids.null_count} results for {object_name} have no id.")
    if pc.count_distinct(ids).as_py() < len(ids):
        counts = pc.value_counts(ids)
        double = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"].as_py()
        raise CRMBridgeError("there are two results for one record.", record=f"{object_name} {double}")
    return ids


def written_table(object_name: ObjectName, table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The results as they would be written: `id` and the keys that the table has, in the catalogue's order.

    A key without a column is left out: what nobody computed is neither written nor cleared. Raises
    CRMBridgeError for a number that is NaN or infinite, and for a choice the field lacks.
    """
    present = [key for key in keys if key in table.column_names]
    schema = result_schema(object_name, present)
    ids = _column(table, "id", pa.string())
    columns = [ids]
    for name in schema.names[1:]:
        column = _column(table, name, schema.field(name).type)
        columns.append(_written(object_name, CATALOGUE[name], column, ids))
    return pa.table(columns, schema=schema)


def aligned(object_name: ObjectName, held: pa.Table | None, ids: pa.Array, keys: Sequence[str]) -> pa.Table:
    """What is held for `ids`, in their order, in the columns of `result_schema`; nulls where nothing is."""
    schema = result_schema(object_name, keys)
    columns = [ids]
    position = None if held is None else pc.index_in(ids, value_set=_column(held, "id", pa.string()))
    for name, kind in zip(schema.names[1:], schema.types[1:], strict=True):
        if held is None or name not in held.column_names:
            columns.append(pa.nulls(len(ids), kind))
        else:
            columns.append(_column(held, name, kind).take(position))
    return pa.table(columns, schema=schema)


def in_one_piece(column: pa.ChunkedArray) -> pa.Array:
    """The column as one array. Unlike `combine_chunks`, it makes no copy of what is one already."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def rounded(column: pa.Array, decimals: int) -> npt.NDArray[np.float64]:
    """A column of numbers at the field's decimals; NaN where it is null."""
    numbers: npt.NDArray[np.float64] = column.to_numpy(zero_copy_only=False).astype(np.float64)
    return np.round(numbers, decimals) + 0.0  # no minus zero


def clean_text(column: pa.Array) -> pa.Array:
    """Texts without white space at the ends, with plain line ends; an empty one is null."""
    text = pc.utf8_trim_whitespace(pc.replace_substring(column, "\r\n", "\n"))
    empty = pc.equal(text, "")
    if not pc.any(empty).as_py() and _bytes(text) == _bytes(column):
        return column  # nothing was to be cleaned: no second copy of the texts
    return pc.if_else(empty, pa.scalar(None, pa.string()), text)


def _bytes(column: pa.Array) -> int:
    total: int | None = pc.sum(pc.binary_length(column)).as_py()
    return total or 0


def shorten(text: str, length: int) -> str:
    """The text, cut at a word to at most `length` characters with an ellipsis where it is longer."""
    if len(text) <= length:
        return text
    if length <= 1:
        return text[:length]
    head = text[: length - 1]
    if not text[length - 1].isspace():
        word_end = max(head.rfind(" "), head.rfind("\n"))
        head = head[:word_end] if word_end > 0 else head
    return head.rstrip(" \n,;:.–-") + ELLIPSIS


def _column(table: pa.Table, name: str, kind: pa.DataType) -> pa.Array:
    column = in_one_piece(table[name])
    return column if column.type == kind else column.cast(kind)


def _written(object_name: ObjectName, field: Field, column: pa.Array, ids: pa.Array) -> pa.Array:
    if field.type == "number":
        bad = pc.fill_null(pc.invert(pc.is_finite(column)), False)
        _refuse(object_name, field, column, ids, bad, "is not a number that can be written")
        return pa.array(rounded(column, field.decimals), pa.float64(), mask=_nulls(column))
    if field.type in ("text", "choice"):
        text = clean_text(column)
        if field.type == "choice":
            bad = pc.and_(text.is_valid(), pc.invert(pc.is_in(text, value_set=pa.array(field.choices))))
            _refuse(object_name, field, column, ids, bad, f"is not one of {', '.join(field.choices)}")
            return text
        long = pc.fill_null(pc.greater(pc.utf8_length(text), field.length), False)
        if not pc.any(long).as_py():
            return text
        short = pa.array(
            [shorten(value, field.length) for value in text.filter(long).to_pylist()], pa.string()
        )
        return pc.replace_with_mask(text, long, short)
    return column


def _refuse(
    object_name: ObjectName, field: Field, column: pa.Array, ids: pa.Array, bad: pa.Array, why: str
) -> None:
    if pc.any(bad).as_py():
        first = pc.index(bad, True).as_py()
        raise CRMBridgeError(
            f"{field.key} = {column[first].as_py()!r} {why}.", record=f"{object_name} {ids[first].as_py()}"
        )


def _nulls(column: pa.Array) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = column.is_null().to_numpy(zero_copy_only=False)
    return mask
