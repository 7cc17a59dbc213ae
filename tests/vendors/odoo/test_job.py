"""The whole job through the front door: settings, sign-in with two users, sync, verify, undo."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from crmbridge import Bridge
from crmbridge.errors import AuthError, GuardError
from crmbridge.plugins import Plugins
from crmbridge.testing import Clock
from tests.vendors.odoo.database import ALL_LEADS, KEYS, REP, Database
from tests.vendors.odoo.server import Server

SETTINGS = """
[connections.{name}]
connector = "odoo"
url = "{url}"
database = "acme"
username = "{login}"
"""


@pytest.fixture
def database() -> Database:
    """An Odoo 18 with a history: won and lost opportunities by source, and open ones."""
    clock = Clock()
    made = Database(18, clock)
    made.groups[REP] = {ALL_LEADS}
    sources = [made.put("utm.source", name=name) for name in ("Fair", "Advertisement")]
    now = clock.now
    for place in range(60):
        created = now - timedelta(days=30 + 3 * place)
        state = {"stage_id": made.stage("New"), "active": True}
        if place % 3:
            won = (place % 2 == 0) == (place % 5 != 0)
            state = {"stage_id": made.stage("Won" if won else "New"), "active": won}
            state["date_closed"] = created + timedelta(days=12)
        made.put(
            "crm.lead",
            name=f"Opportunity {place}",
            type="opportunity",
            user_id=1 + 4 * (place % 2),
            create_date=created,
            source_id=sources[place % 2],
            **state,
        )
    return made


@pytest.fixture
def bridge(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bridge]:
    server = Server(database)
    logins = {"daily": "demo", "admin": "admin"}
    path = tmp_path / "crmbridge.toml"
    texts = [SETTINGS.format(name=name, url=server.url, login=login) for name, login in logins.items()]
    path.write_text("".join(texts), encoding="utf-8")
    for name, login in logins.items():
        monkeypatch.setenv(f"CRMBRIDGE_{name.upper()}_API_KEY", KEYS[login])
    plugins = Plugins.load(found=[EntryPoint("odoo", "crmbridge_odoo", "crmbridge")])
    with Bridge.open(path, plugins=plugins, clock=database.clock) as opened:
        yield opened
    server.close()


def test_an_admin_installs_and_the_daily_user_syncs_verifies_and_undoes(bridge: Bridge) -> None:
    with pytest.raises(AuthError):
        bridge.install("daily")
    steps = bridge.install("daily", sign_in_as="admin")
    assert {step.state for step in steps} == {"done"}
    assert {item.state for item in bridge.check("daily")} <= {"ok", "warning"}
    run = bridge.sync("daily", approve="yes")
    assert run.status == "done"
    assert run.summary["planned"] == run.summary["sent"] > 0
    assert bridge.verify(run.id).holds
    again = bridge.sync("daily", approve="yes")
    assert again.summary["planned"] == 0
    bridge.undo(run.id)
    assert bridge.verify(run.id).differences
    assert {step.state for step in bridge.install("daily", sign_in_as="admin", remove=True)} == {"done"}


def test_another_database_under_the_same_name_is_not_written_to(bridge: Bridge, database: Database) -> None:
    bridge.pull("daily")
    for row in database.rows["res.country"].values():
        row["create_date"] += timedelta(days=1)  # made on another day: restored, or another one
    with pytest.raises(GuardError, match="wrong_org"):
        bridge.pull("daily")
