"""Groups against all other deals: win rate, value, days to close and growth, with 90 % intervals.

Whoever looks at many groups finds some that stand out by chance. So every comparison has a p-value, and a
group is called above or below only where Benjamini and Hochberg's correction over all comparisons leaves it:
of what is called so, 10 % at most are expected to be chance (false discovery rate).

| measure | estimate and interval | test against all other deals |
|---|---|---|
| win rate | won / closed, Jeffreys | Fisher's exact test |
| value | mean amount of won deals, Student | Welch's test of the logarithms |
| days | median days from creation to winning, order statistics | Mann and Whitney |
| growth | won deals of the last quarter / of that before - 1, Jeffreys | Fisher's exact test |

Sources: Benjamini and Hochberg, JRSS B 57, 1995; Brown, Cai and DasGupta, Statistical Science 16, 2001.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import betaincinv, ndtr, stdtrit
from scipy.stats import binom, false_discovery_control, fisher_exact, ttest_ind

from crmbridge.metrics.arrays import Floats, Mask
from crmbridge.metrics.market.groups import Closed

FALSE_DISCOVERIES: Final = 0.10
MEASURES: Final = ("win_rate", "value", "days", "growth")
FEWEST: Final = 5
"""Won deals whose amounts or days are compared."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 90 % interval, the same of all other deals, and the p-value of the difference."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    others: float | None = None
    p_value: float | None = None


def share(hits: int, of: int) -> tuple[float | None, float | None, float | None]:
    """hits / of with its 90 % interval by Jeffreys' prior; None of nothing."""
    if not of:
        return None, None, None
    low, high = betaincinv(hits + 0.5, of - hits + 0.5, [0.05, 0.95])
    return hits / of, float(low) if hits else 0.0, float(high) if hits < of else 1.0


def win_rate(closed: Closed, inside: Mask) -> Estimate:
    won, number = int(closed.won[inside].sum()), int(inside.sum())
    others_won, others = int(closed.won.sum()) - won, len(closed) - number
    p_value = fisher(won, number - won, others_won, others - others_won)
    return Estimate(*share(won, number), others_won / others if others else None, p_value)


def value(closed: Closed, inside: Mask) -> Estimate:
    """The mean amount of won deals."""
    usable = closed.won & np.isfinite(closed.amount)
    own, others = closed.amount[usable & inside], closed.amount[usable & ~inside]
    if not len(own):
        return Estimate(others=float(others.mean()) if len(others) else None)
    mean = float(own.mean())
    low = high = None
    if len(own) >= FEWEST:
        half = float(stdtrit(len(own) - 1, 0.95)) * float(own.std(ddof=1)) / np.sqrt(len(own))
        low, high = mean - half, mean + half
    return Estimate(mean, low, high, float(others.mean()) if len(others) else None, _welch(own, others))


def days(closed: Closed, inside: Mask) -> Estimate:
    """The median days from creation to winning."""
    usable = closed.won & np.isfinite(closed.days)
    own, others = np.sort(closed.days[usable & inside]), closed.days[usable & ~inside]
    if not len(own):
        return Estimate(others=float(np.median(others)) if len(others) else None)
    low = high = None
    if len(own) >= FEWEST:
        place = int(binom.ppf(0.05, len(own), 0.5))
        low, high = float(own[max(place - 1, 0)]), float(own[min(len(own) - place, len(own) - 1)])
    p_value = _mann_whitney(closed, usable & inside, len(others))
    middle = float(np.median(others)) if len(others) else None
    return Estimate(float(np.median(own)), low, high, middle, p_value)


def growth(closed: Closed, inside: Mask, last: int) -> Estimate:
    """Won deals of the quarter `last` against the one before, as a change: 0.1 is 10 % more."""
    now, before = (closed.won & (closed.quarter == quarter) for quarter in (last, last - 1))
    own = int((now & inside).sum()), int((before & inside).sum())
    others = int(now.sum()) - own[0], int(before.sum()) - own[1]
    rest = others[0] / others[1] - 1 if others[1] else None
    if not own[1]:
        return Estimate(others=rest)
    _, low, high = share(own[0], sum(own))
    assert low is not None  # noqa: S101 - there is a deal
    assert high is not None  # noqa: S101 - as above
    top = high / (1 - high) - 1 if high < 1 else None
    return Estimate(own[0] / own[1] - 1, low / (1 - low) - 1, top, rest, fisher(*own, *others))


def corrected(p_values: list[float | None]) -> list[float | None]:
    """Benjamini and Hochberg's q-values; None stays None and counts as no comparison."""
    known = [place for place, p_value in enumerate(p_values) if p_value is not None]
    found: list[float | None] = [None] * len(p_values)
    if known:
        for place, q in zip(known, false_discovery_control([p_values[k] for k in known]), strict=True):
            found[place] = float(q)
    return found


def fisher(a: int, b: int, c: int, d: int) -> float | None:
    """Fisher's exact test of two rows; None where a row or a column is empty."""
    if not (a + b and c + d and a + c and b + d):
        return None
    return float(fisher_exact([[a, b], [c, d]]).pvalue)


def _mann_whitney(closed: Closed, own: Mask, others: int) -> float | None:
    """The normal approximation with corrections for ties and continuity; ranks of all are made once."""
    ranks, ties = closed.day_ranks
    number = int(own.sum())
    total = number + others
    if min(number, others) < FEWEST:
        return None
    spread = number * others / 12 * (total + 1 - ties / (total * (total - 1)))
    if spread <= 0:
        return None
    above = float(ranks[own].sum()) - number * (number + 1) / 2
    z = (abs(above - number * others / 2) - 0.5) / np.sqrt(spread)
    return float(min(2 * ndtr(-z), 1.0))


def _welch(own: Floats, others: Floats) -> float | None:
    own, others = np.log(own[own > 0]), np.log(others[others > 0])
    if min(len(own), len(others)) < FEWEST or own.std() + others.std() == 0:
        return None
    return float(ttest_ind(own, others, equal_var=False).pvalue)
