"""`crmbridge init` on exports: real column names where they can be known, a question where not."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path
from typing import Any

import pytest

from crmbridge import config
from crmbridge.errors import SettingsError
from crmbridge.init import write_settings
from crmbridge.init.names import object_of, words
from crmbridge.plugins import Plugins

LEADS = [
    {
        "Record ID": f"00{number}",
        "Create Date": f"{number + 1:02}.03.2026 08:15",
        "LeadOwner": "r1",
        "Email Address": f"a{number}@x.example",
        "Original Source": "Web",
        "Converted": "Yes" if number % 2 else "No",
        "Conversion Date": f"{number + 2:02}.04.2026 10:00" if number % 2 else "",
        "Annual Revenue": "1.234,50",
        "Budget": "high",
    }
    for number in range(20)
]


def export(folder: Path, name: str, rows: list[dict[str, Any]], **form: Any) -> None:
    folder.mkdir(exist_ok=True)
    encoding = form.pop("encoding", "utf-8")
    with (folder / name).open("w", encoding=encoding, newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), **form)
        writer.writeheader()
        writer.writerows(rows)


def written(home: Path, **given: Any) -> tuple[dict[str, Any], list[str]]:
    """The connection's settings as TOML reads them, and what was said."""

    def nobody(question: str, default: str | None) -> str:
        raise AssertionError(question)

    path = given.pop("path", home / "crmbridge.toml")
    given = {"connector": "files", "name": "acme", "folder": str(home / "export"), **given}
    said = write_settings(path, plugins=Plugins.load([]), ask=nobody, **given).said
    config.load(path).connection("acme", Plugins.load([]))
    return tomllib.loads(path.read_text(encoding="utf-8"))["connections"]["acme"], said


def test_names_are_compared_word_by_word():
    assert words("OrderID") == words("order_id") == words("Order ID") == "order id"
    assert object_of("Opportunity History 2026") == "stage_change"
    assert object_of("Opportunities") == "deal"
    assert object_of("products") is None


def test_a_real_export_needs_no_hand(tmp_path):
    export(tmp_path / "export", "Leads 2026-11.csv", LEADS, delimiter=";")
    lead = written(tmp_path)[0]["lead"]
    assert lead["file"] == "Leads 2026-11.csv"
    assert lead["id"] == "Record ID"
    assert lead["date_format"] == ["%d.%m.%Y %H:%M"]
    assert lead["decimal"] == ","
    assert lead["fields"] == {
        "created_at": "Create Date",
        "owner_id": "LeadOwner",
        "email": "Email Address",
        "lead_source": "Original Source",
        "is_converted": "Converted",
        "converted_at": "Conversion Date",
        "annual_revenue": "Annual Revenue",
    }


def test_a_column_whose_values_do_not_fit_is_asked_for(tmp_path):
    rows = [{**row, "Converted": "maybe", "Conversion Date": "soon"} for row in LEADS]
    export(tmp_path / "export", "leads.csv", rows)
    lead = written(tmp_path)[0]["lead"]
    assert not {"is_converted", "converted_at"} & lead["fields"].keys()
    text = (tmp_path / "crmbridge.toml").read_text()
    assert '# is_converted = "..."' in text


def test_stages_outcomes_and_kinds_are_translated(tmp_path):
    deals = [
        {"Deal ID": str(number), "Deal Stage": stage, "Created": "2026-01-02", "Is Won": "0"}
        for number, stage in enumerate(["Open", "Closed Won", "Closed Lost", "Negotiation"])
    ]
    calls = [
        {"ID": str(number), "Start": "2026-01-02 10:00", "Type": kind, "Call Result": result}
        for number, (kind, result) in enumerate(
            [
                ("Phone call", "Connected"),
                ("Call", "No answer"),
                ("Meeting", "Something"),
                ("Pigeon", "Connected"),
            ]
        )
    ]
    export(tmp_path / "export", "deals.csv", deals)
    export(tmp_path / "export", "activities.csv", calls)
    found = written(tmp_path)[0]
    assert found["deal"]["stages"] == {"won": ["Closed Won"], "lost": ["Closed Lost"]}
    assert "is_won" not in found["deal"]["fields"]
    assert found["activity"]["replace"] == {"Type": {"Phone call": "call"}}
    assert found["activity"]["outcomes"] == {
        "Connected": "connected",
        "No answer": "no_answer",
        "Something": "other",
    }


def test_activities_without_a_kind_take_it_from_the_file_name(tmp_path):
    export(tmp_path / "export", "Meetings.csv", [{"Meeting ID": "1", "Start Time": "2026-01-02 10:00"}])
    assert written(tmp_path)[0]["activity"]["constants"] == {"kind": "meeting"}


def test_what_an_object_can_not_do_without_is_left_as_a_comment(tmp_path):
    export(tmp_path / "export", "opportunity_history.csv", [{"ID": "1", "New Stage": "Open"}])
    found, _ = written(tmp_path)
    assert "stage_change" not in found
    assert "# Not ready: every stage_change needs deal_id, at." in (tmp_path / "crmbridge.toml").read_text()


def test_files_of_the_same_columns_belong_together_others_are_told(tmp_path):
    export(tmp_path / "export", "leads-1.csv", LEADS[:10])
    export(tmp_path / "export", "leads-2.csv", LEADS[10:])
    export(tmp_path / "export", "lead notes.csv", [{"a": "1", "b": "2"}])
    export(tmp_path / "export", "products.csv", [{"a": "1", "b": "2"}])
    found, said = written(tmp_path)
    assert found["lead"]["file"] == ["leads-1.csv", "leads-2.csv"]
    assert any(line.startswith("lead notes.csv: not used") for line in said)
    assert any(line.startswith("products.csv: not used") for line in said)


def test_the_folder_counts_from_where_one_stands(tmp_path, monkeypatch):
    export(tmp_path / "export", "leads.csv", LEADS)
    monkeypatch.chdir(tmp_path)
    found, _ = written(tmp_path, path=Path("settings") / "crm.toml", folder="export")
    assert found["path"] == "../export"


@pytest.mark.parametrize("text", ['Deal "A" \\ B', "Größe [x]", "a#b = c", "two\nlines", "\x7f"])
def test_odd_column_names_survive(tmp_path, text):
    export(tmp_path / "export", "leads.csv", [{**row, text: "x"} for row in LEADS])
    assert "lead" in written(tmp_path)[0]
    export(tmp_path / "other", "calls.csv", [{"Call ID": "1", "Start": "2026-01-02", "Outcome": text}])
    found, _ = written(tmp_path, path=tmp_path / "b.toml", folder=str(tmp_path / "other"))
    assert found["activity"]["outcomes"] == {text: "other"}


def test_an_empty_or_missing_folder_gives_an_example_to_fill_in(tmp_path):
    found, said = written(tmp_path)
    assert found["lead"]["file"] == "leads.csv"
    assert any("no folder" in line for line in said)


@pytest.mark.parametrize("name", ["bad name", "1st", "a.b", "x]"])
def test_a_name_that_can_not_be_one_is_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(SettingsError, match="can't be a connection's name"):
        written(tmp_path, name=name)
    assert not (tmp_path / "crmbridge.toml").exists()


def test_an_existing_file_is_never_overwritten(tmp_path):
    written(tmp_path)
    with pytest.raises(SettingsError, match="already there"):
        written(tmp_path)
