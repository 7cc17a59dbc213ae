"""The empirical rate: of customers who had been quiet for so long, how many ordered again.

Kaplan and Meier's estimate over all days between two orders, those not ended yet as censored:

    S(u) = product over u' <= u of (1 - ended(u') / at risk(u'))
    chance to order again within h days after u quiet ones = 1 - S(u + h) / S(u)

once for the time after a first order and once for the times after later ones. S is used as far as 10 are at
risk; from there on customers come back at a constant rate, that of the second half of the time before.
Source: Kaplan and Meier, JASA 53, 1958.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from crmbridge.metrics.arrays import Codes, Floats, Mask
from crmbridge.metrics.value.purchases import Purchases

FEWEST: Final = 10
"""Customers at risk that a rate must rest on."""
DAYS: Final = 365


@dataclass(frozen=True)
class Returns:
    """S at the days where it falls, for one kind of customer; after `until` orders come at `rate` a day."""

    days: Codes
    staying: Floats
    until: int
    rate: float

    @classmethod
    def of(cls, days: Codes, ended: Mask) -> Returns:
        """From times in whole days and whether an order ended them."""
        if not len(days):
            return cls(np.zeros(0, np.int64), np.zeros(0), 0, 0.0)
        times = np.bincount(days)
        ends = np.bincount(days[ended], minlength=len(times))
        at_risk = np.cumsum(times[::-1])[::-1]
        until = max(int((at_risk >= FEWEST).sum()) - 1, 0)
        survival: Floats = np.cumprod(1.0 - ends / np.maximum(at_risk, 1), dtype=np.float64)
        falls = np.flatnonzero(ends[: until + 1])
        late = slice(until // 2, until + 1)
        rate = (float(ends[late].sum()) + 0.5) / max(float(at_risk[late].sum()), 1.0)
        return cls(falls, survival[falls], until, rate)

    def survival(self, days: Floats) -> Floats:
        """S: the share that has not ordered after so many days."""
        place = np.searchsorted(self.days, np.minimum(days, self.until), side="right")
        known = np.concatenate([[1.0], self.staying])[place]
        return known * np.exp(-self.rate * np.maximum(days - self.until, 0.0))

    def chance(self, quiet: Floats, within: int = DAYS) -> Floats:
        """The chance to order again within so many days, for customers quiet for this many."""
        quiet = np.minimum(quiet, self.until)
        now, then = self.survival(quiet), self.survival(quiet + within)
        return np.where(now > 0, 1 - then / np.where(now > 0, now, 1.0), 0.0)


def returns(purchases: Purchases) -> tuple[Returns, Returns]:
    """After a first order, and after later ones."""
    start, end = purchases.start[:-1], purchases.start[1:]
    some = end > start
    begins, ends = start[some], end[some]
    is_last = np.zeros(len(purchases.day), bool)
    is_last[ends - 1] = True
    is_first = np.zeros(len(purchases.day), bool)
    is_first[begins] = True
    following = np.append(purchases.day[1:], purchases.today)
    following[is_last] = purchases.today
    days = np.maximum(following - purchases.day, 0)
    first, later = (Returns.of(days[rows], ~is_last[rows]) for rows in (is_first, ~is_first))
    return first, later
