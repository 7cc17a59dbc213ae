"""Old versions go, and what the lake knew since the rule's moment stays exactly as it was."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmbridge.store.lake import Lake, Rule, retention
from crmbridge.store.ledger import Ledger
from tests.conftest import Clock
from tests.unit.lake_kit import START, Leads, day, leads

__all__ = ["leads"]


def known(leads: Leads, at: float) -> list[tuple[Any, ...]]:
    return leads.scan("id", "company", "valid_from", at=at)


def test_of_old_versions_the_last_of_each_day_stays_and_of_older_ones_the_last_of_each_month(
    leads: Leads,
) -> None:
    versions = [  # 60 days, three versions a day
        {"id": "1", "company": str(third), "modified_at": day(third / 3)} for third in range(3 * 60)
    ]
    leads.append(*versions, seen=60)
    rules = [Rule(day(50), "day"), Rule(day(31), "month")]
    since = [known(leads, at) for at in np.arange(50, 60, 1 / 3)]
    leads.lake.thin("acme", "lead", rules)
    companies = [row["company"] for row in leads.lake.history("acme", "lead", "1")]
    march, april = [str(3 * 31 - 1)], [str(3 * each + 2) for each in range(31, 50)]
    assert companies[: 1 + 18] == march + april[:18]
    assert companies[-30:] == [str(third) for third in range(150, 180)]
    assert [known(leads, at) for at in np.arange(50, 60, 1 / 3)] == since
    assert known(leads, at=40.5)[0][1] == str(3 * 40 - 1), "as at the end of the day before"
    assert leads.lake.check("acme") == []
    assert leads.lake.thin("acme", "lead", rules) == 0, "a second time there is nothing to do"


def test_of_records_deleted_long_ago_nothing_stays_where_versions_are_not_kept_for_ever(
    leads: Leads,
) -> None:
    leads.append({"id": "1", "company": "gone"}, {"id": "2", "company": "stays"}, seen=0)
    leads.append(seen=1, deleted=["1"])
    leads.append({"id": "2", "company": "stays here"}, {"id": "3"}, seen=2)
    leads.append(seen=9, deleted=["3"])
    assert leads.lake.thin("acme", "lead", [Rule(day(5), "ever")]) == 3
    assert leads.lake.history("acme", "lead", "1") == []
    assert [row["company"] for row in leads.lake.history("acme", "lead", "2")] == ["stays here"]
    assert [row["deleted"] for row in leads.lake.history("acme", "lead", "3")] == [False, True]
    assert leads.lake.live_count("acme", "lead") == 1
    assert all(b"gone" not in (leads.lake.root / name).read_bytes() for name in leads.files())


def test_under_a_legal_hold_no_version_goes(leads: Leads) -> None:
    for number in range(3):
        leads.append({"id": "1", "company": str(number)}, seen=number / 9)
    leads.lake.ledger.legal_hold = True
    assert leads.lake.thin("acme", "lead", [Rule(day(9), "ever")]) == 0
    assert len(leads.lake.history("acme", "lead", "1")) == 3


NUMBERS = count()
PAGES = st.lists(
    st.tuples(
        st.integers(1, 20),  # hours since the page before
        st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy")),
        st.sets(st.sampled_from("abc")),
    ),
    max_size=14,
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("lake")
    with Ledger.open(f"sqlite:///{folder}/crmbridge.db", clock=Clock(START)) as ledger:
        yield Lake(folder / "lake", ledger)


@settings(max_examples=8, deadline=None)
@given(pages=PAGES, cut=st.integers(0, 300), at_once=st.sampled_from([2, 1_000]), compacted=st.booleans())
@pytest.mark.parametrize("period", ["day", "month", "ever"])
def test_whatever_came_all_that_was_known_since_the_moment_stays(
    lake: Lake,
    pages: list[tuple[int, dict[str, str], set[str]]],
    cut: int,
    at_once: int,
    compacted: bool,
    period: retention.Period,
) -> None:
    leads = Leads(Lake(lake.root, lake.ledger), f"acme{next(NUMBERS)}")
    hours = 0
    for later, records, deleted in pages:
        hours += later
        rows = [{"id": key, "company": value} for key, value in records.items()]
        leads.append(*rows, seen=hours / 24, deleted=sorted(deleted - records.keys()))
    if compacted:
        leads.lake.compact(leads.connection, "lead", at_least=2, largest=7)
    moments = [cut / 24, *(at / 24 for at in range(cut, hours + 2, 5))]
    before = [known(leads, at) for at in moments]
    live = leads.lake.live_count(leads.connection, "lead")
    rows = sum(part.rows for part in lake.ledger.parts(leads.connection))
    table = leads.lake._table(leads.connection, "lead")
    gone = retention.thin(table, [Rule(START + timedelta(hours=cut), period)], at_once=at_once)
    assert [known(leads, at) for at in moments] == before
    assert leads.lake.live_count(leads.connection, "lead") == live
    assert sum(part.live for part in lake.ledger.parts(leads.connection)) == live
    assert sum(part.rows for part in lake.ledger.parts(leads.connection)) == rows - gone
    assert leads.lake.check(leads.connection) == []
    assert leads.again().append(seen=(hours + 1) / 24, deleted=["a", "b", "c"]).deleted == live
    assert leads.scan("id", at=hours + 9) == []
