"""Applying: every record is accounted for, whatever the CRM answers and whenever the process dies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from crmbridge.errors import AuthError, CRMBridgeError, GuardError, QuotaError, SettingsError, TransientError
from crmbridge.model.fields import FieldValue
from crmbridge.model.records import ObjectName
from crmbridge.store.ledger import Ledger, PlanRow
from crmbridge.writeback.apply import apply_plan
from crmbridge.writeback.base import Change, Outcome
from crmbridge.writeback.verify import Difference, verify_plan
from tests.unit.writeback_kit import DictWriter, Stored, now

BEFORE: Mapping[str, FieldValue] = {"score": 10.0, "grade": "D"}
AFTER: Mapping[str, FieldValue] = {"score": 80.0, "grade": "A"}
FIELDS = ("score", "grade")


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Stored]:
    with Ledger.open(f"sqlite:///{tmp_path}/crmbridge.db", clock=now) as ledger:
        yield Stored(ledger)


def rows(ids: Sequence[str], object_name: str = "lead") -> list[PlanRow]:
    return [PlanRow(object_name, identifier, BEFORE, AFTER, "score 10.00 -> 80.00") for identifier in ids]


def crm(ids: Sequence[str], values: Mapping[str, FieldValue] = BEFORE) -> DictWriter:
    return DictWriter(dict.fromkeys(ids, values), FIELDS)


class Killed(BaseException):
    """The process dies here."""


def test_every_row_is_sent_in_batches_and_in_order(stored: Stored) -> None:
    ids = [f"{number:02}" for number in range(10)]
    plan, writer = stored.plan(rows(ids)), crm(ids)
    told: list[str] = []
    progress: list[tuple[int, int]] = []
    counts = apply_plan(
        plan.id,
        ledger=stored.ledger,
        writer=writer,
        on_sent=lambda object_name, sent: told.extend(identifier for identifier, _ in sent),
        on_progress=lambda settled, planned: progress.append((settled, planned)),
    )
    assert (counts.planned, counts.sent, counts.pending, counts.retried) == (10, 10, 0, 0)
    assert writer.writes == [ids[:4], ids[4:8], ids[8:]]
    assert told == ids
    assert progress == [(4, 10), (8, 10), (10, 10)]
    assert stored.ledger.plan(plan.id).status == "done"


def test_a_batch_never_mixes_objects(stored: Stored) -> None:
    plan = stored.plan(rows(["1", "2", "3"]) + rows(["4", "5"], "deal"))
    writer = crm(["1", "2", "3", "4", "5"])
    apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    assert writer.writes == [["1", "2", "3"], ["4", "5"]]


def test_a_finished_plan_is_not_applied_again(stored: Stored) -> None:
    plan, writer = stored.plan(rows(["1"])), crm(["1"])
    first = apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    assert apply_plan(plan.id, ledger=stored.ledger, writer=writer) == first
    assert len(writer.writes) == 1


def test_an_empty_plan_is_done_at_once(stored: Stored) -> None:
    plan = stored.plan([])
    assert apply_plan(plan.id, ledger=stored.ledger, writer=crm([])).planned == 0
    assert stored.ledger.plan(plan.id).status == "done"


def test_what_the_crm_holds_already_is_the_same_and_what_is_gone_is_rejected(stored: Stored) -> None:
    plan, writer = stored.plan(rows(["1", "2", "3"])), crm(["1", "2"])
    writer.held["2"] = {"score": 80.001, "grade": "A"}
    counts = apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    assert stored.states(plan) == {"1": "sent", "2": "same", "3": "rejected"}
    assert stored.codes(plan)["3"] == "gone"
    assert writer.writes == [["1"]]
    assert counts.planned == counts.sent + counts.same + counts.rejected


def test_a_record_that_changed_since_the_plan_is_left_alone(stored: Stored) -> None:
    plan, writer = stored.plan(rows(["1", "2"])), crm(["1", "2"])
    writer.held["2"]["grade"] = "B"
    apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    (_, row) = stored.ledger.plan_rows(plan.id)
    assert (row.state, row.code, row.message) == ("rejected", "changed_since_plan", "grade was D, is B now")
    assert writer.held["2"] == {"score": 10.0, "grade": "B"}


def test_a_cleared_field_and_one_never_filled_are_the_same_before(stored: Stored) -> None:
    row = PlanRow("lead", "1", {"score": None, "grade": None}, AFTER, "first score")
    plan, writer = stored.plan([row]), crm(["1"], {"grade": ""})
    assert apply_plan(plan.id, ledger=stored.ledger, writer=writer).sent == 1


def test_a_null_clears(stored: Stored) -> None:
    plan = stored.plan([PlanRow("lead", "1", BEFORE, {"score": None, "grade": None}, "score 10.00 -> none")])
    writer = crm(["1"])
    apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    assert writer.held["1"] == {"score": None, "grade": None}


def test_rejected_rows_carry_the_words_of_the_crm(stored: Stored) -> None:
    plan, writer = stored.plan(rows(["1", "2"])), crm(["1", "2"])

    def hook(object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        good = [change for change in changes if change.id == "1"]
        return [*writer.take(good), Outcome("2", "rejected", "VALIDATION", "The rule says no")]

    writer.hook = hook
    apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    (_, row) = stored.ledger.plan_rows(plan.id)
    assert (row.state, row.code, row.message) == ("rejected", "VALIDATION", "The rule says no")


def refusing(writer: DictWriter, times: dict[str, int]) -> None:
    """Make the writer refuse records for now, so many times."""

    def hook(object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        outcomes = []
        for change in changes:
            if times.get(change.id, 0) > 0:
                times[change.id] -= 1
                outcomes.append(Outcome(change.id, "retry", "LOCKED", "somebody else writes it"))
            else:
                outcomes += writer.take([change])
        return outcomes

    writer.hook = hook


def test_a_locked_record_is_tried_again_after_the_others(stored: Stored) -> None:
    ids = ["1", "2", "3", "4", "5", "6"]
    plan, writer = stored.plan(rows(ids)), crm(ids)
    refusing(writer, {"2": 2})
    counts = apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    assert (counts.sent, counts.retried) == (6, 2)
    assert writer.writes == [["1", "2", "3", "4"], ["5", "6"], ["2"], ["2"]]


def test_a_record_that_stays_locked_is_rejected_in_the_end(stored: Stored) -> None:
    plan, writer = stored.plan(rows(["1", "2"])), crm(["1", "2"])
    refusing(writer, {"2": 99})
    counts = apply_plan(plan.id, ledger=stored.ledger, writer=writer, max_attempts=3)
    assert (counts.sent, counts.rejected, counts.pending, counts.retried) == (1, 1, 0, 2)
    (_, row) = stored.ledger.plan_rows(plan.id)
    assert (row.code, row.message, row.attempts) == ("LOCKED", "somebody else writes it", 3)


def test_a_batch_that_is_refused_whole_is_halved(stored: Stored) -> None:
    ids = ["1", "2", "3", "4"]
    plan, writer = stored.plan(rows(ids)), crm(ids)

    def hook(object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome] | None:
        if len(changes) > 1 and "3" in [change.id for change in changes]:
            return [Outcome(change.id, "retry", "TIMEOUT") for change in changes]
        return None

    writer.hook = hook
    counts = apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    assert counts.sent == 4
    assert writer.writes == [ids, ["1", "2"], ["3", "4"], ["3"], ["4"]]


def test_a_crm_that_takes_no_writes_is_not_tried_for_ever(stored: Stored) -> None:
    ids = [f"{number:03}" for number in range(100)]
    plan, writer = stored.plan(rows(ids)), crm(ids)
    refusing(writer, dict.fromkeys(ids, 99))
    with pytest.raises(TransientError, match="takes no writes now"):
        apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    assert stored.ledger.counts(plan.id).pending == 100
    assert len(writer.writes) == 5
    writer.hook = None
    assert apply_plan(plan.id, ledger=stored.ledger, writer=writer).sent == 100


@pytest.mark.parametrize("took_effect", [True, False])
def test_after_a_lost_answer_the_crm_is_read(stored: Stored, took_effect: bool) -> None:
    plan, writer = stored.plan(rows(["1", "2"])), crm(["1", "2"])

    def hook(object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        writer.hook = None
        if took_effect:
            writer.take(changes)
        return [Outcome(change.id, "unknown") for change in changes]

    writer.hook = hook
    counts = apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    assert (counts.sent, counts.pending) == (2, 0)
    assert sum(len(batch) for batch in writer.writes) == (2 if took_effect else 4)


def test_an_answer_that_never_comes_is_rejected_in_words(stored: Stored) -> None:
    plan, writer = stored.plan(rows(["1"])), crm(["1"])
    writer.hook = lambda object_name, changes: [Outcome("1", "unknown")]
    apply_plan(plan.id, ledger=stored.ledger, writer=writer, max_attempts=2)
    (row,) = stored.ledger.plan_rows(plan.id)
    assert (row.state, row.code) == ("rejected", "unanswered")


def test_a_record_that_changed_while_the_answer_was_lost_is_left_alone(stored: Stored) -> None:
    plan, writer = stored.plan(rows(["1"])), crm(["1"])

    def hook(object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        writer.held["1"]["score"] = 33.0
        return [Outcome("1", "unknown")]

    writer.hook = hook
    apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    assert stored.codes(plan) == {"1": "changed_since_plan"}
    assert writer.held["1"]["score"] == 33.0


def test_a_record_the_writer_says_nothing_about_is_read_back(stored: Stored) -> None:
    plan, writer = stored.plan(rows(["1", "2"])), crm(["1", "2"])
    writer.hook = lambda object_name, changes: writer.take(changes)[:1]
    assert apply_plan(plan.id, ledger=stored.ledger, writer=writer).sent == 2


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([Outcome("1", "sent"), Outcome("9", "sent")], "lead 9: .* that it was not given"),
        ([Outcome("1", "sent"), Outcome("1", "sent")], "lead 1: .* answered twice"),
    ],
)
def test_an_answer_nobody_asked_for_is_the_plugins_fault(
    stored: Stored, answers: Sequence[Outcome], words: str
) -> None:
    plan, writer = stored.plan(rows(["1"])), crm(["1"])

    def hook(object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        writer.take(changes)
        return answers

    writer.hook = hook
    with pytest.raises(CRMBridgeError, match=words):
        apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    writer.hook = None
    assert apply_plan(plan.id, ledger=stored.ledger, writer=writer).sent == 1
    assert len(writer.writes) == 1, "what was written is read back, not written twice"


@pytest.mark.parametrize("error", [AuthError("no."), QuotaError("no."), TransientError("no.")])
def test_an_error_keeps_what_was_done_and_the_next_run_goes_on(stored: Stored, error: CRMBridgeError) -> None:
    ids = ["1", "2", "3", "4", "5", "6"]
    plan, writer = stored.plan(rows(ids)), crm(ids)

    def hook(object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome] | None:
        if changes[0].id == "5":
            raise error
        return None

    writer.hook = hook
    with pytest.raises(type(error)):
        apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    counts = stored.ledger.counts(plan.id)
    assert (counts.sent, counts.pending) == (4, 2)
    unfinished = stored.ledger.unfinished_plan("acme")
    assert unfinished is not None
    assert unfinished.id == plan.id
    writer.hook = None
    assert apply_plan(plan.id, ledger=stored.ledger, writer=writer).sent == 6


def test_rows_of_a_call_that_was_never_sent_are_not_in_flight(stored: Stored) -> None:
    plan, writer = stored.plan(rows(["1"])), crm(["1"])

    def hook(object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        raise QuotaError("the limit is used up.")

    writer.hook = hook
    with pytest.raises(QuotaError):
        apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    writer.held["1"] = dict(AFTER)  # a person typed just that
    assert apply_plan(plan.id, ledger=stored.ledger, writer=writer).same == 1


@pytest.mark.parametrize("took_effect", [True, False])
def test_killed_while_the_request_was_away_the_next_run_finds_out(stored: Stored, took_effect: bool) -> None:
    plan, writer = stored.plan(rows(["1", "2"])), crm(["1", "2"])

    def hook(object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        if took_effect:
            writer.take(changes)
        raise Killed

    writer.hook = hook
    with pytest.raises(Killed):
        apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    assert stored.ledger.counts(plan.id).pending == 2
    writer.hook = None
    assert apply_plan(plan.id, ledger=stored.ledger, writer=writer).sent == 2
    assert len(writer.writes) == (1 if took_effect else 2)


def test_a_record_half_written_by_a_killed_run_is_written_again(stored: Stored) -> None:
    plan, writer = stored.plan(rows(["1"])), crm(["1"])

    def hook(object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        writer.held["1"]["score"] = 80.0
        raise Killed

    writer.hook = hook
    with pytest.raises(Killed):
        apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    writer.hook = None
    assert apply_plan(plan.id, ledger=stored.ledger, writer=writer).sent == 1
    assert writer.held["1"] == dict(AFTER)


def test_a_guard_sends_nothing_until_it_is_overridden(stored: Stored) -> None:
    plan = stored.plan(rows(["1"]), guards={"max_changed": "Much."}, status="stopped")
    writer = crm(["1"])
    with pytest.raises(GuardError, match="Guard max_changed: Much"):
        apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    assert writer.writes == []
    assert apply_plan(plan.id, ledger=stored.ledger, writer=writer, override=["max_changed"]).sent == 1


def test_a_plan_nobody_approved_is_not_applied(stored: Stored) -> None:
    waiting = stored.plan(rows(["1"]), approve=False)
    writer = crm(["1"])
    with pytest.raises(SettingsError, match=f"not approved.*crmbridge apply {waiting.id}"):
        apply_plan(waiting.id, ledger=stored.ledger, writer=writer)
    stored.plan(rows(["1"]), approve=False)
    with pytest.raises(SettingsError, match="a later plan has taken its place"):
        apply_plan(waiting.id, ledger=stored.ledger, writer=writer)
    assert writer.writes == []


def test_verifying_reads_back_what_was_sent_and_lists_every_difference(stored: Stored) -> None:
    ids = ["1", "2", "3", "4"]
    plan, writer = stored.plan(rows(ids)), crm(ids[:3])
    apply_plan(plan.id, ledger=stored.ledger, writer=writer)
    assert verify_plan(plan.id, ledger=stored.ledger, writer=writer).holds
    writer.held["2"]["grade"] = "C"
    del writer.held["3"]
    verified = verify_plan(plan.id, ledger=stored.ledger, writer=writer)
    assert verified.read == 3
    assert verified.differences == (Difference("lead", "2", "grade", "A", "C"),)
    assert verified.gone == (("lead", "3"),)


def test_what_was_sent_is_told_even_if_the_process_dies_before_the_ledger_knows(stored: Stored) -> None:
    plan, writer = stored.plan(rows(["1", "2"])), crm(["1", "2"])
    told: list[str] = []

    def dying(object_name: ObjectName, sent: Sequence[tuple[str, Mapping[str, FieldValue]]]) -> None:
        raise Killed

    with pytest.raises(Killed):
        apply_plan(plan.id, ledger=stored.ledger, writer=writer, on_sent=dying)
    apply_plan(
        plan.id,
        ledger=stored.ledger,
        writer=writer,
        on_sent=lambda object_name, sent: told.extend(identifier for identifier, _ in sent),
    )
    assert told == ["1", "2"]
    assert len(writer.writes) == 1
