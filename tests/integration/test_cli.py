"""The command line: what is printed where, what a mistake says, and which exit code it has."""

from __future__ import annotations

import io
import json
import shutil
import sys

import pytest

from crmbridge import Bridge, __version__
from crmbridge.cli import main
from crmbridge.connectors.files import FilesConnector
from crmbridge.errors import AuthError
from crmbridge.hookspecs import hookimpl
from crmbridge.plugins import Plugins
from tests.admin import Admin
from tests.organisation import MOMENT, read_csv, write_csv, write_organisation

AT = MOMENT.isoformat()
LEAD = "00Q000200"


@pytest.fixture
def admin(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return Admin(write_organisation(tmp_path), capsys)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A plan was written."""
    settings = write_organisation(tmp_path_factory.mktemp("done"))
    with Bridge.open(settings) as bridge:
        assert bridge.sync("acme", at=MOMENT, approve="yes").status == "done"
    return settings


@pytest.fixture
def synced(done, tmp_path, capsys, monkeypatch):
    """An admin after a first whole run, in a folder of their own."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    shutil.copytree(done.parent, tmp_path / "synced")
    return Admin(tmp_path / "synced" / done.name, capsys)


@pytest.fixture(scope="module")
def waiting(tmp_path_factory):
    """A plan waits for its approval."""
    settings = write_organisation(tmp_path_factory.mktemp("waiting"))
    with Bridge.open(settings) as bridge:
        assert bridge.sync("acme", at=MOMENT).status == "awaiting_approval"
    return settings


# -- what is printed --


@pytest.mark.parametrize(
    "command",
    [
        ("plugins",),
        ("check", "acme"),
        ("install", "acme", "--dry-run"),
        ("uninstall", "acme", "--dry-run"),
        ("sync", "acme", "--at", AT),
        ("pull", "acme", "--at", AT),
        ("score", "acme", "--at", AT),
        ("plan", "acme", "--at", AT),
        ("verify", "1"),
        ("undo", "1"),
        ("runs",),
        ("run", "1"),
        ("explain", "acme", "lead", LEAD, "--at", AT),
        ("model", "acme", "lead"),
        ("forget", "acme", "lead", LEAD),
    ],
    ids=" ".join,
)
def test_json_is_one_document_and_nothing_else(synced, command):
    synced.json(*command)
    assert synced.code == 0
    assert synced.complained == ""


def test_an_error_leaves_standard_output_empty(synced):
    assert synced.run("run", "99", "--json").code == 2
    assert synced.said == ""
    assert synced.complained.startswith("crmbridge: ")


def test_json_stays_json_where_standard_output_holds_no_unicode(synced, monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", narrow)
    with pytest.raises(SystemExit):
        main(["--config", str(synced.settings), "explain", "acme", "rep", "rep-2", "--json"])
    assert json.loads(narrow.buffer.getvalue())["name"] == "Çelik"  # type: ignore[attr-defined]


def test_ticks_do_not_break_a_terminal_without_them(admin, monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", narrow)
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(admin.settings), "check", "acme"])
    assert not ended.value.code
    assert b"folder" in narrow.buffer.getvalue()  # type: ignore[attr-defined]


def test_in_a_pipe_a_row_is_a_line(synced):
    lines = synced.run("runs").said.splitlines()
    assert len(lines) == 2
    assert "awaiting" not in lines[1]


def test_a_dry_run_shows_what_would_be_written(admin):
    admin.run("sync", "acme", "--at", AT, "--dry-run")
    assert "120 records to write" in admin.said
    assert "first score" in admin.said
    assert "crmbridge apply" not in admin.said
    assert not (admin.settings.parent / "exports" / "scores" / "lead.csv").exists()


def test_a_plan_that_waits_says_how_to_write_it(admin):
    admin.run("sync", "acme", "--at", AT)
    assert admin.code == 0
    assert "crmbridge apply 1" in admin.said


def test_a_second_run_says_that_nothing_is_to_be_written(synced):
    synced.run("sync", "acme", "--at", AT, "--yes")
    assert "0 records to write" in synced.said


def test_steps_that_read_nothing_do_not_say_what_was_read(synced):
    assert "new or changed" not in synced.run("score", "acme", "--at", AT).said
    assert "new or changed" not in synced.run("undo", "1").said


def test_verbose_logs_every_step_by_ids_alone(admin):
    admin.run("--verbose", "--log-format", "json", "sync", "acme", "--at", AT, "--yes")
    lines = [json.loads(line) for line in admin.complained.splitlines()]
    assert {"pull lead", "score lead", "apply"} <= {line.get("step") for line in lines}
    assert "Çelik" not in admin.complained


def test_verify_lists_what_differs_up_to_a_bound_and_says_so_by_its_exit_code(synced):
    assert synced.run("verify", "1").code == 0
    assert synced.run("undo", "1").code == 0
    assert synced.run("verify", "1").code == 4
    assert "120 differ" in synced.said
    assert len([line for line in synced.said.splitlines() if line.startswith("lead")]) == 50


def test_undo_lists_what_a_person_has_changed_since(synced):
    path = synced.settings.parent / "exports" / "scores" / "lead.csv"
    rows = read_csv(path)
    rows[3]["crmbridge_grade"] = "A+"
    changed = rows[3]["id"]
    write_csv(path, rows)
    synced.run("undo", "1")
    assert synced.code == 4
    assert changed in synced.said
    assert "A+" in synced.said
    again = synced.json("undo", "1")
    assert [(one["id"], one["field"], one["theirs"]) for one in again["kept"]] == [(changed, "grade", "A+")]


def test_the_version(admin):
    assert admin.run("--version").said.strip() == f"crmbridge {__version__}"


class Locked(FilesConnector):
    """Sees its folder, and is refused by its CRM."""

    name = "locked"

    def check(self):
        yield next(super().check())
        raise AuthError("the sign-in was refused.", said="invalid_grant", remedy="Sign in again.")


class Interrupted(FilesConnector):
    name = "interrupted"

    def pull(self, object_name, cursor):
        raise KeyboardInterrupt


class Plugin:
    @hookimpl
    def crmbridge_connectors(self):
        return [Locked, Interrupted]


@pytest.fixture
def elsewhere(admin, monkeypatch):
    """Settings for the connector of that name, which a plugin brings."""
    plugins = Plugins.load([])
    plugins.add("test", Plugin(), source="test")
    monkeypatch.setattr(Plugins, "load", lambda: plugins)

    def use(connector):
        text = admin.settings.read_text().replace('connector = "files"', f'connector = "{connector}"')
        admin.settings.write_text(text)
        return admin

    return use


def test_a_check_that_is_refused_shows_how_far_it_came(elsewhere):
    admin = elsewhere("locked")
    items = admin.json("check", "acme")
    assert admin.code == 1
    assert [(item["name"], item["state"]) for item in items] == [
        ("folder", "ok"),
        ("went no further", "failed"),
    ]
    assert items[1]["detail"] == "the sign-in was refused. The CRM said: invalid_grant"


def test_a_run_that_is_broken_off_says_so_and_is_not_shown_as_done(elsewhere):
    admin = elsewhere("interrupted").run("sync", "acme")
    assert admin.code == 130
    assert "broken off" in admin.complained
    assert "not finished" in admin.run("runs").said


# -- mistakes --


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("sync", "acne"), "Did you mean acme?"),
        (("runs", "acne"), "Did you mean acme?"),
        (("apply", "99"), "no plan 99"),
        (("apply", "1", "--override", "shrnk"), "no guard 'shrnk'"),
        (("verify", "99"), "no run 99"),
        (("undo", "99"), "no run 99"),
        (("explain", "acme", "leads", LEAD), "'leads' is not an object"),
        (("explain", "acme", "lead", "nobody"), "no lead nobody"),
        (("forget", "acme", "lead", "nobody"), "nothing is kept of it"),
        (("model", "acme", "lead", "--metric", "want"), "'want' is not a metric; there are"),
        (("model", "acme", "lead", "--publish", "x"), "There are: need-lead-"),
        (("model", "acme", "lead", "--publish", "x", "--revert"), "not both"),
        (("model", "acme", "activity"), "no need model for activity"),
        (("export", "acme", "--to", "there", "--format", "xls"), "xls is not a format"),
        (("sync", "acme", "--at", "yesterday"), "is not a moment"),
        (("sync", "acme", "--at", "9999-12-31T23:59:59-05:00"), "outside the years"),
        (("secret", "set", "acme", "client_secret"), "files has no secret 'client_secret'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_clear_sentence_and_exit_code_2(waiting, capsys, command, said):
    admin = Admin(waiting, capsys).run(*command)
    assert admin.code == 2
    assert said in admin.complained
    assert len(admin.complained.splitlines()) == 1
    assert admin.said == ""


def test_a_file_that_can_not_be_written_is_named(synced, tmp_path):
    (tmp_path / "taken").write_text("")
    synced.run("report", "acme", "-o", str(tmp_path / "taken" / "report.html"))
    assert synced.code == 1
    assert "taken" in synced.complained
    assert "nobody foresaw" not in synced.complained


def test_uninstall_without_a_terminal_wants_a_word_for_it(synced):
    assert synced.run("uninstall", "acme").code == 2
    assert "--yes" in synced.complained
    assert synced.run("uninstall", "acme", "--yes").code == 0


def test_the_number_of_runs_shown_is_at_least_one(admin):
    assert admin.run("runs", "--limit", "0").code == 2


def test_a_moment_without_an_offset_is_the_connections(synced):
    said = synced.json("score", "acme", "--at", "2026-11-24T13:00")
    assert said["at"] == "2026-11-24T12:00:00+00:00"


def test_publishing_takes_only_models_of_the_object_named(synced):
    stored = synced.json("model", "acme", "lead")
    assert [one["name"] for one in stored["models"]] == [stored["name"]]
    assert synced.run("model", "acme", "deal", "--publish", stored["name"]).code == 2
    assert synced.run("model", "acme", "lead", "--publish", stored["name"]).code == 0
