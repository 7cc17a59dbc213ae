"""Salesforce for the conformance suite: the connector and writer against the stand-in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from crmbridge.connectors.base import Connector, Context
from crmbridge.connectors.salesforce import SalesforceConnector, SalesforceOptions
from crmbridge.connectors.salesforce.objects import CARRIERS, sobjects_of
from crmbridge.model.fields import FieldValue, fields_on, salesforce_name
from crmbridge.model.records import ObjectName, Record
from crmbridge.testing import Subject, context
from crmbridge.writeback.base import Writer
from crmbridge.writeback.salesforce import SalesforceWriter
from tests.vendors.salesforce.org import ADMIN, INTEGRATION, Fault, spelled
from tests.vendors.salesforce.server import Stand


def settings(stand: Stand, **more: Any) -> SalesforceOptions:
    given = {"instance_url": stand.url, "client_id": "app", **more}
    return SalesforceOptions.model_validate(given)


def world(stand: Stand, *, secret: str = "hush", **more: Any) -> Context:
    """A context whose clock is the org's."""
    options = settings(stand, **more.pop("options", {}))
    secrets = {"client_secret": secret, **more.pop("secrets", {})}
    return context(options, secrets=secrets, clock=lambda: stand.org.now, **more)


def no_sleep(seconds: float) -> None:
    """Waiting takes no time here."""


QUOTA = b'[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]'


class SalesforceSubject(Subject):
    objects = ("lead", "deal", "account", "contact", "rep")
    page_sizes = (None, 3, 7, 20)
    attribute = "Campaign_Code__c"
    keeps_ids = False
    faults = frozenset(
        {
            *("reject", "locked", "lost_answer", "lost_request", "conflict", "quota", "bad_record"),
            *("throttled", "read_quota", "denied", "new_field", "lost_field", "lost_own_field"),
        }
    )

    def __init__(self, stand: Stand, **options: Any) -> None:
        self.stand, self.org, self.options = stand, stand.org, options
        self.org.add_field("Lead", "Campaign_Code__c", length=255)

    def connector(self, *, page_size: int | None = None) -> Connector:
        self.org.page_rows, self.org.bulk_rows = page_size or 2_000, page_size
        return SalesforceConnector(
            world(self.stand, options=self.options, fields=self.writes), sleep=no_sleep
        )

    def writer(self) -> Writer:
        # An admin makes the fields for the user who writes them every day.
        admin = {**self.options, "client_id": "admin-app"}
        one = _Installing(world(self.stand, options=self.options, fields=self.writes), sleep=no_sleep)
        one.admin = world(self.stand, options=admin, fields=self.writes)
        return one

    def seed(self, records: Sequence[Record]) -> Sequence[str]:
        ids = []
        for record in records:
            (sobject, *_) = sobjects_of(record.object_name)
            shown = record.model_fields_set - {"attributes", "id"}
            columns = {each.field: each.column for each in sobject.sources}
            values = {columns[name]: _raw(getattr(record, name)) for name in shown if name in columns}
            ids.append(self.org.put(sobject.name, {**values, **record.attributes}))
        self.org.advance(minutes=30)
        return ids

    def update(self, object_name: ObjectName, identifier: str, field: str, value: str) -> None:
        (sobject, *_) = sobjects_of(object_name)
        column = next(each.column for each in sobject.sources if each.field == field)
        self.org.put(sobject.name, {"Id": identifier, column: value})
        self.org.advance(minutes=30)

    def delete(self, object_name: ObjectName, identifier: str) -> None:
        self.org.delete(CARRIERS[object_name], identifier)
        self.org.advance(minutes=30)

    def held(self, object_name: ObjectName, identifier: str) -> Mapping[str, FieldValue]:
        row = self.org.rows[CARRIERS[object_name]][identifier]
        return {each.key: row.get(salesforce_name(each.key)) for each in fields_on(object_name, self.writes)}

    def edit(self, object_name: ObjectName, identifier: str, key: str, value: FieldValue) -> None:
        self.org.put(CARRIERS[object_name], {"Id": identifier, salesforce_name(key): value})
        self.org.advance(minutes=30)

    def fault(self, name: str, identifier: str = "") -> None:
        def is_write(method: str, path: str, body: bytes) -> bool:
            return method == "PATCH" and "composite/sobjects" in path

        if name == "conflict":
            self.org.add_field("Lead", "CRMBridge_Score__c", "string", length=20)
            self.org.definitions["Lead.CRMBridge_Score__c"] = (
                '<records xsi:type="CustomField"><fullName>Lead.CRMBridge_Score__c</fullName>'
                "<label>Score</label><length>20</length><type>Text</type></records>"
            )
        elif name == "bad_record":
            self.org.put("Lead", {"LastName": "Bad", "NumberOfEmployees": -5})
            self.org.advance(minutes=30)
        elif name == "throttled":
            body = b'[{"message":"ConcurrentRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]'
            self.org.faults.append(Fault(lambda verb, path, _: "/query" in path, status=403, body=body))
        elif name == "read_quota":
            # The connector gives a page once it knows whether it is the last: two are read for one.
            self.org.faults.append(
                Fault(lambda verb, path, _: "/query/0r8" in path, status=403, body=QUOTA, skip=1)
            )
        elif name == "denied":
            self.org.tokens.clear()
            body = b'{"error":"invalid_client","error_description":"invalid client credentials"}'
            denied = Fault(lambda verb, path, _: "/oauth2/token" in path, status=400, body=body, times=10**6)
            self.org.faults.append(denied)
        elif name == "new_field":
            self.org.add_field("Lead", "Drifted__c", length=255)
            self.org.put("Lead", {"Id": identifier, "Drifted__c": "drifted"})
            self.org.advance(minutes=30)
        elif name == "lost_field":
            self.org.remove_field("Lead", str(self.attribute))
        elif name == "lost_own_field":
            self.org.remove_field("Lead", "CRMBridge_Score__c")
        elif name == "reject":
            self.org.rejected.add(identifier)
        elif name == "locked":
            self.org.locked.add(identifier)
        elif name == "quota":
            self.org.faults.append(Fault(is_write, status=403, body=QUOTA))
        else:
            self.org.faults.append(Fault(is_write, how={"lost_answer": "lost", "lost_request": "drop"}[name]))


class _Installing(SalesforceWriter):
    """A writer that installs as `crmbridge install NAME --as ADMIN` does."""

    admin: Context

    def install(self, *, dry_run: bool) -> Any:
        user = self.client.user_id()
        admin = SalesforceWriter(replace(self.admin, install_for=user), sleep=no_sleep)
        yield from admin.install(dry_run=dry_run)
        self._fields.clear()

    def uninstall(self, *, dry_run: bool) -> Any:
        yield from SalesforceWriter(self.admin, sleep=no_sleep).uninstall(dry_run=dry_run)
        self._fields.clear()


def _raw(value: Any) -> Any:
    if hasattr(value, "tzinfo"):
        return spelled(value)
    return value if value is None or isinstance(value, (str, int, bool, Decimal)) else str(value)


__all__ = ["ADMIN", "INTEGRATION", "SalesforceSubject", "no_sleep", "settings", "world"]
