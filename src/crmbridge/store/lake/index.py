"""The latest version of every record of one object, in memory: about 50 bytes a record."""

from __future__ import annotations

from typing import Final

import numpy as np

from crmbridge.store.lake.arrays import Int64s, Rows

_FIRST_SIZE: Final = 1 << 10


class Index:
    """A hash table from a record's key to its latest version, worked on a page at a time.

    `content` is the version's content number, 0 where the record is deleted; `valid_from` is in microseconds.
    Collisions go to the next free slot (linear probing; keys are hashes themselves, so they are spread well).
    """

    def __init__(self) -> None:
        self.size = 0
        self._slots = np.full(_FIRST_SIZE, -1, dtype=np.int32)
        self.key, self.content, self.valid_from, self.seq = (
            np.zeros(_FIRST_SIZE, dtype=np.int64) for _ in range(4)
        )

    def find(self, keys: Int64s) -> Rows:
        """The row of each key in `content`, `valid_from` and `seq`; -1 for one that is not here."""
        mask = len(self._slots) - 1
        position = keys & mask
        rows: Rows = self._slots[position].astype(np.intp)
        other = np.flatnonzero((rows >= 0) & (self.key[rows] != keys))
        while len(other):
            position[other] = (position[other] + 1) & mask
            found = self._slots[position[other]]
            rows[other] = found
            other = other[(found >= 0) & (self.key[found] != keys[other])]
        return rows

    def put(self, keys: Int64s, content: Int64s, valid_from: Int64s, seq: Int64s) -> None:
        """Note versions, in the order of their seq: of one record's the last remains."""
        rows = self.find(keys)
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            new, where = np.unique(keys[missing], return_inverse=True)
            rows[missing] = self.size + where
            self._add(new)
        self.content[rows] = content
        self.valid_from[rows] = valid_from
        self.seq[rows] = seq

    def _add(self, keys: Int64s) -> None:
        size = self.size + len(keys)
        if size > len(self.key):
            capacity = max(size, len(self.key) * 3 // 2)
            for name in ("key", "content", "valid_from", "seq"):
                column = np.zeros(capacity, dtype=np.int64)
                column[: self.size] = getattr(self, name)[: self.size]
                setattr(self, name, column)
        self.key[self.size : size] = keys
        if 3 * size > 2 * len(self._slots):
            slots = 1 << (2 * size - 1).bit_length()
            self._slots = np.full(slots, -1, dtype=np.int32)
            self._seat(0, size)
        else:
            self._seat(self.size, size)
        self.size = size

    def _seat(self, start: int, end: int) -> None:
        """Give the rows from `start` to `end` their slots; none of their keys has one yet."""
        mask = len(self._slots) - 1
        waiting = np.arange(start, end, dtype=np.int32)
        position = self.key[start:end] & mask
        while len(waiting):
            free = self._slots[position] < 0
            self._slots[position[free]] = waiting[free]
            crowded = self._slots[position] != waiting  # taken before, or by another of this round
            waiting, position = waiting[crowded], (position[crowded] + 1) & mask
