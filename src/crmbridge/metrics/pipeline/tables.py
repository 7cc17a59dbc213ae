"""Two tables of the pipeline as a whole: what became of the deals, and the funnel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from scipy.special import betaincinv

from crmbridge.metrics.arrays import Floats, Mask
from crmbridge.metrics.base import Frame
from crmbridge.metrics.pipeline.deals import Deals
from crmbridge.metrics.pipeline.stays import NOWHERE, Stays
from crmbridge.metrics.pipeline.times import quantiles


def deal_summary(frame: Frame, deals: Deals, stages: Sequence[str], order: Sequence[int]) -> pa.Table:
    """One row per figure: `figure`, `stage` (of deals open in one), `value` (null where it is not known).

    Counts of won, lost and open deals; the win rate won / (won + lost) with its 90 % interval (Jeffreys); the
    value of the won deals; days from creation to closing.
    """
    won, lost = int(deals.won.sum()), int(deals.lost.sum())
    open_in = np.bincount(deals.stage[deals.open & (deals.stage != NOWHERE)], minlength=len(stages))
    days = deals.days_to_close(frame)
    value = float(np.nansum(deals.amount[deals.won])) if not deals.several_currencies else None
    rate, low, high = _share(won, won + lost)
    ends = [n for n in range(len(stages)) if n not in set(order) and open_in[n]]
    rows: list[tuple[str, str | None, float | None]] = [
        ("deals", None, len(deals.ids)),
        ("won", None, won),
        ("lost", None, lost),
        ("open", None, int(deals.open.sum())),
        *(("open", stages[n], int(open_in[n])) for n in (*order, *ends)),
        ("win_rate", None, rate),
        ("win_rate_low", None, low),
        ("win_rate_high", None, high),
        ("won_value", None, value),
        ("days_to_close_median", None, _median(days)),
        ("days_to_close_mean", None, float(np.nanmean(days)) if np.isfinite(days).any() else None),
        ("days_to_close_won_median", None, _median(days[deals.won])),
        ("days_to_close_lost_median", None, _median(days[deals.lost])),
    ]
    types = pa.schema([("figure", pa.string()), ("stage", pa.string()), ("value", pa.float64())])
    return pa.table([pa.array(column) for column in zip(*rows, strict=True)], types.names).cast(types)


def funnel(
    deals: Deals,
    stays: Stays,
    last: Mask,
    days: Floats,
    ended: Mask,
    stages: Sequence[str],
    order: Sequence[int],
) -> pa.Table:
    """One row per stage that is no end, in order: of the deals that were ever there, by their last stay.

    `entered` = `moved_on` (to a later stage, or won) + `moved_back` + `lost` + `still_open`; `median_days`
    within which half have left (`days` and `ended` of `times.lasted`).
    """
    place = np.full(len(stages) + 1, np.iinfo(np.int64).max)  # ends come after everything
    place[list(order)] = np.arange(len(order))
    deal, stage, following = stays.deal[last], stays.stage[last], stays.next_stage[last]
    staying = following == NOWHERE
    leaves_to_end = ~staying & (place[following] == place[-1])
    lost = deals.lost[deal] & (leaves_to_end | staying)
    won = deals.won[deal] & (leaves_to_end | staying)
    still_open = staying & deals.open[deal]
    on = ~staying & ~lost & (place[following] > place[stage])
    back = ~staying & ~lost & ~won & ~on
    number = len(stages)
    counts = {
        "entered": np.bincount(stage, minlength=number),
        "moved_on": np.bincount(stage[on | won], minlength=number),
        "moved_back": np.bincount(stage[back], minlength=number),
        "lost": np.bincount(stage[lost], minlength=number),
        "still_open": np.bincount(stage[still_open], minlength=number),
    }
    known = np.isfinite(days)
    medians = [
        quantiles(days[rows], ended[rows], (0.5,))[0] for rows in (known & (stays.stage == n) for n in order)
    ]
    chosen = list(order)
    return pa.table(
        {"stage": pa.array([stages[n] for n in order], pa.string())}
        | {name: pa.array(column[chosen], pa.int64()) for name, column in counts.items()}
        | {"median_days": pa.array(medians, pa.float64())}
    )


def _median(days: Floats) -> float | None:
    known = days[np.isfinite(days)]
    return float(np.median(known)) if len(known) else None


def _share(hits: int, of: int) -> tuple[float | None, float | None, float | None]:
    """hits / of with its 90 % interval by Jeffreys' prior; None of nothing."""
    if not of:
        return None, None, None
    low, high = betaincinv(hits + 0.5, of - hits + 0.5, [0.05, 0.95])
    return hits / of, float(low) if hits else 0.0, float(high) if hits < of else 1.0
