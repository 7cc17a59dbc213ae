"""The whole job on a portal: score, write, verify, again; and the same scores from exported files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from crmbridge.bridge import Bridge
from crmbridge.model.fields import hubspot_name
from crmbridge.testing import Clock
from tests.vendors.hubspot.portal import Portal, definition
from tests.vendors.hubspot.server import TOKEN, Server

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
SCORE = hubspot_name("score")
LEADS = 120
OBJECTS = ("rep", "account", "contact", "lead", "deal", "stage_change", "activity")
HUBSPOT = """
[connections.acme]
connector = "hubspot"
base_url = "{url}"
timezone = "Europe/Berlin"
api_budget = 1.0
"""
FILES = """
[connections.files]
connector = "files"
path = "{path}"
timezone = "Europe/Berlin"
"""


def populate(portal: Portal, leads: int = LEADS) -> None:
    """Leads of three sources, calls on them, deals through their stages, owners."""
    draw = np.random.default_rng(11)
    for rep in range(4):
        portal.owners.append(
            {
                "id": str(700 + rep),
                "userId": rep + 1,
                "email": f"rep{rep}@example.com",
                "firstName": "Rep",
                "lastName": str(rep),
                "type": "PERSON",
                "createdAt": "2025-01-01T00:00:00Z",
                "updatedAt": "2025-01-01T00:00:00Z",
                "archived": False,
            }
        )
    company = portal.add("companies", {"name": "Acme", "country": "DE"}, created=AT - timedelta(days=700))
    for number in range(leads):
        resolved = number < 0.6 * leads
        created = AT - timedelta(days=int(draw.integers(120, 400) if resolved else draw.integers(1, 50)))
        source = ("Referral", "Web", "Fair")[int(draw.integers(3))]
        won = resolved and draw.random() < {"Referral": 0.8, "Web": 0.4, "Fair": 0.1}[source]
        entered = created + timedelta(days=float(draw.integers(5, 60)))
        values = {
            "hs_lead_source": source,
            "hubspot_owner_id": str(700 + number % 4),
            "headcount": str(int(draw.integers(1, 500))),
            "hs_associated_contact_lastname": f"Last {number}",
            "campaign_code": "ABC"[int(draw.integers(3))],
            "hs_pipeline_stage": "new-stage-id",
        }
        lead = portal.add("leads", values, created=created)
        contact = portal.add("contacts", {"lastname": f"Last {number}"}, created=created)
        portal.link("leads", lead, "contacts", contact, 578)
        portal.link("contacts", contact, "companies", company, 1)
        if resolved:
            stage = "qualified-stage-id" if won else "unqualified-stage-id"
            done = {
                "hs_pipeline_stage": stage,
                f"hs_v2_date_entered_{stage.replace('-', '_')}": entered.isoformat(),
            }
            portal.set("leads", lead, done, at=entered)
        for _ in range(int(draw.integers(3))):
            started = created + timedelta(days=float(draw.integers(0, 5)), hours=3)
            call = portal.add(
                "calls",
                {
                    "hs_timestamp": started.isoformat(),
                    "hs_call_duration": str(int(draw.integers(10, 600)) * 1_000),
                    "hs_call_disposition": "f240bbac-87c9-4f6e-bf70-924b57d47db7",
                    "hubspot_owner_id": str(700 + number % 4),
                },
                created=started,
            )
            portal.link("calls", call, "leads", lead, 596)
    for _ in range(60):
        created = AT - timedelta(days=int(draw.integers(100, 400)))
        deal = portal.add(
            "deals", {"dealstage": "appointmentscheduled", "amount": "1000.00"}, created=created
        )
        portal.link("deals", deal, "companies", company, 5)
        ended = created + timedelta(days=30)
        stage = "closedwon" if draw.random() < 0.4 else "closedlost"
        portal.set("deals", deal, {"dealstage": stage, "closedate": ended.isoformat()}, at=ended)


@pytest.fixture
def bridge(
    portal: Portal, server: Server, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bridge]:
    monkeypatch.setenv("CRMBRIDGE_ACME_ACCESS_TOKEN", TOKEN)
    clock.now = AT
    name = "hs_v2_date_entered_unqualified_stage_id"
    portal.properties["leads"][name] = definition(name, "datetime", read_only=True)
    populate(portal)
    settings = tmp_path / "crmbridge.toml"
    settings.write_text(
        HUBSPOT.format(url=server.url) + FILES.format(path=tmp_path / "out") + _objects(), encoding="utf-8"
    )
    with Bridge.open(settings, clock=clock) as opened:
        opened.install("acme")
        yield opened


def _objects() -> str:
    return "".join(f'\n[connections.files.{name}]\nfile = "{name}.parquet"\n' for name in OBJECTS)


def summary(run: Any) -> dict[str, Any]:
    return dict(json.loads(json.dumps(run.summary)))


def scores(portal: Portal) -> dict[str, str]:
    return {
        record.id: record.properties[SCORE]
        for record in portal.records["leads"].values()
        if record.properties.get(SCORE)
    }


def test_the_whole_job_writes_scores_and_accounts_for_every_one(
    bridge: Bridge, portal: Portal, server: Server
) -> None:
    server.calls.clear()
    run = bridge.sync("acme", at=AT, approve="yes")
    found = summary(run)
    assert run.status == "done"
    assert found["sent"] == found["planned"] > 0
    assert found["pulled"]["lead"] == LEADS
    assert found["pulled"]["stage_change"] == 120
    assert len(scores(portal)) >= LEADS // 3
    assert found["api_calls"] == len(server.calls)
    assert found["calls_by_kind"]["write"] == server.count("batch/update")


def test_a_second_sync_on_unchanged_data_writes_nothing(
    bridge: Bridge, portal: Portal, server: Server, clock: Clock
) -> None:
    bridge.sync("acme", at=AT, approve="yes")
    server.calls.clear()
    clock.now = AT + timedelta(minutes=30)
    found = summary(bridge.sync("acme", at=clock.now, approve="yes"))
    assert found["planned"] == 0
    assert server.count("batch/update") == 0
    # What was written is seen again and is no news.
    assert found["pulled"]["lead"] == 0


def test_own_writes_are_no_news_and_a_human_edit_in_the_same_second_is(
    bridge: Bridge, portal: Portal, clock: Clock
) -> None:
    bridge.sync("acme", at=AT, approve="yes")
    lead = next(iter(scores(portal)))
    record = portal.records["leads"][lead]
    portal.set("leads", lead, {"hs_lead_source": "Referral", "headcount": "499"}, at=record.updated)
    clock.now = AT + timedelta(minutes=30)
    found = summary(bridge.pull("acme", at=clock.now))
    assert found["pulled"]["lead"] == 1


def test_a_calculated_property_that_moves_by_itself_is_no_news(
    bridge: Bridge, portal: Portal, clock: Clock
) -> None:
    portal.properties["leads"]["hs_time_in_new"] = definition("hs_time_in_new", "number", read_only=True)
    bridge.pull("acme", at=AT)
    for lead in portal.records["leads"]:
        portal.set("leads", lead, {"hs_time_in_new": "7"})
    clock.now = AT + timedelta(minutes=30)
    assert summary(bridge.pull("acme", at=clock.now))["pulled"]["lead"] == 0


def test_an_edited_pipeline_stamps_all_deals_and_is_no_news(
    bridge: Bridge, portal: Portal, clock: Clock
) -> None:
    bridge.pull("acme", at=AT)
    portal.switches.same_value_bumps = True
    for deal in portal.records["deals"]:
        portal.set("deals", deal, {})
    clock.now = AT + timedelta(minutes=30)
    found = summary(bridge.pull("acme", at=clock.now))
    assert (found["pulled"]["deal"], found["pulled"]["stage_change"]) == (0, 0)


@pytest.mark.parametrize("bumps", [True, False])
def test_writing_an_equal_value_is_no_news(bridge: Bridge, portal: Portal, clock: Clock, bumps: bool) -> None:
    bridge.sync("acme", at=AT, approve="yes")
    portal.switches.same_value_bumps = bumps
    clock.now = AT + timedelta(minutes=30)
    for lead, score in scores(portal).items():
        portal.set("leads", lead, {SCORE: score}, source="INTEGRATION")
    assert summary(bridge.pull("acme", at=clock.now))["pulled"]["lead"] == 0


def test_reading_everything_again_is_no_news_and_brings_back_what_was_restored(
    bridge: Bridge, portal: Portal, clock: Clock
) -> None:
    bridge.pull("acme", at=AT)
    lead = next(iter(portal.records["leads"]))
    portal.archive("leads", lead)
    clock.now = AT + timedelta(minutes=30)
    assert summary(bridge.pull("acme", at=clock.now))["deleted"]["lead"] == 1
    portal.restore("leads", lead)
    clock.now = AT + timedelta(hours=25)
    found = summary(bridge.pull("acme", at=clock.now))
    assert (found["pulled"]["lead"], found["deleted"]["lead"]) == (1, 0)
    assert {found["pulled"][name] for name in OBJECTS if name != "lead"} == {0}


def test_undo_takes_every_value_back(bridge: Bridge, portal: Portal) -> None:
    run = bridge.sync("acme", at=AT, approve="yes")
    assert scores(portal)
    bridge.undo(run.id)
    assert scores(portal) == {}


def test_the_portal_is_the_one_the_connection_was_made_for(bridge: Bridge, portal: Portal) -> None:
    bridge.pull("acme", at=AT)
    portal.portal_id = 5
    with pytest.raises(Exception, match="wrong_org"):
        bridge.pull("acme", at=AT + timedelta(minutes=1))


@pytest.mark.parametrize("fault", ["killed while pulling", "killed while writing"])
def test_a_killed_sync_is_finished_by_the_next_one(
    bridge: Bridge, portal: Portal, server: Server, fault: str
) -> None:
    part = "/calls" if fault == "killed while pulling" else "/leads/batch/update"

    class Killed(BaseException):
        pass

    from crmbridge.connectors.hubspot.client import Client

    true = Client._exchange

    def dying(self: Client, method: str, path: str, *rest: Any, **more: Any) -> Any:
        answer = true(self, method, path, *rest, **more)
        if part in path:
            raise Killed
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "_exchange", dying)
        with pytest.raises(Killed):
            bridge.sync("acme", at=AT, approve="yes")
    run = bridge.sync("acme", at=AT, approve="yes")
    found = summary(run)
    assert (run.status, found["pending"], found["rejected"]) == ("done", 0, 0)
    assert found["sent"] == found["planned"] > 0


def test_what_was_pulled_and_exported_scores_the_same_through_files(
    bridge: Bridge, tmp_path: Path, clock: Clock
) -> None:
    bridge.pull("acme", at=AT)
    bridge.score("acme", at=AT)
    bridge.export("acme", tmp_path / "out", ["parquet"], at=AT)
    bridge.pull("files", at=AT)
    bridge.score("files", at=AT)
    bridge.export("files", tmp_path / "again", ["parquet"], at=AT)
    compared = 0
    for path in sorted((tmp_path / "out").glob("need_*.parquet")):
        ours = {row["id"]: row for row in pq.read_table(path).to_pylist()}
        theirs = {row["id"]: row for row in pq.read_table(tmp_path / "again" / path.name).to_pylist()}
        assert ours.keys() == theirs.keys()
        for identifier, row in ours.items():
            for name, value in row.items():
                other = theirs[identifier][name]
                if isinstance(value, float):
                    assert other == pytest.approx(value, abs=1e-9), (path.name, identifier, name)
                    compared += 1
    assert compared >= 40
