"""What goes wrong on the wire, between two writers and in single values; the README lists every fault."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest

from crmbridge.connectors.hubspot import HubSpotConnector, client
from crmbridge.testing import pulled
from crmbridge.writeback.base import Change, Outcome
from tests.vendors.hubspot.conftest import Hub, Timer
from tests.vendors.hubspot.portal import Portal, definition
from tests.vendors.hubspot.server import Fault

OLD = datetime(2026, 1, 1, tzinfo=UTC)
CONTACTS = "/crm/objects/2026-09/contacts"
LIST, SEARCH = f"GET {CONTACTS}", f"POST {CONTACTS}/search"
UPDATE = "POST /crm/objects/2026-09/companies/batch/update"
Manner = Literal["stalls", "resets", "pieces", "closes"]


def many(portal: Portal, number: int, kind: str = "contacts") -> list[str]:
    return [portal.add(kind, {"lastname": f"Last {at}"}, created=OLD) for at in range(number)]


def stored(cursor: Any) -> Any:
    return json.loads(json.dumps(cursor))


def scored(ids: list[str], score: float = 61.25, grade: str = "B") -> list[Change]:
    return [Change("account", each, {"score": score, "grade": grade}) for each in ids]


def by_id(outcomes: Any) -> dict[str, Outcome]:
    return {each.id: each for each in outcomes}


# The wire


@pytest.mark.parametrize("manner", ["stalls", "resets", "pieces", "closes"])
def test_however_an_answer_breaks_off_or_trickles_in_nothing_is_lost(
    hub: Hub, portal: Portal, monkeypatch: pytest.MonkeyPatch, manner: Manner
) -> None:
    monkeypatch.setattr(client, "TIMEOUTS", (1.0, 0.2))
    ids = many(portal, 30)
    hub.server.faults.append(Fault(LIST, manner=manner, times=2))
    assert set(hub.pull("contact", page=10).records) == set(ids)
    assert not hub.server.faults


@pytest.mark.parametrize("manner", ["stalls", "resets"])
def test_a_write_whose_answer_breaks_off_is_not_sent_again(
    hub: Hub, portal: Portal, monkeypatch: pytest.MonkeyPatch, manner: Manner
) -> None:
    monkeypatch.setattr(client, "TIMEOUTS", (1.0, 0.2))
    ids = many(portal, 3, "companies")
    writer = hub.writer()
    hub.server.faults.append(Fault(UPDATE, manner=manner))
    assert {each.state for each in writer.write("account", scored(ids))} == {"unknown"}
    assert hub.server.count(UPDATE) == 1


def test_a_connection_closed_while_idle_costs_no_second_write(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 3, "companies")
    writer = hub.writer()
    hub.server.faults.append(Fault("batch/read", manner="closes"))
    assert set(writer.read("account", ids)) == set(ids)
    # Whether the close is noticed before the write leaves is a race; that it never leaves twice is not.
    assert {each.state for each in writer.write("account", scored(ids))} <= {"sent", "unknown"}
    assert hub.server.count(UPDATE) <= 1


def test_an_answer_without_a_body_is_none(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 3)
    hub.server.faults.append(Fault(LIST, 204))
    assert set(hub.pull("contact").records) == set(ids)


def test_json_by_another_name_is_json(hub: Hub, portal: Portal) -> None:
    body = {"results": [{"id": "7", "properties": {"lastname": "Plain"}}]}
    hub.server.faults.append(
        Fault(LIST, raw=json.dumps(body).encode(), headers={"Content-Type": "text/plain"})
    )
    assert set(hub.pull("contact").records) == {"7"}


# Limits


def test_searches_keep_to_their_own_limit_and_are_never_refused(
    hub: Hub, portal: Portal, timer: Timer
) -> None:
    cursor = stored(hub.pull("contact").cursor)
    many_ids = {portal.add("contacts", {}, created=OLD, updated=hub.clock.now) for _ in range(5_000)}
    hub.server.search_limit, hub.server.now = 5, timer.now
    assert set(hub.pull("contact", cursor).records) == many_ids
    assert (hub.server.count(SEARCH), hub.server.refused) == (25, 0)


@pytest.mark.parametrize("retry_after", [True, False])
def test_a_search_another_app_left_no_room_for_waits(
    hub: Hub, portal: Portal, timer: Timer, retry_after: bool
) -> None:
    cursor = stored(hub.pull("contact").cursor)
    ids = {portal.add("contacts", {}, updated=hub.clock.now) for _ in range(3)}
    headers = {"Retry-After": "1"} if retry_after else {}
    body = {"policyName": "SECONDLY", "errorType": "RATE_LIMIT"}
    hub.server.faults.append(Fault(SEARCH, 429, body, headers=headers, times=3))
    before = timer.at
    assert set(hub.pull("contact", cursor).records) == ids
    assert timer.at - before >= 3


@pytest.mark.parametrize("retry_after", [True, False])
def test_a_burst_of_another_app_is_waited_out(
    hub: Hub, portal: Portal, timer: Timer, retry_after: bool
) -> None:
    portal.switches.retry_after = retry_after
    ids = many(portal, 30)
    hub.server.limit, hub.server.now = 100, timer.now
    hub.server._window.extend([timer.at] * 100)
    assert set(hub.pull("contact", page=10).records) == set(ids)
    assert hub.server.refused == 1
    assert timer.at >= 10


# Pages and clocks


def test_a_short_page_that_has_a_next_one_is_not_the_end(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 7)

    def short(body: dict[str, Any]) -> None:
        body["paging"]["next"]["after"] = body["results"].pop()["id"]

    hub.server.faults.append(Fault(LIST, edit=short))
    assert set(hub.pull("contact", page=3).records) == set(ids)


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_is_wrong_loses_no_change(hub: Hub, portal: Portal, hours: int) -> None:
    portal.clock = lambda: hub.clock.now - timedelta(hours=hours)
    ids = many(portal, 3)
    cursor = stored(hub.pull("contact").cursor)
    for each in ids:
        hub.clock.now += timedelta(minutes=20)
        portal.set("contacts", each, {"lastname": "Changed"})
        found = hub.pull("contact", cursor)
        assert each in found.records
        cursor = stored(found.cursor)


def test_a_search_never_begins_where_hubspot_fails(hub: Hub, portal: Portal) -> None:
    (one,) = many(portal, 1)
    cursor = {"of": "contacts", "after": None, "since": 0, "archived": 0, "looked": 0}
    cursor["whole"] = 2**45
    assert set(hub.pull("contact", cursor).records) == {one}


# Values


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("date", "2026-03-31"),
        ("date", "1774915200000"),  # midnight in UTC, whatever the zone
        ("date", "2026-03-31T00:00:00Z"),
        ("datetime", "2026-03-30T22:30:00Z"),
        ("datetime", "2026-03-31T12:34:56.789Z"),
    ],
)
def test_a_day_is_the_same_day_however_it_is_spelt(hub: Hub, portal: Portal, kind: str, text: str) -> None:
    portal.properties["deals"]["due"] = definition("due", kind)
    deal = portal.add("deals", {"due": text}, created=OLD)
    found: Any = hub.pull("deal", properties={"deal": {"expected_close": "due"}}).records[deal]
    assert found.expected_close == date(2026, 3, 31)


def test_a_date_is_no_moment_and_knows_no_zone(hub: Hub, portal: Portal) -> None:
    portal.properties["deals"]["due"] = definition("due", "date")
    deal = portal.add("deals", {"due": "1774915200000"}, created=OLD)
    given = hub.context(properties={"deal": {"expected_close": "due"}})
    connector = HubSpotConnector(replace(given, zone=ZoneInfo("America/New_York")))
    found: Any = pulled(connector.pull("deal", None)).records[deal]
    assert found.expected_close == date(2026, 3, 31)


def test_a_property_whose_type_was_changed_is_an_attribute(hub: Hub, portal: Portal) -> None:
    one = portal.add("companies", {"numberofemployees": "about 50"}, created=OLD)
    portal.properties["companies"]["numberofemployees"] = definition("numberofemployees")
    found: Any = hub.pull("account").records[one]
    assert (found.employees, found.attributes["numberofemployees"]) == (None, "about 50")


def test_notes_with_markup_are_kept_as_they_are(hub: Hub, portal: Portal) -> None:
    text = '<p>Call &amp; ask <a href="x">here</a></p>'
    portal.add("notes", {"hs_note_body": text}, identifier="1", created=OLD)
    assert hub.pull("activity", bodies=True).records["note-1"].attributes["hs_note_body"] == text


def test_an_order_without_money_or_days_is_one(hub: Hub, portal: Portal) -> None:
    one = portal.add("orders", {"hs_total_price": "", "hs_fulfilled_date": ""}, created=OLD)
    two = portal.add("orders", {"hs_total_price": "0.10"}, created=OLD)
    found: Any = hub.pull("order").records
    assert (found[one].amount, found[two].amount) == (None, Decimal("0.1"))


# Writing


def test_two_writers_at_once_leave_each_record_whole(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 300, "companies")
    writers = [hub.writer(), hub.writer()]
    values = [(10.0, "D"), (90.0, "A")]
    answers: list[dict[str, Outcome]] = [{}, {}]
    barrier = threading.Barrier(2)

    def write(at: int) -> None:
        barrier.wait(timeout=10)
        answers[at] = by_id(writers[at].write("account", scored(ids, *values[at])))

    threads = [threading.Thread(target=write, args=(at,)) for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert [{each.state for each in answer.values()} for answer in answers] == [{"sent"}, {"sent"}]
    held = hub.writer().read("account", ids).values()
    assert {(each["score"], each["grade"]) for each in held} <= set(values)


def test_one_id_twice_in_a_batch_is_written_in_two(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 3, "companies")
    outcomes = hub.writer().write("account", scored([*ids, ids[0]]))
    assert [each.state for each in outcomes] == ["sent"] * 4


def test_a_conflict_of_the_whole_batch_is_halved_to_who_is_to_blame(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 8, "companies")
    writer = hub.writer()
    hub.server.faults.append(Fault(UPDATE, 409, {"category": "CONFLICT", "message": "exists"}, times=1))
    assert {each.state for each in writer.write("account", scored(ids))} == {"sent"}


def test_errors_that_are_counted_and_not_listed_leave_their_records_unknown(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 7, "companies")
    portal.rejects[ids[2]] = "INVALID_INTEGER"
    writer = hub.writer()
    hub.server.faults.append(Fault(UPDATE, edit=lambda body: body.update(errors=[])))
    outcomes = by_id(writer.write("account", scored(ids)))
    assert {each for each in ids if outcomes[each].state == "unknown"} == {ids[2]}
    assert sum(each.state == "sent" for each in outcomes.values()) == 6


def test_a_record_merged_before_the_write_is_never_told_as_written(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 3, "companies")
    writer = hub.writer()
    portal.merge("companies", ids[0], ids[1])
    outcomes = by_id(writer.write("account", scored(ids[1:])))
    assert (outcomes[ids[1]].state, outcomes[ids[2]].state) == ("unknown", "sent")


def test_errors_name_their_records_as_numbers_too(hub: Hub, portal: Portal) -> None:
    ids = many(portal, 3, "companies")
    portal.rejects[ids[1]] = "INVALID_INTEGER"
    writer = hub.writer()

    def numbers(body: dict[str, Any]) -> None:
        body["errors"][0]["context"] = {"objectWriteTraceId": int(ids[1])}
        body["results"][0]["id"] = int(body["results"][0]["id"])

    hub.server.faults.append(Fault(UPDATE, edit=numbers))
    outcomes = by_id(writer.write("account", scored(ids)))
    assert [outcomes[each].state for each in ids] == ["sent", "rejected", "sent"]
