"""From Arrow columns to numpy arrays, piece by piece: what every metric that streams needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.base import Frame, column_type
from crmbridge.model.records import ObjectName

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

PIECE: Final = 1 << 20
UNKNOWN_MOMENT: Final = np.iinfo(np.int64).min
"""What stands in a column of moments where none is known."""


def pieces(
    frame: Frame, object_name: ObjectName, columns: Sequence[str], *, versions: bool = False
) -> Iterator[pa.RecordBatch]:
    """The scan (or every version) in pieces of about a million rows, in the model's types."""
    types = pa.schema([pa.field(name, column_type(object_name, name)) for name in columns])
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in (frame.versions if versions else frame.scan)(object_name, columns):
        waiting.append(batch.cast(types))
        rows += batch.num_rows
        if rows >= PIECE:
            yield from pa.Table.from_batches(waiting).combine_chunks().to_batches()
            waiting, rows = [], 0
    if rows:
        yield from pa.Table.from_batches(waiting).combine_chunks().to_batches()


def moments(column: pa.Array) -> npt.NDArray[np.int64]:
    """Microseconds since 1970-01-01 UTC; UNKNOWN_MOMENT for null."""
    filled: npt.NDArray[np.int64] = pc.fill_null(column.cast(pa.int64()), UNKNOWN_MOMENT).to_numpy()
    return filled


def numbers(column: pa.Array) -> Floats:
    """Numbers or money as floats; NaN for null."""
    plain: Floats = pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy()
    return plain


def truths(column: pa.Array, unknown: bool) -> Mask:
    """Booleans, with `unknown` for null."""
    plain: Mask = pc.fill_null(column, unknown).to_numpy(zero_copy_only=False)
    return plain


def among(column: pa.Array, values: Sequence[str]) -> Mask:
    """Whether each text is one of the values; null is not."""
    return truths(pc.is_in(column, value_set=pa.array(values, pa.string())), unknown=False)


class Ids:
    """Numbers for ids: those known beforehand in their order, then every other one as it is met."""

    def __init__(self, known: pa.Array) -> None:
        self.values: pa.Array = known

    def __len__(self) -> int:
        return len(self.values)

    def find(self, column: pa.Array) -> Codes:
        """The number of each id; -1 for null and for what is not known."""
        codes: Codes = pc.fill_null(
            pc.index_in(column, value_set=self.values).cast(pa.int64()), -1
        ).to_numpy()
        return codes

    def number(self, column: pa.Array) -> Codes:
        """The number of each id, new ones included; -1 for null."""
        codes = self.find(column)
        strange = (codes < 0) & truths(column.is_valid(), unknown=False)
        if strange.any():
            new = column.filter(pa.array(strange)).dictionary_encode()
            codes = codes.copy()
            codes[strange] = new.indices.to_numpy().astype(np.int64) + len(self.values)
            self.values = pa.concat_arrays([self.values, new.dictionary])
        return codes
