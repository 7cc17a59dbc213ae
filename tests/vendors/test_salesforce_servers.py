"""Servers that say the same in other ways: what the guides leave open must not matter."""

from __future__ import annotations

import io
import json
import re
import socket
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from crmbridge.connectors.salesforce import SalesforceConnector, bulk
from crmbridge.connectors.salesforce import client as client_module
from crmbridge.connectors.salesforce.client import Client
from crmbridge.connectors.salesforce.options import SalesforceOptions
from crmbridge.errors import AuthError, TransientError
from crmbridge.testing.trial import Pulled
from tests.vendors.salesforce.kit import changes, leads, on, org, own_fields, read, stand, writer
from tests.vendors.salesforce.org import INTEGRATION, Org
from tests.vendors.salesforce.subject import no_sleep, world

__all__ = ["org", "own_fields", "stand"]
BULK = {"rest_rows": 2_000}
Answer = tuple[int, bytes, dict[str, str]]


def otherwise(
    org: Org, word: str, change: Callable[[bytes, dict[str, str]], tuple[bytes, dict[str, str]]]
) -> None:
    def apply(path: str, status: int, body: bytes, headers: dict[str, str]) -> Answer:
        return (status, *change(body, headers)) if word in path and status < 300 else (status, body, headers)

    org.otherwise.append(apply)


