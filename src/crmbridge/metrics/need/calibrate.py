"""Whether predictions come true as often as they say, and what puts them right.

ECE, the calibration error, is the mean distance of predicted and observed over bins, by their size. Chance
alone makes it positive: in a bin whose mean residual d has the standard error s, the distance |d| of a
perfectly calibrated model is s sqrt(2 / pi) on average. What chance adds is taken off: with the true
distances put at |d| sqrt(f), where f = 1 - bins / sum d^2 / s^2 (or 0) is the share of the squared distances
that chance does not explain (James and Stein 1961), it is, bin by bin, the mean of a folded normal less its
centre.

Recalibration is a + b.logit, fitted to the newest outcomes (Cox 1958) under a ~ Normal(0, 1), b ~
Normal(1, 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.special import erf

from crmbridge.metrics.need.arrays import Floats, Ints
from crmbridge.metrics.need.evaluate import Z90, Estimate, wilson
from crmbridge.metrics.need.logistic import log_loss, probability

BINS: Final = 10
SURELY_OFF: Final = 9.210340371976182
"""99 % of a chi-square of 2: a likelihood ratio above shows that a and b are not 0 and 1."""
_STEPS: Final = 50


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


def bins_of(p: Floats, bins: int = BINS) -> Ints:
    """The bin of each case: up to `bins` of about equally many, never parting equal predictions."""
    ordered = np.sort(p)
    starts = np.searchsorted(ordered, ordered[np.arange(bins) * len(p) // bins], side="left")
    lowest = ordered[np.unique(starts)]
    place: Ints = np.searchsorted(lowest, p, side="right") - 1
    return place


def calibration(p: Floats, y: Floats) -> list[Bin]:
    """The calibration curve; intervals by Wilson."""
    place = bins_of(p)
    n = np.bincount(place)
    predicted, hits = np.bincount(place, p), np.bincount(place, y)
    found = []
    for size, total, came in zip(n.tolist(), predicted.tolist(), hits.tolist(), strict=True):
        low, high = wilson(came, size)
        found.append(Bin(size, total / size, came / size, low, high))
    return found


def calibration_error(p: Floats, y: Floats, group: Ints) -> Estimate:
    """The bias-corrected ECE with its 90 % interval; cases of one `group` share an outcome."""
    place, total = bins_of(p), len(p)
    n = np.bincount(place).astype(np.float64)
    residual = y - p
    distance = np.bincount(place, residual) / n
    centred = residual - distance[place]
    # The sums of each group's residuals within a bin, squared.
    pair, owner = np.unique(group * len(n) + place, return_inverse=True)
    within = np.bincount(owner, centred) ** 2
    seen = np.bincount(pair % len(n), within, minlength=len(n))
    # Where few or none came, what was seen says too little of chance; what was predicted says more.
    variance = np.maximum(seen, np.bincount(place, p * (1.0 - p))) / n**2
    error = np.sqrt(np.maximum(variance, 1e-300))
    explained = float(np.sum(distance**2 / error**2))
    signal = np.sqrt(max(1.0 - len(n) / explained, 0.0)) if explained > 0.0 else 0.0
    true = np.abs(distance) * signal
    ratio = true / error
    folded: Floats = error * np.sqrt(2.0 / np.pi) * np.exp(-(ratio**2) / 2.0) + true * erf(
        ratio / np.sqrt(2.0)
    )
    share = n / total
    chance: Floats = folded - true
    value = max(float(share @ (np.abs(distance) - chance)), 0.0)
    influence = np.bincount(group, np.sign(distance)[place] * centred / total)
    spread = float(np.sqrt(max(float(np.sum(influence**2)), float(share**2 @ variance))))
    return Estimate(value, max(value - Z90 * spread, 0.0), min(value + Z90 * spread, 1.0), spread)


@dataclass(frozen=True)
class Recalibration:
    """logit' = a + b logit. `covariance` is that of (a, b); `shown` says whether the outcomes show (99 %)
    that the predictions were off without it.
    """

    a: float
    b: float
    covariance: tuple[float, float, float]
    shown: bool

    def apply(self, logit: Floats) -> Floats:
        return self.a + self.b * logit

    def variance(self, logit: Floats) -> Floats:
        """Of a + b logit, given the logit."""
        of_a, both, of_b = self.covariance
        return np.maximum(of_a + 2.0 * both * logit + of_b * logit**2, 0.0)

    def as_json(self) -> dict[str, Any]:
        of_a, _, of_b = self.covariance
        half_a, half_b = Z90 * float(np.sqrt(of_a)), Z90 * float(np.sqrt(of_b))
        return {
            "intercept": {"value": self.a, "low": self.a - half_a, "high": self.a + half_a},
            "slope": {"value": self.b, "low": self.b - half_b, "high": self.b + half_b},
            "shown": self.shown,
        }


def recalibration(logit: Floats, y: Floats, weight: float, *, slope: float | None = None) -> Recalibration:
    """Fit a and b to outcomes; with `slope`, a alone beside that b. Each case counts `weight`."""
    free = np.array([1.0, 0.0 if slope is not None or float(np.ptp(logit)) < 1e-9 else 1.0])
    x = np.column_stack([np.ones(len(y)), logit])
    start = np.array([0.0, 1.0 if slope is None else slope])

    def value(at: Floats) -> float:
        return -weight * float(log_loss(x @ at, y).sum()) - 0.5 * float(np.sum((at - start) ** 2))

    def covariance(at: Floats) -> Floats:
        p = probability(x @ at)
        curvature = weight * (x.T @ (x * (p * (1.0 - p))[:, None])) + np.eye(2)
        both = np.outer(free, free)
        return np.asarray(np.linalg.inv(curvature * both + np.diag(1.0 - free)), np.float64) * both

    found = start
    for _ in range(_STEPS):
        gradient = weight * (x.T @ (y - probability(x @ found))) - (found - start)
        step = covariance(found) @ gradient
        size = 1.0
        while value(found + size * step) < value(found) and size > 1e-6:
            size /= 2.0
        found = found + size * step
        if float(np.max(np.abs(step))) < 1e-10:
            break
    spread = covariance(found)
    ratio = 2.0 * weight * float(np.sum(log_loss(x @ start, y) - log_loss(x @ found, y)))
    return Recalibration(
        float(found[0]),
        float(found[1]),
        (float(spread[0, 0]), float(spread[0, 1]), float(spread[1, 1])),
        ratio > SURELY_OFF and float(found[1]) > 0.0,
    )


def cross_fitted(logit: Floats, y: Floats, half: Ints, weight: float) -> Floats:
    """Recalibrated predictions, each half of the cases by what the other half says: so they can be judged."""
    found = np.empty(len(logit))
    for own in (0, 1):
        others = half != own
        found[~others] = recalibration(logit[others], y[others], weight).apply(logit[~others])
    return found
