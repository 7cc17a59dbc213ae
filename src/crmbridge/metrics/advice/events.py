"""What happened with the leads or deals: one pass over the activities, in bounded memory.

Kept are the newest events of every open record and those of a fixed sample of closed ones; everything else is
summed up on the way. An event is one number: row, minute, kind, state and direction, in this order, so that
sorting the numbers puts each record's events in order of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.arrays import (
    UNKNOWN_MOMENT,
    Codes,
    Mask,
    moments,
    pieces,
    truths,
)
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import DAY, HOUR, SECOND, micros, wall_clock
from crmbridge.metrics.need.ids import Lookup, uniform
from crmbridge.metrics.need.links import ContactLinks
from crmbridge.metrics.need.outcomes import Outcomes, read_outcomes
from crmbridge.model.records import ObjectName

KINDS: Final = ("call", "meeting", "email", "task", "other")
CALL, MEETING, EMAIL, TASK, OTHER = range(len(KINDS))
REACHED, MISSED, NO_SHOW, DONE = range(4)
NEWEST: Final = 12
"""Events that are kept of an open record."""
SAMPLE: Final = 50_000
"""Closed records whose events are kept, drawn by their ids."""
NEVER: Final = int(np.iinfo(np.int64).max)
MINUTE: Final = 60 * SECOND
_SAMPLE_STREAM: Final = 31
_STATES: Final = {
    "connected": REACHED,
    "held": REACHED,
    "replied": REACHED,
    "no_answer": MISSED,
    "voicemail": MISSED,
    "no_show": NO_SHOW,
}
_BITS: Final = 6
_MINUTES: Final = 28
_PEOPLE: Final = 34
"""Bits for a contact's row beside a minute."""
_TIDY: Final = 1 << 21
_LINKS: Final = {"lead": "lead_id", "deal": "deal_id"}


@dataclass(frozen=True)
class Events:
    """Events in order of record and time: row among the records, microseconds, kind, state, inbound."""

    row: Codes
    at: Codes
    kind: Codes
    state: Codes
    inbound: Mask

    @classmethod
    def of(cls, keys: Codes) -> Events:
        return cls(
            row=keys >> (_MINUTES + _BITS),
            at=((keys >> _BITS) & ((1 << _MINUTES) - 1)) * MINUTE,
            kind=(keys >> 3) & 7,
            state=(keys >> 1) & 3,
            inbound=(keys & 1).astype(bool),
        )

    def of_rows(self, chosen: Mask) -> Events:
        """Those of the records for which `chosen` (one flag per record) holds."""
        keep = chosen[self.row]
        return Events(self.row[keep], self.at[keep], self.kind[keep], self.state[keep], self.inbound[keep])


@dataclass(frozen=True)
class History:
    """The leads or deals of a frame and what happened with them.

    Per record (rows of `outcomes`): `like`, the place of its industry in `likes`; `planned` and `overdue`,
    the next activity planned and the first one not done in time (microseconds, NEVER for none) with their
    kinds; `sampled`, whether it is closed and its events are kept. `calls` counts calls by like, weekday
    (Monday first), hour and answered or not; `channels` communications by kind and answered or not. `any`
    says whether there is any activity of these records at all. `contacts` are the people the activities of
    deals may be with, `answered` the row among them of the one who answered last, -1 for none.
    """

    outcomes: Outcomes
    records: pa.Table
    like: Codes
    likes: tuple[str, ...]
    events: Events
    planned: Codes
    planned_kind: Codes
    overdue: Codes
    overdue_kind: Codes
    sampled: Mask
    calls: Codes
    channels: Codes
    contacts: pa.Table
    answered: Codes
    any: bool

    @property
    def open(self) -> Mask:
        return ~self.outcomes.closed


