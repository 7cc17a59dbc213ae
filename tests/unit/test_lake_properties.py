"""The lake against a naive model of it: whatever is appended, compacted and forgotten, both say the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmbridge.store.lake import Appended, Lake
from crmbridge.store.ledger import Ledger
from tests.unit.lake_kit import START, Leads, Row, day

IDS = ["1", "2", "10", "ä", "a b"]
COLUMNS = ["company", "attributes.a", "attributes.A"]


@dataclass
class Version:
    since: Any
    content: dict[str, Any] | None


@dataclass
class Naive:
    """Every record's versions in a list: the definition, written down."""

    records: dict[str, list[Version]] = field(default_factory=dict)

    def append(self, rows: list[Row], deleted: list[str], seen: float) -> Appended:
        found = Appended()
        for row in rows:
            content = {
                name: value for name, value in row.items() if value is not None and name != "modified_at"
            }
            found += self._add(row["id"], content, row.get("modified_at"), seen)
        for id in dict.fromkeys(deleted):
            found += self._add(id, None, None, seen)
        return found

    def _add(self, id: str, content: dict[str, Any] | None, modified: Any, seen: float) -> Appended:
        before = self.records.get(id, [])
        last = before[-1] if before else None
        state = last.content if last else None
        if content == state:
            return Appended(unchanged=1) if content is not None else Appended()
        since = day(seen)
        if last:
            since = max(since, last.since)
        if modified is not None and modified <= day(seen) and (last is None or modified > last.since):
            since = modified
        self.records[id] = [*before, Version(since, content)]
        if content is None:
            return Appended(deleted=1)
        return Appended(changed=1) if last else Appended(new=1)

    def scan(self, at: float) -> list[tuple[Any, ...]]:
        found = []
        for versions in self.records.values():
            known = [version for version in versions if version.since <= day(at)]
            if known and known[-1].content is not None:
                found.append(_tuple(known[-1]))
        return sorted(found, key=repr)

    def versions(self, at: float) -> list[tuple[Any, ...]]:
        known = [
            _tuple(version)
            for versions in self.records.values()
            for version in versions
            if version.since <= day(at) and version.content is not None
        ]
        return sorted(known, key=repr)


def _tuple(version: Version) -> tuple[Any, ...]:
    assert version.content is not None
    return (version.content["id"], version.since, *(version.content.get(name) for name in COLUMNS))


MOMENTS = [number / 2 for number in range(-2, 14)]
VALUES = st.sampled_from([None, '"x', '"y'])
ROWS = st.fixed_dictionaries(
    {"id": st.sampled_from(IDS)},
    optional={
        **dict.fromkeys(COLUMNS, VALUES),
        "modified_at": st.sampled_from([None, *(day(moment) for moment in MOMENTS)]),
    },
)
APPEND = st.tuples(
    st.just("append"),
    st.lists(ROWS, max_size=6),
    st.lists(st.sampled_from(IDS), max_size=2),
    st.sampled_from([0.0, 0.5, 1.0, -0.5]),
)
COMPACT = st.tuples(st.just("compact"), st.integers(2, 4), st.integers(1, 9), st.integers(1, 20))
OTHERS = st.sampled_from([("reopen",), ("clean",), *(("forget", id) for id in IDS)])
ACTIONS = st.lists(st.one_of(APPEND, APPEND, APPEND, COMPACT, OTHERS), max_size=12)


@pytest.fixture(scope="module")
def lake() -> Iterator[Lake]:
    with (
        TemporaryDirectory() as folder,
        Ledger.open(f"sqlite:///{folder}/l.db", clock=lambda: START) as ledger,
    ):
        yield Lake(Path(folder) / "lake", ledger)


CONNECTIONS = count()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(actions=ACTIONS)
def test_the_lake_says_what_its_definition_says(lake: Lake, actions: list[tuple[Any, ...]]) -> None:
    leads, naive, seen = Leads(lake, f"c{next(CONNECTIONS)}"), Naive(), 0.0
    for action, *details in actions:
        if action == "append":
            rows, deleted, later = details
            seen += later
            assert leads.append(*rows, seen=seen, deleted=deleted) == naive.append(rows, deleted, seen)
        elif action == "compact":
            at_least, small, largest = details
            lake.compact(leads.connection, "lead", at_least=at_least, small=small, largest=largest)
        elif action == "forget":
            assert lake.forget(leads.connection, "lead", details[0]) == len(naive.records.pop(details[0], []))
        elif action == "clean":
            assert lake.clean(leads.connection) == 0
        else:
            lake = Lake(lake.root, lake.ledger)
            leads.lake = lake
        _compare(leads, naive, [seen / 2, seen])
    _compare(leads, naive, MOMENTS)


def _compare(leads: Leads, naive: Naive, moments: list[float]) -> None:
    lake, connection = leads.lake, leads.connection
    for moment in moments:
        assert leads.scan("id", "valid_from", *COLUMNS, at=moment) == naive.scan(moment)
        assert leads.versions("id", "valid_from", *COLUMNS, at=moment) == naive.versions(moment)
    live = [row[0] for row in naive.scan(1000)]
    assert sorted(lake.live_ids(connection, "lead").to_pylist()) == sorted(live)
    assert lake.live_count(connection, "lead") == len(live)
    for id in IDS:
        told = [
            (row["valid_from"], None if row["deleted"] else {n: row.get(n) for n in COLUMNS})
            for row in lake.history(connection, "lead", id)
        ]
        expected = [
            (v.since, None if v.content is None else {n: v.content.get(n) for n in COLUMNS})
            for v in naive.records.get(id, [])
        ]
        assert told == expected
    assert lake.check(connection) == []
    assert len([name for name in leads.files() if name.startswith(f"{connection}/")]) == len(
        lake.ledger.parts(connection)
    )
