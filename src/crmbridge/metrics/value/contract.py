"""Contracts: customers who renew at regular intervals, or don't.

A customer renews each time with the same own probability, 1 - theta with theta ~ Beta(a, b) over the
customers; k renewals so far make it likelier that this is one who renews (shifted beta-geometric):

    P(k renewals, then none) = B(a + 1, b + k) / B(a, b)      P(k renewals at least) = B(a, b + k) / B(a, b)
    P(the next j are renewed | k were) = B(a, b + k + j) / B(a, b + k)

Source: Fader and Hardie, How to Project Customer Retention, Journal of Interactive Marketing 21, 2007.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import betaln, digamma

from crmbridge.metrics.arrays import Codes, Floats, Mask
from crmbridge.metrics.value.maximum import maximum
from crmbridge.metrics.value.outlook import HIGH, LOW
from crmbridge.metrics.value.purchases import Purchases

REGULAR: Final = 0.15
"""Coefficient of variation of a customer's intervals up to which they are regular."""
SHORTEST: Final = 20.0
"""Days: contracts are not renewed more often."""
FEWEST: Final = 20
LATE: Final = 1.5
"""A contract that was not renewed after so many of its periods has lapsed."""
ALIKE: Final = 1e6


@dataclass(frozen=True)
class Terms:
    """One entry per customer with a purchase: the period in days, renewals so far, days since the last."""

    period: Floats
    renewals: Floats
    quiet: Floats

    @property
    def lapsed(self) -> Mask:
        return self.quiet > LATE * self.period


@dataclass(frozen=True)
class Renewals:
    """The parameters; `period`: the customers' median, in days; `late_return`: of contracts that lapsed the
    share that was taken up again. `problem` names why a and b are the plain renewal rate, alike for all.
    """

    a: float
    b: float
    period: float
    late_return: float
    log_likelihood: float
    problem: str | None


def regular_share(purchases: Purchases) -> tuple[float, int]:
    """Of the customers with two intervals or more, the share with regular ones; and their number."""
    period, spread, number = _intervals(purchases)
    several = number >= 2
    regular = several & (spread <= REGULAR) & (period >= SHORTEST)
    return (float(regular.sum() / several.sum()) if several.any() else 0.0), int(several.sum())


def terms(purchases: Purchases, period: float | None = None) -> Terms:
    """Each customer's own median interval where there are two, else `period` (the customers' median)."""
    own, _, number = _intervals(purchases)
    typical = period if period is not None else typical_period(purchases)
    start, end = purchases.start[:-1], purchases.start[1:]
    some = end > start
    last = purchases.day[end[some] - 1]
    return Terms(
        period=np.where(number[some] >= 2, np.maximum(own[some], 1.0), typical),
        renewals=number[some].astype(np.float64),
        quiet=np.maximum(purchases.today - last, 0).astype(np.float64),
    )


def typical_period(purchases: Purchases) -> float:
    """The median of the customers' own median intervals; a year where there is none."""
    own, _, number = _intervals(purchases)
    return float(np.median(own[number >= 1])) if (number >= 1).any() else 365.0


