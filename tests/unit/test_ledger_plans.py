from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmbridge.errors import NotFoundError, StoreError
from crmbridge.model.fields import FieldValue
from crmbridge.store.ledger import Counts, Ledger, Plan, PlanRow, PlanStatus, RowState, SetAsideRow
from tests.conftest import Clock

MOMENT = datetime(2026, 3, 31, 8, tzinfo=UTC)


def rows(number: int) -> Iterator[PlanRow]:
    for i in range(number):
        yield PlanRow("lead", f"00Q{i}", {"score": None}, {"score": i / 7, "grade": "A"}, f"reason {i}")


def stored(ledger: Ledger, number: int = 3, status: PlanStatus = "awaiting_approval") -> Plan:
    run = ledger.start_run("acme", "plan", MOMENT, resume=False)
    return ledger.store_plan(run.id, "acme", "write", MOMENT, rows(number), status=status, guards={})


def approved(ledger: Ledger, number: int = 3) -> Plan:
    return ledger.approve(stored(ledger, number).id, "person")


def test_a_plan_keeps_its_rows_in_order_and_as_given(ledger: Ledger, clock: Clock) -> None:
    run = ledger.start_run("acme", "plan", MOMENT)
    before: dict[str, FieldValue] = {
        "score": 12.5,
        "stuck": None,
        "reasons_up": 'says "no" \n \0 Grüße 你好',
        "grade": "\ud800",
    }
    after: dict[str, FieldValue] = {"score": 1e-9, "grade": "A", "stuck": False, "reasons_up": ""}
    given_rows = [PlanRow("lead", "b", before, after, "score moved"), PlanRow("deal", "a", {}, after, "new")]
    guards = {"max_changed": "41 % of the records would change."}
    plan = ledger.store_plan(run.id, "acme", "write", MOMENT, given_rows, status="stopped", guards=guards)
    assert ledger.plan(plan.id) == plan
    assert (plan.run, plan.connection, plan.kind, plan.moment) == (run.id, "acme", "write", MOMENT)
    assert (plan.created_at, plan.status, plan.approved_by, plan.undoes) == (
        clock.moment,
        "stopped",
        None,
        None,
    )
    assert plan.guards == guards
    first, second = ledger.plan_rows(plan.id)
    assert (first.object, first.id, first.position, first.state) == ("lead", "b", 0, "pending")
    before["grade"] = "\ufffd"  # half of a surrogate pair is no text
    assert (first.attempts, first.in_flight, first.code, first.message) == (0, False, None, None)
    assert (dict(first.before), dict(first.after), first.reason) == (before, after, "score moved")
    assert list(first.before) == list(before)
    assert (second.object, second.id, second.position, dict(second.before)) == ("deal", "a", 1, {})


def test_rows_are_paged_by_position_and_state(ledger: Ledger) -> None:
    plan = approved(ledger, 10)
    ledger.record(plan.id, [(p, "sent", None, None) for p in (1, 4, 5)])
    assert [row.position for row in ledger.plan_rows(plan.id, after=2, limit=3)] == [3, 4, 5]
    assert [row.position for row in ledger.plan_rows(plan.id, state="pending", after=2, limit=3)] == [3, 6, 7]
    assert [row.position for row in ledger.plan_rows(plan.id, state="sent")] == [1, 4, 5]
    assert ledger.plan_rows(plan.id, after=9) == []


def test_counts_come_from_the_rows(ledger: Ledger) -> None:
    plan = approved(ledger, 6)
    assert ledger.counts(plan.id) == Counts(planned=6, pending=6, sent=0, same=0, rejected=0, retried=0)
    ledger.begin_attempt(plan.id, [0, 1, 2])
    ledger.record(
        plan.id,
        [
            (0, "sent", None, None),
            (1, "pending", "LOCKED", "row is locked"),
            (2, "rejected", "BAD", "no \0 such"),
        ],
    )
    ledger.begin_attempt(plan.id, [1])
    ledger.begin_attempt(plan.id, [1])
    ledger.record(plan.id, [(3, "same", None, None)])
    assert ledger.counts(plan.id) == Counts(planned=6, pending=3, sent=1, same=1, rejected=1, retried=2)
    states = {
        row.position: (row.state, row.attempts, row.in_flight, row.code) for row in ledger.plan_rows(plan.id)
    }
    assert states[0] == ("sent", 1, False, None)
    assert states[1] == ("pending", 3, True, "LOCKED")
    assert states[2] == ("rejected", 1, False, "BAD")
    assert ledger.plan_rows(plan.id)[2].message == "no \ufffd such"


