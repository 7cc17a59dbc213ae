"""What is summed up, and the sums of each measure per group and window."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from crmbridge.metrics.arrays import Codes, Floats

Kind = Literal["communication", "follow_up", "order"]
KINDS: Final[tuple[Kind, ...]] = ("communication", "follow_up", "order")
COUNT: Final[Mapping[Kind, str]] = MappingProxyType(
    {"communication": "successes", "follow_up": "won", "order": "orders_fulfilled"}
)
TIME: Final[Mapping[Kind, str]] = MappingProxyType(
    {"communication": "communication_hours", "follow_up": "follow_up_hours", "order": "processing_days"}
)
MEASURES: Final = (
    *("communications", "measured", "outcomes_known", "successes", "communication_hours"),
    *("won", "lost", "followed", "won_amount", "follow_up_hours"),
    *("orders_seen", "orders_fulfilled", "processing_days"),
)
WINDOWS: Final = 2
NOW, BEFORE = 0, 1
"""The window up to the moment, and the one before it."""


class Sums:
    """Sums of each measure per group and window, where groups are numbers that may still grow."""

    def __init__(self) -> None:
        self._sums: dict[str, Floats] = {}

    def add(self, groups: Codes, windows: Codes, measures: Mapping[str, Floats | None]) -> None:
        """Add a column per measure (None counts rows); rows with group -1 belong to nobody."""
        known = groups >= 0
        everybody = bool(known.all())
        keys = groups * WINDOWS + windows
        own = keys if everybody else keys[known]
        if not len(own):
            return
        for name, values in measures.items():
            weights = values if values is None or everybody else values[known]
            self._put(name, np.bincount(own, weights))

    def _put(self, name: str, sums: Codes | Floats) -> None:
        new = sums.astype(np.float64, copy=False)
        old = self._sums.get(name, np.zeros(0))
        if len(new) < len(old):
            new, old = old, new
        new[: len(old)] += old
        self._sums[name] = new

    def of(self, name: str, number: int, window: int = NOW) -> Floats:
        """The sums of one measure for the groups 0 to number - 1."""
        found = self._sums.get(name, np.zeros(0))[window::WINDOWS]
        return (
            np.concatenate([found, np.zeros(number - len(found))]) if len(found) < number else found[:number]
        )

    def grouped(self, into: Codes, number: int) -> Sums:
        """The sums of groups of these groups: `into` says which one each is in, -1 for none."""
        found = Sums()
        known = into >= 0
        for name in self._sums:
            for window in (NOW, BEFORE):
                values = self.of(name, len(into), window)[known]
                found._put(name, np.bincount(into[known] * WINDOWS + window, values, number * WINDOWS))
        return found
