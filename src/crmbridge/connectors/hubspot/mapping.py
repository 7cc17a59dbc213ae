"""From HubSpot's records to the columns of the common model; pure.

Every value of a property is a text, null or "" (HubSpot holds nothing). A record whose fields do not fit the
model is set aside. Attributes stay the texts they are: what spells a number is one to a metric.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from operator import itemgetter
from typing import Any, Final
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from crmbridge.connectors.base import SetAside
from crmbridge.connectors.hubspot import objects
from crmbridge.connectors.hubspot.moments import day, moment
from crmbridge.connectors.hubspot.objects import HubSpotObject
from crmbridge.connectors.hubspot.own import OWN, understood
from crmbridge.connectors.hubspot.schema import Property
from crmbridge.connectors.hubspot.stages import Stages
from crmbridge.model.columns import ABSENT, attribute_column, schema
from crmbridge.model.fields import FieldValue, fields_on, hubspot_name
from crmbridge.model.records import Money, ObjectName

Raw = Mapping[str, Any]
Values = dict[str, Any]
_RAW_LENGTH: Final = 500
_LONGEST_ID: Final = 255
_MOST: Final = 2**62
_MONEY: Final[TypeAdapter[Decimal]] = TypeAdapter(Money)
_SUITS: Final[Mapping[str, frozenset[str]]] = {
    "int64": frozenset({"number"}),
    "decimal128(38, 9)": frozenset({"number"}),
    "timestamp[us, tz=UTC]": frozenset({"datetime", "date"}),
    "date32[day]": frozenset({"datetime", "date"}),
}
"""Types of properties a field of such a column can come from; a text can come from any."""


@dataclass(frozen=True)
class Facts:
    """What else a record's meaning depends on."""

    zone: ZoneInfo
    stages: Stages = field(default_factory=Stages)
    currency: str | None = None
    lead_is_contact: bool = False
    entries: Sequence[str] = ()
    """Properties that hold when a stage was entered."""


@dataclass(frozen=True)
class Decoded:
    """A block of records: those that fit as a table, and the others."""

    table: pa.Table
    set_aside: tuple[SetAside, ...]
    held: Mapping[str, Mapping[str, FieldValue]]


