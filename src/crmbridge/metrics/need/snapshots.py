"""Cases: the moments at which a model is asked about a record, and what came after.

A score is asked for when a record is new, and again on every day it stays open. So a record that is learned
from is looked at up to three times: at its arrival, at an age drawn from the ages (up to the horizon) at
which records were open at the last twelve month ends, and at one drawn from their greater ages. The draw does
not depend on how long this record lasted; if it had ended by then, there is no such snapshot. Hence the
records seen at an age are a fair sample of those that were open at that age. (Drawing within each record's
own life would not be: records that end soon would be seen too often when young, and the age would give their
outcome away.)"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa

from crmbridge.metrics.arrays import moments
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import DAY, micros
from crmbridge.metrics.need.arrays import NEVER, UNKNOWN, Flags, Floats, Ints, distinct, pieces
from crmbridge.metrics.need.ids import Lookup, uniform
from crmbridge.metrics.need.outcomes import Outcomes

ENOUGH = 100
"""Records of each outcome from which on only snapshots with their whole horizon behind them are used."""
_LANDMARKS = 8
_LONGEST = 36_500
_MONTH_ENDS = 12
_ARRIVAL, _YOUNG, _OLD = 0, 1, 2


@dataclass(frozen=True)
class Cases:
    """One row per case, ordered by record, then moment. `record` is the row in `ids`; `moment` in
    microseconds; `age` in whole days since creation, -1 where unknown; `order` what a split in time goes
    by; `known` since when it can be learned from, in microseconds."""

    ids: pa.Array
    record: Ints
    moment: Ints
    age: Ints
    order: Ints
    known: Ints
    y: Floats
    closed: Flags

    def __len__(self) -> int:
        return len(self.record)

    def sample(self, most: int) -> Cases:
        """Evenly spread cases, about so many at most. For cases of one record each."""
        if len(self) <= most:
            return self
        rows = np.arange(0, len(self), -(-len(self) // most))
        return Cases(
            self.ids.take(pa.array(self.record[rows])),
            np.arange(len(rows)),
            self.moment[rows],
            self.age[rows],
            self.order[rows],
            self.known[rows],
            self.y[rows],
            self.closed[rows],
        )

    @cached_property
    def lookup(self) -> Lookup:
        """Finds the rows in `ids`."""
        return Lookup(self.ids)


Mode = Literal["moments", "as_it_stands"]
Refusal = Literal[
    "created_unknown", "created_alike", "closing_unknown", "one_horizon", "one_moment", "ended_alike"
]
"""Why cases can't be told apart in time, or the newest can't be split off (see `texts`)."""


@dataclass(frozen=True)
class Training:
    """The cases to learn from, and how they came about (all counts are of records).

    `mode` "as_it_stands" means that creation or closing dates are missing or all the same, for the stated
    `why`: each record that is closed, or whose horizon has passed, is one case in its present state, and
    neither ages nor activities can be used.
    """

    cases: Cases
    mode: Mode
    why: Refusal | None
    closed: int
    positives: int
    left_out: dict[str, int]
    whole_horizon: bool

    @cached_property
    def undecided(self) -> Flags:
        """Cases of records that stayed open beyond the horizon although here those that come to nothing are
        closed (at least ENOUGH, and no fewer than are left open): nobody has decided them. They teach how
        the chance falls with age, not which inputs make it: who closes his records and who lets them lie is
        not need.
        """
        cases = self.cases
        lost = distinct(cases.record[cases.closed & (cases.y == 0.0)])
        left = distinct(cases.record[~cases.closed])
        if self.mode != "moments" or lost < max(ENOUGH, left):
            return np.zeros(len(cases), np.bool_)
        return ~cases.closed

    @property
    def records(self) -> int:
        """Records with at least one case."""
        return distinct(self.cases.record)


def training_cases(outcomes: Outcomes, frame: Frame, horizon_days: int, seed: int) -> Training:
    """The snapshots of closed records, and of open ones whose horizon has passed."""
    counts = int(outcomes.closed.sum()), int(outcomes.positive.sum())
    usable = (outcomes.created != UNKNOWN) & (outcomes.end != UNKNOWN)
    why = _why_not_in_time(outcomes, usable)
    if why is not None:
        overdue = outcomes.created <= micros(frame.moment) - horizon_days * DAY
        record = np.flatnonzero(outcomes.closed | (overdue & (outcomes.created != UNKNOWN)))
        now = np.full(len(record), micros(frame.moment))
        y = outcomes.positive[record].astype(np.float64)
        nothing = np.zeros(len(record), np.int64)
        cases = Cases(outcomes.ids, record, now, nothing - 1, nothing, now, y, outcomes.closed[record])
        return Training(cases, "as_it_stands", why, *counts, {}, False)
    cases, late, whole = _snapshots(outcomes, usable, micros(frame.moment), horizon_days, seed)
    undated = outcomes.closed & ~usable
    backwards = outcomes.closed & usable & (outcomes.end < outcomes.created)
    left_out = {
        "undated": int(undated.sum()),
        "closed_before_created": int(backwards.sum()),
        "horizon_not_passed": late,
    }
    return Training(cases, "moments", None, *counts, {k: n for k, n in left_out.items() if n}, whole)


def _why_not_in_time(outcomes: Outcomes, usable: Flags) -> Refusal | None:
    closed = outcomes.closed
    if not closed.any():
        return None if usable.any() else "created_unknown"
    created = outcomes.created[closed]
    if 2 * int((created != UNKNOWN).sum()) < len(created):
        return "created_unknown"
    known = created[created != UNKNOWN]
    if len(known) > 1 and int(known.min()) == int(known.max()):
        return "created_alike"
    if 2 * int(usable[closed].sum()) < len(created):
        return "closing_unknown"
    return None


def _snapshots(
    outcomes: Outcomes, usable: Flags, now: int, horizon_days: int, seed: int
) -> tuple[Cases, int, bool]:
    horizon = horizon_days * DAY
    pool = _ages_when_open(outcomes, usable, now)
    ages = np.zeros((len(outcomes), 3), np.int64)
    drawn = np.zeros((len(outcomes), 3), np.bool_)
    drawn[:, _ARRIVAL] = True
    for stratum, low, high in ((_YOUNG, 1, horizon_days), (_OLD, horizon_days + 1, _LONGEST)):
        cumulated = np.cumsum(pool[low : high + 1])
        if len(cumulated) and cumulated[-1] > 0:
            place: Floats = uniform(outcomes.ids, seed, stratum) * cumulated[-1]
            ages[:, stratum] = low + np.searchsorted(cumulated, place, side="right")
            drawn[:, stratum] = True
    created = np.where(usable, outcomes.created, 0)
    moment = created[:, None] + ages * DAY
    alive = np.where(ages == 0, moment <= outcomes.end[:, None], moment < outcomes.end[:, None])
    whole = moment <= now - horizon
    known = drawn & alive & usable[:, None] & (moment <= now) & (outcomes.closed[:, None] | whole)
    y = outcomes.positive[:, None] & (outcomes.end[:, None] - moment <= horizon)

    seen_whole = known & whole
    enough = (
        int((seen_whole & y).any(axis=1).sum()) >= ENOUGH
        and int((seen_whole & ~y).any(axis=1).sum()) >= ENOUGH
    )
    used = seen_whole if enough else known
    late = int((known.any(axis=1) & ~used.any(axis=1)).sum())
    record, column = np.nonzero(used)
    cases = Cases(
        outcomes.ids,
        record.astype(np.int64),
        moment[record, column],
        ages[record, column],
        created[record],
        # With enough outcomes a case is used once its horizon has passed, however early it ended.
        np.minimum(NEVER if enough else outcomes.end[record], moment[record, column] + horizon),
        y[record, column].astype(np.float64),
        outcomes.closed[record],
    )
    return cases, late, enough


def _ages_when_open(outcomes: Outcomes, usable: Flags, now: int) -> Ints:
    """How many records were open at each age in whole days, over the last twelve month ends."""
    pool = np.zeros(_LONGEST + 1, np.int64)
    created, end = outcomes.created[usable], outcomes.end[usable]
    for month in range(_MONTH_ENDS):
        then = now - month * 30 * DAY
        age = (then - created[(created <= then) & (end > then)]) // DAY
        pool += np.bincount(np.minimum(age, _LONGEST), minlength=_LONGEST + 1)
    return pool


def open_cases(outcomes: Outcomes, frame: Frame) -> Cases:
    """One case per open record, now."""
    now = micros(frame.moment)
    record = np.flatnonzero(~outcomes.closed)
    created = outcomes.created[record]
    age = np.where(created == UNKNOWN, -1, np.maximum(now - np.maximum(created, -(2**61)), 0) // DAY)
    return Cases(
        outcomes.ids.take(pa.array(record)),
        np.arange(len(record)),
        np.full(len(record), now),
        age,
        created,
        np.full(len(record), NEVER),
        np.zeros(len(record)),
        np.zeros(len(record), np.bool_),
    )


def read_orders(frame: Frame, ids: pa.Array) -> tuple[Ints, Ints, Floats]:
    """Row of the account, moment (ordered by both) and amount in hundredths of every dated order up to
    now.
    """
    now = micros(frame.moment)
    rows, at, amounts = [], [], []
    lookup = Lookup(ids)
    for slab in pieces(frame, "order", ["account_id", "ordered_at", "amount"]):
        row = lookup.rows(slab["account_id"])
        moment = moments(slab["ordered_at"])
        amount = np.asarray(slab["amount"].cast(pa.float64()).fill_null(0.0))
        keep = (row >= 0) & (moment != UNKNOWN) & (moment <= now)
        rows.append(row[keep])
        at.append(moment[keep])
        # Whole hundredths add up to the same sum in every order.
        amounts.append(np.round(np.clip(amount[keep], -1e13, 1e13) * 100.0))
    empty = np.zeros(0, np.int64)
    row = np.concatenate([empty, *rows])
    moment = np.concatenate([empty, *at])
    amount = np.concatenate([np.zeros(0), *amounts])
    order = np.lexsort((amount, moment, row))
    return row[order], moment[order], amount[order]


def account_cases(frame: Frame, ids: pa.Array, horizon_days: int) -> tuple[Training, Cases]:
    """Accounts that have ordered: cases at the starts of whole horizons that lie behind, and one case each
    now.

    The moments are the same for all accounts, so nothing about an account's own future decides when it is
    seen."""
    row, at, _ = read_orders(frame, ids)
    first = np.full(len(ids), NEVER)
    np.minimum.at(first, row, at)
    now, horizon = micros(frame.moment), horizon_days * DAY
    records, stamps, outcomes = [], [], []
    for step in range(1, _LANDMARKS + 1):
        moment = now - step * horizon
        seen = np.flatnonzero(first < moment)
        bought = np.zeros(len(ids), np.bool_)
        bought[row[(at >= moment) & (at < moment + horizon)]] = True
        records.append(seen)
        stamps.append(np.full(len(seen), moment))
        outcomes.append(bought[seen].astype(np.float64))
    record, moments_, y = np.concatenate(records), np.concatenate(stamps), np.concatenate(outcomes)
    order = np.lexsort((moments_, record))
    record, moments_, y = record[order], moments_[order], y[order]
    age = (moments_ - first[record]) // DAY
    cases = Cases(ids, record, moments_, age, moments_, moments_ + horizon, y, np.ones(len(record), np.bool_))
    buyers = np.flatnonzero(first != NEVER)
    current = Cases(
        ids.take(pa.array(buyers)),
        np.arange(len(buyers)),
        np.full(len(buyers), now),
        (now - first[buyers]) // DAY,
        first[buyers],
        np.full(len(buyers), NEVER),
        np.zeros(len(buyers)),
        np.zeros(len(buyers), np.bool_),
    )
    training = Training(cases, "moments", None, len(record), int(y.sum()), {}, True)
    return training, current
