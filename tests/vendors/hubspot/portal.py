"""A HubSpot portal in memory: its records, properties, pipelines, owners and associations, as its API shows
them. The README says what evidence pins each part; what HubSpot is not known to do is a switch.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]
TYPE_IDS = {
    "contacts": "0-1",
    "companies": "0-2",
    "deals": "0-3",
    "notes": "0-46",
    "meetings": "0-47",
    "calls": "0-48",
    "emails": "0-49",
    "tasks": "0-27",
    "orders": "0-123",
    "leads": "0-136",
}
ENGAGEMENTS = ("calls", "meetings", "emails", "tasks", "notes")
GROUP = "contactinformation"


def iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def millis(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def definition(name: str, kind: str = "string", **more: Any) -> Json:
    """A property as the API shows it."""
    shown = {"number": "number", "bool": "booleancheckbox", "enumeration": "select"}.get(kind, "text")
    read_only = more.pop("read_only", False)
    return {
        "name": name,
        "label": name,
        "type": kind,
        "fieldType": "date" if kind in ("date", "datetime") else shown,
        "description": "",
        "groupName": GROUP,
        "options": [],
        "displayOrder": -1,
        "calculated": False,
        "externalOptions": False,
        "hasUniqueValue": False,
        "hidden": False,
        "modificationMetadata": {
            "archivable": True,
            "readOnlyDefinition": False,
            "readOnlyValue": read_only,
        },
        "formField": True,
        "dataSensitivity": "non_sensitive",
        **more,
    }


def _fields(*texts: str, **kinds: str) -> list[tuple[str, str]]:
    return [*((text, "string") for text in texts), *kinds.items()]


_EVERY = [("hubspot_owner_id", "enumeration"), ("hs_merged_object_ids", "enumeration")]
STANDARD: Mapping[str, list[tuple[str, str]]] = {
    "contacts": _fields(
        "firstname", "lastname", "email", "phone", "jobtitle", "company", "industry", "country",
        "annualrevenue", "hs_analytics_source", "hs_lead_status", "lifecyclestage", "campaign_code",
        numemployees="enumeration", headcount="number", turnover="number",
        hs_lifecyclestage_opportunity_date="datetime", hs_lifecyclestage_customer_date="datetime",
    ),
    "companies": _fields(
        "name", "industry", "country", "website", "domain", "campaign_code",
        numberofemployees="number", annualrevenue="number",
    ),
    "deals": _fields(
        "dealname", "dealstage", "pipeline", "dealtype", "deal_currency_code", "hs_analytics_source",
        amount="number", closedate="datetime", hs_is_closed="bool", hs_is_closed_won="bool",
    ),
    "leads": _fields(
        "hs_lead_name", "hs_pipeline", "hs_pipeline_stage", "hs_pipeline_stage_category", "hs_lead_source",
        "hs_associated_contact_firstname", "hs_associated_contact_lastname", "hs_associated_contact_email",
        "hs_associated_company_name", "campaign_code", headcount="number", turnover="number",
        hs_v2_date_entered_qualified_stage_id="datetime",
    ),
    "orders": _fields(
        "hs_order_name", "hs_currency_code", "hs_fulfillment_status", hs_total_price="number",
        hs_external_created_date="datetime", hs_fulfilled_date="datetime",
    ),
    "calls": _fields(
        "hs_call_title", "hs_call_body", "hs_call_direction", "hs_call_status", "hs_call_disposition",
        hs_call_duration="number", hs_timestamp="datetime",
    ),
    "meetings": _fields(
        "hs_meeting_title", "hs_meeting_body", "hs_meeting_outcome",
        hs_timestamp="datetime", hs_meeting_start_time="datetime", hs_meeting_end_time="datetime",
    ),
    "emails": _fields(
        "hs_email_subject", "hs_email_text", "hs_email_html", "hs_email_direction", "hs_email_status",
        hs_timestamp="datetime",
    ),
    "tasks": _fields("hs_task_subject", "hs_task_body", "hs_task_status", hs_timestamp="datetime"),
    "notes": _fields("hs_note_body", hs_timestamp="datetime"),
}  # fmt: skip


@dataclass
class Switches:
    """What HubSpot is not known to do for sure (fact sheet, section 8), and what editions differ in."""

    trace_on_update: bool = True
    """objectWriteTraceId makes a batch update answer 207 with the bad records named; else 400 for all."""
    trace_refused: bool = False
    """A batch update does not know objectWriteTraceId and refuses it."""
    ids_as_text: bool = False
    """hs_object_id is ordered and compared as text in searches; else as a number."""
    mixed_ids: bool = False
    """hs_object_id is sorted one way and compared the other."""
    retry_after: bool = True
    """Answers with 429 carry Retry-After."""
    merged_redirects: bool = True
    """A batch read of a merged id gives the surviving record; else 207 OBJECT_NOT_FOUND."""
    same_value_bumps: bool = False
    """Writing an equal value changes the stamp."""
    restored_values: bool = False
    """A property brought back from the archive brings its values back."""
    durations_in_ms: bool = False
    """The unit of `hs_v2_latest_time_in_...` and the like; else seconds."""
    service_keys: bool = True
    """The edition takes service keys; else they are refused as unknown tokens."""
    restoring_bumps: bool = False
    """Bringing a record back from the bin changes its stamp."""
    linking_bumps: bool = False
    """A new association changes the stamps of the two records."""
    last_search_page_ends: bool = False
    """The last page a search may show names no next one, though there are more records."""
    refused_properties: frozenset[str] = frozenset()
    """Properties that a list names and a read refuses to show."""
    names_refused: bool = False
    """The refusal of a property says which one."""
    leads: bool = True
    lead_refusal: int = 403
    limit_headers: bool = True
    search_lag: timedelta = timedelta(0)
    """How far the search index runs behind."""
    orders: bool = True
    strict_url: int = 16_000


@dataclass
class Record:
    """One record; `history` holds all values of a property, oldest first."""

    id: str
    properties: dict[str, str]
    created: datetime
    updated: datetime
    archived: datetime | None = None
    history: dict[str, list[Json]] = field(default_factory=dict)


class Problem(Exception):
    """An error answer."""

    def __init__(self, status: int, category: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {
            "status": "error",
            "message": message,
            "correlationId": str(uuid.UUID(int=0)),
            "category": category,
            **more,
        }


class Portal:
    """The state of a portal. Methods named as a user's deeds are done behind the API's back."""

    def __init__(self, clock: Callable[[], datetime], portal_id: int = 4242) -> None:
        self.clock, self.portal_id = clock, portal_id
        self.switches = Switches()
        self.records: dict[str, dict[str, Record]] = {kind: {} for kind in TYPE_IDS}
        self.merged: dict[str, dict[str, str]] = {kind: {} for kind in TYPE_IDS}
        self.associations: dict[tuple[str, str], dict[str, list[Json]]] = {}
        self.properties: dict[str, dict[str, Json]] = {}
        self.archived_properties: dict[str, dict[str, Json]] = {kind: {} for kind in TYPE_IDS}
        self.in_use: set[str] = set()
        self.groups: dict[str, dict[str, Json]] = {}
        self.property_limit = 1_000
        self.rejects: dict[str, str] = {}
        """Ids of records whose writes a validation rule refuses, and its code."""
        for kind, standard in STANDARD.items():
            stamp = "lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"
            created = "createdate" if kind in ("contacts", "companies", "deals") else "hs_createdate"
            system = {stamp: "datetime", created: "datetime", "hs_object_id": "number"}
            self.properties[kind] = {
                name: definition(name, type_, read_only=name in system)
                for name, type_ in [*standard, *_EVERY, *system.items()]
            }
            self.groups[kind] = {
                GROUP: {"name": GROUP, "label": "Information", "displayOrder": 0, "archived": False}
            }
        self.owners: list[Json] = []
        self.pipelines: dict[str, list[Json]] = {"deals": [_deal_pipeline()], "leads": [_lead_pipeline()]}
        self._next = 100_000
        self.version = 0
        """Grows with every change, so that sorted lists can be kept between two."""
        self._lists: dict[tuple[str, bool], tuple[int, list[Record]]] = {}

    # What a user of the portal does

    def add(
        self,
        kind: str,
        properties: Mapping[str, str] | None = None,
        *,
        identifier: str | None = None,
        created: datetime | None = None,
        updated: datetime | None = None,
    ) -> str:
        """A new record. Without `updated` it is as old as its creation."""
        if identifier is None:
            self._next += 1
            identifier = str(self._next)
        made = created or self.clock()
        self.version += 1
        record = Record(identifier, {}, made, updated or made)
        self.records[kind][identifier] = record
        self.set(kind, identifier, properties or {}, at=record.updated, source="CRM_UI")
        return identifier

    def set(
        self,
        kind: str,
        identifier: str,
        properties: Mapping[str, str],
        *,
        at: datetime | None = None,
        source: str = "CRM_UI",
        user: int | None = None,
    ) -> bool:
        """Change values, as a user, or as the app does through the API; returns whether any differed."""
        record = self.records[kind][identifier]
        self.version += 1
        changed = {
            name: value for name, value in properties.items() if record.properties.get(name, "") != value
        }
        if changed or self.switches.same_value_bumps:
            record.updated = at or self.clock()
        for name, value in changed.items():
            record.properties[name] = value
            entry: Json = {"value": value, "timestamp": iso(record.updated), "sourceType": source}
            if user is not None:
                entry["updatedByUserId"] = user
            record.history.setdefault(name, []).append(entry)
        return bool(changed)

    def archive(self, kind: str, identifier: str) -> None:
        self.records[kind][identifier].archived = self.clock()
        self.version += 1

    def restore(self, kind: str, identifier: str) -> None:
        """Bring a record back from the bin."""
        record = self.records[kind][identifier]
        record.archived = None
        if self.switches.restoring_bumps:
            record.updated = self.clock()
        self.version += 1

    def merge(self, kind: str, winner: str, loser: str) -> None:
        """The loser's id goes on as another name of the winner."""
        del self.records[kind][loser]
        self.merged[kind][loser] = winner
        former = self.records[kind][winner].properties.get("hs_merged_object_ids", "")
        self.set(kind, winner, {"hs_merged_object_ids": ";".join(filter(None, [former, loser]))})

    def link(self, kind: str, one: str, to: str, other: str, *types: int) -> None:
        """Associate two records, both ways."""
        self._link(kind, one, to, other, types or (279,))
        self._link(to, other, kind, one, types or (280,))
        if self.switches.linking_bumps:
            for of, which in ((kind, one), (to, other)):
                self.records[of][which].updated = self.clock()
            self.version += 1

    def _link(self, kind: str, one: str, to: str, other: str, types: Iterable[int]) -> None:
        entry = {
            # HubSpot declares a text and sends a number.
            "toObjectId": int(other),
            "associationTypes": [
                {"category": "HUBSPOT_DEFINED", "typeId": type_id, "label": None} for type_id in types
            ],
        }
        self.associations.setdefault((kind, to), {}).setdefault(one, []).append(entry)

    # How the API shows it

    def live(self, kind: str, *, archived: bool = False) -> list[Record]:
        """Records by id, as a list shows them."""
        version, known = self._lists.get((kind, archived), (-1, []))
        if version != self.version:
            found = (each for each in self.records[kind].values() if (each.archived is not None) == archived)
            known = sorted(found, key=lambda each: int(each.id))
            self._lists[kind, archived] = self.version, known
        return known

    def value(self, kind: str, record: Record, name: str) -> str | None:
        stamp = "lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"
        if name == stamp:
            return iso(record.updated)
        if name in ("createdate", "hs_createdate"):
            return iso(record.created)
        if name == "hs_object_id":
            return record.id
        if name.startswith("hs_v2_latest_time_in_"):
            passed = self.clock() - record.created
            return str(int(passed.total_seconds() * (1_000 if self.switches.durations_in_ms else 1)))
        return record.properties.get(name)

    def shown(self, kind: str, record: Record, asked: Iterable[str], history: Iterable[str] = ()) -> Json:
        """A record in an answer: of the properties asked for those that are defined, null where empty."""
        known = self.properties[kind]
        names = [
            *asked,
            "hs_object_id",
            *(("lastmodifieddate",) if kind == "contacts" else ("hs_lastmodifieddate",)),
        ]
        body: Json = {
            "id": record.id,
            "properties": {name: self.value(kind, record, name) for name in names if name in known},
            "createdAt": iso(record.created),
            "updatedAt": iso(record.updated),
            "archived": record.archived is not None,
            "url": f"https://app.hubspot.com/contacts/{self.portal_id}/record/{TYPE_IDS[kind]}/{record.id}",
        }
        if record.archived is not None:
            body["archivedAt"] = iso(record.archived)
        wanted = [name for name in history if name in known]
        if wanted:
            body["propertiesWithHistory"] = {
                name: list(reversed(record.history.get(name, [])))[:20] for name in wanted
            }
        return body


