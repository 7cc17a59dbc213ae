"""How much the levels of a field differ: each field's own prior, learned from its effects.

A coefficient of field f is Normal(0, tau_f^2) before the data. tau_f is 1 at first; then the fit and

    tau_f^2 = (s + sum_j theta_j^2) / (s + gamma_f),    gamma_f = sum_j (1 - Var(theta_j) / tau_f^2)

take turns (MacKay 1992: the largest marginal likelihood, gamma counting the coefficients that the data, not
the prior, decide; s = 1/2 is the weight of the starting value). With few outcomes gamma is near 0 and tau
stays near 1; a field whose levels do not differ is drawn to nothing, however many levels it has.

A scale is itself known only as well as the nu = s + gamma_f coefficients behind it tell. Intervals are those
under tau_f^2 (1 + 4 / nu), at most 1: with the scales as they are found, intervals of effects that come from
the stated prior would hold them too seldom.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from crmbridge.metrics.need.arrays import Flags, Floats, Ints
from crmbridge.metrics.need.logistic import Fit, covariance, with_precision

START: Final = 1.0
_WEIGHT: Final = 0.5
_ROUNDS: Final = 12
_SETTLED: Final = 0.05
_LEAST: Final = 0.01
_UNSURE: Final = 4.0


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
        counted = np.flatnonzero(seen & (field >= 0))
        effects = np.bincount(field[counted], found.theta[counted] ** 2, minlength=fields)
        gamma = _decided(found, field, seen, scales)
        updated = np.sqrt((_WEIGHT * START**2 + effects) / (_WEIGHT + gamma))
        updated = np.clip(updated, _LEAST, START)
        moved = float(np.max(np.abs(np.log(updated / scales)), initial=0.0))
        scales = updated
        if moved < _SETTLED:
            break
        found = fit_with(precision_of(scales, field), found)
    return scales, found


def _decided(found: Fit, field: Ints, seen: Flags, scales: Floats) -> Floats:
    """gamma: how many coefficients of each field the data decide."""
    variance = np.diag(covariance(found.factor))
    counted = np.flatnonzero(seen & (field >= 0))
    owner = field[counted]
    decided = 1.0 - variance[counted] / scales[owner] ** 2
    return np.asarray(np.bincount(owner, np.clip(decided, 0.0, 1.0), minlength=len(scales)), np.float64)


def with_unsure_scales(found: Fit, field: Ints, seen: Flags, scales: Floats) -> Fit:
    """The fit with the curvature that intervals are made of: under scales as large as they may be."""
    known = _WEIGHT + _decided(found, field, seen, scales)
    wide = np.minimum(scales * np.sqrt(1.0 + _UNSURE / known), START)
    return with_precision(found, precision_of(scales, field), precision_of(wide, field))


def precision_of(scales: Floats, field: Ints) -> Floats:
    """1 / tau^2 per matrix column; 0 for the intercept."""
    return np.where(field >= 0, np.append(scales, np.inf)[field] ** -2.0, 0.0)
