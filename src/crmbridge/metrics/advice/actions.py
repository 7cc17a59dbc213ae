"""One next action per open record: the first rule that holds, with the numbers it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from types import ModuleType
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.advice.events import (
    CALL,
    KINDS,
    MEETING,
    MISSED,
    NEVER,
    NO_SHOW,
    REACHED,
    Events,
    History,
)
from crmbridge.metrics.advice.learn import STREAK, Learned, unanswered
from crmbridge.metrics.advice.rates import Share, own_best
from crmbridge.metrics.arrays import UNKNOWN_MOMENT, Codes, Mask
from crmbridge.metrics.days import DAY, HOUR, calendar_days, wall_clock
from crmbridge.model.fields import CATALOGUE

ACTIONS: Final = (
    "hand_over",
    "overdue",
    "planned",
    "close_out",
    "rebook",
    "close_date",
    "first_contact",
    "other_channel",
    "call",
    "move_on",
    "try_again",
    "fill_in",
    "in_touch",
)
"""The rules in their order: the first that holds is the action. What was promised comes before what is due,
what is due before what is usual."""
WITH_TIME: Final = ("first_contact", "call", "try_again", "in_touch")
"""Actions for which it matters at what hour somebody calls."""
QUIET_DAYS: Final = 14
"""Days without a contact after which it is time to call where the history does not say when."""
_SOON: Final = 60
"""Days within which something planned makes any other advice wait."""
_LATE: Final = 3
"""Times the silence after which to call, before which nothing is given up: a call may still help."""
_FIGURE, _DETAIL = 1 << 20, 1 << 12


@dataclass(frozen=True)
class Known:
    """What is known of each open record beside its activities; rows as in the history's records.

    `expected` is the expected close in days since 1970-01-01 (NEVER for none); `stage` the place in `stages`
    of a deal that is stuck, -1 for none, with `in_stage` days; `usual` the days usual per stage; `missing`
    the place in `fields` of the field a deal lacks, -1 for none; `left` whether the owner is not active any
    more.
    """

    left: Mask
    has_email: Mask
    expected: Codes
    stage: Codes
    in_stage: Codes
    stages: Sequence[str]
    usual: Sequence[int]
    missing: Codes
    fields: Sequence[str]


@dataclass(frozen=True)
class _State:
    """What the activities say of each record."""

    last: Codes
    last_kind: Codes
    last_state: Codes
    calls: Codes
    mails: Codes


def next_actions(
    history: History, learned: Learned, known: Known, now: int, zone: ZoneInfo, text: ModuleType, such: str
) -> tuple[pa.Array, pa.Array]:
    """The action of each open record in words, and its kind (one of ACTIONS), in the order of the records;
    null where no activities of such records are known at all.
    """
    rows = np.flatnonzero(history.open)
    if not history.any or not len(rows):
        return pa.nulls(len(rows), pa.string()), pa.nulls(len(rows), pa.string())
    events = history.events.of_rows(history.open)
    state = _state(events, len(history.outcomes))
    action, figure, detail = (each[rows] for each in _choose(history, learned, known, state, now, zone))
    own, own_said = _own_hours(events, history, learned, zone, text)
    timed = np.isin(action, [ACTIONS.index(name) for name in WITH_TIME])
    own = np.where(timed, own[rows], 0)
    like = np.where(timed, history.like[rows], 0)
    figure = np.clip(figure, 0, _FIGURE - 1)
    # Few records differ in all of these, so each text is made once.
    key = ((action * _FIGURE + figure) * _DETAIL + np.clip(detail, 0, _DETAIL - 1)) * 32 + like
    key = key * len(own_said) + own
    unique, back = np.unique(key, return_inverse=True)
    saying = _Saying(learned, known, text, such, int(_today(now, zone)), history.likes)
    said, kinds = [], []
    for each in unique.tolist():
        rest, personal = divmod(each, len(own_said))
        rest, industry = divmod(rest, 32)
        rest, detail_ = divmod(rest, _DETAIL)
        place, figure_ = divmod(rest, _FIGURE)
        said.append(saying.of(ACTIONS[place], figure_, detail_, industry, own_said[personal]))
        kinds.append(ACTIONS[place])
    taken = pa.array(back.reshape(-1))
    return pa.array(said, pa.string()).take(taken), pa.array(kinds, pa.string()).take(taken)


def _today(now: int, zone: ZoneInfo) -> np.int64:
    return np.int64(calendar_days(np.array([now]), zone)[0])


def _state(events: Events, records: int) -> _State:
    last = np.append(events.row[1:] != events.row[:-1], True) if len(events.row) else np.zeros(0, bool)
    row = events.row[last]

    def newest(values: Codes, nothing: int) -> Codes:
        column = np.full(records, nothing)
        column[row] = values[last]
        return column

    calls, mails = unanswered(events, records)
    return _State(
        last=newest(events.at, UNKNOWN_MOMENT),
        last_kind=newest(events.kind, -1),
        last_state=newest(events.state, -1),
        calls=calls,
        mails=mails,
    )


def _choose(
    history: History, learned: Learned, known: Known, state: _State, now: int, zone: ZoneInfo
) -> tuple[Codes, Codes, Codes]:
    """Per record the action (place in ACTIONS) and the two figures of its text."""
    today = _today(now, zone)
    created = history.outcomes.created
    age = np.where(created == UNKNOWN_MOMENT, _FIGURE - 1, _since(today, created, zone))
    never = state.last == UNKNOWN_MOMENT
    since = np.where(never, 0, _since(today, state.last, zone))
    ahead = np.where(history.planned == NEVER, _FIGURE, -_since(today, history.planned, zone))
    late = np.where(history.overdue == NEVER, 0, _since(today, history.overdue, zone))
    past = np.where(known.expected == NEVER, 0, today - known.expected)
    cold = learned.cold.days if learned.cold is not None else QUIET_DAYS - 1
    hopeless = max(learned.hopeless.days, _LATE * cold) if learned.hopeless is not None else _FIGURE
    to, streak = _other_channel(learned, known, state)
    missed = (state.last_state == MISSED) | (state.last_state == NO_SHOW)
    nothing = np.zeros(len(never), np.int64)
    rules: Mapping[str, tuple[Mask, Codes, Codes]] = {
        "hand_over": (known.left, since, never.astype(np.int64)),
        "overdue": (late > 0, late, history.overdue_kind),
        "rebook": ((state.last_state == NO_SHOW) & (state.last_kind == MEETING), since, nothing),
        "planned": (ahead <= _SOON, ahead, history.planned_kind),
        "close_date": (past > 0, past, nothing),
        "first_contact": (never, age, nothing),
        "other_channel": (to >= 0, streak, np.maximum(to, 0)),
        "close_out": (since > hopeless, since, nothing),
        "call": (since > cold, since, nothing),
        "move_on": (known.stage >= 0, known.in_stage, np.maximum(known.stage, 0)),
        "try_again": (missed, since, nothing),
        "fill_in": (known.missing >= 0, nothing, np.maximum(known.missing, 0)),
        "in_touch": (np.ones(len(never), bool), since, nothing),
    }
    action, figure, detail = nothing.copy(), nothing.copy(), nothing.copy()
    for place in range(len(ACTIONS) - 1, -1, -1):
        holds, number, more = rules[ACTIONS[place]]
        action = np.where(holds, place, action)
        figure, detail = np.where(holds, number, figure), np.where(holds, more, detail)
    return action, figure, detail


def _since(today: np.int64, at: Codes, zone: ZoneInfo) -> Codes:
    """Whole days from each moment to today; what is no moment gives what its mask throws away."""
    days: Codes = today - calendar_days(np.clip(at, 0, 2**55), zone)
    return days


def _other_channel(learned: Learned, known: Known, state: _State) -> tuple[Codes, Codes]:
    """The kind (place in KINDS) to try instead, -1 for none, and how many attempts stayed unanswered.

    Only where the other channel is surely answered more often than the next call after so many missed.
    """
    to, streak = np.full(len(state.calls), -1), np.zeros(len(state.calls), np.int64)
    call, mail = (learned.channels.get(name, Share(0, 0)) for name in ("call", "email"))
    if mail.surely_above(learned.after_streak):
        chosen = (state.calls >= STREAK) & (state.mails == 0) & known.has_email
        to[chosen], streak[chosen] = KINDS.index("email"), state.calls[chosen]
    if call.surely_above(mail):
        chosen = (state.mails >= STREAK) & (state.calls == 0)
        to[chosen], streak[chosen] = CALL, state.mails[chosen]
    return to, streak


def _own_hours(
    events: Events, history: History, learned: Learned, zone: ZoneInfo, text: ModuleType
) -> tuple[Codes, list[str | None]]:
    """Per record the place of what is said of the hour at which this very contact answers; 0 for nothing."""
    records = len(history.outcomes)
    place = np.zeros(records, np.int64)
    call = (events.kind == CALL) & ~events.inbound & (events.state <= MISSED)
    row, answered = events.row[call], events.state[call] == REACHED
    if not len(row):
        return place, [None]
    hour = wall_clock(events.at[call], zone) % DAY // HOUR
    slot, back = np.unique(row * 24 + hour, return_inverse=True)
    slots, most = len(slot), int(row.max()) + 1
    tries, hits = np.bincount(back, minlength=slots), np.bincount(back[answered], minlength=slots)
    all_tries, all_hits = np.bincount(row, minlength=most), np.bincount(row[answered], minlength=most)
    of = slot // 24
    others, other_hits = all_tries[of] - tries, all_hits[of] - hits
    enough = np.flatnonzero((hits >= 3) & (others >= 3))
    rate = learned.channels.get("call", Share(0, 0)).rate
    few = own_best(tries[enough], hits[enough], others[enough], other_hits[enough], rate)
    sure = enough[few]
    figures = np.column_stack([slot % 24, tries, hits, others, other_hits])[sure]
    unique, said_at = np.unique(figures, axis=0, return_inverse=True)
    place[of[sure]] = said_at.reshape(-1) + 1
    said = [text.own_hour(hour, Share(n, x), Share(m, y)) for hour, n, x, m, y in unique.tolist()]
    return place, [None, *said]


class _Saying:
    """Puts actions into words: the kind, a colon, and as much of the evidence as the field holds."""

    def __init__(
        self,
        learned: Learned,
        known: Known,
        text: ModuleType,
        such: str,
        today: int,
        likes: Sequence[str],
    ) -> None:
        self._learned, self._known, self._text = learned, known, text
        self._such, self._today, self._likes = such, today, likes

    def of(self, action: str, figure: int, detail: int, like: int, own: str | None) -> str:
        parts: Sequence[str | None] = getattr(self, f"_{action}")(figure, detail)
        times: Sequence[str | None] = ()
        if action in WITH_TIME:
            times = [own] if own else self._when(self._likes[like])
        return fitting(self._text, [*parts, *times])

    def _when(self, industry: str) -> list[str | None]:
        said: list[str | None] = []
        for bests, say in (
            (self._learned.hours, self._text.hour),
            (self._learned.weekdays, self._text.weekday),
        ):
            name = industry if industry in bests else ""
            if name in bests:
                found = bests[name]
                said.append(say(found.place, found.share, found.rest, name))
        return said

    def _day(self, days: int) -> date:
        return date(1970, 1, 1) + timedelta(days=self._today + days)

    def _hand_over(self, days: int, never: int) -> Sequence[str | None]:
        return (self._text.hand_over(None if never else days),)

    def _overdue(self, days: int, kind: int) -> Sequence[str | None]:
        return (self._text.overdue(KINDS[kind], self._day(-days), days),)

    def _rebook(self, days: int, detail: int) -> Sequence[str | None]:
        after = self._learned.after_no_show
        return self._text.rebook(days), self._text.held_after(after) if after.n >= 10 else None

    def _planned(self, days: int, kind: int) -> Sequence[str | None]:
        return (self._text.planned(KINDS[kind], self._day(days), days),)

    def _close_date(self, days: int, detail: int) -> Sequence[str | None]:
        said = self._text.close_date(self._day(-days), days)
        late, in_time = self._learned.overran, self._learned.in_time
        if not in_time.surely_above(late):
            return (said,)
        return said, self._text.overran(late, in_time)

    def _first_contact(self, age: int, detail: int) -> Sequence[str | None]:
        said, response = self._text.first_contact(None if age == _FIGURE - 1 else age), self._learned.response
        if response is None or not response.quick.surely_above(response.late):
            return (said,)
        return said, self._text.quick(self._such, response.minutes, response.quick, response.late)

    def _other_channel(self, number: int, kind: int) -> Sequence[str | None]:
        mail, call = self._learned.channels.get("email", Share(0, 0)), self._learned.channels.get("call")
        if kind == CALL:
            return (self._text.call_instead(number, call or Share(0, 0), mail),)
        return (self._text.write_instead(number, STREAK, self._learned.after_streak, mail),)

    def _close_out(self, days: int, detail: int) -> Sequence[str | None]:
        found, said = self._learned.hopeless, self._text.close_out(days)
        return (said,) if found is None else (said, self._text.hopeless(self._such, found.days, found.share))

    def _call(self, days: int, detail: int) -> Sequence[str | None]:
        cold, said = self._learned.cold, self._text.call_again(days)
        if cold is None:
            return (said,)
        told = self._text.cold(self._such, cold.days, cold.won)
        if not cold.others.surely_above(cold.longer):
            return said, told
        return said, told, self._text.colder(self._such, cold.longer, cold.others)

    def _move_on(self, days: int, stage: int) -> Sequence[str | None]:
        return (self._text.move_on(days, self._known.stages[stage], self._known.usual[stage]),)

    def _try_again(self, days: int, detail: int) -> Sequence[str | None]:
        return (self._text.try_again(days),)

    def _fill_in(self, figure: int, field: int) -> Sequence[str | None]:
        name = self._known.fields[field]
        return (self._text.fill_in(name, self._learned.filled[name]),)

    def _in_touch(self, days: int, detail: int) -> Sequence[str | None]:
        return (self._text.in_touch(days),)


def fitting(text: ModuleType, parts: Sequence[str | None]) -> str:
    """As many of the parts, from the first on, as the field holds."""
    most = CATALOGUE["next_action"].length or 255
    said = ""
    for part in parts:
        if part:
            longer = said + (text.JOINT if said else "") + part
            if len(longer) > most:
                break
            said = longer
    return said


def with_contact(
    said: pa.Array, answered: pa.Array, own: pa.Array, kinds: pa.Array, text: ModuleType
) -> pa.Array:
    """The actions with the title of whom to speak to, where one is known and fits: of the contact who
    `answered` last, else of the deal's `own`.
    """
    most = CATALOGUE["next_action"].length or 255
    asks = pc.is_in(kinds, value_set=pa.array([*WITH_TIME, "other_channel", "rebook", "move_on"]))
    whom = [
        pc.binary_join_element_wise(before, titles, after, "")
        for (before, after), titles in ((text.ANSWERED_LAST, answered), (text.ASK_FOR, own))
    ]
    longer = pc.binary_join_element_wise(said, text.JOINT, pc.coalesce(*whom), "")
    fits = pc.fill_null(pc.less_equal(pc.utf8_length(longer), most), False)
    return pc.if_else(pc.and_(pc.fill_null(asks, False), fits), longer, said)
