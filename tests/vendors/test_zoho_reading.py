"""Reading Zoho orgs that are not like the textbook's, and that do not stand still while they are read."""

from __future__ import annotations

from datetime import timedelta

import pytest

from crmbridge.connectors.zoho import ZohoConnector
from crmbridge.errors import CRMBridgeError, TransientError
from crmbridge.testing import context, pulled, samples
from tests.vendors.zoho import ZohoServer
from tests.vendors.zoho.metadata import field
from tests.vendors.zoho_subject import SECRETS, ZohoSubject


@pytest.fixture
def subject(zoho: ZohoServer) -> ZohoSubject:
    return ZohoSubject(zoho)


def made(subject: ZohoSubject, *, rows: int | None = None, **more) -> ZohoConnector:
    given = context(subject.options(), secrets=SECRETS, clock=subject.clock)
    connector = ZohoConnector(given, sleep=lambda seconds: None, **more)
    if rows is not None:
        connector._puller._queries.rows = rows
    return connector


def read(subject: ZohoSubject, object_name="lead", cursor=None, **more):
    return pulled(made(subject, **more).pull(object_name, cursor))


# -- changes that are hard to see --


@pytest.mark.parametrize("read_by", ["auto", "list"])
def test_an_edit_in_the_very_second_of_the_last_one_is_not_missed(subject, read_by):
    ids = subject.seed(samples.leads(3))
    first = read(subject, read_by=read_by)
    assert not read(subject, cursor=first.cursor, read_by=read_by).records, "nothing has changed"
    row = subject.org.modules["Leads"].rows[ids[2]]
    row["Company"] = "Edited in the same second"
    again = read(subject, cursor=first.cursor, read_by=read_by).records
    assert {each.company for each in again.values()} == {"Edited in the same second"}


def test_once_a_week_deletions_that_nobody_told_are_found(subject):
    ids = subject.seed(samples.leads(5))
    first = read(subject)
    subject.org.delete("Leads", ids[0], silent=True)
    subject.org.tick(6 * 86_400)
    before = read(subject, cursor=first.cursor)
    assert (before.complete, before.records) == (False, {})
    subject.org.tick(2 * 86_400)
    found = read(subject, cursor=first.cursor)
    assert found.complete
    assert set(found.records) == set(ids[1:])
    assert not read(subject, cursor=found.cursor).complete, "and not again the same week"


def test_a_backfill_is_read_to_its_end_before_everything_is_read_anew(subject):
    ids = subject.seed(samples.leads(30))
    subject.org.switches.job_rows = 10
    pages = made(subject, rows=5).pull("lead", None)
    cursor = next(pages).cursor
    subject.org.tick(8 * 86_400)
    subject.org.switches.page_tokens = False
    assert set(read(subject, cursor=cursor, rows=5).records) == set(ids)


def test_more_deletions_than_can_be_paged_through_stop_nothing(subject):
    ids = subject.seed(samples.leads(260))
    cursor = read(subject).cursor
    for identifier in ids[:250]:
        subject.org.delete("Leads", identifier)
    subject.org.switches.deleted_rows = 200
    assert len(read(subject, cursor=cursor).deleted) == 200
    subject.org.tick(8 * 86_400)
    found = read(subject, cursor=cursor)
    assert (found.complete, set(found.records)) == (True, set(ids[250:]))


@pytest.mark.parametrize("move", ["change", "delete"])
def test_a_row_that_falls_between_two_pages_of_a_list_is_not_lost(subject, move):
    ids = subject.seed(samples.leads(60))
    pages = made(subject, read_by="list", page_size=7).pull("lead", None)
    found = [next(pages)]
    if move == "change":
        subject.update("lead", ids[0], "company", "Moved to the end")
    else:
        subject.delete("lead", ids[0])
    found += pages
    assert set(ids[1:]) <= set(pulled(found).records)


@pytest.mark.parametrize("read_by", ["query", "list"])
def test_a_reading_of_everything_in_many_pages_says_that_it_is_complete(subject, read_by):
    ids = subject.seed(samples.leads(30))
    subject.org.tick(60)
    assert read(subject, read_by=read_by, page_size=7).complete
    subject.org.delete("Leads", ids[0], silent=True)
    subject.org.tick(60)
    assert set(read(subject, read_by=read_by, page_size=7).records) == set(ids[1:])


def test_lists_go_on_behind_the_pages_that_have_a_number(subject):
    ids = set(subject.seed(samples.leads(60)))
    subject.org.switches.page_tokens, subject.org.switches.numbered_rows = False, 20
    assert set(read(subject, read_by="list", page_size=7).records) == ids