def fit(purchases: Purchases) -> Renewals:
    """Maximum likelihood over the customers' renewals."""
    typical = typical_period(purchases)
    found = terms(purchases, typical)
    k, lapsed = found.renewals, found.lapsed
    gaps = _gaps(purchases)
    own = np.full(len(purchases.ids), typical)
    own[np.diff(purchases.start) > 0] = found.period
    late = int((gaps[1] > LATE * own[gaps[0]]).sum())
    lapses, renewed = int(lapsed.sum()), int(k.sum())
    late_return = (late + 0.5) / (late + lapses + 1)
    longest = int(k.max(initial=0))
    ended = np.bincount(k[lapsed].astype(np.int64), minlength=longest + 1).astype(np.float64)
    going = np.bincount(k[~lapsed].astype(np.int64), minlength=longest + 1).astype(np.float64)
    number = np.arange(longest + 1.0)

    def likelihood(theta: Floats) -> tuple[float, Floats]:
        a, b = np.exp(theta)
        whole = betaln(a, b)
        value = ended @ (betaln(a + 1, b + number) - whole) + going @ (betaln(a, b + number) - whole)
        both, after = digamma(a + b), digamma(a + b + number)
        at_a = ended @ (digamma(a + 1) - digamma(a + b + 1 + number) - digamma(a) + both)
        at_a += going @ (both - after)
        at_b = ended @ (digamma(b + number) - digamma(a + b + 1 + number) - digamma(b) + both)
        at_b += going @ (digamma(b + number) - after - digamma(b) + both)
        return float(value), np.array([at_a * a, at_b * b])

    starts = [np.log(start) for start in ((1.0, 1.0), (0.5, 4.0), (5.0, 20.0))]
    best = maximum(likelihood, starts, max(len(k), 1))
    a, b = (float(value) for value in np.exp(best.theta))
    problem = None
    if not lapses:
        problem = "none lapsed"
    elif not renewed:
        problem = "none renewed"
    elif best.problem:
        problem = best.problem
    if problem:
        rate = (renewed + 0.5) / (renewed + lapses + 1)
        a, b = ALIKE * (1 - rate), ALIKE * rate
    return Renewals(a, b, typical, late_return, best.log_likelihood, problem)


@dataclass(frozen=True)
class Outlook:
    """Per customer: the chance to order again, the orders expected, and their 5 % and 95 % ends."""

    alive: Floats
    orders: Floats
    low: Floats
    high: Floats


def outlook(renewals: Renewals, found: Terms, days: float) -> Outlook:
    """What is to come within the days. A renewal that is due but not lapsed is still open. A lapsed contract
    counts one order, with the chance that it is taken up again.
    """
    a, b, k = renewals.a, renewals.b, found.renewals
    due = np.floor((days + found.quiet) / found.period)
    orders, low, high = (np.zeros(len(k)) for _ in range(3))
    base = betaln(a, b + k)
    for j in range(1, int(due[~found.lapsed].max(initial=0)) + 1):
        chance = np.where(due >= j, np.exp(betaln(a, b + k + j) - base), 0.0)
        orders += chance
        low[chance >= HIGH] = j
        high[chance > LOW] = j
    back = renewals.late_return
    return Outlook(
        alive=np.where(found.lapsed, back, (b + k) / (a + b + k)),
        orders=np.where(found.lapsed, back, orders),
        low=np.where(found.lapsed, 0.0, low),
        high=np.where(found.lapsed, float(back > LOW), high),
    )


def _gaps(purchases: Purchases) -> tuple[Codes, Floats]:
    """Customer and length of every interval between two purchases."""
    inner = np.flatnonzero(np.diff(purchases.customer) == 0)
    return purchases.customer[inner], np.diff(purchases.day)[inner].astype(np.float64)


def _intervals(purchases: Purchases) -> tuple[Floats, Floats, Codes]:
    """Per customer: median and coefficient of variation of the intervals (0 of none), and their number."""
    customer, days = _gaps(purchases)
    customers = len(purchases.ids)
    number = np.bincount(customer, minlength=customers)
    order = np.lexsort((days, customer))
    ordered = days[order]
    start = np.concatenate([[0], np.cumsum(number)])
    some = number > 0
    middle = np.zeros(customers)
    lower = ordered[start[:-1][some] + (number[some] - 1) // 2]
    upper = ordered[start[:-1][some] + number[some] // 2]
    middle[some] = (lower + upper) / 2
    mean = np.bincount(customer, days, minlength=customers) / np.maximum(number, 1)
    square = np.bincount(customer, (days - mean[customer]) ** 2, minlength=customers)
    deviation = np.sqrt(square / np.maximum(number - 1, 1))
    return middle, deviation / np.maximum(mean, 1e-12), number
