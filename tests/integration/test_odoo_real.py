"""The real thing: a real Odoo 11 with its demo data, from `check` to the score on a rep's screen and back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from crmbridge import Bridge
from crmbridge.plugins import Plugins
from tests.integration.odoo11.server import Odoo, Unavailable, environment_of, running
from tests.postgresql import Server

pytestmark = pytest.mark.long
CHROMIUM = "/usr/bin/chromium"
SETTINGS = """
[connections.{name}]
connector = "odoo"
url = "{url}"
database = "demo"
username = "{login}"
timezone = "Europe/Berlin"
"""


@pytest.fixture(scope="module")
def odoo(postgresql: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Odoo]:
    """A real Odoo, skipped visibly where it can't be had."""
    work = tmp_path_factory.mktemp("odoo11")
    kept = os.environ.get("CRMBRIDGE_TEST_ODOO")
    folder = Path(kept) if kept else work / "installed"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with running(folder, work, postgresql.port, "crmbridge") as server:
            yield server
    except Unavailable as why:
        pytest.skip(f"no real Odoo: {why}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


@pytest.fixture
def bridge(odoo: Odoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bridge]:
    """Two connections to it: the administrator's, and a rep's."""
    path = tmp_path / "crmbridge.toml"
    logins = {"acme": "admin", "rep": "demo"}
    path.write_text(
        "".join(SETTINGS.format(name=name, url=odoo.url, login=login) for name, login in logins.items())
    )
    for name, key in environment_of(logins).items():
        monkeypatch.setenv(name, key)
    plugins = Plugins.load(found=[EntryPoint("odoo", "crmbridge_odoo", "crmbridge")])
    with Bridge.open(path, plugins=plugins) as opened:
        yield opened


def scored(odoo: Odoo) -> dict[str, Any]:
    """An open opportunity of the rep's that carries a score."""
    domain = [
        ["user_id.login", "=", "demo"],
        ["type", "=", "opportunity"],
        ["x_crmbridge_grade", "!=", False],
    ]
    names = ["name", "x_crmbridge_score", "x_crmbridge_grade", "x_crmbridge_next_action", "stage_id"]
    rows: Any = odoo.execute("crm.lead", "search_read", domain, names)
    return next(row for row in rows if row["x_crmbridge_next_action"])


def resolved(odoo: Odoo) -> None:
    """A history: won and lost opportunities enough to learn from, made as a user would."""
    for place in range(30):
        values = {
            "name": f"Past {place}",
            "type": "opportunity",
            "user_id": 1,
            "planned_revenue": 100.0 * place,
        }
        identifier: Any = odoo.execute("crm.lead", "create", values)
        method = "action_set_won" if place % 2 else "action_set_lost"
        odoo.execute("crm.lead", method, [identifier])


def test_from_check_to_the_score_on_a_reps_screen_and_back(
    odoo: Odoo, bridge: Bridge, tmp_path: Path
) -> None:
    resolved(odoo)
    assert "failed" not in {
        item.state for item in bridge.check("acme") if not item.name.startswith(("crm.", "res."))
    }
    lacking = {item.name for item in bridge.check("rep") if item.state == "failed"}
    assert "all records" in lacking

    steps = bridge.install("acme")
    assert {step.state for step in steps} == {"done"}
    assert {step.state for step in bridge.install("acme")} == {"present"}
    assert "failed" not in {item.state for item in bridge.check("acme")}

    messages: Any = odoo.execute("mail.message", "search_count", [])
    run = bridge.sync("acme", approve="yes")
    assert run.status == "done"
    assert run.summary["sent"] == run.summary["planned"] > 10
    assert run.summary["rejected"] == 0
    assert bridge.verify(run.id).holds
    assert odoo.execute("mail.message", "search_count", []) == messages, "a write of ours posts no message"
    again = bridge.sync("acme", approve="yes")
    assert again.summary["planned"] == 0
    assert sum(again.summary["pulled"].values()) == 0

    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser: there is no {CHROMIUM}; all before it held")
    record = scored(odoo)
    score = f"{record['x_crmbridge_score']:.2f}"
    grade, action = record["x_crmbridge_grade"], record["x_crmbridge_next_action"]
    seen: Any = odoo.look("demo", record["id"], tmp_path)
    (card,) = [text for text in seen["cards"] if record["name"] in text]
    assert f"{grade} {score}" in card
    assert action in card
    (row,) = [text for text in seen["rows"] if record["name"] in text]
    assert score in row
    assert action in row
    (form,) = seen["form"]
    for shown in (score, grade, action):
        assert shown in form
    assert seen["inputs"] > 3, "the rep may edit the record"
    assert seen["editable"] == 0, "but none of our fields"
    assert "crmbridge" not in (card + form).lower()

    edited: Any = odoo.execute("crm.lead", "write", [record["id"]], {"x_crmbridge_score": 99.0}, login="demo")
    assert edited, "Odoo has no right per field: over the API a rep may write it"
    assert [(each.id, each.field) for each in bridge.verify(run.id).differences] == [
        (str(record["id"]), "score")
    ]

    undone = bridge.undo(run.id)
    assert [each.id for each in bridge.kept(undone)] == [str(record["id"])]
    assert {step.state for step in bridge.install("acme", remove=True)} == {"done"}
    seen = odoo.look("demo", record["id"], tmp_path)
    assert not [text for text in seen["cards"] if action in text]
    assert action not in seen["form"][0]
