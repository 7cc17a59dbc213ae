"""How good predictions are, each figure with a 90 % interval.

An interval is value +- 1.645 standard errors, where the error is the root of the summed squares of each
*group's* influence on the figure (cases of one record are one group, for they share its outcome). For the AUC
this is DeLong's method with clusters (DeLong 1988, Obuchowski 1997). No resampling: a million rows take a
sort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from crmbridge.metrics.need.arrays import Flags, Floats, Ints
from crmbridge.metrics.need.logistic import log_loss, probability

Z90 = 1.6448536269514722
Z99 = 2.3263478740408408
"""One-sided: 99 %."""
_Z90_ONE_SIDED = 1.2815515655446004


@dataclass(frozen=True)
class Estimate:
    """A figure, its 90 % interval and, where the interval is made from it, its standard error."""

    value: float
    low: float
    high: float
    error: float = 0.0

    def surely_above(self, bound: float) -> bool:
        """Whether it is above the bound beyond chance: at 99 %, for models are refitted every week."""
        return self.value - Z99 * self.error > bound

    @property
    def least(self) -> float:
        """The lower 90 % bound: the true figure is above it in 90 of 100 cases."""
        return self.value - _Z90_ONE_SIDED * self.error

    def as_json(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


def estimate(
    value: float, influence: Floats, group: Ints, *, low: float = -np.inf, high: float = np.inf
) -> Estimate:
    """The interval of a figure from each case's influence on it; `low`, `high` are what it can't exceed."""
    per_group = np.bincount(group, influence)
    error = float(np.sqrt(np.sum(per_group**2)))
    return Estimate(value, max(value - Z90 * error, low), min(value + Z90 * error, high), error)


def auc(score: Floats, y: Floats, group: Ints, stratum: Ints | None = None) -> Estimate | None:
    """The chance that a positive case scores higher than a negative one (ties count half); None without both.

    With strata only cases of the same stratum are compared: what the score knows beyond the stratum.
    """
    found = _auc(score, y, stratum)
    return None if found is None else estimate(*found, group, low=0.0, high=1.0)


def auc_difference(score: Floats, other: Floats, y: Floats, group: Ints) -> Estimate | None:
    """By how much the AUC of one score is above that of another on the same cases; None without both
    outcomes."""
    first, second = _auc(score, y, None), _auc(other, y, None)
    if first is None or second is None:
        return None
    return estimate(first[0] - second[0], first[1] - second[1], group, low=-1.0, high=1.0)


def _auc(score: Floats, y: Floats, stratum: Ints | None) -> tuple[float, Floats] | None:
    """The AUC and each case's influence on it."""
    value, pairs = 0.0, 0.0
    parts: list[tuple[Ints, float, Floats]] = []
    strata = np.zeros(len(y), np.int64) if stratum is None else stratum - stratum.min(initial=0)
    for one in np.flatnonzero(np.bincount(strata)):
        rows = np.flatnonzero(strata == one)
        truth = y[rows] == 1.0
        positives, negatives = int(truth.sum()), int((~truth).sum())
        if positives == 0 or negatives == 0:
            continue
        rank = _midranks(score[rows])
        own = np.empty(len(rows))
        own[truth] = _midranks(score[rows][truth])
        own[~truth] = _midranks(score[rows][~truth])
        # For a positive: the share of negatives below it; for a negative: the share of positives above it.
        placed = np.where(truth, (rank - own) / negatives, 1.0 - (rank - own) / positives)
        area = float(np.mean(placed[truth]))
        weight = float(positives) * negatives
        influence = (placed - area) / np.where(truth, positives, negatives)
        parts.append((rows, weight, influence))
        value += weight * area
        pairs += weight
    if pairs == 0.0:
        return None
    influence = np.zeros(len(y))
    for rows, weight, part in parts:
        influence[rows] = part * (weight / pairs)
    return value / pairs, influence


