"""What the organisation's own closed records teach about the next step: habits, each with its n."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from crmbridge.metrics.advice.events import (
    CALL,
    DONE,
    EMAIL,
    KINDS,
    MEETING,
    MINUTE,
    MISSED,
    REACHED,
    Events,
    History,
    one,
)
from crmbridge.metrics.advice.rates import Best, Share, best
from crmbridge.metrics.arrays import UNKNOWN_MOMENT, Codes, Floats, Mask, numbers
from crmbridge.metrics.days import DAY, calendar_days

FEWEST: Final = 20
"""Records that came true, below which no silence is called long."""
COLD_SHARE: Final = 0.9
HOPELESS: Final = 0.02
"""A silence after which surely fewer than this share come true."""
FEWEST_HOPELESS: Final = 100
STREAK: Final = 3
"""Calls in a row without an answer after which another channel is thought of."""
QUICK_SHARE: Final = 0.25
_WEEKDAYS, _HOURS = 1, 2
"""Axes of the counts of calls."""


@dataclass(frozen=True)
class Cold:
    """Silence: within `days`, nine of ten records that came true were never quiet for longer (`won` of them
    counted); `longer` and `others` are those that came true among the records that ever were and never were
    quiet for longer."""

    days: int
    won: int
    longer: Share
    others: Share


@dataclass(frozen=True)
class Hopeless:
    """Silence after which surely fewer than 2 % came true."""

    days: int
    share: Share


@dataclass(frozen=True)
class Response:
    """First contact: `minutes` within which the quickest quarter was contacted; who came true among those
    contacted so soon and those contacted later, all of them still open then. `later_per_year`: records of
    the last year contacted later."""

    minutes: float
    quick: Share
    late: Share
    later_per_year: float


@dataclass(frozen=True)
class Learned:
    """All that advice rests on, for one object. `hours` and `weekdays` by industry, "" for all; `overran`
    and `in_time`: deals won of those closed after their expected close, and of those closed by then.
    """

    cold: Cold | None
    hopeless: Hopeless | None
    response: Response | None
    hours: Mapping[str, Best]
    weekdays: Mapping[str, Best]
    channels: Mapping[str, Share]
    after_streak: Share
    after_no_show: Share
    filled: Mapping[str, Share]
    overran: Share
    in_time: Share

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Learned:
        cold, hopeless, response = (found[name] for name in ("cold", "hopeless", "response"))
        return cls(
            cold=cold and Cold(cold["days"], cold["won"], Share(**cold["longer"]), Share(**cold["others"])),
            hopeless=hopeless and Hopeless(hopeless["days"], Share(**hopeless["share"])),
            response=response
            and Response(
                response["minutes"],
                Share(**response["quick"]),
                Share(**response["late"]),
                response["later_per_year"],
            ),
            hours=_bests(found["hours"]),
            weekdays=_bests(found["weekdays"]),
            channels={name: Share(**each) for name, each in found["channels"].items()},
            after_streak=Share(**found["after_streak"]),
            after_no_show=Share(**found["after_no_show"]),
            filled={name: Share(**each) for name, each in found["filled"].items()},
            overran=Share(**found["overran"]),
            in_time=Share(**found["in_time"]),
        )


def _bests(found: Mapping[str, Any]) -> dict[str, Best]:
    read = {name: Best.from_json(each) for name, each in found.items()}
    return {name: each for name, each in read.items() if each is not None}


def learn(history: History, now: int, zone: ZoneInfo) -> Learned:
    """Learn from a history as of `now` (microseconds)."""
    events = history.events.of_rows(history.sampled)
    silence = _longest_silence(history, events, zone)
    won = history.outcomes.positive
    overran, in_time = _overran(history, zone)
    return Learned(
        cold=_cold(silence, won),
        hopeless=_hopeless(silence, won),
        response=_response(history, events, now),
        hours=_best_of(history, over=_WEEKDAYS),
        weekdays=_best_of(history, over=_HOURS),
        channels={
            name: Share(int(row.sum()), int(row[1]))
            for name, row in zip(KINDS, history.channels, strict=True)
            if row.sum()
        },
        after_streak=_after_streak(events),
        after_no_show=_after_no_show(events),
        filled=_filled(history),
        overran=overran,
        in_time=in_time,
    )


def _longest_silence(history: History, events: Events, zone: ZoneInfo) -> Floats:
    """Days without any contact, at most, between a record's first contact and its end; NaN without one."""
    longest = np.full(len(history.outcomes), np.nan)
    if not len(events.row):
        return longest
    day = calendar_days(events.at, zone)
    end = history.outcomes.end[events.row]
    ended = np.where(end == UNKNOWN_MOMENT, events.at, end)
    last = np.append(events.row[1:] != events.row[:-1], True)
    until = np.where(last, calendar_days(ended, zone), np.append(day[1:], 0))
    quiet = np.maximum(until - day, 0).astype(np.float64)
    np.fmax.at(longest, events.row, quiet)
    return longest


def _cold(silence: Floats, won: Mask) -> Cold | None:
    known = np.isfinite(silence)
    theirs = np.sort(silence[known & won])
    if len(theirs) < FEWEST:
        return None
    days = int(theirs[int(np.ceil(COLD_SHARE * len(theirs))) - 1])
    longer = known & (silence > days)
    return Cold(
        days=max(days, 1),
        won=len(theirs),
        longer=_share(won, longer),
        others=_share(won, known & ~longer),
    )