def test_a_row_that_has_its_final_state_is_never_touched_again(ledger: Ledger) -> None:
    plan = approved(ledger)
    ledger.record(plan.id, [(1, "sent", None, None)])
    with pytest.raises(StoreError, match="1 of 2 rows are not pending"):
        ledger.begin_attempt(plan.id, [0, 1])
    with pytest.raises(StoreError, match="not pending"):
        ledger.record(plan.id, [(0, "sent", None, None), (1, "rejected", None, None)])
    assert [row.state for row in ledger.plan_rows(plan.id)] == ["pending", "sent", "pending"]
    assert all(row.attempts == 0 for row in ledger.plan_rows(plan.id))


def test_nothing_of_a_plan_is_sent_before_it_is_approved(ledger: Ledger) -> None:
    plan = stored(ledger)
    with pytest.raises(StoreError, match="not approved"):
        ledger.begin_attempt(plan.id, [0])


def test_a_plan_is_stored_whole_or_not_at_all(ledger: Ledger) -> None:
    def broken() -> Iterator[PlanRow]:
        yield from rows(3)
        raise RuntimeError("the CRM went away")

    older = stored(ledger)
    run = ledger.start_run("acme", "plan", MOMENT, resume=False)
    with pytest.raises(RuntimeError, match="went away"):
        ledger.store_plan(run.id, "acme", "write", MOMENT, broken(), status="awaiting_approval", guards={})
    assert [plan.id for plan in ledger.plans("acme")] == [older.id]
    assert ledger.plan(older.id).status == "awaiting_approval"


def test_a_new_write_plan_supersedes_those_that_were_never_approved(ledger: Ledger) -> None:
    waiting = stored(ledger)
    stopped = stored(ledger, status="stopped")
    assert ledger.plan(waiting.id).status == "superseded"
    assert ledger.plan_rows(waiting.id) == [], "nobody can write them any more"
    assert ledger.counts(waiting.id).planned == ledger.counts(waiting.id).pending == 3
    running = approved(ledger)
    assert ledger.plan(stopped.id).status == "superseded"
    run = ledger.start_run("globex", "plan", MOMENT)
    other = ledger.store_plan(run.id, "globex", "write", MOMENT, [], status="awaiting_approval", guards={})
    stored(ledger)
    assert ledger.plan(running.id).status == "approved"
    assert ledger.plan(other.id).status == "awaiting_approval"


def test_a_dry_run_and_an_undo_supersede_nothing(ledger: Ledger) -> None:
    waiting = stored(ledger)
    stored(ledger, status="dry_run")
    ledger.store_plan(
        waiting.run, "acme", "undo", MOMENT, [], status="awaiting_approval", guards={}, undoes=waiting.run
    )
    assert ledger.plan(waiting.id).status == "awaiting_approval"


def test_a_superseded_plan_can_not_be_approved(ledger: Ledger) -> None:
    old = stored(ledger)
    stored(ledger)
    with pytest.raises(StoreError, match="superseded"):
        ledger.approve(old.id, "person")


def test_approving_again_keeps_the_first_approval(ledger: Ledger, clock: Clock) -> None:
    plan = stored(ledger)
    first = ledger.approve(plan.id, "person")
    clock.advance(hours=1)
    assert ledger.approve(plan.id, "policy") == first
    assert (first.status, first.approved_by) == ("approved", "person")


def test_a_plan_is_done_when_no_row_is_pending(ledger: Ledger) -> None:
    plan = approved(ledger, 2)
    ledger.record(plan.id, [(0, "sent", None, None)])
    with pytest.raises(StoreError, match="1 rows are pending"):
        ledger.close_plan(plan.id)
    assert ledger.unfinished_plan("acme") == ledger.plan(plan.id)
    ledger.record(plan.id, [(1, "same", None, None)])
    assert ledger.unfinished_plan("acme") == ledger.plan(plan.id), "all written, but not closed"
    assert ledger.close_plan(plan.id).status == "done"
    assert ledger.unfinished_plan("acme") is None
    assert ledger.close_plan(plan.id).status == "done"


def test_a_plan_that_was_not_approved_can_not_be_done(ledger: Ledger) -> None:
    with pytest.raises(StoreError, match="awaiting approval"):
        ledger.close_plan(stored(ledger, 0).id)


def test_an_unknown_plan_is_named(ledger: Ledger) -> None:
    for call in (ledger.plan, ledger.counts, ledger.close_plan):
        with pytest.raises(NotFoundError, match="no plan 77"):
            call(77)


