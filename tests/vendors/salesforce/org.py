"""The state of one org: objects, rows, users, permission sets, and the rules of writing."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from tests.shared_data import shared

INTEGRATION = "005000000000001AAA"
ADMIN = "005000000000002AAA"
ASSIGNED = "00G000000000009AAA"
"""The queue that the org's active lead assignment rule gives leads to."""
START = datetime(2026, 3, 1, 9, tzinfo=UTC)
SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


FURTHER = {
    "UserRole": ("00E", {"Id": "id"}),
    "LeadHistory": (
        "017",
        {"Id": "id", "LeadId": "reference", "OldValue": "anyType", "NewValue": "anyType"},
    ),
}
"""Objects of which only the fields' names are known: the prefix of ids, and types besides."""
TYPES = {"string": "string", "string | null": "string", "boolean": "boolean", "DateString": "datetime"}
PREFIXES: dict[str, str] = {}


class ApiError(Exception):
    """An answer other than success: status and the code and message of REST's envelope."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.code, self.message = status, code, message


@cache
def digest() -> dict[str, Any]:
    """Field attributes from recorded describes (see ORIGIN.md beside them)."""
    found: dict[str, Any] = json.loads(shared("vendors/salesforce/standard-fields.json").read_text("utf-8"))
    return found


@cache
def further() -> dict[str, dict[str, str]]:
    """Field names of all standard objects, as jsforce lists them."""
    path = shared("vendors/salesforce/jsforce/standard_object_fields.json")
    found: dict[str, dict[str, str]] = json.loads(path.read_text("utf-8"))
    return found


def spelled(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def full_id(prefix: str, number: int) -> str:
    body = f"{prefix}{number:012}"
    return body + "".join(
        SUFFIX[sum(1 << place for place, sign in enumerate(body[start : start + 5]) if sign.isupper())]
        for start in (0, 5, 10)
    )


@dataclass
class Job:
    id: str
    kind: str
    sobject: str
    operation: str
    rows: list[Any] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    state: str = "Open"
    content: bytes | None = None
    succeeded: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    failed: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    unprocessed: list[dict[str, str]] = field(default_factory=list)
    error: str | None = None
    polls: int = 0
    created_by: str = INTEGRATION


@dataclass
class Fault:
    """What happens to a request that `matches` (method, path, body), `times` times, after `skip` of them.

    `how`: `answer` (status, body, headers, nothing done), `drop` (the connection closes, nothing done),
    `lost` (done, and the connection closes), `cut` and `chunk_cut` (done, and the answer breaks off in the
    middle), `drip` (done, and the answer comes in small pieces).
    """

    matches: Callable[[str, str, bytes], bool]
    how: str = "answer"
    status: int = 503
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    skip: int = 0


class Org:
    """One org."""

    def __init__(self, name: str = "Acme") -> None:
        self.lock = threading.RLock()
        self.id, self.name = "00D000000000001EAA", name
        self.now = START
        self.numbers: Counter[str] = Counter()
        self.fields: dict[str, dict[str, dict[str, Any]]] = {}
        defaults = digest()["_defaults"]
        for sobject, known in digest()["objects"].items():
            fields = known["fields"]
            listed = fields if isinstance(fields, list) else [{"name": n, **f} for n, f in fields.items()]
            self.fields[sobject] = {each["name"]: {**defaults, **each} for each in listed}
        for sobject, (prefix, more) in FURTHER.items():
            PREFIXES[sobject] = prefix
            self.fields[sobject] = {
                name: {**defaults, "name": name, "type": more.get(name, TYPES[kind])}
                for name, kind in further()[sobject].items()
            }
        self.rows: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in self.fields}
        self.hidden: set[str] = set()
        """`Lead.Phone`: hidden from the integration user by field-level security."""
        self.disabled: set[str] = {"OpportunityFieldHistory"}
        self.created: set[str] = set()
        """Custom fields made through the Metadata API: nobody sees them without a permission set."""
        self.definitions: dict[str, str] = {}
        """What reading a custom field by the Metadata API gives, by `Lead.X__c`."""
        self.sets: dict[str, dict[str, Any]] = {}
        self.assigned: set[tuple[str, str]] = set()
        self.deleted_log: list[tuple[str, str, str]] = []
        self.tokens: dict[str, str] = {}
        self.refresh_tokens: set[str] = {"refresh-0"}
        self.rotates = False
        self.instance_url: str | None = None
        """What a token's answer names as the org's address, where that is another one than asked."""
        self.faults: list[Fault] = []
        self.otherwise: list[Callable[[str, int, bytes, dict[str, str]], tuple[int, bytes, dict[str, str]]]]
        self.otherwise = []
        """Other ways of saying the same: path, status, body and headers become what is sent."""
        self.packs = True
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.jobs: dict[str, Job] = {}
        self.cursors: dict[str, tuple[str, list[str], list[str], int]] = {}
        self.page_rows = 2_000
        self.bulk_rows: int | None = None
        """Rows of a bulk result page at most, below what is asked for."""
        self.polls_needed = 1
        self.not_in_bulk: set[str] = set()
        self.unprocessed_path = "unprocessedrecords"
        """The guide's spelling; it is not known whether a real org takes another one, too."""
        self.stops_after: int | None = None
        """Rows of an ingest job that are looked at; the others stay unprocessed."""
        self.locked: set[str] = set()
        self.rejected: set[str] = set()
        self.in_bin: list[str] = []
        self.limit = 100_000
        self.used = 0
        self.writes = 0
        for identifier, person in ((INTEGRATION, "crmbridge"), (ADMIN, "admin")):
            self.put("User", {"Id": identifier, "Name": person, "Email": f"{person}@example.com"})
        self.put("Organization", {"Id": self.id, "Name": name, "OrganizationType": "Enterprise Edition"})
        self.rows["Organization"][self.id]["IsSandbox"] = False
        self.advance(hours=1)

    # -- time and rows --

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)

    def new_id(self, sobject: str) -> str:
        self.numbers[sobject] += 1
        prefix = PREFIXES.get(sobject) or str(digest()["objects"][sobject]["keyPrefix"])
        return full_id(prefix, 1000 + self.numbers[sobject])

    def add_field(self, sobject: str, name: str, kind: str = "string", **more: Any) -> None:
        """A custom field of the org's own, visible to everybody."""
        self.fields[sobject][name] = {
            **digest()["_defaults"],
            "name": name,
            "type": kind,
            "custom": True,
            **more,
        }

    def remove_field(self, sobject: str, name: str) -> bool:
        """Take a custom field away, as an admin would: it goes to the bin, and out of all permission sets."""
        if self.fields.get(sobject, {}).pop(name, None) is None:
            return False
        full_name = f"{sobject}.{name}"
        self.created.discard(full_name)
        self.definitions.pop(full_name, None)
        self.in_bin.append(full_name)
        for row in self.rows[sobject].values():
            row.pop(name, None)
        for each in self.sets.values():
            each["fields"].pop(full_name, None)
        return True

    def put(self, sobject: str, values: Mapping[str, Any], user: str = ADMIN) -> str:
        """Make or change a row as a user would (all values are those of the API)."""
        identifier = values.get("Id") or self.new_id(sobject)
        stamp = spelled(self.now)
        row = self.rows[sobject].get(identifier)
        if row is None:
            row = {
                name: False if each["type"] == "boolean" else None
                for name, each in self.fields[sobject].items()
            }
            row |= {"Id": identifier, "CreatedDate": stamp, "CreatedById": user}
            if "OwnerId" in row:
                row["OwnerId"] = ADMIN
            if sobject == "User":
                row["IsActive"] = True
            self.rows[sobject][identifier] = row
        unknown = set(values) - set(self.fields[sobject])
        assert not unknown, f"{sobject} has no {unknown}"
        row.update(values)
        changed = {"SystemModstamp": stamp, "LastModifiedDate": stamp, "LastModifiedById": user}
        row |= {name: value for name, value in changed.items() if name in row and name not in values}
        return str(identifier)

    def delete(self, sobject: str, identifier: str, *, hard: bool = False) -> None:
        row = self.rows[sobject][identifier]
        row["IsDeleted"], row["SystemModstamp"] = True, spelled(self.now)
        self.deleted_log.append((sobject, identifier, spelled(self.now)))
        if hard:
            del self.rows[sobject][identifier]

    def undelete(self, sobject: str, identifier: str) -> None:
        row = self.rows[sobject][identifier]
        row["IsDeleted"], row["SystemModstamp"] = False, spelled(self.now)
        self.deleted_log = [entry for entry in self.deleted_log if entry[1] != identifier]

    def merge(self, sobject: str, master: str, loser: str) -> None:
        """The loser goes to the bin and names its master; the master is changed."""
        self.delete(sobject, loser)
        if "MasterRecordId" in self.fields[sobject]:
            self.rows[sobject][loser]["MasterRecordId"] = master
        self.put(sobject, {"Id": master})

    def convert(self, lead: str) -> dict[str, str]:
        """Convert a lead: its account, contact and opportunity, and the row of its history."""
        made = {
            "ConvertedAccountId": self.put("Account", {"Name": self.rows["Lead"][lead]["Company"]}),
            "ConvertedContactId": self.put("Contact", {"LastName": self.rows["Lead"][lead]["LastName"]}),
            "ConvertedOpportunityId": self.put("Opportunity", {"Name": "x", "StageName": "Prospecting"}),
        }
        more = {"IsConverted": True, "ConvertedDate": f"{self.now:%Y-%m-%d}", "Status": "Closed - Converted"}
        self.put("Lead", {"Id": lead, **made, **more})
        self.put("LeadHistory", {"LeadId": lead, "Field": "leadConverted"})
        return made

    def history(self, deal: str) -> str:
        """Salesforce keeps a row of OpportunityHistory for the stage a deal has now."""
        row = self.rows["Opportunity"][deal]
        names = ("StageName", "Amount", "CloseDate", "Probability")
        return self.put("OpportunityHistory", {"OpportunityId": deal, **{name: row[name] for name in names}})

    # -- who sees what --

    def visible(self, sobject: str, user: str = INTEGRATION) -> dict[str, dict[str, Any]]:
        found = {}
        for name, each in self.fields[sobject].items():
            full = f"{sobject}.{name}"
            if full in self.hidden and user == INTEGRATION:
                continue
            if full in self.created:
                grants = [
                    self.sets[label]["fields"][full]
                    for label, who in self.assigned
                    if who == user and full in self.sets[label]["fields"]
                ]
                if not any(grant["readable"] for grant in grants):
                    continue
                each = {**each, "updateable": any(grant["editable"] for grant in grants)}
            found[name] = each
        return found

    def exists(self, sobject: str) -> bool:
        return sobject in self.fields and sobject not in self.disabled

    # -- writing --

    def update(
        self, sobject: str, values: Mapping[str, Any], user: str, *, assign: bool
    ) -> tuple[str, str] | None:
        """Write one row; the error's code and message where it is refused."""
        identifier = str(values.get("Id") or values.get("id") or "")
        if not identifier:
            return "MISSING_ARGUMENT", "Id not specified in an update call"
        row = self.rows.get(sobject, {}).get(identifier)
        if row is None:
            return "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"
        if row.get("IsDeleted"):
            return "ENTITY_IS_DELETED", "entity is deleted"
        if sobject == "Lead" and row["IsConverted"]:
            return "CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead"
        if identifier in self.locked:
            self.locked.discard(identifier)
            return "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record"
        if identifier in self.rejected:
            return "FIELD_CUSTOM_VALIDATION_EXCEPTION", "the admin's rule says no"
        fields = self.visible(sobject, user)
        given = {name: value for name, value in values.items() if name not in ("attributes", "Id", "id")}
        for name, value in given.items():
            each = fields.get(name)
            if each is None:
                return "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject}"
            if not each["updateable"]:
                return "INVALID_FIELD_FOR_INSERT_UPDATE", f"Unable to create/update fields: {name}."
            problem = unfit(each, value)
            if problem:
                return problem
        for name, value in given.items():
            row[name] = held(fields[name], value)
        if assign and sobject == "Lead":
            row["OwnerId"] = ASSIGNED
        self.put(sobject, {"Id": identifier}, user)
        self.writes += 1
        return None

    def fault_for(self, method: str, path: str, body: bytes) -> Fault | None:
        for fault in self.faults:
            if fault.matches(method, path, body):
                if fault.skip:
                    fault.skip -= 1
                    return None
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    def calls(self, word: str = "", method: str = "") -> list[str]:
        """Requests so far whose path holds a word."""
        return [
            f"{verb} {path}"
            for verb, path, _, _ in self.requests
            if word in path and (not method or verb == method)
        ]


