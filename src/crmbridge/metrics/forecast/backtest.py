"""What such forecasts said at the starts of past months, and what came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from crmbridge.metrics.arrays import Floats
from crmbridge.metrics.days import month_name
from crmbridge.metrics.forecast.curves import learn
from crmbridge.metrics.forecast.history import History, first_day, month_of
from crmbridge.metrics.forecast.simulate import simulate, standing

LOOKED_BACK: Final = 12
"""Past months whose forecast is made again."""
SPANS: Final = (1, 3)
"""Months that a tested forecast covers."""
SCHEMA: Final = pa.schema(
    [
        ("month", pa.string()),
        ("months", pa.int64()),
        ("p10", pa.float64()),
        ("p50", pa.float64()),
        ("p90", pa.float64()),
        ("actual", pa.float64()),
        ("naive", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Accuracy:
    """Of forecasts over `months` months: how many, share within P10 to P90, and mean absolute errors.

    The errors are shares of what came (MAPE), over months in which something came; None without any. `naive`
    is the error of saying that the same comes as in as many months before.
    """

    months: int
    forecasts: int
    coverage: float
    error: float | None
    naive: float | None


def backtest(history: History, horizon: int, seed: int) -> pa.Table:
    """One row per past month and span: what was forecast at its start from what was known then, what came,
    and the revenue of as many months before as the naive forecast.

    Amounts are those known today, where the CRM says no more about the past.
    """
    rows = []
    this = month_of(history.now)
    for month in range(this - LOOKED_BACK, this):
        day = first_day(month)
        curves = learn(history, day)
        spans = [span for span in SPANS if month + span <= this]
        if curves is None or not spans:
            continue
        most = max(spans)
        drawn = simulate(history, curves, standing(history, curves, day, most, horizon), day, most, seed)
        for span in spans:
            sums = drawn.total[:, :span].sum(axis=1)
            low, middle, high = np.quantile(sums, (0.1, 0.5, 0.9))
            came = history.revenue(day, first_day(month + span))
            before = history.revenue(first_day(month - span), day)
            rows.append((month_name(month), span, low, middle, high, came, before))
    names = SCHEMA.names
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], SCHEMA)


def accuracy(tested: pa.Table) -> list[Accuracy]:
    """The figures of a backtest, span by span."""
    found = []
    for span in SPANS:
        rows = tested.filter(pa.array(tested["months"].to_numpy() == span))
        if not rows.num_rows:
            continue
        low, middle, high, came, naive = (
            rows[name].to_numpy() for name in ("p10", "p50", "p90", "actual", "naive")
        )
        inside = float(((low <= came) & (came <= high)).mean())
        found.append(Accuracy(span, rows.num_rows, inside, _error(middle, came), _error(naive, came)))
    return found


def _error(said: Floats, came: Floats) -> float | None:
    something = came > 0
    if not something.any():
        return None
    return float((np.abs(said - came)[something] / came[something]).mean())