def _hopeless(silence: Floats, won: Mask) -> Hopeless | None:
    """The shortest silence after which surely fewer than 2 % came true."""
    known = np.isfinite(silence)
    if int((known & won).sum()) < FEWEST:
        return None
    order = np.argsort(-silence[known], kind="stable")
    longest, came = silence[known][order], won[known][order]
    number, hits = np.arange(1, len(order) + 1), np.cumsum(came)
    ends = np.append(longest[1:] != longest[:-1], True)
    found = None
    for n, x, days in zip(number[ends], hits[ends], longest[ends], strict=True):
        share = Share(int(n), int(x))
        if n >= FEWEST_HOPELESS and share.high < HOPELESS:
            found = Hopeless(int(max(days - 1, 1)), share)
        elif x > HOPELESS * n and n >= FEWEST_HOPELESS:
            break
    return found


def _share(won: Mask, of: Mask) -> Share:
    return Share(int(of.sum()), int((won & of).sum()))


def _response(history: History, events: Events, now: int) -> Response | None:
    """The first contact of ours after the creation, of the records created and closed."""
    outcomes = history.outcomes
    ours = np.flatnonzero(~events.inbound)
    first = np.full(len(outcomes), UNKNOWN_MOMENT)
    first[events.row[ours][::-1]] = events.at[ours][::-1]
    created, end = outcomes.created, outcomes.end
    known = (
        history.sampled & (first != UNKNOWN_MOMENT) & (created != UNKNOWN_MOMENT) & (end != UNKNOWN_MOMENT)
    )
    if int(known.sum()) < 2 * FEWEST:
        return None
    waited = np.where(known, np.maximum(first - created, 0), 0)
    limit = int(np.quantile(waited[known], QUICK_SHARE, method="higher"))
    limit = max(limit, MINUTE)
    # Who had ended by then could not have been late: only who was still open is compared.
    alive = known & (end - created > limit)
    quick = alive & (waited <= limit)
    late = alive & (waited > limit)
    closed = int(outcomes.closed.sum())
    weight = closed / max(int(history.sampled.sum()), 1)
    a_year = float((late & (created >= now - 365 * DAY)).sum()) * weight
    won = outcomes.positive
    return Response(round(limit / MINUTE, 1), _share(won, quick), _share(won, late), a_year)


def _best_of(history: History, over: int) -> dict[str, Best]:
    """The best slot of all, and of each industry where it has one of its own; summed `over` the other
    axis."""
    by_like = history.calls.sum(axis=over)
    found = {}
    for name, counts in (("", by_like.sum(axis=0)), *zip(history.likes[1:], by_like[1:], strict=True)):
        slot = best(counts.sum(axis=1), counts[:, 1])
        if slot is not None:
            found[name] = slot
    return found


def unanswered(events: Events, records: int) -> tuple[Codes, Codes]:
    """Per record, the calls not answered and the e-mails not replied to since anybody last was reached."""
    position = np.arange(len(events.row))
    heard = (events.state == REACHED) | events.inbound
    since = np.full(records, -1)
    np.maximum.at(since, events.row[heard], position[heard])
    open_ = position > since[events.row]
    calls = np.bincount(
        events.row[open_ & (events.kind == CALL) & (events.state == MISSED)], minlength=records
    )
    mails = np.bincount(events.row[open_ & (events.kind == EMAIL)], minlength=records)
    return calls, mails


def _after_streak(events: Events) -> Share:
    """How many calls were answered that came after STREAK or more unanswered ones in a row."""
    call = (events.kind == CALL) & ~events.inbound & ((events.state == REACHED) | (events.state == MISSED))
    row, missed = events.row[call], events.state[call] == MISSED
    if len(row) <= STREAK:
        return Share(0, 0)
    after = np.ones(len(row), bool)
    after[:STREAK] = False
    for back in range(1, STREAK + 1):
        after[back:] &= missed[:-back] & (row[back:] == row[:-back])
    return Share(int(after.sum()), int((after & ~missed).sum()))


def _after_no_show(events: Events) -> Share:
    """How many meetings took place that came next after one that was missed."""
    meeting = (events.kind == MEETING) & (events.state != DONE)
    row, held = events.row[meeting], events.state[meeting] == REACHED
    if len(row) < 2:
        return Share(0, 0)
    after = ~held[:-1] & (row[1:] == row[:-1])
    return Share(int(after.sum()), int((after & held[1:]).sum()))


def _filled(history: History) -> dict[str, Share]:
    """Of the deals that are over, how many carried the field."""
    if "amount" not in history.records.column_names:
        return {}
    closed = history.outcomes.closed
    found = {}
    for name in ("amount", "expected_close"):
        column = history.records[name]
        there = (
            np.isfinite(numbers(column.combine_chunks()))
            if name == "amount"
            else column.is_valid().to_numpy()
        )
        found[name] = _share(there, closed)
    return found


def _overran(history: History, zone: ZoneInfo) -> tuple[Share, Share]:
    """Who was won of the deals closed after the day they were expected to close, and of those by then."""
    outcomes = history.outcomes
    if "expected_close" not in history.records.column_names:
        return Share(0, 0), Share(0, 0)
    expected = one(history.records, "expected_close").cast(pa.int32()).cast(pa.int64())
    known = outcomes.closed & (outcomes.end != UNKNOWN_MOMENT) & np.asarray(expected.is_valid())
    end = calendar_days(np.where(known, outcomes.end, 0), zone)
    late = end > np.asarray(expected.fill_null(0))
    return _share(outcomes.positive, known & late), _share(outcomes.positive, known & ~late)
