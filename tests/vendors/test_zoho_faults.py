"""What goes wrong at Zoho, and what must hold then: sign-in, limits, reading."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from crmbridge.connectors.http import MemoryVault
from crmbridge.connectors.zoho import Options, ZohoConnector
from crmbridge.connectors.zoho.client import Refused
from crmbridge.errors import AuthError, CRMBridgeError, QuotaError, TransientError
from crmbridge.testing import context, pulled, samples
from crmbridge.testing.trial import models
from tests.vendors.zoho import ZohoServer
from tests.vendors.zoho.org import ALL_SCOPES
from tests.vendors.zoho.server import CLIENT_SECRET, REFRESH_TOKEN, THROTTLED
from tests.vendors.zoho_subject import SECRETS, ZohoSubject

HTML = (502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"})


@pytest.fixture
def subject(zoho: ZohoServer) -> ZohoSubject:
    return ZohoSubject(zoho)


def made(subject: ZohoSubject, *, secrets=SECRETS, clock=None, **more) -> ZohoConnector:
    given = context(subject.options(), secrets=secrets, clock=clock or subject.clock)
    return ZohoConnector(given, sleep=lambda seconds: None, **more)


def leads(subject: ZohoSubject, cursor=None, **more):
    return pulled(made(subject, **more).pull("lead", cursor))


# -- signing in --


def test_sixteen_workers_with_an_ended_token_ask_for_one(subject):
    connector = made(subject)
    connector.org()
    subject.org.tick(7200)
    with ThreadPoolExecutor(16) as pool:
        assert (
            len(set(pool.map(lambda _: connector.client.get("org").body["org"][0]["zgid"], range(16)))) == 1
        )
    assert len(subject.org.calls("oauth")) == 2


def test_two_processes_share_one_token(subject):
    vault = MemoryVault()
    for _ in range(3):
        given = context(subject.options(), secrets=SECRETS, clock=subject.clock)
        object.__setattr__(given, "vault", vault)
        ZohoConnector(given).org()
    assert len(subject.org.calls("oauth")) == 1


@pytest.mark.parametrize("code", ["INVALID_TOKEN", "INVALID_OAUTHTOKEN", "AUTHENTICATION_FAILURE"])
def test_a_token_refused_in_the_middle_is_renewed_once(subject, code):
    ids = set(subject.seed(samples.leads(25)))
    refusal = (401, {"code": code, "details": {}, "message": "no", "status": "error"}, {})
    subject.org.fault("POST /crm/v8/coql", answer=refusal)
    assert set(leads(subject).records) == ids
    assert len(subject.org.calls("oauth")) == 2


def test_a_token_that_stays_refused_is_an_error_and_no_loop(subject):
    refusal = (401, {"code": "INVALID_TOKEN", "details": {}, "message": "no", "status": "error"}, {})
    subject.org.fault("GET /crm/v8/org", answer=refusal, times=9)
    with pytest.raises(AuthError):
        made(subject).org()
    assert len(subject.org.calls("oauth")) == 2


def test_a_missing_scope_asks_for_no_token(subject):
    subject.org.switches.scopes = ALL_SCOPES - {"org"}
    with pytest.raises(AuthError, match="scope"):
        made(subject).org()
    assert len(subject.org.calls("oauth")) == 1


@pytest.mark.parametrize("status", [200, 400])
def test_access_denied_cools_down_and_is_no_revocation(subject, status):
    subject.org.fault("POST /oauth", answer=(status, THROTTLED, {}), times=99)
    connector = made(subject)
    for _ in range(3):
        with pytest.raises(TransientError, match="sign-in itself is fine"):
            connector.org()
    assert len(subject.org.calls("oauth")) == 1
    subject.org.faults.clear()
    subject.org.tick(400)
    assert connector.org().id == subject.org.zgid


def test_at_most_eight_tokens_are_asked_for_in_ten_minutes(subject):
    connector = made(subject)
    connector.org()
    failed = 0
    for _ in range(12):
        subject.org.refused_tokens |= subject.org.tokens.keys()
        try:
            connector.client.get("org")
        except TransientError:
            failed += 1
    assert failed > 0
    assert len(subject.org.calls("oauth")) == 8


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ((200, {"error": "invalid_code"}, {}), AuthError, "invalid_code"),
        ((400, {"error": "invalid_client"}, {}), AuthError, "API console"),
        ((200, {"error": "invalid_client_secret"}, {}), AuthError, "client_secret"),
        ((200, {"api_domain": "https://www.zohoapis.eu"}, {}), AuthError, "no access_token"),
        (HTML, TransientError, "502"),
        ((503, b"", {}), TransientError, "503"),
    ],
)
def test_what_the_accounts_server_says_is_told_apart(subject, answer, error, said):
    subject.org.fault("POST /oauth", answer=answer, times=99)
    with pytest.raises(error, match=said):
        made(subject).org()


@pytest.mark.parametrize(
    "domain", ["https://evil.example", "http://www.zohoapis.com", "https://zohoapis.com.evil.example"]
)
def test_a_forged_api_domain_gets_no_token(subject, domain):
    subject.server.api_domain = domain
    with pytest.raises(AuthError, match="not Zoho's"):
        made(subject).org()


def test_hosts_in_the_settings_are_zohos_or_of_this_machine():
    for url in ("https://accounts.zoho.in", "https://accounts.zohocloud.ca", "http://localhost:9/x"):
        Options(client_id="c", accounts_url=url)
    for url in (
        "http://accounts.zoho.com",
        "https://accounts.zoho.com.evil.example",
        "https://user@accounts.zoho.eu",
    ):
        with pytest.raises(ValueError):
            Options(client_id="c", accounts_url=url)
    with pytest.raises(ValueError):
        Options(client_id="c", api_domain="https://accounts.zoho.com.evil.example")


def test_no_secret_is_in_a_url_an_error_or_the_log(subject):
    logged = []
    given = context(subject.options(), secrets=SECRETS, clock=subject.clock)
    object.__setattr__(given, "log", lambda event, **values: logged.append((event, values)))
    subject.org.fault("POST /oauth", answer=(400, {"error": "invalid_code"}, {}))
    connector = ZohoConnector(given)
    with pytest.raises(AuthError) as refused:
        connector.org()
    connector.org()
    told = f"{refused.value} {logged} {[(each.path, each.query) for each in subject.org.requests]}"
    for secret in (CLIENT_SECRET, REFRESH_TOKEN, "1000.access-1"):
        assert secret not in told


# -- limits --


@pytest.mark.parametrize("status", [200, 400, 429])
def test_too_many_requests_is_tried_again_whatever_its_status(subject, status):
    ids = set(subject.seed(samples.leads(25)))
    subject.org.busy("POST /crm/v8/coql", times=2, status=status)
    assert set(leads(subject).records) == ids


def test_credits_that_are_gone_end_the_run_at_once(subject):
    subject.org.busy("POST /crm/v8/coql", times=9, **{"X-API-CREDITS-REMAINING": "0"})
    with pytest.raises(QuotaError):
        leads(subject)
    assert len(subject.org.calls("coql")) == 1


def test_a_run_keeps_to_its_share_of_the_credits(subject):
    subject.org.edition, subject.org.switches.credits = "free", None
    given = context(subject.options(), secrets=SECRETS, clock=subject.clock)
    object.__setattr__(given, "api_budget", 0.002)
    connector = ZohoConnector(given)
    connector.org()

    def work():
        for _ in range(50):
            connector.client.get("org")

    with pytest.raises(QuotaError):
        work()
    assert subject.org.credits <= 10


def test_concurrent_calls_stay_below_the_editions_limit(subject):
    subject.org.edition = "free"
    connector = made(subject)
    connector.org()
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: connector.client.get("org"), range(60)))
    assert subject.org.most_active <= 4


# -- reading --


@pytest.mark.parametrize("read_by", ["auto", "list"])
@pytest.mark.parametrize("fault", ["html", "half", "500", "drop"])
def test_answers_that_are_broken_lose_nothing(subject, read_by, fault):
    ids = set(subject.seed(samples.leads(25)))
    where = "coql" if read_by == "auto" else "GET /crm/v8/Leads"
    error = {"code": "INTERNAL_ERROR", "details": {}, "message": "Internal Server Error", "status": "error"}
    more = {
        "html": {"answer": HTML},
        "half": {"half": True, "kind": "after"},
        "500": {"answer": (500, error, {})},
        "drop": {"drop": True},
    }[fault]
    subject.org.fault(where, **more)
    assert set(leads(subject, read_by=read_by).records) == ids


@pytest.mark.parametrize("read_by", ["query", "list"])
@pytest.mark.parametrize("tokens", [True, False])
def test_many_records_of_one_second_are_all_read(subject, read_by, tokens):
    subject.org.switches.page_tokens = tokens
    ids = subject.seed(samples.leads(40))
    moment = subject.org.now
    for row in subject.org.modules["Leads"].rows.values():
        row["Modified_Time"] = moment
    assert set(leads(subject, read_by=read_by, page_size=7).records) == set(ids)


def test_a_list_begins_again_behind_its_limit(subject):
    ids = set(subject.seed(samples.leads(60)))
    subject.org.switches.list_rows = 20
    assert set(leads(subject, read_by="list", page_size=7).records) == ids


@pytest.mark.parametrize("code", ["EXPIRED_VALUE", "TOKEN_BOUND_DATA_MISMATCH"])
def test_a_page_token_that_no_longer_holds_loses_nothing(subject, code):
    ids = set(subject.seed(samples.leads(60)))
    pages = made(subject, read_by="list", page_size=7).pull("lead", None)
    found = [next(pages)]
    refusal = (400, {"code": code, "details": {}, "message": "no", "status": "error"}, {})
    subject.org.fault("page_token", answer=refusal)
    found += pages
    assert set(pulled(found).records) == ids


def test_more_than_fifty_fields_are_joined_by_id(subject):
    names = [f"Extra_{number}" for number in range(120)]
    from tests.vendors.zoho.metadata import field

    subject.org.modules["Leads"].fields += [field(500 + n, name, "text") for n, name in enumerate(names)]
    ids = subject.seed(samples.leads(25))
    for row in subject.org.modules["Leads"].rows.values():
        row |= {name: f"{name} of {row['id']}" for name in names}
    found = leads(subject, read_by="list", page_size=7).records
    assert set(found) == set(ids)
    for identifier, record in found.items():
        assert all(record.attributes[name] == f"{name} of {identifier}" for name in names)


def test_records_that_change_while_they_are_read_come_in_their_last_state(subject):
    ids = subject.seed(samples.leads(40))
    for read_by in ("query", "list"):
        pages = made(subject, read_by=read_by, page_size=7).pull("lead", None)
        found = [next(pages)]
        subject.update("lead", ids[0], "company", f"Changed {read_by}")
        subject.delete("lead", ids.pop())
        found += pages
        records = pulled(found).records
        assert set(ids) <= set(records)
        assert records[ids[0]].company == f"Changed {read_by}"


def test_without_the_scopes_for_queries_and_jobs_lists_are_read(subject):
    ids = set(subject.seed(samples.leads(25)))
    subject.org.switches.scopes = ALL_SCOPES - {"coql", "bulk"}
    assert set(leads(subject).records) == ids
    subject.org.put("Leads", {"Converted__s": True, "Last_Name": "C"}, identifier="77")
    assert "77" in leads(subject).records


def test_fields_that_cannot_be_queried_are_left_out(subject):
    ids = set(subject.seed(samples.leads(5)))
    subject.org.switches.coql_hidden = frozenset({"Converted__s", "Description"})
    assert set(leads(subject).records) == ids


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("number", [5, 30])
def test_converted_leads_come_whatever_queries_and_jobs_show(subject, shown, bulk, number):
    switches = subject.org.switches
    switches.coql_shows_converted, switches.bulk_shows_converted = shown, bulk
    ids = set(subject.seed(samples.leads(number)))
    converted = {"Converted__s": True, "Converted_Deal": {"id": "9", "name": "D"}, "Last_Name": "C"}
    ids.add(
        subject.org.put("Leads", {**converted, "Converted_Date_Time": subject.org.now}, identifier="4999")
    )
    connector = made(subject)
    connector._puller._queries.rows = 10
    found = pulled(connector.pull("lead", None))
    assert set(found.records) == ids
    lead = found.records["4999"]
    assert (lead.is_converted, lead.converted_deal_id) == (True, "9")
    assert lead.converted_at is not None
    subject.org.put("Leads", {"Company": "Later"}, identifier="4999")
    again = leads(subject, found.cursor).records
    assert again["4999"].company == "Later"
    assert len(again) == 1


def test_deletions_without_names_are_deletions(subject):
    ids = subject.seed(samples.leads(25))
    cursor = leads(subject).cursor
    subject.org.delete("Leads", ids[0], permanent=True)
    subject.org.delete("Leads", ids[1])
    assert leads(subject, cursor).deleted == set(ids[:2])


def test_records_merged_away_are_found_by_a_full_pull(subject):
    ids = subject.seed(samples.leads(25))
    leads(subject)
    subject.org.delete("Leads", ids[0], silent=True)
    found = leads(subject)
    assert found.complete
    assert set(found.records) == set(ids[1:])


def test_a_field_this_user_may_not_see_is_absent_and_not_null(subject):
    subject.seed(samples.leads(3))
    subject.org.modules["Leads"].field("Company")["hidden"] = True
    for record in leads(subject).records.values():
        assert "company" not in record.model_fields_set


# -- Bulk Read --


@pytest.fixture
def many(subject):
    """Leads of several job pages, read by Bulk Read."""
    subject.ids = set(subject.seed(samples.leads(65)))
    subject.org.switches.job_rows = 25
    return subject


def by_jobs(subject, cursor=None):
    connector = made(subject)
    connector._puller._queries.rows = 10
    return connector.pull("lead", cursor)


@pytest.mark.parametrize("tokens", [True, False])
def test_jobs_are_read_page_by_page(many, tokens):
    many.org.switches.page_tokens = tokens
    found = pulled(by_jobs(many))
    assert set(found.records) == many.ids
    assert len(many.org.calls("POST /crm/bulk/v8/read")) == 3
    assert len(leads(many, found.cursor).records) == 0


def test_both_ways_of_reading_give_the_same_records(many):
    jobs, queries, lists = pulled(by_jobs(many)), leads(many, read_by="query"), leads(many, read_by="list")
    assert jobs.records == queries.records == lists.records


def test_a_killed_run_takes_up_the_job_it_has_paid_for(many):
    first = next(by_jobs(many))
    found = pulled([first, *by_jobs(many, first.cursor)])
    assert set(found.records) == many.ids
    assert len(many.org.calls("POST /crm/bulk/v8/read")) == 3


def test_a_run_killed_at_any_page_reads_the_rest(many):
    pages = list(by_jobs(many))
    for number, page in enumerate(pages, start=1):
        rest = list(by_jobs(many, page.cursor))
        assert set(pulled([*pages[:number], *rest]).records) == many.ids


@pytest.mark.parametrize("fault", ["FAILURE", "expired", "half", "gone"])
def test_a_job_that_fails_once_is_begun_again(many, fault):
    error = {"code": "RESOURCE_NOT_FOUND", "details": {}, "message": "expired", "status": "error"}
    failure = (200, {"data": [{"id": "1", "state": "FAILURE"}]}, {})
    if fault == "FAILURE":
        many.org.fault("GET /crm/bulk/v8/read", answer=failure)
    elif fault == "half":
        many.org.fault("/result", kind="after", half=True)
    else:
        many.org.fault("/result" if fault == "expired" else "GET /crm/bulk/v8/read", answer=(404, error, {}))
    assert set(pulled(by_jobs(many)).records) == many.ids


def test_a_job_that_always_fails_is_told_and_kept(many):
    many.org.fault("GET /crm/bulk", answer=(200, {"data": [{"id": "1", "state": "FAILURE"}]}, {}), times=99)
    with pytest.raises(TransientError, match="Bulk Read"):
        list(by_jobs(many))


def test_a_job_that_never_ends_is_taken_up_by_the_next_run(many):
    pages = by_jobs(many)
    first = next(pages)
    for job in many.org.jobs.values():
        job["stuck"] = True
    with pytest.raises(TransientError, match="not done"):
        next(pages)
    for job in many.org.jobs.values():
        job["stuck"] = False
    assert set(pulled(by_jobs(many, first.cursor)).records) == many.ids
    assert len(many.org.calls("POST /crm/bulk/v8/read")) == 3


def test_awkward_values_are_the_same_by_job_and_by_query(subject):
    subject.seed(samples.awkward_leads("Campaign_Code"))
    subject.org.put(
        "Leads",
        {
            "Last_Name": 'quotes "and"\nlines',
            "Interests": ["a", "b c"],
            "Tag": [{"name": "x", "id": "1"}, {"name": "y", "id": "2"}],
            "Score_Points": 12.5,
            "Email_Opt_Out": True,
            "First_Visited_Time": datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC),
            "Lead_Conversion_Time": 0,
            "Description": "🙂 עברית",
        },
        identifier="123456789012345678",
    )
    connector = made(subject)
    connector._puller._queries.rows = 2
    jobs = pulled(connector.pull("lead", None)).records
    assert len(subject.org.calls("POST /crm/bulk/v8/read")) == 1
    queries = leads(subject, read_by="query").records
    assert jobs == queries
    attributes = jobs["123456789012345678"].attributes
    assert attributes["Interests"] == "a;b c"
    assert attributes["Tag"] == "x,y"
    assert attributes["Score_Points"] == 12.5
    assert attributes["Email_Opt_Out"] is True
    assert attributes["Lead_Conversion_Time"] == 0
    assert attributes["First_Visited_Time"] == "2026-03-29T00:59:59Z"
    assert attributes["Created_By"] is None


# -- other objects --


def activities(subject, cursor=None):
    return pulled(made(subject).pull("activity", cursor)).records


@pytest.mark.parametrize("said", [True, False])
def test_activities_of_leads_and_deals_are_theirs(subject, said):
    subject.org.switches.coql_se_module = said
    org = subject.org
    lead = org.put("Leads", {"Last_Name": "L", "Converted__s": True})
    deal = org.put("Deals", {"Deal_Name": "D"})
    what = {"Leads": lead, "Deals": deal}
    start = datetime(2026, 5, 1, 9, tzinfo=UTC)
    for module, identifier in what.items():
        org.put(
            "Calls",
            {
                "What_Id": {"id": identifier, "name": "N"},
                "$se_module": module,
                "Who_Id": {"id": "55", "name": "P"} if module == "Deals" else None,
                "Call_Type": "Outbound",
                "Call_Start_Time": start,
                "Call_Duration": "10:00",
                "Call_Duration_in_seconds": 600,
                "Call_Status": "Completed",
                "Call_Result": "Interested",
            },
            identifier=f"call{module}",
        )
    org.put("Calls", {"Call_Type": "Missed", "Call_Duration": "00:15"}, identifier="short")
    org.put("Calls", {"Call_Type": "Outbound", "Call_Status": "Scheduled"}, identifier="planned")
    org.put(
        "Events",
        {"Event_Title": "E", "Start_DateTime": start, "End_DateTime": start + timedelta(hours=1)},
        identifier="event",
    )
    org.put("Tasks", {"Subject": "T", "Status": "Completed"}, identifier="task")
    found = activities(subject)
    call = found["callLeads"]
    assert (call.lead_id, call.deal_id, call.duration, call.outcome) == (lead, None, 600.0, "connected")
    assert (call.direction, call.ended_at, call.is_completed) == (
        "outbound",
        start + timedelta(minutes=10),
        True,
    )
    assert (found["callDeals"].deal_id, found["callDeals"].contact_id) == (deal, "55")
    assert (found["short"].duration, found["short"].outcome) == (15.0, "no_answer")
    assert (found["planned"].duration, found["planned"].is_completed) == (None, False)
    assert (found["event"].kind, found["event"].duration) == ("meeting", 3600.0)
    assert (found["task"].kind, found["task"].is_completed) == ("task", True)


def test_stages_are_won_and_lost_as_the_pipelines_say(subject):
    for stage in ("Gewonnen", "Closed Lost", "Negotiation/Review", "Never heard of"):
        subject.org.put(
            "Deals", {"Stage": stage, "Closing_Date": "2026-05-04", "Amount": 10.5}, identifier=stage
        )
    found = pulled(made(subject).pull("deal", None)).records
    assert [(each.is_closed, each.is_won, each.closed_at is not None) for each in found.values()] == [
        (True, True, True),
        (True, False, True),
        (False, False, False),
        (False, False, False),
    ]
    assert found["Gewonnen"].closed_at == datetime(2026, 5, 3, 22, tzinfo=UTC), "midnight of the zone"


def test_stage_history_is_entered_stage_by_stage_and_does_not_change_afterwards(subject):
    deal = {"id": "8", "name": "D"}
    first = subject.org.put("DealHistory", {"Potential_Name": deal, "Stage": "Open", "Moved_To__s": None})
    before = pulled(made(subject).pull("stage_change", None)).records
    subject.org.modules["DealHistory"].rows[first] |= {
        "Moved_To__s": "Won",
        "Stage_Duration_Calendar_Days": 3,
    }
    subject.org.put("DealHistory", {"Potential_Name": deal, "Stage": "Won"}, identifier="999")
    after = pulled(made(subject).pull("stage_change", None)).records
    assert after[first] == before[first]
    assert (after["999"].deal_id, after["999"].to_stage) == ("8", "Won")


def test_orders_and_users_come_with_those_who_have_left(subject):
    lines = [{"Product": "P", "Quantity": 2}]
    subject.org.put(
        "Sales_Orders", {"Grand_Total": 99.5, "Status": "Delivered", "Ordered_Items": lines}, identifier="5"
    )
    (order,) = pulled(made(subject).pull("order", None)).records.values()
    assert (str(order.amount.normalize()), order.status) == ("99.5", "Delivered")
    assert "Ordered_Items" not in order.attributes
    reps = pulled(made(subject).pull("rep", None))
    assert [each.is_active for each in reps.records.values()] == [True, False, False]
    assert reps.complete


def test_what_the_settings_map_is_read_from_there(subject):
    given = context(
        subject.options().model_copy(update={"mapping": {"order": {"fulfilled_at": "Due_Date"}}}),
        secrets=SECRETS,
        clock=subject.clock,
    )
    subject.org.put("Sales_Orders", {"Due_Date": "2026-05-04"}, identifier="5")
    (order,) = pulled(ZohoConnector(given).pull("order", None)).records.values()
    assert order.fulfilled_at == datetime(2026, 5, 3, 22, tzinfo=UTC)


def test_every_column_is_one_the_model_takes(subject):
    subject.seed(samples.awkward_leads("Campaign_Code"))
    for page in made(subject).pull("lead", None):
        assert all(record.object_name == "lead" for record in models(page))


def test_what_zoho_refuses_to_show_is_told_in_its_words(subject):
    refusal = {"code": "SOMETHING_NEW", "details": {}, "message": "not today", "status": "error"}
    subject.org.fault("coql", answer=(400, refusal, {}))
    with pytest.raises(CRMBridgeError, match="not today") as told:
        leads(subject)
    assert isinstance(told.value.__cause__, Refused)


def test_an_org_that_hides_the_stage_history_is_read_without_it(subject):
    subject.org.put("DealHistory", {"Potential_Name": {"id": "8"}, "Stage": "Open"})
    refusal = {"code": "NO_PERMISSION", "details": {}, "message": "permission denied", "status": "error"}
    subject.org.fault("coql", answer=(403, refusal, {}))
    subject.org.fault("/DealHistory", answer=(403, refusal, {}))
    assert not pulled(made(subject).pull("stage_change", None)).records