def unfit(each: Mapping[str, Any], value: Any) -> tuple[str, str] | None:
    """Why a field does not take a value, as Salesforce tells it."""
    name, kind = each["name"], each["type"]
    if value is None:
        return (
            None
            if kind != "boolean"
            else ("INVALID_TYPE_ON_FIELD_IN_RECORD", f"{name}: value not of required type")
        )
    text = str(value)
    if kind in ("double", "currency", "percent"):
        try:
            number = float(text)
        except ValueError:
            return "INVALID_TYPE_ON_FIELD_IN_RECORD", f"{name}: value not of required type: {text}"
        if abs(number) >= 10 ** (each["precision"] - each["scale"]):
            return "NUMBER_OUTSIDE_VALID_RANGE", f"{name}: value outside of valid range: {text}"
        return None
    if kind == "boolean":
        return None if text.lower() in ("true", "false") else ("INVALID_TYPE_ON_FIELD_IN_RECORD", name)
    if kind == "datetime":
        try:
            datetime.fromisoformat(text)
        except ValueError:
            return "INVALID_TYPE_ON_FIELD_IN_RECORD", f"{name}: value not of required type: {text}"
        return None if "T" in text else ("INVALID_TYPE_ON_FIELD_IN_RECORD", name)
    if kind == "picklist" and each["restrictedPicklist"]:
        choices = [entry["value"] for entry in each["picklistValues"]]
        if text not in choices:
            return (
                "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                f"{name}: bad value for restricted picklist field: {text}",
            )
    if each["length"] and len(text) > each["length"]:
        return "STRING_TOO_LONG", f"{name}: data value too large: {text[:20]} (max length={each['length']})"
    return None


def held(each: Mapping[str, Any], value: Any) -> Any:
    """A value as the org keeps it: rounded, trimmed, empty as null."""
    if value is None or value == "":
        return None
    if each["type"] in ("double", "currency", "percent"):
        return round(float(value), each["scale"])
    if each["type"] == "boolean":
        return value if isinstance(value, bool) else value.lower() == "true"
    if each["type"] == "datetime":
        return spelled(datetime.fromisoformat(str(value)).astimezone(UTC))
    return str(value).strip() or None
