"""Array types, and the meeting of ids with row numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.arrays import UNKNOWN_MOMENT, pieces
from crmbridge.metrics.base import Frame
from crmbridge.model.records import ObjectName

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

UNKNOWN: Final = int(UNKNOWN_MOMENT)
"""A moment that is not known, in microseconds."""
NEVER: Final = int(np.iinfo(np.int64).max)
"""A moment that has not come."""


def rows_of(ids: pa.Array, among: pa.Array) -> Ints:
    """The row of each id among the ids; -1 where it is not there."""
    return np.asarray(pc.index_in(ids, value_set=among).fill_null(-1)).astype(np.int64)


def version_pieces(frame: Frame, object_name: ObjectName, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Every version of every record, in pieces of about a million rows."""
    return pieces(replace(frame, scan=frame.versions), object_name, columns)


def uniform(ids: pa.Array, seed: int, stream: int) -> Floats:
    """A number in [0, 1) per id, the same for the same id, seed and stream: chance without a generator's
    state.
    """
    start = crc32(f"{seed}/{stream}".encode())
    checks = np.fromiter((crc32(text.encode(), start) for text in ids.to_pylist()), np.uint64, len(ids))
    # A checksum of ids in a row is too regular to stand for chance; splitmix64's finisher is not.
    mixed = checks + np.uint64(start << 32 | 0x9E3779B9)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)


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
