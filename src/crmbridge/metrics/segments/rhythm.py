"""Who has been quiet for longer than the customer's own rhythm explains.

A customer with x intervals between orders in the t days from the first order to the last is quiet for more
than u days with the probability

    P(quiet > u) = (1 + u / t)^-x

(gaps exponential with the customer's own rate, of which nothing else is known). Below 5 % the customer is
slipping away, below 0.1 % lost. Orders of one day count once at most: x is at most t.
Source: the predictive distribution of an exponential with Jeffreys' prior; Gelman et al., Bayesian Data
Analysis, 2013, section 2.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from crmbridge.metrics.arrays import Codes, Floats, Mask

SLIPPING, LOST = 0.05, 0.001
FEWEST_INTERVALS: Final = 2


def chance_of_such_a_pause(orders: Codes, days: Codes, quiet: Floats) -> Floats:
    """P(quiet > u) by orders, days from first to last, and quiet days; NaN where no rhythm is known."""
    intervals = np.minimum(orders - 1, days).astype(np.float64)
    known = intervals >= FEWEST_INTERVALS
    span = np.where(known, days, 1).astype(np.float64)
    return np.where(known, np.exp(-intervals * np.log1p(np.maximum(quiet, 0.0) / span)), np.nan)


def slipping(chance: Floats) -> Mask:
    return (chance < SLIPPING) & (chance >= LOST)


def lost(chance: Floats) -> Mask:
    return chance < LOST
