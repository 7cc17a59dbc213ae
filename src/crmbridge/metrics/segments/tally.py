"""What each customer had ordered as of several moments, in one pass over the orders.

Memory grows with the customers, not with the orders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from crmbridge.metrics.arrays import Codes, Floats, Mask
from crmbridge.metrics.base import Frame
from crmbridge.metrics.orders import Orders

_NEVER: Final = np.iinfo(np.int32).min
_LATEST: Final = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Standing:
    """The customers with an order by the end of `day`: one entry each, `customer` numbers the tally's ids.

    `first`, `last`: days since 1970-01-01; `orders`: their number; `spent`: what they came to, refunds taken
    off, NaN where no amount is known.
    """

    day: int
    customer: Codes
    first: Codes
    last: Codes
    orders: Codes
    spent: Floats

    def __len__(self) -> int:
        return len(self.customer)

    @property
    def quiet(self) -> Floats:
        """Days since the last order."""
        return (self.day - self.last).astype(np.float64)


class Sums:
    """Per period and customer: orders, their sum, first and last day. Periods are separated by `ends`, the
    last days that belong to each, oldest first.
    """

    def __init__(self, ends: Sequence[int]) -> None:
        self._ends = np.array(ends, np.int64)
        self._room = 0
        self._orders, self._priced, self._spent, self._first, self._last = (
            np.zeros((len(ends), 0)) for _ in range(5)
        )
        self.customers = 0

    def add(self, customer: Codes, day: Codes, amount: Floats, customers: int) -> None:
        """Orders of customers numbered below `customers`; a negative amount is a refund, NaN not known."""
        self._make_room(customers)
        place = customer
        if len(self._ends) > 1:
            place = np.searchsorted(self._ends, day) * self._room + customer
        refund = amount < 0
        if refund.any():
            np.add.at(self._spent.reshape(-1), place[refund], amount[refund])
            place, day, amount = place[~refund], day[~refund], amount[~refund]
        np.add.at(self._orders.reshape(-1), place, 1)
        np.maximum.at(self._last.reshape(-1), place, day.astype(np.int32))
        np.minimum.at(self._first.reshape(-1), place, day.astype(np.int32))
        known = np.isfinite(amount)
        if not known.all():
            place, amount = place[known], amount[known]
        np.add.at(self._priced.reshape(-1), place, 1)
        np.add.at(self._spent.reshape(-1), place, amount)

    def _make_room(self, customers: int) -> None:
        self.customers = max(self.customers, customers)
        if customers <= self._room:
            return
        room = max(customers, 2 * self._room, 1024)

        def grown(old: np.ndarray, fill: float, kind: type) -> np.ndarray:
            new: np.ndarray = np.full((len(self._ends), room), fill, kind)
            new[:, : self._room] = old[:, : self._room]
            return new

        self._orders = grown(self._orders, 0, np.int64)
        self._priced = grown(self._priced, 0, np.int64)
        self._spent = grown(self._spent, 0, np.float64)
        self._first = grown(self._first, _LATEST, np.int32)
        self._last = grown(self._last, _NEVER, np.int32)
        self._room = room

    def standing(self, period: int) -> Standing:
        """How customers stood at the end of a period."""
        upto = slice(0, period + 1), slice(0, self.customers)
        orders = self._orders[upto].sum(axis=0)
        some = np.flatnonzero(orders)
        spent = np.maximum(self._spent[upto].sum(axis=0)[some], 0.0)
        priced: Mask = self._priced[upto].sum(axis=0)[some] > 0
        return Standing(
            day=int(self._ends[period]),
            customer=some,
            first=self._first[upto].min(axis=0)[some].astype(np.int64),
            last=self._last[upto].max(axis=0)[some].astype(np.int64),
            orders=orders[some],
            spent=np.where(priced, spent, np.nan),
        )


@dataclass(frozen=True)
class Tally:
    """The customers now and as of earlier days, oldest first; the last is today's."""

    ids: pa.Array
    standings: tuple[Standing, ...]
    currency: str | None
    left_out: Mapping[str, int]

    @property
    def now(self) -> Standing:
        return self.standings[-1]


def tally(frame: Frame, days_back: Sequence[int]) -> Tally:
    """Read the orders once. `days_back`: how many days ago the earlier moments are, oldest first."""
    orders = Orders(frame)
    ends = [orders.today - back for back in days_back] + [orders.today]
    sums = Sums(ends)
    for customer, day, amount in orders.pieces():
        sums.add(customer, day, amount, len(orders.ids))
    return Tally(
        ids=orders.ids.values,
        standings=tuple(sums.standing(period) for period in range(len(ends))),
        currency=orders.currency,
        left_out=dict(orders.left_out),
    )
