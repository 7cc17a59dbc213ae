"""The deals' history in days, and what was known of it on any day.

Days are fractions of local days since 1970-01-01: whole numbers are midnights of the connection's zone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crmbridge.metrics.arrays import UNKNOWN_MOMENT, Codes, Floats, Ids, Mask
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import DAY, Micros, micros, wall_clock
from crmbridge.metrics.pipeline.deals import Deals
from crmbridge.metrics.pipeline.stays import stays

_MONTHS_BEFORE_1970 = 1969 * 12


@dataclass(frozen=True)
class History:
    """One entry per deal of the main currency, and one per stay of these deals in a stage.

    `created` and `closed` are NaN where unknown; `closed` is infinite where the deal is open. A deal that was
    closed nobody knows when counts nowhere. `until` is when
    a stay ended: the next change, the deal's closing, or infinite. `amount` is NaN where there is none.
    """

    ids: pa.Array
    created: Floats
    closed: Floats
    won: Mask
    amount: Floats
    stages: int
    stay_deal: Codes
    stay_stage: Codes
    since: Floats
    until: Floats
    now: float
    currency: str | None
    other_currencies: int

    @classmethod
    def of(cls, frame: Frame) -> History:
        """The history up to the frame's moment."""
        deals = Deals.of(frame)
        currency, of_main = _currency(frame, deals)
        now = _days(np.array([micros(frame.moment)]), frame)[0]
        created, closed = _days(deals.created_at, frame), _days(deals.closed_at, frame)
        closed = np.where(deals.open, np.inf, np.maximum(closed, created))
        found = stays(frame, deals)
        since = _days(found.since, frame)
        following = np.append(since[1:], np.nan)
        until = np.where(found.is_last, closed[found.deal], np.fmin(following, closed[found.deal]))
        kept = of_main[found.deal]
        number = np.cumsum(of_main) - 1
        return cls(
            ids=deals.ids.values.filter(pa.array(of_main)),
            created=created[of_main],
            closed=closed[of_main],
            won=deals.won[of_main],
            amount=deals.amount[of_main],
            stages=len(deals.stages.values),
            stay_deal=number[found.deal[kept]],
            stay_stage=found.stage[kept].astype(np.int64),
            since=since[kept],
            until=until[kept],
            now=float(now),
            currency=currency,
            other_currencies=int((~of_main).sum()),
        )

    def won_between(self, start: float, end: float) -> Mask:
        """Deals won from `start` until before `end`."""
        return self.won & (self.closed >= start) & (self.closed < end)

    def revenue(self, start: float, end: float) -> float:
        """The amounts of the deals won from `start` until before `end`."""
        return float(np.nansum(self.amount[self.won_between(start, end)]))

    def open_on(self, day: float) -> Codes:
        """The deals that were there and open at the instant `day`; at `now` also those without a creation."""
        there = self.created < day
        if day >= self.now:
            there |= np.isnan(self.created)
        return np.flatnonzero(there & (self.closed >= day))

    def stand_on(self, day: float) -> tuple[Codes, Floats]:
        """The stage of every deal at the instant `day` (-1: none known), and since when it was there."""
        begun = np.flatnonzero((self.since < day) | (np.isnan(self.since) & (day >= self.now)))
        stage, since = np.full(len(self.created), -1), np.full(len(self.created), np.nan)
        stage[self.stay_deal[begun]] = self.stay_stage[begun]  # stays are in time: the last one stands
        since[self.stay_deal[begun]] = self.since[begun]
        return stage, since


def month_of(day: float) -> int:
    """The calendar month of a day, as `days.months` counts them."""
    month = np.datetime64(int(np.floor(day)), "D").astype("datetime64[M]").astype(np.int64)
    return int(month) + _MONTHS_BEFORE_1970


def first_day(month: int) -> float:
    """The first midnight of a calendar month."""
    start = np.datetime64(month - _MONTHS_BEFORE_1970, "M").astype("datetime64[D]").astype(np.int64)
    return float(start)


def _days(moments: Micros, frame: Frame) -> Floats:
    known = moments != UNKNOWN_MOMENT
    days = np.full(len(moments), np.nan)
    days[known] = wall_clock(moments[known], frame.zone) / DAY
    return days


def _currency(frame: Frame, deals: Deals) -> tuple[str | None, npt.NDArray[np.bool_]]:
    """The currency that most deals have, and which deals have it or none."""
    table = frame.table("deal", ("id", "currency"))
    names = Ids(pa.array([], pa.string()))
    code = np.full(len(deals.ids), -1)
    code[deals.ids.find(table["id"].combine_chunks())] = names.number(table["currency"].combine_chunks())
    if not len(names):
        return None, np.ones(len(code), bool)
    main = int(np.bincount(code[code >= 0]).argmax())
    return names.values[main].as_py(), (code == main) | (code == -1)
