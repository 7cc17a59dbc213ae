"""Efficiency per team, deal, deal type and channel; coverage; what has changed since the window before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from crmbridge.metrics.efficiency.trend import chance_of_rise, trends
from crmbridge.model.results import Results
from tests.unit.efficiency_kit import NOW, by_id, call, efficiency, frame, total

EARLIER = NOW - timedelta(days=120)
"""In the window before."""


def by(grouping: str, results: Results) -> dict[str, dict[str, Any]]:
    rows = results.tables[f"efficiency_by_{grouping}"].to_pylist()
    return {row["name"]: row for row in rows}


def test_a_team_is_the_reps_of_a_role() -> None:
    reps = [
        {"id": "r1", "role": "Inside"},
        {"id": "r2", "role": "Inside"},
        {"id": "r3", "role": "Field"},
        {"id": "r4", "role": None},
    ]
    calls = [call(id=id, owner_id=id) for id in ("r1", "r2", "r3", "r4", "a stranger")]
    teams = by("team", efficiency(frame({"activity": calls, "rep": reps})))
    assert {name: row["communications"] for name, row in teams.items()} == {"Field": 1, "Inside": 2}
    assert teams["Inside"]["communication_raw"] == 6.0


def test_a_team_may_be_an_attribute_of_the_crm() -> None:
    reps = [
        {"id": "r1", "role": "x", "attributes.Department": '"North'},
        {"id": "r2", "role": "x", "attributes.Department": "7"},
        {"id": "r3", "role": "x", "attributes.Department": "null"},
        {"id": "r4", "role": "x", "attributes.Department": '"  '},
    ]
    calls = [call(id=id, owner_id=id) for id in ("r1", "r2", "r3", "r4")]
    teams = by("team", efficiency(frame({"activity": calls, "rep": reps}), team="Department"))
    assert {name: row["communications"] for name, row in teams.items()} == {"7": 1, "North": 1}


def test_channels_are_the_kinds_of_communications() -> None:
    calls = [
        call(id="1"),
        call(id="2", outcome="no_answer"),
        call(id="3", kind="meeting", outcome="held", duration=3600.0),
        call(id="4", kind="email", outcome="replied", duration=None),
        call(id="5", kind="task"),
    ]
    channels = by("channel", efficiency(frame({"activity": calls})))
    assert {name: row["communication_raw"] for name, row in channels.items()} == {
        "call": 3.0,
        "email": None,
        "meeting": 1.0,
    }
    assert channels["email"]["time_coverage"] == 0.0
    assert (
        channels["call"]["communication_efficiency_low"]
        < 3.0
        < channels["call"]["communication_efficiency_high"]
    )
    assert "won" not in channels["call"]


def test_a_deal_type_has_its_deals_their_communications_and_their_orders() -> None:
    deal = {"owner_id": "r1", "is_closed": True, "closed_at": NOW - timedelta(days=1)}
    deals = [
        deal | {"id": "d1", "type": "New", "is_won": True},
        deal | {"id": "d2", "type": "New", "is_won": False},
        deal | {"id": "d3", "type": "Renewal", "is_won": True},
        deal | {"id": "d4", "type": None, "is_won": True},
        deal | {"id": "d5", "type": " ", "is_won": True},
    ]
    calls = [call(id=id, deal_id=id, duration=1800.0) for id in ("d1", "d2", "d3", "d4", "d5")]
    orders = [{"id": "o", "deal_id": "d3", "ordered_at": NOW - timedelta(days=4), "fulfilled_at": NOW}]
    types = by("deal_type", efficiency(frame({"activity": calls, "deal": deals, "order": orders})))
    assert set(types) == {"New", "Renewal"}
    assert (types["New"]["won"], types["New"]["lost"], types["New"]["follow_up_raw"]) == (1, 1, 1.0)
    assert types["New"]["communications"] == 2
    assert types["Renewal"]["follow_up_raw"] == 2.0
    assert types["Renewal"]["order_raw"] == pytest.approx(1 / (4 + 1 / 24))  # clocks changed in between
    assert types["New"]["order_raw"] is None


def test_a_deal_has_its_communications_its_orders_and_the_hours_spent_on_it_so_far() -> None:
    calls = [
        call(id="1", deal_id="d1", duration=1800.0),
        call(id="2", deal_id="d1", duration=1800.0, started_at=NOW - timedelta(days=400)),
        call(id="3", deal_id="quiet", started_at=NOW - timedelta(days=400)),
    ]
    orders = [{"id": "o", "deal_id": "d1", "ordered_at": NOW - timedelta(days=1), "fulfilled_at": NOW}]
    deals = [{"id": "d1"}, {"id": "quiet"}, {"id": "untouched"}]
    found = by_id(efficiency(frame({"activity": calls, "deal": deals, "order": orders}), "deal"))
    assert list(found) == ["d1"]
    assert found["d1"]["communication_raw"] == 2.0
    assert found["d1"]["follow_up_hours"] == 1.0
    assert found["d1"]["order_raw"] == 1.0
    assert "follow_up_efficiency" not in found["d1"]


def test_every_efficiency_says_how_much_of_it_was_measured() -> None:
    calls = [call(id="1", deal_id="d1"), call(id="2", duration=None)]
    deal = {"owner_id": "r1", "is_closed": True, "is_won": True, "closed_at": NOW}
    deals = [deal | {"id": id} for id in ("d1", "d2", "d3", "d4")]
    order = {"owner_id": "r1", "fulfilled_at": NOW - timedelta(days=1)}
    orders = [
        order | {"id": "1", "ordered_at": NOW - timedelta(days=2)},
        order | {"id": "2", "ordered_at": None},
        order | {"id": "3", "ordered_at": NOW},
        order | {"id": "4", "ordered_at": NOW - timedelta(days=2), "fulfilled_at": None},
    ]
    found = total(efficiency(frame({"activity": calls, "deal": deals, "order": orders})))
    assert found["time_coverage"] == 0.5
    assert found["follow_up_coverage"] == 0.25
    assert found["order_coverage"] == pytest.approx(1 / 3)


def test_amounts_of_several_currencies_are_added_up_for_nobody() -> None:
    deal = {"owner_id": "r1", "is_won": True, "is_closed": True, "closed_at": NOW, "amount": 10}
    deals = [deal | {"id": "1", "currency": "EUR"}, deal | {"id": "2", "currency": "USD"}]
    found = by_id(efficiency(frame({"deal": deals, "rep": [{"id": "r1"}]})))["r1"]
    assert (found["won"], found["won_amount"], found["amount_per_hour"]) == (2, None, None)


@pytest.mark.parametrize(
    ("before", "now", "trend"), [(2, 40, "rising"), (40, 2, "falling"), (10, 12, "unclear"), (0, 3, None)]
)
def test_a_rate_is_called_rising_or_falling_only_where_that_is_sure(
    before: int, now: int, trend: str | None
) -> None:
    def calls(successes: int, at: Any) -> list[dict[str, Any]]:
        outcomes = ["connected"] * successes + ["no_answer"] * (60 - successes)
        found = [call(outcome=outcome, started_at=at, duration=60.0) for outcome in outcomes]
        return found if successes else []

    rows = [*calls(before, EARLIER), *calls(now, NOW - timedelta(days=3))]
    known = frame(
        {
            "activity": [row | {"id": str(n)} for n, row in enumerate(rows)],
            "rep": [{"id": "r1", "role": "Inside"}],
        }
    )
    results = efficiency(known)
    found = [
        by_id(results)["r1"],
        total(results),
        by("team", results)["Inside"],
        by("channel", results)["call"],
    ]
    for row in found:
        assert row["communication_trend"] == trend
        assert row["communication_before"] == (pytest.approx(before) if before else None)
    assert total(results, "all")["communication_trend"] is None


def test_the_chance_of_a_rise_is_that_of_simulation() -> None:
    rng = np.random.default_rng(11)
    for x, t, y, u in ((4.0, 2.0, 9.0, 10.0), (0.0, 1.0, 3.0, 2.0), (30.0, 9.0, 20.0, 9.0)):
        now, before = rng.gamma(x + 0.5, 1 / t, 200_000), rng.gamma(y + 0.5, 1 / u, 200_000)
        (chance,) = chance_of_rise(*(np.array([value]) for value in (x, t, y, u)))
        assert chance == pytest.approx((now > before).mean(), abs=0.005)


def test_where_nothing_changed_a_trend_is_called_about_once_in_a_hundred() -> None:
    rng = np.random.default_rng(20_261_124)
    times, before = rng.gamma(3, 10, 40_000), rng.gamma(3, 10, 40_000)
    rates = rng.gamma(2, 0.5, 40_000)
    chance = chance_of_rise(
        rng.poisson(rates * times).astype(float), times, rng.poisson(rates * before).astype(float), before
    )
    called = np.array([word != "unclear" for word in trends(chance).to_pylist()])
    assert called.mean() < 0.015


@pytest.mark.parametrize("scale", [1e-9, 1e12])
def test_no_scale_breaks_the_trend(scale: float) -> None:
    counts, times = np.array([0.0, 5.0, 7.0]), np.array([1.0, 2.0, 0.0]) * scale
    chance = chance_of_rise(counts, times, counts[::-1].copy(), times)
    assert np.isfinite(chance).tolist() == [True, True, False]
    assert ((chance[:2] >= 0) & (chance[:2] <= 1)).all()


def test_every_grouping_is_ranked_only_where_intervals_do_not_overlap() -> None:
    rates = {"fast": 30, "slow": 2, "slower": 1}
    calls = [
        call(owner_id=name, account_id=name, outcome="held" if n < number else "other", duration=120.0)
        for name, number in rates.items()
        for n in range(60)
    ]
    calls = [row | {"id": str(n)} for n, row in enumerate(calls)]
    accounts = [{"id": name} for name in (*rates, "silent")]
    known = frame(
        {
            "activity": calls,
            "rep": [{"id": name, "role": name} for name in rates],
            "account": accounts,
        }
    )
    expected = {"fast": (1, 2), "slow": (2, 0), "slower": (2, 0)}
    ranked = efficiency(known).tables["ranking"].to_pylist()
    for grouping in ("rep", "team"):
        rows = [row for row in ranked if row["grouping"] == grouping]
        assert {row["id"]: (row["tier"], row["better_than"]) for row in rows} == expected
        assert [row["id"] for row in rows] == list(expected)
    found = by_id(efficiency(known, "account"))
    assert {
        id: (row["communication_tier"], row["communication_better_than"]) for id, row in found.items()
    } == expected | {"silent": (None, None)}
