"""The conformance suite on the stand-in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from crmbridge.model import FieldValue, ObjectName, Record, fields_on, plain_name
from crmbridge.testing import (
    ConnectorConformance,
    PluginConformance,
    Subject,
    WriterConformance,
    context,
)
from crmbridge_acme import AcmeConnector, AcmeWriter
from crmbridge_acme.client import Options
from crmbridge_acme.connector import COMMON, FIELDS
from stand_in import TOKEN, StandIn


class AcmeSubject(Subject):
    """A stand-in of its own for each test, and the suite's hands in it."""

    page_sizes = (None, 2, 7)
    faults = frozenset(
        {"reject", "locked", "lost_answer", "lost_request", "conflict", "quota", "bad_record"}
        | {"throttled", "read_quota", "denied", "new_field", "lost_field", "lost_own_field"}
    )

    def __init__(self) -> None:
        self.crm = StandIn()
        self._context = context(
            Options(url="https://acme.example"), fields=self.writes, secrets={"token": TOKEN}
        )

    def connector(self, *, page_size: int | None = None) -> AcmeConnector:
        transport = httpx2.MockTransport(self.crm.handle)
        return AcmeConnector(self._context, page_size=page_size or 500, transport=transport)

    def writer(self) -> AcmeWriter:
        return AcmeWriter(self._context, transport=httpx2.MockTransport(self.crm.handle))

    def seed(self, records: Sequence[Record]) -> Sequence[str]:
        for record in records:
            names = {**COMMON, **FIELDS[record.object_name]}
            shown = record.model_fields_set & names.keys()
            values = {names[field]: _json(getattr(record, field)) for field in shown}
            self.crm.put(record.object_name, record.id, {**values, **record.attributes})
        return [record.id for record in records]

    def update(self, object_name: ObjectName, identifier: str, field: str, value: str) -> None:
        self.crm.put(object_name, identifier, {FIELDS[object_name][field]: value})

    def delete(self, object_name: ObjectName, identifier: str) -> None:
        self.crm.put(object_name, identifier, {"deleted": True})

    def held(self, object_name: ObjectName, identifier: str) -> Mapping[str, FieldValue]:
        row = self.crm.rows[object_name][identifier]
        return {field.key: row.get(plain_name(field.key)) for field in fields_on(object_name, self.writes)}

    def edit(self, object_name: ObjectName, identifier: str, key: str, value: FieldValue) -> None:
        self.crm.put(object_name, identifier, {plain_name(key): value})

    def fault(self, name: str, identifier: str = "") -> None:
        if name == "conflict":
            self.crm.fields.setdefault("lead", {})[plain_name("score")] = "text"
        elif name == "bad_record":
            self.crm.put("lead", "bad", {"family_name": "Bad", "headcount": -5})
        elif name == "new_field":
            self.crm.put("lead", identifier, {"drift": "drifted"})
        elif name == "lost_field":
            for row in self.crm.live("lead"):
                row.pop("Campaign_Code")
        elif name == "lost_own_field":
            del self.crm.fields["lead"][plain_name("grade")]
        else:
            self.crm.faults.append(f"{name} {identifier}".strip())


def _json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


class TestAcme(ConnectorConformance, WriterConformance):
    @pytest.fixture
    def subject(self) -> Subject:
        return AcmeSubject()


class TestDistribution(PluginConformance):
    @pytest.fixture
    def project(self) -> Path:
        return Path(__file__).parents[1]
