"""Pulling: pages, changes, deletions, what records mean; each fault a test."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from crmbridge.errors import AuthError, CRMBridgeError, SettingsError, TransientError
from crmbridge.model.records import Activity, Contact, Deal, Lead, Order, Rep, StageChange
from crmbridge.testing import pulled
from tests.vendors.hubspot.conftest import Hub
from tests.vendors.hubspot.portal import Portal, iso
from tests.vendors.hubspot.server import Fault

OLD = datetime(2026, 1, 1, tzinfo=UTC)
LIST = "GET /crm/objects/2026-09/contacts"
SEARCH = "POST /crm/objects/2026-09/contacts/search"
READ = "POST /crm/objects/2026-09/contacts/batch/read"


def many(portal: Portal, number: int, kind: str = "contacts", **more: Any) -> list[str]:
    return [portal.add(kind, {"lastname": f"Last {at}"}, created=OLD, **more) for at in range(number)]


def first(hub: Hub, name: Any = "contact", **options: Any) -> Any:
    return json.loads(json.dumps(hub.pull(name, **options).cursor))


# Pages


@pytest.mark.parametrize("number", [0, 1, 99, 100, 101, 200, 1_000, 1_001])
def test_every_record_comes_once_wherever_the_last_page_ends(hub: Hub, portal: Portal, number: int) -> None:
    ids = many(portal, number)
    found = hub.pull("contact")
    rows = [identifier for page in found.pages for identifier in page.records["id"].to_pylist()]
    assert sorted(rows) == sorted(ids)
    assert found.complete


def test_an_empty_page_that_has_a_next_one_is_not_the_end(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 6)

    def emptied(body: dict[str, Any]) -> None:
        body["paging"]["next"]["after"] = body["results"][0]["id"]
        body["results"] = []

    hub.server.faults.append(Fault(LIST, edit=emptied))
    assert set(hub.pull("contact", page=2).records) == set(ids)


def test_a_cursor_may_be_a_number(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 6)

    def number(body: dict[str, Any]) -> None:
        body["paging"]["next"]["after"] = int(body["paging"]["next"]["after"])

    hub.server.faults.append(Fault(LIST, edit=number, times=2))
    assert set(hub.pull("contact", page=2).records) == set(ids)


def test_pages_that_go_in_a_circle_end(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 6)

    def back(body: dict[str, Any]) -> None:
        body["paging"] = {"next": {"after": ids[2]}}

    hub.server.faults.append(Fault(LIST, edit=back, times=99))
    with pytest.raises(TransientError, match="circle"):
        hub.pull("contact", page=2)


def test_records_added_changed_and_archived_while_paging_are_right_after_the_next_pull(
    hub: Hub, portal: Portal
) -> None:
    ids = many(portal, 8)

    def meanwhile() -> None:
        portal.set("contacts", ids[0], {"lastname": "Changed"})
        portal.archive("contacts", ids[1])
        portal.archive("contacts", ids[7])
        ids.append(portal.add("contacts", {"lastname": "New"}))

    hub.server.faults.append(Fault(LIST, skips=2, does=meanwhile))
    found = hub.pull("contact", page=2, block=2)
    assert set(found.records) == {*ids} - {ids[7]}
    again = hub.pull("contact", json.loads(json.dumps(found.cursor)))
    assert again.records[ids[0]].last_name == "Changed"  # type: ignore[attr-defined]
    assert ids[1] in again.deleted


def test_too_many_names_for_a_url_are_asked_for_in_a_body(hub: Hub, portal: Portal) -> None:
    from tests.vendors.hubspot.portal import definition

    names = [f"a_custom_property_with_a_long_name_{place}" for place in range(300)]
    portal.properties["contacts"] |= {name: definition(name) for name in names}
    ids = many(portal, 250)
    portal.set("contacts", ids[5], {names[299]: "here"}, at=OLD)
    found = hub.pull("contact")
    assert set(found.records) == set(ids)
    assert found.records[ids[5]].attributes[names[299]] == "here"
    assert (hub.server.count(LIST), hub.server.count(READ)) == (3, 3)


def test_a_url_that_is_too_long_all_the_same_is_given_up_for_a_body(hub: Hub, portal: Portal) -> None:
    portal.switches.strict_url = 200
    ids = many(portal, 5)
    assert set(hub.pull("contact").records) == set(ids)


def test_a_property_deleted_since_the_schema_was_read_is_absent(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 3)
    hub.server.faults.append(
        Fault(LIST, skips=1, does=lambda: portal.properties["contacts"].pop("campaign_code"))
    )
    found = hub.pull("contact", page=1, block=1)
    assert "campaign_code" in found.records[ids[0]].attributes
    assert "campaign_code" not in found.records[ids[2]].attributes


# Changes


def test_only_what_changed_is_read_again(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 300)
    cursor = first(hub)
    hub.server.calls.clear()
    portal.set("contacts", ids[7], {"lastname": "Changed"})
    found = hub.pull("contact", cursor)
    assert set(found.records) == {ids[7]}
    assert hub.server.count(LIST) == 1  # the archived ones
    assert (hub.server.count(SEARCH), hub.server.count(READ)) == (1, 1)


def test_a_search_index_ninety_seconds_late_loses_nothing(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 5)
    cursor = first(hub)
    portal.switches.search_lag = timedelta(seconds=90)
    portal.set("contacts", ids[0], {"lastname": "Early"})
    hub.clock.now += timedelta(seconds=60)
    portal.set("contacts", ids[1], {"lastname": "Late"})
    hub.clock.now += timedelta(seconds=40)
    one = hub.pull("contact", cursor)
    assert ids[0] in one.records
    assert ids[1] not in one.records
    hub.clock.now += timedelta(seconds=90)
    two = hub.pull("contact", json.loads(json.dumps(one.cursor)))
    assert two.records[ids[1]].last_name == "Late"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "number",
    [pytest.param(9_999, marks=pytest.mark.slow), pytest.param(10_000, marks=pytest.mark.slow), 10_001],
)
def test_changes_around_the_cap_of_a_search_all_come(hub: Hub, portal: Portal, number: int) -> None:
    many(portal, 1)
    cursor = first(hub)
    start = hub.clock.now
    ids = {
        portal.add("contacts", created=OLD, updated=start + timedelta(milliseconds=at // 3))
        for at in range(number)
    }
    hub.clock.now += timedelta(hours=1)
    assert set(hub.pull("contact", cursor).records) == ids


@pytest.mark.slow
@pytest.mark.parametrize("order", ["ids_as_text", "mixed_ids", None])
def test_more_than_ten_thousand_changes_in_one_millisecond_all_come(
    hub: Hub, portal: Portal, order: str | None
) -> None:
    many(portal, 1)
    cursor = first(hub)
    if order:
        setattr(portal.switches, order, True)
    at = hub.clock.now
    portal._next = 94_000  # ids of different lengths
    ids = {portal.add("contacts", created=OLD, updated=at) for _ in range(20_500)}
    after = portal.add("contacts", created=OLD, updated=at + timedelta(milliseconds=1))
    hub.clock.now += timedelta(hours=1)
    found = hub.pull("contact", cursor)
    assert ids | {after} <= set(found.records)
    again = hub.pull("contact", json.loads(json.dumps(found.cursor)), overlap_minutes=0)
    assert len(again.records) <= 20_502


def test_results_out_of_order_and_out_of_the_window_do_no_harm(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 30)
    cursor = first(hub)
    for identifier in ids[:20]:
        portal.set("contacts", identifier, {"lastname": "Changed"})

    def disorder(body: dict[str, Any]) -> None:
        body["results"].reverse()
        body["results"][0]["properties"]["lastmodifieddate"] = "1999-01-01T00:00:00Z"

    hub.server.faults.append(Fault(SEARCH, edit=disorder))
    assert set(hub.pull("contact", cursor).records) == set(ids[:20])


def test_a_batch_answered_with_neither_results_nor_errors_is_asked_again(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 5)
    cursor = first(hub)
    portal.set("contacts", ids[0], {"lastname": "Changed"})
    hub.server.faults.append(Fault(READ, edit=lambda body: body.update(results=[])))
    assert set(hub.pull("contact", cursor).records) == {ids[0]}
    hub.server.faults.append(Fault(READ, edit=lambda body: body.update(results=[]), times=99))
    with pytest.raises(TransientError, match="unanswered"):
        hub.pull("contact", cursor)


def test_a_killed_pull_goes_on_where_it_was_and_loses_nothing(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 10)
    pages = []
    for page in hub.connector(page=2, block=2).pull("contact", None):
        pages.append(page)
        if len(pages) == 2:
            break
    portal.set("contacts", ids[0], {"lastname": "Changed"})
    hub.server.calls.clear()
    rest = hub.pull("contact", json.loads(json.dumps(pages[-1].cursor)), page=2, block=2)
    assert set(rest.records) == set(ids[4:])
    assert not rest.complete
    last = hub.pull("contact", json.loads(json.dumps(rest.cursor)))
    assert ids[0] in last.records


def test_archived_records_are_listed_as_rarely_as_the_settings_say(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 3)
    cursor = first(hub, deletions_hours=24)
    portal.archive("contacts", ids[0])
    assert not hub.pull("contact", cursor, deletions_hours=24).deleted
    hub.clock.now += timedelta(hours=25)
    found = hub.pull("contact", cursor, deletions_hours=24)
    assert found.deleted == {ids[0]}
    assert not hub.pull("contact", found.cursor, deletions_hours=24).deleted


@pytest.mark.parametrize("redirects", [True, False])
def test_a_merged_record_is_gone_and_the_surviving_one_changed(
    hub: Hub, portal: Portal, redirects: bool
) -> None:
    portal.switches.merged_redirects = redirects
    ids = many(portal, 4)
    cursor = first(hub)
    portal.merge("contacts", ids[0], ids[1])
    found = hub.pull("contact", cursor)
    assert ids[0] in found.records
    assert found.deleted == {ids[1]}


def test_a_record_merged_between_search_and_read_comes_as_the_surviving_one(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 4)
    cursor = first(hub)
    portal.set("contacts", ids[1], {"lastname": "Changed"})
    hub.server.faults.append(Fault(READ, does=lambda: portal.merge("contacts", ids[0], ids[1])))
    found = hub.pull("contact", cursor)
    assert set(found.records) == {ids[0]}
    assert found.deleted == {ids[1]}


# What is not there


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_portal_without_leads_has_contacts_for_leads(hub: Hub, portal: Portal, status: int) -> None:
    portal.switches.leads, portal.switches.lead_refusal = False, status
    ids = many(portal, 3)
    connector = hub.connector(lead_object="auto")
    assert "contact" not in connector.objects()
    found = hub.pull("lead", lead_object="auto")
    assert set(found.records) == set(ids)
    assert isinstance(found.records[ids[0]], Lead)


def test_a_portal_with_leads_has_them(hub: Hub, portal: Portal) -> None:
    lead = portal.add("leads", {"hs_associated_contact_lastname": "Lee"}, created=OLD)
    assert set(hub.pull("lead", lead_object="auto").records) == {lead}
    assert "contact" in hub.connector(lead_object="auto").objects()


def test_leads_do_not_turn_into_contacts_unnoticed(hub: Hub, portal: Portal) -> None:
    portal.add("leads", {}, created=OLD)
    cursor = first(hub, "lead", lead_object="auto")
    portal.switches.leads = False
    with pytest.raises(SettingsError, match='lead_object = "leads"'):
        hub.pull("lead", cursor, lead_object="auto")


def test_a_missing_scope_on_one_object_leaves_the_others(hub: Hub, portal: Portal) -> None:
    portal.switches.orders = False
    many(portal, 2)
    assert hub.pull("order").pages == []
    assert len(hub.pull("contact").records) == 2
    states = {item.name: item for item in hub.connector().check()}
    assert states["orders"].state == "warning"
    assert "crm.objects.orders.read" in (states["orders"].remedy or "")


def test_a_scope_that_is_taken_away_later_does_not_go_unnoticed(hub: Hub, portal: Portal) -> None:
    portal.add("orders", {}, created=OLD)
    cursor = first(hub, "order")
    portal.switches.orders = False
    with pytest.raises(AuthError, match=r"Grant crm\.objects\.orders\.read again"):
        hub.pull("order", cursor)


def test_a_search_that_is_refused_does_not_pass_for_nothing_new(hub: Hub, portal: Portal) -> None:
    many(portal, 2)
    cursor = first(hub)
    hub.server.faults.append(Fault(SEARCH, 400, {"message": "bad filter", "category": "VALIDATION_ERROR"}))
    with pytest.raises(CRMBridgeError, match="bad filter"):
        hub.pull("contact", cursor)


def test_check_reads_a_healthy_portal_and_writes_nothing(hub: Hub, portal: Portal) -> None:
    many(portal, 2)
    items = list(hub.connector().check())
    assert {item.state for item in items} == {"ok"}
    assert {call.method for call in hub.server.calls} <= {"GET", "POST"}
    assert not hub.server.count("batch/update")
    assert not hub.server.count("batch/create")


def test_check_names_a_wrong_key(hub: Hub) -> None:
    (item,) = hub.connector(secrets={"access_token": "wrong"}).check()
    assert (item.state, "access_token" in (item.remedy or "")) == ("failed", True)


# What records mean


def test_numbers_dates_and_texts_arrive_as_they_are(hub: Hub, portal: Portal) -> None:
    company = portal.add(
        "companies",
        {"numberofemployees": "3000", "annualrevenue": "5000.00", "name": "Ü 🙂 \u202e"},
        created=OLD,
    )
    other = portal.add("companies", {"numberofemployees": "1e3", "annualrevenue": "-0"}, created=OLD)
    found = hub.pull("account").records
    account: Any = found[company]
    assert (account.employees, account.annual_revenue) == (3000, Decimal("5000"))
    assert account.name == "Ü 🙂 \u202e"
    exponent: Any = found[other]
    assert (exponent.employees, exponent.annual_revenue) == (1000, Decimal(0))


def test_null_and_cleared_are_null_and_what_is_not_shown_is_absent(hub: Hub, portal: Portal) -> None:
    one = portal.add("contacts", {"campaign_code": "", "jobtitle": ""}, created=OLD)
    record: Any = hub.pull("contact").records[one]
    assert record.attributes["campaign_code"] is None
    assert record.title is None
    assert "no_such" not in record.attributes


def test_ids_of_twenty_digits_stay_texts(hub: Hub, portal: Portal) -> None:
    ids = {portal.add("contacts", {}, identifier=each, created=OLD) for each in ("98765432109876543210", "7")}
    assert set(hub.pull("contact").records) == ids


def test_long_values_and_unknown_options_are_kept(hub: Hub, portal: Portal) -> None:
    long = "x" * 65_536
    one = portal.add("contacts", {"campaign_code": long, "hs_lead_status": "a;b;c"}, created=OLD)
    record = hub.pull("contact").records[one]
    assert record.attributes["campaign_code"] == long
    assert record.attributes["hs_lead_status"] == "a;b;c"


def test_half_a_character_stops_nothing(hub: Hub, portal: Portal) -> None:
    whole = portal.add("contacts", {"jobtitle": "🙂", "campaign_code": "a\x00b"}, created=OLD)
    half = portal.add("contacts", {"jobtitle": "x\ud83d"}, created=OLD)
    found: Any = hub.pull("contact").records
    assert (found[whole].title, found[half].title) == ("🙂", "x?")
    assert found[whole].attributes["campaign_code"] == "a\x00b"


def test_a_value_that_does_not_fit_sets_its_record_aside(hub: Hub, portal: Portal) -> None:
    good = portal.add("companies", {"numberofemployees": "3"}, created=OLD)
    bad = portal.add("companies", {"numberofemployees": "-3"}, created=OLD)
    found = hub.pull("account")
    assert set(found.records) == {good}
    (row,) = found.set_aside
    assert (row.id, "numberofemployees" in row.reason, "https://" in row.place) == (bad, True, True)


def test_a_deal_knows_its_stage_people_and_currency(hub: Hub, portal: Portal) -> None:
    company, second = (portal.add("companies", {"name": name}, created=OLD) for name in "ab")
    contact = portal.add("contacts", {}, created=OLD)
    values = {
        "dealname": "Big",
        "amount": "1200.50",
        "dealstage": "closedwon",
        "closedate": "2026-03-31T22:30:00Z",
        "hubspot_owner_id": "77",
    }
    deal = portal.add("deals", values, created=OLD)
    portal.link("deals", deal, "companies", company, 341)
    portal.link("deals", deal, "companies", second, 341, 5)
    portal.link("deals", deal, "companies", second, 341)  # the pair comes twice
    portal.link("deals", deal, "contacts", contact, 3)
    found = hub.pull("deal").records[deal]
    assert isinstance(found, Deal)
    assert (found.account_id, found.contact_id, found.owner_id) == (second, contact, "77")
    assert (found.is_closed, found.is_won, found.currency) == (True, True, "USD")
    assert (found.stage, found.attributes["dealstage"]) == ("Closed Won", "closedwon")
    assert found.closed_at == datetime(2026, 3, 31, 22, 30, tzinfo=UTC)
    assert found.expected_close == date(2026, 4, 1)  # in Berlin


def test_a_deal_in_a_deleted_stage_is_what_its_own_properties_say(hub: Hub, portal: Portal) -> None:
    lost = portal.add("deals", {"dealstage": "99", "hs_is_closed": "true"}, created=OLD)
    won = portal.add("deals", {"dealstage": "98", "hs_is_closed_won": "true"}, created=OLD)
    found: Any = hub.pull("deal").records
    assert [(found[each].is_closed, found[each].is_won) for each in (lost, won)] == [
        (True, False),
        (True, True),
    ]


def test_the_history_of_a_stage_becomes_its_changes(hub: Hub, portal: Portal) -> None:
    portal.owners.append(owner("77", 7))
    deal = portal.add("deals", {"dealstage": "appointmentscheduled"}, created=OLD)
    moments = [OLD + timedelta(days=day) for day in (1, 1, 2, 3)]
    for at, stage in zip(moments, ("contractsent", "closedwon", "contractsent", "closedlost"), strict=True):
        portal.set("deals", deal, {"dealstage": stage}, at=at, user=7)
    record = portal.records["deals"][deal]
    record.history["dealstage"].append(
        {"value": "closedlost", "timestamp": iso(OLD + timedelta(days=4)), "sourceType": "CRM_UI"}
    )
    changes = [each for each in hub.pull("stage_change").records.values() if isinstance(each, StageChange)]
    assert [(each.from_stage, each.to_stage) for each in changes] == [
        (None, "Appointment Scheduled"),
        ("Appointment Scheduled", "Contract Sent"),
        ("Contract Sent", "Closed Won"),
        ("Closed Won", "Contract Sent"),
        ("Contract Sent", "Closed Lost"),
    ]
    assert changes[1].rep_id == "77"
    assert len({each.id for each in changes}) == 5


@pytest.mark.parametrize("with_deals", [True, False])
def test_changes_that_hubspot_has_forgotten_are_not_taken_for_gone(
    hub: Hub, portal: Portal, with_deals: bool
) -> None:
    stages = ("appointmentscheduled", "contractsent")
    deal = portal.add("deals", {"dealstage": stages[0]}, created=OLD)
    for step in range(1, 19):
        portal.set("deals", deal, {"dealstage": stages[step % 2]}, at=OLD + timedelta(days=step))
    whole = hub.pull("stage_change")
    assert (len(whole.records), whole.complete) == (19, True)
    for step in range(19, 30):
        portal.set("deals", deal, {"dealstage": stages[step % 2]}, at=OLD + timedelta(days=step))
    connector = hub.connector()
    if with_deals:
        list(connector.pull("deal", None))
    later = pulled(connector.pull("stage_change", None))
    assert not later.complete
    changes = [each for each in later.records.values() if isinstance(each, StageChange)]
    # The oldest entry's former stage is forgotten: what is known of it stays.
    assert len(changes) == 19
    assert all(each.from_stage is not None for each in changes)


def test_stage_changes_come_with_the_deals_and_cost_no_call(hub: Hub, portal: Portal) -> None:
    for _ in range(120):
        portal.add("deals", {"dealstage": "contractsent"}, created=OLD)
    connector = hub.connector()
    deals = list(connector.pull("deal", None))
    before = len(hub.server.calls)
    changes = list(connector.pull("stage_change", None))
    assert len(hub.server.calls) == before
    assert sum(page.records.num_rows for page in changes) == 120
    assert changes[-1].cursor == deals[-1].cursor
    assert hub.server.count("GET /crm/objects/2026-09/deals") == math.ceil(120 / 50)
    # A connector that did not read the deals finds the same.
    assert len(hub.pull("stage_change").records) == 120


def test_a_lead_is_converted_when_its_stage_says_so(hub: Hub, portal: Portal) -> None:
    contact = portal.add("contacts", {}, created=OLD)
    values = {
        "hs_pipeline_stage": "qualified-stage-id",
        "hs_v2_date_entered_qualified_stage_id": "2026-02-03T04:05:06Z",
    }
    won, lost, new = (
        portal.add("leads", each, created=OLD)
        for each in (
            values,
            {"hs_pipeline_stage_category": "UNQUALIFIED"},
            {"hs_pipeline_stage": "new-stage-id"},
        )
    )
    for lead in (won, new):
        portal.link("leads", lead, "contacts", contact, 578)
    found: Any = hub.pull("lead").records
    assert (found[won].is_converted, found[won].converted_contact_id) == (True, contact)
    assert found[won].converted_at == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert (found[lost].is_converted, found[lost].is_disqualified) == (False, True)
    assert (found[new].is_converted, found[new].converted_contact_id) == (False, None)


def test_a_contact_as_a_lead_is_converted_when_it_became_an_opportunity(hub: Hub, portal: Portal) -> None:
    values = {"hs_lifecyclestage_opportunity_date": "1767323045000", "lifecyclestage": "customer"}
    yes = portal.add("contacts", values, created=OLD)
    no = portal.add("contacts", {"hs_lead_status": "UNQUALIFIED"}, created=OLD)
    found: Any = hub.pull("lead", lead_object="contacts").records
    assert (found[yes].is_converted, found[no].is_converted) == (True, False)
    assert found[yes].converted_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert found[no].is_disqualified


def test_activities_of_all_kinds_come_with_times_and_outcomes(hub: Hub, portal: Portal) -> None:
    contact, company = portal.add("contacts", {}, created=OLD), portal.add("companies", {}, created=OLD)
    call = portal.add(
        "calls",
        {
            "hs_timestamp": "2026-02-01T10:00:00Z",
            "hs_call_duration": "90000",
            "hs_call_disposition": "f240bbac-87c9-4f6e-bf70-924b57d47db7",
            "hs_call_direction": "OUTBOUND",
            "hs_call_body": "private",
        },
        identifier="500",
        created=OLD,
    )
    portal.add(
        "meetings",
        {
            "hs_meeting_start_time": "2026-02-01T10:00:00Z",
            "hs_meeting_end_time": "2026-02-01T10:30:00Z",
            "hs_meeting_outcome": "COMPLETED",
        },
        identifier="500",
        created=OLD,
    )
    portal.add("meetings", {"hs_meeting_start_time": "2026-02-01T10:00:00Z"}, identifier="501", created=OLD)
    portal.add(
        "meetings",
        {"hs_meeting_start_time": "2026-02-01T10:00:00Z", "hs_meeting_end_time": "2026-02-01T09:00:00Z"},
        identifier="502",
        created=OLD,
    )
    portal.add("calls", {"hs_call_status": "NO_ANSWER"}, identifier="503", created=OLD)
    portal.add("emails", {"hs_email_direction": "INCOMING_EMAIL"}, identifier="500", created=OLD)
    portal.add("tasks", {"hs_task_status": "COMPLETED"}, identifier="500", created=OLD)
    portal.add("notes", {"hs_note_body": "<p>private</p>"}, identifier="500", created=OLD)
    portal.link("calls", call, "contacts", contact, 194)
    portal.link("calls", call, "companies", company, 182)
    found: Any = hub.pull("activity").records
    assert set(found) == {
        "call-500", "call-503", "meeting-500", "meeting-501", "meeting-502", "email-500", "task-500",
    }  # fmt: skip
    one = found["call-500"]
    assert isinstance(one, Activity)
    assert (one.contact_id, one.account_id, one.duration, one.outcome) == (
        contact,
        company,
        90.0,
        "connected",
    )
    assert one.ended_at == datetime(2026, 2, 1, 10, 1, 30, tzinfo=UTC)
    assert (found["meeting-500"].duration, found["meeting-500"].outcome) == (1800.0, "held")
    assert (found["meeting-501"].duration, found["meeting-502"].duration) == (None, None)
    assert (found["call-503"].duration, found["call-503"].outcome) == (None, "no_answer")
    assert (found["email-500"].direction, found["email-500"].outcome) == ("inbound", "replied")
    assert found["task-500"].is_completed
    assert "private" not in repr(found)
    assert not hub.server.count("/notes")


def test_bodies_and_notes_come_where_the_settings_ask(hub: Hub, portal: Portal) -> None:
    portal.add("notes", {"hs_note_body": "text"}, identifier="1", created=OLD)
    portal.add("calls", {"hs_call_body": "said"}, identifier="1", created=OLD)
    found = hub.pull("activity", bodies=True).records
    assert found["note-1"].attributes["hs_note_body"] == "text"
    assert found["call-1"].attributes["hs_call_body"] == "said"


def test_a_deleted_activity_is_deleted_and_the_same_id_of_another_kind_is_not(
    hub: Hub, portal: Portal
) -> None:
    portal.add("calls", {}, identifier="9", created=OLD)
    portal.add("meetings", {}, identifier="9", created=OLD)
    cursor = first(hub, "activity")
    portal.archive("calls", "9")
    assert hub.pull("activity", cursor).deleted == {"call-9"}


def test_activities_of_contacts_that_are_leads_are_activities_of_leads(hub: Hub, portal: Portal) -> None:
    contact = portal.add("contacts", {}, created=OLD)
    call = portal.add("calls", {}, created=OLD)
    portal.link("calls", call, "contacts", contact, 194)
    (found,) = hub.pull("activity", lead_object="contacts").records.values()
    assert isinstance(found, Activity)
    assert (found.lead_id, found.contact_id) == (contact, contact)


def test_orders_and_contacts_know_their_company(hub: Hub, portal: Portal) -> None:
    company = portal.add("companies", {}, created=OLD)
    order = portal.add("orders", {"hs_total_price": "99.90", "hs_currency_code": "EUR"}, created=OLD)
    contact = portal.add("contacts", {}, created=OLD)
    portal.link("orders", order, "companies", company, 509)
    portal.link("contacts", contact, "companies", company, 1, 279)
    one, other = hub.pull("order").records[order], hub.pull("contact").records[contact]
    assert isinstance(one, Order)
    assert isinstance(other, Contact)
    assert (one.account_id, one.amount, one.currency) == (company, Decimal("99.9"), "EUR")
    assert other.account_id == company


def owner(identifier: str, user: int, *, archived: bool = False) -> dict[str, Any]:
    return {
        "id": identifier,
        "email": f"{identifier}@example.com",
        "firstName": "Ann",
        "lastName": identifier,
        "userId": None if archived else user,
        "userIdIncludingInactive": user,
        "type": "PERSON",
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-01T00:00:00Z",
        "archived": archived,
    }


def test_owners_come_with_the_archived_ones(hub: Hub, portal: Portal) -> None:
    portal.owners += [owner(str(at), at, archived=at % 2 == 0) for at in range(1, 206)]
    found = hub.pull("rep").records
    assert len(found) == 205
    one = found["2"]
    assert isinstance(one, Rep)
    assert (one.name, one.is_active) == ("Ann 2", False)


def test_associations_paged_per_record_are_read_to_their_end(hub: Hub, portal: Portal) -> None:
    company, contact = portal.add("companies", {}, created=OLD), portal.add("contacts", {}, created=OLD)
    portal.link("contacts", contact, "companies", company, 1)

    def paged(body: dict[str, Any]) -> None:
        (result,) = body["results"]
        result["to"] = [{"toObjectId": 99_999_999, "associationTypes": [{"typeId": 279}]}]
        result["paging"] = {"next": {"after": "x"}}

    hub.server.faults.append(Fault("/associations/", edit=paged))
    record = hub.pull("contact").records[contact]
    assert isinstance(record, Contact)
    assert record.account_id == company


# Calls


def test_a_backfill_costs_what_it_must(hub: Hub, portal: Portal) -> None:
    company = portal.add("companies", {}, created=OLD)
    for identifier in many(portal, 2_500):
        portal.link("contacts", identifier, "companies", company, 1)
    hub.pull("contact")
    assert hub.server.count(LIST) == 25
    assert hub.server.count("/associations/") == 3
    assert hub.server.count("/properties/") == 1
    assert len(hub.server.calls) == 29


def test_legacy_paths_serve_until_they_end(hub: Hub, portal: Portal) -> None:
    company = portal.add("companies", {}, created=OLD)
    contact = portal.add("contacts", {}, created=OLD)
    portal.link("contacts", contact, "companies", company, 1)
    found: Any = hub.pull("contact", api="legacy").records[contact]
    assert found.account_id == company
    assert all(("/v3/" in call.path) or ("/v4/" in call.path) for call in hub.server.calls)


def test_an_error_nobody_foresaw_is_in_the_words_of_the_crm(hub: Hub, portal: Portal) -> None:
    many(portal, 1)
    hub.server.faults.append(Fault(LIST, 409, {"message": "a conflict", "category": "CONFLICT"}))
    with pytest.raises(CRMBridgeError, match="a conflict"):
        hub.pull("contact")
