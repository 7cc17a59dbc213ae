"""The main job through the command line, as an admin with nothing but an export runs it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from crmbridge.bridge import utc_now
from crmbridge.store.ledger import Ledger
from tests.admin import Admin
from tests.organisation import MOMENT, read_csv, write_csv, write_organisation

AT = MOMENT.isoformat()


class Exporter(Admin):
    """An admin who syncs the exports of `write_organisation`."""

    def sync(self, *arguments: str) -> Any:
        return self.json("sync", "acme", "--at", AT, *arguments)

    @property
    def exports(self) -> Path:
        return self.settings.parent / "exports"

    @property
    def scores(self) -> list[dict[str, str]]:
        return read_csv(self.exports / "scores" / "lead.csv")


@pytest.fixture
def admin(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return Exporter(write_organisation(tmp_path), capsys)


def edit(path: Path, change) -> None:
    rows = read_csv(path)
    write_csv(path, change(rows) or rows)


def test_the_first_run_scores_every_open_lead_and_accounts_for_every_row(admin):
    run = admin.sync("--yes")
    assert admin.code == 0
    assert run["status"] == "done"
    assert run["pulled"]["lead"] == 240
    assert run["pending"] == 0
    assert run["sent"] == run["planned"] > 0
    assert len(admin.scores) == 120
    for row in admin.scores:
        assert 0 <= float(row["crmbridge_score"]) <= 100
        assert row["crmbridge_grade"] in "ABCD"
        assert row["crmbridge_scored_at"] == "2026-11-24T12:00:00Z"


def test_a_second_run_on_unchanged_data_reads_and_writes_nothing(admin):
    admin.sync("--yes")
    before = (admin.exports / "scores" / "lead.csv").read_bytes()
    run = admin.sync("--yes")
    assert run["planned"] == 0
    assert set(run["pulled"].values()) == {0}
    assert (admin.exports / "scores" / "lead.csv").read_bytes() == before


def test_the_exports_are_never_touched(admin):
    before = {path.name: path.read_bytes() for path in admin.exports.glob("*.csv")}
    admin.sync("--yes")
    assert {path.name: path.read_bytes() for path in admin.exports.glob("*.csv")} == before


def test_a_dry_run_writes_nothing_and_says_what_it_would(admin):
    run = admin.sync("--dry-run")
    assert admin.code == 0
    assert run["planned"] > 0
    assert run["sent"] == 0
    assert not (admin.exports / "scores" / "lead.csv").exists()


def test_without_approval_the_plan_waits_and_apply_is_the_approval(admin):
    run = admin.sync()
    assert (admin.code, run["status"]) == (0, "awaiting_approval")
    assert not (admin.exports / "scores" / "lead.csv").exists()
    applied = admin.json("apply", str(run["plan"]))
    assert applied["sent"] == run["planned"]
    assert admin.json("verify", str(run["run"]))["differences"] == []


def test_auto_works_only_after_a_person_applied_a_plan_and_not_after_an_undo(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    admin = Exporter(write_organisation(tmp_path, extra='approval = "auto"'), capsys)
    first = admin.sync()
    assert first["status"] == "awaiting_approval"
    admin.json("apply", str(first["plan"]))
    edit(admin.exports / "leads.csv", lambda rows: [{**rows[-1], "Lead ID": "new", "Source": "Fair"}, *rows])
    assert admin.sync()["status"] == "done"
    admin.json("undo", str(first["run"]))
    assert admin.sync()["status"] == "awaiting_approval"


def test_the_plan_names_record_field_before_and_after(admin):
    admin.sync("--dry-run")
    plan = admin.json("plan", "acme", "--at", AT)
    assert plan["planned"] == len({(change["object"], change["id"]) for change in plan["changes"]})
    change = next(change for change in plan["changes"] if change["field"] == "score")
    assert change["object"] in ("lead", "rep", "account")
    assert change["before"] is None
    assert 0 <= change["after"] <= 100
    assert change["reason"] == "first score"


def test_undo_restores_what_is_ours_and_keeps_what_a_person_changed(admin):
    run = admin.sync("--yes")
    path = admin.exports / "scores" / "lead.csv"

    def by_hand(rows):
        rows[3]["crmbridge_score"] = "99"

    edit(path, by_hand)
    changed = admin.scores[3]["id"]
    undone = admin.json("undo", str(run["run"]))
    assert admin.code == 4
    assert (undone["sent"], undone["rejected"]) == (run["sent"] - 1, 1)
    for row in admin.scores:
        assert row["crmbridge_score"] == ("99" if row["id"] == changed else "")
    rows = admin.json("run", str(undone["run"]))["rows"]
    kept = [row for row in rows if row["state"] == "rejected"]
    assert [row["id"] for row in kept] == [changed]
    assert "99" in kept[0]["message"]


def test_a_changed_row_is_one_new_version_and_a_vanished_row_a_deletion(admin):
    admin.sync("--yes")

    def change(rows):
        rows[0]["Budget"] = "77"
        return rows[:-1]

    edit(admin.exports / "leads.csv", change)
    run = admin.sync("--yes")
    assert (run["pulled"]["lead"], run["deleted"]["lead"]) == (1, 1)
    assert run["pulled"]["activity"] == 0


def test_a_file_cut_short_deletes_nothing(admin):
    admin.sync("--yes")
    path = admin.exports / "leads.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * 0.9)])
    run = admin.sync("--yes")
    assert run["deleted"]["lead"] == 0
    assert run["set_aside"]["lead"] >= 1


def test_a_file_that_lost_most_of_its_rows_stops_the_run(admin):
    admin.sync("--yes")
    edit(admin.exports / "leads.csv", lambda rows: rows[:20])
    run = admin.sync("--yes")
    if run["planned"]:
        assert (admin.code, run["status"]) == (3, "stopped")
        assert "shrunk" in run["guards"]
    assert run["deleted"]["lead"] == 0


def test_bad_rows_are_set_aside_with_file_line_and_reason(admin):
    path = admin.exports / "leads.csv"

    def spoil(rows):
        rows[0]["Created"] = "31.02.2024"
        rows[1]["Lead ID"] = ""
        rows[3]["Lead ID"] = rows[2]["Lead ID"]

    edit(path, spoil)
    run = admin.sync("--yes")
    assert run["pulled"]["lead"] == 237
    assert run["set_aside"]["lead"] == 3
    rows = admin.json("run", str(run["run"]))["set_aside_rows"]
    assert [row["place"] for row in rows] == ["leads.csv:2", "leads.csv:3", "leads.csv:5"]
    assert "31.02.2024" in rows[0]["reason"]
    assert "leads.csv:4" in rows[2]["reason"]
    admin.run("run", str(run["run"]))
    assert "leads.csv:2" in admin.said


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('created_at = "Created"', 'created_at = "Creatd"', "Creatd"),
        ('file = "leads.csv"', 'file = "laeds.csv"', "laeds.csv"),
        ('file = "leads.csv"', 'file = "leads.csv"\nfeilds = 1', "feilds"),
        ("[connections.acme.lead]", "[connections.acme.laed]", "laed"),
    ],
)
def test_a_mistake_in_the_settings_is_exit_2_and_one_clear_sentence(admin, old, new, named):
    text = admin.settings.read_text(encoding="utf-8")
    admin.settings.write_text(text.replace(old, new, 1), encoding="utf-8")
    admin.run("sync", "acme")
    assert admin.code == 2
    assert named in admin.complained
    assert "Traceback" not in admin.complained
    assert admin.said == ""


def test_while_one_process_works_on_a_connection_another_is_told_so(admin):
    ledger = Ledger.open(f"sqlite:///{admin.settings.parent}/crmbridge.db", clock=utc_now)
    with ledger.lease("connection/acme"):
        admin.run("sync", "acme")
    ledger.close()
    assert admin.code == 3
    assert "acme" in admin.complained


def test_too_many_changes_stop_a_run_until_a_person_overrides(admin):
    admin.sync("--yes")

    def shuffle(rows):
        for row in rows:
            row["crmbridge_grade"] = "D" if row["crmbridge_grade"] != "D" else "A"
            row["crmbridge_score"] = str(100 - float(row["crmbridge_score"]))

    edit(admin.exports / "scores" / "lead.csv", shuffle)
    run = admin.sync("--yes")
    assert (admin.code, run["status"], run["sent"]) == (3, "stopped", 0)
    assert "max_changed" in run["guards"]
    admin.run("apply", str(run["plan"]))
    assert admin.code == 3
    overrides = [part for guard in run["guards"] for part in ("--override", guard)]
    assert admin.json("apply", str(run["plan"]), *overrides)["sent"] == run["planned"]


def test_the_steps_alone_make_the_same_as_one_run(admin, tmp_path, capsys):
    for step in ("pull", "score", "plan"):
        admin.run(step, "acme", "--at", AT, "--json")
        assert admin.code == 0
    plan = json.loads(admin.said)
    admin.json("apply", str(plan["plan"]))
    other = Exporter(write_organisation(tmp_path / "other"), capsys)
    other.sync("--yes")
    assert admin.scores == other.scores


def test_what_is_explained_adds_up_to_the_score(admin):
    admin.sync("--yes")
    record = admin.scores[0]
    explained = admin.json("explain", "acme", "lead", record["id"], "--at", AT)
    assert float(record["crmbridge_score"]) == pytest.approx(explained["score"], abs=0.006)
    admin.run("explain", "acme", "lead", "no such lead", "--at", AT)
    assert admin.code == 2


def test_the_model_card_the_report_and_the_exports_are_there(admin, tmp_path):
    admin.sync("--yes")
    card = admin.json("model", "acme", "lead")
    assert card["model"]["card"]["fitted"]["outcomes"] > 0
    admin.run("report", "acme", "-o", str(tmp_path / "report.html"), "--at", AT)
    assert admin.code == 0
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8")
    paths = admin.json("export", "acme", "--to", str(tmp_path / "tables"), "--at", AT)
    assert {Path(path).suffix for path in paths} >= {".parquet", ".csv"}


def test_a_forgotten_person_is_nowhere_in_the_store(admin):
    edit(admin.exports / "leads.csv", lambda rows: [{**rows[-1], "Lead ID": "forget-me"}, *rows])
    admin.sync("--yes")
    assert admin.json("forget", "acme", "lead", "forget-me")["erased"] > 0
    for path in [
        *admin.settings.parent.glob("crmbridge.db*"),
        *admin.settings.parent.glob("lake/**/*.parquet"),
    ]:
        assert b"forget-me" not in path.read_bytes(), path