def test_the_newest_plan_of_a_run_is_found(ledger: Ledger) -> None:
    plan = stored(ledger)
    newer = ledger.store_plan(plan.run, "acme", "write", MOMENT, [], status="approved", guards={})
    assert ledger.plan_of_run(plan.run) == newer
    assert ledger.plan_of_run(ledger.start_run("acme", "pull", MOMENT).id) is None
    assert [found.id for found in ledger.plans("acme", limit=1)] == [newer.id]


def test_automatic_writing_is_allowed_after_a_person_s_plan_until_an_undo(ledger: Ledger) -> None:
    def write(by: str) -> Plan:
        plan = ledger.approve(stored(ledger, 1).id, by)  # type: ignore[arg-type]
        ledger.record(plan.id, [(0, "sent", None, None)])
        return ledger.close_plan(plan.id)

    assert not ledger.auto_allowed("acme")
    write("policy")
    assert not ledger.auto_allowed("acme")
    waiting = approved(ledger, 1)
    assert not ledger.auto_allowed("acme")
    ledger.record(waiting.id, [(0, "sent", None, None)])
    ledger.close_plan(waiting.id)
    assert ledger.auto_allowed("acme")
    assert not ledger.auto_allowed("globex")
    undo = ledger.store_plan(
        waiting.run, "acme", "undo", MOMENT, [], status="awaiting_approval", guards={}, undoes=waiting.run
    )
    assert ledger.auto_allowed("acme")
    ledger.approve(undo.id, "person")
    assert not ledger.auto_allowed("acme")
    write("policy")
    assert not ledger.auto_allowed("acme")
    write("person")
    assert ledger.auto_allowed("acme")


def test_an_undo_after_an_older_plan_s_late_approval_is_seen_by_its_time(
    ledger: Ledger, clock: Clock
) -> None:
    late = stored(ledger, 0)
    undo = ledger.store_plan(late.run, "acme", "undo", MOMENT, [], status="awaiting_approval", guards={})
    ledger.approve(undo.id, "person")
    clock.advance(minutes=1)
    ledger.approve(late.id, "person")
    ledger.close_plan(late.id)
    assert ledger.auto_allowed("acme")


def test_forgetting_a_record_leaves_counts_but_nothing_of_the_record(ledger: Ledger) -> None:
    plan = approved(ledger, 3)
    ledger.record(plan.id, [(0, "sent", None, "00Q0 is fine")])
    aside = SetAsideRow("lead", "leads.csv:7", "bad date '1.1.x' of Jane", id="00Q1", raw="Jane,1.1.x")
    other = SetAsideRow("lead", "leads.csv:8", "bad date", id="00Q2", raw="John,1.1.y")
    ledger.set_aside(plan.run, [aside, other])
    assert ledger.forget("globex", "lead", "00Q1") == 0
    assert ledger.forget("acme", "deal", "00Q1") == 0
    assert ledger.forget("acme", "lead", "00Q0") == 1
    assert ledger.forget("acme", "lead", "00Q1") == 2
    sent, pending, untouched = ledger.plan_rows(plan.id)
    for row in (sent, pending):
        assert (row.id, dict(row.before), dict(row.after), row.reason, row.message) == ("", {}, {}, "", None)
    assert (sent.state, pending.state, pending.code) == ("sent", "rejected", "forgotten")
    assert untouched.id == "00Q2"
    assert ledger.counts(plan.id) == Counts(planned=3, pending=1, sent=1, same=0, rejected=1, retried=0)
    kept, second = ledger.set_aside_rows(plan.run)
    assert kept == SetAsideRow("lead", "forgotten", "forgotten", id=None, raw=None)
    assert second == other


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(
            st.sets(st.integers(0, 7), min_size=1),
            st.sampled_from(["pending", "sent", "same", "rejected"]),
        ),
        max_size=12,
    )
)
def test_the_sum_holds_whatever_is_recorded(ledger: Ledger, steps: list[tuple[set[int], RowState]]) -> None:
    plan = approved(ledger, 8)
    states: dict[int, RowState] = dict.fromkeys(range(8), "pending")
    attempts = dict.fromkeys(range(8), 0)
    for wanted, state in steps:
        positions = sorted(position for position in wanted if states[position] == "pending")
        ledger.begin_attempt(plan.id, positions)
        ledger.record(plan.id, [(position, state, None, None) for position in positions])
        for position in positions:
            states[position] = state
            attempts[position] += 1
        counts = ledger.counts(plan.id)
        assert counts.pending + counts.sent + counts.same + counts.rejected == counts.planned == 8
        values = list(states.values())
        assert (counts.pending, counts.sent, counts.same, counts.rejected) == tuple(
            values.count(name) for name in ("pending", "sent", "same", "rejected")
        )
        assert counts.retried == sum(max(0, number - 1) for number in attempts.values())
