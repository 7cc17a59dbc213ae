"""The sums behind E, R and O: one pass over the activities, the deals and the orders, piece by piece.

Everything is summed per rep, per account, per month of the zone and over the window at once, so that memory
grows with the number of reps, accounts, deals and months, never with the number of activities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.arrays import (
    UNKNOWN_MOMENT,
    Codes,
    Floats,
    Ids,
    Mask,
    among,
    moments,
    numbers,
    pieces,
    truths,
)
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import SECOND, Micros, days_between, micros, months, window_start

Kind = Literal["communication", "follow_up", "order"]
KINDS: Final[tuple[Kind, ...]] = ("communication", "follow_up", "order")
COMMUNICATIONS: Final = ("call", "meeting", "email")
LONGEST: Final = 366 * 86_400
"""Seconds an activity can last: what is longer has a wrong date."""
POSITIVE: Final = ("connected", "held", "replied")

COUNT: Final[Mapping[Kind, str]] = MappingProxyType(
    {"communication": "successes", "follow_up": "won", "order": "orders_fulfilled"}
)
TIME: Final[Mapping[Kind, str]] = MappingProxyType(
    {"communication": "communication_hours", "follow_up": "follow_up_hours", "order": "processing_days"}
)
MEASURES: Final = (
    *("communications", "measured", "outcomes_known", "successes", "communication_hours"),
    *("won", "lost", "followed", "won_amount", "follow_up_hours"),
    *("orders_fulfilled", "processing_days"),
)


class Sums:
    """Sums of each measure per key, where keys are numbers that may still grow."""

    def __init__(self) -> None:
        self._sums: dict[str, Floats] = {name: np.zeros(0) for name in MEASURES}

    def add(self, keys: Codes, measures: Mapping[str, Floats | None]) -> None:
        """Add a column per measure (None counts rows) to the keys; rows with key -1 belong to nobody."""
        known = keys >= 0
        everybody = bool(known.all())
        own = keys if everybody else keys[known]
        if not len(own):
            return
        for name, values in measures.items():
            weights = values if values is None or everybody else values[known]
            new = np.bincount(own, weights).astype(np.float64, copy=False)
            old = self._sums[name]
            if len(new) < len(old):
                new, old = old, new
            new[: len(old)] += old
            self._sums[name] = new

    def of(self, name: str, number: int) -> Floats:
        """The sums of one measure for the keys 0 to number - 1."""
        found = self._sums[name]
        return (
            np.concatenate([found, np.zeros(number - len(found))]) if len(found) < number else found[:number]
        )


@dataclass(frozen=True)
class Tally:
    """All sums of a frame.

    `rep` and `account` hold the window, by the numbers of `reps` and `accounts`; `window` has the one key 0;
    `month` has every month there is. `left_out` counts what could not be used, by reason. With several
    currencies among the won deals their amounts do not add up to anything.
    """

    reps: pa.Array
    accounts: pa.Array
    rep: Sums
    account: Sums
    window: Sums
    month: Sums
    left_out: Mapping[str, int]
    several_currencies: bool
    start: datetime
    end: datetime


def tally(frame: Frame, window_days: int) -> Tally:
    """Sum up the frame over the `window_days` whole days before its moment, and over every month."""
    return _Tallying(frame, window_days).result()


class _Tallying:
    def __init__(self, frame: Frame, window_days: int) -> None:
        self.frame = frame
        self.start = window_start(frame.moment, frame.zone, window_days)
        self.first, self.last = micros(self.start), micros(frame.moment)
        self.reps = Ids(_ids(frame, "rep"))
        self.accounts = Ids(_ids(frame, "account"))
        self.rep, self.account, self.window, self.month = Sums(), Sums(), Sums(), Sums()
        self.left_out = {
            "without_date": 0,
            "negative_duration": 0,
            "longer_than_a_year": 0,
            "fulfilled_before_ordered": 0,
        }
        self.deals = _Deals(frame)
        self.account_of_deal = self.accounts.number(self.deals.account_id)

    def result(self) -> Tally:
        self._activities()
        self._closed_deals()
        self._orders()
        return Tally(
            reps=self.reps.values,
            accounts=self.accounts.values,
            rep=self.rep,
            account=self.account,
            window=self.window,
            month=self.month,
            left_out=self.left_out,
            several_currencies=self.deals.several_currencies,
            start=self.start,
            end=self.frame.moment,
        )

    def _add(self, at: Micros, rep: Codes, account: Codes, measures: Mapping[str, Floats | None]) -> None:
        """Add rows that happened at these moments, none of them later than the frame's."""
        self.month.add(months(at, self.frame.zone), measures)
        recent = at >= self.first
        if not recent.any():
            return
        cut = {name: None if values is None else values[recent] for name, values in measures.items()}
        self.window.add(np.zeros(int(recent.sum()), np.int64), cut)
        self.rep.add(rep[recent], cut)
        self.account.add(account[recent], cut)

    def _activities(self) -> None:
        columns = ("kind", "owner_id", "account_id", "deal_id", "started_at", "created_at", "ended_at")
        for piece in pieces(self.frame, "activity", (*columns, "duration", "outcome", "is_completed")):
            begun = moments(pc.coalesce(piece["started_at"], piece["created_at"]))
            done = truths(piece["is_completed"], unknown=True)
            self.left_out["without_date"] += int((done & (begun == UNKNOWN_MOMENT)).sum())
            done &= (begun != UNKNOWN_MOMENT) & (begun <= self.last)
            if not done.all():
                piece = piece.filter(pa.array(done))
                begun = begun[done]
            hours = self._hours(piece)
            communication = among(piece["kind"], COMMUNICATIONS)
            deal = self.deals.ids.find(piece["deal_id"])
            self.deals.spend(deal, begun, hours, communication)

            spoken = pa.array(communication)
            account = self.accounts.number(piece["account_id"].filter(spoken))
            through_deal = (account < 0) & (deal[communication] >= 0)
            account = account.copy()
            account[through_deal] = self.account_of_deal[deal[communication][through_deal]]
            time, outcome = hours[communication], piece["outcome"].filter(spoken)
            measured = np.isfinite(time)
            self._add(
                begun[communication],
                self.reps.number(piece["owner_id"].filter(spoken)),
                account,
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
            self.reps.number(deals.owner_id.filter(chosen)),
            self.accounts.number(deals.account_id.filter(chosen)),
            {
                "won": won,
                "lost": 1.0 - won,
                "followed": (hours > 0).astype(np.float64),
                "won_amount": won * np.nan_to_num(deals.amount[counted], posinf=0.0, neginf=0.0),
                "follow_up_hours": hours,
            },
        )

    def _orders(self) -> None:
        for piece in pieces(self.frame, "order", ("owner_id", "account_id", "ordered_at", "fulfilled_at")):
            ordered, fulfilled = moments(piece["ordered_at"]), moments(piece["fulfilled_at"])
            known = (fulfilled != UNKNOWN_MOMENT) & (fulfilled <= self.last)
            self.left_out["without_date"] += int((known & (ordered == UNKNOWN_MOMENT)).sum())
            known &= ordered != UNKNOWN_MOMENT
            backward = known & (fulfilled < ordered)
            self.left_out["fulfilled_before_ordered"] += int(backward.sum())
            known &= ~backward
            chosen = pa.array(known)
            self._add(
                fulfilled[known],
                self.reps.number(piece["owner_id"].filter(chosen)),
                self.accounts.number(piece["account_id"].filter(chosen)),
                {
                    "orders_fulfilled": None,
                    "processing_days": days_between(ordered[known], fulfilled[known], self.frame.zone),
                },
            )


