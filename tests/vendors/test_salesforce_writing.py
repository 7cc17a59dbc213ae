"""Salesforce is written under faults: every row is accounted for, nothing is written twice unasked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crmbridge.connectors.salesforce.client import Client
from crmbridge.errors import SettingsError
from crmbridge.writeback.base import Change
from crmbridge.writeback.salesforce import SalesforceWriter
from tests.vendors.salesforce.kit import (
    FIELDS,
    changes,
    leads,
    on,
    org,
    own_fields,
    stand,
    writer,
)
from tests.vendors.salesforce.subject import no_sleep, world

__all__ = ["org", "own_fields", "stand"]


@pytest.mark.parametrize("number", [1, 200, 201, 650])
def test_few_changes_go_by_collections_and_cost_a_call_for_200(stand, org, number):
    ids = leads(org, number)
    one = writer(stand)
    org.requests.clear()
    outcomes = one.write("lead", changes(ids))
    assert {outcome.id: outcome.state for outcome in outcomes} == dict.fromkeys(ids, "sent")
    assert len(org.calls("composite/sobjects", "PATCH")) == -(-number // 200)
    assert len(org.calls("/services/data")) <= -(-number // 200) + 3


@pytest.mark.parametrize("bulk_changes", [2_000, 200])
def test_none_clears_a_field_on_both_paths(stand, org, bulk_changes):
    ids = leads(org, 250)
    one = writer(stand, bulk_changes=bulk_changes)
    one.write("lead", changes(ids))
    one.write("lead", [Change("lead", each, {"score": None, "grade": None}) for each in ids])
    assert {org.rows["Lead"][each]["CRMBridge_Score__c"] for each in ids} == {None}
    assert {org.rows["Lead"][each]["CRMBridge_Reasons_Up__c"] for each in ids} == {"x"}
    assert bool(org.calls("jobs/ingest")) == (bulk_changes == 200)


@pytest.mark.parametrize("bulk_changes", [2_000, 200])
def test_every_row_has_its_own_outcome_on_both_paths(stand, org, bulk_changes):
    ids = leads(org, 250)
    one = writer(stand, bulk_changes=bulk_changes)
    org.rows["Lead"][ids[0]]["IsConverted"] = True
    org.rejected.add(ids[1])
    org.locked.add(ids[2])
    org.delete("Lead", ids[3])
    outcomes = {
        outcome.id: outcome
        for outcome in one.write("lead", [*changes(ids), *changes(["00Q000000009999EAA"])])
    }
    codes = {each: outcomes[each].code for each in (*ids[:4], "00Q000000009999EAA")}
    assert list(codes.values()) == [
        "CANNOT_UPDATE_CONVERTED_LEAD",
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "UNABLE_TO_LOCK_ROW" if bulk_changes == 200 else None,
        "ENTITY_IS_DELETED",
        "INVALID_CROSS_REFERENCE_KEY",
    ]
    assert outcomes[ids[2]].state == ("retry" if bulk_changes == 200 else "sent")
    assert [each for each in ids[4:] if outcomes[each].state != "sent"] == []


def test_all_rows_refused_is_http_200_and_all_are_rejected(stand, org):
    ids = leads(org, 5)
    one = writer(stand)
    org.rejected.update(ids)
    assert {outcome.state for outcome in one.write("lead", changes(ids))} == {"rejected"}


@pytest.mark.parametrize("how", ["lost", "cut"])
def test_an_answer_lost_after_the_write_is_unknown_and_the_write_is_not_repeated(stand, org, how):
    ids = leads(org, 5)
    one = writer(stand)
    org.faults.append(on("composite/sobjects", how, "PATCH"))
    assert {outcome.state for outcome in one.write("lead", changes(ids))} == {"unknown"}
    assert org.writes == 5
    assert {held["score"] for held in one.read("lead", ids).values()} == {50.0}


def test_a_quota_that_ends_between_two_chunks_leaves_the_rest_for_later(stand, org):
    ids = leads(org, 450)
    one = writer(stand)
    body = b'[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]'
    org.faults.append(on("composite/sobjects", status=403, body=body, skip=1))
    states = {outcome.id: outcome.state for outcome in one.write("lead", changes(ids))}
    assert [states[each] for each in ids] == ["sent"] * 200 + ["retry"] * 250


def test_a_bulk_write_is_one_job_and_its_results(stand, org):
    ids = leads(org, 2_600)
    one = writer(stand)
    org.requests.clear()
    outcomes = one.write("lead", changes(ids))
    assert {outcome.state for outcome in outcomes} == {"sent"}
    assert len(outcomes) == len(ids)
    assert [call.split()[0] for call in org.calls("jobs/ingest")] == [
        "POST",
        "PUT",
        "PATCH",
        "GET",
        "GET",
        "GET",
    ]


def test_a_job_that_failed_leaves_its_rows_for_later(stand, org):
    ids = leads(org, 300)
    one = writer(stand, bulk_changes=200)
    body = json.dumps({"state": "Failed", "errorMessage": "InternalServerError : x", "id": "x"}).encode()
    org.faults.append(on("jobs/ingest/750", status=200, body=body, method="GET"))
    assert {outcome.state for outcome in one.write("lead", changes(ids))} == {"retry"}


def test_rows_that_no_list_names_are_read_back(stand, org):
    ids = leads(org, 300)
    one = writer(stand, bulk_changes=200)
    org.faults.append(on("successfulResults", status=200, body=b'"sf__Id","sf__Created"\n'))
    assert {outcome.state for outcome in one.write("lead", changes(ids))} == {"unknown"}


@pytest.mark.parametrize("step", range(6))
@pytest.mark.parametrize("how", ["drop", "lost", "answer"])
def test_trouble_at_any_step_of_a_bulk_write_loses_and_doubles_nothing(stand, org, step, how):
    ids = leads(org, 300)
    one = writer(stand, bulk_changes=200)
    org.faults.append(on("jobs/ingest", how, skip=step))
    states = {outcome.state for outcome in one.write("lead", changes(ids))}
    if states != {"sent"}:
        assert states in ({"retry"}, {"unknown"})
        waiting = [each for each, held in one.read("lead", ids).items() if held["score"] != 50.0]
        if waiting:
            assert {outcome.state for outcome in one.write("lead", changes(waiting))} == {"sent"}
    assert org.writes == len(ids)
    assert not [job for job in org.jobs.values() if job.state in ("UploadComplete", "InProgress")]


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("step", range(6))
def test_a_job_left_by_a_killed_run_is_seen_to_its_end_before_anything_is_written(stand, org, step):
    ids = leads(org, 300)
    one = writer(stand, bulk_changes=200)
    sent = Client._sent
    left = [step]

    def dying(self: Client, method: str, path: str, *given: Any, **more: Any) -> Any:
        if "jobs/ingest" in path:
            if not left[0]:
                raise Killed
            left[0] -= 1
        return sent(self, method, path, *given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "_sent", dying)
        with pytest.raises(Killed):
            one.write("lead", changes(ids))
    again = SalesforceWriter(one.context, sleep=no_sleep)
    again.read("lead", ids)
    assert not [job for job in org.jobs.values() if job.state in ("UploadComplete", "InProgress")]
    again.write("lead", changes(ids, 60.0))
    assert {org.rows["Lead"][each]["CRMBridge_Score__c"] for each in ids} == {60.0}


def test_fields_that_are_not_there_are_said_before_anything_is_sent(stand, org):
    ids = leads(org, 2)
    one = SalesforceWriter(world(stand, fields=FIELDS))
    with pytest.raises(SettingsError, match="crmbridge install"):
        one.write("lead", changes(ids))
    assert not org.calls("", "PATCH")


def test_a_number_that_is_none_is_refused(stand, org):
    ids = leads(org, 1)
    one = writer(stand)
    with pytest.raises(ValueError, match="no number"):
        one.write("lead", changes(ids, float("nan")))
    assert org.writes == 0


@pytest.mark.parametrize("path", ["unprocessedrecords", "unprocessedRecords"])
def test_rows_that_were_not_looked_at_are_written_later(stand, org, path):
    ids = leads(org, 300)
    one = writer(stand, bulk_changes=200)
    org.unprocessed_path, org.stops_after = path, 250
    states = {outcome.id: outcome.state for outcome in one.write("lead", changes(ids))}
    assert [states[each] for each in ids] == ["sent"] * 250 + ["retry"] * 50
