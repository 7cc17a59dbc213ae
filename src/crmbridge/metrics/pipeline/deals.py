"""The deals as of a moment: what state each is in, and which stages are ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from crmbridge.metrics.arrays import UNKNOWN_MOMENT, Codes, Floats, Ids, Mask, moments, numbers, truths
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import Micros, days_between

COLUMNS = ("id", "stage", "created_at", "closed_at", "is_closed", "is_won", "amount", "currency")


@dataclass(frozen=True)
class Deals:
    """One entry per live deal. `stage` numbers `stages` (-1: none); a deal is won, lost, or else open."""

    ids: Ids
    stages: Ids
    stage: Codes
    created_at: Micros
    closed_at: Micros
    won: Mask
    lost: Mask
    amount: Floats
    several_currencies: bool

    @classmethod
    def of(cls, frame: Frame) -> Deals:
        table = frame.table("deal", COLUMNS)
        column = {name: table[name].combine_chunks() for name in COLUMNS}
        won = truths(column["is_won"], unknown=False)
        stages = Ids(pa.array([], pa.string()))
        return cls(
            ids=Ids(column["id"]),
            stages=stages,
            stage=stages.number(column["stage"]),
            created_at=moments(column["created_at"]),
            closed_at=moments(column["closed_at"]),
            won=won,
            lost=truths(column["is_closed"], unknown=False) & ~won,
            amount=numbers(column["amount"]),
            several_currencies=len(column["currency"].filter(pa.array(won)).drop_null().unique()) > 1,
        )

    @property
    def open(self) -> Mask:
        return ~(self.won | self.lost)

    def days_to_close(self, frame: Frame) -> Floats:
        """Days from creation to closing; NaN where open, or where the dates are missing or in reverse."""
        known = ~self.open & (self.created_at != UNKNOWN_MOMENT) & (self.closed_at != UNKNOWN_MOMENT)
        known &= self.closed_at >= self.created_at
        days = np.full(len(known), np.nan)
        days[known] = days_between(self.created_at[known], self.closed_at[known], frame.zone)
        return days

    def end_stages(self, number: int) -> Mask:
        """Which of the stages 0 to number - 1 are ends: most of the deals that stand in them are closed."""
        standing = self.stage >= 0
        there = np.bincount(self.stage[standing], minlength=number)
        closed = np.bincount(self.stage[standing & ~self.open], minlength=number)
        return 2 * closed > there
