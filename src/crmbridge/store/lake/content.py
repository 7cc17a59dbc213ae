"""What a record's content is: the hashes by which the lake tells records and their versions apart.

A record's content is the set of its non-null cells. It does not depend on the order of the columns, on how
rows are cut into pages, or on which other columns the same page has. Its hash is blake2b (16 bytes) over

    for each non-null cell, in the order of the columns' names:  0x1E  name  0x1F  value

where a text stands for itself (0x1B, 0x1E and 0x1F, which only a binary mishap brings into a CRM, are
escaped), a whole number, moment (microseconds) or date (days) for its decimal digits, and a float for those
of its 64 bits, so that no library's way of printing numbers can make every record look changed.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from hashlib import blake2b
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.store.lake.arrays import Int64s

_SLICE: Final = 1 << 16  # rows hashed at once: bounds memory, and keeps texts under Arrow's 2 GiB
_BEFORE_VALUE: Final = pa.scalar("\x1f")  # Arrow's scalars are made once: it is dear on small pages
_NOTHING: Final = pa.scalar("")
_ZERO: Final = pa.scalar(0.0)
_ESCAPES: Final = {"\x1b": "\x1b0", "\x1e": "\x1b1", "\x1f": "\x1b2"}


def digests(table: pa.Table, leave_out: Collection[str] = ()) -> pa.FixedSizeBinaryArray:
    """The content's hash of every row: `fixed_size_binary(16)`."""
    names = sorted(set(table.column_names) - set(leave_out))
    found = bytearray()
    for start in range(0, table.num_rows, _SLICE):
        part = table.slice(start, _SLICE)
        cells = []
        for name in names:
            values = _flat(part.column(name))
            if values.null_count < len(values):
                cells.append(pc.binary_join_element_wise(_lead(name), _text(values), _BEFORE_VALUE))
        rows = pc.binary_join_element_wise(*cells, _NOTHING, null_handling="replace", null_replacement="")
        found += b"".join(_each(rows, 16))
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), table.num_rows, [None, pa.py_buffer(bytes(found))]
    )


def keys(ids: pa.ChunkedArray | pa.Array) -> Int64s:
    """A 64-bit number per id: its blake2b. That two of ten million ids share one: 3 in a million."""
    return np.frombuffer(b"".join(_each(_flat(ids), 8)), dtype="<i8")


def content_numbers(hashes: pa.FixedSizeBinaryArray) -> Int64s:
    """The first 64 bits of each hash, never 0, which stands for `no content`."""
    first, end = hashes.offset, hashes.offset + len(hashes)
    numbers = np.frombuffer(hashes.buffers()[1], dtype="<i8")[2 * first : 2 * end : 2].copy()
    numbers[numbers == 0] = 1
    return numbers


def _each(texts: pa.StringArray, size: int) -> list[bytes]:
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, dtype="<i4")[texts.offset : texts.offset + len(texts) + 1].tolist()
    view = memoryview(data) if data is not None else memoryview(b"")
    return [blake2b(view[start:end], digest_size=size).digest() for start, end in pairwise(ends)]


def _flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        column = (
            column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [_none(column)])
        )
    return column


def _none(column: pa.ChunkedArray) -> pa.Array:
    return pa.array([], column.type)


def _text(values: pa.Array) -> pa.Array:
    kind = values.type
    if pa.types.is_string(kind):
        return _escape(values)
    if pa.types.is_timestamp(kind) or pa.types.is_date32(kind):
        return values.view(pa.int64() if pa.types.is_timestamp(kind) else pa.int32()).cast(pa.string())
    if pa.types.is_float64(kind):
        return pc.add(values, _ZERO).view(pa.int64()).cast(pa.string())  # so that -0.0 is 0.0
    return values.cast(pa.string())


def _escape(texts: pa.Array) -> pa.Array:
    data: Any = texts.buffers()[2]
    if data is not None:
        content = data.to_pybytes()
        for sign, written in _ESCAPES.items():
            if sign.encode() in content:
                texts = pc.replace_substring(texts, sign, written)
    return texts


@cache
def _lead(name: str) -> pa.StringScalar:
    for sign, written in _ESCAPES.items():
        name = name.replace(sign, written)
    return pa.scalar(f"\x1e{name}")
