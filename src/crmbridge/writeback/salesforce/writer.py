"""The `salesforce` writer: our fields on leads, contacts, accounts, opportunities and users."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from crmbridge.connectors.base import CheckItem, Context
from crmbridge.connectors.salesforce.client import Client
from crmbridge.connectors.salesforce.decode import cells_of_rows, own_values
from crmbridge.connectors.salesforce.errors import Lost, Refused, policy
from crmbridge.connectors.salesforce.objects import CARRIERS
from crmbridge.connectors.salesforce.schema import describe, own_names
from crmbridge.errors import AuthError, QuotaError, SettingsError, TransientError
from crmbridge.model.fields import FieldValue, fields_on
from crmbridge.model.records import ObjectName
from crmbridge.writeback.base import Change, InstallStep, Outcome, Writer
from crmbridge.writeback.salesforce import ingest
from crmbridge.writeback.salesforce.fields import described_problem, placed
from crmbridge.writeback.salesforce.install import install, uninstall
from crmbridge.writeback.salesforce.values import csv_files, json_record

COLLECTION: Final = 200
"""Records a Collections request takes."""
IDS_AT_ONCE: Final = 600
"""Ids in one query's URL."""
ROW_TRIES: Final = 3
HEADERS: Final = {
    # Without it the org's active assignment rule gives the lead to somebody else.
    "Sforce-Auto-Assign": "FALSE",
    # Rules that warn of duplicates do not stand in the way of a score; rules that block do.
    "Sforce-Duplicate-Rule-Header": "allowSave=true",
    "Sforce-Call-Options": "client=crmbridge",
}


