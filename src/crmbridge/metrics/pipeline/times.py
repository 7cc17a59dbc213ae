"""How long deals stay in a stage, those that are still there included.

Kaplan and Meier (1958): of the stays that have lasted as long, the share that ended on that day,

    S(t) = product over u <= t of (1 - ended(u) / at_risk(u))

A stay that goes on counts as at risk until now, so a stage full of waiting deals does not look quick. The
q quantile is the first t with 1 - S(t) >= q.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crmbridge.metrics.arrays import UNKNOWN_MOMENT, Floats, Mask
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import days_between, micros
from crmbridge.metrics.pipeline.deals import Deals
from crmbridge.metrics.pipeline.stays import Stays


def lasted(frame: Frame, deals: Deals, stays: Stays) -> tuple[Floats, Mask]:
    """Days of every stay so far (NaN where its start or end is not known), and whether it has ended.

    It ends with the next change, with the deal's closing, or goes on.
    """
    days, ended = stays.days(frame), ~stays.is_last
    last = np.flatnonzero(stays.is_last & (stays.since != UNKNOWN_MOMENT))
    deal = stays.deal[last]
    closed = ~deals.open[deal]
    until = np.where(closed, deals.closed_at[deal], micros(frame.moment))
    known = (until != UNKNOWN_MOMENT) & (until >= stays.since[last])
    days[last[known]] = days_between(stays.since[last[known]], until[known], frame.zone)
    ended[last] = closed
    return days, ended


def quantiles(days: Floats, ended: Mask, shares: Sequence[float]) -> list[float | None]:
    """The days within which these shares have left (`shares` ascending); None where too many are still there.

    `days` are finite.
    """
    order = np.argsort(days, kind="stable")
    sorted_days, left = days[order], ended[order]
    times, starts = np.unique(sorted_days, return_index=True)
    ends = np.add.reduceat(left.astype(np.int64), starts) if len(times) else np.zeros(0, np.int64)
    at_risk = len(days) - starts
    gone = 1.0 - np.cumprod(1.0 - ends / np.maximum(at_risk, 1))
    found: list[float | None] = []
    for share in shares:
        place = int(np.searchsorted(gone, share - 1e-12))
        found.append(float(times[place]) if place < len(times) else None)
    return found
