"""The conformance suite on a CRM that has an API: pages, stamps, reads that cost calls, lost answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from crmbridge.connectors.base import Connector
from crmbridge.model.fields import FieldValue, fields_on, hubspot_name
from crmbridge.model.records import ObjectName, Record
from crmbridge.plugins import Plugins
from crmbridge.testing import ConnectorConformance, Subject, Trial, WriterConformance, context, samples
from crmbridge.writeback.base import Writer
from tests.memory_crm import ORGS, MemoryConnector, MemoryCrm, MemoryOptions, MemoryPlugin, MemoryWriter


class MemorySubject(Subject):
    page_sizes = (None, 1, 2, 7)
    faults = frozenset(
        {"reject", "locked", "lost_answer", "lost_request", "conflict", "quota", "bad_record", "throttled"}
        | {"read_quota", "denied", "new_field", "lost_field", "lost_own_field"}
    )
    connector_class: type[Connector] = MemoryConnector
    writer_class: type[Writer] = MemoryWriter

    def __init__(self, org: str) -> None:
        self.org = org
        self.crm = ORGS[org] = MemoryCrm(org)

    def connector(self, *, page_size: int | None = None) -> Connector:
        return self.connector_class(context(MemoryOptions(org=self.org, page_size=page_size or 3)))

    def writer(self) -> Writer:
        return self.writer_class(context(MemoryOptions(org=self.org), fields=self.writes))

    def seed(self, records: Sequence[Record]) -> Sequence[str]:
        for record in records:
            shown = record.model_fields_set - {"attributes"}
            values = {name: getattr(record, name) for name in shown}
            self.crm.put(record.object_name, record.id, {**values, **record.attributes})
        return [record.id for record in records]

    def update(self, object_name: ObjectName, identifier: str, field: str, value: str) -> None:
        self.crm.put(object_name, identifier, {field: value})

    def delete(self, object_name: ObjectName, identifier: str) -> None:
        self.crm.delete(object_name, identifier)

    def held(self, object_name: ObjectName, identifier: str) -> Mapping[str, FieldValue]:
        row = self.crm.rows[object_name][identifier].fields
        return {each.key: row.get(hubspot_name(each.key)) for each in fields_on(object_name, self.writes)}

    def edit(self, object_name: ObjectName, identifier: str, key: str, value: FieldValue) -> None:
        self.crm.put(object_name, identifier, {hubspot_name(key): value})

    def fault(self, name: str, identifier: str = "") -> None:
        if name == "conflict":
            self.crm.foreign.add("crmbridge_score")
        elif name == "bad_record":
            self.crm.put("lead", "bad", {"last_name": "Bad", "employees": -5})
        elif name == "new_field":
            self.crm.put("lead", identifier, {"Drift": "drifted"})
        elif name == "lost_field":
            for row in self.crm.rows["lead"].values():
                row.fields.pop("Campaign_Code", None)
        elif name == "lost_own_field":
            self.crm.custom["lead"].remove(hubspot_name("grade"))
        else:
            self.crm.faults.append(f"{name}:{identifier}" if identifier else name)


class TestMemory(ConnectorConformance, WriterConformance):
    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest) -> Iterator[Subject]:
        yield MemorySubject(request.node.nodeid)
        del ORGS[request.node.nodeid]

    def test_planning_again_reads_only_what_would_change(self, subject: MemorySubject, trial: Trial) -> None:
        ids = subject.seed(samples.leads(20))
        list(subject.writer().install(dry_run=False))
        results = {identifier: samples.values("lead", subject.writes) for identifier in ids}
        trial.write("lead", results)
        results[ids[7]] = samples.values("lead", subject.writes, turn=1)
        subject.crm.calls.clear()
        assert list(trial.rows(trial.plan("lead", results))) == [ids[7]]
        assert subject.crm.calls == [("get", 1)]

    def test_a_plan_that_finds_something_else_in_the_crm_remembers_it(
        self, subject: MemorySubject, trial: Trial
    ) -> None:
        ids = subject.seed(samples.leads(3))
        list(subject.writer().install(dry_run=False))
        results = {identifier: samples.values("lead", subject.writes) for identifier in ids}
        trial.write("lead", results)
        newer = {identifier: samples.values("lead", subject.writes, turn=1) for identifier in ids}
        for identifier in ids:
            for key, value in newer[identifier].items():
                subject.edit("lead", identifier, key, value)
        for calls in (3, 0):
            subject.crm.calls.clear()
            assert trial.rows(trial.plan("lead", newer)) == {}
            assert sum(number for _, number in subject.crm.calls) == calls


def test_the_crm_in_memory_is_a_plugin() -> None:
    plugins = Plugins.load(found=[])
    plugins.add("memory", MemoryPlugin(), source="tests")
    assert plugins.connector("memory") is MemoryConnector
    assert plugins.writers["memory"] is MemoryWriter
