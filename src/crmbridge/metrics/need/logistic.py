"""P(x) = 1 / (1 + exp(-(a + b.x))): penalised maximum likelihood over parts of rows.

The penalised log-likelihood is

    weight * sum_i [ y_i log P(x_i) + (1 - y_i) log(1 - P(x_i)) ]
    - 1/2 sum_j precision_j theta_j^2
    + pseudo_n [ pseudo_rate log P(pseudo_x) + (1 - pseudo_rate) log(1 - P(pseudo_x)) ]

with theta = (a, b). It is the log of the posterior under theta_j ~ Normal(0, 1 / precision_j) and a Beta-like
prior worth `pseudo_n` outcomes at the point `pseudo_x`. Every Newton step is one pass over the blocks whose
sums (float64, in the blocks' order) merge by addition, so it streams and can be spread over machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.linalg import cho_solve, cholesky
from threadpoolctl import ThreadpoolController

from crmbridge.metrics.need.arrays import Floats
from crmbridge.metrics.need.rows import DenseRows, Parts, Rows

_STEPS = 200
_LEAST_LOGIT = -700.0
"""Below, exp overflows; a chance of 1e-304 is none."""
_HALVINGS = 30
EXACT: Final = 1e-16
"""Newton decrement (twice the log-likelihood still to gain) at which a climb ends: 1e-8 standard errors."""
ROUGH: Final = 1e-8
"""1e-4 standard errors: enough to test predictions with."""
_SLOW = 0.1
"""A curvature is used again as long as each step leaves less than this share of the decrement."""

_THREADS: Final = ThreadpoolController()


@dataclass(frozen=True)
class Prior:
    """What is known before the data. `precision` (columns,) is 1 / variance of each coefficient, 0 for
    none.
    """

    precision: Floats
    pseudo_x: Floats | None = None
    pseudo_n: float = 0.0
    pseudo_rate: float = 0.5


@dataclass(frozen=True)
class Fit:
    """The maximum and the curvature there.

    `factor` (columns, columns) is the lower Cholesky factor L of the negative Hessian, L L' = H, so that
    Cov(theta) = H^-1. `converged` is False where there is no finite maximum (an unpenalised fit of separable
    outcomes). `outcomes` is what the rows counted for.
    """

    theta: Floats
    factor: Floats
    log_likelihood: float
    converged: bool
    steps: int
    outcomes: float


def probability(logit: Floats) -> Floats:
    """1 / (1 + exp(-logit)) without overflow."""
    return 1.0 / (1.0 + np.exp(-np.maximum(logit, _LEAST_LOGIT)))


def log_loss(logit: Floats, y: Floats) -> Floats:
    """-log P(y) per row, finite for every finite logit."""
    return np.maximum(logit, 0.0) - logit * y + np.log1p(np.exp(-np.abs(logit)))


def fit(
    parts: Parts,
    prior: Prior,
    *,
    start: Fit | None = None,
    weight: float = 1.0,
    until: float = EXACT,
    fresh: bool = True,
) -> Fit:
    """Climb to the maximum. `start`, a fit of similar rows, speeds it up and does not change where it ends.

    `weight` multiplies the log-likelihood: below 1 where rows are not independent outcomes. Without `fresh`
    the factor may be that of an earlier step: good enough to start another climb from.
    """
    # The matrices are small: threads would only wait for each other, and sum in another order elsewhere.
    with _THREADS.limit(limits=1, user_api="blas"):
        return _climb(parts, prior, start, weight, until, fresh)


def _climb(parts: Parts, prior: Prior, start: Fit | None, weight: float, until: float, fresh: bool) -> Fit:
    theta = np.zeros(len(prior.precision)) if start is None else start.theta
    outcomes = weight * sum(len(rows.y) for rows in parts)
    factor = None
    if start is not None and start.outcomes > 0.0 and outcomes > 0.0:
        factor = start.factor * np.sqrt(outcomes / start.outcomes)
    value, log_likelihood, slope = _slope(parts, prior, theta, weight)
    before, converged, steps = np.inf, False, 0
    while steps < _STEPS and not converged:
        kept = factor is not None
        if factor is None:
            factor = _factor(_curvature(parts, prior, theta, weight))
        step = cho_solve((factor, True), slope)
        decrement = float(slope @ step)
        if decrement <= until:
            converged = True
        elif kept and decrement > _SLOW * before:
            factor = None
        else:
            before, steps = decrement, steps + 1
            size = 1.0
            for _ in range(_HALVINGS):
                tried = _slope(parts, prior, theta + size * step, weight)
                if tried[0] >= value - 1e-12 * abs(value):
                    break
                size /= 2.0
            else:
                break
            theta = theta + size * step
            value, log_likelihood, slope = tried
    if factor is None or fresh:
        factor = _factor(_curvature(parts, prior, theta, weight))
    return Fit(theta, factor, log_likelihood, converged, steps, outcomes)


def _all(parts: Parts, prior: Prior, weight: float) -> Iterator[tuple[Rows, float, bool]]:
    """The parts with their weights, the prior's fractional outcome among them (marked as no data)."""
    for rows in parts:
        yield rows, weight, True
    if prior.pseudo_x is not None and prior.pseudo_n > 0:
        yield DenseRows(prior.pseudo_x[None, :], np.array([prior.pseudo_rate])), prior.pseudo_n, False


