"""The value metric on simulated customers, and at its edges."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.optimize import approx_fprime

from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.value import ValueMetric, bgnbd, contract, gamma_gamma
from crmbridge.metrics.value.bgnbd import Counts, Rates
from crmbridge.metrics.value.outlook import Spread, beta_nodes
from crmbridge.metrics.value.purchases import Purchases
from crmbridge.metrics.value.returns import Returns
from crmbridge.model.results import Results
from tests.unit.customers_kit import NOW, buyers, frame, order, order_table


def run(found: Frame, **settings: Any) -> tuple[Any, Results]:
    metric = ValueMetric(MetricSettings(**settings))
    model = metric.fit("account", found)
    return model.card, metric.apply("account", found, model)


def by_id(results: Results) -> dict[str, dict[str, Any]]:
    assert results.details is not None
    rows = zip(results.values.to_pylist(), results.details.to_pylist(), strict=True)
    return {values["id"]: {**values, **details} for values, details in rows}


def test_the_gradients_are_those_of_the_likelihoods() -> None:
    draw = np.random.default_rng(4)
    x = draw.integers(0, 5, 60).astype(float)
    age = draw.uniform(5, 80, 60)
    last = np.where(x > 0, age * draw.uniform(0, 1, 60), 0.0)
    counts = Counts.of(x, last, age)
    for objective, theta in (
        (bgnbd.log_likelihood, np.log([0.4, 6.0, 0.5, 2.0])),
        (bgnbd.staying_log_likelihood, np.log([0.4, 6.0])),
    ):
        by_steps = approx_fprime(theta, lambda at, f=objective: f(at, counts)[0], 1e-6)
        np.testing.assert_allclose(objective(theta, counts)[1], by_steps, rtol=1e-4, atol=1e-3)
    orders, mean = x[x > 0], draw.uniform(1, 9, int((x > 0).sum()))
    theta = np.log([2.0, 3.0, 4.0])
    by_steps = approx_fprime(theta, lambda at: gamma_gamma.log_likelihood(at, orders, mean)[0], 1e-6)
    np.testing.assert_allclose(gamma_gamma.log_likelihood(theta, orders, mean)[1], by_steps, rtol=1e-4)


def test_the_gauss_nodes_integrate_polynomials_of_a_beta_exactly() -> None:
    for a, b in ((0.5, 2.0), (0.79, 11_463.0), (1.0, 1.0), (3.0, 0.4)):
        nodes, shares = beta_nodes(a, b)
        mean = a / (a + b)
        assert shares @ np.ones_like(nodes) == pytest.approx(1)
        assert shares @ nodes == pytest.approx(mean, rel=1e-9)
        assert shares @ nodes**2 == pytest.approx(mean * (a + 1) / (a + b + 1), rel=1e-9)


def test_the_intervals_are_those_of_the_process_itself() -> None:
    rates = Rates(0.8, 8.0, 0.6, 2.5)
    spending = gamma_gamma.Spending(6.0, 4.0, 60.0, 0.0, None)
    draw = np.random.default_rng(11)
    x, age, there, weeks = 6.0, 100.0, 0.7, 52.0
    number = 200_000
    rate = draw.gamma(rates.r + x, size=number) / (rates.alpha + age)
    gone_after = draw.geometric(draw.beta(rates.a, rates.b + x, number))
    orders = np.minimum(draw.poisson(rate * weeks), gone_after) * (draw.random(number) < there)
    own = draw.gamma(spending.q + spending.p * x, size=number) / (spending.q + spending.p * x - 1)
    brought = draw.standard_gamma(spending.p * orders) / spending.p / own
    low, high = Spread(rates, spending, weeks, 20.0, 0).interval(
        np.array([there]), np.array([x]), np.array([age])
    )
    assert low[0] == np.quantile(brought, 0.05) == 0
    assert high[0] == pytest.approx(np.quantile(brought, 0.95), rel=0.06)


@pytest.mark.slow
def test_known_parameters_are_found_and_the_next_year_lies_in_the_intervals() -> None:
    table, _ = buyers(3000, seed=21, years=4)
    card, _ = run(frame(table))
    assert card["kind"] == "bg_nbd"
    found = card["bg_nbd"]
    assert found["r"] == pytest.approx(0.8, rel=0.15)
    assert found["alpha_weeks"] == pytest.approx(8.0, rel=0.2)
    assert found["a"] / (found["a"] + found["b"]) == pytest.approx(0.6 / 3.1, rel=0.2)
    test = card["test"]
    assert test["days"] == 365
    assert test["predicted"] == pytest.approx(test["actual"], rel=0.1)
    # Who brings nothing is always inside where an interval begins at 0, so more than 90 % are.
    assert 0.88 <= test["coverage"] <= 0.97


def test_who_slipped_away_gets_a_lower_chance_than_who_is_still_there() -> None:
    table, there = buyers(1500, seed=5)
    accounts = sorted(set(table["account_id"].to_pylist()))
    _, results = run(frame(table, accounts))
    rows = by_id(results)
    chances = {id: row["p_alive"] for id, row in rows.items() if row["orders_so_far"] >= 3}
    stayed = [chance for id, chance in chances.items() if there[int(id[1:])]]
    gone = [chance for id, chance in chances.items() if not there[int(id[1:])]]
    assert np.mean(stayed) > 0.75 > 0.45 > np.mean(gone)


@pytest.mark.slow
def test_the_chances_come_true_as_often_as_they_say() -> None:
    table, there = buyers(4000, seed=33)
    _, results = run(frame(table, sorted(set(table["account_id"].to_pylist()))))
    rows = [
        (row["p_alive"], there[int(id[1:])]) for id, row in by_id(results).items() if row["orders_so_far"] > 1
    ]
    chance, truth = (np.array(column, float) for column in zip(*rows, strict=True))
    for low, high in ((0, 0.3), (0.3, 0.6), (0.6, 0.8), (0.8, 1.0)):
        inside = (chance >= low) & (chance < high)
        assert truth[inside].mean() == pytest.approx(chance[inside].mean(), abs=0.06)


def test_where_nobody_leaves_it_says_so_and_prints_no_certainty() -> None:
    draw = np.random.default_rng(8)
    ids, at = [], []
    for customer in range(400):
        rate = draw.gamma(2.0) / 60
        day = draw.uniform(0, 200)
        while day < 365:
            ids.append(f"A{customer}")
            at.append(NOW - timedelta(days=365 - day))
            day += draw.exponential(1 / rate)
    accounts = sorted(set(ids))
    card, results = run(frame(order_table(ids, at, [50.0] * len(ids)), accounts))
    assert card["kind"] == "nbd"
    assert card["bg_nbd"]["problem"] == "nobody leaves"
    assert "degenerates" in card["verdict"][0]
    rows = by_id(results)
    chances = [row["p_alive"] for row in rows.values()]
    assert max(chances) < 1
    assert {row["value_from"] for row in rows.values()} == {"empirical"}
    # Orders of the next year by the customers' own rates: about what they ordered per day so far.
    assert sum(row["orders_12m"] for row in rows.values()) == pytest.approx(400 * 365 * 2 / 60, rel=0.15)


def test_the_empirical_rate_is_kaplan_and_meiers() -> None:
    # Ten customers: returns after 10 and 20 days, eight still quiet after 30.
    found = Returns.of(np.array([10, 20, *([30] * 8)]), np.array([True, True, *([False] * 8)]))
    assert found.survival(np.array([9.0, 10.0]))[0] == 1
    assert found.survival(np.array([10.0]))[0] == pytest.approx(0.9)
    assert found.until == 10  # later fewer than ten are at risk
    assert found.chance(np.array([0.0]), within=10)[0] == pytest.approx(0.1)


def contracts(
    customers: int, *, seed: int, renews: float, period: int = 365
) -> tuple[Any, list[str], list[bool]]:
    """Yearly contracts, each renewed with the same chance, a few days early or late."""
    draw = np.random.default_rng(seed)
    orders, active = [], []
    for customer in range(customers):
        begin = int(draw.integers(200, 2000))
        due, going = begin, True
        while due >= 0:
            orders.append(
                order(len(orders), f"A{customer:04d}", max(due + int(draw.integers(-4, 5)), 0), 1200.0)
            )
            if due - period >= 0 and draw.random() > renews:
                going = False
                break
            due -= period
        active.append(going)
    return orders, [f"A{number:04d}" for number in range(customers)], active


def test_contracts_are_recognised_and_their_renewal_rate_is_found() -> None:
    orders, accounts, active = contracts(600, seed=3, renews=0.8)
    card, results = run(frame(orders, accounts))
    assert card["kind"] == "contract"
    assert card["contracts"]["period"] == pytest.approx(365, abs=3)
    assert card["contracts"]["b"] / (card["contracts"]["a"] + card["contracts"]["b"]) == pytest.approx(
        0.8, abs=0.05
    )
    rows = by_id(results)
    going = [row["p_alive"] for (id, row), on in zip(sorted(rows.items()), active, strict=True) if on]
    assert np.mean(going) == pytest.approx(0.8, abs=0.05)
    one = next(row for row, on in zip((rows[id] for id in accounts), active, strict=True) if on)
    assert one["value_12m"] == pytest.approx(one["orders_12m"] * 1200)
    assert one["value_low"] == 0
    assert one["value_high"] >= 1200


def test_the_settings_say_whether_customers_have_contracts() -> None:
    table, _ = buyers(200, seed=2)
    assert run(frame(table))[0]["kind"] == "bg_nbd"
    assert run(frame(table), customers="contracts")[0]["kind"] == "contract"
    orders, accounts, _ = contracts(100, seed=3, renews=0.8)
    assert run(frame(orders, accounts), customers="buyers")[0]["kind"] in ("bg_nbd", "nbd")


def test_renewals_follow_the_shifted_beta_geometric() -> None:
    renewals = contract.Renewals(1.0, 3.0, 365.0, 0.1, 0.0, None)
    found = contract.outlook(
        renewals, contract.Terms(np.array([365.0, 30.0]), np.array([2.0, 0.0]), np.array([100.0, 5.0])), 365.0
    )
    assert found.alive == pytest.approx([5 / 6, 3 / 4])  # (b + k) / (a + b + k)
    assert found.orders[0] == pytest.approx(5 / 6)  # one renewal falls due within the year
    by_hand, keep = 0.0, 1.0
    for k in range(12):  # due after 25, 55, ... 355 days
        keep *= (3 + k) / (4 + k)
        by_hand += keep
    assert found.orders[1] == pytest.approx(by_hand)


def test_a_days_orders_are_one_purchase_and_a_refund_lowers_the_last_one() -> None:
    orders = [
        order(1, "A", 100, 30.0),
        order(2, "A", 100, 20.0),
        order(3, "A", 40, 60.0),
        order(4, "A", 30, -25.0),
        order(5, "A", 20, 10.0),
        order(6, "A", 10, -500.0),
        order(7, "B", 50, -5.0),
        order(8, "A", 5, 70.0, status="Cancelled"),
        order(9, "A", -3, 70.0),
    ]
    found = Purchases.of(frame(orders))
    assert found.ids.to_pylist() == ["A", "B"]
    assert found.amount == pytest.approx([50.0, 35.0, 0.0])
    assert found.left_out == {"cancelled or draft": 1, "after the moment": 1, "refund without a purchase": 1}
    history = found.histories()
    assert (history.repeats.tolist(), history.last.tolist(), history.age.tolist()) == ([2], [80], [100])
    assert history.mean == pytest.approx([17.5])


def test_amounts_in_another_currency_are_not_mixed_in() -> None:
    table, _ = buyers(200, seed=6)
    orders = [order(n, "EUROPE", 30 * n + 1, 90.0, currency="EUR") for n in range(4)]
    other = frame(orders).table("order", ("id", "account_id", "ordered_at", "amount", "currency"))
    both = pa.concat_tables([table, other.cast(table.schema)])
    card, results = run(frame(both, ["EUROPE", "A00001"]))
    row = by_id(results)["EUROPE"]
    assert card["currency"] == "USD"
    assert row["value_12m"] is None
    assert "currency" in row["value_note"]
    assert row["p_alive"] is not None
    assert any("EUR" in said or "4 orders in other currencies" in said for said in card["verdict"])


@pytest.mark.parametrize(
    "orders",
    [
        [],
        [order(1, "A", 0)],
        [order(1, "A", 10, 0.0), order(2, "A", 10, 0.0)],
        [order(n, f"A{n}", 5) for n in range(50)],
        [order(n, f"A{n % 30}", n // 30) for n in range(90)],
        [order(n, f"A{n % 30}", 10 * (n // 30), None) for n in range(90)],
        [order(n, f"A{n % 30}", 10 * (n // 30), 0.0) for n in range(90)],
        [order(n, f"A{n % 30}", 10 * (n // 30), 7.0) for n in range(90)],
        [order(n, f"A{n % 25}", 0) for n in range(75)],
    ],
    ids=["none", "one today", "worth 0", "one each", "daily", "no amount", "all 0", "all alike", "all today"],
)
def test_at_the_edges_nothing_is_infinite_or_negative(orders: list[Any]) -> None:
    accounts = [*sorted({each.account_id for each in orders}), "never"]
    for kind in ("auto", "buyers", "contracts"):
        card, results = run(frame(orders, accounts), customers=kind)
        assert card["verdict"]
        for row in by_id(results).values():
            for name, value in row.items():
                if isinstance(value, float):
                    assert math.isfinite(value), name
                    assert value >= 0, name
            if row["p_alive"] is not None:
                assert row["p_alive"] <= 1
            if row["value_12m"] is None:
                assert row["value_note"]
        assert by_id(results)["never"]["value_note"] == "no order yet"


def test_how_the_orders_are_cut_into_parts_does_not_matter() -> None:
    table, _ = buyers(300, seed=9)
    accounts = sorted(set(table["account_id"].to_pylist()))
    shuffled = table.take(np.random.default_rng(1).permutation(table.num_rows))
    (card, results), (other_card, others) = run(frame(table, accounts)), run(frame(shuffled, accounts))
    assert card == other_card
    for name in ("p_alive", "value_12m", "value_low", "value_high"):
        one, other = (each.values[name].to_numpy() for each in (results, others))
        np.testing.assert_allclose(one, other, rtol=1e-9)
