"""The whole job on Salesforce through Bridge: install, sync, again, an edit, undo, and the same by files."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crmbridge import config
from crmbridge.bridge import Bridge
from crmbridge.model.fields import salesforce_name
from crmbridge.plugins import Plugins
from tests.vendors.salesforce.org import INTEGRATION, Org, spelled
from tests.vendors.salesforce.server import Stand, serve

SETTINGS = """
[connections.acme]
connector = "salesforce"
instance_url = "{url}"
client_id = "app"
timezone = "Europe/Berlin"
outcomes = {{ Reached = "connected", Nobody = "no_answer" }}

[connections.admin]
connector = "salesforce"
instance_url = "{url}"
client_id = "admin-app"

[connections.exported]
connector = "files"
path = "exported"
timezone = "Europe/Berlin"
"""


NUMBERS = ["id", "score", "score_low", "score_high", "days_in_stage", "typical_days", "expected_revenue"]


def organisation(org: Org, number: int = 240) -> None:
    """Leads of which half are resolved, and calls."""
    draw = random.Random(5)
    end = org.now
    for place in range(number):
        resolved = place < number // 2
        created = end - timedelta(days=draw.randint(120, 500) if resolved else draw.randint(1, 60))
        source = draw.choice(["Referral", "Web", "Fair"])
        won = resolved and draw.random() < {"Referral": 0.7, "Web": 0.3, "Fair": 0.1}[source]
        closed = created + timedelta(days=draw.randint(5, 80))
        stamp = spelled(closed if resolved else created)
        lead = org.put(
            "Lead",
            {
                "LastName": f"Last {place}",
                "Company": f"Müller & Söhne {place}",
                "LeadSource": source,
                "Status": "Closed - Converted" if won else "Unqualified" if resolved else "Open",
                "IsConverted": won,
                "ConvertedDate": f"{closed:%Y-%m-%d}" if won else None,
                "AnnualRevenue": draw.randint(1, 50) * 1000.5,
                "NumberOfEmployees": draw.randint(1, 500),
                "CreatedDate": spelled(created),
                "SystemModstamp": stamp,
            },
        )
        for call in range(draw.randint(0, 2)):
            at = created + timedelta(days=1 + call)
            org.put(
                "Task",
                {
                    "WhoId": lead,
                    "TaskSubtype": "Call",
                    "IsClosed": True,
                    "CompletedDateTime": spelled(at),
                    "CallDurationInSeconds": draw.randint(20, 900),
                    "CallDisposition": draw.choice(["Reached", "Nobody"]),
                    "CreatedDate": spelled(at),
                    "SystemModstamp": spelled(at),
                },
            )
    org.advance(minutes=30)


def deals(org: Org, number: int = 120) -> None:
    """Deals with the history of their stages, two of three closed."""
    draw, end = random.Random(6), org.now
    for place in range(number):
        created = end - timedelta(days=draw.randint(120, 400))
        deal = {
            "Name": f"Deal {place}",
            "AccountId": org.put("Account", {"Name": f"Account {place}", "Industry": draw.choice("AB")}),
            "Amount": draw.randint(1, 90) * 500.25,
            "CreatedDate": spelled(created),
        }
        is_won = draw.random() < 0.5
        stages = ["Prospecting", "Negotiation/Review"]
        if place < number * 2 // 3:
            stages.append("Closed Won" if is_won else "Closed Lost")
        identifier = None
        for step, stage in enumerate(stages):
            at = created + timedelta(days=step * draw.randint(3, 30))
            deal |= {"StageName": stage, "IsClosed": step == 2, "IsWon": step == 2 and is_won}
            deal |= {"SystemModstamp": spelled(at), "LastStageChangeDate": spelled(at)}
            deal["CloseDate"] = f"{at:%Y-%m-%d}"
            identifier = org.put("Opportunity", deal if identifier is None else {"Id": identifier, **deal})
            stamps = {"CreatedDate": spelled(at), "SystemModstamp": spelled(at)}
            org.put("OpportunityHistory", {"Id": org.history(identifier), **stamps})
    org.advance(minutes=30)


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serve(Org()) as stand:
        organisation(stand.org)
        yield stand


@pytest.fixture
def bridge(stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bridge]:
    for name in ("ACME", "ADMIN"):
        monkeypatch.setenv(f"CRMBRIDGE_{name}_CLIENT_SECRET", "hush")
    path = tmp_path / "crmbridge.toml"
    path.write_text(SETTINGS.format(url=stand.url), encoding="utf-8")
    with Bridge(config.load(path), plugins=Plugins.load([]), clock=lambda: stand.org.now) as bridge:
        yield bridge


def sync(bridge: Bridge, stand: Stand, **how: Any) -> dict[str, Any]:
    run = bridge.sync("acme", at=stand.org.now, approve="yes", **how)
    assert run.status == "done", run
    return dict(run.summary)


def test_from_the_first_check_to_the_first_score_and_back(stand, bridge):
    org = stand.org
    assert {item.state for item in bridge.check("acme")} == {"ok", "failed"}  # our fields are not there yet
    steps = bridge.install("acme", sign_in_as="admin")
    assert "conflict" not in {step.state for step in steps}
    assert "failed" not in {item.state for item in bridge.check("acme")}
    first = sync(bridge, stand)
    assert first["sent"] == first["planned"] > 100
    assert {row["OwnerId"][:3] for row in org.rows["Lead"].values()} == {"005"}
    scored = [row for row in org.rows["Lead"].values() if row[salesforce_name("score")] is not None]
    assert len(scored) > 100
    org.advance(minutes=30)
    bridge.undo(bridge.ledger.runs("acme", 1)[0].id)
    assert not [row for row in org.rows["Lead"].values() if row[salesforce_name("score")] is not None]


def test_install_looks_whether_the_daily_user_can_write_what_was_made(stand, bridge, monkeypatch):
    visible = Org.visible

    def stale(org: Org, sobject: str, user: str = INTEGRATION) -> Any:
        """A describe that lags behind."""
        found = visible(org, sobject, user)
        own = [name for name in found if name.startswith("CRMBridge_")] if user == INTEGRATION else []
        return {name: each for name, each in found.items() if name not in own}

    with monkeypatch.context() as patch:
        patch.setattr(Org, "visible", stale)
        steps = bridge.install("acme", sign_in_as="admin")
    conflicts = [step for step in steps if step.state == "conflict"]
    assert len(conflicts) == 3, "one for each object that carries scores"
    assert all("not visible to the integration user" in step.what for step in conflicts)
    assert {step.state for step in bridge.install("acme", sign_in_as="admin")} == {"present"}


def test_a_stamp_on_every_record_causes_no_score_and_no_write(stand, bridge):
    """Renaming a value of a picklist, or erasing a field, stamps all records anew."""
    org = stand.org
    bridge.install("acme", sign_in_as="admin")
    sync(bridge, stand)
    org.advance(minutes=30)
    for row in org.rows["Lead"].values():
        row["SystemModstamp"] = row["LastModifiedDate"] = spelled(org.now)
    org.advance(minutes=5)
    writes = org.writes
    second = sync(bridge, stand)
    assert (second["planned"], sum(second["pulled"].values()), org.writes) == (0, 0, writes)


def test_a_record_that_is_not_shared_any_more_goes_with_the_next_full_read(stand, bridge):
    org = stand.org
    bridge.pull("acme", at=org.now)
    hidden = next(iter(org.rows["Lead"]))
    row = org.rows["Lead"].pop(hidden)
    org.advance(minutes=30)
    assert not bridge.pull("acme", at=org.now).summary["deleted"].get("lead")
    assert bridge.pull("acme", at=org.now, full=True).summary["deleted"]["lead"] == 1
    org.rows["Lead"][hidden] = row
    org.advance(minutes=30)
    assert bridge.pull("acme", at=org.now, full=True).summary["pulled"]["lead"] == 1


def test_a_second_sync_on_unchanged_data_writes_nothing_and_costs_few_calls(stand, bridge):
    org = stand.org
    bridge.install("acme", sign_in_as="admin")
    sync(bridge, stand)
    org.advance(minutes=5)  # our own writes lie within what is read again
    writes = org.writes
    org.requests.clear()
    second = sync(bridge, stand)
    assert (second["planned"], org.writes) == (0, writes)
    assert sum(second["pulled"].values()) == 0, "our own writes are no news"
    for sobject in ("Lead", "Task", "Event", "Account", "Contact", "Opportunity", "User", "Order"):
        mine = [
            call
            for call in org.calls("/services/data")
            if f"/{sobject}/" in call or f"FROM%20{sobject}%20" in call
        ]
        assert 1 <= len(mine) <= 5, mine
    assert len(org.calls("/services/data")) <= 5 * 9


def test_a_human_edit_in_the_second_of_our_write_is_seen(stand, bridge):
    org = stand.org
    bridge.install("acme", sign_in_as="admin")
    sync(bridge, stand)
    (identifier, *_) = org.rows["Lead"]
    org.put("Lead", {"Id": identifier, "Title": "Head of purchasing"})  # the clock has not moved
    org.advance(minutes=5)
    second = sync(bridge, stand)
    assert second["pulled"]["lead"] == 1


def test_reading_costs_its_pages_and_at_most_five_calls_an_object(stand, bridge):
    org = stand.org
    org.page_rows = 50
    org.requests.clear()
    bridge.pull("acme", at=org.now)
    pages = -(-len(org.rows["Lead"]) // 50)
    leads = [call for call in org.calls("/services/data") if "/Lead/" in call or "FROM%20Lead%20" in call]
    assert len(leads) <= 5
    assert len(org.calls("/query/0r8")) >= pages - 1
    tasks = -(-len(org.rows["Task"]) // 50)
    assert len(org.calls("/services/data")) <= pages + tasks + 9 * 3 + 1


def test_what_was_pulled_and_exported_and_loaded_by_files_is_scored_the_same(stand, bridge, tmp_path):
    org = stand.org
    deals(org)
    moment = org.now
    bridge.install("acme", sign_in_as="admin")
    bridge.sync("acme", at=moment, dry_run=True)
    bridge.export("acme", tmp_path / "exported", ["parquet"], at=moment)
    settings = tmp_path / "crmbridge.toml"
    tables = "".join(
        f'[connections.exported.{name}]\nfile = "{name}.parquet"\n'
        for name in ("rep", "account", "contact", "lead", "deal", "stage_change", "activity", "order")
        if (tmp_path / "exported" / f"{name}.parquet").exists()
    )
    settings.write_text(settings.read_text("utf-8") + tables, encoding="utf-8")
    with Bridge(config.load(settings), plugins=Plugins.load([]), clock=lambda: org.now) as other:
        other.sync("exported", at=moment, dry_run=True)
        compared = 0
        for table in ("need/lead", "need/deal", "pipeline/deal"):
            one, two = (
                {
                    row["id"]: row
                    for batch in other.lake.scan(connection, f"result/{table}", NUMBERS, at=moment)
                    for row in batch.to_pylist()
                }
                for connection in ("acme", "exported")
            )
            assert one.keys() == two.keys() != set(), table
            for identifier, row in one.items():
                for name in NUMBERS[1:]:
                    assert two[identifier][name] == pytest.approx(row[name], abs=1e-9), (table, name)
                    compared += row[name] is not None
    assert compared > 500
