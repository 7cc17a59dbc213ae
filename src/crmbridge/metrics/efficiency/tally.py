"""The sums behind E, R and O: one pass over the activities, the deals and the orders, piece by piece.

Everything is summed per rep, account, deal and channel over two windows, and per month of the zone, at once:
memory grows with the number of reps, accounts, deals and months, and with the activities on a deal that come
before its first known communication, never with the number of activities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.arrays import (
    UNKNOWN_MOMENT,
    Codes,
    Floats,
    Ids,
    among,
    moments,
    numbers,
    pieces,
    truths,
)
from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.days import SECOND, Micros, days_between, micros, months, window_start
from crmbridge.metrics.efficiency.deals import Deals, one_array
from crmbridge.metrics.efficiency.sums import Sums
from crmbridge.model.columns import attribute_column, untag

Grouping = Literal["rep", "team", "account", "deal", "deal_type", "channel"]
COMMUNICATIONS: Final = ("call", "meeting", "email")
LONGEST: Final = 366 * 86_400
"""Seconds an activity can last: what is longer has a wrong date."""
POSITIVE: Final = ("connected", "held", "replied")
ROLE: Final = "role"
"""The setting `team` for the rep's own role; anything else names an attribute of the CRM."""


@dataclass(frozen=True)
class Tally:
    """All sums of a frame.

    `groups` names the groups of each grouping: ids of reps, accounts and deals; names of teams and deal
    types; kinds of communications. `sums` holds each grouping's sums over the window and the one before,
    `window` those of the organisation (group 0), `month` those of every month there is. `spent` are the hours
    on each deal so far. `left_out` counts what could not be used, by reason. With several currencies among
    the won deals their amounts do not add up to anything.
    """

    groups: Mapping[Grouping, pa.Array]
    sums: Mapping[Grouping, Sums]
    window: Sums
    month: Sums
    spent: Floats
    left_out: Mapping[str, int]
    several_currencies: bool
    start: datetime
    end: datetime


def tally(frame: Frame, settings: MetricSettings) -> Tally:
    """Sum up the frame: over the window before its moment, over the one before that, and over every month."""
    return _Tallying(frame, settings).result()


