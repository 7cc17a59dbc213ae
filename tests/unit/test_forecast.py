"""The forecast: intervals that hold, chances that are the scores', and nothing said of nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.forecast import ForecastMetric
from crmbridge.metrics.forecast.curves import by, learn
from crmbridge.metrics.forecast.history import History, first_day, month_of
from crmbridge.metrics.forecast.simulate import simulate, standing
from crmbridge.model.results import Model, Results
from tests.unit.forecast_organisation import NOW, frame_of, organisation


@pytest.fixture(scope="module")
def known() -> Frame:
    return organisation(seed=3, per_day=1.0)[0]


def run(frame: Frame, **settings: Any) -> tuple[Model, Results]:
    metric = ForecastMetric(MetricSettings(**settings))
    model = metric.fit("deal", frame)
    return model, metric.apply("deal", frame, model)


def rows(results: Results, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = results.tables[name].to_pylist()
    return found


def test_twelve_months_from_the_current_one_on_are_forecast_with_ordered_quantiles(known: Frame) -> None:
    months = rows(run(known)[1], "forecast")
    assert [row["month"] for row in months][:3] == ["2026-11", "2026-12", "2027-01"]
    assert len(months) == 12
    for row in months:
        assert 0 <= row["p10"] <= row["p50"] <= row["p90"]
        assert row["mean"] == pytest.approx(
            row["from_open_deals"] + row["from_new_deals"] + row["won_so_far"], abs=0.02
        )
        assert row["currency"] == "EUR"
    assert months[0]["from_open_deals"] > months[0]["from_new_deals"], "this month's deals are there already"
    assert months[11]["from_open_deals"] < months[11]["from_new_deals"], "in a year other deals are won"


def test_the_same_frame_and_seed_say_the_same(known: Frame) -> None:
    one, other = run(known), run(known)
    assert one[0].to_bytes() == other[0].to_bytes()
    assert one[1].tables["forecast"].equals(other[1].tables["forecast"])
    assert not run(known, seed=1)[1].tables["forecast"].equals(one[1].tables["forecast"])


def test_what_was_won_this_month_is_in_this_months_figures() -> None:
    frame, _ = organisation(seed=3, per_day=1.0)
    later = replace(frame, moment=NOW + timedelta(days=10))
    extra = {"id": "X", "created_at": NOW - timedelta(days=5), "closed_at": NOW + timedelta(days=3)}
    extra |= {"is_closed": True, "is_won": True, "amount": 1e6, "currency": "EUR", "stage": "Won"}
    deals = frame.table("deal", _DEAL).to_pylist()
    changes = frame.table("stage_change", ("id", "deal_id", "from_stage", "to_stage", "at")).to_pylist()
    months = rows(run(frame_of([*deals, extra], changes, now=later.moment))[1], "forecast")
    assert months[0]["won_so_far"] == pytest.approx(1e6)
    assert months[0]["p10"] >= 1e6 - 0.01
    assert months[1]["won_so_far"] == 0


def test_expected_revenue_is_the_scores_chance_times_the_amount(known: Frame) -> None:
    deals = known.table("deal", _DEAL).to_pylist()
    still_open = [row for row in deals if not row["is_closed"]]
    scores = pa.table({"id": [row["id"] for row in still_open], "score": [50.0] * len(still_open)})
    scored = replace(known, results=lambda metric, name, columns: scores.select(list(columns)))
    values = run(scored)[1].values.to_pylist()
    expected = {row["id"]: row["expected_revenue"] for row in values}
    for row in deals:
        if row["is_closed"]:
            assert expected[row["id"]] is None
        else:
            assert expected[row["id"]] == pytest.approx(0.5 * float(row["amount"]))


def test_without_scores_a_deal_is_worth_what_became_of_its_like() -> None:
    """Half of the deals in B were won, none of those that stayed in A."""
    deals, changes = [], []
    for n in range(200):
        begun = NOW - timedelta(days=400 + n)
        good = n % 2 == 0
        won = good and n % 4 == 0
        end = begun + timedelta(days=20)
        name = "Won" if won else "Lost"
        deals.append(_deal(f"{n}", begun, end, won, name))
        changes.append(_change(f"{n}", None, "A", begun))
        if good:
            changes.append(_change(f"{n}", "A", "B", begun + timedelta(days=10)))
        changes.append(_change(f"{n}", "B" if good else "A", name, end))
    for stage in "AB":
        begun = NOW - timedelta(days=12)
        deals.append(_deal(f"open {stage}", begun, None, False, stage))
        changes.append(_change(f"open {stage}", None, "A", begun))
    changes.append(_change("open B", "A", "B", NOW - timedelta(days=1)))
    values = run(frame_of(deals, changes))[1].values.to_pylist()
    worth = {row["id"]: row["expected_revenue"] for row in values}
    assert worth["open B"] == pytest.approx(50.0, abs=1e-6)
    assert worth["open A"] == pytest.approx(0.0, abs=1e-6), "twelve days in A: those that went on had gone"


def test_the_backtest_uses_nothing_that_came_later(known: Frame) -> None:
    """Forecasts made again for past months are those of an organisation whose later history is cut off."""
    past = first_day(month_of(History.of(known).now) - 2)
    cut = NOW - timedelta(days=History.of(known).now - past)
    full = History.of(known)
    shown = []
    for history in (full, _cut(full, past)):
        curves = learn(history, past)
        assert curves is not None
        drawn = simulate(history, curves, standing(history, curves, past, 1, 180), past, 1, seed=0)
        shown.append(drawn.total)
    assert np.array_equal(*shown)
    tested = rows(run(known)[1], "forecast_backtest")
    row = next(row for row in tested if row["month"] == f"{cut:%Y-%m}" and row["months"] == 1)
    assert row["p50"] == pytest.approx(float(np.median(shown[0])), rel=1e-9)


def test_the_card_says_how_past_forecasts_did(known: Frame) -> None:
    model = run(known)[0]
    (month, quarter) = model.card["accuracy"]
    assert (month["months"], month["forecasts"]) == (1, 12)
    assert (quarter["months"], quarter["forecasts"]) == (3, 10)
    assert 0.5 <= month["coverage"] <= 1.0
    assert month["error"] < month["naive"], "better than saying that the same comes again"
    assert not model.provisional


def test_velocity_is_deals_times_rate_times_amount_per_day() -> None:
    deals = [
        _deal("won", NOW - timedelta(days=50), NOW - timedelta(days=10), True, "Won", amount=300.0),
        _deal("lost", NOW - timedelta(days=50), NOW - timedelta(days=10), False, "Lost"),
        _deal("open", NOW - timedelta(days=5), None, False, "A"),
    ]
    last = rows(run(frame_of(deals, []))[1], "velocity")[-1]
    assert (last["open_deals"], last["win_rate"], last["mean_amount"], last["days_to_win"]) == (
        1,
        0.5,
        300,
        40,
    )
    assert last["per_day"] == pytest.approx(1 * 0.5 * 300 / 40)


@pytest.mark.parametrize("number", [0, 1, 19])
def test_of_too_few_ended_deals_nothing_is_forecast_and_the_card_says_so(number: int) -> None:
    deals = [
        _deal(f"{n}", NOW - timedelta(days=100), NOW - timedelta(days=n), n % 2 == 0, "Won")
        for n in range(number)
    ]
    model, results = run(frame_of([*deals, _deal("open", NOW - timedelta(days=3), None, False, "A")], []))
    assert model.provisional
    assert "No forecast" in str(model.card["verdict"])
    assert results.tables["forecast"].num_rows == 0
    assert results.values["expected_revenue"].null_count == results.values.num_rows


def test_odd_deals_make_no_infinity_no_nan_and_no_negative_revenue() -> None:
    deals = []
    for n in range(120):
        begun = NOW - timedelta(days=30 + 3 * n)
        end = begun + timedelta(days=n % 25 - 2)  # some close before they are created, some at once
        deals.append(_deal(f"{n}", begun, end, n % 3 == 0, "Won", amount=[0.0, 1e12, 1e-2, None][n % 4]))
    deals += [
        _deal("no dates", None, None, False, "A"),
        _deal("tomorrow", NOW + timedelta(days=1), None, False, "A", amount=5.0),
        _deal("no amount", NOW - timedelta(days=4), None, False, "A", amount=None),
        _deal("closed undated", NOW - timedelta(days=90), None, True, "Won") | {"is_closed": True},
        _deal("dollars", NOW - timedelta(days=4), None, False, "A") | {"currency": "USD"},
    ]
    model, results = run(frame_of(deals, []))
    assert model.card["other_currencies"] == 1
    for found in (results.values, *results.tables.values()):
        for name, column in zip(found.column_names, found.columns, strict=True):
            if pa.types.is_floating(column.type):
                numbers = column.drop_null().to_numpy()
                assert np.isfinite(numbers).all(), name
                assert (numbers >= 0).all(), name


@pytest.mark.slow
def test_over_200_organisations_p10_to_p90_hold_75_to_85_percent_of_what_came() -> None:
    inside = []
    for seed in range(200):
        frame, came = organisation(seed=90_000 + seed, per_day=(0.4, 1.0, 3.0)[seed % 3])
        history = History.of(frame)
        curves = learn(history, history.now)
        assert curves is not None
        there = standing(history, curves, history.now, 3, 180)
        drawn = simulate(history, curves, there, history.now, 3, seed=0).total
        low, high = np.quantile(drawn, (0.1, 0.9), axis=0)
        inside.append((low <= came) & (came <= high))
    assert 0.75 <= float(np.mean(inside)) <= 0.85


def test_a_curve_reaches_no_further_than_one() -> None:
    history = History.of(organisation(seed=8, per_day=0.5)[0])
    curves = learn(history, history.now)
    assert curves is not None
    for found in curves.by_stage.values():
        for curve in found:
            share = by(curve.won, np.arange(0.0, 500.0))
            assert (np.diff(share) >= -1e-12).all()
            assert 0.0 <= share[0] <= share[-1] <= 1.0


_DEAL = ("id", "created_at", "closed_at", "is_closed", "is_won", "amount", "currency", "stage")


def _deal(
    id_: str, begun: Any, end: Any, won: bool, stage: str, amount: float | None = 100.0
) -> dict[str, Any]:
    return {
        "id": id_,
        "created_at": begun,
        "closed_at": end,
        "is_closed": end is not None,
        "is_won": won,
        "amount": amount,
        "currency": "EUR",
        "stage": stage,
    }


def _change(deal: str, source: str | None, target: str, at: Any) -> dict[str, Any]:
    return {"id": f"{deal}/{target}", "deal_id": deal, "from_stage": source, "to_stage": target, "at": at}


def _cut(history: History, day: float) -> History:
    """The history without what came on or after the day, except in the outcome of deals still open then."""
    rows = history.since < day
    return replace(
        history,
        closed=np.where(history.closed < day, history.closed, np.inf),
        won=history.won & (history.closed < day),
        stay_deal=history.stay_deal[rows],
        stay_stage=history.stay_stage[rows],
        since=history.since[rows],
        until=np.where(history.until[rows] < day, history.until[rows], np.inf),
    )