class Mapper:
    """How the records of one type become records of one object."""

    def __init__(
        self,
        object_name: ObjectName,
        kind: HubSpotObject,
        properties: Mapping[str, Property],
        facts: Facts,
        *,
        fields: Sequence[str],
        chosen: Mapping[str, str],
        bodies: bool,
    ) -> None:
        entries = tuple(name for name in sorted(properties) if name.startswith(objects.ENTRIES))
        self.object_name, self.kind, self.facts = object_name, kind, replace(facts, entries=entries)
        self.schema = schema(object_name)
        self.sources = self._sources(properties, chosen)
        self.own = {
            hubspot_name(each.key): each
            for each in fields_on(object_name, fields)
            if hubspot_name(each.key) in properties
        }
        # A stage is shown by its label; its id stays an attribute.
        named = {name for name in self.sources.values() if name not in objects.STAGES}
        left_out = {*named, *objects.STAMPS, *(() if bodies else kind.bodies)}
        self.attributes = [
            name
            for name in sorted(properties)
            if name not in left_out and name not in OWN and not name.startswith(objects.CLOCKS)
        ]
        asked = {*kind.asks, *objects.STAMPS} & properties.keys()
        self.asked = sorted({*self.sources.values(), *self.attributes, *self.own, *asked})
        self._links = {link.field for link in kind.links}
        self._derive = _DERIVED.get(kind.name if object_name == "activity" else object_name)
        self._prefix = f"{objects.KINDS[kind.name]}-" if object_name == "activity" else ""
        self._convert: dict[str, Callable[[str], Any]] = {
            name: self._converter(self.schema.field(name).type, properties[source].type)
            for name, source in self.sources.items()
        }

    def _sources(self, properties: Mapping[str, Property], chosen: Mapping[str, str]) -> dict[str, str]:
        """The property each field comes from."""
        found = {}
        for name, candidates in {
            **self.kind.fields,
            **{key: (name,) for key, name in chosen.items()},
        }.items():
            suits = _SUITS.get(str(self.schema.field(name).type))
            for candidate in candidates:
                known = properties.get(candidate)
                if known is not None and (suits is None or known.type in suits or name in chosen):
                    found[name] = candidate
                    break
        return found

    def _converter(self, kind: pa.DataType, source: str) -> Callable[[str], Any]:
        if pa.types.is_timestamp(kind):
            return moment
        if pa.types.is_date(kind):
            return day if source == "date" else self._day
        if pa.types.is_decimal(kind):
            return _money
        if pa.types.is_integer(kind):
            return _count
        if pa.types.is_boolean(kind):
            return _flag
        return float if pa.types.is_floating(kind) else str

    def _day(self, text: str) -> date | None:
        """Of a moment it is the day in the connection's zone."""
        if len(text) == len("2026-01-31"):
            return date.fromisoformat(text)
        at = moment(text)
        return None if at is None else at.astimezone(self.facts.zone).date()

    def identity(self, raw: Raw) -> str:
        """The record's id in the model: activities' ids are unique only with their kind."""
        return self._prefix + str(raw["id"])

    def decode(self, records: Sequence[Raw], links: Mapping[str, Mapping[str, str]]) -> Decoded:
        """Records with the ids they are linked with (`links[id][field]`) as a table."""
        rows, kept, aside = [], [], []
        held: dict[str, Mapping[str, FieldValue]] = {}
        for raw in records:
            properties = raw.get("properties") or {}
            try:
                rows.append(self._row(raw, properties, links.get(str(raw["id"]), {})))
            except (ValueError, InvalidOperation) as error:
                aside.append(self._aside(raw, str(error)))
                continue
            kept.append(properties)
            if self.own:
                held[str(raw["id"])] = {
                    each.key: understood(each, properties.get(name)) for name, each in self.own.items()
                }
        return Decoded(self._table(rows, kept), tuple(aside), held)

    def _row(self, raw: Raw, properties: Raw, links: Mapping[str, str]) -> Values:
        row: Values = {
            "id": self.identity(raw),
            "created_at": moment(raw.get("createdAt") or _first(properties, objects.CREATED)),
            "modified_at": moment(raw.get("updatedAt") or properties.get(self.kind.stamp)),
            **links,
        }
        if len(row["id"]) > _LONGEST_ID:
            raise ValueError("id: it is too long")
        for name, source in self.sources.items():
            text = properties.get(source)
            if text is None or text == "":
                row[name] = None
                continue
            try:
                row[name] = self._convert[name](text if type(text) is str else _text(text))
            except (ValueError, InvalidOperation) as error:
                raise ValueError(f"{name}: {source} = {str(text)[:60]!r} does not fit") from error
        if self._derive is not None:
            self._derive(row, properties, self.facts)
        return row

    def _table(self, rows: Sequence[Values], kept: Sequence[Raw]) -> pa.Table:
        shown = {"id", "created_at", "modified_at", *self.sources, *self._links}
        shown |= _DERIVES.get(self.object_name, frozenset())
        names = self.schema.names[:-1]
        columns: dict[str, pa.Array] = {
            name: pa.array([row.get(name) for row in rows], self.schema.field(name).type) for name in names
        }
        absent = ",".join(sorted(name for name in names if name not in shown))
        columns[ABSENT] = pa.array([absent] * len(rows), pa.string())
        for name, cells in zip(self.attributes, _cells(kept, self.attributes), strict=True):
            columns[attribute_column(name)] = cells
        return pa.table(columns)

    def _aside(self, raw: Raw, reason: str) -> SetAside:
        text = json.dumps(raw.get("properties"), ensure_ascii=False)
        place = str(raw.get("url") or f"{self.kind.name} {raw['id']}")
        return SetAside(
            self.object_name,
            place,
            reason,
            self.identity(raw),
            text[:_RAW_LENGTH] + "…" * (len(text) > _RAW_LENGTH),
        )


