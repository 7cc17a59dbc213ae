"""The ids of one module that were read in a run: eight bytes each, for there may be millions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


class IdSet:
    """A set of record ids, which are decimal numbers of up to 19 digits; others are kept as they are."""

    def __init__(self) -> None:
        self._numbers = np.empty(0, np.uint64)
        self._new: list[np.ndarray[tuple[int], np.dtype[np.uint64]]] = []
        self._others: set[str] = set()

    def update(self, ids: Iterable[str]) -> None:
        """Add ids."""
        numbers = []
        for identifier in ids:
            if _is_number(identifier):
                numbers.append(int(identifier))
            else:
                self._others.add(identifier)
        self._new.append(np.array(numbers, np.uint64))

    def __contains__(self, identifier: str) -> bool:
        if not _is_number(identifier):
            return identifier in self._others
        if self._new:
            self._numbers, self._new = np.unique(np.concatenate([self._numbers, *self._new])), []
        number = np.uint64(int(identifier))
        place = int(np.searchsorted(self._numbers, number))
        return place < len(self._numbers) and bool(self._numbers[place] == number)


def _is_number(identifier: str) -> bool:
    return identifier.isascii() and identifier.isdecimal() and len(identifier) <= 19 and identifier[0] != "0"