def stage(identifier: str, label: str, **metadata: str) -> Json:
    """A stage of a pipeline as the API shows it."""
    return {
        "id": identifier,
        "label": label,
        "displayOrder": 0,
        "metadata": metadata,
        "createdAt": "1970-01-01T00:00:00Z",
        "updatedAt": "1970-01-01T00:00:00Z",
        "archived": False,
        "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
    }


def pipeline(identifier: str, label: str, stages: list[Json]) -> Json:
    """A pipeline as the API shows it."""
    moment = "1970-01-01T00:00:00Z"
    return {
        "id": identifier,
        "label": label,
        "displayOrder": 0,
        "stages": stages,
        "createdAt": moment,
        "updatedAt": moment,
        "archived": False,
    }


def _deal_pipeline() -> Json:
    stages = [
        stage("appointmentscheduled", "Appointment Scheduled", isClosed="false", probability="0.2"),
        stage("contractsent", "Contract Sent", isClosed="false", probability="0.9"),
        stage("closedwon", "Closed Won", isClosed="true", probability="1.0"),
        stage("closedlost", "Closed Lost", isClosed="true", probability="0.0"),
    ]
    return pipeline("default", "Sales Pipeline", stages)


def _lead_pipeline() -> Json:
    stages = [
        stage("new-stage-id", "New", isClosed="false"),
        stage("attempting-stage-id", "Attempting", isClosed="false"),
        stage("qualified-stage-id", "Qualified", isClosed="true"),
        stage("unqualified-stage-id", "Disqualified", isClosed="true"),
    ]
    return pipeline("lead-pipeline-id", "Lead pipeline", stages)
