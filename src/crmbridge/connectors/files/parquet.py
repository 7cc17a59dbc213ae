"""Reading Parquet: batches of typed columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crmbridge.connectors.files.options import ObjectOptions
from crmbridge.connectors.files.rows import PAGE_ROWS, Broken, Rows

_EPOCH: Final = date(1970, 1, 1)
_DAYS: Final = ((date.min - _EPOCH).days, (date.max - _EPOCH).days)
_MICROSECONDS: Final = (_DAYS[0] * 86_400_000_000, (_DAYS[1] + 1) * 86_400_000_000 - 1)


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file. `columns` hold one plain value in a row; `nested` are the others, never read."""

    path: Path
    columns: tuple[str, ...]
    nested: tuple[str, ...]
    row_count: int
    null_values: tuple[str, ...]

    @classmethod
    def look(cls, path: Path, options: ObjectOptions) -> ParquetFile:
        """Read the file's footer. Raises OSError, and pa.ArrowInvalid where it is no whole Parquet file."""
        with pq.ParquetFile(path) as file:
            fields, rows = list(file.schema_arrow), file.metadata.num_rows
        plain = [field.name for field in fields if _is_plain(field.type)]
        return cls(
            path=path,
            columns=tuple(plain),
            nested=tuple(field.name for field in fields if field.name not in plain),
            row_count=rows,
            # A Parquet file tells an empty text from no value by itself.
            null_values=tuple(value for value in options.null_values if value),
        )

    def rows(self) -> Iterator[Rows]:
        """The rows, page by page; a row's line is its number. A damaged group of rows is set aside."""
        number = 0
        with pq.ParquetFile(self.path) as file:
            for group in range(file.num_row_groups):
                end = number + file.metadata.row_group(group).num_rows
                try:
                    for batch in file.iter_batches(PAGE_ROWS, row_groups=[group], columns=list(self.columns)):
                        yield self._page(batch, number)
                        number += batch.num_rows
                except (OSError, pa.ArrowException) as error:
                    reason = f"rows {number + 1} to {end} are damaged ({error})"
                    yield Rows.broken_only(self.columns, Broken(number + 1, reason))
                number = end

    def _page(self, batch: pa.RecordBatch, before: int) -> Rows:
        columns = [plain(column, self.null_values) for column in pa.Table.from_batches([batch]).columns]
        table = pa.table(columns, names=batch.schema.names)
        numbers = np.arange(before + 1, before + 1 + batch.num_rows)
        return Rows(table, numbers, numbers, lambda row: _raw(table, row))


def plain(column: pa.ChunkedArray, null_values: Sequence[str] = ()) -> pa.ChunkedArray:
    """A column in the few types that the decoders know, with the settings' words for no value made null.

    What is not a number (NaN) is null: that is how many tools store gaps. Moments are counted in
    microseconds, in UTC where the column has a zone. A column with dates outside the years 1 to 9999 becomes
    text, so that its rows can be set aside.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
        column = column.cast(pa.string())
    elif pa.types.is_floating(kind):
        column = column.cast(pa.float64())
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
    elif pa.types.is_timestamp(kind):
        column = _within_years(
            column, pa.timestamp("us", "UTC" if kind.tz else None), pa.int64(), _MICROSECONDS
        )
    elif pa.types.is_date(kind):
        column = _within_years(column, pa.date32(), pa.int32(), _DAYS)
    elif pa.types.is_time(kind):
        column = column.cast(pa.time64("us"), safe=False)
    if pa.types.is_string(column.type) and null_values:
        is_null = pc.is_in(column, value_set=pa.array(null_values))
        column = pc.if_else(is_null, pa.scalar(None, pa.string()), column)
    return column


def _within_years(
    column: pa.ChunkedArray, wanted: pa.DataType, number: pa.DataType, bounds: tuple[int, int]
) -> pa.ChunkedArray:
    try:
        # From nanoseconds the rest is cut off; from seconds the number of microseconds may be too large.
        converted = column.cast(wanted, safe=getattr(column.type, "unit", "") != "ns")
    except pa.ArrowInvalid:
        return column.cast(pa.string())
    least_and_most = pc.min_max(converted.cast(number)).as_py()
    if least_and_most["min"] is not None and not (
        bounds[0] <= least_and_most["min"] and least_and_most["max"] <= bounds[1]
    ):
        return column.cast(pa.string())
    return converted


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_date(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_time(kind)
        or pa.types.is_null(kind)
    )


def _raw(table: pa.Table, row: int) -> str:
    return json.dumps(table.slice(row, 1).to_pylist()[0], ensure_ascii=False, default=str)