@pytest.mark.parametrize("read_by", ["auto", "list"])
def test_nothing_at_all_and_nothing_new_are_no_errors(subject, read_by):
    connector = made(subject, read_by=read_by)
    for object_name in ("lead", "deal", "activity", "stage_change"):
        found = pulled(connector.pull(object_name, None))
        assert (found.records, found.complete) == ({}, True)
        assert not pulled(connector.pull(object_name, found.cursor)).records


@pytest.mark.parametrize("credits", [10, 50])
def test_credits_that_jobs_cost_are_counted_as_the_vendor_says(subject, credits):
    """Counted too high where a job costs less, and never too low."""
    subject.seed(samples.leads(30))
    subject.org.switches.bulk_read_credits = credits
    connector = made(subject, rows=10)
    assert len(pulled(connector.pull("lead", None)).records) == 30
    counted = connector.context.calls.total - connector.context.calls.by_kind["auth"]
    assert counted == subject.org.credits + 50 - credits


@pytest.mark.parametrize("tokens", [True, False])
def test_many_deletions_come_page_by_page(subject, tokens):
    ids = subject.seed(samples.leads(450))
    cursor = read(subject).cursor
    for identifier in ids[1:]:
        subject.org.delete("Leads", identifier)
    subject.org.switches.deleted_tokens = tokens
    assert read(subject, cursor=cursor).deleted == set(ids[1:])


# -- ways of reading that are closed, or open by a crack --


def test_fields_that_jobs_do_not_take_are_read_by_query(subject):
    ids = subject.seed(samples.leads(30))
    subject.org.switches.bulk_hidden = frozenset({"Description"})
    found = read(subject, rows=10).records
    assert set(found) == set(ids)
    assert "Description" in found[ids[0]].attributes


def test_queries_that_do_not_say_which_column_they_refuse_are_still_used(subject):
    subject.org.switches.coql_says_column = False
    subject.org.put("Calls", {"Call_Type": "Outbound", "Call_Duration_in_seconds": 9}, identifier="1")
    assert read(subject, "activity").records["1"].duration == 9
    assert not subject.org.calls("GET /crm/v8/Calls?")
    assert [
        each for each in subject.org.calls("GET /crm/v8/Calls") if not each.path.endswith("deleted")
    ] == []


def test_more_columns_than_a_query_takes_are_read_by_list(subject):
    ids = set(subject.seed(samples.leads(5)))
    subject.org.switches.coql_columns = 10
    assert set(read(subject).records) == ids


@pytest.mark.parametrize("module", ["Sales_Orders", "Calls", "Contacts", "DealHistory"])
def test_a_module_that_the_profile_hides_leaves_the_others_readable(subject, module):
    subject.org.switches.closed = frozenset({module})
    subject.org.put("Tasks", {"Subject": "T"}, identifier="1")
    connector = made(subject)
    for object_name in connector.objects():
        found = pulled(connector.pull(object_name, None))
        if object_name == "activity":
            assert set(found.records) == {"1"}
    states = {item.name.partition(": ")[2]: item.state for item in made(subject).check()}
    assert states[module] == "warning"


def test_leads_that_the_profile_hides_are_an_error(subject):
    subject.org.switches.closed = frozenset({"Leads"})
    with pytest.raises(CRMBridgeError, match="refused to show leads"):
        read(subject)
    states = {item.name: item.state for item in made(subject).check()}
    assert states["lead: Leads"] == "failed"


def test_the_stage_history_is_read_where_it_is_not_listed(subject):
    subject.org.switches.unlisted = frozenset({"DealHistory"})
    subject.org.put("DealHistory", {"Potential_Name": {"id": "8"}, "Stage": "Open"}, identifier="1")
    assert "stage_change" in made(subject).objects()
    assert set(read(subject, "stage_change").records) == {"1"}
    subject.org.switches.undescribed = frozenset({"DealHistory"})
    assert moves(read(subject, "stage_change")) == [("8", None, "Open")]


def test_an_org_that_does_not_tell_users_apart_has_those_it_tells(subject):
    refusal = {"code": "INVALID_DATA", "details": {}, "message": "invalid type", "status": "error"}
    for kind in ("DeactiveUsers", "DeletedUsers"):
        subject.org.fault(f"type={kind}", answer=(400, refusal, {}))
    assert len(read(subject, "rep").records) == 2


@pytest.mark.parametrize(
    ("licence", "credits"),
    [
        ({"paid": True, "paid_type": "enterprise"}, 55_000),
        ({"paid": False, "paid_type": "free", "trial_type": "enterprise"}, 55_000),
        ({"paid": False, "paid_type": "free"}, 5_000),
        ({"paid_type": "zohooneenterprise"}, 55_000),
        ({"paid": True, "paid_type": "crmplus"}, 60_000),
    ],
)
def test_the_edition_says_how_many_credits_there_are(subject, licence, credits):
    answer = {"org": [{"zgid": "1", "license_details": {**licence, "users_license_purchased": 5}}]}
    subject.org.fault("GET /crm/v8/org", answer=(200, answer, {}))
    connector = made(subject)
    connector.org()
    assert connector.client.daily == credits