def in_json(change: Callable[[dict[str, Any]], None]) -> Callable[..., tuple[bytes, dict[str, str]]]:
    def apply(body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        if not body.startswith(b"{"):
            return body, headers
        found = json.loads(body)
        change(found)
        return json.dumps(found).encode(), headers

    return apply


def rename(found: dict[str, Any], how: Callable[[str], str]) -> None:
    if "nextRecordsUrl" in found:
        found["nextRecordsUrl"] = how(found["nextRecordsUrl"])


@pytest.mark.parametrize(
    "how",
    [
        lambda url: "https://acme.my.salesforce.com" + url,
        lambda url: url.removeprefix("/"),
        lambda url: url.replace("v65.0", "v60.0"),
    ],
    ids=["whole", "without a slash", "of another version"],
)
def test_the_next_page_may_be_named_in_any_way_and_the_token_goes_nowhere_else(stand, org, how):
    ids = leads(org, 10)
    org.page_rows = 4
    otherwise(org, "/query", in_json(lambda found: rename(found, how)))
    assert set(read(stand).records) == set(ids)


def test_an_answer_may_leave_out_what_its_other_members_say(stand, org):
    ids = leads(org, 10)
    org.page_rows = 4

    def less(found: dict[str, Any]) -> None:
        found.pop("done", None)
        found.pop("totalSize", None)

    otherwise(org, "/query", in_json(less))
    assert set(read(stand).records) == set(ids)


def test_pages_may_be_of_any_size_the_last_one_empty_and_the_total_changing(stand, org):
    ids = leads(org, 40)
    sizes = iter([2, 9, 1, 7, 5, 3, 40, 40])
    page = stand.page

    def mixed(*given: Any) -> dict[str, Any]:
        org.page_rows = next(sizes)
        found = page(*given)
        found["totalSize"] += org.page_rows
        if found["done"] and found["records"]:
            locator = "0r8000000000999-40"
            org.cursors[locator] = ("Lead", ["Id"], ids, 40)
            found |= {"done": False, "nextRecordsUrl": f"/services/data/v65.0/query/{locator}"}
        return found

    stand.page = mixed
    assert set(read(stand).records) == set(ids)


def test_a_row_on_two_pages_is_one_record(stand, org):
    ids = leads(org, 10)
    org.page_rows = 4
    page = stand.page
    stand.page = lambda user, name, columns, found, start: page(user, name, columns, found, max(0, start - 1))
    assert set(read(stand).records) == set(ids)


def text_of(found: Pulled) -> dict[str, Any]:
    return {key: record.attributes["Description"] for key, record in found.records.items()}


CELLS = 'a "quoted", cell\r\nwith\u2028lines, ä 🙂 #N/A\x00,'


def no_length(body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    return body, {key: value for key, value in headers.items() if key != "Sforce-NumberOfRecords"}


def windows(body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    return re.sub(rb'"\n', b'"\r\n', body), headers


def with_bom(body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    return b"\xef\xbb\xbf" + body, headers


def in_pieces(body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    import gzip

    middle = len(body) // 2
    return gzip.compress(body[:middle]) + gzip.compress(body[middle:]), {
        **headers,
        "Content-Encoding": "GZIP",
    }


def deflated(body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    return zlib.compress(body), {**headers, "Content-Encoding": "deflate"}


def ends_in_silence(body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    return body, {key: value for key, value in headers.items() if value != "null"}


def lower_case(body: bytes, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    return body, {key.lower(): value for key, value in headers.items()}


@pytest.mark.parametrize(
    "change",
    [no_length, windows, with_bom, in_pieces, deflated, ends_in_silence, lower_case],
    ids=lambda change: change.__name__,
)
def test_result_pages_may_be_spelt_and_packed_in_any_way(stand, org, change):
    ids = leads(org, 2_100, Description=CELLS)
    org.bulk_rows, org.packs = 900, False
    plain = text_of(read(stand))
    otherwise(org, "/results?", change)
    found = read(stand, **BULK)
    assert text_of(found) == plain == dict.fromkeys(ids, CELLS)
    assert org.calls("/results?")


def test_a_row_may_be_longer_than_what_is_read_at_once():
    long = b"x" * 140_000
    rows = b"".join(b'"%d","%s"\n' % (number, long * (1 + number % 3)) for number in range(40))
    batches = list(bulk.batches(io.BytesIO(b'"Id","Text__c"\n' + rows), 1 << 18))
    assert [each for batch in batches for each in batch["Id"].to_pylist()] == [str(n) for n in range(40)]
    lengths = [len(each) for batch in batches for each in batch["Text__c"].to_pylist()]
    assert lengths == [140_000 * (1 + number % 3) for number in range(40)]


@pytest.mark.parametrize("body", [b"", b'"Id"', b'"Id"\r\n', b'\xef\xbb\xbf"Id","Name"\n'])
def test_a_page_without_rows_gives_none(body):
    assert list(bulk.batches(io.BytesIO(body))) == []


def test_an_org_without_the_bulk_api_is_read_by_rest(stand, org):
    ids = leads(org, 2_100)
    for refusal in (
        {"status": 400, "body": b'[{"errorCode":"FEATURENOTENABLED","message":"Bulk API is not enabled"}]'},
        {"status": 404, "body": b'[{"errorCode":"NOT_FOUND","message":"x"}]'},
        {"status": 403, "body": b'[{"errorCode":"API_DISABLED_FOR_ORG","message":"x"}]'},
    ):
        org.faults.append(on("jobs/query", **refusal))
        assert set(read(stand, **BULK).records) == set(ids)


def test_jobs_that_fail_again_and_again_are_given_up_for_rest(stand, org):
    ids = leads(org, 2_100)
    failed = b'{"state":"Failed","errorMessage":"InternalServerError: x"}'
    org.faults.append(on("jobs/query/750", status=200, body=failed, times=99))
    assert set(read(stand, **BULK).records) == set(ids)


def test_a_job_that_never_ends_ends_the_run_and_the_next_goes_on_with_it(stand, org):
    ids = leads(org, 2_100)
    org.polls_needed = 10**9
    connector = SalesforceConnector(world(stand, options=BULK), sleep=no_sleep)
    with pytest.raises(TransientError, match="did not end"):
        list(connector.pull("lead", None))
    org.polls_needed = 1
    assert set(read(stand, **BULK).records) == set(ids)


def test_an_upload_goes_to_the_address_that_the_job_names(stand, org):
    ids = leads(org, 250)
    one = writer(stand, bulk_changes=200)

    def whole(found: dict[str, Any]) -> None:
        if "contentUrl" in found:
            found["contentUrl"] = f"{stand.url}/{found['contentUrl']}"

    otherwise(org, "jobs/ingest", in_json(whole))
    assert {outcome.state for outcome in one.write("lead", changes(ids))} == {"sent"}


# -- transport --


@pytest.mark.parametrize("how", ["chunk_cut", "drip"])
def test_an_answer_that_comes_in_chunks_or_drops_is_whole_or_asked_for_again(stand, org, how):
    ids = leads(org, 12)
    org.page_rows, org.packs = 5, False
    for skip in range(4):
        org.faults.append(on("/services/data", how, skip=skip))
        assert set(read(stand).records) == set(ids)


def test_a_name_that_is_not_known_is_a_passing_trouble_and_no_write_is_in_doubt(stand, org, monkeypatch):
    ids = leads(org, 3)
    one = writer(stand)
    one.read("lead", ids)
    one.client.session.close()  # connections that are open need no name

    def unknown(*given: Any, **more: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert {outcome.state for outcome in one.write("lead", changes(ids))} == {"retry"}
    with pytest.raises(TransientError, match="no connection"):
        one.client.query("SELECT Id FROM User")


def test_not_modified_is_no_answer_to_who_has_nothing_to_compare_with(stand, org):
    ids = leads(org, 3)
    org.faults.append(on("/queryAll", status=304))
    assert set(read(stand).records) == set(ids)


def test_the_time_that_a_server_asks_for_is_kept(stand, org):
    body = b'[{"errorCode":"SERVER_UNAVAILABLE","message":"x"}]'
    for status in (429, 503):
        answer = client_module.requests.Response()
        answer.status_code, answer._content = status, body
        answer.headers["Retry-After"] = "17"
        error = Client(world(stand))._error(answer)
        assert isinstance(error, client_module.Passing)
        assert error.wait == 17.0


# -- signing in --


def test_a_new_token_that_names_another_host_goes_to_the_configured_one(stand, org):
    org.instance_url = "https://elsewhere.example.com"
    assert len(Client(world(stand)).query("SELECT Id FROM User")) == 2


def test_a_refresh_that_is_refused_in_the_middle_of_a_run_ends_it_and_is_not_repeated(stand, org):
    leads(org, 12)
    org.page_rows = 4
    pages = SalesforceConnector(world(stand)).pull("lead", None)
    next(pages)
    org.tokens.clear()
    org.requests.clear()
    refusal = b'{"error":"invalid_grant","error_description":"expired access/refresh token"}'
    org.faults.append(on("/oauth2/token", status=400, body=refusal, times=99))
    with pytest.raises(AuthError, match="invalid_grant"):
        list(pages)
    assert len(org.calls("/oauth2/token")) == 1


class _FullDisk:
    """A vault that can't be written."""

    def read(self) -> str | None:
        return None

    def write(self, text: str) -> None:
        raise OSError(28, "No space left on device")

    def alone(self) -> Any:
        import contextlib

        return contextlib.nullcontext()


def test_a_rotated_token_that_could_not_be_kept_is_not_used(stand, org):
    org.rotates = True
    context = world(stand, options={"auth": "refresh_token"}, secrets={"refresh_token": "refresh-0"})
    with pytest.raises(OSError, match="No space"):
        Client(replace(context, vault=_FullDisk())).query("SELECT Id FROM User")
    assert not org.calls("/services/data")
    with pytest.raises(AuthError) as refused:
        Client(context).query("SELECT Id FROM User")
    assert "Authorise" in str(refused.value.remedy)


@pytest.mark.parametrize("minutes", [-90, -10, 0, 10, 90])
def test_a_jwt_is_taken_however_wrong_our_clock_is(stand, org, private_key, minutes):
    options = {"auth": "jwt", "username": "a@b.c", "private_key_file": private_key, "login_url": stand.url}
    context = replace(world(stand, options=options), clock=lambda: org.now + timedelta(minutes=minutes))
    assert len(Client(context).query("SELECT Id FROM User")) == 2
    assert len(org.calls("/oauth2/token")) <= 2


def test_a_sandbox_signs_in_where_sandboxes_do():
    def token_url(host: str, **more: Any) -> str:
        given = {"instance_url": f"https://{host}", "client_id": "x", **more}
        return SalesforceOptions.model_validate(given).token_url

    jwt = {"auth": "jwt", "username": "a@b.c", "private_key_file": "key.pem"}
    assert token_url("acme.my.salesforce.com", **jwt).startswith("https://login.salesforce.com/")
    assert token_url("acme--uat.sandbox.my.salesforce.com", **jwt).startswith("https://test.salesforce.com/")
    assert token_url("acme--uat.sandbox.my.salesforce.com").startswith("https://acme--uat.sandbox.my.")
    with pytest.raises(ValueError, match=r"https://acme\.my\.salesforce\.com"):
        token_url("acme.lightning.force.com")


@pytest.mark.parametrize("closed", ["/userinfo", "/v65.0/"])
def test_who_signs_in_is_known_by_either_of_two_ways(stand, org, closed):
    body = b'[{"errorCode":"NOT_FOUND","message":"x"}]'
    org.faults.append(on(closed, status=404, body=body, times=9))
    assert Client(world(stand)).user_id() == INTEGRATION


def test_a_session_may_end_between_two_chunks_and_while_a_job_is_polled(stand, org):
    ids = leads(org, 450)
    ended = b'[{"errorCode":"INVALID_SESSION_ID","message":"Session expired or invalid"}]'
    one = writer(stand)
    org.faults.append(on("composite/sobjects", status=401, body=ended, skip=1))
    assert {outcome.state for outcome in one.write("lead", changes(ids))} == {"sent"}
    org.faults.append(on("jobs/ingest/750", method="GET", status=401, body=ended))
    by_bulk = writer(stand, bulk_changes=200)
    assert {outcome.state for outcome in by_bulk.write("lead", changes(ids, 40.0))} == {"sent"}


def test_an_org_in_read_only_maintenance_is_written_later(stand, org):
    ids = leads(org, 3)
    one = writer(stand)
    body = b'[{"errorCode":"SERVER_UNAVAILABLE","message":"The org is in read-only mode"}]'
    org.faults.append(on("composite/sobjects", status=503, body=body, times=99))
    outcomes = one.write("lead", changes(ids))
    assert {outcome.state for outcome in outcomes} == {"retry"}
    assert "read-only" in str(outcomes[0].message)


# -- limits --


def test_check_tells_the_limit_even_where_no_header_does(stand, org):
    def bare(path: str, status: int, body: bytes, headers: dict[str, str]) -> Answer:
        return status, body, {key: value for key, value in headers.items() if key != "Sforce-Limit-Info"}

    org.otherwise.append(bare)
    connector = SalesforceConnector(world(stand))
    (calls,) = [item for item in connector.check() if item.name == "API calls"]
    assert calls.state == "ok"
    assert f"of {org.limit:,}" in calls.detail
    refusal = b'[{"errorCode":"API_CURRENTLY_DISABLED","message":"x"}]'
    org.faults.append(on("/limits", status=403, body=refusal))
    (calls,) = [item for item in SalesforceConnector(world(stand)).check() if item.name == "API calls"]
    assert calls.state == "warning"


def test_check_tells_what_the_first_run_costs_and_where_that_is_too_much(stand, org):
    leads(org, 4_100)

    def cost(**more: Any) -> Any:
        connector = SalesforceConnector(replace(world(stand), **more))
        return next(item for item in connector.check() if item.name == "cost of the first run")

    calls = int(re.findall(r"about (\d+) calls", cost().detail)[0])
    org.requests.clear()
    connector = SalesforceConnector(world(stand), sleep=no_sleep)
    for name in connector.objects():
        list(connector.pull(name, None))
    assert calls * 0.7 <= len(org.calls("/services/data")) <= calls
    dear = cost(api_budget=0.0004)
    assert dear.state == "warning"
    assert "may be used today" in dear.detail


def test_an_object_with_too_many_rows_to_count_is_no_failure(stand, org):
    body = b'[{"errorCode":"QUERY_TIMEOUT","message":"Your query request was running for too long."}]'
    org.faults.append(on("COUNT()%20FROM%20Task", status=400, body=body, times=99))
    (task,) = [item for item in SalesforceConnector(world(stand)).check() if item.name == "activity: Task"]
    assert task.state != "failed"
    assert "too many rows to count" in task.detail


# -- what the user may not see --


def test_a_describe_that_still_shows_a_hidden_field_does_not_stop_the_read(stand, org):
    ids = leads(org, 5, Phone="1")
    described = stand.describe

    def stale(user: str, *given: Any) -> Any:
        org.hidden.discard("Lead.Phone")
        found = described(user, *given)
        org.hidden.add("Lead.Phone")
        return found

    stand.describe = stale
    found = read(stand)
    assert set(found.records) == set(ids)
    assert all("phone" not in record.model_fields_set for record in found.records.values())


def test_stage_changes_come_from_the_history_of_fields_where_the_other_is_not_readable(stand, org):
    deal = org.put("Opportunity", {"Name": "x", "StageName": "Prospecting"})
    change = {"OpportunityId": deal, "Field": "StageName", "OldValue": "Prospecting", "NewValue": "Won"}
    row = org.put("OpportunityFieldHistory", change)
    org.put("OpportunityFieldHistory", {**change, "Field": "Amount", "OldValue": "1", "NewValue": "2"})
    org.disabled = {"OpportunityHistory"}
    org.advance(minutes=30)
    first = read(stand, name="stage_change")
    (record,) = first.records.values()
    assert (record.id, record.deal_id, record.from_stage, record.to_stage) == (
        row,
        deal,
        "Prospecting",
        "Won",
    )
    assert not first.complete, "what the other object knew is not taken for deleted"
    org.disabled = set()
    org.history(deal)
    org.advance(minutes=30)
    second = read(stand, first.cursor, name="stage_change")
    assert [record.to_stage for record in second.records.values()] == ["Prospecting"]
    assert second.complete, "the rows of the substitute are gone"


def test_a_history_whose_stage_is_hidden_gives_no_record_without_one(stand, org):
    deal = org.put("Opportunity", {"Name": "x", "StageName": "Prospecting"})
    org.history(deal)
    org.hidden.add("OpportunityHistory.StageName")
    org.advance(minutes=30)
    found = read(stand, name="stage_change")
    assert not found.records
    assert not found.set_aside


def test_objects_may_be_missing_one_and_all(stand, org):
    leads(org, 3)
    for name in ("Order", "Lead", "OpportunityHistory", "Event", "Contact"):
        org.disabled.add(name)
    connector = SalesforceConnector(world(stand), sleep=no_sleep)
    for name in connector.objects():
        list(connector.pull(name, None))
    items = {item.name: item for item in connector.check()}
    assert items["lead: Lead"].state == "failed"
    assert items["order: Order"].state == "warning"
