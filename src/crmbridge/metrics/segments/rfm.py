"""RFM scores: recency, frequency and money from 1 (worst) to 5 (best), by fifths of the customers.

The rule for ties: equal values get equal scores, the lowest of the places they share. A score is

    1 + the number of k in 1..4 with value > t_k,    t_k = the value at place ceil(k n / 5) from below

so it is more than k only where at least k fifths of the customers have less. Where all values are alike,
everybody's score is 1. Recency is turned round: the later the last order, the higher.
"""

from __future__ import annotations

import numpy as np

from crmbridge.metrics.arrays import Codes, Floats


def bounds(values: Floats) -> list[float]:
    """t_1 to t_4 of the values that are not NaN; none of none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return []
    places = [-(-k * len(known) // 5) - 1 for k in range(1, 5)]
    return [float(value) for value in np.partition(known, places)[places]]


def scores(values: Floats, of: list[float]) -> Codes:
    """The score of each value by these bounds; 0 for NaN, and where there are no bounds."""
    found = np.ones(len(values), np.int64)
    for bound in of:
        found += values > bound
    found[np.isnan(values) | (not of)] = 0
    return found
