"""Whether a rate has changed: this window against the one before, and only where that is sure.

With x events in the time T of this window and x', T' in the one before, rates r | x ~ Gamma(x + 1/2, T) and
r' | x' ~ Gamma(x' + 1/2, T') (Jeffreys), so that

    P(r > r') = P(B > T / (T + T')),  B ~ Beta(x + 1/2, x' + 1/2)
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
from scipy.special import betainc

from crmbridge.metrics.arrays import Floats

SURE: Final = 0.995
"""The chance from which on a direction is called: one group in a hundred is called in error, both ways
together, where nothing has changed."""


def chance_of_rise(counts: Floats, times: Floats, before: Floats, times_before: Floats) -> Floats:
    """The chance that the rate is higher than it was; NaN where either window has no time."""
    known = (times > 0) & (times_before > 0)
    # Of huge and of tiny times only the ratio matters, and it must not overflow.
    share = 1.0 / (1.0 + np.divide(times_before, times, out=np.ones(len(times)), where=known))
    return np.where(known, 1.0 - betainc(counts + 0.5, before + 0.5, share), np.nan)


def trends(chance: Floats) -> pa.Array:
    """`rising` and `falling` where sure, else `unclear`; null where the chance is not known."""
    words = np.where(chance >= SURE, "rising", np.where(chance <= 1.0 - SURE, "falling", "unclear"))
    return pa.array(words, pa.string(), mask=np.isnan(chance))