class SalesforceWriter(Writer):
    """Writes by sObject Collections, and by one Bulk API 2.0 update job where there are many changes."""

    name: ClassVar[str] = "salesforce"
    objects: ClassVar[tuple[ObjectName, ...]] = tuple(CARRIERS)
    batch_size: ClassVar[int] = 100_000

    def __init__(self, context: Context, *, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(context)
        self.client = Client(context, sleep=sleep)
        self._fields: dict[ObjectName, Mapping[str, Mapping[str, Any]]] = {}
        self._is_settled = False

    def install(self, *, dry_run: bool) -> Iterator[InstallStep]:
        user = self.context.install_for or self.client.user_id()
        yield from install(self.client, self.context.fields, user, dry_run=dry_run)
        self._fields.clear()

    def uninstall(self, *, dry_run: bool) -> Iterator[InstallStep]:
        yield from uninstall(self.client, dry_run=dry_run)
        self._fields.clear()

    def check(self) -> Iterator[CheckItem]:
        """One line for each object: whether all our fields are there and can be written."""
        for object_name, sobject in CARRIERS.items():
            wanted = [each for each in placed(self.context.fields) if each.object == object_name]
            if not wanted:
                continue
            described = self._described(object_name)
            names = own_names(object_name, self.context.fields, described)
            problems = [
                (each.name, *found)
                for each in wanted
                if (found := described_problem(each, described.get(names.get(each.field.key, ""))))
            ]
            name = f"fields on {sobject}"
            if problems:
                detail = "; ".join(f"{field} {what}" for field, what, _ in problems)
                yield CheckItem(name, "failed", detail, problems[0][2])
            else:
                yield CheckItem(name, "ok", f"{len(wanted)} can be written")

    def read(self, object_name: ObjectName, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        """A field that is not there holds nothing."""
        self._settle()
        keys = [each.key for each in fields_on(object_name, self.context.fields)]
        names = self._names(object_name)
        columns = ["Id", *(names[key] for key in keys if key in names)]
        held: dict[str, Mapping[str, FieldValue]] = {}
        for start in range(0, len(ids), IDS_AT_ONCE):
            wanted = ",".join(f"'{_safe(each)}'" for each in ids[start : start + IDS_AT_ONCE])
            soql = (
                f"SELECT {','.join(columns)} FROM {CARRIERS[object_name]} "  # noqa: S608
                f"WHERE Id IN ({wanted})"
            )
            rows = self.client.query(soql, kind="verify")
            cells = cells_of_rows(rows, columns)
            values = [
                own_values(key, cells[names[key]]) if key in names else [None] * len(rows) for key in keys
            ]
            for row, *found in zip(rows, *values, strict=True):
                held[row["Id"]] = dict(zip(keys, found, strict=True))
        return held

    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        self._settle()
        names = self._names(object_name)
        missing = sorted({key for change in changes for key in change.values} - names.keys())
        if missing:
            raise SettingsError(
                f"the fields {', '.join(missing)} are not there on {CARRIERS[object_name]}, or not visible "
                "to the integration user.",
                connection=self.context.connection,
                remedy=f"Run `crmbridge install {self.context.connection}`.",
            )
        if len(changes) > self.client.options.bulk_changes:
            return self._by_bulk(CARRIERS[object_name], changes, names)
        return self._by_collections(CARRIERS[object_name], changes, names)

    def close(self) -> None:
        self.client.close()

    # -- Collections --

    def _by_collections(
        self, sobject: str, changes: Sequence[Change], names: Mapping[str, str]
    ) -> list[Outcome]:
        outcomes: dict[str, Outcome] = {}
        waiting = list(changes)
        for turn in range(ROW_TRIES):
            if turn:
                self.client.sleep(2.0**turn)
            for start in range(0, len(waiting), COLLECTION):
                chunk = waiting[start : start + COLLECTION]
                try:
                    found = self._chunk(sobject, chunk, names)
                except (AuthError, QuotaError, TransientError) as error:
                    if not outcomes:  # nothing of this call has been sent
                        if isinstance(error, TransientError):
                            return [_later(change.id, error) for change in changes]
                        raise
                    rest = (change.id for change in waiting[start:])
                    outcomes |= {identifier: _later(identifier, error) for identifier in rest}
                    return list(outcomes.values())
                outcomes |= {outcome.id: outcome for outcome in found}
            waiting = [change for change in waiting if outcomes[change.id].state == "retry"]
            if not waiting:
                break
        return list(outcomes.values())

    def _chunk(self, sobject: str, chunk: Sequence[Change], names: Mapping[str, str]) -> list[Outcome]:
        body = {"allOrNone": False, "records": [json_record(each, sobject, names) for each in chunk]}
        try:
            answers = self.client.change(
                "PATCH", "composite/sobjects", kind="write", headers=HEADERS, json=body
            )
        except Lost:
            return [Outcome(change.id, "unknown") for change in chunk]
        except Refused as error:
            return [Outcome(change.id, "rejected", error.code, error.message) for change in chunk]
        if not isinstance(answers, list) or len(answers) != len(chunk):
            return [Outcome(change.id, "unknown") for change in chunk]
        # Answers come in the order of the records.
        return [_outcome(change.id, answer) for change, answer in zip(chunk, answers, strict=True)]

    # -- Bulk API 2.0 --

    def _by_bulk(self, sobject: str, changes: Sequence[Change], names: Mapping[str, str]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for content, count in csv_files(changes, names):
            ids = [change.id for change in changes[len(outcomes) : len(outcomes) + count]]
            try:
                outcomes += ingest.write(self.client, sobject, content, ids)
            except (AuthError, QuotaError, TransientError) as error:
                if not outcomes and not isinstance(error, TransientError):
                    raise
                rest = changes[len(outcomes) :]
                return outcomes + [_later(change.id, error) for change in rest]
            if any(outcome.state == "unknown" for outcome in outcomes):
                self._is_settled = False
        return outcomes

    def _settle(self) -> None:
        if not self._is_settled:
            ingest.settle_former(self.client)
            self._is_settled = True

    # -- the org's fields --

    def _described(self, object_name: ObjectName) -> Mapping[str, Mapping[str, Any]]:
        if object_name not in self._fields:
            found = describe(self.client, CARRIERS[object_name])
            self._fields[object_name] = {field["name"]: field for field in found["fields"]} if found else {}
        return self._fields[object_name]

    def _names(self, object_name: ObjectName) -> dict[str, str]:
        return own_names(object_name, self.context.fields, self._described(object_name))


def _safe(identifier: str) -> str:
    return "".join(sign for sign in identifier if sign.isalnum())


def _later(identifier: str, error: AuthError | QuotaError | TransientError) -> Outcome:
    return Outcome(identifier, "retry", type(error).__name__, error.said or error.what)


def _outcome(identifier: str, answer: Mapping[str, Any]) -> Outcome:
    if answer.get("success"):
        return Outcome(identifier, "sent")
    error: Mapping[str, Any] = next(iter(answer.get("errors") or []), {})
    code = str(error.get("statusCode") or error.get("errorCode") or "REFUSED")
    message = str(error.get("message") or "")
    state = "retry" if policy(code, message) in ("passing", "quota") else "rejected"
    return Outcome(identifier, state, code, message)  # type: ignore[arg-type]
