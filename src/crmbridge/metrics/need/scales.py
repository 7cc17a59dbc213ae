"""How much the levels of a field differ: each field's own prior, learned from its effects.

A coefficient of field f is Normal(0, tau_f^2) before the data. tau_f is 1 at first; then the fit and

    tau_f^2 = (s + sum_j theta_j^2) / (s + gamma_f),    gamma_f = sum_j (1 - Var(theta_j) / tau_f^2)

take turns (MacKay 1992: the largest marginal likelihood, gamma counting the coefficients that the data, not
the prior, decide; s = 1/2 is the weight of the starting value). With few outcomes gamma is near 0 and tau
stays near 1; a field whose levels do not differ is drawn to nothing, however many levels it has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from crmbridge.metrics.need.arrays import Flags, Floats, Ints
from crmbridge.metrics.need.logistic import Fit, covariance

START: Final = 1.0
_WEIGHT: Final = 0.5
_ROUNDS: Final = 12
_SETTLED: Final = 0.05
_LEAST: Final = 0.01


def learn_scales(
    fit_with: Callable[[Floats, Fit | None], Fit],
    field: Ints,
    seen: Flags,
    *,
    scales: Floats | None = None,
    start: Fit | None = None,
) -> tuple[Floats, Fit]:
    """The scale tau of each field, and the fit with them.

    `fit_with(precision, start)` fits with a precision per matrix column; `field` (columns,) is each column's
    field, -1 for the intercept; `seen` marks the columns that have cases; `scales` (fields,) and `start` are
    those of similar rows.
    """
    fields = int(field.max(initial=-1)) + 1
    scales = np.full(fields, START) if scales is None else scales
    found = fit_with(precision_of(scales, field), start)
    for _ in range(_ROUNDS):
        variance = np.diag(covariance(found.factor))
        counted = np.flatnonzero(seen & (field >= 0))
        owner = field[counted]
        decided = 1.0 - variance[counted] / scales[owner] ** 2
        effects = np.bincount(owner, found.theta[counted] ** 2, minlength=fields)
        gamma = np.bincount(owner, np.clip(decided, 0.0, 1.0), minlength=fields)
        updated = np.sqrt((_WEIGHT * START**2 + effects) / (_WEIGHT + gamma))
        updated = np.clip(updated, _LEAST, START)
        moved = float(np.max(np.abs(np.log(updated / scales)), initial=0.0))
        scales = updated
        if moved < _SETTLED:
            break
        found = fit_with(precision_of(scales, field), found)
    return scales, found


def precision_of(scales: Floats, field: Ints) -> Floats:
    """1 / tau^2 per matrix column; 0 for the intercept."""
    return np.where(field >= 0, np.append(scales, np.inf)[field] ** -2.0, 0.0)
