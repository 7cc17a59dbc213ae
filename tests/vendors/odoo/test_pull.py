"""What is read from Odoo, and what is not: version by version, right by right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crmbridge.errors import AuthError, SettingsError, TransientError
from crmbridge.metrics.need.arena import is_rival
from crmbridge.model import Activity, Deal, Lead, StageChange, attribute_column
from crmbridge.testing import Pulled, pulled
from crmbridge_odoo.activities import kind_of
from crmbridge_odoo.fields import MADE_OF_RIVALS
from crmbridge_odoo.ids import missing, pack, unpack
from tests.vendors.odoo.database import ALL_LEADS, REP, SYSTEM
from tests.vendors.odoo.subject import OdooSubject


@pytest.fixture(params=[pytest.param(11, marks=pytest.mark.slow), 18])
def odoo(request: pytest.FixtureRequest) -> OdooSubject:
    return OdooSubject(request.param)


def pull(odoo: OdooSubject, object_name: Any, cursor: Any = None, **more: Any) -> Pulled:
    return pulled(odoo.connector(**more).pull(object_name, cursor))


def deal(odoo: OdooSubject, **values: Any) -> str:
    values = {"name": "A deal", "type": "opportunity", "stage_id": odoo.database.stage("New"), **values}
    return str(odoo.database.put("crm.lead", **values))


def revenue(odoo: OdooSubject) -> str:
    return "expected_revenue" if odoo.database.version >= 13 else "planned_revenue"


def test_a_deal_has_its_amount_currency_stage_and_companies_under_each_versions_names(odoo):
    company = odoo.database.put("res.partner", name="Bright", is_company=True)
    person = odoo.database.put("res.partner", name="Ann", is_company=False, parent_id=company)
    identifier = deal(odoo, partner_id=person, user_id=REP, **{revenue(odoo): 1250.5})
    found = pull(odoo, "deal").records[identifier]
    assert isinstance(found, Deal)
    assert (str(found.amount), found.currency, found.stage) == ("1250.5", "USD", "New")
    assert (found.account_id, found.contact_id, found.owner_id) == (str(company), str(person), str(REP))
    assert (found.is_closed, found.is_won, found.closed_at) == (False, False, None)


def test_an_amount_nobody_entered_is_none(odoo):
    identifier = deal(odoo)
    assert pull(odoo, "deal").records[identifier].amount is None


def test_won_is_what_its_stage_says_and_archived_is_lost(odoo):
    closed = datetime(2026, 3, 1, 8, tzinfo=UTC)
    won = deal(odoo, stage_id=odoo.database.stage("Won"), date_closed=closed)
    lost = deal(odoo, active=False, date_closed=closed)
    archived_after = deal(odoo, stage_id=odoo.database.stage("Won"), active=False)
    records = pull(odoo, "deal").records
    assert [(records[each].is_closed, records[each].is_won) for each in (won, lost, archived_after)] == [
        (True, True),
        (True, False),
        (True, True),
    ]
    assert records[won].closed_at == records[lost].closed_at == closed


def test_a_lead_that_became_an_opportunity_stays_a_converted_lead(odoo):
    at = datetime(2026, 3, 1, 8, tzinfo=UTC)
    company = odoo.database.put("res.partner", name="Bright", is_company=True)
    identifier = deal(odoo, date_conversion=at, partner_id=company)
    plain = deal(odoo)
    leads = pull(odoo, "lead").records
    assert set(leads) == {identifier}
    lead = leads[identifier]
    assert isinstance(lead, Lead)
    assert (lead.is_converted, lead.converted_at, lead.closed_at) == (True, at, at)
    assert (lead.converted_deal_id, lead.converted_account_id) == (identifier, str(company))
    deals = pull(odoo, "deal").records
    assert (deals[identifier].lead_id, deals[identifier].created_at) == (identifier, at)
    assert deals[plain].lead_id is None


def test_an_archived_lead_is_disqualified(odoo):
    identifier = str(odoo.database.put("crm.lead", name="L", type="lead", active=False))
    lead = pull(odoo, "lead").records[identifier]
    assert (lead.is_converted, lead.is_disqualified) == (False, True)


def test_odoos_own_score_is_read_as_a_rival_and_what_it_makes_of_it_not_at_all(odoo):
    more = {"prorated_revenue": 900.0, "automated_probability": 70.5} if odoo.database.version >= 18 else {}
    identifier = deal(odoo, probability=72.5, **more)
    found = pull(odoo, "deal").records[identifier].attributes
    assert found["probability"] == 72.5
    rivals = {"probability", "automated_probability"} & found.keys()
    assert len(rivals) == (2 if more else 1)
    for name in rivals:
        assert is_rival(attribute_column(name), ()), f"{name} would be an input"
    assert found.keys() & MADE_OF_RIVALS == set()
    assert 900.0 not in found.values()


def test_every_other_stored_field_is_an_attribute_and_secrets_are_not(odoo):
    tag = odoo.database.put("crm.tag" if odoo.database.version >= 18 else "crm.lead.tag", name="Design")
    odoo.database.manual("crm.lead", "x_budget", "float")
    identifier = deal(odoo, x_budget=12.5, city="Bonn", priority="2", tag_ids=[tag], medium_id=None)
    found = pull(odoo, "deal").records[identifier].attributes
    assert (found["x_budget"], found["city"], found["priority"]) == (12.5, "Bonn", "2")
    assert found["medium_id"] is None
    company = str(odoo.database.put("res.partner", name="B", is_company=True, comment="good"))
    account = pull(odoo, "account").records[company].attributes
    assert account["comment"] == "good"
    assert [name for name in account if "token" in name or "signup" in name or "password" in name] == []


def test_two_writes_in_one_second_are_both_seen(odoo):
    identifier = deal(odoo, city="Bonn")
    first = pull(odoo, "deal")
    row = odoo.database.rows["crm.lead"][int(identifier)]
    row["city"], row["write_date"] = "Ulm", row["write_date"] + timedelta(microseconds=1)
    second = pull(odoo, "deal", first.cursor)
    assert second.records[identifier].attributes["city"] == "Ulm"
    assert pull(odoo, "deal", second.cursor).records == {}


def test_what_a_long_transaction_wrote_before_the_last_pull_is_seen(odoo):
    first_id = deal(odoo)
    first = pull(odoo, "deal")
    late = deal(odoo)
    odoo.database.rows["crm.lead"][int(late)]["write_date"] -= timedelta(minutes=5)
    found = pull(odoo, "deal", first.cursor).records
    assert set(found) == {late}
    assert first_id not in found


def test_what_is_made_and_deleted_while_a_pull_runs_is_no_ghost(odoo):
    for _ in range(5):
        deal(odoo)
    pages = odoo.connector(page_size=2).pull("deal", None)
    first = next(pages)
    extra = deal(odoo)
    second = next(pages)  # the third is read by now, with what came up meanwhile
    odoo.delete("deal", extra)
    found = pulled([first, second, *pages])
    assert extra in found.deleted
    assert set(found.records) == set(map(str, odoo.database.rows["crm.lead"]))


def test_a_meeting_that_has_ended_since_is_held_without_anybody_writing_to_it(odoo):
    identifier = deal(odoo)
    stop = odoo.clock.now + timedelta(hours=1)
    event = odoo.database.put(
        "calendar.event",
        name="Demo",
        start=stop - timedelta(minutes=30),
        stop=stop,
        user_id=REP,
        opportunity_id=int(identifier),
    )
    first = pull(odoo, "activity")
    meeting = first.records[f"calendar.event,{event}"]
    assert isinstance(meeting, Activity)
    assert (meeting.kind, meeting.outcome, meeting.is_completed) == ("meeting", None, False)
    assert (meeting.duration, meeting.deal_id, meeting.owner_id) == (1800.0, identifier, str(REP))
    odoo.clock.now = stop + timedelta(minutes=1)
    again = pull(odoo, "activity", first.cursor).records[f"calendar.event,{event}"]
    assert (again.outcome, again.is_completed) == ("held", True)


def test_messages_are_mails_notes_and_activities_done(odoo):
    database = odoo.database
    identifier = deal(odoo)
    customer = database.put("res.partner", name="Customer", is_company=False)
    ours = database.rows["res.users"][REP]["partner_id"]
    call = database.put("mail.activity.type", name="Anruf", icon="fa-phone", category=False)
    note = next(row["id"] for row in database.rows["mail.message.subtype"].values() if row["internal"])
    talk = next(row["id"] for row in database.rows["mail.message.subtype"].values() if not row["internal"])
    common = {"model": "crm.lead", "res_id": int(identifier), "date": datetime(2026, 3, 1, 8, tzinfo=UTC)}
    message = "mail.message"
    made = {
        "in": database.put(message, message_type="email", author_id=customer, **common),
        "out": database.put(message, message_type="comment", author_id=ours, subtype_id=talk, **common),
        "note": database.put(message, message_type="comment", author_id=ours, subtype_id=note, **common),
        "done": database.put(
            message, message_type="notification", author_id=ours, mail_activity_type_id=call, **common
        ),
        "log": database.put(message, message_type="notification", author_id=ours, **common),
    }
    planned = database.put(
        "mail.activity", res_model="crm.lead", res_id=int(identifier), activity_type_id=call, user_id=REP
    )
    found = pull(odoo, "activity").records
    told = {name: found.get(f"mail.message,{each}") for name, each in made.items()}
    assert (told["in"].kind, told["in"].direction, told["in"].outcome) == ("email", "inbound", "replied")
    assert (told["out"].kind, told["out"].direction, told["out"].outcome) == ("email", "outbound", "sent")
    assert told["out"].owner_id == str(REP)
    assert told["note"].kind == "note"
    assert (told["done"].kind, told["done"].is_completed, told["done"].deal_id) == ("call", True, identifier)
    assert told["log"] is None
    plan = found[f"mail.activity,{planned}"]
    assert (plan.kind, plan.is_completed) == ("call", False)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"name": "Call", "icon": "fa-phone"}, "call"),
        ({"name": "Anruf", "category": "phonecall", "icon": False}, "call"),
        ({"name": "Email", "icon": "fa-envelope"}, "email"),
        ({"name": "Meeting", "category": "meeting"}, "meeting"),
        ({"name": "To Do", "icon": "fa-tasks"}, "task"),
        ({"name": "Besuch", "icon": False}, "meeting"),
    ],
)
def test_what_a_type_of_activity_is(row, kind):
    assert kind_of(row, {"Besuch": "meeting"}) == kind


def track(odoo: OdooSubject, identifier: str, before: str, after: str, at: datetime) -> int:
    database = odoo.database
    author = database.rows["res.users"][REP]["partner_id"]
    message = database.put(
        "mail.message",
        model="crm.lead",
        res_id=int(identifier),
        date=at,
        author_id=author,
        message_type="notification",
    )
    values: dict[str, Any] = {"mail_message_id": message, "old_value_char": before, "new_value_char": after}
    if database.version >= 18:
        lead = database.put("ir.model.fields", name="stage_id", model="crm.lead", ttype="many2one")
        other = database.put("ir.model.fields", name="user_id", model="crm.lead", ttype="many2one")
        database.put("mail.tracking.value", **values, field_id=other)
        return database.put("mail.tracking.value", **values, field_id=lead)
    database.put("mail.tracking.value", **values, field="user_id")
    return database.put("mail.tracking.value", **values, field="stage_id")


def test_stage_history_is_what_was_tracked(odoo):
    identifier = deal(odoo)
    at = datetime(2026, 3, 1, 8, tzinfo=UTC)
    value = track(odoo, identifier, "New", "Proposition", at)
    found = pull(odoo, "stage_change").records
    assert set(found) == {str(value)}
    change = found[str(value)]
    assert isinstance(change, StageChange)
    assert (change.deal_id, change.from_stage, change.to_stage) == (identifier, "New", "Proposition")
    assert (change.at, change.rep_id) == (at, str(REP))


def test_where_stage_history_is_hidden_the_entries_into_stages_add_up(odoo):
    odoo.database.groups[REP] = {ALL_LEADS}
    at = datetime(2026, 3, 1, 8, tzinfo=UTC)
    identifier = deal(odoo, date_last_stage_update=at)
    first = pull(odoo, "stage_change", login="demo")
    (entered,) = first.records.values()
    assert (entered.deal_id, entered.to_stage, entered.at) == (identifier, "New", at)
    later = at + timedelta(days=9)
    stage = odoo.database.stage("Proposition")
    odoo.database.put("crm.lead", identifier=int(identifier), stage_id=stage, date_last_stage_update=later)
    second = pull(odoo, "stage_change", first.cursor, login="demo")
    (moved,) = second.records.values()
    assert (moved.to_stage, moved.at) == ("Proposition", later)
    assert moved.id != entered.id
    assert not second.deleted
    assert not second.complete


def test_losing_the_right_to_the_history_is_told_and_not_papered_over(odoo):
    identifier = deal(odoo)
    track(odoo, identifier, "New", "Proposition", datetime(2026, 3, 1, 8, tzinfo=UTC))
    first = pull(odoo, "stage_change")
    odoo.database.groups[1] = {ALL_LEADS}
    with pytest.raises(AuthError, match="stage history"):
        pull(odoo, "stage_change", first.cursor)


def test_orders_are_confirmed_ones_with_their_opportunity(odoo):
    company = odoo.database.put("res.partner", name="Bright", is_company=True)
    identifier = deal(odoo, partner_id=company)
    at = datetime(2026, 4, 1, 9, tzinfo=UTC)
    usd = next(iter(odoo.database.rows["res.currency"]))
    common = {"partner_id": company, "amount_total": 99.9, "currency_id": usd, "user_id": REP}
    when = {"date_order": at} if odoo.database.version >= 18 else {"date_order": at, "confirmation_date": at}
    done = odoo.database.put("sale.order", state="sale", opportunity_id=int(identifier), **common, **when)
    odoo.database.put("sale.order", state="draft", **common, date_order=at)
    found = pull(odoo, "order").records
    assert set(found) == {str(done)}
    order = found[str(done)]
    assert (order.account_id, order.deal_id, str(order.amount), order.currency, order.ordered_at) == (
        str(company),
        identifier,
        "99.9",
        "USD",
        at,
    )


def test_reps_are_the_organisations_own_users_the_inactive_ones_too(odoo):
    partner = odoo.database.put("res.partner", name="Gone", is_company=False)
    gone = odoo.database.put(
        "res.users",
        identifier=9,
        login="gone@acme.example",
        name="Gone",
        share=False,
        active=False,
        partner_id=partner,
    )
    odoo.database.put("res.users", identifier=10, login="portal", name="P", share=True, partner_id=partner)
    found = pull(odoo, "rep")
    assert set(found.records) == {"1", str(REP), str(gone)}
    assert found.records["9"].is_active is False
    assert found.complete


def test_without_odoos_sales_there_are_no_orders(odoo):
    del odoo.database.fields["sale.order"]
    assert "order" not in odoo.connector().objects()


def test_a_model_the_user_may_not_read_is_left_out_and_a_right_lost_is_told(odoo, monkeypatch):
    deal(odoo)
    monkeypatch.setattr("tests.vendors.odoo.database.ADMIN_READS", {"sale.order", "mail.tracking.value"})
    odoo.database.groups[REP] = {ALL_LEADS}
    assert pull(odoo, "order", login="demo").pages == []
    cursor = {"sale.order": {"next": "2026-01-01 00:00:00", "ids": pack([1]), "recent": {}}}
    with pytest.raises(AuthError, match=r"sale\.order"):
        pull(odoo, "order", cursor, login="demo")


def test_a_rep_reads_what_the_record_rules_show_and_check_lists_what_is_missing(odoo):
    mine, theirs = deal(odoo, user_id=REP), deal(odoo, user_id=1)
    found = pull(odoo, "deal", login="demo").records
    assert mine in found
    assert theirs not in found
    items = {item.name: item for item in odoo.connector(login="demo").check()}
    assert items["all records"].state == "failed"
    assert "All Documents" in str(items["all records"].remedy)
    assert items["stage history"].state == "warning"
    assert "Settings" in items["stage history"].detail
    assert {item.state for item in odoo.connector().check()} == {"ok"}


def test_a_wrong_key_login_database_or_address_is_told_with_its_remedy(odoo):
    odoo.database.faults.append("denied")
    with pytest.raises(AuthError) as told:
        odoo.connector().org()
    assert "crmbridge secret set" in str(told.value.remedy)
    odoo.database.faults.clear()
    odoo.database.name = "another"
    with pytest.raises(SettingsError, match="no database"):
        odoo.connector().org()
    (item,) = odoo.connector().check()
    assert (item.name, item.state) == ("sign-in", "failed")


def test_a_key_that_ends_in_the_middle_of_a_pull_is_an_auth_error(odoo):
    for _ in range(5):
        deal(odoo)
    pages = odoo.connector(page_size=2).pull("deal", None)
    next(pages)
    odoo.database.faults.append("denied")
    with pytest.raises(AuthError):
        list(pages)


def test_a_gateways_html_is_tried_again_and_then_told(odoo):
    identifier = deal(odoo)
    odoo.database.faults += ["bad gateway"] * 2
    assert set(pull(odoo, "deal").records) == {identifier}
    odoo.database.faults += ["bad gateway"] * 50
    with pytest.raises(TransientError):
        pull(odoo, "deal")


def test_every_call_sees_archived_records_and_all_companies_of_the_user(odoo):
    seen = []
    execute = odoo.database.execute
    odoo.database.execute = lambda uid, model, method, positional, named: (  # type: ignore[method-assign]
        seen.append((method, dict(named.get("context") or {}))),
        execute(uid, model, method, positional, named),
    )[1]
    pull(odoo, "deal")
    contexts = [context for method, context in seen if method in ("search", "search_read") and context]
    assert contexts
    for context in contexts:
        assert context["active_test"] is False
        assert context["allowed_company_ids"] == odoo.database.rows["res.users"][1]["company_ids"]


def test_a_mapping_to_a_field_that_is_not_there_is_told(odoo):
    odoo.database.drop("crm.lead", "x_employees")
    with pytest.raises(SettingsError, match="x_employees"):
        pull(odoo, "lead")


def test_sets_of_ids_are_packed_small_and_come_back():
    ids = list(range(1, 100_001, 2))
    packed = pack(ids)
    assert len(packed) < 2_000
    assert unpack(packed).tolist() == ids
    assert missing(unpack(packed), ids[1:-1]) == [ids[0], ids[-1]]
    assert unpack(pack([])).tolist() == []
    with pytest.raises(ValueError):
        unpack("nonsense")


def test_admins_groups_are_not_needed_to_read():
    odoo = OdooSubject(18)
    odoo.database.groups[REP] = {ALL_LEADS}
    deal(odoo)
    states = {item.name: item.state for item in odoo.connector(login="demo").check()}
    assert "failed" not in states.values()
    assert SYSTEM not in odoo.database.groups[REP]
