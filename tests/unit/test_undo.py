"""Undoing: what was there comes back, and what people changed since stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from crmbridge.model.fields import FieldValue
from crmbridge.store.ledger import Ledger, Plan, PlanRow
from crmbridge.writeback.apply import apply_plan
from crmbridge.writeback.undo import Kept, kept, undo_rows
from crmbridge.writeback.verify import verify_plan
from tests.unit.writeback_kit import DictWriter, Stored, now

FIELDS = ("score", "grade", "scored_at")
SCORED: Mapping[str, FieldValue] = {"score": 80.0, "grade": "A", "scored_at": "2026-03-31T08:00:00Z"}
NOTHING: Mapping[str, FieldValue] = {"score": None, "grade": None, "scored_at": None}
EARLIER: Mapping[str, FieldValue] = {"score": 10.0, "grade": "D", "scored_at": "2026-03-01T08:00:00Z"}


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    with Ledger.open(f"sqlite:///{tmp_path}/crmbridge.db", clock=now) as ledger:
        yield Stored(ledger)


def written(stored: Stored, held: Mapping[str, Mapping[str, FieldValue]]) -> tuple[Plan, DictWriter]:
    """A plan that was applied to what is held, and the CRM it was applied to."""
    writer = DictWriter(held, FIELDS)
    rows = [PlanRow("lead", identifier, values, SCORED, "") for identifier, values in held.items()]
    plan = stored.plan(rows)
    apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    return plan, writer


def undone(stored: Stored, plan: Plan, writer: DictWriter) -> Plan:
    undo = stored.plan(list(undo_rows(plan.id, ledger=stored.ledger)), kind="undo", undoes=plan.run)
    apply_plan(undo.id, ledger=stored.ledger, writer=writer)
    return undo


def test_undo_restores_former_values_and_clears_what_was_empty(stored: Stored) -> None:
    plan, writer = written(stored, {"1": EARLIER, "2": NOTHING})
    undo = undone(stored, plan, writer)
    assert writer.held == {"1": dict(EARLIER), "2": dict(NOTHING)}
    assert stored.ledger.counts(undo.id).sent == 2
    assert list(kept(undo.id, ledger=stored.ledger, writer=writer)) == []


def test_undo_keeps_and_lists_what_a_person_changed_since(stored: Stored) -> None:
    plan, writer = written(stored, {"1": EARLIER, "2": EARLIER})
    writer.held["2"]["grade"] = "B"
    undo = undone(stored, plan, writer)
    assert writer.held == {"1": dict(EARLIER), "2": {**SCORED, "grade": "B"}}
    assert stored.codes(undo) == {"1": None, "2": "changed_by_person"}
    assert list(kept(undo.id, ledger=stored.ledger, writer=writer)) == [
        Kept("lead", "2", "grade", "A", "B", "changed_by_person")
    ]


def test_undo_does_not_call_a_later_run_a_person(stored: Stored) -> None:
    plan, writer = written(stored, {"1": EARLIER})
    writer.held["1"] = {"score": 90.0, "grade": "A", "scored_at": "2026-04-02T08:00:00Z"}
    undo = undone(stored, plan, writer)
    assert stored.codes(undo) == {"1": "written_since"}
    assert writer.held["1"]["score"] == 90.0


def test_undo_touches_only_what_was_sent(stored: Stored) -> None:
    writer = DictWriter({"1": EARLIER, "2": SCORED}, FIELDS)
    plan = stored.plan([PlanRow("lead", identifier, EARLIER, SCORED, "") for identifier in ("1", "2", "3")])
    apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    assert stored.states(plan) == {"1": "sent", "2": "same", "3": "rejected"}
    undo = undone(stored, plan, writer)
    assert stored.states(undo) == {"1": "sent"}
    assert writer.held["2"] == dict(SCORED)


def test_an_undo_can_be_undone(stored: Stored) -> None:
    plan, writer = written(stored, {"1": EARLIER, "2": NOTHING})
    undo = undone(stored, plan, writer)
    undone(stored, undo, writer)
    assert writer.held == {"1": dict(SCORED), "2": dict(SCORED)}


def test_a_record_that_is_gone_is_said_to_be(stored: Stored) -> None:
    plan, writer = written(stored, {"1": EARLIER})
    del writer.held["1"]
    assert stored.codes(undone(stored, plan, writer)) == {"1": "gone"}


def test_a_record_that_was_forgotten_is_neither_read_nor_written(stored: Stored) -> None:
    plan, writer = written(stored, {"1": EARLIER, "2": EARLIER})
    stored.ledger.forget("acme", "lead", "1")
    writer.reads.clear()
    assert verify_plan(plan.id, ledger=stored.ledger, writer=writer).read == 1
    assert stored.states(undone(stored, plan, writer)) == {"2": "sent"}
    assert {identifier for ids in writer.reads for identifier in ids} == {"2"}


def test_no_plan_is_made_automatically_right_after_an_undo(stored: Stored) -> None:
    plan, writer = written(stored, {"1": EARLIER})
    assert stored.ledger.auto_allowed("acme")
    undone(stored, plan, writer)
    assert not stored.ledger.auto_allowed("acme")
