"""Partial pooling of rates: one lucky call does not top a ranking.

Peer i has x_i events in the time T_i; x_i ~ Poisson(r_i T_i), and the true rates of the peers are spread as
r_i ~ Gamma(alpha, beta), so that x_i is negative binomial. What the peers say about mean and spread of the
rates (m = alpha / beta; s = 1 / sqrt(alpha), the coefficient of variation) is kept whole, as a weighted set
of (alpha, beta): with few peers the spread itself is uncertain, and intervals that ignore it are too narrow.

    log m ~ Normal(log of a typical rate, 3)      s ~ half-Cauchy(0.5), cut at 0.02 and 4
    r_i | x ~ sum over k of w_k Gamma(alpha_k + x_i, beta_k + T_i)

Both integrals are sums over a grid: an even one about the mode of m for each s (found by Newton's method),
and one that is even in log s.
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
# The trapezoid rule in log s, where the half-Cauchy's density is that of log s.
_SPREAD_SHARES: Final = SPREADS / (1 + (SPREADS / SPREAD_SCALE) ** 2)
_SPREAD_SHARES[[0, -1]] /= 2
_NODES: Final = np.arange(-6.0, 5.01, 0.6)
_NEGLIGIBLE: Final = 1e-5
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
    mode, deviation = _modes(counts, expected)
    kinds, how_many = np.unique(counts, return_counts=True)
    alphas, means, logs = [], [], []
    for spread, share, middle, width in zip(SPREADS, _SPREAD_SHARES, mode, deviation, strict=True):
        alpha = spread**-2
        # Many peers leave nothing to integrate over: the mean is then known well enough.
        nodes = _NODES if width > 0.03 else np.zeros(1)
        step = _NODES[1] - _NODES[0] if width > 0.03 else np.sqrt(2 * np.pi)
        m = middle + width * nodes
        fixed = how_many @ (gammaln(alpha + kinds) - gammaln(alpha)) + len(counts) * alpha * np.log(alpha)
        fixed += np.log(share * width * step)
        varying = counts.sum() * m - (m / LOG_MEAN_SD) ** 2 / 2
        varying -= np.log(alpha + np.exp(m)[:, None] * expected) @ (alpha + counts)
        logs.append(fixed + varying)
        alphas.append(np.full(len(m), alpha))
        means.append(np.exp(m) * typical)
    log_weight, alpha, mean = np.concatenate(logs), np.concatenate(alphas), np.concatenate(means)
    weight = np.exp(log_weight - log_weight.max())
    kept = weight > _NEGLIGIBLE * weight.sum()
    return Prior(alpha[kept], alpha[kept] / mean[kept], weight[kept] / weight[kept].sum())


def _modes(counts: Floats, expected: Floats) -> tuple[Floats, Floats]:
    """For each of SPREADS, where log mean is most likely, and the standard deviation there.

    The log-likelihood in m is concave: the sum of x m - (alpha + x) log(alpha + e^m t), and m's prior.
    """
    alpha = SPREADS[:, None] ** -2
    m = np.full(len(SPREADS), np.log((counts.sum() + 0.5) / expected.sum()))
    bend = np.ones(len(SPREADS))
    for _ in range(100):
        rate = np.exp(m)[:, None] * expected
        slope = (counts - (alpha + counts) * rate / (alpha + rate)).sum(axis=1) - m / LOG_MEAN_SD**2
        bend = ((alpha + counts) * alpha * rate / (alpha + rate) ** 2).sum(axis=1) + LOG_MEAN_SD**-2
        step = np.clip(slope / bend, -2.0, 2.0)
        m = m + step
        if np.abs(step).max() < 1e-9:
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
    """Quantiles of mixtures of gammas, one per row, by Newton's method kept between the components' own."""
    each = gammaincinv(shape, share) / per_time
    low, high = each.min(axis=1), each.max(axis=1)
    at: Floats = each @ weight
    constant = gammaln(shape)
    for _ in range(100):
        scaled = per_time * at[:, None]
        excess = gammainc(shape, scaled) @ weight - share
        density = np.exp(shape * np.log(scaled) - scaled - constant) @ weight / at
        low, high = np.where(excess < 0, at, low), np.where(excess < 0, high, at)
        with np.errstate(divide="ignore", invalid="ignore"):
            following = at - excess / density
        inside = (following >= low) & (following <= high)
        following = np.where(inside, following, (low + high) / 2)
        done = np.abs(following - at) <= 1e-10 * at
        at = following
        if done.all():
            break
    return at


def nothing(number: int) -> Rates:
    """No rate for anybody."""
    return Rates(*(np.full(number, np.nan) for _ in range(3)))


def raw(counts: Floats, times: Floats) -> Rates:
    """Rates on their own, x / T, with 90 % intervals of Gamma(x + 1/2, T) (Jeffreys); NaN without time."""
    timed = times > 0
    safe = np.where(timed, times, 1.0)
    low = np.where(counts > 0, gammaincinv(counts + 0.5, LOW), 0.0) / safe
    high = gammaincinv(counts + 0.5, HIGH) / safe
    return Rates(*(np.where(timed, values, np.nan) for values in (counts / safe, low, high)))
