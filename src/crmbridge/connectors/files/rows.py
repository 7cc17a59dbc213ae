"""What reading a file yields, whatever its form: rows of cells, and the rows that are broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

PAGE_ROWS: Final = 50_000
"""Rows in a page at the most."""


@dataclass(frozen=True)
class Broken:
    """A row that can't be cut into cells, or a file not readable to its end: the line, why, and its text."""

    line: int
    reason: str
    raw: str | None = None


@dataclass(frozen=True)
class Rows:
    """Some rows of one file.

    `table` has the file's columns in its own order: text, or Parquet's types. Row k of the table is row
    `numbers[k]` of the file (from 1, broken rows counted) and stands on line `lines[k]`; `raw(k)` is how it
    came.
    """

    table: pa.Table
    numbers: npt.NDArray[np.int64]
    lines: npt.NDArray[np.int64]
    raw: Callable[[int], str]
    broken: list[Broken] = field(default_factory=list)

    @classmethod
    def broken_only(cls, columns: Sequence[str], broken: Broken) -> Rows:
        """No rows, but something to say."""
        nothing = np.zeros(0, np.int64)
        table = pa.schema([(name, pa.string()) for name in columns]).empty_table()
        return cls(table, nothing, nothing, str, [broken])

    def part(self, start: int, length: int) -> Rows:
        """A part of the rows; what is broken goes with the first part."""
        return Rows(
            self.table.slice(start, length),
            self.numbers[start : start + length],
            self.lines[start : start + length],
            lambda row: self.raw(start + row),
            self.broken if start == 0 else [],
        )
