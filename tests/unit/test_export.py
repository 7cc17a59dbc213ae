"""The exports, read back by other code than wrote them: DuckDB for Parquet, Python's csv for CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crmbridge.errors import SettingsError
from crmbridge.report.export import export
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger
from tests.unit.report_store import DEALS, FORMULA, MOMENT, NAME, SCORED_LEADS, filled


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, Lake]]:
    with filled(tmp_path_factory.mktemp("store")) as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(store: tuple[Ledger, Lake], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "deep"
    paths = export(*store, NAME, folder, ["csv", "parquet"], moment=MOMENT)
    assert sorted(paths) == sorted(folder.iterdir())
    return folder


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _parquet(path: Path, order: str = "id") -> list[dict[str, Any]]:
    found = duckdb.sql(f"SELECT * FROM '{path}' ORDER BY {order}")
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def test_every_table_has_its_name_in_both_formats(folder: Path) -> None:
    expected = {
        *("account", "deal", "lead", "rep"),
        *("need_lead", "need_deal", "advice_lead", "advice_deal"),
        *("pipeline_deal", "efficiency_rep"),
        *("pipeline_deal_funnel", "pipeline_deal_deal_summary", "efficiency_rep_efficiency_total"),
        "efficiency_rep_efficiency_by_team",
        *("ledger_runs", "ledger_plans", "ledger_plan_rows", "ledger_models"),
    }
    names = {path.name for path in folder.iterdir()}
    assert names == {f"{name}.{kind}" for name in expected for kind in ("csv", "parquet")} | {"schema.json"}


def test_records_carry_their_own_fields_and_those_of_the_crm_as_text(folder: Path) -> None:
    rows = _parquet(folder / "lead.parquet")
    assert [row["id"] for row in rows] == list(SCORED_LEADS)
    first = rows[0]
    assert first["first_name"] == "Zoë"
    assert first["is_converted"] is False
    assert (first["Region"], first["Employees in IT"], first["VIP"], first["Note"]) == (
        "North",
        "12",
        "true",
        None,
    )
    assert "absent" not in first
    deals = _parquet(folder / "deal.parquet")
    assert [None if row["amount"] is None else str(row["amount"].normalize()) for row in deals] == [
        *("1E+4", "8E+3", "500.5", None, "7E+3"),
    ]


def test_both_formats_say_the_same(folder: Path) -> None:
    for path in sorted(folder.glob("*.parquet")):
        typed, text = _parquet(path, "ALL"), _csv(path.with_suffix(".csv"))
        assert len(typed) == len(text), path.name
        if "id" in (typed[0] if typed else {}):
            assert {row["id"] for row in typed} == {row["id"] for row in text}
    scores = {row["id"]: row["score"] for row in _csv(folder / "need_lead.csv")}
    assert {id: float(text) if text else None for id, text in scores.items()} == SCORED_LEADS
    amounts = {row["id"]: row["amount"] for row in _csv(folder / "deal.csv")}
    assert amounts == {id: amount or "" for id, (_, amount, *_) in DEALS.items()}


def test_a_formula_in_a_name_is_text_in_csv_and_untouched_in_parquet(folder: Path) -> None:
    by_id = {row["id"]: row for row in _csv(folder / "lead.csv")}
    assert by_id["L2"]["last_name"] == "'" + FORMULA
    assert by_id["L2"]["phone"] == "+49 30 1234"
    assert _parquet(folder / "lead.parquet")[1]["last_name"] == FORMULA


def test_the_ledger_goes_along_row_by_row(folder: Path) -> None:
    rows = _parquet(folder / "ledger_plan_rows.parquet", "position")
    assert [row["state"] for row in rows] == ["sent"] * 5 + ["rejected"]
    assert rows[-1]["message"] == "entity is locked"
    assert json.loads(rows[0]["after"]) == {"score": 81.25}
    runs = _parquet(folder / "ledger_runs.parquet", "run")
    assert [run["status"] for run in runs] == ["partly", "done"]
    assert json.loads(runs[0]["summary"])["set_aside"] == {"lead": 1}


def test_the_schema_describes_every_column_that_is_there(folder: Path) -> None:
    schema = json.loads((folder / "schema.json").read_text("utf-8"))
    assert schema["version"] == "1"
    assert schema["moment"] == MOMENT.isoformat()
    for table in schema["tables"]:
        found = duckdb.sql(f"SELECT * FROM '{folder / table['name']}.parquet'")
        assert [column["name"] for column in table["columns"]] == found.columns
        assert table["rows"] == len(found.fetchall())
        assert all(column["meaning"] for column in table["columns"])
    units = {
        (table["name"], column["name"]): column["unit"]
        for table in schema["tables"]
        for column in table["columns"]
    }
    assert units["need_lead", "score_low"] == "percent"
    assert units["efficiency_rep", "communication_efficiency_high"] == "outcomes per hour"
    assert units["lead", "created_at"] == "UTC"


def test_exporting_again_gives_the_same_bytes(
    store: tuple[Ledger, Lake], folder: Path, tmp_path: Path
) -> None:
    export(*store, NAME, tmp_path, ["csv", "parquet"], moment=MOMENT)
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_one_format_alone(store: tuple[Ledger, Lake], tmp_path: Path) -> None:
    export(*store, NAME, tmp_path, ["csv"], moment=MOMENT)
    assert {path.suffix for path in tmp_path.iterdir()} == {".csv", ".json"}


@pytest.mark.parametrize("formats", [["xlsx"], ["csv", ""], []])
def test_an_unknown_format_is_refused_before_anything_is_written(
    store: tuple[Ledger, Lake], tmp_path: Path, formats: list[str]
) -> None:
    with pytest.raises(SettingsError, match="parquet, csv"):
        export(*store, NAME, tmp_path, formats, moment=MOMENT)
    assert list(tmp_path.iterdir()) == []


def test_the_tables_of_the_ledger_are_in_the_docs(folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "exports.md").read_text("utf-8")
    for path in folder.glob("ledger_*.parquet"):
        assert f"`{path.stem}`" in page
