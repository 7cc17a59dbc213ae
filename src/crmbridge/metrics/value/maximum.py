"""Maximum likelihood in a few positive parameters, on their logarithms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import minimize

from crmbridge.metrics.arrays import Floats

BOUND: Final = 12.0
"""Logarithms are held within so far of 0: beyond, the likelihood says nothing about them any more."""
FLAT: Final = 1e-5
"""The gradient of the mean log-likelihood that counts as none."""


class Maximum(NamedTuple):
    """Where it is (the parameters' logarithms), the log-likelihood there, and what is wrong with it.

    `problem`: `boundary` where a parameter ran to its bound, `no maximum` where the gradient does not vanish.
    """

    theta: Floats
    log_likelihood: float
    problem: str | None


def maximum(
    objective: Callable[[Floats], tuple[float, Floats]], starts: Iterable[Floats], customers: float
) -> Maximum:
    """The best of the maxima found from the starts. `objective` gives the log-likelihood and its gradient.

    BFGS with analytic gradients on the mean over the `customers`, so that it is well scaled at any size.
    """

    def falling(theta: Floats) -> tuple[float, Floats]:
        inside = np.clip(theta, -BOUND, BOUND)
        value, gradient = objective(inside)
        beyond = theta - inside
        return -value / customers + float(beyond @ beyond), -gradient / customers + 2 * beyond

    found = [minimize(falling, start, jac=True, method="BFGS", options={"gtol": 1e-8}) for start in starts]
    best = min(found, key=lambda each: float(each.fun))
    theta = np.clip(np.asarray(best.x, np.float64), -BOUND, BOUND)
    value, gradient = objective(theta)
    problem = None
    if np.abs(theta).max() > BOUND - 0.5:
        problem = "boundary"
    elif np.abs(gradient).max() / customers > FLAT:
        problem = "no maximum"
    return Maximum(theta, value, problem)