def _midranks(values: Floats) -> Floats:
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    ends = np.append(starts[1:], len(values))
    middle = np.repeat((starts + ends - 1) / 2.0 + 1.0, ends - starts)
    ranks = np.empty(len(values))
    ranks[order] = middle
    return ranks


def mean_log_loss(logit: Floats, y: Floats, group: Ints) -> Estimate:
    """Mean of -log P(y): in nats per case; 0 is perfect."""
    return _mean(log_loss(logit, y), group, low=0.0)


def brier(logit: Floats, y: Floats, group: Ints) -> Estimate:
    """Mean squared difference of probability and outcome; 0 is perfect."""
    return _mean((probability(logit) - y) ** 2, group, low=0.0, high=1.0)


def gain(logit: Floats, other: Floats, y: Floats, group: Ints) -> Estimate:
    """By how much the first predictions' log-loss is smaller than the others', case by case."""
    return _mean(log_loss(other, y) - log_loss(logit, y), group)


def _mean(values: Floats, group: Ints, *, low: float = -np.inf, high: float = np.inf) -> Estimate:
    mean = float(np.mean(values))
    return estimate(mean, (values - mean) / len(values), group, low=low, high=high)


def wilson(hits: float, n: float, z: float = Z90) -> tuple[float, float]:
    """The interval of a share (Wilson 1927); 90 % unless another `z` is given."""
    if n <= 0:
        return 0.0, 1.0
    share, z2 = hits / n, z**2 / n
    middle = (share + z2 / 2.0) / (1.0 + z2)
    half = z / (1.0 + z2) * float(np.sqrt(share * (1.0 - share) / n + z2 / (4.0 * n)))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def share(chosen: Flags, y: Floats, group: Ints) -> dict[str, float] | None:
    """The share of the chosen cases whose outcome came, with its interval; None without any.

    Wilson's, with as many cases as there are groups: those of one group say the same.
    """
    cases = int(chosen.sum())
    if cases == 0:
        return None
    came, groups = float(y[chosen].sum()), len(np.unique(group[chosen]))
    low, high = wilson(came * groups / cases, groups)
    return {"value": came / cases, "low": low, "high": high}


LATER: Final = 2.0
"""The interval of a lift is for this many times as many later outcomes as were tested."""


def lift(p: Floats, y: Floats, group: Ints, part: float) -> dict[str, float] | None:
    """How much likelier the best-scored `part` of cases is to have the outcome than all are; None without
    any.

    Cases at the border that score the same count in part. The interval is where the lift on LATER times as
    many later outcomes lies in 90 of 100 cases: so it has the chance of what was tested and of what comes. It
    is that of the logarithm of the ratio, by each group's influence on both rates; a case above the border
    counts against those at the border, whose place it takes.
    """
    total = float(y.sum())
    if total == 0.0:
        return None
    cases, take = len(p), part * len(p)
    order = np.argsort(-p, kind="stable")
    border = p[order[min(int(np.ceil(take)), cases) - 1]]
    above, at = p > border, p == border
    partly = (take - float(above.sum())) / float(at.sum())
    inside = above + partly * at
    hits, base = float(inside @ y), total / cases
    rate = hits / take
    near = order[int(0.5 * take) : max(int(np.ceil(1.5 * take)), 1)]
    near_rate = float(y[near].mean())
    # With no hit, half a hit stands in for the spread.
    gained = (inside * y - hits / cases - near_rate * (inside - part)) / max(hits, 0.5)
    per_group = np.bincount(group, gained - (y - base) / total)
    error = Z90 * float(np.sqrt(np.sum(per_group**2) * (1.0 + 1.0 / LATER)))
    if hits < 1.0:
        error = max(error, Z90 * np.sqrt(2.0))
    value = rate / base
    return {
        "share": part,
        "rate": rate,
        "value": value,
        "low": value * float(np.exp(-error)),
        "high": min(max(value, 0.5 / take / base) * float(np.exp(error)), max(1.0 / part, value)),
    }
