"""What every connector must do."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Final

import pytest
from pydantic import ValidationError

from crmbridge.connectors.base import Cursor, Page
from crmbridge.model.records import OBJECTS, RECORDS, Lead
from crmbridge.testing import samples
from crmbridge.testing.faults import ConnectorFaults
from crmbridge.testing.guide import guide
from crmbridge.testing.hands import needs
from crmbridge.testing.subject import Subject
from crmbridge.testing.trial import Trial, models, pulled

NUMBER: Final = 25
"""Records of an ordinary test: several pages at any page size a subject would choose for it."""

REFERS: Final = (("account", "contact"), ("account", "deal"), ("deal", "stage_change"), ("account", "order"))
"""Pairs of objects of which the second refers to the first."""


class ConnectorConformance(ConnectorFaults):
    """Subclass it as `TestX` and give the fixture `subject`."""

    @guide("Pages and cursors")
    def test_every_record_comes_whatever_the_page_size(self, subject: Subject) -> None:
        """Every record comes, at every page size, and nothing comes that is not there."""
        ids = set(subject.seed(samples.leads(NUMBER, attribute=subject.attribute)))
        for size in subject.page_sizes:
            found = pulled(subject.connector(page_size=size).pull("lead", None))
            assert set(found.records) == ids, f"with pages of {size}"
            assert not found.deleted
            assert not found.set_aside
            if size is not None:
                assert len(found.pages) > 1, f"{NUMBER} records came on one page of {size}"

    @guide("Pages and cursors")
    def test_pages_are_of_the_object_and_hold_records_of_the_model(self, subject: Subject) -> None:
        """A page is of the object that was asked for; its records are of the model, its moments aware and
        in UTC.
        """
        subject.seed(samples.leads(NUMBER, attribute=subject.attribute))
        for page in subject.connector().pull("lead", None):
            assert page.object == "lead"
            for record in models(page):
                assert isinstance(record, Lead)
                for moment in (record.created_at, record.modified_at):
                    assert moment is None or moment.utcoffset() == timedelta(0)

    @guide("Pages and cursors")
    def test_a_pull_goes_on_from_every_cursor_and_leaves_nothing_out(self, subject: Subject) -> None:
        """A run may be killed after any page: what that page's cursor leaves to come, and what came, is
        everything.
        """
        ids = set(subject.seed(samples.leads(NUMBER)))
        for size in subject.page_sizes:
            pages = list(subject.connector(page_size=size).pull("lead", None))
            for number, page in enumerate(pages, start=1):
                before = pulled(pages[:number])
                after = pulled(subject.connector(page_size=size).pull("lead", _stored(page)))
                assert before.records.keys() | after.records.keys() == ids, f"from page {number} of {size}"
                if after.complete:
                    assert after.records.keys() == ids, "a complete pull holds all records by itself"

    @guide("Pages and cursors")
    def test_an_unchanged_crm_gives_no_new_versions(self, subject: Subject, trial: Trial) -> None:
        """Where nothing changed in the CRM, a record that comes again is the same to the letter."""
        subject.seed(samples.leads(NUMBER, attribute=subject.attribute))
        assert trial.pull("lead") == (NUMBER, 0, 0)
        assert trial.pull("lead") == (0, 0, 0)

    @guide("Pages and cursors")
    def test_an_unchanged_crm_is_not_read_again_whole(self, subject: Subject, trial: Trial) -> None:
        """The last page's cursor moves on: a second pull of an unchanged CRM does not bring everything
        again.
        """
        subject.seed(samples.leads(NUMBER))
        first = pulled(subject.connector().pull("lead", None))
        again = pulled(subject.connector().pull("lead", _stored(first.pages[-1])))
        assert len(again.records) < NUMBER

    @guide("Pages and cursors")
    def test_an_empty_crm_is_no_error(self, subject: Subject, trial: Trial) -> None:
        """A CRM without records of the object gives no records and no error."""
        subject.seed(samples.leads(1))
        (only,) = pulled(subject.connector().pull("lead", None)).records
        subject.delete("lead", only)
        assert trial.pull("lead") == (0, 0, 0)

    @guide("Pages and cursors")
    def test_changes_and_new_records_come_through(self, subject: Subject, trial: Trial) -> None:
        """What was changed or made since the cursor comes, as it is now."""
        ids = subject.seed(samples.leads(NUMBER))
        trial.pull("lead")
        subject.update("lead", ids[3], "company", "Another company")
        (added,) = subject.seed(samples.leads(1, first=NUMBER))
        cursor = trial.ledger.cursor("conformance", "lead")
        found = pulled(subject.connector().pull("lead", cursor))
        assert {ids[3], added} <= found.records.keys()
        changed = found.records[ids[3]]
        assert isinstance(changed, Lead)
        assert changed.company == "Another company"
        assert trial.pull("lead") == (1, 1, 0)

    @guide("Deletions")
    def test_deleted_records_are_deleted(self, subject: Subject, trial: Trial) -> None:
        """A record deleted in the CRM is in `deleted`, or missing from a pull that says `complete`; once."""
        ids = subject.seed(samples.leads(NUMBER))
        trial.pull("lead")
        subject.delete("lead", ids[0])
        subject.delete("lead", ids[-1])
        assert trial.pull("lead") == (0, 0, 2)
        assert set(trial.lake.live_ids("conformance", "lead").to_pylist()) == set(ids[1:-1])
        assert trial.pull("lead") == (0, 0, 0)

    @guide("Values")
    def test_values_arrive_as_they_are(self, subject: Subject) -> None:
        """Texts, numbers, money and moments arrive as the CRM has them: no trimming, no rounding, no
        guessing.
        """
        seeded = samples.awkward_leads(subject.attribute)
        ids = subject.seed(seeded)
        found = pulled(subject.connector().pull("lead", None))
        assert not found.set_aside
        for identifier, record in zip(ids, seeded, strict=True):
            got = found.records[identifier]
            assert isinstance(got, Lead)
            assert got.company == record.company
            assert got.last_name == record.last_name
            assert got.employees == record.employees
            assert got.annual_revenue == record.annual_revenue
            if subject.keeps_created_at:
                assert got.created_at == record.created_at
            if subject.attribute:
                assert got.attributes[subject.attribute] == record.attributes[subject.attribute]

    @guide("Values")
    def test_ids_are_text_and_nothing_else(self, subject: Subject) -> None:
        """Ids are text: never a number, a null or a word that a reader takes for something else."""
        if not subject.keeps_ids:
            pytest.skip("this CRM makes its own ids")
        ids = subject.seed(samples.awkward_leads(None))
        assert set(samples.AWKWARD_IDS) < set(ids)
        assert set(pulled(subject.connector().pull("lead", None)).records) == set(ids)

    @guide("Values")
    def test_a_field_that_is_empty_is_null(self, subject: Subject) -> None:
        """A field that is empty in the CRM is None in the record."""
        lead = samples.leads(1)[0].model_copy(update={"company": None, "employees": None, "email": None})
        (identifier,) = subject.seed([lead])
        got = pulled(subject.connector().pull("lead", None)).records[identifier]
        assert isinstance(got, Lead)
        assert (got.company or None, got.employees, got.email or None) == (None, None, None)

    @guide("Rows that do not fit")
    def test_a_record_that_does_not_fit_is_set_aside_and_the_others_come(self, subject: Subject) -> None:
        """A row that does not fit the model is in `set_aside` with its place and reason; it stops nothing."""
        needs(subject, "bad_record")
        ids = subject.seed(samples.leads(5))
        subject.fault("bad_record")
        found = pulled(subject.connector().pull("lead", None))
        assert set(ids) <= found.records.keys()
        (row,) = found.set_aside
        assert row.object == "lead"
        assert row.place
        assert row.reason

    @guide("Objects and settings")
    def test_every_object_can_be_pulled_in_an_order_that_suits(self, subject: Subject) -> None:
        """`objects()` lists each object once, those that others refer to first, and each of them can be
        pulled.
        """
        for object_name in subject.objects:
            subject.seed(samples.records(object_name, 3))
        connector = subject.connector()
        objects = list(connector.objects())
        assert set(subject.objects) <= set(objects) <= set(OBJECTS)
        assert len(set(objects)) == len(objects)
        for first, second in REFERS:
            if first in objects and second in objects:
                assert objects.index(first) < objects.index(second), f"{second} refers to {first}"
        for object_name in objects:
            for page in connector.pull(object_name, None):
                assert all(isinstance(record, RECORDS[object_name]) for record in models(page))

    @guide("Objects and settings")
    def test_it_is_the_same_org_each_time(self, subject: Subject) -> None:
        """`org()` gives the same id and label at every sign-in."""
        subject.seed(samples.leads(1))
        first, second = subject.connector().org(), subject.connector().org()
        assert first == second
        assert first.id
        assert first.label

    @guide("Checking")
    def test_checking_a_healthy_connection_finds_nothing_wrong_and_changes_nothing(
        self, subject: Subject, trial: Trial
    ) -> None:
        """`check()` of a healthy connection has no failed line, and changes nothing in the CRM."""
        subject.seed(samples.leads(3))
        trial.pull("lead")
        items = list(subject.connector().check())
        assert items
        assert [item for item in items if item.state == "failed"] == []
        assert trial.pull("lead") == (0, 0, 0)

    @guide("Objects and settings")
    def test_unknown_settings_are_refused(self, subject: Subject) -> None:
        """`Options` takes what it wrote itself and refuses a setting it does not know."""
        connector = subject.connector()
        known = connector.context.options.model_dump(mode="json", exclude_unset=True)
        connector.Options.model_validate(known)
        with pytest.raises(ValidationError):
            connector.Options.model_validate({**known, "no_such_setting": 1})


def _stored(page: Page) -> Cursor:
    """The page's cursor as the ledger gives it back."""
    stored: Cursor = json.loads(json.dumps(page.cursor))
    return stored
