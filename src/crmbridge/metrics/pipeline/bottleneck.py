"""Where the process hurts: what the waiting in each stage costs, in days of deals and in money."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from crmbridge.metrics.arrays import Codes, Floats, Mask
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import DAY, Micros, micros
from crmbridge.metrics.pipeline.deals import Deals
from crmbridge.metrics.pipeline.stays import Stays
from crmbridge.metrics.pipeline.times import quantiles

YEAR: Final = 365
FEWEST: Final = 20
"""Ended stays of the year a stage needs to be compared with itself."""
Z90: Final = 1.6448536269514722
SCHEMA: Final = pa.schema(
    [
        ("stage", pa.string()),
        ("stays", pa.int64()),
        ("best_days", pa.float64()),
        ("typical_days", pa.float64()),
        ("deal_days_lost", pa.float64()),
        ("deal_days_lost_low", pa.float64()),
        ("deal_days_lost_high", pa.float64()),
        ("money_delayed", pa.float64()),
        ("money_delayed_low", pa.float64()),
        ("money_delayed_high", pa.float64()),
        ("win_rate", pa.float64()),
        ("is_bottleneck", pa.bool_()),
        ("is_sure", pa.bool_()),
    ]
)


def bottlenecks(
    frame: Frame,
    deals: Deals,
    stays: Stays,
    days: Floats,
    ended: Mask,
    stages: Sequence[str],
    order: Sequence[int],
) -> pa.Table:
    """One row per stage that is no end, in order: what a year of waiting there costs.

    Of the stays that ended within the year before the moment, or go on (`days` and `ended` of
    `times.lasted`), `best_days` is the time within which the quickest quarter left. Every day of the year
    beyond it is *lost*: `deal_days_lost` is their sum. `money_delayed` weights each with the deal's amount,
    its stage's win rate, and 1 / 365: how much expected revenue waited there on an average day. Both with
    90 % intervals: what another year's deals of the same kind would give, sum +- 1.645 sqrt(sum of squares).
    The bottleneck is the stage with the most deal-days lost, surely so where its interval lies above all
    others'. Nothing is said of a stage with fewer than 20 ended stays, and nothing of money where amounts are
    in several currencies or missing.
    """
    now = micros(frame.moment)
    following = np.append(stays.since[1:], 0) if len(stays.since) else stays.since
    until = np.where(stays.is_last, deals.closed_at[stays.deal], following)
    until = np.minimum(np.where(ended, until, now), now)
    recent = np.isfinite(days) & (until >= now - YEAR * DAY)
    rows = []
    for stage in order:
        of = np.flatnonzero(recent & (stays.stage == stage))
        row: dict[str, Any] = dict.fromkeys(SCHEMA.names) | {"stage": stages[stage], "stays": len(of)}
        row |= {"is_bottleneck": False, "is_sure": False}
        if int(ended[of].sum()) >= FEWEST:
            row |= _priced(deals, stays, of, days[of], ended[of], until[of], now, stage)
        rows.append(row)
    lost = [row["deal_days_lost"] or 0.0 for row in rows]
    if any(lost):
        worst = int(np.argmax(lost))
        others = [row["deal_days_lost_high"] or 0.0 for place, row in enumerate(rows) if place != worst]
        rows[worst]["is_bottleneck"] = True
        rows[worst]["is_sure"] = rows[worst]["deal_days_lost_low"] > max(others, default=0.0)
    return pa.Table.from_pylist(rows, SCHEMA)


def _priced(
    deals: Deals,
    stays: Stays,
    of: Codes,
    days: Floats,
    ended: Mask,
    until: Micros,
    now: int,
    stage: int,
) -> dict[str, Any]:
    best, typical = quantiles(days, ended, (0.25, 0.5))
    row = {"best_days": best, "typical_days": typical, "win_rate": _win_rate(deals, stays, stage)}
    if best is None:
        return row
    from_then_on = np.maximum(until - days * DAY + best * DAY, now - YEAR * DAY)
    lost = np.maximum((until - from_then_on) / DAY, 0.0)
    row |= _sum("deal_days_lost", lost)
    amounts = deals.amount[stays.deal[of]]
    priced = np.isfinite(amounts) & (amounts > 0)
    if not deals.several_currencies and priced.any() and row["win_rate"] is not None:
        row |= _sum("money_delayed", np.where(priced, amounts, 0.0) * row["win_rate"] * lost / YEAR)
    return row


def _win_rate(deals: Deals, stays: Stays, stage: int) -> float | None:
    """Of the ended deals that ever were in the stage, the share won."""
    there = np.unique(stays.deal[stays.stage == stage])
    closed = there[~deals.open[there]]
    return float(deals.won[closed].mean()) if len(closed) else None


def _sum(name: str, parts: Floats) -> dict[str, float]:
    total, spread = float(parts.sum()), Z90 * float(np.sqrt((parts**2).sum()))
    return {name: total, f"{name}_low": max(total - spread, 0.0), f"{name}_high": total + spread}
