"""Every number on the sample organisation's page is the one in the export; without names none is shown."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from crmbridge import Bridge
from crmbridge.demo.run import run_demo

pytestmark = pytest.mark.slow
MOMENT = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)
NUMBER = re.compile(
    r'<data value="([^"]*)" data-table="([^"]*)" data-column="([^"]*)" data-row="([^"]*)">([^<]*)</data>'
)
NAMED = {
    "rep": ("name", "email"),
    "lead": ("first_name || ' ' || last_name", "company", "email", "phone"),
    "contact": ("first_name || ' ' || last_name", "email"),
    "account": ("name", "website"),
    "deal": ("name",),
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    quiet = dict.fromkeys(("log", "progress", "say"), lambda *_, **__: None)
    run_demo(folder, seed=7, clock=lambda: MOMENT, **quiet)
    with Bridge.open(folder / "crmbridge.toml", clock=lambda: MOMENT) as bridge:
        bridge.export("demo", folder / "export", ["parquet"])
        bridge.report("demo", folder / "anonymous.html", anonymous=True)
    return folder


def exported(folder: Path, table: str, column: str, row: dict[str, str | int]) -> object:
    """The one value in the export; of a model's card by its path."""
    if table == "ledger_models":
        query = """SELECT card FROM read_parquet($file)
                   WHERE metric = 'need' AND object = $object AND status = 'published'"""
        ((card,),) = duckdb.execute(
            query, {"file": str(folder / "ledger_models.parquet"), "object": row["object"]}
        ).fetchall()
        part, figure = column.split(".")
        return json.loads(card)[part][row["bin"]][figure]
    where = " AND ".join(f'"{name}" = ?' for name in row)
    source = str(folder / f"{table}.parquet")
    found = duckdb.execute(f'SELECT "{column}" FROM read_parquet(?) WHERE {where}', [source, *row.values()])
    ((value,),) = found.fetchall()
    return value


def test_every_number_on_the_page_is_the_one_in_the_export(demo: Path) -> None:
    page = (demo / "report.html").read_text(encoding="utf-8")
    seen: Counter[str] = Counter()
    for value, table, column, row, _ in NUMBER.findall(page):
        seen[table] += 1
        if table != "report":
            found = exported(demo / "export", table, column, json.loads(html.unescape(row)))
            assert float(value) == float(found), (table, column, row)  # type: ignore[arg-type]
    assert sum(seen.values()) - seen["report"] > 800
    for table in (
        "pipeline_deal_bottlenecks",
        "forecast_deal_forecast",
        "efficiency_rep",
        "market_deal_market",
    ):
        assert seen[table], table


def test_what_the_page_sums_up_itself_adds_up_from_the_export(demo: Path) -> None:
    page = (demo / "report.html").read_text(encoding="utf-8")
    by_column = {
        column: float(value) for value, table, column, *_ in NUMBER.findall(page) if table == "report"
    }
    files = {
        name: str(demo / "export" / f"{name}.parquet") for name in ("deal", "need_deal", "pipeline_deal")
    }
    ((expected, stuck, deals),) = duckdb.execute(
        """SELECT sum(n.score * d.amount::DOUBLE / 100),
                  sum(n.score * d.amount::DOUBLE / 100) FILTER (p.stuck), count(*) FILTER (p.stuck)
           FROM read_parquet($deal) d JOIN read_parquet($need_deal) n USING (id)
           JOIN read_parquet($pipeline_deal) p USING (id) WHERE NOT d.is_closed""",
        files,
    ).fetchall()
    assert by_column["expected"] == pytest.approx(expected)
    assert by_column["changes.stuck"] == pytest.approx(stuck)
    assert by_column["changes.stuck_deals"] == deals


def test_without_names_no_name_of_the_organisation_is_shown(demo: Path) -> None:
    text = html.unescape((demo / "anonymous.html").read_text(encoding="utf-8"))
    names = {
        name
        for table, columns in NAMED.items()
        for column in columns
        for (name,) in duckdb.execute(
            f"SELECT DISTINCT {column} FROM read_parquet(?)", [str(demo / "export" / f"{table}.parquet")]
        ).fetchall()
        if name
    }
    assert len(names) > 10_000
    assert [name for name in names if name in text] == []
