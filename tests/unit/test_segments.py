"""Segments: the scores' rule for ties, groups that come back, who slips away, and who moved."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from crmbridge.metrics.base import MetricSettings
from crmbridge.metrics.segments import SegmentsMetric, clusters, rfm
from crmbridge.metrics.segments.rhythm import chance_of_such_a_pause
from crmbridge.metrics.segments.tally import Sums
from crmbridge.model.results import Results
from tests.unit.customers_kit import frame, order


def run(found: Any, **settings: Any) -> tuple[Any, Results]:
    metric = SegmentsMetric(MetricSettings(**settings))
    model = metric.fit("account", found)
    return model.card, metric.apply("account", found, model)


def by_id(results: Results) -> dict[str, dict[str, Any]]:
    assert results.details is not None
    rows = zip(results.values.to_pylist(), results.details.to_pylist(), strict=True)
    return {values["id"]: {**values, **details} for values, details in rows}


def shop(customers: int, *, seed: int, slip: float = 0.1) -> tuple[list[Any], set[str], set[str]]:
    """Customers with a rhythm of their own over two years; some fell silent for five to ten of their gaps."""
    draw = np.random.default_rng(seed)
    orders: list[Any] = []
    gone, regular = set(), set()
    for customer in range(customers):
        gap = float(draw.uniform(8, 30))
        silent = draw.random() < slip
        end = gap * draw.uniform(5, 8) if silent else 0.0
        day = float(draw.uniform(400, 730))
        (gone if silent else regular).add(f"A{customer}")
        while day > end:
            orders.append(order(len(orders), f"A{customer}", day, float(draw.lognormal(4, 0.5))))
            day -= gap * draw.uniform(0.5, 1.5)
    return orders, gone, regular


def test_equal_values_get_equal_scores_the_lowest_they_share() -> None:
    values = np.array([1.0, 1, 1, 1, 1, 1, 2, 3, 4, 5])
    assert rfm.scores(values, rfm.bounds(values)).tolist() == [1] * 6 + [4, 4, 5, 5]
    assert rfm.scores(np.full(7, 3.0), rfm.bounds(np.full(7, 3.0))).tolist() == [1] * 7


def test_without_ties_each_score_goes_to_a_fifth() -> None:
    values = np.random.default_rng(3).permutation(100).astype(float)
    found = rfm.scores(values, rfm.bounds(values))
    assert np.bincount(found).tolist() == [0, 20, 20, 20, 20, 20]
    assert (found == 1 + values // 20).all()


def test_scores_of_the_rule_by_hand() -> None:
    """More than k where at least k fifths of all have less."""
    values = np.random.default_rng(5).integers(0, 9, 57).astype(float)
    by_hand = [
        1 + sum((values < value).sum() >= k * len(values) / 5 for k in range(1, 5)) for value in values
    ]
    assert rfm.scores(values, rfm.bounds(values)).tolist() == by_hand


def test_the_adjusted_rand_index_and_the_groups_are_those_of_scikit_learn() -> None:
    draw = np.random.default_rng(7)
    one, other = draw.integers(0, 4, 200), draw.integers(0, 3, 200)
    assert clusters.adjusted_rand(one, other) == pytest.approx(adjusted_rand_score(one, other))
    points = np.concatenate([draw.normal(at, 0.4, (80, 3)) for at in (0, 2, 5)])
    found = clusters.nearest(points, clusters.kmeans(points, 3, [0]))
    known = KMeans(3, n_init=10, random_state=0).fit_predict(points)
    assert adjusted_rand_score(found, known) == 1


def test_groups_that_are_there_come_back_and_others_are_not_made_up() -> None:
    draw = np.random.default_rng(2)
    three = np.concatenate([draw.normal(at, 0.3, (150, 2)) for at in ((0, 0), (4, 0), (0, 5))])
    centres, tried = clusters.stable_centres(three, 0)
    assert len(centres) == 3
    assert [each.comes_back for each in tried] == [False] * (len(tried) - 1) + [True]
    one_cloud = draw.normal(size=(400, 6))
    assert len(clusters.stable_centres(one_cloud, 0)[0]) == 1


def test_customers_who_fell_silent_are_found_and_others_left_alone() -> None:
    orders, gone, regular = shop(400, seed=4)
    _, results = run(frame(orders, sorted(gone | regular)))
    rows = by_id(results)
    flagged = {id for id, row in rows.items() if row["segment"] in ("Slipping away", "Lost")}
    assert len(flagged & gone) / len(gone) > 0.9
    assert len(flagged & regular) / len(regular) < 0.05
    listed = results.tables["slipping"].to_pylist()
    assert {row["id"] for row in listed} <= flagged
    assert [row["spent"] for row in listed] == sorted((row["spent"] for row in listed), reverse=True)


def test_where_no_division_comes_back_customers_are_named_by_where_they_stand() -> None:
    draw = np.random.default_rng(15)
    orders: list[Any] = []
    for customer in range(300):
        last, spent = draw.lognormal(4, 0.5, 2)
        number = round(draw.lognormal(2.5, 0.5)) + 1
        orders += [
            order(len(orders) + k, f"A{customer}", last * (k + 1), spent / number) for k in range(number)
        ]
    card, results = run(frame(orders, [f"A{n}" for n in range(300)]))
    assert card["groups"] == 1
    assert "by degree" in card["verdict"][0]
    rows = [row for row in by_id(results).values() if row["segment"] not in ("Slipping away", "Lost")]
    best = [row for row in rows if row["segment"] == "Best customers"]
    assert 3 < len({row["segment"] for row in rows}) <= 8
    assert min(row["spent_so_far"] for row in best) > np.median([row["spent_so_far"] for row in rows])


def test_the_chance_of_a_pause_by_hand() -> None:
    # Four orders in 90 days, then 60 quiet ones: (1 + 60 / 90)^-3; two orders tell no rhythm.
    found = chance_of_such_a_pause(np.array([4, 2, 9]), np.array([90, 90, 0]), np.array([60.0, 60, 5]))
    assert found[0] == pytest.approx(0.216)
    assert np.isnan(found[1:]).all()


def test_movement_is_recomputed_as_of_the_past_and_everybody_is_counted() -> None:
    orders, _, _ = shop(200, seed=9)
    newcomer = [order(len(orders), "new", 3.0), order(len(orders) + 1, "new", 1.0)]
    metric = SegmentsMetric(MetricSettings(window_days=60))
    found = frame(orders + newcomer)
    model = metric.fit("account", found)
    tables = metric.apply("account", found, model).tables
    moves = tables["movement"].to_pylist()
    assert sum(row["customers"] for row in moves) == 201
    assert {row["days"] for row in moves} == {60}
    assert sum(row["customers"] for row in moves if row["from_segment"] == "No order yet") == 1
    days = tables["over_time"].to_pylist()
    assert len({row["day"] for row in days}) == 5
    past = frame(orders, moment=datetime(2025, 11, 2, 23, 59, 59, tzinfo=UTC))
    seen_then = metric.apply("account", past, model).tables["segments"].to_pylist()
    recomputed = {row["segment"]: row["customers"] for row in days if row["day"] == date(2025, 11, 2)}
    assert recomputed == {row["segment"]: row["customers"] for row in seen_then}
    assert sum(row["share"] for row in tables["segments"].to_pylist()) == pytest.approx(1)


def test_fewer_than_thirty_customers_are_not_divided() -> None:
    orders = [order(n, f"A{n}", 5 * n + 1) for n in range(29)]
    card, results = run(frame(orders, ["A1"]))
    assert "29 customers have ordered" in card["verdict"][0]
    assert by_id(results)["A1"]["segment"] is None
    assert results.tables["movement"].num_rows == results.tables["segments"].num_rows == 0


@pytest.mark.parametrize(
    "orders",
    [
        [],
        [order(1, "A", 0)],
        [order(n, f"A{n}", 5) for n in range(50)],
        [order(n, f"A{n}", 0, 0.0) for n in range(50)],
        [order(n, f"A{n % 40}", n % 70, None) for n in range(200)],
        [order(n, f"A{n % 40}", n % 70, -5.0) for n in range(200)],
        [order(n, f"A{n % 40}", n % 70, 5.0 * (-1) ** n) for n in range(200)],
    ],
    ids=["none", "one", "all alike", "all today for nothing", "no amounts", "refunds only", "refunds"],
)
def test_at_the_edges_nothing_is_infinite(orders: list[Any]) -> None:
    card, results = run(frame(orders, [*sorted({each.account_id for each in orders}), "never"]))
    assert card["verdict"]
    rows = by_id(results)
    assert rows["never"]["segment"] is None
    tables = [row for table in results.tables.values() for row in table.to_pylist()]
    for row in [*rows.values(), *tables]:
        assert all(math.isfinite(value) for value in row.values() if isinstance(value, float))


def test_without_amounts_customers_are_divided_by_time_and_number() -> None:
    orders = [
        order(10 * n + k, f"A{n}", 2.0 * k + 1 if n % 2 else 300.0 + n, None)
        for n in range(80)
        for k in range(9 if n % 2 else 1)
    ]
    card, results = run(frame(orders, [f"A{n}" for n in range(80)]))
    assert card["groups"] >= 2
    rows = by_id(results)
    assert rows["A1"]["segment"] == "Recent and regular"
    assert rows["A2"]["segment"] == "Few orders, long ago"
    assert rows["A1"]["money_score"] is None


def test_how_the_orders_are_cut_into_parts_does_not_matter() -> None:
    orders, gone, regular = shop(120, seed=8)
    accounts = sorted(gone | regular)
    mixed = [orders[place] for place in np.random.default_rng(1).permutation(len(orders))]
    (card, results), (other_card, others) = run(frame(orders, accounts)), run(frame(mixed, accounts))
    assert card == other_card
    assert results.values == others.values
    sums = Sums([100])
    for customer in range(5000):  # room is made as customers are met
        sums.add(np.array([customer]), np.array([50]), np.array([1.0]), customer + 1)
    assert len(sums.standing(0)) == 5000


def test_every_name_of_a_group_fits_into_the_field() -> None:
    from crmbridge.metrics.segments.texts import LANGUAGES

    assert all(len(name) <= 80 for text in LANGUAGES.values() for name in text.NAMES.values())
