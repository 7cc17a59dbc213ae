"""The stand-in as a subject of the conformance suite, and its parts that other tests use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from crmbridge.connectors.base import Connector, Context
from crmbridge.connectors.http import MemoryVault
from crmbridge.connectors.zoho import Options, ZohoConnector
from crmbridge.connectors.zoho.objects import BY_NAME, MODULES
from crmbridge.connectors.zoho.schema import label_of
from crmbridge.model.fields import CATALOGUE, FieldValue
from crmbridge.model.records import ObjectName, Record
from crmbridge.testing import Subject, context
from crmbridge.writeback.base import Writer
from crmbridge.writeback.zoho import ZohoWriter
from tests.vendors.zoho import ZohoServer
from tests.vendors.zoho.metadata import field
from tests.vendors.zoho.org import OFFSET
from tests.vendors.zoho.server import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN

SECRETS = {"client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN}
_LOOKUPS = {"account_id", "contact_id", "owner_id", "deal_id"}


def module_of(object_name: ObjectName) -> str:
    return next(module.name for module in MODULES if module.object == object_name)


class ZohoSubject(Subject):
    """An org of the stand-in; the CRM's clock is the org's, and ours runs with it."""

    objects = ("lead", "contact", "deal", "account")
    page_sizes = (None, 4)
    writes = tuple(CATALOGUE)
    faults = frozenset(
        {"reject", "locked", "lost_answer", "lost_request", "conflict", "quota", "bad_record", "throttled"}
        | {"read_quota", "denied", "new_field", "lost_field", "lost_own_field"}
    )

    bulk_write = False

    def __init__(self, server: ZohoServer, *, read_by: str = "auto") -> None:
        self.server, self.org, self.read_by = server, server.org, read_by
        self._vault = MemoryVault()

    def _context(self) -> Context:
        """Of one connection: its workers share a token, of which Zoho gives few."""
        given = context(self.options(), secrets=SECRETS, clock=self.clock, fields=self.writes)
        return replace(given, vault=self._vault)

    def options(self) -> Options:
        return Options(client_id=CLIENT_ID, accounts_url=self.server.url, bulk_write=self.bulk_write)

    def clock(self) -> datetime:
        return self.org.tick()

    def connector(self, *, page_size: int | None = None) -> Connector:
        read_by: Any = self.read_by if page_size is None or self.read_by == "list" else "query"
        return ZohoConnector(
            self._context(),
            page_size=page_size,
            read_by=read_by,
            sleep=lambda seconds: None,
        )

    def writer(self) -> Writer:
        return ZohoWriter(self._context(), sleep=lambda seconds: None)

    def seed(self, records: Sequence[Record]) -> Sequence[str]:
        for record in records:
            module = module_of(record.object_name)
            values: dict[str, Any] = dict(record.attributes)
            for name in record.model_fields_set - {"id", "attributes", "created_at", "modified_at"}:
                if name in BY_NAME[module].fields:
                    values[BY_NAME[module].fields[name]] = _json(name, getattr(record, name))
            if record.created_at is not None:
                values["Created_Time"] = record.created_at
            self.org.put(module, values, identifier=record.id)
        return [record.id for record in records]

    def update(self, object_name: ObjectName, identifier: str, field: str, value: str) -> None:
        module = module_of(object_name)
        self.org.put(module, {BY_NAME[module].fields[field]: value}, identifier=identifier)

    def delete(self, object_name: ObjectName, identifier: str) -> None:
        self.org.delete(module_of(object_name), identifier)

    def held(self, object_name: ObjectName, identifier: str) -> Mapping[str, FieldValue]:
        module = self.org.modules[module_of(object_name)]
        names = {each["field_label"]: each["api_name"] for each in module.fields}
        row = module.rows[identifier]
        return {key: row.get(names.get(label_of(key), "")) for key in self.writes}

    def edit(self, object_name: ObjectName, identifier: str, key: str, value: FieldValue) -> None:
        module = self.org.modules[module_of(object_name)]
        name = next(each["api_name"] for each in module.fields if each["field_label"] == label_of(key))
        self.org.put(module.name, {name: value}, identifier=identifier)

    def _reads(self) -> str:
        return "GET /crm/v8/Leads?" if self.read_by == "list" else "POST /crm/v8/coql"

    def fault(self, name: str, identifier: str = "") -> None:
        org = self.org
        if name == "reject":
            org.rejected[identifier] = ("INVALID_DATA", {"api_name": "Company", "json_path": "$PATH.Company"})
        elif name == "locked":
            org.locked[identifier] = "RECORD_LOCKED"
        elif name == "lost_answer":
            org.fault("PUT /crm/v8/", kind="after", drop=True)
        elif name == "lost_request":
            org.fault("PUT /crm/v8/", drop=True)
        elif name == "conflict":
            org.modules["Leads"].fields.append(
                field(99, "Score_X", "picklist", "CRMBridge Score", custom_field=True)
            )
        elif name == "throttled":
            org.busy(self._reads())
        elif name == "read_quota":
            org.busy(self._reads(), skip=1, **{"X-API-CREDITS-REMAINING": "0"})
        elif name == "denied":
            org.switches.revoked = True
            org.refused_tokens |= org.tokens.keys()
        elif name == "new_field":
            org.modules["Leads"].fields.append(field(98, "Drift", "text", custom_field=True))
            org.put("Leads", {"Drift": "drifted"}, identifier=identifier)
        elif name == "lost_field":
            org.lose("Leads", "Campaign_Code")
        elif name == "lost_own_field":
            label = label_of("grade")
            fields = org.modules["Leads"].fields
            org.lose("Leads", next(each["api_name"] for each in fields if each["field_label"] == label))
        elif name == "quota":
            org.busy("PUT /crm/v8/", **{"X-API-CREDITS-REMAINING": "0"})
        else:
            org.put("Leads", {"Last_Name": "Bad", "No_of_Employees": "a few"}, identifier="4876000000999999")


def _json(name: str, value: Any) -> Any:
    if name in _LOOKUPS and value is not None:
        return {"id": value, "name": "A name"}
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        return value.astimezone(OFFSET)
    return value.isoformat() if hasattr(value, "isoformat") else value
