"""P(x) = 1 / (1 + exp(-(a + b.x))): penalised maximum likelihood by Newton steps over blocks of rows.

The penalised log-likelihood is

    weight * sum_i [ y_i log P(x_i) + (1 - y_i) log(1 - P(x_i)) ]
    - 1/2 sum_j precision_j theta_j^2
    + pseudo_n [ pseudo_rate log P(pseudo_x) + (1 - pseudo_rate) log(1 - P(pseudo_x)) ]

with theta = (a, b). It is the log of the posterior under theta_j ~ Normal(0, 1 / precision_j) and a Beta-like
prior worth `pseudo_n` outcomes at the point `pseudo_x`. Every Newton step is one pass over the blocks whose
sums (float64, in the blocks' order) merge by addition, so it streams and can be spread over machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.blas import dsyrk

from crmbridge.metrics.need.arrays import Floats

Blocks = Callable[[], Iterable[tuple[Floats, Floats]]]
"""Yields, anew on every call, pairs of x (rows, columns; the first column is 1) and y (rows; 0 or 1)."""

_STEPS = 60
_HALVINGS = 30


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
    """The maximum and the curvature there. `factor` (columns, columns) is the lower Cholesky factor L of the
    negative Hessian, L L' = H, so that Cov(theta) = H^-1. `converged` is False where there is no finite
    maximum (an unpenalised fit of separable outcomes)."""

    theta: Floats
    factor: Floats
    log_likelihood: float
    converged: bool
    steps: int


def probability(logit: Floats) -> Floats:
    """1 / (1 + exp(-logit)) without overflow."""
    small = np.exp(-np.abs(logit))
    return np.where(logit >= 0, 1.0, small) / (1.0 + small)


def log_loss(logit: Floats, y: Floats) -> Floats:
    """-log P(y) per row, finite for every finite logit."""
    return np.maximum(logit, 0.0) - logit * y + np.log1p(np.exp(-np.abs(logit)))


@dataclass
class _Sums:
    """What one pass adds up; two of them merge by addition."""

    value: float
    gradient: Floats
    curvature: Floats

    def add(self, x: Floats, y: Floats, theta: Floats, weight: float) -> float:
        """Add a block; return its log-likelihood."""
        logit = x @ theta
        p = probability(logit)
        gained = -float(log_loss(logit, y).sum())
        self.value += weight * gained
        self.gradient += weight * (x.T @ (y - p))
        half = x * np.sqrt(weight * p * (1.0 - p))[:, None]
        # The transpose of a row-ordered block is column-ordered without a copy: what BLAS wants.
        self.curvature = dsyrk(1.0, half.T, beta=1.0, c=self.curvature, lower=1, overwrite_c=1)
        return gained


def _pass(blocks: Blocks, theta: Floats, prior: Prior, weight: float) -> tuple[_Sums, float]:
    size = len(theta)
    sums = _Sums(0.0, np.zeros(size), np.zeros((size, size), order="F"))
    log_likelihood = 0.0
    for x, y in blocks():
        log_likelihood += sums.add(x, y, theta, weight)
    if prior.pseudo_x is not None and prior.pseudo_n > 0:
        # y = rate is a fractional outcome: value, gradient and curvature hold for it as they stand.
        sums.add(prior.pseudo_x[None, :], np.array([prior.pseudo_rate]), theta, prior.pseudo_n)
    sums.value -= 0.5 * float(prior.precision @ theta**2)
    sums.gradient -= prior.precision * theta
    sums.curvature[np.diag_indices(size)] += prior.precision
    return sums, log_likelihood


def fit(blocks: Blocks, prior: Prior, *, start: Floats | None = None, weight: float = 1.0) -> Fit:
    """Climb to the maximum. `start` (columns,) speeds it up and does not change where it ends.

    `weight` multiplies the log-likelihood: below 1 where rows are not independent outcomes.
    """
    theta = np.zeros(len(prior.precision)) if start is None else start.copy()
    sums, log_likelihood = _pass(blocks, theta, prior, weight)
    converged, steps = False, 0
    factor = _factor(sums.curvature)
    for steps in range(1, _STEPS + 1):  # noqa: B007 - told to the caller
        step = cho_solve((factor, True), sums.gradient)
        decrement = float(sums.gradient @ step)
        # The decrement is twice what is still to gain; the step is then correct to half of these digits.
        if decrement <= 1e-20 * max(1.0, abs(sums.value)):
            converged = True
            break
        size = 1.0
        for _ in range(_HALVINGS):
            tried, tried_likelihood = _pass(blocks, theta + size * step, prior, weight)
            if tried.value >= sums.value - 1e-13 * abs(sums.value):
                break
            size /= 2.0
        else:
            converged = decrement < 1e-6
            break
        theta = theta + size * step
        sums, log_likelihood = tried, tried_likelihood
        factor = _factor(sums.curvature)
        if size == 1.0 and float(np.max(np.abs(step))) <= 1e-10 * (1.0 + float(np.max(np.abs(theta)))):
            converged = True
            break
    return Fit(theta, factor, log_likelihood, converged, steps)


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


def spread(x: Floats, factor: Floats) -> Floats:
    """The posterior standard deviation of a + b.x per row: the norm of L^-1 x."""
    solved = solve_triangular(factor, x.T, lower=True, check_finite=False)
    deviation: Floats = np.sqrt(np.einsum("ij,ij->j", solved, solved))
    return deviation


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
    found = fit(lambda: [(design, y.astype(np.float64))], Prior(np.zeros(2)))
    if not found.converged or not 0.0 < float(np.mean(y)) < 1.0 or float(np.max(np.abs(found.theta))) > 30.0:
        raise ValueError("these outcomes have no finite maximum-likelihood P(x)")
    b = float(found.theta[1]) / scale
    return OneVariable(float(found.theta[0]) - b * float(np.mean(x)), b, found.log_likelihood)