class _Deals:
    """The deals, and the hours spent on each from its first communication on.

    A communication is never before the first one; any other activity may be: those before what is so far
    known as the first wait until all activities were seen.
    """

    def __init__(self, frame: Frame) -> None:
        columns = ("id", "account_id", "owner_id", "amount", "currency", "is_closed", "is_won", "closed_at")
        table = frame.table("deal", columns).combine_chunks()
        column = {name: _array(table, name) for name in columns}
        self.ids = Ids(column["id"])
        self.account_id, self.owner_id = column["account_id"], column["owner_id"]
        self.amount = numbers(column["amount"])
        self.won: Mask = truths(column["is_won"], unknown=False)
        self.closed: Mask = truths(column["is_closed"], unknown=False) | self.won
        self.closed_at = moments(column["closed_at"])
        self.several_currencies = len(column["currency"].filter(pa.array(self.won)).drop_null().unique()) > 1
        self._first = np.full(len(self.ids), np.iinfo(np.int64).max)
        self._hours = np.zeros(len(self.ids))
        self._waiting: list[tuple[Codes, Micros, Floats]] = []

    def spend(self, deal: Codes, begun: Micros, hours: Floats, communication: Mask) -> None:
        """Take note of activities on deals (-1: on none)."""
        on_deal = deal >= 0
        first = on_deal & communication
        np.minimum.at(self._first, deal[first], begun[first])
        measured = on_deal & np.isfinite(hours)
        self._settle(deal[measured], begun[measured], hours[measured])

    def _settle(self, deal: Codes, begun: Micros, hours: Floats) -> None:
        after = begun >= self._first[deal]
        if after.any():
            self._hours += np.bincount(deal[after], hours[after], minlength=len(self._hours))
        if not after.all():
            self._waiting.append((deal[~after], begun[~after], hours[~after]))

    def hours(self) -> Floats:
        """Hours per deal, once every activity was seen."""
        waiting, self._waiting = self._waiting, []
        for deal, begun, hours in waiting:
            after = begun >= self._first[deal]
            self._hours += np.bincount(deal[after], hours[after], minlength=len(self._hours))
        return self._hours


def _ids(frame: Frame, object_name: Literal["rep", "account"]) -> pa.Array:
    return _array(frame.table(object_name, ("id",)).combine_chunks(), "id")


def _array(table: pa.Table, name: str) -> pa.Array:
    column = table[name].combine_chunks()
    return column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)
