"""The conformance suite finds what it is there to find: each fault below fails the test that it should."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict

from crmbridge.connectors.base import Connector, Cursor, Page
from crmbridge.errors import AuthError, CRMBridgeError, QuotaError
from crmbridge.model.fields import FieldValue, hubspot_name
from crmbridge.model.records import ObjectName
from crmbridge.testing import ConnectorConformance, Trial, WriterConformance
from crmbridge.writeback.base import Change, InstallStep, Outcome, Writer
from tests.memory_crm import ORGS, Busy, MemoryConnector, MemoryOptions, MemoryWriter
from tests.unit.test_conformance_memory import MemorySubject


def changed_pages(change: Any) -> type[Connector]:
    """A connector whose pages go through a function of (page, connector)."""

    class Changed(MemoryConnector):
        def pull(self, object_name: ObjectName, cursor: Cursor | None) -> Iterator[Page]:
            for page in super().pull(object_name, cursor):
                yield change(page, self)

    return Changed


def drop_last_of_page(page: Page, connector: MemoryConnector) -> Page:
    return replace(page, records=page.records[:-1]) if len(page.records) == 7 else page


def cursor_runs_ahead(page: Page, connector: MemoryConnector) -> Page:
    last = connector.crm.query(page.object, None, 10_000)[-1][0]
    return replace(page, cursor={"stamp": last[0], "id": last[1]})


def cursor_stays(page: Page, connector: MemoryConnector) -> Page:
    return replace(page, cursor={"stamp": "", "id": ""})


def forgets_deletions(page: Page, connector: MemoryConnector) -> Page:
    return replace(page, deleted=())


def strips_zeros(page: Page, connector: MemoryConnector) -> Page:
    records = [record.model_copy(update={"id": record.id.lstrip("0")}) for record in page.records]  # type: ignore[union-attr]
    return replace(page, records=records)


def loses_emoji(page: Page, connector: MemoryConnector) -> Page:
    records = [
        record.model_copy(update={"company": (record.company or "").encode("ascii", "ignore").decode()})  # type: ignore[union-attr]
        for record in page.records
    ]
    return replace(page, records=records)


def shows_own_fields(page: Page, connector: MemoryConnector) -> Page:
    records = [
        record.model_copy(
            update={"attributes": {**record.attributes, "crmbridge_score": page.held[record.id]["score"]}}
        )  # type: ignore[union-attr]
        for record in page.records
    ]
    return replace(page, records=records)


def drops_unknown_fields(page: Page, connector: MemoryConnector) -> Page:
    return replace(page, records=[record.model_copy(update={"attributes": {}}) for record in page.records])  # type: ignore[union-attr]


def claims_to_be_complete(page: Page, connector: MemoryConnector) -> Page:
    return replace(page, complete=True)


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (drop_last_of_page, "test_every_record_comes_whatever_the_page_size"),
        (cursor_runs_ahead, "test_a_pull_goes_on_from_every_cursor_and_leaves_nothing_out"),
        (claims_to_be_complete, "test_a_pull_goes_on_from_every_cursor_and_leaves_nothing_out"),
        (cursor_stays, "test_an_unchanged_crm_is_not_read_again_whole"),
        (forgets_deletions, "test_deleted_records_are_deleted"),
        (strips_zeros, "test_ids_are_text_and_nothing_else"),
        (loses_emoji, "test_values_arrive_as_they_are"),
        (drops_unknown_fields, "test_a_field_the_crm_got_since_comes_as_an_attribute"),
    ],
)
def test_a_faulty_connector_fails(fault: Any, test: str, tmp_path: Path) -> None:
    _must_fail(ConnectorConformance(), test, tmp_path, connector=changed_pages(fault))


class EndsQuietly(MemoryConnector):
    """Takes a used-up limit, and a sign-in refused, for the end of the records."""

    def pull(self, object_name: ObjectName, cursor: Cursor | None) -> Iterator[Page]:
        with suppress(QuotaError, AuthError):
            yield from super().pull(object_name, cursor)


@pytest.mark.parametrize(
    "test",
    ["test_a_pull_that_used_up_the_limit_goes_on_later", "test_a_refused_sign_in_is_told_with_its_remedy"],
)
def test_a_connector_that_ends_quietly_fails(test: str, tmp_path: Path) -> None:
    _must_fail(ConnectorConformance(), test, tmp_path, connector=EndsQuietly)


class GivesUpAtOnce(MemoryConnector):
    """Takes a call refused for now for one refused for good."""

    def _query(self, object_name: ObjectName, after: Any) -> Any:
        try:
            return self.crm.query(object_name, after, self.page_size)
        except Busy as error:
            raise QuotaError("too many calls") from error


def test_a_connector_without_patience_fails(tmp_path: Path) -> None:
    test = "test_a_call_refused_for_now_is_made_again"
    _must_fail(ConnectorConformance(), test, tmp_path, connector=GivesUpAtOnce)


@pytest.mark.parametrize("test", ["test_own_fields_are_never_attributes", "test_own_writes_are_no_news"])
def test_a_connector_that_shows_own_fields_fails(test: str, tmp_path: Path) -> None:
    _must_fail(WriterConformance(), test, tmp_path, connector=changed_pages(shows_own_fields))


def test_a_connector_that_takes_any_setting_fails(tmp_path: Path) -> None:
    class Lenient(MemoryOptions):
        model_config = ConfigDict(extra="ignore")

    class Careless(MemoryConnector):
        Options = Lenient

    _must_fail(ConnectorConformance(), "test_unknown_settings_are_refused", tmp_path, connector=Careless)


class IgnoresNone(MemoryWriter):
    """Sends only what has a value, as a CSV with empty cells does."""

    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        given = [
            replace(change, values={key: value for key, value in change.values.items() if value is not None})
            for change in changes
        ]
        return super().write(object_name, given)


class LosesOneOutcome(MemoryWriter):
    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        return super().write(object_name, changes)[1:]


class ClaimsAllSent(MemoryWriter):
    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [Outcome(outcome.id, "sent") for outcome in super().write(object_name, changes)]


class CallsLostAnswersRejected(MemoryWriter):
    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [
            Outcome(outcome.id, "rejected", "TIMEOUT") if outcome.state == "unknown" else outcome
            for outcome in super().write(object_name, changes)
        ]


class CreatesWhatIsGone(MemoryWriter):
    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        for change in changes:
            row = self.crm.rows[object_name][change.id]
            if row.deleted:
                self.crm.put(object_name, change.id, {})
        return super().write(object_name, changes)


class CutsDecimals(MemoryWriter):
    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        cut = [
            replace(
                change,
                values={
                    key: round(value) if isinstance(value, float) else value
                    for key, value in change.values.items()
                },
            )
            for change in changes
        ]
        return super().write(object_name, cut)


class ReadsNumbersAsText(MemoryWriter):
    def read(self, object_name: ObjectName, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        return {
            identifier: {key: str(value) if value is not None else None for key, value in values.items()}
            for identifier, values in super().read(object_name, ids).items()
        }


class InstallsOnDryRun(MemoryWriter):
    def install(self, *, dry_run: bool) -> Iterator[InstallStep]:
        return super().install(dry_run=False)


class InstallsBesideConflicts(MemoryWriter):
    def install(self, *, dry_run: bool) -> Iterator[InstallStep]:
        foreign, self.crm.foreign = self.crm.foreign, set()
        yield from super().install(dry_run=dry_run)
        self.crm.foreign = foreign


class UninstallsTooMuch(MemoryWriter):
    def uninstall(self, *, dry_run: bool) -> Iterator[InstallStep]:
        yield from super().uninstall(dry_run=dry_run)
        if not dry_run:
            for row in self.crm.rows["lead"].values():
                row.fields.pop("status", None)
                row.modified_at = self.crm.tick()


class UninstallsTooLittle(MemoryWriter):
    def uninstall(self, *, dry_run: bool) -> Iterator[InstallStep]:
        kept = {
            identifier: row.fields.get(hubspot_name("score"))
            for identifier, row in self.crm.rows["lead"].items()
        }
        yield from super().uninstall(dry_run=dry_run)
        for identifier, score in kept.items():
            self.crm.rows["lead"][identifier].fields[hubspot_name("score")] = score


@pytest.mark.parametrize(
    ("writer", "test"),
    [
        (IgnoresNone, "test_none_clears_a_field_and_an_absent_key_leaves_it"),
        (IgnoresNone, "test_undo_restores_what_was_there"),
        (LosesOneOutcome, "test_there_is_one_outcome_for_each_change"),
        (ClaimsAllSent, "test_a_refused_record_is_rejected_in_the_words_of_the_crm"),
        (ClaimsAllSent, "test_writing_to_a_record_that_is_gone_is_rejected_and_makes_none"),
        (ClaimsAllSent, "test_a_locked_record_is_written_in_the_end"),
        (ClaimsAllSent, "test_a_field_of_ours_taken_away_never_passes_for_written"),
        (CallsLostAnswersRejected, "test_a_lost_answer_neither_doubles_nor_loses_a_write"),
        (CreatesWhatIsGone, "test_writing_to_a_record_that_is_gone_is_rejected_and_makes_none"),
        (CutsDecimals, "test_every_field_of_every_object_holds_what_was_written"),
        (ReadsNumbersAsText, "test_every_field_of_every_object_holds_what_was_written"),
        (InstallsOnDryRun, "test_a_dry_run_installs_nothing"),
        (InstallsBesideConflicts, "test_a_conflict_is_told_before_anything_is_made"),
        (UninstallsTooMuch, "test_uninstalling_removes_ours_and_only_ours"),
        (UninstallsTooLittle, "test_uninstalling_removes_ours_and_only_ours"),
    ],
)
def test_a_faulty_writer_fails(writer: type[Writer], test: str, tmp_path: Path) -> None:
    _must_fail(WriterConformance(), test, tmp_path, writer=writer)


def _must_fail(
    suite: Any,
    test: str,
    folder: Path,
    *,
    connector: type[Connector] = MemoryConnector,
    writer: type[Writer] = MemoryWriter,
) -> None:
    """Run one test of the suite by hand: it passes on the sound subject and fails on the faulty one."""
    for number, (connects, writes) in enumerate([(MemoryConnector, MemoryWriter), (connector, writer)]):
        subject = MemorySubject(f"{folder}/{number}")
        subject.connector_class, subject.writer_class = connects, writes
        place = folder / str(number)
        place.mkdir()
        with Trial.of(subject, place) as trial:
            given = {"subject": subject, "trial": trial, "fault": "lost_answer", "took_effect": True}
            names = inspect.signature(getattr(suite, test)).parameters
            arguments = {name: given[name] for name in names if name in given}
            if number == 0:
                getattr(suite, test)(**arguments)
            else:
                with pytest.raises((AssertionError, pytest.fail.Exception, TypeError, CRMBridgeError)):
                    getattr(suite, test)(**arguments)
        del ORGS[f"{folder}/{number}"]
