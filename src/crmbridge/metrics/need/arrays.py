"""Array types, and records with several rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crmbridge.metrics.arrays import UNKNOWN_MOMENT
from crmbridge.metrics.base import Frame, column_type
from crmbridge.model.records import ObjectName

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

UNKNOWN: Final = int(UNKNOWN_MOMENT)
"""A moment that is not known, in microseconds."""
PIECE: Final = 1 << 17
NEVER: Final = int(np.iinfo(np.int64).max)
"""A moment that has not come."""


def pieces(
    frame: Frame, object_name: ObjectName, columns: Sequence[str], *, versions: bool = False
) -> Iterator[pa.RecordBatch]:
    """The scan (or every version) in pieces of at most PIECE rows, in the model's types.

    Small batches are put together, for each piece costs some steps; large ones are cut, for rows cost memory.
    """
    types = pa.schema([pa.field(name, column_type(object_name, name)) for name in columns])
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in (frame.versions if versions else frame.scan)(object_name, columns):
        for start in range(0, batch.num_rows, PIECE):
            part = batch.slice(start, PIECE)
            if rows + part.num_rows > PIECE:
                yield pa.concat_batches(held)
                held, rows = [], 0
            held.append(part.cast(types))
            rows += part.num_rows
    if rows:
        yield pa.concat_batches(held)


def distinct(ordered: Ints) -> int:
    """How many different values there are among ordered ones."""
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + (len(ordered) > 0)


class ByRecord:
    """Rows ordered by record, found by record."""

    def __init__(self, record: Ints, records: int) -> None:
        self._starts = np.searchsorted(record, np.arange(records + 1))
        self._counts = np.diff(self._starts)
        self._most = int(self._counts.max(initial=0))

    def of(self, record: Ints) -> list[tuple[Ints, Ints]]:
        """Pairs (positions in `record`, rows); together they hold every row of every record given; -1 has
        none.
        """
        if self._most == 0:
            return []
        number = np.where(record >= 0, self._counts[record], 0)
        pairs = []
        for k in range(self._most):
            positions = np.flatnonzero(number > k)
            pairs.append((positions, self._starts[record[positions]] + k))
        return pairs
