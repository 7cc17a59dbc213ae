"""What every writer must do, and what plan, apply and undo must do with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from crmbridge.connectors.base import CheckItem
from crmbridge.errors import QuotaError
from crmbridge.model.fields import CATALOGUE, FieldValue, fields_on, is_own_name
from crmbridge.model.records import ObjectName
from crmbridge.testing import samples
from crmbridge.testing.subject import Subject
from crmbridge.testing.trial import Trial, pulled
from crmbridge.writeback.base import Change, InstallStep, Outcome, Writer
from crmbridge.writeback.undo import kept
from crmbridge.writeback.values import Values, differing
from crmbridge.writeback.verify import verify_plan

NUMBER: Final = 13


class Killed(BaseException):
    """The process dies here."""


class WriterConformance:
    """Subclass it as `TestX` and give the fixture `subject`."""

    @pytest.fixture
    def subject(self) -> Subject:
        """The CRM under test: a fresh one for each test."""
        raise NotImplementedError("give the fixture `subject`")

    @pytest.fixture
    def trial(self, subject: Subject, tmp_path: Path) -> Iterator[Trial]:
        """A ledger and a lake for this test."""
        folder = tmp_path / "trial"
        folder.mkdir()
        with Trial.of(subject, folder) as trial:
            yield trial

    # Installing

    def test_a_dry_run_installs_nothing(self, subject: Subject) -> None:
        subject.seed(samples.leads(1))
        first = [(step.what, step.state) for step in subject.writer().install(dry_run=True)]
        assert "planned" in {state for _, state in first}
        assert {state for _, state in first} <= {"planned", "present"}
        assert [(step.what, step.state) for step in subject.writer().install(dry_run=True)] == first

    def test_installing_twice_is_installing_once(self, subject: Subject) -> None:
        subject.seed(samples.leads(1))
        assert "done" in {step.state for step in subject.writer().install(dry_run=False)}
        assert {step.state for step in subject.writer().install(dry_run=False)} == {"present"}

    def test_checking_fails_before_installing_and_not_after(self, subject: Subject) -> None:
        subject.seed(samples.leads(1))
        if subject.needs_install:
            assert "failed" in {item.state for item in subject.writer().check()}
        _install(subject)
        assert "failed" not in {item.state for item in subject.writer().check()}

    def test_a_conflict_is_told_before_anything_is_made(self, subject: Subject) -> None:
        _needs(subject, "conflict")
        subject.seed(samples.leads(1))
        subject.fault("conflict")
        steps = list(subject.writer().install(dry_run=False))
        conflicts = [step for step in steps if step.state == "conflict"]
        assert conflicts
        assert all(step.remedy for step in conflicts)
        assert "done" not in {step.state for step in steps}

    def test_uninstalling_removes_ours_and_only_ours(self, subject: Subject, trial: Trial) -> None:
        ids = _seeded(subject, trial)
        trial.write("lead", {identifier: _values(subject) for identifier in ids})
        planned = [step.state for step in subject.writer().uninstall(dry_run=True)]
        assert "planned" in planned
        assert "done" not in planned
        assert not differing(_values(subject), subject.held("lead", ids[0])), "a dry run removes nothing"
        assert "done" in {step.state for step in subject.writer().uninstall(dry_run=False)}
        assert not differing({}, subject.held("lead", ids[0]))
        assert trial.pull("lead") == (0, 0, 0)
        assert list(subject.writer().uninstall(dry_run=False)) == []
        _install(subject)
        assert all(not any(_given(held)) for held in subject.writer().read("lead", ids).values())

    # Reading and writing

    def test_a_record_that_holds_nothing_is_there_and_empty(self, subject: Subject, trial: Trial) -> None:
        ids = _seeded(subject, trial)
        held = subject.writer().read("lead", ids)
        assert set(held) == set(ids)
        assert not any(_given(values) for values in held.values())

    def test_reading_leaves_out_what_is_gone(self, subject: Subject, trial: Trial) -> None:
        if not subject.knows_gone:
            pytest.skip("this writer can't know whether a record exists")
        ids = _seeded(subject, trial)
        subject.delete("lead", ids[1])
        assert set(subject.writer().read("lead", ids)) == {*ids} - {ids[1]}

    def test_reading_nobody_gives_nothing(self, subject: Subject) -> None:
        subject.seed(samples.leads(1))
        _install(subject)
        assert dict(subject.writer().read("lead", [])) == {}

    def test_every_field_of_every_object_holds_what_was_written(self, subject: Subject) -> None:
        seeded = {name: list(subject.seed(samples.records(name, 3))) for name in subject.objects}
        _install(subject)
        for object_name, ids in seeded.items():
            rows = samples.extremes(object_name, subject.writes)
            if object_name not in subject.writer().objects or not rows[0]:
                continue
            changes = [
                Change(object_name, identifier, row) for identifier, row in zip(ids, rows, strict=True)
            ]
            assert _sent(_write(subject.writer(), object_name, changes)) == set(ids)
            held = subject.writer().read(object_name, ids)
            for change in changes:
                assert held[change.id].keys() == change.values.keys()
                for key, value in held[change.id].items():
                    _assert_type(key, value)
                assert _differences(change.values, held[change.id]) == {}
                assert _differences(change.values, subject.held(object_name, change.id)) == {}

    def test_none_clears_a_field_and_an_absent_key_leaves_it(self, subject: Subject, trial: Trial) -> None:
        one, other, *_ = _seeded(subject, trial)
        written = _values(subject)
        first, *rest = written
        _write(subject.writer(), "lead", [Change("lead", each, written) for each in (one, other)])
        _write(
            subject.writer(),
            "lead",
            [Change("lead", one, dict.fromkeys(written)), Change("lead", other, {first: None})],
        )
        held = subject.writer().read("lead", [one, other])
        assert not any(_given(held[one]))
        assert _differences({**written, first: None}, held[other]) == {}
        assert rest, "the subject must write more than one field"

    def test_writing_touches_the_named_records_only(self, subject: Subject, trial: Trial) -> None:
        ids = _seeded(subject, trial)
        first, second = _values(subject), _values(subject, turn=1)
        _write(subject.writer(), "lead", [Change("lead", identifier, first) for identifier in ids])
        _write(subject.writer(), "lead", [Change("lead", ids[2], second)])
        for identifier, held in subject.writer().read("lead", ids).items():
            assert _differences(second if identifier == ids[2] else first, held) == {}

    def test_there_is_one_outcome_for_each_change(self, subject: Subject, trial: Trial) -> None:
        ids = _seeded(subject, trial)
        writer = subject.writer()
        batch = ids[: writer.batch_size]
        changes = [Change("lead", identifier, _values(subject)) for identifier in reversed(batch)]
        outcomes = writer.write("lead", changes)
        assert sorted(outcome.id for outcome in outcomes) == sorted(batch)
        assert {outcome.state for outcome in outcomes} == {"sent"}

    def test_writing_to_a_record_that_is_gone_is_rejected_and_makes_none(
        self, subject: Subject, trial: Trial
    ) -> None:
        if not subject.knows_gone:
            pytest.skip("this writer can't know whether a record exists")
        ids = _seeded(subject, trial)
        subject.delete("lead", ids[0])
        changes = [Change("lead", identifier, _values(subject)) for identifier in ids[:2]]
        outcomes = {outcome.id: outcome for outcome in _write(subject.writer(), "lead", changes)}
        assert (outcomes[ids[0]].state, outcomes[ids[1]].state) == ("rejected", "sent")
        assert outcomes[ids[0]].code
        assert set(pulled(subject.connector().pull("lead", None)).records) == set(ids[1:])

    # Plan, apply, verify, undo

    def test_a_second_run_on_unchanged_data_writes_nothing(self, subject: Subject, trial: Trial) -> None:
        ids = _seeded(subject, trial)
        results = {identifier: _values(subject) for identifier in ids}
        plan = trial.plan("lead", results)
        counts = trial.apply(plan)
        assert (counts.planned, counts.sent, counts.pending, counts.rejected) == (NUMBER, NUMBER, 0, 0)
        assert verify_plan(plan.id, ledger=trial.ledger, writer=subject.writer()).holds
        assert trial.rows(trial.plan("lead", results)) == {}
        trial.pull("lead")
        assert trial.rows(trial.plan("lead", results)) == {}

    def test_own_writes_are_no_news(self, subject: Subject, trial: Trial) -> None:
        ids = _seeded(subject, trial)
        trial.write("lead", {identifier: _values(subject) for identifier in ids})
        assert trial.pull("lead") == (0, 0, 0)

    def test_own_fields_are_never_attributes(self, subject: Subject, trial: Trial) -> None:
        ids = _seeded(subject, trial)
        trial.write("lead", {identifier: _values(subject) for identifier in ids})
        found = pulled(subject.connector().pull("lead", None))
        for identifier, record in found.records.items():
            assert [name for name in record.attributes if is_own_name(name)] == []
            if identifier in found.held:
                assert _differences(_values(subject), found.held[identifier]) == {}

    def test_what_a_person_changed_in_the_crm_is_seen_by_the_next_plan(
        self, subject: Subject, trial: Trial
    ) -> None:
        ids = _seeded(subject, trial)
        results = {identifier: _values(subject) for identifier in ids}
        trial.write("lead", results)
        key, theirs = _edited(subject)
        subject.edit("lead", ids[4], key, theirs)
        trial.pull("lead")
        (row,) = trial.rows(trial.plan("lead", results)).values()
        assert row.id == ids[4]
        assert _differences({key: theirs}, row.before) == {}

    def test_a_record_changed_between_plan_and_apply_is_left_alone(
        self, subject: Subject, trial: Trial
    ) -> None:
        ids = _seeded(subject, trial)
        plan = trial.plan("lead", {identifier: _values(subject) for identifier in ids})
        key, theirs = _edited(subject)
        subject.edit("lead", ids[5], key, theirs)
        counts = trial.apply(plan)
        assert (counts.sent, counts.rejected) == (NUMBER - 1, 1)
        assert trial.rows(plan)[ids[5]].code == "changed_since_plan"
        assert _differences({key: theirs}, subject.held("lead", ids[5])) == {}

    def test_undo_restores_what_was_there(self, subject: Subject, trial: Trial) -> None:
        ids = _seeded(subject, trial)
        first = trial.write("lead", {identifier: _values(subject) for identifier in ids})
        second = trial.write("lead", {identifier: _values(subject, turn=1) for identifier in ids[:6]})
        trial.undo(second)
        for identifier in ids:
            assert _differences(_values(subject), subject.held("lead", identifier)) == {}
        trial.undo(first)
        for identifier in ids:
            assert not any(_given(subject.held("lead", identifier)))

    def test_undo_keeps_and_lists_what_a_person_changed_since(self, subject: Subject, trial: Trial) -> None:
        ids = _seeded(subject, trial)
        plan = trial.write("lead", {identifier: _values(subject) for identifier in ids})
        key, theirs = _edited(subject)
        subject.edit("lead", ids[7], key, theirs)
        undo = trial.undo(plan)
        assert _differences({**_values(subject), key: theirs}, subject.held("lead", ids[7])) == {}
        (left,) = kept(undo.id, ledger=trial.ledger, writer=subject.writer())
        assert (left.id, left.field, left.why) == (ids[7], key, "changed_by_person")
        assert not differing({key: theirs}, {key: left.theirs})
        others = [identifier for identifier in ids if identifier != ids[7]]
        assert not any(any(_given(subject.held("lead", identifier))) for identifier in others)

    def test_a_refused_record_is_rejected_in_the_words_of_the_crm(
        self, subject: Subject, trial: Trial
    ) -> None:
        _needs(subject, "reject")
        ids = _seeded(subject, trial)
        subject.fault("reject", ids[3])
        plan = trial.write("lead", {identifier: _values(subject) for identifier in ids})
        rows = trial.rows(plan)
        assert [row.id for row in rows.values() if row.state != "sent"] == [ids[3]]
        assert (rows[ids[3]].state, bool(rows[ids[3]].code)) == ("rejected", True)
        assert not any(_given(subject.held("lead", ids[3])))

    def test_a_locked_record_is_written_in_the_end(self, subject: Subject, trial: Trial) -> None:
        _needs(subject, "locked")
        ids = _seeded(subject, trial)
        subject.fault("locked", ids[3])
        trial.write("lead", {identifier: _values(subject) for identifier in ids})
        assert _differences(_values(subject), subject.held("lead", ids[3])) == {}

    @pytest.mark.parametrize("fault", ["lost_answer", "lost_request"])
    def test_a_lost_answer_neither_doubles_nor_loses_a_write(
        self, subject: Subject, trial: Trial, fault: str
    ) -> None:
        _needs(subject, fault)
        ids = _seeded(subject, trial)
        plan = trial.plan("lead", {identifier: _values(subject) for identifier in ids})
        subject.fault(fault)
        counts = trial.apply(plan)
        assert (counts.sent, counts.pending) == (NUMBER, 0)
        for identifier in ids:
            assert _differences(_values(subject), subject.held("lead", identifier)) == {}

    def test_a_used_up_quota_leaves_the_rest_for_later(self, subject: Subject, trial: Trial) -> None:
        _needs(subject, "quota")
        ids = _seeded(subject, trial)
        plan = trial.plan("lead", {identifier: _values(subject) for identifier in ids})
        subject.fault("quota")
        with pytest.raises(QuotaError):
            trial.apply(plan)
        assert trial.ledger.counts(plan.id).pending > 0
        assert trial.apply(plan).sent == NUMBER

    @pytest.mark.parametrize("took_effect", [True, False])
    def test_killed_between_the_write_and_the_ledger_the_next_run_finishes(
        self, subject: Subject, trial: Trial, took_effect: bool
    ) -> None:
        ids = _seeded(subject, trial)
        plan = trial.plan("lead", {identifier: _values(subject) for identifier in ids})
        with pytest.raises(Killed):
            trial.apply(plan, _Dying(subject.writer(), took_effect))
        counts = trial.ledger.counts(plan.id)
        assert counts.pending + counts.sent == NUMBER
        assert counts.pending > 0
        counts = trial.apply(plan)
        assert (counts.sent, counts.pending) == (NUMBER, 0)
        for identifier in ids:
            assert _differences(_values(subject), subject.held("lead", identifier)) == {}
        assert trial.pull("lead") == (0, 0, 0)


class _Dying(Writer):
    """A writer whose process dies at its first write, before or after it took effect."""

    def __init__(self, writer: Writer, took_effect: bool) -> None:
        super().__init__(writer.context)
        self._writer, self._took_effect = writer, took_effect
        self.name, self.objects = writer.name, writer.objects  # type: ignore[misc]
        self.batch_size, self.reads_are_free = writer.batch_size, writer.reads_are_free  # type: ignore[misc]

    def install(self, *, dry_run: bool) -> Iterator[InstallStep]:
        return self._writer.install(dry_run=dry_run)

    def uninstall(self, *, dry_run: bool) -> Iterator[InstallStep]:
        return self._writer.uninstall(dry_run=dry_run)

    def check(self) -> Iterator[CheckItem]:
        return self._writer.check()

    def read(self, object_name: ObjectName, ids: Sequence[str]) -> Mapping[str, Values]:
        return self._writer.read(object_name, ids)

    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        if self._took_effect:
            self._writer.write(object_name, changes)
        raise Killed


def _install(subject: Subject) -> None:
    assert "conflict" not in {step.state for step in subject.writer().install(dry_run=False)}


def _seeded(subject: Subject, trial: Trial) -> list[str]:
    """Leads in the CRM and in the lake, and our fields in the CRM."""
    ids = list(subject.seed(samples.leads(NUMBER)))
    _install(subject)
    trial.pull("lead")
    return ids


def _values(subject: Subject, turn: int = 0) -> dict[str, FieldValue]:
    return samples.values("lead", subject.writes, turn)


def _edited(subject: Subject) -> tuple[str, FieldValue]:
    """A field, and a value that a person might give it: far from ours, and not a stamp."""
    field = next(each for each in fields_on("lead", subject.writes) if each.type in ("number", "choice"))
    return field.key, samples.values("lead", (field.key,), turn=3)[field.key]


def _write(writer: Writer, object_name: ObjectName, changes: Sequence[Change]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for start in range(0, len(changes), writer.batch_size):
        outcomes += writer.write(object_name, changes[start : start + writer.batch_size])
    writer.close()
    return outcomes


def _sent(outcomes: Sequence[Outcome]) -> set[str]:
    return {outcome.id for outcome in outcomes if outcome.state == "sent"}


def _differences(wanted: Values, held: Values) -> dict[str, tuple[FieldValue, FieldValue]]:
    """Fields that do not hold what they should: (wanted, held)."""
    return {key: (wanted[key], held.get(key)) for key in differing(wanted, held)}


def _given(held: Values) -> list[str]:
    """The keys that hold something: anything but empty, and an unchecked box."""
    return differing(dict.fromkeys(held), held)


def _assert_type(key: str, value: FieldValue) -> None:
    kinds = {"number": (int, float), "boolean": (bool,)}.get(CATALOGUE[key].type, (str,))
    right = value is None or (isinstance(value, kinds) and isinstance(value, bool) == (kinds == (bool,)))
    assert right, f"{key} came as {value!r}"


def _needs(subject: Subject, fault: str) -> None:
    if fault not in subject.faults:
        pytest.skip(f"this subject can't make the fault {fault!r}")
