"""The shipped settings load the four real data sets, to the figures of the reference."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from statistics import mean, median
from typing import cast

import pyarrow.compute as pc
import pytest

from crmbridge.connectors.files.decode import Decoder
from crmbridge.model.records import Activity, Deal, Lead, Order
from tests.shared_data import shared
from tests.unit.files_connections import aside_of, example, pulled, records_of, table_of

DECODERS: tuple[Decoder, ...] = ("bulk", "models")
FOLDERS = {"maven": "maven-crm", "bank": "bank-marketing", "northwind": "northwind", "cdnow": "cdnow"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "cdnow" else name for name in FOLDERS]
)
def test_every_row_of_the_real_files_becomes_a_record_by_both_decoders_alike(name: str) -> None:
    folder = shared(f"data/{FOLDERS[name]}")
    for object_name in example(name, folder).objects():
        pages = {decoder: pulled(example(name, folder, decoder), object_name) for decoder in DECODERS}
        assert aside_of(pages["bulk"]) == aside_of(pages["models"]) == []
        assert pages["bulk"][-1].complete
        assert pages["models"][-1].complete
        assert table_of(pages["bulk"]).equals(table_of(pages["models"]))


@pytest.mark.parametrize("name", FOLDERS)
def test_the_examples_pass_their_own_check(name: str) -> None:
    items = list(example(name, shared(f"data/{FOLDERS[name]}")).check())
    assert {item.state for item in items} == {"ok"}


def test_maven_gives_its_counts_win_rate_and_days_to_close() -> None:
    connector = example("maven", shared("data/maven-crm"))
    assert list(connector.objects()) == ["rep", "account", "deal"]
    deals = cast(list[Deal], records_of(pulled(connector, "deal")))
    won = [deal for deal in deals if deal.is_won]
    lost = [deal for deal in deals if deal.is_closed and not deal.is_won]
    assert len(deals) == 8800
    assert Counter(deal.stage for deal in deals) == {
        "Won": 4238,
        "Lost": 2473,
        "Engaging": 1589,
        "Prospecting": 500,
    }
    assert (len(won), len(lost)) == (4238, 2473)
    assert sum(deal.amount or 0 for deal in won) == 10_005_534
    assert sum(deal.created_at is None for deal in deals) == 500
    assert sum(deal.account_id is None for deal in deals) == 1425
    days = {
        deal.is_won: [
            round((other.closed_at - other.created_at).total_seconds() / 86400)
            for other in deals
            if other.is_won is deal.is_won and other.closed_at and other.created_at
        ]
        for deal in (won[0], lost[0])
    }
    assert (median(days[True]), median(days[False])) == (57, 14)
    assert median(days[True] + days[False]) == 45
    assert round(mean(days[True] + days[False]), 3) == 47.985
    assert {deal.attributes["product"] for deal in deals} >= {"GTX Pro"}
    assert "GTXPro" not in {deal.attributes["product"] for deal in deals}
    assert len(records_of(pulled(connector, "account"))) == 85
    assert len(records_of(pulled(connector, "rep"))) == 35


def test_bank_gives_a_lead_and_a_call_for_each_row() -> None:
    connector = example("bank", shared("data/bank-marketing"))
    leads = cast(list[Lead], records_of(pulled(connector, "lead")))
    calls = cast(list[Activity], records_of(pulled(connector, "activity")))
    assert [lead.id for lead in leads] == [call.lead_id for call in calls] == [str(k) for k in range(1, 4120)]
    assert sum(lead.is_converted or False for lead in leads) == 451
    assert Counter(call.outcome for call in calls) == {"connected": 451, "no_answer": 3668}
    assert sum(call.duration or 0 for call in calls) == 1_057_710
    assert {lead.created_at for lead in leads} == {datetime(2014, 1, 1, tzinfo=UTC)}
    assert "y" not in leads[0].attributes
    assert leads[0].attributes["duration"] == "487"
    assert "duration" not in calls[0].attributes


def test_northwind_gives_its_orders_revenue_and_days_to_ship() -> None:
    pages = pulled(example("northwind", shared("data/northwind")), "order")
    orders = cast(list[Order], records_of(pages))
    shipped = [
        round((order.fulfilled_at - order.ordered_at).total_seconds() / 86400)
        for order in orders
        if order.fulfilled_at and order.ordered_at
    ]
    assert (len(orders), len(shipped)) == (830, 809)
    assert round(sum((order.amount or Decimal(0) for order in orders), Decimal(0)), 2) == Decimal(
        "1265793.04"
    )
    assert (round(mean(shipped), 3), median(shipped), max(shipped)) == (8.492, 7, 37)
    assert orders[0].attributes["ShipRegion"] is None


def test_cdnow_gives_its_purchases_and_customers() -> None:
    table = table_of(pulled(example("cdnow", shared("data/cdnow")), "order"))
    assert table.num_rows == 69_659
    assert pc.count_distinct(table["account_id"]).as_py() == 23_570
    assert table["account_id"][0].as_py() == "00001"
    assert pc.sum(pc.equal(table["amount"], 0)).as_py() == 80