def read_history(frame: Frame, object_name: ObjectName, window_days: int, seed: int) -> History:
    """Read the records and pass over the activities once. What was left undone counts as overdue for
    `window_days`."""
    outcomes = read_outcomes(frame, object_name)
    records = _records(frame, object_name)
    like, likes = _likes(frame, object_name, records)
    closed = np.flatnonzero(outcomes.closed)
    if len(closed) > SAMPLE:
        drawn = uniform(outcomes.ids.take(pa.array(closed)), seed, _SAMPLE_STREAM)
        closed = closed[np.argsort(drawn, kind="stable")[:SAMPLE]]
    sampled = np.zeros(len(outcomes), bool)
    sampled[closed] = True
    pass_ = _Pass(frame, object_name, outcomes, like, len(likes), sampled, window_days)
    for piece in pieces(frame, "activity", pass_.columns):
        pass_.add(piece)
    keys = pass_.kept()
    return History(
        outcomes=outcomes,
        records=records,
        like=like,
        likes=likes,
        events=Events.of(keys),
        planned=np.where(pass_.planned == NEVER, NEVER, pass_.planned // 8),
        planned_kind=pass_.planned % 8,
        overdue=np.where(pass_.overdue == NEVER, NEVER, pass_.overdue // 8),
        overdue_kind=pass_.overdue % 8,
        sampled=sampled,
        calls=pass_.calls.reshape(len(likes), 7, 24, 2),
        channels=pass_.channels.reshape(len(KINDS), 2),
        contacts=pass_.contacts,
        answered=np.where(pass_.answered < 0, -1, pass_.answered & ((1 << _PEOPLE) - 1)),
        any=pass_.any,
    )


class _Pass:
    """The sums and the kept events while the activities go by."""

    def __init__(
        self,
        frame: Frame,
        object_name: ObjectName,
        outcomes: Outcomes,
        like: Codes,
        likes: int,
        sampled: Mask,
        window_days: int,
    ) -> None:
        size = len(outcomes)
        self._link = _LINKS[object_name]
        self._lookup = Lookup(outcomes.ids)
        self._through = ContactLinks(frame, object_name, outcomes.ids) if object_name == "deal" else None
        wanted = () if object_name == "lead" else ("id", "title")
        self.contacts = frame.table("contact", wanted).combine_chunks()
        self._people = None if object_name == "lead" else Lookup(one(self.contacts, "id"))
        self.answered = np.full(size, -1)
        self._outcomes, self._like, self._zone = outcomes, like, frame.zone
        self._sampled = sampled
        self._now = micros(frame.moment)
        self._since = self._now - window_days * DAY
        self._keys: list[Codes] = []
        self._waiting = 0
        self.planned, self.overdue = np.full(size, NEVER), np.full(size, NEVER)
        self.calls = np.zeros(likes * 7 * 24 * 2, np.int64)
        self.channels = np.zeros(len(KINDS) * 2, np.int64)
        self.any = False
        through = () if self._through is None else ("contact_id",)
        self.columns = (self._link, *through, "kind", "direction", "started_at", "outcome", "is_completed")

    def add(self, piece: pa.RecordBatch) -> None:
        started = moments(piece["started_at"])
        dated = (started >= 0) & (started < (MINUTE << _MINUTES))
        for positions, row in self._rows(piece, dated):
            if len(positions):
                self.any = True
                taken = piece if len(positions) == piece.num_rows else piece.take(pa.array(positions))
                self._add(row, started[positions], taken)

    def _rows(self, piece: pa.RecordBatch, dated: Mask) -> Iterator[tuple[Codes, Codes]]:
        row = self._lookup.rows(piece[self._link])
        linked = np.flatnonzero((row >= 0) & dated)
        yield linked, row[linked]
        if self._through is not None:
            loose = np.flatnonzero(truths(piece[self._link].is_null(), False) & dated)
            positions, of_contact = self._through.rows(piece["contact_id"].take(pa.array(loose)))
            yield loose[positions], of_contact

    def _add(self, row: Codes, at: Codes, piece: pa.RecordBatch) -> None:
        kind = pc.fill_null(pc.index_in(piece["kind"], value_set=pa.array(KINDS)), OTHER).to_numpy()
        kind = kind.astype(np.int64)
        place = pc.index_in(piece["outcome"], value_set=pa.array(list(_STATES)))
        known = np.array([*_STATES.values(), DONE])
        state = known[pc.fill_null(place, len(_STATES)).to_numpy()]
        inbound = truths(pc.equal(piece["direction"], "inbound"), unknown=False)
        undone = ~truths(piece["is_completed"], unknown=True)
        ahead = undone & (at >= self._now)
        np.minimum.at(self.planned, row[ahead], at[ahead] * 8 + kind[ahead])
        late = undone & (at < self._now) & (at >= self._since) & (kind != OTHER)
        np.minimum.at(self.overdue, row[late], at[late] * 8 + kind[late])
        created, end = self._outcomes.created[row], self._outcomes.end[row]
        end = np.where(end == UNKNOWN_MOMENT, self._now, end)
        # Whole minutes: who calls in the minute of its creation has called after it.
        happened = ~undone & (at < self._now) & (at <= end) & ((at >= created) | (created - at < MINUTE))
        happened &= kind != TASK  # a task is a note to oneself: nobody was spoken to
        if self._people is not None:
            spoken = np.flatnonzero(happened & ((state == REACHED) | inbound))
            person = self._people.rows(piece["contact_id"].take(pa.array(spoken)))
            spoken, person = spoken[person >= 0], person[person >= 0]
            np.maximum.at(self.answered, row[spoken], (at[spoken] // MINUTE << _PEOPLE) | person)
        row, at, inbound = row[happened], at[happened], inbound[happened]
        kind, state = kind[happened], state[happened]
        self._count(row, at, kind, state, inbound)
        keep = self._sampled[row] | ~self._outcomes.closed[row]
        key = (row[keep] << (_MINUTES + _BITS)) | ((at[keep] // MINUTE) << _BITS)
        key |= (kind[keep] << 3) | (state[keep] << 1) | inbound[keep]
        self._keys.append(key)
        self._waiting += len(key)
        if self._waiting > _TIDY:
            self._tidy()

    def _count(self, row: Codes, at: Codes, kind: Codes, state: Codes, inbound: Mask) -> None:
        """Calls by hour and channels by kind: ours alone, for what counts is whether they are answered."""
        tried = ~inbound & ((state != DONE) | (kind == EMAIL))
        channel = kind[tried] * 2 + (state[tried] == REACHED)
        self.channels += np.bincount(channel, minlength=len(self.channels))
        call = tried & (kind == CALL)
        wall = wall_clock(at[call], self._zone)
        weekday, hour = (wall // DAY + 3) % 7, wall % DAY // HOUR
        slot = ((self._like[row[call]] * 7 + weekday) * 24 + hour) * 2 + (state[call] == REACHED)
        self.calls += np.bincount(slot, minlength=len(self.calls))

    def _tidy(self) -> None:
        """Of each open record only the newest events stay."""
        keys = np.sort(np.concatenate([np.zeros(0, np.int64), *self._keys]))
        row = keys >> (_MINUTES + _BITS)
        last = np.searchsorted(row, row, side="right") - 1
        keys = keys[self._sampled[row] | (last - np.arange(len(keys)) < NEWEST)]
        self._keys, self._waiting = [keys], 0

    def kept(self) -> Codes:
        self._tidy()
        return self._keys[0]


_COLUMNS: Final = {
    "lead": ("id", "owner_id", "email", "industry", "converted_deal_id"),
    "deal": ("id", "owner_id", "contact_id", "account_id", "stage", "amount", "currency", "expected_close"),
}
_MOST_LIKES: Final = 30


def _records(frame: Frame, object_name: ObjectName) -> pa.Table:
    """The records in the order of their ids, as `read_outcomes` has them."""
    table = frame.table(object_name, _COLUMNS[object_name]).combine_chunks()
    return table.take(pc.sort_indices(table["id"])).combine_chunks()


def _likes(frame: Frame, object_name: ObjectName, records: pa.Table) -> tuple[Codes, tuple[str, ...]]:
    """The industry of each record (a deal's is its account's) among the most frequent; the first is all
    else."""
    industry = one(records, "industry") if object_name == "lead" else _of_account(frame, records)
    counts = pc.value_counts(industry.drop_null()).to_pylist()
    counts.sort(key=lambda each: (-each["counts"], each["values"]))
    likes = [each["values"] for each in counts[:_MOST_LIKES]]
    code = pc.fill_null(pc.index_in(industry, value_set=pa.array(likes, pa.string())), -1)
    return code.to_numpy().astype(np.int64) + 1, ("", *likes)


def _of_account(frame: Frame, records: pa.Table) -> pa.Array:
    accounts = frame.table("account", ("id", "industry")).combine_chunks()
    row = Lookup(one(accounts, "id")).rows(one(records, "account_id"))
    return one(accounts, "industry").take(pa.array(row, mask=row < 0))


def one(table: pa.Table, name: str) -> pa.Array:
    """A column in one piece."""
    column = table[name].combine_chunks()
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
