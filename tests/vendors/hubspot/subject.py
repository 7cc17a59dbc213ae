"""HubSpot as a subject of the conformance suite: a portal of its own, served on loopback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from crmbridge.connectors.base import Connector, Context
from crmbridge.connectors.hubspot import HubSpotConnector, Options
from crmbridge.model.fields import CATALOGUE, FieldValue, fields_on, hubspot_name
from crmbridge.model.records import ObjectName, Record
from crmbridge.testing import Clock, Subject, context
from crmbridge.writeback.base import Writer
from crmbridge.writeback.hubspot import HubSpotWriter
from tests.vendors.hubspot.portal import Problem
from tests.vendors.hubspot.portal import Record as Row
from tests.vendors.hubspot.server import TOKEN, Fault, Server

COMMON: Mapping[str, Mapping[str, str]] = {
    "contacts": {
        "first_name": "firstname",
        "last_name": "lastname",
        "email": "email",
        "phone": "phone",
        "company": "company",
        "status": "hs_lead_status",
        "employees": "headcount",
        "annual_revenue": "turnover",
    },
    "leads": {
        "first_name": "hs_associated_contact_firstname",
        "last_name": "hs_associated_contact_lastname",
        "email": "hs_associated_contact_email",
        "company": "hs_associated_company_name",
        "status": "hs_pipeline_stage",
        "employees": "headcount",
        "annual_revenue": "turnover",
    },
    "companies": {"name": "name", "country": "country"},
    "deals": {"name": "dealname", "amount": "amount", "stage": "dealstage"},
}
"""Properties of the portal by field of the model."""
MAPPED = {"employees": "headcount", "annual_revenue": "turnover"}


class HubSpotSubject(Subject):
    attribute = "campaign_code"
    page_sizes = (None, 1, 2, 7)
    keeps_ids = False
    faults = frozenset({"reject", "locked", "lost_answer", "lost_request", "conflict", "quota", "bad_record"})

    def __init__(self, server: Server, clock: Clock, lead_object: Literal["leads", "contacts"]) -> None:
        self.server, self.portal, self.clock = server, server.portal, clock
        self.lead_object = lead_object

    def context(self, **more: Any) -> Context:
        options = Options(
            base_url=self.server.url, lead_object=self.lead_object, properties={"lead": MAPPED}, **more
        )
        return context(options, fields=self.writes, secrets={"access_token": TOKEN}, clock=self.clock)

    def kind(self, object_name: ObjectName) -> str:
        return {"lead": self.lead_object, "account": "companies", "deal": "deals", "contact": "contacts"}[
            object_name
        ]

    def connector(self, *, page_size: int | None = None) -> Connector:
        if page_size is None:
            return HubSpotConnector(self.context())
        return HubSpotConnector(self.context(), page=page_size, block=page_size)

    def writer(self) -> Writer:
        return HubSpotWriter(self.context())

    def seed(self, records: Sequence[Record]) -> Sequence[str]:
        ids = []
        for record in records:
            kind = self.kind(record.object_name)
            values = {
                name: str(value)
                for field, name in COMMON[kind].items()
                if (value := getattr(record, field, None)) is not None
            }
            values |= {name: str(value) for name, value in record.attributes.items()}
            created = record.created_at or datetime(2026, 1, 1, tzinfo=UTC)
            # A portal's first records are old; what comes after somebody has looked at it is new.
            updated = self.clock() if self.server.calls else created
            ids.append(self.portal.add(kind, values, created=created, updated=updated))
        return ids

    def update(self, object_name: ObjectName, identifier: str, field: str, value: str) -> None:
        kind = self.kind(object_name)
        self.portal.set(kind, identifier, {COMMON[kind][field]: value})

    def delete(self, object_name: ObjectName, identifier: str) -> None:
        self.portal.archive(self.kind(object_name), identifier)

    def _row(self, object_name: ObjectName, identifier: str) -> Row:
        return self.portal.records[self.kind(object_name)][identifier]

    def held(self, object_name: ObjectName, identifier: str) -> Mapping[str, FieldValue]:
        known = self.portal.properties[self.kind(object_name)]
        held: dict[str, FieldValue] = {}
        for each in fields_on(object_name, self.writes):
            text = self._row(object_name, identifier).properties.get(hubspot_name(each.key))
            if not text or hubspot_name(each.key) not in known:
                held[each.key] = None
            elif each.type == "number":
                held[each.key] = float(text)
            else:
                held[each.key] = text == "true" if each.type == "boolean" else text
        return held

    def edit(self, object_name: ObjectName, identifier: str, key: str, value: FieldValue) -> None:
        text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        self.portal.set(self.kind(object_name), identifier, {hubspot_name(CATALOGUE[key].key): text})

    def fault(self, name: str, identifier: str = "") -> None:
        update = f"/{self.lead_object}/batch/update"
        if name == "conflict":
            from tests.vendors.hubspot.portal import definition

            made = definition("crmbridge_score", "string")
            self.portal.properties[self.lead_object]["crmbridge_score"] = made
        elif name == "bad_record":
            self.portal.add(self.lead_object, {"headcount": "-5"}, created=datetime(2026, 1, 1, tzinfo=UTC))
        elif name == "reject":
            self.portal.rejects[identifier] = "MISSING_CONDITIONAL_REQUIRED_PROPERTY"
        elif name == "quota":
            body = Problem(429, "RATE_LIMITS", "You have reached your daily limit.").body
            self.server.faults.append(Fault(update, 429, {**body, "policyName": "DAILY"}))
        elif name == "locked":
            self.server.faults.append(Fault(update, 423, Problem(423, "LOCKED", "locked").body))
        else:
            self.server.faults.append(Fault(update, drops=True, takes_effect=name == "lost_answer"))
