"""What several tests of the suites do with a subject, and how they compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
import stamina

from crmbridge.connectors.http import ATTEMPTS
from crmbridge.model.fields import CATALOGUE, FieldValue, fields_on
from crmbridge.model.records import ObjectName
from crmbridge.testing import samples
from crmbridge.testing.subject import Subject
from crmbridge.testing.trial import Trial
from crmbridge.writeback.base import Change, Outcome, Writer
from crmbridge.writeback.values import Values, differing

NUMBER: Final = 13
"""Records of a writer's ordinary test."""


class Suite:
    """What each part of the suite needs: a subject, a trial, and retries that do not wait."""

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

    @pytest.fixture(autouse=True)
    def _retries_follow_at_once(self) -> Iterator[None]:
        with stamina.set_testing(True, attempts=ATTEMPTS, cap=True):
            yield


def install(subject: Subject) -> None:
    """Install our fields; nothing may stand in the way."""
    assert "conflict" not in {step.state for step in subject.writer().install(dry_run=False)}


def seeded(subject: Subject, trial: Trial) -> list[str]:
    """Leads in the CRM and in the lake, and our fields in the CRM."""
    ids = list(subject.seed(samples.leads(NUMBER)))
    install(subject)
    trial.pull("lead")
    return ids


def values(subject: Subject, turn: int = 0) -> dict[str, FieldValue]:
    """A value for each of our fields on leads."""
    return samples.values("lead", subject.writes, turn)


def edited(subject: Subject) -> tuple[str, FieldValue]:
    """A field, and a value that a person might give it: far from ours, and not a stamp."""
    field = next(each for each in fields_on("lead", subject.writes) if each.type in ("number", "choice"))
    return field.key, samples.values("lead", (field.key,), turn=3)[field.key]


def write(writer: Writer, object_name: ObjectName, changes: Sequence[Change]) -> list[Outcome]:
    """Write in batches of the writer's size."""
    outcomes: list[Outcome] = []
    for start in range(0, len(changes), writer.batch_size):
        outcomes += writer.write(object_name, changes[start : start + writer.batch_size])
    writer.close()
    return outcomes


def sent(outcomes: Sequence[Outcome]) -> set[str]:
    """The ids that were sent."""
    return {outcome.id for outcome in outcomes if outcome.state == "sent"}


def differences(wanted: Values, held: Values) -> dict[str, tuple[FieldValue, FieldValue]]:
    """Fields that do not hold what they should: (wanted, held)."""
    return {key: (wanted[key], held.get(key)) for key in differing(wanted, held)}


def given(held: Values) -> list[str]:
    """The keys that hold something: anything but empty, and an unchecked box."""
    return differing(dict.fromkeys(held), held)


def assert_type(key: str, value: FieldValue) -> None:
    """The value is of its field's type."""
    kinds = {"number": (int, float), "boolean": (bool,)}.get(CATALOGUE[key].type, (str,))
    right = value is None or (isinstance(value, kinds) and isinstance(value, bool) == (kinds == (bool,)))
    assert right, f"{key} came as {value!r}"


def needs(subject: Subject, fault: str) -> None:
    """Skip, visibly, where the subject can't make the fault."""
    if fault not in subject.faults:
        pytest.skip(f"this subject can't make the fault {fault!r}")
