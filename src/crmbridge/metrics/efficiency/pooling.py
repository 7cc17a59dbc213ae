"""Partial pooling of rates: one lucky call does not top a ranking.

Peer i has x_i events in the time T_i; x_i ~ Poisson(r_i T_i), and the true rates of the peers are spread as
r_i ~ Gamma(alpha, beta), so that x_i is negative binomial. What the peers say about mean and spread of the
rates (m = alpha / beta; s = 1 / sqrt(alpha), the coefficient of variation) is kept whole, as a weighted set
of (alpha, beta): with few peers the spread itself is uncertain, and intervals that ignore it are too narrow.

    log m ~ Normal(log of a typical rate, 3)      s ~ half-Cauchy(0.5), cut at 0.02 and 4
    r_i | x ~ sum over k of w_k Gamma(alpha_k + x_i, beta_k + T_i)

The integral over m is a Gauss-Hermite rule about its mode (Newton's method), the one over s a grid.
Sources: Gelman et al., Bayesian Data Analysis, 3rd ed., 2013, chapter 5; Polson and Scott, Bayesian
Analysis 7, 2012 (half-Cauchy prior for a spread).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import gammainc, gammaincinv, gammaln

from crmbridge.metrics.arrays import Floats

SPREADS: Final = np.geomspace(0.02, 4.0, 24)
SPREAD_SCALE: Final = 0.5
LOG_MEAN_SD: Final = 3.0
LOW, HIGH = 0.05, 0.95
MOST_PEERS: Final = 20_000
_NEGLIGIBLE: Final = 1e-4
_BLOCK: Final = 10_000


@dataclass(frozen=True)
class Prior:
    """What the peers say about rates: a mixture of Gamma(alpha, beta), shape and rate; weights sum to 1."""

    alpha: Floats
    beta: Floats
    weight: Floats

    def to_rows(self) -> list[list[float]]:
        """`[alpha, beta, weight]` per component, for the model's parameters."""
        return [list(map(float, row)) for row in zip(self.alpha, self.beta, self.weight, strict=True)]

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[float]]) -> Prior:
        table = np.array(rows, np.float64).reshape(-1, 3)
        return cls(table[:, 0], table[:, 1], table[:, 2])

    @property
    def mean(self) -> float:
        """The rate expected of a peer about whom nothing is known."""
        return float(self.weight @ (self.alpha / self.beta))

    @property
    def spread(self) -> float:
        """The expected coefficient of variation of the peers' true rates."""
        return float(self.weight @ (1 / np.sqrt(self.alpha)))


@dataclass(frozen=True)
class Rates:
    """Rates with their 90 % intervals; NaN where there is no time."""

    rate: Floats
    low: Floats
    high: Floats


def fit_prior(counts: Floats, times: Floats, typical: float) -> Prior | None:
    """The prior that peers with these counts and times speak for; None where nobody has any time.

    `typical` is a rate of the right order of magnitude: it matters only where the peers have next
    to no events. Their order matters to the last digit only. Of more than 20,000 an even sample is taken.
    """
    timed = times > 0
    counts, times = counts[timed], times[timed]
    if not len(counts):
        return None
    if len(counts) > MOST_PEERS:
        chosen = np.linspace(0, len(counts) - 1, MOST_PEERS).astype(np.int64)
        counts, times = counts[chosen], times[chosen]
    expected = times * typical  # in units in which the typical rate is 1
    kinds, how_many = np.unique(counts, return_counts=True)

    alphas, betas, logs = [], [], []
    log_mean = float(np.log((counts.sum() + 0.5) / expected.sum()))
    for spread in SPREADS:
        alpha = spread**-2
        log_mean, deviation = _mode(counts, expected, alpha, log_mean)
        fixed = how_many @ (gammaln(alpha + kinds) - gammaln(alpha)) + len(counts) * alpha * np.log(alpha)
        # On a grid that is even in log s the prior's density is that of log s.
        fixed += np.log(spread / (1 + (spread / SPREAD_SCALE) ** 2))
        # Many peers leave nothing to integrate over: the mean is then known to a hundredth.
        nodes, node_weights = np.polynomial.hermite_e.hermegauss(1 if deviation < 0.01 else 7)
        for node, node_weight in zip(nodes, node_weights, strict=True):
            m = log_mean + deviation * node
            density = _likelihood(counts, expected, alpha, m) + node**2 / 2
            logs.append(fixed + density + np.log(node_weight * deviation))
            alphas.append(alpha)
            betas.append(alpha / np.exp(m) / typical)
    weight = np.exp(np.array(logs) - max(logs))
    weight /= weight.sum()
    kept = weight > _NEGLIGIBLE
    return Prior(np.array(alphas)[kept], np.array(betas)[kept], weight[kept] / weight[kept].sum())


def _likelihood(counts: Floats, expected: Floats, alpha: float, m: float) -> float:
    """Log of likelihood and prior in m = log mean, without what does not depend on m."""
    whole = counts.sum() * m - (alpha + counts) @ np.log(alpha + np.exp(m) * expected)
    return float(whole - (m / LOG_MEAN_SD) ** 2 / 2)


def _mode(counts: Floats, expected: Floats, alpha: float, start: float) -> tuple[float, float]:
    """Mode of `_likelihood` in m, which is concave, and the standard deviation there."""
    m = start
    for _ in range(50):
        rate = np.exp(m) * expected
        slope = float((counts - (alpha + counts) * rate / (alpha + rate)).sum()) - m / LOG_MEAN_SD**2
        bend = float(((alpha + counts) * alpha * rate / (alpha + rate) ** 2).sum()) + 1 / LOG_MEAN_SD**2
        step = min(max(slope / bend, -1.0), 1.0)
        m += step
        if abs(step) < 1e-10:
            break
    return m, bend**-0.5


def pooled(prior: Prior, counts: Floats, times: Floats) -> Rates:
    """The posterior mean of each rate with its 90 % interval; NaN where there is no time."""
    rate, low, high = (np.full(len(counts), np.nan) for _ in range(3))
    timed = np.flatnonzero(times > 0)
    for begin in range(0, len(timed), _BLOCK):
        rows = timed[begin : begin + _BLOCK]
        # A component weighs as much as the peers say; a peer's own data are already among theirs.
        shape = prior.alpha + counts[rows, None]
        per_time = prior.beta + times[rows, None]
        rate[rows] = (shape / per_time) @ prior.weight
        low[rows] = _quantile(LOW, shape, per_time, prior.weight)
        high[rows] = _quantile(HIGH, shape, per_time, prior.weight)
    return Rates(rate, low, high)


def _quantile(share: float, shape: Floats, per_time: Floats, weight: Floats) -> Floats:
    """Quantiles of mixtures of gammas, one per row: between those of the components, by halving."""
    each = gammaincinv(shape, share) / per_time
    low, high = each.min(axis=1), each.max(axis=1)
    for _ in range(40):
        middle = (low + high) / 2
        below = gammainc(shape, per_time * middle[:, None]) @ weight < share
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    quantile: Floats = (low + high) / 2
    return quantile


def raw(counts: Floats, times: Floats) -> Rates:
    """Rates on their own, x / T, with 90 % intervals of Gamma(x + 1/2, T) (Jeffreys); NaN without time."""
    timed = times > 0
    safe = np.where(timed, times, 1.0)
    low = np.where(counts > 0, gammaincinv(counts + 0.5, LOW), 0.0) / safe
    high = gammaincinv(counts + 0.5, HIGH) / safe
    return Rates(*(np.where(timed, values, np.nan) for values in (counts / safe, low, high)))
