"""Values that no single field of Salesforce gives: where they come from, per object.

Each function gets the cells, the values found so far, the settings and the zone, and returns more columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.connectors.salesforce.cells import MOMENT, convert
from crmbridge.connectors.salesforce.lookups import CONVERSION, ROLE
from crmbridge.connectors.salesforce.objects import DIRECTIONS, PREFIXES, TASK_KINDS
from crmbridge.connectors.salesforce.options import SalesforceOptions

Columns = Mapping[str, pa.Array]
_SECOND: Final = 1_000_000


def _lead(cells: Columns, found: Columns, options: SalesforceOptions, zone: ZoneInfo) -> Columns:
    """ConvertedDate is a day: where the history tells no moment, it stands for its beginning, but the lead
    was not converted before it was made. A status says disqualified.
    """
    more: dict[str, pa.Array] = {}
    if CONVERSION in cells and "converted_at" in found:
        exact, _ = convert(cells[CONVERSION], "moment", zone)
        found = {**found, "converted_at": pc.coalesce(exact, found["converted_at"])}
        more["converted_at"] = found["converted_at"]
    if "converted_at" in found and "created_at" in found:
        more["converted_at"] = _not_before(found["converted_at"], found["created_at"])
    if "Status" in cells:
        is_in = pc.is_in(cells["Status"], value_set=pa.array(options.disqualified, pa.string()))
        more["is_disqualified"] = pc.if_else(cells["Status"].is_valid(), is_in, pa.scalar(None, pa.bool_()))
    return more


def _user(cells: Columns, found: Columns, options: SalesforceOptions, zone: ZoneInfo) -> Columns:
    return {"role": cells[ROLE]} if ROLE in cells else {}


def _opportunity(cells: Columns, found: Columns, options: SalesforceOptions, zone: ZoneInfo) -> Columns:
    """A closed deal was closed when its stage last changed; where that is not known, on its close date."""
    if "IsClosed" not in cells:
        return {}
    count = len(cells["Id"])
    closed_at = pa.nulls(count, MOMENT)
    if "CloseDate" in cells:
        day, _ = convert(cells["CloseDate"], "day", zone)
        closed_at = _not_before(day, found["created_at"]) if "created_at" in found else day
    if "LastStageChangeDate" in cells:
        changed, _ = convert(cells["LastStageChangeDate"], "moment", zone)
        closed_at = pc.coalesce(changed, closed_at)
    return {"closed_at": pc.if_else(pc.fill_null(found["is_closed"], False), closed_at, _nothing(MOMENT))}


def _task(cells: Columns, found: Columns, options: SalesforceOptions, zone: ZoneInfo) -> Columns:
    """A finished call began its duration before its end. A negative duration was not measured."""
    more = _references(cells, found)
    count = len(cells["Id"])
    more["kind"] = pa.repeat(pa.scalar("task"), count)
    if "TaskSubtype" in cells:
        more["kind"] = pc.coalesce(_looked_up(cells["TaskSubtype"], TASK_KINDS, "other"), more["kind"])
    if "CallType" in cells:
        more["direction"] = _looked_up(cells["CallType"], DIRECTIONS, None)
    if "CallDisposition" in cells:
        more["outcome"] = _looked_up(cells["CallDisposition"], options.outcomes, None)
    seconds = pa.nulls(count, pa.float64())
    if "CallDurationInSeconds" in cells:
        seconds = more["duration"] = _measured(cells["CallDurationInSeconds"], 1.0)
    started = pa.nulls(count, MOMENT)
    if "ended_at" in found:
        length = pc.cast(pc.multiply(pc.fill_null(seconds, 0.0), float(_SECOND)), pa.int64())
        started = pc.subtract(found["ended_at"], length.cast(pa.duration("us")))
    if "ActivityDate" in cells:
        due, _ = convert(cells["ActivityDate"], "day", zone)
        started = pc.coalesce(started, due)
    more["started_at"] = started
    return more


def _event(cells: Columns, found: Columns, options: SalesforceOptions, zone: ZoneInfo) -> Columns:
    """An all-day event stands at midnight UTC of its day and measures no time; one may have only its end."""
    more = _references(cells, found)
    count = len(cells["Id"])
    more["kind"] = pa.repeat(pa.scalar("meeting"), count)
    all_day = pa.repeat(pa.scalar(False), count)
    if "IsAllDayEvent" in cells:
        all_day = pc.fill_null(pc.equal(cells["IsAllDayEvent"], "true"), False)
        if "ActivityDate" in cells and "started_at" in found and pc.any(all_day).as_py():
            # The day is meant in every zone; the moment in UTC would be another day to the west.
            day, _ = convert(cells["ActivityDate"], "day", zone)
            more["started_at"] = pc.if_else(
                all_day, pc.coalesce(day, found["started_at"]), found["started_at"]
            )
    if "DurationInMinutes" in cells:
        measured = _measured(cells["DurationInMinutes"], 60.0)
        more["duration"] = pc.if_else(all_day, _nothing(pa.float64()), measured)
    return more


def _references(cells: Columns, found: Columns) -> dict[str, pa.Array]:
    """WhoId and WhatId point to objects of many kinds; their first three characters say which."""
    more: dict[str, pa.Array] = {}
    for column, fields in (("WhoId", ("lead_id", "contact_id")), ("WhatId", ("deal_id", "account_id"))):
        if column not in cells:
            continue
        identifiers, _ = convert(cells[column], "id", ZoneInfo("UTC"))
        for name in fields:
            is_one = pc.fill_null(pc.starts_with(identifiers, PREFIXES[name]), False)
            pointed = pc.if_else(is_one, identifiers, _nothing(pa.string()))
            more[name] = pc.coalesce(pointed, found[name]) if name in found else pointed
    return more


def _looked_up(cells: pa.Array, table: Mapping[str, str], other: str | None) -> pa.Array:
    encoded = cells.dictionary_encode()
    words = [table.get(cell, other) for cell in encoded.dictionary.to_pylist()]
    return pa.array(words, pa.string()).take(encoded.indices)


def _measured(cells: pa.Array, unit: float) -> pa.Array:
    """A duration in seconds; None where it is empty, negative or no number."""
    plain = pc.fill_null(pc.match_substring_regex(cells, r"^[0-9]{1,12}(\.[0-9]+)?$"), False)
    return pc.multiply(pc.if_else(plain, cells, _nothing(pa.string())).cast(pa.float64()), unit)


def _not_before(moments: pa.Array, earliest: pa.Array) -> pa.Array:
    return pc.if_else(pc.fill_null(pc.less(moments, earliest), False), earliest, moments)


def _nothing(kind: pa.DataType) -> pa.Scalar:
    return pa.scalar(None, kind)


DERIVED: Final[Mapping[str, Callable[..., Mapping[str, Any]]]] = {
    "User": _user,
    "Lead": _lead,
    "Opportunity": _opportunity,
    "Task": _task,
    "Event": _event,
}
