"""What the settings do not let us read is nowhere: not in the lake, the ledger, the exports or the scores."""

from __future__ import annotations

import io

import pytest

from tests.admin import Admin
from tests.integration.test_main_job import edit
from tests.organisation import MOMENT, write_organisation

AT = MOMENT.isoformat()
NUMBER = "071-54-9876"


@pytest.fixture
def with_settings(tmp_path, capsys, monkeypatch):
    """An admin of an organisation with two columns more, one of which nobody should read.

    It stands in good rows and in one that is set aside.
    """
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def made(extra: str) -> Admin:
        admin = Admin(write_organisation(tmp_path, leads=80, extra=extra), capsys)
        edit(
            tmp_path / "exports" / "leads.csv",
            lambda rows: [
                {**row, "SSN": NUMBER, "Region": "North", "Created": "?" if place == 3 else row["Created"]}
                for place, row in enumerate(rows)
            ],
        )
        return admin

    return made


def exported(admin: Admin) -> str:
    folder = admin.settings.parent / "out"
    admin.run("export", "acme", "--to", str(folder), "--format", "csv")
    return "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.csv"))


def test_a_denied_field_is_stored_nowhere_and_all_else_is(with_settings, tmp_path):
    admin = with_settings('deny_fields = ["*SSN*", "lead.lead_source"]')
    run = admin.json("sync", "acme", "--at", AT, "--yes")
    assert run["set_aside"]["lead"] == 1
    text = exported(admin)
    assert "North" in text
    assert NUMBER not in text
    assert "Referral" not in text, "a field of the common model is left out like any other"
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "leads.csv"]
    assert not [path for path in files if NUMBER.encode() in path.read_bytes()]


def test_without_the_lists_everything_is_read(with_settings):
    admin = with_settings("")
    admin.json("sync", "acme", "--at", AT, "--yes")
    text = exported(admin)
    assert NUMBER in text
    assert "Referral" in text


def test_only_allowed_fields_are_read_beside_what_a_run_can_not_do_without(with_settings):
    admin = with_settings('allow_fields = ["Region", "activity.*"]')
    run = admin.json("sync", "acme", "--at", AT, "--yes")
    assert run["scored"] > 0
    text = exported(admin)
    assert "North" in text
    assert NUMBER not in text
    assert "Referral" not in text


def test_check_tells_a_name_that_protects_from_a_mistake(with_settings):
    admin = with_settings('deny_fields = ["SSN", "Nonsense__c"]')
    admin.json("sync", "acme", "--at", AT, "--yes")
    checks = admin.json("check", "acme")
    (line,) = [row for row in checks if row["name"] == "fields that are read"]
    assert line["state"] == "warning"
    assert "'Nonsense__c'" in line["detail"]
    assert "SSN" not in line["detail"]


def test_what_a_run_needs_can_not_be_denied(with_settings):
    admin = with_settings('deny_fields = ["lead.is_converted"]')
    admin.run("check", "acme")
    assert admin.code == 2
    assert "lead.is_converted" in admin.complained
