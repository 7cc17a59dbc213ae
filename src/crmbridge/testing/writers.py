"""What every writer must do, and what plan, apply and undo must do with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from crmbridge.connectors.base import CheckItem
from crmbridge.model.fields import is_own_name
from crmbridge.model.records import ObjectName
from crmbridge.testing import samples
from crmbridge.testing.faults import WriterFaults
from crmbridge.testing.guide import guide
from crmbridge.testing.hands import (
    NUMBER,
    assert_type,
    differences,
    edited,
    given,
    install,
    needs,
    seeded,
    sent,
    values,
    write,
)
from crmbridge.testing.subject import Subject
from crmbridge.testing.trial import Trial, pulled
from crmbridge.writeback.base import Change, InstallStep, Outcome, Writer
from crmbridge.writeback.undo import kept
from crmbridge.writeback.values import Values, differing
from crmbridge.writeback.verify import verify_plan


class Killed(BaseException):
    """The process dies here."""


class WriterConformance(WriterFaults):
    """Subclass it as `TestX` and give the fixture `subject`."""

    # Installing

    @guide("Installing")
    def test_a_dry_run_installs_nothing(self, subject: Subject) -> None:
        """A dry run says what it would do, and does nothing."""
        subject.seed(samples.leads(1))
        first = [(step.what, step.state) for step in subject.writer().install(dry_run=True)]
        assert "planned" in {state for _, state in first}
        assert {state for _, state in first} <= {"planned", "present"}
        assert [(step.what, step.state) for step in subject.writer().install(dry_run=True)] == first

    @guide("Installing")
    def test_installing_twice_is_installing_once(self, subject: Subject) -> None:
        """Installing again finds everything present."""
        subject.seed(samples.leads(1))
        assert "done" in {step.state for step in subject.writer().install(dry_run=False)}
        assert {step.state for step in subject.writer().install(dry_run=False)} == {"present"}

    @guide("Installing")
    def test_checking_fails_before_installing_and_not_after(self, subject: Subject) -> None:
        """`check()` says which of our fields are missing, and is content once they are there."""
        subject.seed(samples.leads(1))
        if subject.needs_install:
            assert "failed" in {item.state for item in subject.writer().check()}
        install(subject)
        assert "failed" not in {item.state for item in subject.writer().check()}

    @guide("Installing")
    def test_a_conflict_is_told_before_anything_is_made(self, subject: Subject) -> None:
        """Where something stands in the way of one field, its remedy is told and none is made."""
        needs(subject, "conflict")
        subject.seed(samples.leads(1))
        subject.fault("conflict")
        steps = list(subject.writer().install(dry_run=False))
        conflicts = [step for step in steps if step.state == "conflict"]
        assert conflicts
        assert all(step.remedy for step in conflicts)
        assert "done" not in {step.state for step in steps}

    @guide("Installing")
    def test_uninstalling_removes_ours_and_only_ours(self, subject: Subject, trial: Trial) -> None:
        """Uninstalling removes what `install` made, with its values, and touches nothing else."""
        ids = seeded(subject, trial)
        trial.write("lead", {identifier: values(subject) for identifier in ids})
        planned = [step.state for step in subject.writer().uninstall(dry_run=True)]
        assert "planned" in planned
        assert "done" not in planned
        assert not differing(values(subject), subject.held("lead", ids[0])), "a dry run removes nothing"
        assert "done" in {step.state for step in subject.writer().uninstall(dry_run=False)}
        assert not differing({}, subject.held("lead", ids[0]))
        assert trial.pull("lead") == (0, 0, 0)
        assert list(subject.writer().uninstall(dry_run=False)) == []
        install(subject)
        assert all(not any(given(held)) for held in subject.writer().read("lead", ids).values())

    # Reading and writing

    @guide("Reading what is held")
    def test_a_record_that_holds_nothing_is_there_and_empty(self, subject: Subject, trial: Trial) -> None:
        """A record that exists is in the answer of `read`, empty where our fields are."""
        ids = seeded(subject, trial)
        held = subject.writer().read("lead", ids)
        assert set(held) == set(ids)
        assert not any(given(values) for values in held.values())

    @guide("Reading what is held")
    def test_reading_leaves_out_what_is_gone(self, subject: Subject, trial: Trial) -> None:
        """A record that is gone is not in the answer of `read`."""
        if not subject.knows_gone:
            pytest.skip("this writer can't know whether a record exists")
        ids = seeded(subject, trial)
        subject.delete("lead", ids[1])
        assert set(subject.writer().read("lead", ids)) == {*ids} - {ids[1]}

    @guide("Reading what is held")
    def test_reading_nobody_gives_nothing(self, subject: Subject) -> None:
        """`read` of no ids is an empty answer."""
        subject.seed(samples.leads(1))
        install(subject)
        assert dict(subject.writer().read("lead", [])) == {}

    @guide("Writing")
    def test_every_field_of_every_object_holds_what_was_written(self, subject: Subject) -> None:
        """What is written is what is held: whole numbers and decimals, long texts, all choices, moments in
        UTC.
        """
        seeded = {name: list(subject.seed(samples.records(name, 3))) for name in subject.objects}
        install(subject)
        for object_name, ids in seeded.items():
            rows = samples.extremes(object_name, subject.writes)
            if object_name not in subject.writer().objects or not rows[0]:
                continue
            changes = [
                Change(object_name, identifier, row) for identifier, row in zip(ids, rows, strict=True)
            ]
            assert sent(write(subject.writer(), object_name, changes)) == set(ids)
            held = subject.writer().read(object_name, ids)
            for change in changes:
                assert held[change.id].keys() == change.values.keys()
                for key, value in held[change.id].items():
                    assert_type(key, value)
                assert differences(change.values, held[change.id]) == {}
                assert differences(change.values, subject.held(object_name, change.id)) == {}

    @guide("Writing")
    def test_none_clears_a_field_and_an_absent_key_leaves_it(self, subject: Subject, trial: Trial) -> None:
        """None clears a field; a key that is not in the change leaves its field as it is."""
        one, other, *_ = seeded(subject, trial)
        written = values(subject)
        first, *rest = written
        write(subject.writer(), "lead", [Change("lead", each, written) for each in (one, other)])
        write(
            subject.writer(),
            "lead",
            [Change("lead", one, dict.fromkeys(written)), Change("lead", other, {first: None})],
        )
        held = subject.writer().read("lead", [one, other])
        assert not any(given(held[one]))
        assert differences({**written, first: None}, held[other]) == {}
        assert rest, "the subject must write more than one field"

    @guide("Writing")
    def test_writing_touches_the_named_records_only(self, subject: Subject, trial: Trial) -> None:
        """A change touches its own record and no other."""
        ids = seeded(subject, trial)
        first, second = values(subject), values(subject, turn=1)
        write(subject.writer(), "lead", [Change("lead", identifier, first) for identifier in ids])
        write(subject.writer(), "lead", [Change("lead", ids[2], second)])
        for identifier, held in subject.writer().read("lead", ids).items():
            assert differences(second if identifier == ids[2] else first, held) == {}

    @guide("Writing")
    def test_there_is_one_outcome_for_each_change(self, subject: Subject, trial: Trial) -> None:
        """`write` gives exactly one outcome for each change."""
        ids = seeded(subject, trial)
        writer = subject.writer()
        batch = ids[: writer.batch_size]
        changes = [Change("lead", identifier, values(subject)) for identifier in reversed(batch)]
        outcomes = writer.write("lead", changes)
        assert sorted(outcome.id for outcome in outcomes) == sorted(batch)
        assert {outcome.state for outcome in outcomes} == {"sent"}

    @guide("Writing")
    def test_writing_to_a_record_that_is_gone_is_rejected_and_makes_none(
        self, subject: Subject, trial: Trial
    ) -> None:
        """A change of a record that is gone is rejected with a code, and makes no record."""
        if not subject.knows_gone:
            pytest.skip("this writer can't know whether a record exists")
        ids = seeded(subject, trial)
        subject.delete("lead", ids[0])
        changes = [Change("lead", identifier, values(subject)) for identifier in ids[:2]]
        outcomes = {outcome.id: outcome for outcome in write(subject.writer(), "lead", changes)}
        assert (outcomes[ids[0]].state, outcomes[ids[1]].state) == ("rejected", "sent")
        assert outcomes[ids[0]].code
        assert set(pulled(subject.connector().pull("lead", None)).records) == set(ids[1:])

    # Plan, apply, verify, undo

    @guide("Plan, apply, undo")
    def test_a_second_run_on_unchanged_data_writes_nothing(self, subject: Subject, trial: Trial) -> None:
        """What `read` and the pages say is held equals what was written, so that a second run plans
        nothing.
        """
        ids = seeded(subject, trial)
        results = {identifier: values(subject) for identifier in ids}
        plan = trial.plan("lead", results)
        counts = trial.apply(plan)
        assert (counts.planned, counts.sent, counts.pending, counts.rejected) == (NUMBER, NUMBER, 0, 0)
        assert verify_plan(plan.id, ledger=trial.ledger, writer=subject.writer()).holds
        assert trial.rows(trial.plan("lead", results)) == {}
        trial.pull("lead")
        assert trial.rows(trial.plan("lead", results)) == {}

    @guide("Own fields")
    def test_own_writes_are_no_news(self, subject: Subject, trial: Trial) -> None:
        """Our own writes make no new version of a record."""
        ids = seeded(subject, trial)
        trial.write("lead", {identifier: values(subject) for identifier in ids})
        assert trial.pull("lead") == (0, 0, 0)

    @guide("Own fields")
    def test_own_fields_are_never_attributes(self, subject: Subject, trial: Trial) -> None:
        """Our fields are in `held`, never in `attributes`."""
        ids = seeded(subject, trial)
        trial.write("lead", {identifier: values(subject) for identifier in ids})
        found = pulled(subject.connector().pull("lead", None))
        for identifier, record in found.records.items():
            assert [name for name in record.attributes if is_own_name(name)] == []
            if identifier in found.held:
                assert differences(values(subject), found.held[identifier]) == {}

    @guide("Plan, apply, undo")
    def test_what_a_person_changed_in_the_crm_is_seen_by_the_next_plan(
        self, subject: Subject, trial: Trial
    ) -> None:
        """A value of ours that a person changed comes with the next pull or read."""
        ids = seeded(subject, trial)
        results = {identifier: values(subject) for identifier in ids}
        trial.write("lead", results)
        key, theirs = edited(subject)
        subject.edit("lead", ids[4], key, theirs)
        trial.pull("lead")
        (row,) = trial.rows(trial.plan("lead", results)).values()
        assert row.id == ids[4]
        assert differences({key: theirs}, row.before) == {}

    @guide("Plan, apply, undo")
    def test_a_record_changed_between_plan_and_apply_is_left_alone(
        self, subject: Subject, trial: Trial
    ) -> None:
        """What was changed between plan and apply is rejected as changed_since_plan."""
        ids = seeded(subject, trial)
        plan = trial.plan("lead", {identifier: values(subject) for identifier in ids})
        key, theirs = edited(subject)
        subject.edit("lead", ids[5], key, theirs)
        counts = trial.apply(plan)
        assert (counts.sent, counts.rejected) == (NUMBER - 1, 1)
        assert trial.rows(plan)[ids[5]].code == "changed_since_plan"
        assert differences({key: theirs}, subject.held("lead", ids[5])) == {}

    @guide("Plan, apply, undo")
    def test_undo_restores_what_was_there(self, subject: Subject, trial: Trial) -> None:
        """Undo brings back what was there, empty fields included."""
        ids = seeded(subject, trial)
        first = trial.write("lead", {identifier: values(subject) for identifier in ids})
        second = trial.write("lead", {identifier: values(subject, turn=1) for identifier in ids[:6]})
        trial.undo(second)
        for identifier in ids:
            assert differences(values(subject), subject.held("lead", identifier)) == {}
        trial.undo(first)
        for identifier in ids:
            assert not any(given(subject.held("lead", identifier)))

    @guide("Plan, apply, undo")
    def test_undo_keeps_and_lists_what_a_person_changed_since(self, subject: Subject, trial: Trial) -> None:
        """Undo leaves and lists what a person has changed since."""
        ids = seeded(subject, trial)
        plan = trial.write("lead", {identifier: values(subject) for identifier in ids})
        key, theirs = edited(subject)
        subject.edit("lead", ids[7], key, theirs)
        undo = trial.undo(plan)
        assert differences({**values(subject), key: theirs}, subject.held("lead", ids[7])) == {}
        (left,) = kept(undo.id, ledger=trial.ledger, writer=subject.writer())
        assert (left.id, left.field, left.why) == (ids[7], key, "changed_by_person")
        assert not differing({key: theirs}, {key: left.theirs})
        others = [identifier for identifier in ids if identifier != ids[7]]
        assert not any(any(given(subject.held("lead", identifier))) for identifier in others)

    @pytest.mark.parametrize("took_effect", [True, False])
    @guide("Plan, apply, undo")
    def test_killed_between_the_write_and_the_ledger_the_next_run_finishes(
        self, subject: Subject, trial: Trial, took_effect: bool
    ) -> None:
        """A run killed in the middle of a write is finished by the next one."""
        ids = seeded(subject, trial)
        plan = trial.plan("lead", {identifier: values(subject) for identifier in ids})
        with pytest.raises(Killed):
            trial.apply(plan, _Dying(subject.writer(), took_effect))
        counts = trial.ledger.counts(plan.id)
        assert counts.pending + counts.sent == NUMBER
        assert counts.pending > 0
        counts = trial.apply(plan)
        assert (counts.sent, counts.pending) == (NUMBER, 0)
        for identifier in ids:
            assert differences(values(subject), subject.held("lead", identifier)) == {}
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