def _slope(parts: Parts, prior: Prior, theta: Floats, weight: float) -> tuple[float, float, Floats]:
    """The penalised log-likelihood, the plain one, and the gradient of the former."""
    value = -0.5 * float(prior.precision @ theta**2)
    gradient = -prior.precision * theta
    plain = 0.0
    for rows, counts, is_data in _all(parts, prior, weight):
        logit = rows.logit(theta)
        gained = -float(log_loss(logit, rows.y).sum())
        value += counts * gained
        plain += gained if is_data else 0.0
        gradient += counts * rows.project(rows.y - probability(logit))
    return value, plain, gradient


def _curvature(parts: Parts, prior: Prior, theta: Floats, weight: float) -> Floats:
    """The negative Hessian."""
    total = np.diag(prior.precision)
    for rows, counts, _ in _all(parts, prior, weight):
        p = probability(rows.logit(theta))
        total += rows.gram(counts * p * (1.0 - p))
    return total


def _factor(curvature: Floats) -> Floats:
    """The lower Cholesky factor; what rounding or a flat direction takes away is given back on the
    diagonal.
    """
    lower: Floats = np.tril(curvature)
    lift = 0.0
    while True:
        try:
            factor: Floats = cholesky(lower + lift * np.eye(len(lower)), lower=True)
        except np.linalg.LinAlgError:
            lift = max(lift * 100.0, 1e-12 * max(1.0, float(np.max(np.diag(lower)))))
        else:
            return factor


def with_precision(found: Fit, precision: Floats, instead: Floats) -> Fit:
    """The fit with the curvature that it has there under another precision of the coefficients."""
    curvature = found.factor @ found.factor.T + np.diag(instead - precision)
    return replace(found, factor=_factor(curvature))


def covariance(factor: Floats) -> Floats:
    """The posterior covariance of the coefficients: the inverse of L L'."""
    found: Floats = cho_solve((factor, True), np.eye(len(factor)))
    return found


@dataclass(frozen=True)
class OneVariable:
    """The plain P(x) of one number: `a` (intercept), `b` (per unit of x), and the log-likelihood at them."""

    a: float
    b: float
    log_likelihood: float


def fit_one_variable(x: Floats, y: Floats) -> OneVariable:
    """Maximum likelihood without any penalty, for one variable: P(x) = 1 / (1 + exp(-(a + b x))).

    `x` and `y` have one row per outcome, y 0 or 1. Raises ValueError where there is no finite maximum (one
    class only, or x separates the outcomes)."""
    scale = float(np.std(x)) or 1.0
    design = np.column_stack([np.ones(len(x)), (x - np.mean(x)) / scale])
    found = fit([DenseRows(design, y.astype(np.float64))], Prior(np.zeros(2)))
    if not found.converged or not 0.0 < float(np.mean(y)) < 1.0 or float(np.max(np.abs(found.theta))) > 30.0:
        raise ValueError("these outcomes have no finite maximum-likelihood P(x)")
    b = float(found.theta[1]) / scale
    return OneVariable(float(found.theta[0]) - b * float(np.mean(x)), b, found.log_likelihood)
