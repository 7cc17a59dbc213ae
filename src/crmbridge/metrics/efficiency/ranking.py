"""Ranking with intervals: two whose intervals overlap are not ranked against each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crmbridge.metrics.arrays import Floats


def tiers(low: Floats, high: Floats) -> npt.NDArray[np.int64]:
    """The tier of each, 1 the best. A tier ends where every interval above lies wholly above all those below.

    Two in different tiers never overlap; those in one tier are linked by intervals that do.
    """
    order = np.argsort(-high, kind="stable")
    floor = np.minimum.accumulate(np.concatenate([[np.inf], low[order][:-1]])) if len(low) else low
    tier = np.empty(len(low), np.int64)
    tier[order] = np.cumsum(high[order] < floor)
    return tier


def surpassed(low: Floats, high: Floats) -> npt.NDArray[np.int64]:
    """How many of the others each one is better than: those whose whole interval lies below its own."""
    counted: npt.NDArray[np.int64] = np.searchsorted(np.sort(high), low, side="left").astype(np.int64)
    return counted
