"""Portals that differ from the usual one: editions, scopes, own pipelines, answers built otherwise. And each
thing HubSpot is not known to do, both ways.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crmbridge.connectors.hubspot.feed import full_read
from crmbridge.connectors.hubspot.objects import DEALS
from crmbridge.connectors.hubspot.pace import Pace
from crmbridge.errors import AuthError, CRMBridgeError, QuotaError, TransientError
from tests.vendors.hubspot.conftest import Hub, Timer
from tests.vendors.hubspot.portal import Portal, Problem, definition, pipeline, stage
from tests.vendors.hubspot.server import Fault

OLD = datetime(2026, 1, 1, tzinfo=UTC)
CONTACTS = "/crm/objects/2026-09/contacts"
LIST = f"GET {CONTACTS}"
SEARCH = f"POST {CONTACTS}/search"


def stored(cursor: Any) -> Any:
    return json.loads(json.dumps(cursor))


def many(portal: Portal, number: int) -> list[str]:
    return [portal.add("contacts", {"lastname": f"Last {at}"}, created=OLD) for at in range(number)]


# Reading everything again


@pytest.mark.parametrize("bumps", [True, False])
def test_a_new_association_alone_is_seen_within_a_day(hub: Hub, portal: Portal, bumps: bool) -> None:
    portal.switches.linking_bumps = bumps
    contact, company = portal.add("contacts", {}, created=OLD), portal.add("companies", {}, created=OLD)
    cursor = stored(hub.pull("contact").cursor)
    hub.clock.now += timedelta(hours=1)
    portal.link("contacts", contact, "companies", company, 1)
    hub.clock.now += timedelta(minutes=1)
    soon = hub.pull("contact", cursor)
    assert (contact in soon.records) == bumps
    hub.clock.now += timedelta(hours=24)
    later: Any = hub.pull("contact", stored(soon.cursor or cursor))
    assert later.records[contact].account_id == company
    assert later.complete


@pytest.mark.parametrize("bumps", [True, False])
def test_a_record_brought_back_from_the_bin_is_seen_within_a_day(
    hub: Hub, portal: Portal, bumps: bool
) -> None:
    portal.switches.restoring_bumps = bumps
    one = portal.add("contacts", {}, created=OLD)
    cursor = stored(hub.pull("contact").cursor)
    portal.archive("contacts", one)
    gone = hub.pull("contact", cursor)
    assert gone.deleted == {one}
    hub.clock.now += timedelta(hours=1)
    portal.restore("contacts", one)
    hub.clock.now += timedelta(minutes=1)
    soon = hub.pull("contact", stored(gone.cursor))
    assert (one in soon.records) == bumps
    hub.clock.now += timedelta(hours=24)
    assert one in hub.pull("contact", stored(soon.cursor or gone.cursor)).records


def test_everything_is_read_again_once_a_day_and_not_more_often(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 3)
    cursor = stored(hub.pull("contact").cursor)
    hub.clock.now += timedelta(hours=25)
    again = hub.pull("contact", cursor)
    assert set(again.records) == set(ids)
    hub.clock.now += timedelta(hours=1)
    assert not hub.pull("contact", stored(again.cursor)).records
    assert not hub.pull("contact", cursor, reconcile_hours=0).records


def test_where_reading_everything_is_too_dear_a_day_is_looked_back(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 60)
    hub.server.daily = 400
    cursor = stored(hub.pull("contact", page=10, block=10).cursor)
    hub.clock.now += timedelta(hours=1)
    # Later than the search index was looked back.
    portal.set("contacts", ids[0], {"lastname": "Late"}, at=hub.clock.now - timedelta(hours=2))
    hub.server.daily = len(hub.server.calls) + 15
    hub.clock.now += timedelta(hours=23)
    found = hub.pull("contact", cursor)
    assert set(found.records) == {ids[0]}
    assert "hubspot.reconcile_too_dear" in [event for event, _ in hub.events]


def test_a_reading_again_that_is_killed_goes_on_where_it_was(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 6)
    cursor = stored(hub.pull("contact").cursor)
    hub.clock.now += timedelta(hours=25)
    pages = []
    for page in hub.connector(page=2, block=2).pull("contact", cursor):
        pages.append(page)
        if page.records.num_rows:
            break
    rest = hub.pull("contact", stored(pages[-1].cursor))
    assert set(rest.records) == set(ids[2:])
    assert not rest.complete


# Pipelines of the portal's own


def test_stages_are_named_as_on_the_screen_and_told_apart(hub: Hub, portal: Portal) -> None:
    portal.pipelines["deals"] += [
        pipeline(
            "991", "Renewals",
            [
                stage("1001", "Closed Won", isClosed="true", probability="1.0"),
                stage("1002", "Called", isClosed="false", probability="0.5"),
            ],
        ),
        pipeline("992", "Partners", [stage("2001", "Asked"), stage("2002", "Asked")]),
    ]  # fmt: skip
    stages = {"closedwon": "Closed Won (Sales Pipeline)", "1001": "Closed Won (Renewals)", "1002": "Called"}
    stages |= {"2001": "2001", "2002": "2002", "77": "77"}
    ids = {portal.add("deals", {"dealstage": each}, created=OLD): each for each in stages}
    found: Any = hub.pull("deal").records
    assert {found[each].stage for each in ids} == set(stages.values())
    assert all(found[each].attributes["dealstage"] == ids[each] for each in ids)
    assert {found[each].is_won for each in ids if ids[each] in ("closedwon", "1001")} == {True}
    changes: Any = hub.pull("stage_change").records.values()
    assert {each.to_stage for each in changes} == set(stages.values())


def test_a_leads_status_is_its_stage_as_on_the_screen(hub: Hub, portal: Portal) -> None:
    lead = portal.add("leads", {"hs_pipeline_stage": "attempting-stage-id"}, created=OLD)
    found: Any = hub.pull("lead").records[lead]
    assert (found.status, found.attributes["hs_pipeline_stage"]) == ("Attempting", "attempting-stage-id")


@pytest.mark.parametrize("category", ["hs_pipeline_stage_category_v2", "hs_pipeline_stage_category", None])
@pytest.mark.parametrize(
    ("stage_id", "entered"),
    [
        ("qualified-stage-id", "hs_v2_date_entered_qualified_stage_id_233247981"),
        ("qualified-stage-id", "hs_v2_date_entered_qualified_stage_id"),
        ("1292804898", "hs_v2_date_entered_1292804898"),
        ("0F3A-11", "hs_date_entered_0f3a_11_77"),
    ],
)
def test_a_leads_stage_and_its_entry_are_found_whatever_the_portal_names_them(
    hub: Hub, portal: Portal, category: str | None, stage_id: str, entered: str
) -> None:
    known = portal.properties["leads"]
    known.pop("hs_pipeline_stage_category")
    known.pop("hs_v2_date_entered_qualified_stage_id")
    known[entered] = definition(entered, "datetime", read_only=True)
    values = {"hs_pipeline_stage": stage_id, entered: "2026-02-03T04:05:06Z"}
    if category is None:
        portal.pipelines["leads"] = [pipeline("1", "Own", [stage(stage_id, "Good", leadState="qualified")])]
    else:
        known[category] = definition(category, "enumeration")
        values[category] = "QUALIFIED"
    lead = portal.add("leads", values, created=OLD)
    found: Any = hub.pull("lead").records[lead]
    assert (found.is_converted, found.is_disqualified) == (True, False)
    assert found.converted_at == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    ["hs_lifecyclestage_customer_date", "hs_v2_date_entered_customer", "hs_v2_date_entered_customer_1234"],
)
def test_when_a_contact_became_a_customer_is_found_under_either_name(
    hub: Hub, portal: Portal, name: str
) -> None:
    known = portal.properties["contacts"]
    known.pop("hs_lifecyclestage_customer_date")
    known[name] = definition(name, "datetime", read_only=True)
    one = portal.add("contacts", {name: "2026-02-03T04:05:06Z"}, created=OLD)
    found: Any = hub.pull("lead", lead_object="contacts").records[one]
    assert (found.is_converted, found.converted_at) == (True, datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC))


def test_a_pipeline_without_words_for_its_stages_is_read(hub: Hub, portal: Portal) -> None:
    bare = {"id": "9", "label": "", "stages": [{"id": "91", "metadata": None}, {"id": "92"}]}
    portal.pipelines["deals"] = [bare]
    deal = portal.add("deals", {"dealstage": "91"}, created=OLD)
    found: Any = hub.pull("deal").records[deal]
    assert (found.stage, found.is_closed, found.is_won) == ("91", False, False)


def test_pipelines_that_fail_for_now_do_not_pass_for_none(hub: Hub, portal: Portal) -> None:
    deal = portal.add("deals", {"dealstage": "closedwon"}, created=OLD)
    hub.server.faults.append(Fault("/pipelines/", body={}))
    found: Any = hub.pull("deal").records[deal]
    assert found.stage == "Closed Won"


# Properties


@pytest.mark.parametrize("names", [True, False])
def test_properties_hubspot_refuses_to_show_are_left_out(hub: Hub, portal: Portal, names: bool) -> None:
    switches = portal.switches
    switches.refused_properties, switches.names_refused = frozenset({"campaign_code", "jobtitle"}), names
    ids = many(portal, 5)
    cursor = stored(hub.pull("contact").cursor)
    found: Any = hub.pull("contact", page=2, block=2).records
    assert set(found) == set(ids)
    assert found[ids[0]].last_name == "Last 0"
    assert "campaign_code" not in found[ids[0]].attributes
    ((_, told),) = [each for each in hub.events if each[0] == "hubspot.properties_refused"][:1]
    assert told["properties"] == ["campaign_code", "jobtitle"]
    portal.set("contacts", ids[0], {"lastname": "Changed"})
    changed: Any = hub.pull("contact", cursor).records[ids[0]]
    assert changed.last_name == "Changed"


def test_sensitive_properties_are_not_asked_for(hub: Hub, portal: Portal) -> None:
    secret = definition("health", dataSensitivity="highly_sensitive")
    portal.properties["contacts"]["health"] = secret
    portal.switches.refused_properties = frozenset({"health"})
    ids = many(portal, 2)
    assert set(hub.pull("contact").records) == set(ids)
    assert not any("health" in str(call.query) for call in hub.server.calls)


def test_hidden_calculated_and_read_only_properties_are_read(hub: Hub, portal: Portal) -> None:
    portal.properties["contacts"]["tier"] = definition("tier", hidden=True, calculated=True, read_only=True)
    one = portal.add("contacts", {"tier": "gold"}, created=OLD)
    assert hub.pull("contact").records[one].attributes["tier"] == "gold"


def test_a_list_of_properties_that_fails_for_now_does_not_pass_for_none(hub: Hub, portal: Portal) -> None:
    one = portal.add("contacts", {"campaign_code": "A"}, created=OLD)
    hub.server.faults.append(Fault("/properties/", body={"status": "ok"}))
    assert hub.pull("contact").records[one].attributes["campaign_code"] == "A"


@pytest.mark.parametrize("in_ms", [True, False])
def test_durations_whose_unit_nobody_knows_are_no_inputs(hub: Hub, portal: Portal, in_ms: bool) -> None:
    portal.switches.durations_in_ms = in_ms
    name = "hs_v2_latest_time_in_contractsent"
    portal.properties["deals"][name] = definition(name, "number", read_only=True)
    deal = portal.add("deals", {"dealstage": "contractsent"}, created=OLD)
    found = hub.pull("deal").records[deal]
    assert name not in found.attributes
    assert not any(name in str(call.query) for call in hub.server.calls)


# Editions and scopes


@pytest.mark.parametrize("keys", [True, False])
def test_a_portal_without_service_keys_says_so_and_an_app_works(hub: Hub, portal: Portal, keys: bool) -> None:
    portal.switches.service_keys = keys
    if keys:
        assert hub.connector().org().id == "4242"
    else:
        with pytest.raises(AuthError, match="service key"):
            hub.connector().org()
    secrets = {"client_secret": "secret", "refresh_token": "refresh-1"}
    app = hub.connector(auth="oauth", client_id="client", secrets=secrets)
    assert app.org().id == "4242"


def test_without_the_scope_for_owners_the_rest_is_read(hub: Hub, portal: Portal) -> None:
    portal.add("deals", {"dealstage": "contractsent"}, created=OLD)
    refusal = Fault("/owners/", 403, Problem(403, "MISSING_SCOPES", "no").body, times=99)
    hub.server.faults.append(refusal)
    assert hub.pull("rep").pages == []
    assert len(hub.pull("stage_change").records) == 1
    with pytest.raises(AuthError, match=r"crm\.objects\.owners\.read"):
        hub.pull("rep", {"of": "owners"})


def test_an_owner_that_cannot_be_read_is_set_aside(hub: Hub, portal: Portal) -> None:
    portal.owners += [
        {"id": "1", "archived": False, "createdAt": "once", "email": None},
        {"id": 2, "archived": False, "email": "", "firstName": None},
    ]
    found = hub.pull("rep")
    assert set(found.records) == {"2"}
    assert [row.id for row in found.set_aside] == ["1"]


def test_associations_refused_in_the_middle_do_not_pass_for_none(hub: Hub, portal: Portal) -> None:
    many(portal, 4)
    hub.server.faults.append(
        Fault("/associations/", 400, {"category": "VALIDATION_ERROR", "message": "odd"}, skips=1, times=99)
    )
    with pytest.raises(CRMBridgeError, match="odd"):
        hub.pull("contact", page=2, block=2)


def test_associations_with_what_the_portal_lacks_are_none_and_asked_for_once(
    hub: Hub, portal: Portal
) -> None:
    portal.switches.leads = False
    for _ in range(4):
        portal.add("calls", {}, created=OLD)
    assert len(hub.pull("activity", page=1, block=1, lead_object="leads").records) == 4
    assert hub.server.count("/calls/leads/") == 1


def test_check_says_beforehand_what_a_run_costs(hub: Hub, portal: Portal) -> None:
    many(portal, 250)
    for _ in range(60):
        portal.add("deals", {}, created=OLD)
    portal.add("leads", {}, created=OLD)
    (item,) = [each for each in hub.connector().check() if each.name == "API limit"]
    # 3 pages and 1 of associations of contacts, 2 and 2 of deals, 1 and 3 of leads.
    assert (item.state, "all 311 records takes about 12 calls" in item.detail) == ("ok", True)


@pytest.mark.parametrize(("daily", "state"), [(100, "failed"), (400, "warning")])
def test_check_warns_where_the_days_calls_do_not_suffice(
    hub: Hub, portal: Portal, daily: int, state: str
) -> None:
    many(portal, 6_500)
    hub.server.daily = daily  # a quarter is ours
    (item,) = [each for each in hub.connector().check() if each.name == "API limit"]
    assert (item.state, "api_budget" in (item.remedy or "")) == (state, True)


def test_a_forecast_is_what_a_reading_costs(hub: Hub, portal: Portal) -> None:
    for place in range(120):
        portal.add("deals", {"dealname": str(place)}, created=OLD)
    calls = full_read(DEALS, 120, ["dealname"])
    hub.pull("deal")
    made = hub.server.count("/objects/") + hub.server.count("/associations/")
    assert made == calls == 5


def test_check_names_the_properties_the_key_may_not_see(hub: Hub, portal: Portal) -> None:
    portal.switches.refused_properties = frozenset({"jobtitle"})
    (item,) = [each for each in hub.connector().check() if each.name == "contacts"]
    assert "does not show the key jobtitle" in item.detail


def test_check_says_that_leads_nobody_made_are_taken_for_leads(hub: Hub, portal: Portal) -> None:
    (item,) = [each for each in hub.connector(lead_object="auto").check() if each.name == "leads"][:1]
    assert (item.state, "contacts" in (item.remedy or "")) == ("warning", True)


def test_what_was_used_of_the_day_is_said_at_the_end(hub: Hub, portal: Portal) -> None:
    connector = hub.connector()
    list(connector.pull("contact", None))
    connector.close()
    connector.close()
    told = [values for event, values in hub.events if event == "hubspot.calls"]
    assert [each["made"] for each in told] == [len(hub.server.calls)]
    assert told[0]["left"] > 100_000


# Answers built otherwise


def test_associations_left_out_without_a_word_are_asked_for_twice_and_then_believed(
    hub: Hub, portal: Portal
) -> None:
    ids = many(portal, 40)

    def silent(body: dict[str, Any]) -> None:
        body.pop("errors", None)
        body.pop("numErrors", None)

    hub.server.faults.append(Fault("/associations/", edit=silent, times=999))
    assert set(hub.pull("contact", page=10, block=10).records) == set(ids)
    assert hub.server.count("/associations/") == 4 + 1


def test_associations_left_out_once_are_not_lost(hub: Hub, portal: Portal) -> None:
    (contact,) = many(portal, 1)
    company = portal.add("companies", {}, created=OLD)
    portal.link("contacts", contact, "companies", company, 1)
    hub.server.faults.append(Fault("/associations/", edit=lambda body: body.update(results=[])))
    found: Any = hub.pull("contact").records[contact]
    assert found.account_id == company


def test_records_left_out_beside_others_twice_are_gone(hub: Hub, portal: Portal) -> None:
    ids = [portal.add("companies", {}, created=OLD) for _ in range(3)]
    writer = hub.writer()
    portal.archive("companies", ids[1])

    def silent(body: dict[str, Any]) -> None:
        body.pop("errors", None)
        body.pop("numErrors", None)

    hub.server.faults.append(Fault("batch/read", edit=silent, times=99))
    hub.server.calls.clear()
    assert set(writer.read("account", ids)) == {ids[0], ids[2]}
    assert hub.server.count("batch/read") == 2


@pytest.mark.slow
def test_a_search_that_ends_at_its_cap_without_a_word_is_gone_on_with(hub: Hub, portal: Portal) -> None:
    many(portal, 1)
    cursor = stored(hub.pull("contact").cursor)
    portal.switches.last_search_page_ends = True
    start = hub.clock.now
    ids = {
        portal.add("contacts", created=OLD, updated=start + timedelta(milliseconds=at // 3))
        for at in range(10_050)
    }
    hub.clock.now += timedelta(hours=1)
    assert ids <= set(hub.pull("contact", cursor).records)


def test_stamps_that_cannot_be_read_do_no_harm(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 3)
    cursor = stored(hub.pull("contact").cursor)
    portal.set("contacts", ids[0], {"lastname": "Changed"})
    portal.archive("contacts", ids[1])

    def odd(body: dict[str, Any]) -> None:
        body["results"][0]["properties"]["lastmodifieddate"] = "soon"
        body["results"][0]["updatedAt"] = "later"

    hub.server.faults.append(Fault(SEARCH, edit=odd))
    hub.server.faults.append(Fault(LIST, edit=lambda body: body["results"][0].update(archivedAt="once")))
    found = hub.pull("contact", cursor)
    assert (set(found.records), found.deleted) == ({ids[0]}, {ids[1]})


def test_a_record_without_an_id_is_no_answer(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 2)
    hub.server.faults.append(Fault(LIST, edit=lambda body: body["results"][0].pop("id")))
    assert set(hub.pull("contact").records) == set(ids)


def test_ids_and_values_may_come_as_numbers(hub: Hub, portal: Portal) -> None:
    (one,) = many(portal, 1)

    def numbers(body: dict[str, Any]) -> None:
        body["results"][0]["id"] = int(one)
        body["results"][0]["properties"] |= {"headcount": 7, "campaign_code": True}

    hub.server.faults.append(Fault(LIST, edit=numbers))
    found = hub.pull("contact").records[one]
    assert (found.attributes["headcount"], found.attributes["campaign_code"]) == ("7", "true")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"message": "You have reached your daily limit.", "errorType": "RATE_LIMIT"}, QuotaError),
        ({"policyName": "DAILY"}, QuotaError),
        ({"message": "You have reached your ten_secondly_rolling limit."}, None),
        ({"message": "You have reached your secondly limit."}, None),
        ({"policyName": "SECONDLY"}, None),
        (None, None),
    ],
)
def test_a_limit_is_known_by_its_policy_or_its_words(
    hub: Hub, portal: Portal, body: dict[str, Any] | None, error: type[Exception] | None
) -> None:
    ids = many(portal, 2)
    raw = None if body is not None else b"<html>slow down</html>"
    hub.server.faults.append(Fault(LIST, 429, body, raw=raw))
    if error is not None:
        with pytest.raises(error):
            hub.pull("contact")
    else:
        assert set(hub.pull("contact").records) == set(ids)


def test_a_limit_without_its_interval_is_one_of_ten_seconds(timer: Timer) -> None:
    pace = Pace(now=timer.now, sleep=timer.sleep)
    pace.learn({"X-HubSpot-RateLimit-Max": "190"})
    for _ in range(380):
        pace.take(search=False)
    assert timer.at < 25


def test_a_portal_that_says_nothing_of_its_limits_is_read_at_the_slowest_editions_pace(
    hub: Hub, portal: Portal, timer: Timer
) -> None:
    portal.switches.limit_headers = False
    ids = many(portal, 250)
    assert set(hub.pull("contact", page=1).records) == set(ids)
    assert 20 <= timer.at <= 26


def test_a_whole_batch_refused_in_words_alone_costs_no_call_for_each_record(hub: Hub, portal: Portal) -> None:
    from crmbridge.writeback.base import Change

    ids = [portal.add("companies", {}, created=OLD) for _ in range(64)]
    writer = hub.writer()
    hub.server.calls.clear()
    message = 'Property values were not valid: [{"error":"PROPERTY_DOESNT_EXIST","name":"crmbridge_score"}]'
    hub.server.faults.append(Fault("batch/update", 400, {"status": "error", "message": message}, times=999))
    outcomes = writer.write("account", [Change("account", each, {"score": 1.0}) for each in ids])
    assert {each.state for each in outcomes} == {"rejected"}
    assert {each.code for each in outcomes} == {"PROPERTY_DOESNT_EXIST"}
    assert hub.server.count("batch/update") == 1


def test_properties_silently_not_made_are_no_success(hub: Hub, portal: Portal) -> None:
    from crmbridge.writeback.hubspot import HubSpotWriter

    hub.server.faults.append(Fault("companies/batch/create", 201, {"status": "COMPLETE", "results": []}))
    found = [
        step
        for step in HubSpotWriter(hub.context()).install(dry_run=False)
        if step.what.startswith("companies.")
    ]
    assert found
    assert {step.state for step in found} == {"conflict"}


def test_errors_in_html_are_told_by_their_status(hub: Hub, portal: Portal) -> None:
    hub.server.faults.append(Fault(LIST, 500, raw=b"<html>oops</html>", times=99))
    with pytest.raises(TransientError, match="500"):
        hub.pull("contact")
