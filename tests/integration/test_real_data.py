"""Four public data sets load through the shipped settings alone and give the figures known of them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from crmbridge.cli import main
from tests.shared_data import shared

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FOLDERS = {"maven": "maven-crm", "bank": "bank-marketing", "northwind": "northwind", "cdnow": "cdnow"}
MOMENTS = {"maven": "2018-01-01", "bank": "2015-01-01", "northwind": "1998-05-07", "cdnow": "1998-07-01"}


class Loaded:
    """One data set after a dry run; commands on it, and the tables it exports."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.run: dict[str, Any] = {}

    def command(self, *arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["--config", str(self.folder / f"{self.name}.toml"), *arguments])
        return int(ended.value.code or 0)

    def table(self, table: str) -> list[dict[str, str]]:
        with (self.folder / "tables" / f"{table}.csv").open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.DictReader(stream))


def load(name: str, folder: Path) -> Loaded:
    """The shipped settings, with nothing changed but where the files are: through the environment."""
    data = shared(f"data/{FOLDERS[name]}")
    shutil.copy(EXAMPLES / f"{name}.toml", folder)
    found = Loaded(name, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(f"CRMBRIDGE_CONNECTIONS__{name.upper()}__PATH", str(data))
        at = f"{MOMENTS[name]}T00:00:00Z"
        assert found.command("sync", name, "--at", at, "--dry-run", "--json") == 0
        assert (
            found.command("export", name, "--at", at, "--to", str(folder / "tables"), "--format", "csv") == 0
        )
    return found


@pytest.fixture(scope="module")
def maven(tmp_path_factory):
    return load("maven", tmp_path_factory.mktemp("maven"))


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return load("bank", tmp_path_factory.mktemp("bank"))


@pytest.fixture(scope="module")
def northwind(tmp_path_factory):
    return load("northwind", tmp_path_factory.mktemp("northwind"))


@pytest.fixture(scope="module")
def cdnow(tmp_path_factory):
    return load("cdnow", tmp_path_factory.mktemp("cdnow"))


def card(loaded: Loaded, object_name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        data = shared(f"data/{FOLDERS[loaded.name]}")
        patch.setenv(f"CRMBRIDGE_CONNECTIONS__{loaded.name.upper()}__PATH", str(data))
        assert loaded.command("model", loaded.name, object_name, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["model"]["card"]
    return found


def test_mavens_counts_win_rate_and_days_to_close(maven):
    assert len(maven.table("deal")) == 8800
    figures = {
        (row["figure"], row["stage"]): float(row["value"])
        for row in maven.table("pipeline_deal_deal_summary")
        if row["value"]
    }
    assert (figures["won", ""], figures["lost", ""]) == (4238, 2473)
    assert (figures["open", "Engaging"], figures["open", "Prospecting"]) == (1589, 500)
    assert figures["win_rate", ""] == pytest.approx(0.6315, abs=5e-5)
    assert figures["won_value", ""] == 10_005_534
    assert figures["days_to_close_median", ""] == 45
    assert figures["days_to_close_mean", ""] == pytest.approx(47.985, abs=5e-4)
    assert figures["days_to_close_won_median", ""] == 57
    assert figures["days_to_close_lost_median", ""] == 14


def test_mavens_card_says_that_the_outcome_can_not_be_predicted(maven, capsys):
    found = card(maven, "deal", capsys)
    assert "The outcome can't be predicted from these columns" in found["verdict"][0]
    assert found["split"]["kind"] == "time"
    assert found["metrics"]["auc_all_inputs"]["value"] < 0.6
    scores = {row["score"] for row in maven.table("need_deal")}
    assert len(scores) == 1  # the base rate for everybody: nothing else would be honest


def test_a_bank_export_without_dates_is_not_split_in_time_and_the_card_says_why(bank, capsys):
    found = card(bank, "lead", capsys)
    assert (found["outcomes"]["positives"], found["outcomes"]["used_records"]) == (451, 4119)
    assert found["split"]["kind"] != "time"
    assert "created_at is the same for all records" in found["split"]["refused"]
    assert "duration" not in json.dumps(found["inputs"])
    assert 0.74 < found["metrics"]["auc"]["value"] < 0.81


def test_the_banks_communication_efficiency(bank):
    (row, _) = bank.table("efficiency_rep_efficiency_total")
    assert (row["successes"], row["communications"]) == ("451", "4119")
    assert float(row["communication_efficiency"]) == pytest.approx(1.535014, abs=5e-7)


def test_northwinds_order_efficiency_overall_and_by_employee(northwind):
    assert len(northwind.table("order")) == 830
    (row, _) = northwind.table("efficiency_rep_efficiency_total")
    assert row["orders_fulfilled"] == "809"
    assert float(row["order_efficiency"]) == pytest.approx(0.117758, abs=5e-7)
    by_employee = {
        row["record_id"]: round(float(row["order_raw"]), 4)
        for row in northwind.table("efficiency_rep_efficiency_by_rep")
    }
    known = [0.1289, 0.1242, 0.1187, 0.1134, 0.1424, 0.1100, 0.1194, 0.1152, 0.0921]
    assert by_employee == {str(number): rate for number, rate in enumerate(known, 1)}


def test_cdnows_purchases_load(cdnow):
    orders = cdnow.table("order")
    assert len(orders) == 69_659
    assert len({row["account_id"] for row in orders}) == 23_570


def test_mavens_regions_products_and_quarters(maven):
    rows = maven.table("market_deal_market")
    rates = {
        row["group"]: round(float(row["value"]), 4)
        for row in rows
        if (row["dimension"], row["measure"]) == ("team", "win_rate")
    }
    assert rates == {"West": 0.6394, "East": 0.6302, "Central": 0.6256}
    assert not [row for row in rows if row["measure"] == "win_rate" and row["stands_out"]]
    assert len({row["group"] for row in rows if row["dimension"] == "product"}) == 7
    quarters = {row["quarter"]: float(row["won_value"]) for row in maven.table("market_deal_quarters")}
    won = [quarters[f"2017-Q{number}"] for number in (1, 2, 3, 4)]
    assert won == [1_134_672, 3_086_111, 2_982_255, 2_802_496]


def test_cdnows_customers_get_a_value_and_northwinds_groups(cdnow, northwind):
    figures = {row["figure"]: float(row["value"]) for row in cdnow.table("value_account_value_summary")}
    assert figures["customers"] == 23_570
    assert 0 < figures["clv_12m"] < figures["value_12m"]
    assert len(cdnow.table("value_account_customers_without_record")) == 23_570
    groups = northwind.table("segments_account_segments")
    assert sum(int(row["customers"]) for row in groups) == len(
        {row["account_id"] for row in northwind.table("order")}
    )
    assert sum(int(row["orders"]) for row in groups) == 830


def test_the_report_shows_mavens_market_and_data(maven, tmp_path):
    page = tmp_path / "maven.html"
    assert maven.command("report", "maven", "--at", "2018-01-01T00:00:00Z", "-o", str(page)) == 0
    text = page.read_text(encoding="utf-8")
    assert '<h2 id="market">' in text
    assert "2017-Q4" in text
    assert "MG Special" in text
    assert '<h2 id="quality">' in text
    assert '<h2 id="customers">' not in text  # there are no orders
