"""Market: figures by group with a correction for looking at many, and how much of a change is mix."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.market import MarketMetric, compare
from crmbridge.metrics.market.moved import moved, won_value_moved
from crmbridge.model.columns import to_table
from crmbridge.model.records import Account, Deal, Rep
from tests.shared_data import shared

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)


def frame(records: Mapping[Any, Sequence[Any]], moment: datetime = NOW) -> Frame:
    tables = {name: to_table(name, list(rows)) for name, rows in records.items()}
    return Frame.of(tables, moment=moment, zone=ZoneInfo("UTC"))


def run(found: Frame, **settings: Any) -> tuple[Any, dict[str, list[dict[str, Any]]]]:
    metric = MarketMetric(MetricSettings(**settings))
    model = metric.fit("deal", found)
    tables = metric.apply("deal", found, model).tables
    return model.card, {name: table.to_pylist() for name, table in tables.items()}


def row(tables: Any, dimension: str, group: str, measure: str) -> dict[str, Any]:
    (found,) = (
        each
        for each in tables["market"]
        if (each["dimension"], each["group"], each["measure"]) == (dimension, group, measure)
    )
    return dict(found)


def maven() -> Frame:
    def rows(name: str) -> list[dict[str, str]]:
        with shared(f"data/maven-crm/{name}.csv").open(encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    def day(text: str) -> datetime | None:
        return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None

    deals = [
        Deal(
            id=each["opportunity_id"],
            owner_id=each["sales_agent"],
            account_id=each["account"] or None,
            stage=each["deal_stage"],
            is_won=each["deal_stage"] == "Won",
            is_closed=each["deal_stage"] in ("Won", "Lost"),
            created_at=day(each["engage_date"]),
            closed_at=day(each["close_date"]),
            amount=each["close_value"] or None,
            attributes={"product": each["product"].replace("GTXPro", "GTX Pro")},
        )
        for each in rows("sales_pipeline")
    ]
    accounts = [
        Account(id=a["account"], industry=a["sector"], country=a["office_location"], employees=a["employees"])
        for a in rows("accounts")
    ]
    reps = [
        Rep(id=a["sales_agent"], name=a["sales_agent"], role=a["regional_office"])
        for a in rows("sales_teams")
    ]
    return frame({"deal": deals, "account": accounts, "rep": reps}, datetime(2018, 1, 1, 12, tzinfo=UTC))


def test_mavens_regions_and_quarters_and_that_nothing_stands_out_by_more_than_chance() -> None:
    card, tables = run(maven())
    for team, rate in {"West": 0.6394, "East": 0.6302, "Central": 0.6256}.items():
        assert row(tables, "team", team, "win_rate")["value"] == pytest.approx(rate, abs=5e-5)
    quarters = {each["quarter"]: each for each in tables["quarters"]}
    won = [quarters[f"2017-Q{n}"]["won_value"] for n in (1, 2, 3, 4)]
    assert won == [1_134_672, 3_086_111, 2_982_255, 2_802_496]
    assert sum(each["won"] for each in tables["quarters"]) == card["won"] == 4238
    assert card["closed"] == 6711
    assert card["dimensions"]["product"] == 7  # GTXPro and GTX Pro are one
    rates = [each for each in tables["market"] if each["measure"] == "win_rate"]
    assert not [each["group"] for each in rates if each["stands_out"]]
    # Prices do differ between products: that is found.
    assert row(tables, "product", "GTK 500", "value")["stands_out"] == "above"
    assert row(tables, "product", "MG Special", "value")["stands_out"] == "below"


def deals(number: int, *, seed: int, effect: float = 0.0, groups: int = 6) -> list[Deal]:
    """Closed deals from several sources; those of the first are won more often by `effect`."""
    draw = np.random.default_rng(seed)
    found = []
    for n in range(number):
        group = int(draw.integers(groups))
        made = NOW - timedelta(days=float(draw.uniform(30, 900)))
        won = bool(draw.random() < 0.4 + (effect if group == 0 else 0.0))
        found.append(
            Deal(
                id=f"D{n}",
                lead_source=f"Source {group}",
                type=["New", "Renewal"][int(draw.integers(2))],
                is_won=won,
                is_closed=True,
                created_at=made,
                closed_at=made + timedelta(days=float(draw.uniform(1, 29))),
                amount=round(float(draw.lognormal(8, 1)), 2),
            )
        )
    return found


def test_a_group_that_is_better_is_found_and_the_others_are_not() -> None:
    card, tables = run(frame({"deal": deals(3000, seed=3, effect=0.15)}))
    better = row(tables, "source", "Source 0", "win_rate")
    assert better["stands_out"] == "above"
    assert better["low"] < 0.55 < better["high"]
    assert better["q_value"] >= better["p_value"]
    assert "hold after correction" in card["verdict"][0]


@pytest.mark.slow
def test_of_many_groups_without_any_difference_hardly_ever_one_is_called_different() -> None:
    called = 0
    for seed in range(20):
        _, tables = run(frame({"deal": deals(600, seed=100 + seed, groups=12)}))
        called += any(each["stands_out"] for each in tables["market"])
    assert called <= 6  # at a false discovery rate of 10 %, more than 6 of 20 has a chance of 1 in 400


def test_the_change_is_the_sum_of_mix_and_within_by_hand() -> None:
    # Before: 10 of A (8 won), 10 of B (2 won): 50 %. After: 15 of A (12 won), 5 of B (1 won): 65 %, all mix.
    before = np.repeat([0, 1], [10, 10]), np.repeat([1.0, 0, 1, 0], [8, 2, 2, 8])
    after = np.repeat([0, 1], [15, 5]), np.repeat([1.0, 0, 1, 0], [12, 3, 1, 4])
    found = moved((before[0], after[0]), (before[1], after[1]), 3)
    assert found is not None
    assert (found.before, found.after) == pytest.approx((0.5, 0.65))
    assert (found.mix, found.within) == pytest.approx((0.15, 0.0))
    same = moved((before[0], before[0]), (before[1], np.ones(20)), 3)
    assert same is not None
    assert (same.mix, same.within) == pytest.approx((0.0, 0.5))


def test_every_split_adds_up_exactly_new_groups_included() -> None:
    draw = np.random.default_rng(4)
    for _ in range(50):
        groups = [draw.integers(0, draw.integers(2, 6), draw.integers(1, 40)) for _ in range(2)]
        values = [draw.lognormal(3, 1, len(each)) for each in groups]
        found = moved((groups[0], groups[1]), (values[0], values[1]), 6)
        assert found is not None
        assert found.mix + found.within == pytest.approx(found.after - found.before)
        assert found.mix_of.sum() + found.within_of.sum() == pytest.approx(found.after - found.before)


def test_what_was_won_is_split_into_deals_win_rate_and_value() -> None:
    parts = won_value_moved((100, 0.5, 1000), (120, 0.4, 1500))
    assert parts is not None
    assert sum(parts) == pytest.approx(120 * 0.4 * 1500 - 100 * 0.5 * 1000)
    assert parts[0] > 0 > parts[1]
    assert won_value_moved((100, 0.5, 1000), (100, 0.5, 1000)) == pytest.approx((0, 0, 0))
    assert won_value_moved((100, 0.0, 1000), (100, 0.5, 1000)) is None


def test_the_last_two_whole_quarters_are_compared() -> None:
    card, tables = run(frame({"deal": deals(2000, seed=8)}))
    assert card["last_quarter"] == "2026-Q2"
    assert {(each["before_quarter"], each["quarter"]) for each in tables["moved"]} == {("2026-Q1", "2026-Q2")}
    quarters = {each["quarter"]: each for each in tables["quarters"]}
    for each in tables["moved"]:
        if each["measure"] == "win_rate":
            assert each["before"] == pytest.approx(quarters["2026-Q1"]["win_rate"])
            assert each["after"] == pytest.approx(quarters["2026-Q2"]["win_rate"])
            own = [
                g
                for g in tables["moved_groups"]
                if (g["dimension"], g["measure"]) == (each["dimension"], "win_rate")
            ]
            assert sum(g["mix"] + g["within"] for g in own) == pytest.approx(each["change"])
            assert sum(g["share_after"] for g in own) == pytest.approx(1)
    value = [each["change"] for each in tables["moved"] if each["measure"] == "won_value"]
    assert sum(value) == pytest.approx(quarters["2026-Q2"]["won_value"] - quarters["2026-Q1"]["won_value"])


def test_growth_is_the_last_whole_quarter_against_the_one_before() -> None:
    q1, q2 = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    rows = [
        Deal(id=f"{source}{at.month}-{n}", lead_source=source, is_won=True, is_closed=True, closed_at=at)
        for source, at, number in (("Web", q1, 20), ("Web", q2, 40), ("Fair", q1, 20), ("Fair", q2, 20))
        for n in range(number)
    ]
    _, tables = run(frame({"deal": rows}))
    web = row(tables, "source", "Web", "growth")
    assert (web["value"], web["others"]) == (1.0, 0.0)
    assert web["low"] < 1.0 < web["high"]


def test_amounts_in_several_currencies_are_not_compared() -> None:
    rows = [
        each.model_copy(update={"currency": "EUR" if n % 2 else "USD"})
        for n, each in enumerate(deals(300, seed=5))
    ]
    card, tables = run(frame({"deal": rows}))
    assert any("several currencies" in said for said in card["verdict"])
    assert {each["value"] for each in tables["market"] if each["measure"] == "value"} == {None}
    assert {each["won_value"] for each in tables["quarters"]} == {None}


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [Deal(id="1", is_closed=True)],
        [Deal(id=str(n), is_closed=True, lead_source="Web") for n in range(30)],
        [Deal(id=str(n), is_won=True, amount=0, lead_source="AB"[n % 2], closed_at=NOW) for n in range(40)],
        [
            Deal(
                id=str(n),
                is_won=bool(n % 3),
                is_closed=True,
                amount=5,
                lead_source="AB"[n % 2],
                created_at=NOW,
                closed_at=NOW - timedelta(days=100 * (n % 2)),
            )
            for n in range(60)
        ],
    ],
    ids=["none", "one", "none won", "all won for nothing", "closed before they were made"],
)
def test_at_the_edges_nothing_is_infinite(rows: list[Deal]) -> None:
    card, tables = run(frame({"deal": rows}))
    assert card["verdict"]
    for table in tables.values():
        for each in table:
            assert all(math.isfinite(value) for value in each.values() if isinstance(value, float)), each
            assert each.get("median_days") is None or each["median_days"] >= 0


def test_the_correction_is_benjamini_and_hochbergs() -> None:
    # The paper's example: of 15 p-values four are kept at 5 %.
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324, 0.4262, 0.5719,
                0.6528, 0.759, 1.0]  # fmt: skip
    found = compare.corrected([None, *p_values])
    assert found[0] is None
    assert sum(q is not None and q <= 0.05 for q in found) == 4


def test_the_test_of_days_is_mann_and_whitneys() -> None:
    rows = [
        each.model_copy(update={"closed_at": each.created_at + timedelta(days=n % 9 + (n % 6 == 0))})
        for n, each in enumerate(deals(300, seed=6, effect=0.1))
        if each.created_at is not None
    ]
    _, tables = run(frame({"deal": rows}))
    won = [each for each in rows if each.is_won]
    days = {
        source: [(each.closed_at - each.created_at).days for each in won if each.lead_source == source]  # type: ignore[operator]
        for source in {each.lead_source for each in won}
    }
    for source, own in days.items():
        others = [day for name, each in days.items() if name != source for day in each]
        known = mannwhitneyu(own, others, method="asymptotic").pvalue
        assert row(tables, "source", str(source), "days")["p_value"] == pytest.approx(known)
