"""Whether the newest records are still like those that were learned from, and end like them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from crmbridge.metrics.need.calibrate import recalibration
from crmbridge.metrics.need.card import first_cases
from crmbridge.metrics.need.design import AGE, Matrix
from crmbridge.metrics.need.evaluate import estimate
from crmbridge.metrics.need.leaks import SHIFT, stability
from crmbridge.metrics.need.logistic import probability
from crmbridge.metrics.need.owners import OWNER_RECORD
from crmbridge.metrics.need.snapshots import Training
from crmbridge.metrics.need.tested import Level, Tested

_GROWS: Final = {AGE, OWNER_RECORD, "orders", "days_since_first_order", "account_orders"}
"""Inputs that grow as time goes by: that the newest records have others says nothing."""


def drift(
    matrix: Matrix, training: Training, tested: Tested | None, level: Level, label: Callable[[str], str]
) -> dict[str, Any] | None:
    """What has changed since the older records; None without a split in time.

    `features`: the population stability index (PSI, less what chance makes of it) of each input, newest
    records against older ones as of their first case. `calibration`: what the model fitted to the older ones
    predicted for the newest, and what came.
    """
    if tested is None or tested.kind == "folds":
        return None
    first = first_cases(training)
    newest = np.zeros(len(training.cases), np.bool_)
    newest[tested.rows] = True
    older, newer = first[~newest[first]], first[newest[first]]
    if tested.kind == "period":  # an account's cases are years apart: each is a first one of its year
        older, newer = np.flatnonzero(~newest), np.flatnonzero(newest)
    index = {
        field.name: stability(group[older], group[newer], field.groups)
        for field, group in zip(matrix.design.fields, matrix.groups, strict=True)
        if field.name not in _GROWS
    }
    ranked = sorted(index, key=lambda name: (-index[name], name))
    logit = tested.published(level)
    p, y = probability(logit), tested.y
    predicted, observed = float(p.mean()), float(y.mean())
    residual = y - p
    off = estimate(observed - predicted, (residual - residual.mean()) / len(y), tested.group)
    found = recalibration(logit, y, tested.records / len(y))
    moved = [name for name in ranked if index[name] > SHIFT]
    return {
        "features": [{"name": name, "label": label(name), "psi": index[name]} for name in ranked],
        "calibration": {
            "predicted": predicted,
            "observed": observed,
            "difference": off.as_json(),
            **found.as_json(),
        },
        "moved": moved,
        "shown": found.shown or bool(moved),
    }