def _cells(kept: Sequence[Raw], names: Sequence[str]) -> Iterator[pa.Array]:
    """The tagged cells of each attribute. All records of an answer show the same properties, as a rule, and
    their values are texts: then columns are cut out and tagged at once.
    """
    if len(names) > 1:
        cut = itemgetter(*names)
        try:
            columns = [pa.array(column, pa.string()) for column in zip(*map(cut, kept), strict=True)]
        except (KeyError, pa.ArrowTypeError, pa.ArrowInvalid):
            columns = []
        if columns:
            for column in columns:
                tagged = pc.binary_join_element_wise(pa.scalar('"'), column, pa.scalar(""))
                nothing = pc.fill_null(pc.equal(column, ""), True)
                yield pc.if_else(nothing, pa.scalar("null"), tagged)
            return
    for name in names:
        yield pa.array([_cell(each.get(name), name in each) for each in kept], pa.string())


def _cell(value: object, is_shown: bool) -> str | None:
    if value is None or value == "":
        return "null" if is_shown else None
    return '"' + _text(value)


def _text(value: object) -> str:
    """HubSpot's values are texts; should one come as a JSON value all the same, its spelling."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def _first(properties: Raw, names: Sequence[str]) -> object:
    return next((properties[name] for name in names if properties.get(name)), None)


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _count(text: str) -> int:
    number = Decimal(text)
    if not number.is_finite() or number != number.to_integral_value() or not 0 <= number <= _MOST:
        raise ValueError(text)
    return int(number)


def _money(text: str) -> Decimal:
    try:
        return _MONEY.validate_python(text)
    except ValidationError as error:
        raise ValueError(text) from error


def _number(text: object) -> float | None:
    try:
        return float(str(text)) if text not in (None, "") else None
    except ValueError:
        return None


def _lead(row: Values, properties: Raw, facts: Facts) -> None:
    if facts.lead_is_contact:
        dates = [
            moment(properties.get(f"hs_lifecyclestage_{stage}_date")) or _entered(properties, stage, facts)
            for stage in ("opportunity", "customer")
        ]
        entered = [at for at in dates if at is not None]
        is_converted = bool(entered) or properties.get("lifecyclestage") in objects.CONVERTED_STAGES
        converted_at = min(entered, default=None)
        is_disqualified = not is_converted and row.get("status") in objects.DISQUALIFIED_STATUSES
    else:
        stage = str(properties.get("hs_pipeline_stage") or "")
        if row.get("status") == stage:
            row["status"] = facts.stages.label(stage)
        told = next(filter(None, (properties.get(name) for name in objects.CATEGORIES)), None)
        category = str(told).upper() if told else facts.stages.category(stage)
        is_converted, is_disqualified = category == "QUALIFIED", category in objects.DISQUALIFIED_STATUSES
        entered_at = _entered(properties, stage, facts) if is_converted or is_disqualified else None
        converted_at = entered_at if is_converted else None
        row["closed_at"] = entered_at
    row["is_converted"], row["is_disqualified"] = is_converted, is_disqualified
    row["converted_at"] = converted_at
    if not is_converted:
        # What a lead is linked with from the start is no conversion.
        row |= dict.fromkeys(("converted_account_id", "converted_contact_id", "converted_deal_id"))


def _entered(properties: Raw, stage: str, facts: Facts) -> datetime | None:
    """When the record entered its stage: HubSpot puts the stage's id into the property's name, and a number
    of the portal's own behind it where the id is no number.
    """
    name = "".join(letter if letter.isalnum() else "_" for letter in stage).lower()
    for beginning in objects.ENTRIES:
        exact = beginning + name
        for known in facts.entries:
            text = properties.get(known)
            if text and (
                known == exact or (known.startswith(f"{exact}_") and known[len(exact) + 1 :].isdigit())
            ):
                return moment(text)
    return None


def _deal(row: Values, properties: Raw, facts: Facts) -> None:
    stage = facts.stages.of(str(row.get("stage") or ""))
    if stage is not None:
        row["stage"] = stage.label
        row["is_closed"], row["is_won"] = stage.is_closed, stage.is_won
    else:  # the stage or its pipeline is deleted
        row["is_won"] = properties.get("hs_is_closed_won") == "true"
        row["is_closed"] = row["is_won"] or properties.get("hs_is_closed") == "true"
    row["closed_at"] = moment(properties.get("closedate")) if row["is_closed"] else None
    if row.get("currency") is None and row.get("amount") is not None:
        row["currency"] = facts.currency


def _call(row: Values, properties: Raw, facts: Facts) -> None:
    row["kind"] = "call"
    row["direction"] = {"INBOUND": "inbound", "OUTBOUND": "outbound"}.get(
        str(properties.get("hs_call_direction"))
    )
    duration = _number(properties.get("hs_call_duration"))
    row["duration"] = duration / 1000 if duration is not None and duration > 0 else None
    disposition, status = properties.get("hs_call_disposition"), properties.get("hs_call_status")
    row["outcome"] = (
        objects.DISPOSITIONS.get(str(disposition), "other")
        if disposition
        else objects.CALL_STATUSES.get(str(status))
    )
    row["is_completed"] = status in (None, "", "COMPLETED") or row["outcome"] is not None
    if row.get("started_at") is not None and row["duration"] is not None:
        row["ended_at"] = _after(row["started_at"], row["duration"])


def _meeting(row: Values, properties: Raw, facts: Facts) -> None:
    row["kind"] = "meeting"
    outcome = properties.get("hs_meeting_outcome")
    row["outcome"] = objects.MEETING_OUTCOMES.get(str(outcome), "other") if outcome else None
    row["is_completed"] = row["outcome"] == "held"
    started, ended = row.get("started_at"), row.get("ended_at")
    if started is not None and ended is not None and ended > started and row["outcome"] in ("held", None):
        row["duration"] = (ended - started).total_seconds()


def _email(row: Values, properties: Raw, facts: Facts) -> None:
    row["kind"] = "email"
    direction, outcome = objects.EMAIL_DIRECTIONS.get(
        str(properties.get("hs_email_direction")), (None, "other")
    )
    failed = str(properties.get("hs_email_status")) in ("BOUNCED", "FAILED")
    row["direction"], row["outcome"] = direction, "other" if failed else outcome
    row["is_completed"] = not failed


def _task(row: Values, properties: Raw, facts: Facts) -> None:
    row["kind"] = "task"
    row["is_completed"] = properties.get("hs_task_status") == "COMPLETED"


def _note(row: Values, properties: Raw, facts: Facts) -> None:
    row["kind"], row["is_completed"] = "note", True


def _after(started: datetime, seconds: float) -> datetime:
    return started + timedelta(seconds=seconds)


_DERIVED: Final[Mapping[str, Callable[[Values, Raw, Facts], None]]] = {
    "lead": _lead,
    "deal": _deal,
    "calls": _call,
    "meetings": _meeting,
    "emails": _email,
    "tasks": _task,
    "notes": _note,
}
_DERIVES: Final[Mapping[ObjectName, frozenset[str]]] = {
    "lead": frozenset({"is_converted", "is_disqualified", "converted_at", "closed_at"}),
    "deal": frozenset({"is_closed", "is_won", "closed_at", "currency"}),
    "activity": frozenset(
        {"kind", "direction", "duration", "outcome", "is_completed", "started_at", "ended_at", "lead_id"}
    ),
}
