"""A CRM in memory that behaves like a vendor's API: paged, strict, with faults on demand.

`MemoryCrm` is the vendor's side; `MemoryConnector` and `MemoryWriter` talk to it as ours talk to a vendor,
and `MemoryPlugin` registers them. Custom fields of ours live among the other fields of a row, writing them
bumps the row's stamp, and reading costs calls (so that plans start from what was held).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from crmbridge.connectors.base import CheckItem, Connector, Context, Cursor, Org, Page, SetAside
from crmbridge.errors import AuthError, QuotaError
from crmbridge.hookspecs import hookimpl
from crmbridge.model.fields import CATALOGUE, FieldValue, fields_on, hubspot_name, is_own_name
from crmbridge.model.records import RECORDS, ObjectName, Record
from crmbridge.writeback.base import Change, InstallStep, Outcome, Writer

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
READ_PAGE = 4


class Busy(Exception):
    """Too many calls: ask again."""


class NoAnswer(Exception):
    """The request left, and nothing came back."""


@dataclass
class Row:
    """A record as the vendor keeps it: flat, our fields among the others."""

    fields: dict[str, Any]
    modified_at: datetime
    deleted: bool = False


@dataclass
class MemoryCrm:
    """The vendor's side. `faults` are consumed by the calls they hit, except `reject:ID`."""

    org_id: str = "org-1"
    rows: dict[ObjectName, dict[str, Row]] = field(default_factory=dict)
    custom: dict[ObjectName, set[str]] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    """Names of fields that somebody else made, of a type that is not ours."""
    faults: list[str] = field(default_factory=list)
    calls: list[tuple[str, int]] = field(default_factory=list)
    now: datetime = START

    def tick(self) -> datetime:
        """Every change has a stamp of its own, later than all before."""
        self.now += timedelta(seconds=1)
        return self.now

    def put(self, object_name: ObjectName, identifier: str, values: Mapping[str, Any]) -> None:
        rows = self.rows.setdefault(object_name, {})
        row = rows.setdefault(identifier, Row({"id": identifier}, self.now))
        row.fields.update(values)
        row.modified_at, row.deleted = self.tick(), False

    def delete(self, object_name: ObjectName, identifier: str) -> None:
        row = self.rows[object_name][identifier]
        row.deleted, row.modified_at = True, self.tick()

    def query(
        self, object_name: ObjectName, after: tuple[str, str] | None, limit: int
    ) -> list[tuple[tuple[str, str], Row]]:
        """The next rows by (stamp, id), deleted ones among them."""
        keyed = (
            ((row.modified_at.isoformat(), identifier), row)
            for identifier, row in self.rows.get(object_name, {}).items()
        )
        if "denied" in self.faults:
            raise AuthError("the CRM refuses the sign-in.", remedy="Correct the password.")
        if after is not None and self._strikes("read_quota"):
            raise QuotaError("the daily limit is used up.")
        if self._strikes("throttled"):
            raise Busy
        page = sorted((key, row) for key, row in keyed if after is None or key > after)[:limit]
        self.calls.append(("query", len(page)))
        return page

    def get(self, object_name: ObjectName, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        if len(ids) > READ_PAGE:
            raise ValueError(f"at most {READ_PAGE} ids")
        self.calls.append(("get", len(ids)))
        rows = self.rows.get(object_name, {})
        return {
            identifier: dict(rows[identifier].fields)
            for identifier in ids
            if identifier in rows and not rows[identifier].deleted
        }

    def update(self, object_name: ObjectName, changes: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
        """Answers `ok`, `LOCKED`, or a code with a message, per record and in order."""
        if len({identifier for identifier, _ in changes}) != len(changes):
            raise ValueError("a record is there twice")
        self.calls.append(("update", len(changes)))
        if self._strikes("quota"):
            raise QuotaError("the daily limit is used up.")
        if self._strikes("lost_request"):
            raise NoAnswer
        answers = [self._update(object_name, identifier, values) for identifier, values in changes]
        if self._strikes("lost_answer"):
            raise NoAnswer
        return answers

    def _update(self, object_name: ObjectName, identifier: str, values: Mapping[str, Any]) -> str:
        row = self.rows.get(object_name, {}).get(identifier)
        if row is None or row.deleted:
            return "NOT_FOUND: the record is deleted"
        if f"reject:{identifier}" in self.faults:
            return "VALIDATION: the admin's rule says no"
        if self._strikes(f"locked:{identifier}"):
            return "LOCKED"
        for name, value in values.items():
            problem = self._problem(object_name, name, value)
            if problem:
                return problem
        row.fields.update(values)
        row.modified_at = self.tick()
        return "ok"

    def _problem(self, object_name: ObjectName, name: str, value: Any) -> str | None:
        if name not in self.custom.get(object_name, set()):
            return f"UNKNOWN_FIELD: {name}"
        ours = next(each for each in CATALOGUE.values() if hubspot_name(each.key) == name)
        if value is None:
            return None
        if ours.type == "number":
            good = isinstance(value, (int, float)) and round(value, ours.decimals) == value
        elif ours.type == "boolean":
            good = isinstance(value, bool)
        else:
            good = isinstance(value, str) and len(value) <= ours.length and value == value.strip() != ""
            good = good and (not ours.choices or value in ours.choices)
        return None if good else f"BAD_VALUE: {name} = {value!r}"

    def _strikes(self, fault: str) -> bool:
        if fault not in self.faults:
            return False
        self.faults.remove(fault)
        return True


ORGS: dict[str, MemoryCrm] = {}
"""The CRMs that connections can name in their settings."""


class MemoryOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    org: str
    page_size: int = 3


class MemoryConnector(Connector):
    name = "memory"
    Options = MemoryOptions

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        assert isinstance(context.options, MemoryOptions)
        self.crm, self.page_size = ORGS[context.options.org], context.options.page_size

    def objects(self) -> Sequence[ObjectName]:
        return [name for name in RECORDS if name in self.crm.rows]

    def org(self) -> Org:
        return Org(self.crm.org_id, "a CRM in memory")

    def check(self) -> Iterator[CheckItem]:
        denied = "denied" in self.crm.faults
        yield CheckItem("sign-in", "failed" if denied else "ok", self.crm.org_id)

    def pull(self, object_name: ObjectName, cursor: Cursor | None) -> Iterator[Page]:
        after = (str(cursor["stamp"]), str(cursor["id"])) if cursor else None
        while found := self._query(object_name, after):
            after = found[-1][0]
            yield self._page(object_name, [row for _, row in found], {"stamp": after[0], "id": after[1]})

    def _query(
        self, object_name: ObjectName, after: tuple[str, str] | None
    ) -> list[tuple[tuple[str, str], Row]]:
        while True:
            self.context.calls.add("read")
            try:
                return self.crm.query(object_name, after, self.page_size)
            except Busy:
                continue

    def _page(self, object_name: ObjectName, rows: Sequence[Row], cursor: Cursor) -> Page:
        records, aside, held = [], [], {}
        for row in rows:
            if row.deleted:
                continue
            identifier = row.fields["id"]
            try:
                records.append(_record(object_name, row))
            except ValidationError as error:
                reason = str(error.errors()[0]["msg"])
                aside.append(SetAside(object_name, identifier, reason, identifier))
            held[identifier] = _own(object_name, self.context.fields, row.fields)
        deleted = [row.fields["id"] for row in rows if row.deleted]
        return Page(object_name, records, cursor, deleted, aside, held)


class MemoryWriter(Writer):
    name = "memory"
    objects = ("lead", "contact", "account", "deal", "rep")
    batch_size = 6

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        assert isinstance(context.options, MemoryOptions)
        self.crm = ORGS[context.options.org]

    def install(self, *, dry_run: bool) -> Iterator[InstallStep]:
        conflicts = sorted({name for _, name in self._names()} & self.crm.foreign)
        for name in conflicts:
            yield InstallStep(name, "conflict", "Rename the field that has this name.")
        for object_name, name in () if conflicts else self._names():
            there = name in self.crm.custom.get(object_name, set())
            if not there and not dry_run:
                self.crm.custom.setdefault(object_name, set()).add(name)
            yield InstallStep(
                f"{object_name}.{name}", "present" if there else "planned" if dry_run else "done"
            )

    def uninstall(self, *, dry_run: bool) -> Iterator[InstallStep]:
        for object_name, names in self.crm.custom.items():
            for name in sorted(name for name in names if is_own_name(name)):
                yield InstallStep(f"{object_name}.{name}", "planned" if dry_run else "done")
                if not dry_run:
                    names.discard(name)
                    for row in self.crm.rows.get(object_name, {}).values():
                        row.fields.pop(name, None)

    def check(self) -> Iterator[CheckItem]:
        for object_name, name in self._names():
            there = name in self.crm.custom.get(object_name, set())
            yield CheckItem(f"{object_name}.{name}", "ok" if there else "failed", "" if there else "missing")

    def read(self, object_name: ObjectName, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        held = {}
        for start in range(0, len(ids), READ_PAGE):
            self.context.calls.add("read")
            for identifier, row in self.crm.get(object_name, ids[start : start + READ_PAGE]).items():
                held[identifier] = _own(object_name, self.context.fields, row)
        return held

    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        sent = [
            (change.id, {hubspot_name(key): value for key, value in change.values.items()})
            for change in changes
        ]
        self.context.calls.add("write")
        try:
            answers = self.crm.update(object_name, sent)
        except NoAnswer:
            return [Outcome(change.id, "unknown") for change in changes]
        return [_outcome(change.id, answer) for change, answer in zip(changes, answers, strict=True)]

    def _names(self) -> Iterator[tuple[ObjectName, str]]:
        for object_name in self.objects:
            for ours in fields_on(object_name, self.context.fields):
                yield object_name, hubspot_name(ours.key)


class MemoryPlugin:
    """Register with `Plugins.add("memory", MemoryPlugin(), source="tests")`."""

    @hookimpl
    def crmbridge_connectors(self) -> Sequence[type[Connector]]:
        return [MemoryConnector]

    @hookimpl
    def crmbridge_writers(self) -> Sequence[type[Writer]]:
        return [MemoryWriter]


def _record(object_name: ObjectName, row: Row) -> Record:
    model = RECORDS[object_name]
    known = {name: value for name, value in row.fields.items() if name in model.model_fields}
    others = {
        name: value
        for name, value in row.fields.items()
        if name not in model.model_fields and not is_own_name(name)
    }
    return model.model_validate({**known, "modified_at": row.modified_at, "attributes": others})


def _own(object_name: ObjectName, keys: Sequence[str], fields: Mapping[str, Any]) -> dict[str, FieldValue]:
    return {each.key: fields.get(hubspot_name(each.key)) for each in fields_on(object_name, keys)}


def _outcome(identifier: str, answer: str) -> Outcome:
    if answer == "ok":
        return Outcome(identifier, "sent")
    code, _, message = answer.partition(": ")
    return Outcome(identifier, "retry" if code == "LOCKED" else "rejected", code, message or None)