class _Tallying:
    def __init__(self, frame: Frame, settings: MetricSettings) -> None:
        self.frame, self.settings = frame, settings
        self.start = window_start(frame.moment, frame.zone, settings.window_days)
        before = window_start(frame.moment, frame.zone, 2 * settings.window_days)
        self.first, self.first_before, self.last = map(micros, (self.start, before, frame.moment))
        self.reps = Ids(one_array(frame.table("rep", ("id",)), "id"))
        self.accounts = Ids(one_array(frame.table("account", ("id",)), "id"))
        self.rep, self.account, self.deal, self.channel = Sums(), Sums(), Sums(), Sums()
        self.window, self.month = Sums(), Sums()
        self.left_out = {
            "without_date": 0,
            "negative_duration": 0,
            "longer_than_a_year": 0,
            "fulfilled_before_ordered": 0,
        }
        self.deals = Deals(frame)
        self.account_of_deal = self.accounts.number(self.deals.account_id)

    def result(self) -> Tally:
        self._activities()
        self._closed_deals()
        self._orders()
        teams, team_of_rep = self._teams()
        types = Ids(pa.array([], pa.string()))
        type_of_deal = types.number(self.deals.type)
        return Tally(
            groups={
                "rep": self.reps.values,
                "team": teams,
                "account": self.accounts.values,
                "deal": self.deals.ids.values,
                "deal_type": types.values,
                "channel": pa.array(COMMUNICATIONS, pa.string()),
            },
            sums={
                "rep": self.rep,
                "team": self.rep.grouped(team_of_rep, len(teams)),
                "account": self.account,
                "deal": self.deal,
                "deal_type": self.deal.grouped(type_of_deal, len(types)),
                "channel": self.channel,
            },
            window=self.window,
            month=self.month,
            spent=self.deals.hours(),
            left_out=self.left_out,
            several_currencies=self.deals.several_currencies,
            start=self.start,
            end=self.frame.moment,
        )

    def _add(
        self, at: Micros, groups: Mapping[Grouping, Codes], measures: Mapping[str, Floats | None]
    ) -> None:
        """Add rows that happened at these moments, none of them later than the frame's."""
        self.month.add(months(at, self.frame.zone), np.zeros(1, np.int64), measures)
        recent = at >= self.first_before
        if not recent.any():
            return
        window = (at[recent] < self.first).astype(np.int64)
        cut = {name: None if values is None else values[recent] for name, values in measures.items()}
        self.window.add(np.zeros(len(window), np.int64), window, cut)
        sums = {"rep": self.rep, "account": self.account, "deal": self.deal, "channel": self.channel}
        for grouping, codes in groups.items():
            sums[grouping].add(codes[recent], window, cut)

    def _activities(self) -> None:
        columns = ("kind", "owner_id", "account_id", "deal_id", "started_at", "created_at", "ended_at")
        kinds = pa.array(COMMUNICATIONS, pa.string())
        for piece in pieces(self.frame, "activity", (*columns, "duration", "outcome", "is_completed")):
            begun = moments(pc.coalesce(piece["started_at"], piece["created_at"]))
            done = truths(piece["is_completed"], unknown=True)
            self.left_out["without_date"] += int((done & (begun == UNKNOWN_MOMENT)).sum())
            done &= (begun != UNKNOWN_MOMENT) & (begun <= self.last)
            if not done.all():
                piece = piece.filter(pa.array(done))
                begun = begun[done]
            hours = self._hours(piece)
            channel: Codes = pc.fill_null(pc.index_in(piece["kind"], value_set=kinds), -1).to_numpy()
            communication = channel >= 0
            deal = self.deals.ids.find(piece["deal_id"])
            self.deals.spend(deal, begun, hours, communication)

            spoken = pa.array(communication)
            deal = deal[communication]
            account = self.accounts.number(piece["account_id"].filter(spoken))
            through_deal = (account < 0) & (deal >= 0)
            account = account.copy()
            account[through_deal] = self.account_of_deal[deal[through_deal]]
            time, outcome = hours[communication], piece["outcome"].filter(spoken)
            measured = np.isfinite(time)
            self._add(
                begun[communication],
                {
                    "rep": self.reps.number(piece["owner_id"].filter(spoken)),
                    "account": account,
                    "deal": deal,
                    "channel": channel[communication].astype(np.int64),
                },
                {
                    "communications": None,
                    "measured": measured.astype(np.float64),
                    "outcomes_known": truths(outcome.is_valid(), unknown=False).astype(np.float64),
                    "successes": (among(outcome, POSITIVE) & measured).astype(np.float64),
                    "communication_hours": np.where(measured, time, 0.0),
                },
            )

    def _hours(self, piece: pa.RecordBatch) -> Floats:
        """Hours of each activity; NaN where not measured. A meeting's may come from its beginning and end."""
        seconds = numbers(piece["duration"])
        begun, ended = moments(piece["started_at"]), moments(piece["ended_at"])
        spanned = among(piece["kind"], ("meeting",)) & np.isnan(seconds)
        spanned &= (begun != UNKNOWN_MOMENT) & (ended != UNKNOWN_MOMENT)
        seconds = np.where(spanned, (ended - begun) / SECOND, seconds)
        negative, endless = seconds < 0, seconds > LONGEST
        self.left_out["negative_duration"] += int(negative.sum())
        self.left_out["longer_than_a_year"] += int(endless.sum())
        hours: Floats = np.where(negative | endless, np.nan, seconds / 3600)
        return hours

    def _closed_deals(self) -> None:
        deals = self.deals
        self.left_out["without_date"] += int((deals.closed & (deals.closed_at == UNKNOWN_MOMENT)).sum())
        counted = deals.closed & (deals.closed_at != UNKNOWN_MOMENT) & (deals.closed_at <= self.last)
        hours = deals.hours()[counted]
        won = deals.won[counted].astype(np.float64)
        chosen = pa.array(counted)
        self._add(
            deals.closed_at[counted],
            {
                "rep": self.reps.number(deals.owner_id.filter(chosen)),
                "account": self.accounts.number(deals.account_id.filter(chosen)),
                "deal": np.flatnonzero(counted),
            },
            {
                "won": won,
                "lost": 1.0 - won,
                "followed": (hours > 0).astype(np.float64),
                "won_amount": won * np.nan_to_num(deals.amount[counted], posinf=0.0, neginf=0.0),
                "follow_up_hours": hours,
            },
        )

    def _orders(self) -> None:
        columns = ("owner_id", "account_id", "deal_id", "ordered_at", "fulfilled_at")
        for piece in pieces(self.frame, "order", columns):
            ordered, fulfilled = moments(piece["ordered_at"]), moments(piece["fulfilled_at"])
            known = (fulfilled != UNKNOWN_MOMENT) & (fulfilled <= self.last)
            undated = known & (ordered == UNKNOWN_MOMENT)
            backward = known & ~undated & (fulfilled < ordered)
            self.left_out["without_date"] += int(undated.sum())
            self.left_out["fulfilled_before_ordered"] += int(backward.sum())
            timed = ~(undated | backward)[known]
            chosen = pa.array(known)
            ended = fulfilled[known]
            days = np.zeros(len(ended))
            days[timed] = self._processing_days(ordered[known][timed], ended[timed])
            account = self.accounts.number(piece["account_id"].filter(chosen))
            self._add(
                ended,
                {
                    "rep": self.reps.number(piece["owner_id"].filter(chosen)),
                    "account": account,
                    "deal": self.deals.ids.find(piece["deal_id"].filter(chosen)),
                },
                {
                    "orders_seen": None,
                    "orders_fulfilled": timed.astype(np.float64),
                    "processing_days": days,
                },
            )

    def _processing_days(self, ordered: Micros, fulfilled: Micros) -> Floats:
        if self.settings.order_days == "working":
            return self.settings.calendar.working_days(ordered, fulfilled, self.frame.zone)
        return days_between(ordered, fulfilled, self.frame.zone)

    def _teams(self) -> tuple[pa.Array, Codes]:
        """The names of the teams in their order, and the team of each rep, -1 for none."""
        own = self.settings.team == ROLE
        column = ROLE if own else attribute_column(self.settings.team)
        table = self.frame.table("rep", ("id", column))
        cells = one_array(table, column).dictionary_encode()
        names = [name if own else untag(name) for name in cells.dictionary.to_pylist()]
        spelled = ["" if name is None else str(name).strip() for name in names]
        teams = sorted({name for name in spelled if name})
        place = {name: number for number, name in enumerate(teams)}
        of_cell = np.array([place.get(name, -1) for name in spelled] + [-1], np.int64)
        team_of_rep = np.full(len(self.reps), -1, np.int64)
        # The reps that the CRM knows are numbered first, in the table's order.
        team_of_rep[: table.num_rows] = of_cell[pc.fill_null(cells.indices, len(spelled)).to_numpy()]
        return pa.array(teams, pa.string()), team_of_rep
