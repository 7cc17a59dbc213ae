"""Reading Parquet: batches of typed columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crmbridge.connectors.files.options import ObjectOptions
from crmbridge.connectors.files.rows import PAGE_ROWS, Broken, Rows


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
        """The rows, page by page; a row's line is its number. A damaged file ends with a broken one."""
        number = 0
        with pq.ParquetFile(self.path) as file:
            batches = file.iter_batches(batch_size=PAGE_ROWS, columns=list(self.columns), use_threads=False)
            while True:
                try:
                    batch = next(batches, None)
                except (OSError, pa.ArrowException) as error:
                    broken = Broken(number + 1, f"the file is damaged from this row on ({error})")
                    yield Rows.broken_only(self.columns, broken)
                    return
                if batch is None:
                    return
                table = self._plain(pa.Table.from_batches([batch]))
                numbers = np.arange(number + 1, number + 1 + table.num_rows)
                yield Rows(table, numbers, numbers, lambda row, table=table: _raw(table, row))  # type: ignore[misc]
                number += table.num_rows

    def _plain(self, table: pa.Table) -> pa.Table:
        """Dictionaries spelled out, and the settings' words for no value made null."""
        columns = []
        for column in table.columns:
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
                column = column.cast(pa.string())
            if pa.types.is_string(column.type) and self.null_values:
                is_null = pc.is_in(column, value_set=pa.array(self.null_values))
                column = pc.if_else(is_null, pa.scalar(None, column.type), column)
            columns.append(column)
        return pa.table(columns, names=table.column_names)


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
