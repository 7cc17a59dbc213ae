"""The stand-in as a subject of the conformance suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import httpx2

from crmbridge.connectors import Context
from crmbridge.model import CATALOGUE, FieldValue, ObjectName, Record, fields_on
from crmbridge.testing import Clock, Subject, context
from crmbridge_odoo import OdooConnector, OdooWriter, Options
from crmbridge_odoo.own import EMPTY, MODELS, odoo_name
from tests.vendors.odoo.database import KEYS, Database
from tests.vendors.odoo.server import answer

NAMES: Mapping[str, Mapping[str, str]] = {
    "lead": {
        "last_name": "contact_name",
        "company": "partner_name",
        "email": "email_from",
        "employees": "x_employees",
        "annual_revenue": "x_turnover",
    },
    "deal": {"name": "name"},
    "account": {"name": "name"},
    "contact": {"last_name": "name", "email": "email"},
}
MAPPED = {"employees": "x_employees", "annual_revenue": "x_turnover"}


class OdooSubject(Subject):
    """A database of its own for each test. Odoo's numbers are floats: exact ones are kept in texts here."""

    objects = ("lead", "contact", "deal", "account")
    page_sizes = (None, 2, 7)
    attribute = "x_campaign_code"
    keeps_ids = False
    writes = tuple(CATALOGUE)
    faults = frozenset(
        {"reject", "locked", "lost_answer", "lost_request", "conflict", "bad_record", "throttled", "denied"}
        | {"new_field", "lost_field", "lost_own_field"}
    )

    def __init__(self, version: int) -> None:
        self.clock = Clock()
        self.database = Database(version, self.clock)
        for name in ("x_employees", "x_turnover", "x_campaign_code"):
            self.database.manual("crm.lead", name, "char")

    def context(self, login: str = "admin", **more: Any) -> Context:
        options = Options(
            url="https://acme.example", database="acme", username=login, mapping={"lead": MAPPED}, **more
        )
        return context(options, fields=self.writes, secrets={"api_key": KEYS[login]}, clock=self.clock)

    @property
    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(partial(answer, self.database))

    def connector(self, *, page_size: int | None = None, login: str = "admin") -> OdooConnector:
        return OdooConnector(self.context(login), page=page_size or 1_000, transport=self.transport)

    def writer(self, *, login: str = "admin") -> OdooWriter:
        return OdooWriter(self.context(login), transport=self.transport)

    def seed(self, records: Sequence[Record]) -> Sequence[str]:
        ids = []
        for record in records:
            name = record.object_name
            values = {column: _plain(getattr(record, field)) for field, column in NAMES[name].items()}
            values |= record.attributes
            if name in ("lead", "deal"):
                stage = getattr(record, "status", None) or getattr(record, "stage", None) or "New"
                kind = "lead" if name == "lead" else "opportunity"
                values |= {"type": kind, "stage_id": self.database.stage(stage), "user_id": 1}
                values.setdefault("name", "A lead")
            else:
                values["is_company"] = name == "account"
            if record.created_at is not None:
                values["create_date"] = record.created_at
            ids.append(str(self.database.put(MODELS[name], **values)))
        return ids

    def update(self, object_name: ObjectName, identifier: str, field: str, value: str) -> None:
        self.database.put(
            MODELS[object_name], identifier=int(identifier), **{NAMES[object_name][field]: value}
        )

    def delete(self, object_name: ObjectName, identifier: str) -> None:
        del self.database.rows[MODELS[object_name]][int(identifier)]

    def held(self, object_name: ObjectName, identifier: str) -> Mapping[str, FieldValue]:
        row = self.database.rows[MODELS[object_name]][int(identifier)]
        empties = str(row.get(EMPTY) or "").split(",")
        return {
            field.key: _seen(field.type, row.get(odoo_name(field.key)), field.key in empties)
            for field in fields_on(object_name, self.writes)
        }

    def edit(self, object_name: ObjectName, identifier: str, key: str, value: FieldValue) -> None:
        self.database.put(MODELS[object_name], identifier=int(identifier), **{odoo_name(key): value})

    def fault(self, name: str, identifier: str = "") -> None:
        database = self.database
        if name == "conflict":
            database.manual("crm.lead", odoo_name("score"), "char")
        elif name == "bad_record":
            database.put("crm.lead", name="Bad", type="lead", x_employees="a few")
        elif name == "new_field":
            database.manual("crm.lead", "x_drift", "char")
            database.put("crm.lead", identifier=int(identifier), x_drift="drifted")
        elif name == "lost_field":
            database.drop("crm.lead", self.attribute)
        elif name == "lost_own_field":
            database.drop("crm.lead", odoo_name("grade"))
        else:
            database.faults.append(f"{name} {identifier}".strip())


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, (Decimal, int)) else value


def _seen(kind: str, value: Any, named_empty: bool) -> FieldValue:
    """What a user sees: a 0 that is named as empty is nothing."""
    if kind == "number" and not value and named_empty:
        return None
    if kind == "datetime" and value:
        return str(value).replace(" ", "T") + "Z"
    return value
