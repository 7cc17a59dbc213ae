"""Whatever the CRM answers, wherever the process dies: each record is in one state, and the states add up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmbridge.errors import QuotaError, TransientError
from crmbridge.model.records import ObjectName
from crmbridge.store.ledger import Counts, Ledger, PlanRow
from crmbridge.writeback.apply import apply_plan
from crmbridge.writeback.base import Change, Outcome
from crmbridge.writeback.undo import undo_rows
from tests.unit.writeback_kit import DictWriter, Stored, now

BEFORE = {"score": 10.0, "grade": "D"}
AFTER = {"score": 80.0, "grade": "A"}

EVENTS = (
    "sent",
    "rejected",
    "retry",
    "lost",
    "unsent",
    "silent",
    "killed_before",
    "killed_after",
    "quota",
    "down",
)
"""What may happen to one record (the first six) or to a whole call."""


class Killed(BaseException):
    """The process dies here."""


def misbehaving(writer: DictWriter, draw: Callable[[], str]) -> None:
    def hook(object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        whole = draw()
        if whole == "quota":
            raise QuotaError("used up.")
        if whole == "killed_before":
            raise Killed
        if whole == "killed_after":
            writer.take(changes)
            raise Killed
        if whole == "down":
            writer.take(changes[::2])
            raise TransientError("the network is gone.")
        outcomes = []
        for change in changes:
            event = draw()
            if event in ("sent", "lost", "silent"):
                writer.take([change])
            if event == "sent":
                outcomes.append(Outcome(change.id, "sent"))
            elif event == "rejected":
                outcomes.append(Outcome(change.id, "rejected", "NO"))
            elif event == "retry":
                outcomes.append(Outcome(change.id, "retry", "LOCKED"))
            elif event in ("lost", "unsent"):
                outcomes.append(Outcome(change.id, "unknown"))
        return outcomes

    writer.hook = hook


def adds_up(counts: Counts) -> bool:
    return counts.pending + counts.sent + counts.same + counts.rejected == counts.planned


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.data(), size=st.integers(min_value=1, max_value=10), batch=st.integers(min_value=1, max_value=5)
)
def test_states_add_up_and_tell_the_truth_after_any_faults_and_kills(
    data: st.DataObject, size: int, batch: int
) -> None:
    ids = [str(number) for number in range(size)]
    edited = set(data.draw(st.lists(st.sampled_from(ids), max_size=2), label="edited by a person"))
    writer = DictWriter(dict.fromkeys(ids, BEFORE), ("score", "grade"))
    writer.batch_size = batch  # type: ignore[misc]
    with TemporaryDirectory() as folder, Ledger.open(f"sqlite:///{Path(folder)}/l.db", clock=now) as ledger:
        stored = Stored(ledger)
        plan = stored.plan([PlanRow("lead", identifier, BEFORE, AFTER, "") for identifier in ids])
        for identifier in edited:
            writer.held[identifier]["grade"] = "B"
        misbehaving(writer, lambda: data.draw(st.sampled_from(EVENTS)))
        for _ in range(data.draw(st.integers(min_value=0, max_value=6), label="runs that may die")):
            with suppress(Killed, QuotaError, TransientError):
                apply_plan(plan.id, ledger=ledger, writer=writer, max_attempts=3)
            assert adds_up(ledger.counts(plan.id))
        writer.hook = None
        counts = apply_plan(plan.id, ledger=ledger, writer=writer)
        assert adds_up(counts)
        assert counts.pending == 0
        for row in ledger.plan_rows(plan.id):
            holds_ours = writer.held[row.id] == AFTER
            assert holds_ours == (row.state in ("sent", "same")), row
            assert not row.in_flight
            if row.id in edited:
                assert writer.held[row.id] == {**BEFORE, "grade": "B"}

        undo = stored.plan(list(undo_rows(plan.id, ledger=ledger)), kind="undo", undoes=plan.run)
        apply_plan(undo.id, ledger=ledger, writer=writer)
        for row in ledger.plan_rows(plan.id):
            if row.state == "sent":
                assert writer.held[row.id] == BEFORE
