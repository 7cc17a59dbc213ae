"""Which ids a pull has met already, in little memory: two rows of one id must not both become records."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Integers = npt.NDArray[np.integer[Any]]
LONGEST_RUN: Final = 1 << 21
"""Hashes in a run at the most: joining two runs takes as much memory again."""


class Seen:
    """The ids met so far: 16 bytes each, beside the ids themselves in the columns they came in.

    Hashes are kept in sorted runs, some long ones and a few of falling length, so that a page of ids is
    looked up in a few searches. A hash met again is only a suspicion: the ids themselves decide.
    """

    def __init__(self, hash_of: Callable[[Any], int] = hash) -> None:
        self._hash_of = hash_of
        self._runs: list[tuple[Integers, Integers]] = []
        self._pages: list[tuple[pa.Array, Integers, str]] = []
        self._begins: list[int] = []
        self._count = 0
        self._clashing: dict[str, int] = {}
        """Ids whose hash an earlier, different id has."""

    def add(self, ids: pa.Array, lines: Integers, file: str) -> dict[int, str]:
        """Take up a page of ids and their lines; returns the repeated ones and where each came first."""
        begin, self._count = self._count, self._count + len(ids)
        self._pages.append((ids, lines.astype(np.int32), file))
        self._begins.append(begin)
        hashes = np.fromiter(map(self._hash_of, ids.to_pylist()), np.int64, len(ids))
        order = np.argsort(hashes, kind="stable")
        hashes, places = hashes[order], (begin + order).astype(np.int32)
        suspects: dict[int, int] = {}
        again = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1
        for at in again.tolist():
            before = int(places[at - 1])
            suspects[int(places[at])] = suspects.get(before, before)
        hashes, places = np.delete(hashes, again), np.delete(places, again)
        for run, run_places in self._runs:
            found = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            for at in np.flatnonzero(run[found] == hashes).tolist():
                suspects[int(places[at])] = int(run_places[found[at]])
        new = ~np.isin(places, list(suspects))
        self._keep(hashes[new], places[new])
        firsts = self._decided(suspects)
        return {place - begin: self._where(first) for place, first in firsts.items()}

    def _decided(self, suspects: dict[int, int]) -> dict[int, int]:
        """Which suspects are repeated ids, with the place of the first; the others only share a hash."""
        firsts: dict[int, int] = {}
        for place in sorted(suspects):
            # The first in the page with the hash may itself be a suspect of an earlier page's.
            holder = suspects.get(suspects[place], suspects[place])
            identity = self._id(place)
            if self._id(holder) == identity:
                firsts[place] = holder
            elif identity in self._clashing:
                firsts[place] = self._clashing[identity]
            else:
                self._clashing[identity] = place
        return firsts

    def _keep(self, hashes: Integers, places: Integers) -> None:
        if len(hashes):
            self._runs.append((hashes, places))
        while len(self._runs) > 1:
            earlier_length, later_length = len(self._runs[-2][0]), len(self._runs[-1][0])
            if earlier_length >= 2 * later_length or earlier_length + later_length > LONGEST_RUN:
                return
            (later, later_places), (earlier, earlier_places) = self._runs.pop(), self._runs.pop()
            merged = np.concatenate([earlier, later])
            order = np.argsort(merged, kind="stable")
            self._runs.append((merged[order], np.concatenate([earlier_places, later_places])[order]))

    def _id(self, place: int) -> str:
        page = bisect_right(self._begins, place) - 1
        identity: str = self._pages[page][0][place - self._begins[page]].as_py()
        return identity

    def _where(self, place: int) -> str:
        page = bisect_right(self._begins, place) - 1
        _, lines, file = self._pages[page]
        return f"{file}:{lines[place - self._begins[page]]}"