def test_wide_modules_are_read_by_every_way_alike(subject):
    subject.org.modules["Leads"].fields += [field(500 + n, f"Extra_{n}", "text") for n in range(210)]
    ids = set(subject.seed(samples.leads(12)))
    queried, listed = read(subject, rows=5), read(subject, read_by="list")
    assert set(queried.records) == ids
    assert queried.records == listed.records


# -- jobs --


@pytest.fixture
def many(subject):
    subject.ids = set(subject.seed(samples.leads(65)))
    subject.org.switches.job_rows = 25
    return subject


def test_a_job_token_that_has_ended_is_replaced_by_the_page_number(many):
    refusal = {"code": "EXPIRED_VALUE", "details": {}, "message": "expired", "status": "error"}
    pages = made(many, rows=10).pull("lead", None)
    found = [next(pages)]
    many.org.fault("POST /crm/bulk/v8/read", answer=(400, refusal, {}))
    found += pages
    assert set(pulled(found).records) == many.ids


def test_a_job_that_is_not_done_after_a_day_is_begun_anew(many):
    pages = made(many, rows=10).pull("lead", None)
    first = next(pages)
    for job in many.org.jobs.values():
        job["stuck"] = True
    many.org.tick(25 * 3600)
    assert set(read(many, cursor=first.cursor, rows=10).records) == many.ids


def test_a_result_that_does_not_count_its_rows_is_read(many):
    submit = made(many, rows=10).pull("lead", None)
    found = [next(submit)]
    for job in many.org.jobs.values():
        del job["result"]["count"]
    found += submit
    assert set(pulled(found).records) == many.ids


def test_a_list_whose_tokens_never_hold_is_told_and_does_not_turn_in_circles(subject):
    subject.seed(samples.leads(20))
    moment = subject.org.now
    for row in subject.org.modules["Leads"].rows.values():
        row["Modified_Time"] = moment
    refusal = {"code": "EXPIRED_VALUE", "details": {}, "message": "expired", "status": "error"}
    subject.org.fault("page_token", answer=(400, refusal, {}), times=99)
    with pytest.raises(TransientError, match="does not get beyond"):
        read(subject, read_by="list", page_size=7)


# -- stage history --


def stages(subject, deal, *names, begin=0):
    for place, name in enumerate(names, start=begin):
        subject.org.put(
            "DealHistory", {"Potential_Name": {"id": deal}, "Stage": name}, identifier=f"{deal}{place:02}"
        )


def moves(found):
    return [(each.deal_id, each.from_stage, each.to_stage) for each in found.records.values()]


@pytest.mark.parametrize("read_by", ["auto", "list"])
def test_stages_follow_one_another_and_what_repeats_one_is_no_change(subject, read_by):
    stages(subject, "7", "Open", "Open", "Won", "Open", "Lost")
    stages(subject, "8", "Open")
    assert moves(read(subject, "stage_change", read_by=read_by, page_size=2)) == [
        ("7", None, "Open"),
        ("7", "Open", "Won"),
        ("7", "Won", "Open"),
        ("7", "Open", "Lost"),
        ("8", None, "Open"),
    ]


def test_the_stage_before_is_looked_up_for_deals_that_move_later(subject):
    deals = [str(number) for number in range(1000, 1130)]
    for deal in deals:
        stages(subject, deal, "Open")
    cursor = read(subject, "stage_change").cursor
    subject.org.tick(3600)
    for deal in deals:
        stages(subject, deal, "Open", "Won", begin=1)
    found = read(subject, "stage_change", cursor=cursor, page_size=90)
    assert moves(found) == [(deal, "Open", "Won") for deal in deals]


def test_without_a_look_up_the_change_itself_is_still_told(subject):
    stages(subject, "7", "Open")
    cursor = read(subject, "stage_change").cursor
    subject.org.tick(3600)
    stages(subject, "7", "Won", begin=1)
    subject.org.switches.scopes -= {"coql"}
    assert moves(read(subject, "stage_change", cursor=cursor)) == [("7", None, "Won")]


def test_deals_that_changed_within_one_second_keep_the_order_of_their_ids(subject):
    stages(subject, "7", "Open", "Proposal", "Won")
    for row in subject.org.modules["DealHistory"].rows.values():
        row["Modified_Time"] = subject.org.now - timedelta(hours=1)
    assert moves(read(subject, "stage_change"))[-1] == ("7", "Proposal", "Won")
