"""What must hold when the CRM refuses, limits, loses an answer, or is no longer what it was."""

from __future__ import annotations

import json
from typing import Final

import pytest

from crmbridge.connectors.base import Cursor, Page
from crmbridge.errors import AuthError, CRMBridgeError, QuotaError, SettingsError
from crmbridge.testing import samples
from crmbridge.testing.guide import guide
from crmbridge.testing.hands import NUMBER, Suite, differences, given, install, needs, seeded, values, write
from crmbridge.testing.subject import Subject
from crmbridge.testing.trial import Trial, pulled
from crmbridge.writeback.base import Change

READ: Final = 25
"""Records of a pull: several pages."""


class ConnectorFaults(Suite):
    """The part of `ConnectorConformance` about limits, sign-in and a schema that drifts."""

    @guide("Limits and faults")
    def test_a_call_refused_for_now_is_made_again(self, subject: Subject) -> None:
        """Where the CRM asks for patience, the call is made again, and the pull brings everything."""
        needs(subject, "throttled")
        ids = set(subject.seed(samples.leads(READ)))
        subject.fault("throttled")
        assert set(pulled(subject.connector().pull("lead", None)).records) == ids

    @guide("Limits and faults")
    def test_a_pull_that_used_up_the_limit_goes_on_later(self, subject: Subject) -> None:
        """A used-up limit ends a pull with a QuotaError; from the last page's cursor it goes on later."""
        needs(subject, "read_quota")
        ids = set(subject.seed(samples.leads(READ)))
        size = min((size for size in subject.page_sizes if size is not None), default=None)
        subject.fault("read_quota")
        pages: list[Page] = []
        with pytest.raises(QuotaError):
            pages.extend(subject.connector(page_size=size).pull("lead", None))
        before = pulled(pages)
        cursor: Cursor | None = json.loads(json.dumps(pages[-1].cursor)) if pages else None
        after = pulled(subject.connector().pull("lead", cursor))
        assert before.records.keys() | after.records.keys() == ids

    @guide("Limits and faults")
    def test_a_refused_sign_in_is_told_with_its_remedy(self, subject: Subject) -> None:
        """Credentials that the CRM refuses are an AuthError that says what to do, and a failed check."""
        needs(subject, "denied")
        subject.seed(samples.leads(1))
        subject.fault("denied")
        with pytest.raises(AuthError) as told:
            pulled(subject.connector().pull("lead", None))
        assert told.value.remedy, "the error names no remedy"
        try:
            states = {item.state for item in subject.connector().check()}
        except CRMBridgeError:
            states = {"failed"}
        assert "failed" in states

    @guide("Schema drift")
    def test_a_field_the_crm_got_since_comes_as_an_attribute(self, subject: Subject, trial: Trial) -> None:
        """A field that an admin adds between two pulls is an attribute of the records that carry it."""
        needs(subject, "new_field")
        ids = subject.seed(samples.leads(5))
        trial.pull("lead")
        subject.fault("new_field", ids[2])
        found = pulled(subject.connector().pull("lead", trial.ledger.cursor("conformance", "lead")))
        assert "drifted" in found.records[ids[2]].attributes.values()
        new, changed, deleted = trial.pull("lead")  # others may come too: they have the field, and empty
        assert (new, deleted) == (0, 0)
        assert changed >= 1

    @guide("Schema drift")
    def test_a_field_taken_out_of_the_crm_takes_nothing_along(self, subject: Subject, trial: Trial) -> None:
        """Where an admin removes a field, records come without it, and none is lost or set aside."""
        needs(subject, "lost_field")
        ids = subject.seed(samples.leads(5, attribute=subject.attribute))
        trial.pull("lead")
        subject.fault("lost_field")
        found = pulled(subject.connector().pull("lead", None))
        assert set(found.records) == set(ids)
        assert not found.set_aside
        for record in found.records.values():
            assert record.attributes.get(str(subject.attribute)) is None


class WriterFaults(Suite):
    """The part of `WriterConformance` about refusals, limits, lost answers and fields taken away."""

    @guide("Limits and faults")
    def test_a_refused_record_is_rejected_in_the_words_of_the_crm(
        self, subject: Subject, trial: Trial
    ) -> None:
        """A record the CRM refuses is rejected with the CRM's code; the others of its batch are sent."""
        needs(subject, "reject")
        ids = seeded(subject, trial)
        subject.fault("reject", ids[3])
        plan = trial.write("lead", {identifier: values(subject) for identifier in ids})
        rows = trial.rows(plan)
        assert [row.id for row in rows.values() if row.state != "sent"] == [ids[3]]
        assert (rows[ids[3]].state, bool(rows[ids[3]].code)) == ("rejected", True)
        assert not any(given(subject.held("lead", ids[3])))

    @guide("Limits and faults")
    def test_a_locked_record_is_written_in_the_end(self, subject: Subject, trial: Trial) -> None:
        """A record refused for now is `retry`, and is written in the end."""
        needs(subject, "locked")
        ids = seeded(subject, trial)
        subject.fault("locked", ids[3])
        trial.write("lead", {identifier: values(subject) for identifier in ids})
        assert differences(values(subject), subject.held("lead", ids[3])) == {}

    @pytest.mark.parametrize("fault", ["lost_answer", "lost_request"])
    @guide("Limits and faults")
    def test_a_lost_answer_neither_doubles_nor_loses_a_write(
        self, subject: Subject, trial: Trial, fault: str
    ) -> None:
        """Where no answer came the outcome is `unknown`; reading back settles it."""
        needs(subject, fault)
        ids = seeded(subject, trial)
        plan = trial.plan("lead", {identifier: values(subject) for identifier in ids})
        subject.fault(fault)
        counts = trial.apply(plan)
        assert (counts.sent, counts.pending) == (NUMBER, 0)
        for identifier in ids:
            assert differences(values(subject), subject.held("lead", identifier)) == {}

    @guide("Limits and faults")
    def test_a_used_up_quota_leaves_the_rest_for_later(self, subject: Subject, trial: Trial) -> None:
        """A used-up limit is a QuotaError before anything of this call was sent; the rest stays pending."""
        needs(subject, "quota")
        ids = seeded(subject, trial)
        plan = trial.plan("lead", {identifier: values(subject) for identifier in ids})
        subject.fault("quota")
        with pytest.raises(QuotaError):
            trial.apply(plan)
        assert trial.ledger.counts(plan.id).pending > 0
        assert trial.apply(plan).sent == NUMBER

    @guide("Schema drift")
    def test_a_field_of_ours_taken_away_never_passes_for_written(
        self, subject: Subject, trial: Trial
    ) -> None:
        """Where an admin removes a field of ours, `check` says so, and writing it is refused until it is
        installed again.
        """
        needs(subject, "lost_own_field")
        ids = seeded(subject, trial)
        subject.fault("lost_own_field")
        assert "failed" in {item.state for item in subject.writer().check()}
        change = Change("lead", ids[0], values(subject))
        try:
            states = {outcome.state for outcome in write(subject.writer(), "lead", [change])}
        except SettingsError:
            states = {"rejected"}
        assert states == {"rejected"}
        install(subject)
        assert [outcome.state for outcome in write(subject.writer(), "lead", [change])] == ["sent"]
