"""Salesforce under faults: nothing is lost, nothing is doubled, nobody is asked too often."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests
from simple_salesforce.api import Salesforce

from crmbridge.connectors.http import MemoryVault, Token
from crmbridge.connectors.salesforce import SalesforceConnector
from crmbridge.connectors.salesforce import client as client_module
from crmbridge.connectors.salesforce.client import Client
from crmbridge.errors import AuthError, QuotaError, SettingsError, TransientError
from crmbridge.testing.trial import pulled
from tests.vendors.salesforce.kit import (
    FIELDS,
    HTML,
    changes,
    leads,
    on,
    org,
    own_fields,
    read,
    stand,
    writer,
)
from tests.vendors.salesforce.org import Org
from tests.vendors.salesforce.subject import no_sleep, world

__all__ = ["org", "own_fields", "stand"]


# -- signing in --


def test_sixteen_threads_with_one_expired_token_renew_it_once(stand, org):
    client = Client(world(stand))
    client.query("SELECT Id FROM User")
    org.tokens.clear()
    org.requests.clear()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.query("SELECT Id FROM User"), range(16)))
    assert all(len(rows) == 2 for rows in answers)
    assert len(org.calls("/oauth2/token")) == 1


@pytest.mark.parametrize(
    "body", [b"", HTML, b'{"error":"no"}', b'[{"errorCode":"INVALID_SESSION_ID","message":"x"}]']
)
def test_a_session_that_is_refused_for_good_costs_two_requests_and_ends_in_an_auth_error(stand, org, body):
    client = Client(world(stand))
    client.query("SELECT Id FROM User")
    org.requests.clear()
    org.faults.append(on("/query/", status=401, body=body, times=99))
    with pytest.raises(AuthError):
        client.query("SELECT Id FROM User")
    assert len(org.calls("/query/")) == 2


def test_a_session_may_end_between_any_two_pages(stand, org):
    ids = leads(org, 25)
    org.page_rows = 4
    for skip in range(8):
        org.faults.append(on("/query", status=401, body=HTML, skip=skip))
        found = read(stand)
        assert set(found.records) == set(ids)


def test_headers_are_kept_when_a_write_is_sent_again_after_the_session_ended(stand, org):
    ids = leads(org, 3)
    one = writer(stand)
    one.read("lead", ids)
    org.tokens.clear()
    assert {outcome.state for outcome in one.write("lead", changes(ids))} == {"sent"}
    assert {org.rows["Lead"][each]["OwnerId"][:3] for each in ids} == {"005"}


def test_a_lead_written_without_the_header_loses_its_owner_as_at_salesforce(stand, org):
    (identifier,) = leads(org, 1)
    org.tokens["second client"] = "005000000000001AAA"
    http = requests.Session()
    http.mount("https://", client_module.Gate("http"))
    other = Salesforce(session_id="second client", instance_url=stand.url, session=http, version="65.0")
    body = {"allOrNone": False, "records": [{"attributes": {"type": "Lead"}, "id": identifier, "Title": "x"}]}
    assert other.restful("composite/sobjects", method="PATCH", json=body)[0]["success"]
    assert org.rows["Lead"][identifier]["OwnerId"].startswith("00G")


def test_a_400_with_the_code_of_bulk_v1_is_an_ended_session(stand, org):
    client = Client(world(stand))
    client.query("SELECT Id FROM User")
    body = b'{"exceptionCode":"InvalidSessionId","exceptionMessage":"Unable to find session"}'
    org.faults.append(on("/query/", status=400, body=body))
    assert len(client.query("SELECT Id FROM User")) == 2


def test_a_refused_sign_in_is_told_once_and_not_repeated(stand, org):
    with pytest.raises(AuthError, match="invalid_client"):
        Client(world(stand, secret="wrong")).query("SELECT Id FROM User")
    assert len(org.calls("/oauth2/token")) == 1


def test_a_rotated_refresh_token_is_stored_before_it_is_used(stand, org):
    org.rotates = True
    vault = MemoryVault()
    context = world(stand, options={"auth": "refresh_token"}, secrets={"refresh_token": "refresh-0"})
    context = replace(context, vault=vault)
    org.faults.append(on("/query/", "drop", times=99))
    with pytest.raises(TransientError):
        Client(context).query("SELECT Id FROM User")
    org.faults.clear()
    org.tokens.clear()
    assert Token.model_validate_json(vault.read() or "").refresh in org.refresh_tokens
    assert len(Client(context).query("SELECT Id FROM User")) == 2


def test_a_jwt_is_made_by_the_clock_that_is_given_and_has_the_claims(stand, org, private_key):
    options = {"auth": "jwt", "username": "a@b.c", "private_key_file": private_key, "login_url": stand.url}
    assert len(Client(world(stand, options=options)).query("SELECT Id FROM User")) == 2


def test_a_redirect_to_another_host_does_not_get_the_token(stand, org):
    org.faults.append(on("/query/", status=302, headers={"Location": "https://elsewhere.example.com/"}))
    with pytest.raises(SettingsError, match=r"elsewhere\.example\.com"):
        Client(world(stand)).query("SELECT Id FROM User")


def test_no_request_asks_for_pretty_printing_or_signs_in_by_soap(stand, org):
    leads(org, 2)
    read(stand)
    assert not any("x-prettyprint" in headers for _, _, headers, _ in org.requests)
    assert not org.calls("/Soap/u/")


# -- transport and limits --


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 429},
        {"status": 420, "body": b"We've hit a snag"},
        {"status": 406},
        {"status": 500, "body": HTML},
        {"status": 502},
        {"status": 200, "body": HTML},
        {"status": 400, "body": b'[{"errorCode":"QUERY_TIMEOUT","message":"x"}]'},
        {
            "status": 403,
            "body": b'[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"ConcurrentRequests Limit"}]',
        },
        {"how": "drop"},
        {"how": "lost"},
        {"how": "cut"},
    ],
    ids=lambda fault: str(fault.get("how", fault.get("status"))),
)
def test_what_passes_is_asked_again_at_any_call_of_a_pull(stand, org, fault):
    ids = leads(org, 12)
    org.page_rows = 5
    how = fault.get("how", "answer")
    rest = {key: value for key, value in fault.items() if key != "how"}
    for skip in range(4):
        org.faults.append(on("/services/data", how, skip=skip, times=2, **rest))
        found = read(stand)
        assert sorted(found.records) == sorted(ids)


def test_a_silent_server_is_given_up(stand, org, monkeypatch):
    monkeypatch.setattr(client_module, "READ_SECONDS", 0.05)
    client = Client(world(stand))
    client.query("SELECT Id FROM User")
    with org.lock, pytest.raises(TransientError, match="Timeout"):
        client.query("SELECT Id FROM User")


def test_what_never_passes_ends_in_one_error_that_says_what_was_said(stand, org):
    leads(org, 2)
    org.faults.append(
        on(
            "/queryAll",
            status=503,
            body=b'[{"errorCode":"SERVER_UNAVAILABLE","message":"too busy"}]',
            times=99,
        )
    )
    with pytest.raises(TransientError, match="too busy"):
        read(stand)


def test_the_daily_limit_stops_the_run_at_once_and_the_next_goes_on(stand, org):
    ids = leads(org, 20)
    org.page_rows = 5
    body = b'[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]'
    org.faults.append(on("/query/0r8", status=403, body=body, skip=1))
    pages = SalesforceConnector(world(stand, fields=FIELDS)).pull("lead", None)
    # The connector holds a page back until it knows whether it is the last: one comes before the refusal.
    first = next(pages)
    with pytest.raises(QuotaError):
        list(pages)
    seen, cursor = set(first.records["id"].to_pylist()), first.cursor
    assert seen
    assert seen | set(read(stand, cursor).records) == set(ids)


def test_a_run_keeps_to_its_share_of_the_limit(stand, org):
    leads(org, 40)
    org.page_rows, org.limit = 2, 60
    context = replace(world(stand, fields=FIELDS), api_budget=0.1)
    with pytest.raises(QuotaError, match="share"):
        list(SalesforceConnector(context).pull("lead", None))
    assert context.calls.by_kind["read"] + context.calls.by_kind["schema"] <= 6


def test_an_answer_without_the_limit_header_is_fine(stand, org):
    client = Client(world(stand))
    client.query("SELECT Id FROM User")
    assert client.usage == (1, 100_000)


def test_the_limit_of_one_app_is_not_taken_for_that_of_the_org(stand, org):
    client = Client(world(stand))
    more = {"Sforce-Limit-Info": "per-app-api-usage=17/250(appName=x); api-usage=25/5000"}
    org.faults.append(on("/query/", status=200, body=b'{"done":true,"records":[]}', headers=more))
    client.query("SELECT Id FROM User")
    assert client.usage == (25, 5000)


# -- paging --


def test_an_expired_locator_is_begun_again_after_the_last_row(stand, org):
    ids = leads(org, 30)
    org.page_rows = 4
    body = b'[{"errorCode":"INVALID_QUERY_LOCATOR","message":"invalid query locator"}]'
    org.faults.append(on("/query/0r8", status=400, body=body, skip=2))
    found = read(stand)
    assert set(found.records) == set(ids)
    # Everything is not asked for from the start again.
    assert sum(len(page.records) for page in found.pages) == len(ids)


def test_more_rows_in_one_second_than_a_page_holds_survive_a_crash_on_any_page(stand, org):
    ids = leads(org, 4_100)
    org.page_rows = 2_000
    connector = SalesforceConnector(world(stand, fields=FIELDS))
    pages = list(connector.pull("lead", None))
    assert sum(len(page.records) for page in pages) == len(ids)
    for number in range(1, len(pages)):
        before = {each for page in pages[:number] for each in page.records["id"].to_pylist()}
        after = read(stand, pages[number - 1].cursor)
        assert before | after.records.keys() == set(ids)
        assert not before & after.records.keys()


def test_neither_done_nor_a_next_page_is_asked_again_from_there(stand, org):
    ids = leads(org, 6)
    org.page_rows = 3
    answer = stand.page

    def without_url(*given: Any) -> dict[str, Any]:
        page = answer(*given)
        page.pop("nextRecordsUrl", None)
        return page

    stand.page = without_url  # type: ignore[method-assign]
    assert set(read(stand).records) == set(ids)


def test_a_row_changed_between_two_pages_is_not_where_the_next_read_goes_on(stand, org):
    ids = leads(org, 12)
    org.page_rows = 4
    pages = SalesforceConnector(world(stand, fields=FIELDS)).pull("lead", None)
    first = next(pages)
    for each in ids[4:8]:  # they are on the next page, and show a later stamp there
        org.put("Lead", {"Id": each, "Title": "new"})
    second = next(pages)
    seen = {*first.records["id"].to_pylist(), *second.records["id"].to_pylist()}
    assert seen | read(stand, second.cursor).records.keys() == set(ids)


# -- what changes --


def test_a_row_that_is_committed_late_is_found_by_the_next_read(stand, org):
    leads(org, 3)
    cursor = read(stand).cursor
    late = org.put("Lead", {"LastName": "Late", "SystemModstamp": f"{org.now:%Y-%m-%dT%H:%M:%SZ}"})
    hidden = org.rows["Lead"].pop(late)
    org.advance(minutes=2)
    after = read(stand, cursor)
    assert late not in after.records
    org.rows["Lead"][late] = hidden  # committed after that read, stamped before it
    org.advance(minutes=2)
    assert late in read(stand, after.cursor).records


@pytest.mark.parametrize("minutes", [-10, 10])
def test_windows_follow_the_clock_of_the_server(stand, org, minutes):
    ids = leads(org, 3)
    context = replace(world(stand, fields=FIELDS), clock=lambda: org.now + timedelta(minutes=minutes))
    (page,) = SalesforceConnector(context).pull("lead", None)
    assert set(page.records["id"].to_pylist()) == set(ids)
    reached = json.loads(json.dumps(page.cursor))["sobjects"]["Lead"]["to"]
    assert datetime.fromisoformat(reached) == org.now - timedelta(seconds=60)


def test_deletions_of_every_kind_come_through_and_restored_records_come_back(stand, org):
    soft, hard, restored, merged, stays = leads(org, 5)
    first = read(stand)
    org.delete("Lead", soft)
    org.delete("Lead", hard, hard=True)
    org.delete("Lead", restored)
    org.delete("Lead", merged)
    org.rows["Lead"][merged]["MasterRecordId"] = stays
    org.advance(minutes=30)
    second = read(stand, first.cursor)
    assert second.deleted == {soft, hard, restored, merged}
    org.undelete("Lead", restored)
    org.advance(minutes=30)
    third = read(stand, second.cursor)
    assert set(third.records) == {restored}
    assert restored not in third.deleted


def test_where_the_log_of_deletions_does_not_go_back_everything_is_read(stand, org):
    ids = leads(org, 4)
    first = read(stand)
    org.delete("Lead", ids[0], hard=True)
    org.advance(days=40)
    second = read(stand, first.cursor)
    assert second.complete
    assert set(second.records) == set(ids[1:])


def test_an_archived_activity_is_read(stand, org):
    old = org.put("Task", {"Subject": "long ago", "IsArchived": True})
    org.advance(minutes=30)
    assert old in read(stand, name="activity").records


def test_a_field_hidden_in_the_middle_of_a_read_is_left_out_and_the_read_goes_on(stand, org):
    ids = leads(org, 9, Phone="123")
    org.page_rows = 3
    pages = SalesforceConnector(world(stand, fields=FIELDS)).pull("lead", None)
    first = next(pages)
    org.hidden.add("Lead.Phone")
    org.cursors.clear()
    rest = pulled(pages)
    assert {*first.records["id"].to_pylist()} | rest.records.keys() == set(ids)


def test_new_fields_are_told(stand, org):
    leads(org, 1)
    cursor = read(stand).cursor
    org.add_field("Lead", "New__c")
    told: list[tuple[str, Any]] = []
    log = lambda event, **values: told.append((event, values))  # noqa: E731
    context = replace(world(stand, fields=FIELDS), log=log)
    list(SalesforceConnector(context).pull("lead", cursor))
    assert ("salesforce.fields_changed", {"object": "Lead", "added": ["New__c"], "removed": []}) in told


def test_an_object_that_the_org_does_not_have_stops_nothing(stand, org):
    ids = leads(org, 2)
    org.disabled.add("Order")
    assert not read(stand, name="order").records
    assert set(read(stand).records) == set(ids)


# -- Bulk API 2.0: reading --


@pytest.fixture
def many(org: Org) -> list[str]:
    return leads(org, 2_500, Description='a "quoted", cell\r\nwith\u2028lines, ä 🙂 #N/A')


BULK = {"rest_rows": 2_000}


def test_many_rows_are_read_by_bulk_and_are_the_same_as_by_rest(stand, org, many):
    org.put("Lead", {"Id": many[0], "AnnualRevenue": 1.5e7, "NumberOfEmployees": 12, "IsUnreadByOwner": True})
    by_rest = read(stand)
    org.bulk_rows = 700
    by_bulk = read(stand, **BULK)
    assert len(org.calls("/results?")) == 4
    assert by_bulk.records == by_rest.records
    assert by_bulk.complete


def test_a_bulk_read_goes_on_with_its_job_after_a_crash_on_any_page(stand, org, many):
    org.bulk_rows = 700
    pages = list(
        SalesforceConnector(world(stand, options=BULK, fields=FIELDS), sleep=no_sleep).pull("lead", None)
    )
    for number in range(1, len(pages)):
        org.requests.clear()
        before = {each for page in pages[:number] for each in page.records["id"].to_pylist()}
        after = read(stand, pages[number - 1].cursor, **BULK)
        assert before | after.records.keys() == set(many)
        assert not org.calls("jobs/query", "POST")


@pytest.mark.parametrize("how", ["cut", "drop", "lost"])
def test_a_result_page_that_breaks_off_is_fetched_again(stand, org, many, how):
    org.faults.append(on("/results?", how))
    found = read(stand, **BULK)
    assert set(found.records) == set(many)
    assert not found.set_aside


def test_a_job_that_is_gone_or_failed_is_begun_anew(stand, org, many):
    org.faults.append(on("/results?", status=404, body=b'[{"errorCode":"NOT_FOUND","message":"gone"}]'))
    org.faults.append(on("jobs/query/750", status=200, body=b'{"state":"Failed","errorMessage":"internal"}'))
    assert set(read(stand, **BULK).records) == set(many)


@pytest.mark.parametrize("status", [503, 401])
def test_one_503_or_an_ended_session_while_polling_does_not_end_a_job(stand, org, many, status):
    org.polls_needed = 5
    org.faults.append(on("jobs/query/750", status=status, skip=2))
    assert set(read(stand, **BULK).records) == set(many)
    assert len(org.calls("jobs/query", "POST")) == 1


@pytest.mark.parametrize("late", [False, True])
def test_an_object_that_bulk_does_not_read_is_read_by_rest(stand, org, many, late):
    if late:
        body = b'{"state":"Failed","errorMessage":"INVALIDENTITY : Entity is not supported by the Bulk API"}'
        org.faults.append(on("jobs/query/750", status=200, body=body))
    else:
        org.not_in_bulk.add("Lead")
    assert set(read(stand, **BULK).records) == set(many)


@pytest.mark.parametrize("in_bulk", [True, False])
def test_more_fields_than_a_url_holds_are_read_all_the_same(stand, org, in_bulk):
    names = [f"A_rather_long_name_of_a_field_{n:04}__c" for n in range(500)]
    for name in names:
        org.add_field("Lead", name)
    ids = leads(org, 30, **{names[0]: "first", names[-1]: "last"})
    if not in_bulk:
        org.not_in_bulk.add("Lead")
    found = read(stand)
    assert set(found.records) == set(ids)
    for record in found.records.values():
        assert (record.attributes[names[0]], record.attributes[names[-1]]) == ("first", "last")


def test_no_rows_are_no_error_in_bulk_whatever_the_body(stand, org, many):
    for body in (b"", b'"Id","IsDeleted"\n'):
        more = {"Sforce-Locator": '"null"', "Sforce-NumberOfRecords": "0", "Content-Type": "text/csv"}
        org.faults.append(on("/results?", status=200, body=body, headers=more))
        assert not read(stand, **BULK).records


def test_a_page_with_fewer_rows_than_announced_is_read_again(stand, org, many):
    more = {"Sforce-Locator": "null", "Sforce-NumberOfRecords": "2500", "Content-Type": "text/csv"}
    org.faults.append(on("/results?", status=200, body=b'"Id","IsDeleted"\n', headers=more))
    assert set(read(stand, **BULK).records) == set(many)
