"""Ids as 64-bit keys: found among others, and turned into chance, a million at a time.

A key is a hash of the id's bytes. Among a million ids two share one with a chance of one in thirty million.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crmbridge.metrics.need.arrays import Floats, Ints

Keys = npt.NDArray[np.uint64]

_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def _mixed(keys: Keys) -> Keys:
    """Every bit of the result depends on every bit of the key (the finisher of splitmix64)."""
    keys = (keys ^ (keys >> np.uint64(30))) * _MIX[0]
    keys = (keys ^ (keys >> np.uint64(27))) * _MIX[1]
    return keys ^ (keys >> np.uint64(31))


def keys_of(ids: pa.Array) -> Keys:
    """The key of each text; that of null is the one of the empty text."""
    ids = ids.cast(pa.large_string())
    size, start = len(ids), ids.offset
    if size == 0:
        return np.zeros(0, np.uint64)
    _, offset_buffer, data = ids.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[start : start + size + 1]
    text = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    lengths = np.diff(offsets)
    keys = _mixed(lengths.astype(np.uint64) + _ODD)
    for length in np.flatnonzero(np.bincount(lengths)).tolist():
        if length == 0:
            continue
        rows = np.flatnonzero(lengths == length)
        words = -(-length // 8)
        padded = np.zeros((len(rows), words * 8), np.uint8)
        if len(rows) == size:
            padded[:, :length] = text[offsets[0] : offsets[-1]].reshape(size, length)
        else:
            padded[:, :length] = text[offsets[rows][:, None] + np.arange(length)]
        part = keys[rows]
        for word in padded.view(np.uint64).T:
            part = _mixed((part ^ word) * _ODD)
        keys[rows] = part
    return keys


class Lookup:
    """The rows of ids among some known ones."""

    def __init__(self, known: pa.Array) -> None:
        keys = keys_of(known)
        self._order = np.argsort(keys, kind="stable").astype(np.int64)
        self._keys = keys[self._order]
        # The leading bits of a key say about where it stands among the ordered ones.
        bits = max(len(keys) - 1, 1).bit_length()
        self._shift = np.uint64(64 - bits)
        counts = np.bincount((self._keys >> self._shift).astype(np.int64), minlength=1 << bits)
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self._longest = int(counts.max(initial=0))

    def rows(self, ids: pa.Array) -> Ints:
        """The row of each id among the known ones; -1 for null and for what is not known."""
        found = np.full(len(ids), -1, np.int64)
        asked = np.flatnonzero(np.asarray(ids.is_valid()))
        keys = keys_of(ids)[asked]
        place = self._starts[(keys >> self._shift).astype(np.int64)]
        for _ in range(self._longest):
            inside = place < len(self._keys)
            asked, keys, place = asked[inside], keys[inside], place[inside]
            same = self._keys[place] == keys
            found[asked[same]] = self._order[place[same]]
            # Keys are ordered: beyond a greater one there is nothing to find.
            onward = self._keys[place] < keys
            asked, keys, place = asked[onward], keys[onward], place[onward] + 1
        return found


def uniform(ids: pa.Array, seed: int, stream: int) -> Floats:
    """A number in [0, 1) per id, always the same for an id, seed and stream: chance that can be repeated."""
    salt = keys_of(pa.array([f"{seed}/{stream}"], pa.string()))[0]
    return (_mixed(keys_of(ids) ^ salt) >> np.uint64(11)).astype(np.float64) / float(1 << 53)
