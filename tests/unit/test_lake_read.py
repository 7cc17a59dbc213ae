from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crmbridge.model.columns import schema
from crmbridge.store.lake import files
from tests.unit.lake_kit import Leads, day, leads

__all__ = ["leads"]

MOMENT = pa.timestamp("us", tz="UTC")


def test_a_past_moment_shows_what_was_known_then(leads: Leads) -> None:
    leads.append({"id": "1", "company": "A"}, {"id": "2", "company": "B"}, seen=0)
    leads.append({"id": "1", "company": "A2"}, seen=2, deleted=["2"])
    leads.append({"id": "3", "company": "C"}, seen=4)
    assert leads.scan("id", at=-1) == []
    assert leads.scan("company", at=1.999) == [("A",), ("B",)]
    assert leads.scan("company", at=2) == [("A2",)]
    assert leads.scan("company", at=9) == [("A2",), ("C",)]


def test_versions_show_every_state_of_live_and_of_deleted_records(leads: Leads) -> None:
    leads.append({"id": "1", "company": "A"}, {"id": "2", "company": "B"}, seen=0)
    leads.append({"id": "1", "company": "A2"}, seen=2, deleted=["2"])
    everything = [("1", "A", day(0)), ("1", "A2", day(2)), ("2", "B", day(0))]
    assert leads.versions("id", "company", "valid_from", at=9) == everything
    assert leads.versions("id", "company", "valid_from", at=1) == [everything[0], everything[2]]


def test_columns_come_in_the_order_and_types_asked_for(leads: Leads) -> None:
    leads.append({"id": "1", "attributes.a": '"x'}, seen=0)
    names = [
        "valid_from",
        "annual_revenue",
        "attributes.a",
        "attributes.none",
        "id",
        "seen_at",
        "is_converted",
    ]
    (batch,) = leads.lake.scan("acme", "lead", names, at=day(0))
    own = schema("lead")
    assert batch.schema == pa.schema(
        [
            pa.field("valid_from", MOMENT),
            own.field("annual_revenue"),
            pa.field("attributes.a", pa.string()),
            pa.field("attributes.none", pa.string()),
            own.field("id"),
            pa.field("seen_at", MOMENT),
            own.field("is_converted"),
        ]
    )
    assert batch.to_pylist()[0]["attributes.a"] == '"x'
    assert batch.column("attributes.none").null_count == 1


def test_a_derived_table_keeps_its_own_types(leads: Leads) -> None:
    rows = pa.table({"id": ["1"], "score": [71.25], "n": pa.array([3], pa.int64())})
    leads.lake.append("acme", "result/lead", rows, run=leads.run, seen_at=day(0))
    more = pa.table({"id": ["2"], "score": pa.array([None], pa.float64())})
    leads.lake.append("acme", "result/lead", more, run=leads.run, seen_at=day(0))
    names = ["id", "score", "n", "stuck", "grade"]
    found = pa.Table.from_batches(leads.lake.scan("acme", "result/lead", names, at=day(0)))
    kinds = [pa.string(), pa.float64(), pa.int64(), pa.bool_(), pa.string()]
    assert found.schema.types == kinds
    assert found.select(["id", "score", "n"]).to_pylist() == [
        {"id": "1", "score": 71.25, "n": 3},
        {"id": "2", "score": None, "n": None},
    ]


def test_a_column_whose_name_continues_another_s_is_not_taken_for_it(leads: Leads) -> None:
    leads.append({"id": "1", "attributes.a.b": '"x'}, seen=0)
    leads.append({"id": "2", "attributes.a": '"y', "attributes.a.b": '"z'}, seen=0)
    assert leads.scan("id", "attributes.a", at=0) == [("1", None), ("2", '"y')]


def test_reading_opens_one_part_after_the_other(leads: Leads, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        leads.append({"id": str(number)}, seen=number)
    opened = []
    read = files.read

    def noted(path: Path, *more: Any) -> Iterator[pa.RecordBatch]:
        opened.append(path.name)
        return read(path, *more)

    monkeypatch.setattr(files, "read", noted)
    stream = leads.lake.scan("acme", "lead", ["id"], at=day(1))
    assert opened == []
    next(stream)
    assert opened == ["part-000001.parquet"]
    assert len(list(stream)) == 1
    assert opened == ["part-000001.parquet", "part-000002.parquet"]


def test_history_tells_a_record_s_whole_life(leads: Leads) -> None:
    leads.append({"id": "1", "company": "A"}, {"id": "2"}, seen=0)
    leads.append({"id": "1", "company": "B", "attributes.a": '"x', "modified_at": day(0.5)}, seen=1)
    leads.append(seen=2, deleted=["1"])
    first, second, third = leads.lake.history("acme", "lead", "1")
    assert first == {"id": "1", "company": "A", "valid_from": day(0), "seen_at": day(0), "deleted": False}
    assert (second["company"], second["attributes.a"], second["valid_from"], second["seen_at"]) == (
        "B",
        '"x',
        day(0.5),
        day(1),
    )
    assert third == {"id": "1", "valid_from": day(2), "seen_at": day(2), "deleted": True}
    assert leads.lake.history("acme", "lead", "3") == []


def test_attribute_names_are_those_of_all_versions(leads: Leads) -> None:
    leads.append({"id": "1", "attributes.b": '"x'}, seen=0)
    leads.append({"id": "1", "attributes.a": '"x', "company": "A"}, seen=1)
    leads.append({"id": "1", "attributes.c": None}, seen=2)
    assert leads.lake.attribute_names("acme", "lead") == ["a", "b"]
