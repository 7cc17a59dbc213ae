"""What each customer bought, day by day: the history that the value models are fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.arrays import Codes, Floats, Mask
from crmbridge.metrics.base import Frame
from crmbridge.metrics.orders import Orders

_BITS: Final = 20
_MIDDLE: Final = 1 << (_BITS - 1)
"""Days since 1970 lie between -_MIDDLE and _MIDDLE: year 534 to year 3405."""


@dataclass(frozen=True)
class Purchases:
    """One entry per customer and day with a purchase, ordered by customer, then day.

    `customer` numbers `ids`, which are sorted. `amount` is what was spent on that day less what was given
    back for it: a refund (negative amount) lowers the last purchase on or before its day, never below 0; one
    with no such purchase is left out. NaN where no amount of that day is known. `start` has, per customer,
    the position of the first entry, and one more: the end.
    """

    ids: pa.Array
    customer: Codes
    day: Codes
    amount: Floats
    start: Codes
    today: int
    currency: str | None
    left_out: Mapping[str, int]
    other_currencies: int

    @classmethod
    def of(cls, frame: Frame) -> Purchases:
        orders = Orders(frame)
        parts = [
            ((customer << _BITS) | np.clip(day + _MIDDLE, 0, 2 * _MIDDLE - 1), amount)
            for customer, day, amount in orders.pieces()
        ]
        key = np.concatenate([part[0] for part in parts]) if parts else np.zeros(0, np.int64)
        amount = np.concatenate([part[1] for part in parts]) if parts else np.zeros(0)
        del parts
        order = pc.sort_indices(orders.ids.values).to_numpy().astype(np.int64)
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        key = (rank[key >> _BITS] << _BITS) | (key & (2 * _MIDDLE - 1)) if len(key) else key
        ids = orders.ids.values.take(pa.array(order))
        days, spent, stray = _by_day(key, amount)
        customer = days >> _BITS
        left_out = dict(orders.left_out)
        if stray:
            left_out["refund without a purchase"] = stray
        return cls(
            ids=ids,
            customer=customer,
            day=(days & (2 * _MIDDLE - 1)) - _MIDDLE,
            amount=spent,
            start=np.searchsorted(customer, np.arange(len(ids) + 1)),
            today=orders.today,
            currency=orders.currency,
            left_out=left_out,
            other_currencies=orders.other_currencies,
        )

    def until(self, day: int) -> Purchases:
        """The purchases up to a day, as if it were today."""
        kept = self.day <= day
        customer = self.customer[kept]
        return Purchases(
            self.ids,
            customer,
            self.day[kept],
            self.amount[kept],
            np.searchsorted(customer, np.arange(len(self.ids) + 1)),
            day,
            self.currency,
            self.left_out,
            self.other_currencies,
        )

    def histories(self) -> Histories:
        """What the models need of each customer."""
        start, end = self.start[:-1], self.start[1:]
        some = np.flatnonzero(end > start)
        first, last = self.day[start[some]], self.day[end[some] - 1]
        number = end[some] - start[some]
        repeat = np.ones(len(self.day), bool)
        repeat[start[some]] = False
        known = np.isfinite(self.amount)
        priced, spent = self._sums(known & repeat, some)
        known_days, all_spent = self._sums(known, some)
        return Histories(
            customer=some,
            repeats=(number - 1).astype(np.float64),
            last=(last - first).astype(np.float64),
            age=np.maximum(self.today - first, 0).astype(np.float64),
            priced=priced,
            mean=np.where(priced > 0, spent / np.maximum(priced, 1), np.nan),
            known=known_days,
            spent=all_spent,
        )

    def _sums(self, days: Mask, customers: Codes) -> tuple[Floats, Floats]:
        """Per customer, the number of these days and the sum of their amounts."""
        of, number = self.customer[days], len(self.ids)
        counted = np.bincount(of, minlength=number)[customers].astype(np.float64)
        spent = np.bincount(of, self.amount[days], minlength=number)[customers].astype(np.float64)
        return counted, spent


@dataclass(frozen=True)
class Histories:
    """One entry per customer with a purchase (`customer` numbers the purchases' ids).

    x = `repeats`: purchase days after the first; t_x = `last`: days from the first to the last; T = `age`:
    days from the first to today. `mean`: mean spent on the `priced` repeat days whose amount is known, else
    NaN. `spent`: sum over all `known` days, the first included.
    """

    customer: Codes
    repeats: Floats
    last: Floats
    age: Floats
    priced: Floats
    mean: Floats
    known: Floats
    spent: Floats

    def __len__(self) -> int:
        return len(self.customer)


def _by_day(key: Codes, amount: Floats) -> tuple[Codes, Floats, int]:
    """The distinct keys of purchases with what was spent, and how many refunds have no purchase."""
    refund = amount < 0
    refunds, back = key[refund], amount[refund]
    key, amount = key[~refund], amount[~refund]
    order = np.argsort(key, kind="stable")
    key, amount = key[order], amount[order]
    begin = np.flatnonzero(np.diff(key, prepend=-1) != 0) if len(key) else np.zeros(0, np.int64)
    days = key[begin]
    if not len(days):
        return days, np.zeros(0), len(refunds)
    known = np.add.reduceat(np.isfinite(amount).astype(np.int64), begin) > 0
    spent = np.add.reduceat(np.nan_to_num(amount), begin)
    place = np.searchsorted(days, refunds, side="right") - 1
    found = (place >= 0) & (days[np.maximum(place, 0)] >> _BITS == refunds >> _BITS)
    np.add.at(spent, place[found], back[found])
    return days, np.where(known, np.maximum(spent, 0.0), np.nan), int((~found).sum())
