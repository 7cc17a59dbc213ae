"""The roll call: which live records a reading of everything did not meet."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tests.unit.lake_kit import Leads, leads

__all__ = ["leads"]


@pytest.mark.parametrize("restarted", [False, True])
def test_missing_are_the_live_records_that_were_not_met(leads: Leads, restarted: bool) -> None:
    leads.append({"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "gone"}, seen=0)
    leads.append({"id": "b", "company": "Acme"}, seen=1, deleted=["gone"])
    roll = (leads.again() if restarted else leads).lake.roll("acme", "lead")
    roll.meet(pa.array(["c", "not known yet"]))
    roll.meet(pa.chunked_array([["c"], []], pa.string()))
    assert roll.missing().to_pylist() == ["a", "b"]


def test_nobody_is_missing_where_all_were_met_or_none_is_known(leads: Leads) -> None:
    roll = leads.lake.roll("acme", "lead")
    assert roll.missing().to_pylist() == []
    leads.append({"id": "a"}, seen=0)
    roll.meet(pa.array(["a"]))
    assert roll.missing().to_pylist() == []


def test_what_was_appended_since_the_roll_began_must_be_met_too(leads: Leads) -> None:
    roll = leads.lake.roll("acme", "lead")
    leads.append({"id": "a"}, {"id": "b"}, seen=0)
    roll.meet(pa.array(["b"]))
    assert roll.missing().to_pylist() == ["a"]
