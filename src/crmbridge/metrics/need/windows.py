"""What happened before a moment: activities, stages and orders, summed up per case.

Days are whole days of the connection's zone; a window of 90 days reaches from 90 days before the moment's day
up to the moment."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.arrays import moments
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import DAY, calendar_days
from crmbridge.metrics.need.arrays import UNKNOWN, ByRecord, Floats, Ints, pieces
from crmbridge.metrics.need.columns import EMPTY, Column
from crmbridge.metrics.need.links import ContactLinks
from crmbridge.metrics.need.snapshots import Cases

REACHED = ("connected", "held", "replied")
MISSED = ("no_answer", "voicemail", "no_show")
_SECONDS = 33
"""Bits for a moment in seconds, enough until the year 2242."""


def read_contacts(
    frame: Frame, cases: Cases, link: str, window_days: int, through: ContactLinks | None = None
) -> dict[str, Column]:
    """The inputs from activities by column name: those that `link` (lead_id, deal_id, account_id) ties to
    the cases' records, and without it those `through` the contact they are filed with.
    """
    size = len(cases)
    of = ByRecord(cases.record, len(cases.ids))
    today = calendar_days(cases.moment, frame.zone)
    count, reached, missed, inbound, milliseconds = (np.zeros(size) for _ in range(5))
    last = np.full(size, UNKNOWN)
    names = [link, "direction", "started_at", "duration", "outcome", "is_completed"]
    if through is not None:
        names.append("contact_id")
    for slab in pieces(frame, "activity", names):
        row = cases.lookup.rows(slab[link])
        started = moments(slab["started_at"])
        dated = (started != UNKNOWN) & (np.abs(started) <= 2**55)
        linked = np.flatnonzero((row >= 0) & dated)
        row = row[linked]
        if through is not None:
            loose = np.flatnonzero(np.asarray(slab[link].is_null()) & dated)
            positions, of_contact = through.rows(slab["contact_id"].take(pa.array(loose)))
            linked, row = np.concatenate([linked, loose[positions]]), np.concatenate([row, of_contact])
        if len(linked) == 0:
            continue
        if len(linked) != slab.num_rows or through is not None:
            slab, started = slab.take(pa.array(linked)), started[linked]
        day = calendar_days(started, frame.zone)
        is_reached, is_missed = (
            np.asarray(pc.is_in(slab["outcome"], value_set=pa.array(among))).astype(np.float64)
            for among in (REACHED, MISSED)
        )
        is_inbound = np.asarray(pc.equal(slab["direction"], "inbound").fill_null(False)).astype(np.float64)
        # Whole milliseconds add up to the same sum in every order.
        measured = np.round(np.minimum(np.asarray(slab["duration"].fill_null(0.0)), 1e9) * 1000.0)
        # What was planned and is still marked undone did not take place.
        happened = np.asarray(slab["is_completed"].fill_null(True))
        for positions, case in of.of(row):
            before = started[positions] < cases.moment[case]
            took_place = before & happened[positions]
            was, done = positions[took_place], case[took_place]
            np.maximum.at(last, done, started[was])
            within = today[done] - day[was] <= window_days
            was, done = was[within], done[within]
            # In place: a count per piece over all cases would cost more than the piece.
            np.add.at(count, done, 1.0)
            for total, part in (
                (reached, is_reached),
                (missed, is_missed),
                (inbound, is_inbound),
                (milliseconds, measured),
            ):
                np.add.at(total, done, part[was])
    never = last == UNKNOWN
    since = np.where(never, np.nan, today - calendar_days(np.where(never, 0, last), frame.zone))
    inputs = {
        "contacts": count,
        "reached": reached,
        "missed": missed,
        "inbound": inbound,
        "contact_hours": milliseconds / 3_600_000.0,
        "days_since_contact": since,
    }
    return {name: Column.of_numbers(name, values) for name, values in inputs.items()}


def read_stages(frame: Frame, cases: Cases, current: Column, created: Ints) -> dict[str, Column]:
    """The deal's stage as of each case, the days it has been in it, and how often it had changed.

    The stage is the last one changed to; before the first change it is what that change came from; without
    any change it is `current`, the stage of the version in force (empty where none was). `created`: per case.
    """
    places: dict[str, int] = {text: place for place, text in enumerate(current.levels)}

    def place(values: pa.Array) -> Ints:
        encoded = values.dictionary_encode()
        texts = encoded.dictionary.to_pylist()
        codes = np.full(len(texts) + 1, EMPTY, np.int64)
        codes[:-1] = [EMPTY if text is None else places.setdefault(text, len(places)) for text in texts]
        return np.asarray(codes[np.asarray(encoded.indices.fill_null(len(codes) - 1))])

    rows, at, came_from, went_to = [], [], [], []
    for slab in pieces(frame, "stage_change", ["deal_id", "from_stage", "to_stage", "at"]):
        row = cases.lookup.rows(slab["deal_id"])
        when = moments(slab["at"])
        keep = (row >= 0) & (when != UNKNOWN)
        rows.append(row[keep])
        at.append(when[keep])
        came_from.append(place(slab["from_stage"])[keep])
        went_to.append(place(slab["to_stage"])[keep])
    none = np.zeros(0, np.int64)
    row, when = np.concatenate([none, *rows]), np.concatenate([none, *at])
    source, target = np.concatenate([none, *came_from]), np.concatenate([none, *went_to])
    key = key_of(row, when)
    order = np.lexsort((target, key))
    row, when, source, target, key = row[order], when[order], source[order], target[order], key[order]

    last = np.searchsorted(key, key_of(cases.record, cases.moment), side="right") - 1
    changed = (last >= 0) & (row[last] == cases.record) if len(row) else np.zeros(len(cases), np.bool_)
    coming = np.minimum(last + 1, max(len(row) - 1, 0))
    ahead = ~changed & (row[coming] == cases.record) if len(row) else changed
    stage = current.codes.copy() if current.codes is not None else np.full(len(cases), EMPTY, np.int32)
    since = np.where(created == UNKNOWN, UNKNOWN, created)
    number = np.zeros(len(cases))
    if len(row):
        stage[changed] = target[last[changed]]
        stage[ahead] = source[coming[ahead]]
        since = np.where(changed, when[last], since)
        number = np.where(changed, last - np.searchsorted(row, cases.record) + 1.0, 0.0)
    known = (since != UNKNOWN) & (stage != EMPTY)
    days = calendar_days(cases.moment, frame.zone) - calendar_days(np.where(known, since, 0), frame.zone)
    return {
        "stage": Column.of_codes("stage", stage, tuple(places)),
        "days_in_stage": Column.of_numbers("days_in_stage", np.where(known, np.maximum(days, 0), np.nan)),
        "stage_changes": Column.of_numbers("stage_changes", number),
    }


def key_of(row: Ints, moment: Ints) -> Ints:
    """Row and moment (in seconds) as one number, ordered by both."""
    seconds = np.clip(moment // 1_000_000, 0, (1 << _SECONDS) - 1)
    return np.asarray((row << _SECONDS) | seconds)


def order_columns(
    row: Ints, at: Ints, amount: Floats, record: Ints, moment: Ints, zone: ZoneInfo
) -> dict[str, Column]:
    """The orders an account had placed by each case's moment. `row`, `at`, `amount` as from `read_orders`;
    `record` is the account's row per case, -1 for none."""
    size = len(record)
    key = key_of(row, at)
    known = record >= 0
    account = np.where(known, record, 0)
    # Orders up to the second before the moment: an order at the moment itself is what is to be foreseen.
    upto = np.searchsorted(key, key_of(account, moment), side="left")
    begin = np.searchsorted(row, account, side="left")
    number = np.where(known, upto - begin, 0)
    bought = number > 0
    total = np.concatenate([[0.0], np.cumsum(amount)])
    first = np.where(bought, begin, 0)
    last = np.where(bought, upto - 1, 0)
    day = calendar_days(at, zone) if len(at) else np.zeros(1, np.int64)
    today = calendar_days(moment, zone)
    since_last = np.where(bought, today - day[last], np.nan)
    since_first = np.where(bought, today - day[first], np.nan)
    gaps = np.where(number > 1, (day[last] - day[first]) / np.maximum(number - 1, 1), np.nan)
    mean = np.where(bought, (total[upto] - total[begin]) / 100.0 / np.maximum(number, 1), np.nan)
    a_year_ago = np.searchsorted(key, key_of(account, moment - 365 * DAY), side="left")
    inputs = {
        "orders": np.where(known, number.astype(np.float64), np.nan),
        "orders_last_year": np.where(
            known, (upto - np.clip(a_year_ago, begin, upto)).astype(np.float64), np.nan
        ),
        "days_since_order": since_last,
        "days_since_first_order": since_first,
        "days_between_orders": gaps,
        "overdue": since_last / np.maximum(gaps, 1.0),
        "mean_order": mean,
    }
    return {name: Column.of_numbers(name, values[:size]) for name, values in inputs.items()}
