"""How good predictions are, each figure with a 90 % interval.

An interval is value +- 1.645 standard errors, where the error is the root of the summed squares of each
*group's* influence on the figure (cases of one record are one group, for they share its outcome). For the AUC
this is DeLong's method with clusters (DeLong 1988, Obuchowski 1997). No resampling: a million rows take a
sort."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crmbridge.metrics.need.arrays import Floats, Ints
from crmbridge.metrics.need.logistic import log_loss, probability

Z90 = 1.6448536269514722
Z99 = 2.3263478740408408
"""One-sided: 99 %."""
_DRAWS = 400


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
    return estimate(value / pairs, influence, group, low=0.0, high=1.0)


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


@dataclass(frozen=True)
class Bin:
    """Cases of about the same prediction: how many, what was predicted on average, what came."""

    n: int
    predicted: float
    observed: float
    low: float
    high: float

    def as_json(self) -> dict[str, float | int]:
        return {
            "n": self.n,
            "predicted": self.predicted,
            "observed": self.observed,
            "low": self.low,
            "high": self.high,
        }


def calibration(p: Floats, y: Floats, bins: int = 10) -> list[Bin]:
    """Up to ten bins of about equally many cases, never parting equal predictions; intervals by Wilson."""
    order = np.argsort(p, kind="stable")
    ordered, truth = p[order], y[order]
    cuts = np.unique(np.searchsorted(ordered, ordered[np.arange(bins) * len(p) // bins], side="left"))
    found = []
    for start, end in zip(cuts, np.append(cuts[1:], len(p)), strict=True):
        n, hits = int(end - start), float(truth[start:end].sum())
        low, high = wilson(hits, n)
        found.append(Bin(n, float(np.mean(ordered[start:end])), hits / n, low, high))
    return found


def wilson(hits: float, n: float, z: float = Z90) -> tuple[float, float]:
    """The interval of a share (Wilson 1927); 90 % unless another `z` is given."""
    if n <= 0:
        return 0.0, 1.0
    share, z2 = hits / n, z**2 / n
    middle = (share + z2 / 2.0) / (1.0 + z2)
    half = z / (1.0 + z2) * float(np.sqrt(share * (1.0 - share) / n + z2 / (4.0 * n)))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def calibration_error(bins: list[Bin], seed: int) -> Estimate:
    """ECE: the mean distance of predicted and observed over the bins, by their size.

    The interval is that of the distances when the observed shares are drawn anew (400 draws from `seed`).
    """
    n = np.array([b.n for b in bins], np.float64)
    predicted = np.array([b.predicted for b in bins])
    observed = np.array([b.observed for b in bins])
    weight = n / n.sum()
    value = float(weight @ np.abs(observed - predicted))
    drawn = np.random.default_rng(seed).binomial(n.astype(np.int64), observed, (_DRAWS, len(bins))) / n
    low, high = np.quantile(np.abs(drawn - predicted) @ weight, [0.05, 0.95])
    return Estimate(value, min(float(low), value), max(float(high), value))


def lift(p: Floats, y: Floats, share: float) -> dict[str, float] | None:
    """How much likelier the best-scored `share` of cases is to have the outcome than all are; None without
    any.

    Cases at the border that score the same count in part. The interval is of the logarithm of the ratio.
    """
    total = float(y.sum())
    if total == 0.0:
        return None
    take = share * len(p)
    order = np.argsort(-p, kind="stable")
    border = p[order[min(int(np.ceil(take)), len(p)) - 1]]
    above, at = p > border, p == border
    part = (take - float(above.sum())) / float(at.sum())
    hits = float(y[above].sum()) + part * float(y[at].sum())
    rate, base = hits / take, total / len(p)
    value = rate / base
    # With no hit, half a hit stands in for the spread.
    error = Z90 * float(np.sqrt(max((1.0 - rate) * (1.0 - share), 0.0) / max(hits, 0.5)))
    return {
        "share": share,
        "rate": rate,
        "value": value,
        "low": value * float(np.exp(-error)),
        "high": max(value, 0.5 / take / base) * float(np.exp(error)),
    }
