"""Where a score has been going: the score now against that of a month ago."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

TREND_DAYS: Final = 30
TREND_POINTS: Final = 5.0
"""A score that moved by this many points in that many days is rising or falling."""


def score_trends(now: npt.NDArray[np.float64], before: npt.NDArray[np.float64]) -> npt.NDArray[np.str_]:
    """rising, steady or falling per score in points; new where there was none (NaN)."""
    moved = now - before
    words = np.where(moved >= TREND_POINTS, "rising", np.where(moved <= -TREND_POINTS, "falling", "steady"))
    return np.where(np.isnan(moved), "new", words)
