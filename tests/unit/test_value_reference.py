"""The value models give the published figures of the CDNOW purchases (shared/data/reference.md)."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.special import hyp2f1

from crmbridge.metrics.base import MetricSettings
from crmbridge.metrics.value import ValueMetric, bgnbd, gamma_gamma
from crmbridge.metrics.value.bgnbd import Counts, Fit, alive
from crmbridge.metrics.value.outlook import chance_of_at_least, expected_if_there
from crmbridge.metrics.value.purchases import Purchases
from tests.shared_data import shared
from tests.unit.customers_kit import frame, purchases_file

CALIBRATION_END = datetime(1997, 9, 30, 23, tzinfo=UTC)


class Sample:
    """The sample's calibration period as published: x, t_x, T in weeks, mean of the repeat purchases."""

    def __init__(self) -> None:
        path = shared("data/cdnow/cdnow_customers_summary_with_transactions.csv")
        table = np.loadtxt(path, delimiter=",", skiprows=1)
        self.x, self.last, self.age, self.mean = table[:, 1:].T
        self.fit: Fit = bgnbd.fit(Counts.of(self.x, self.last, self.age))
        self.spending = gamma_gamma.fit(self.x, self.mean)


@pytest.fixture(scope="module")
def sample() -> Sample:
    return Sample()


def test_bg_nbd_gives_the_published_parameters_and_likelihood(sample: Sample) -> None:
    rates = sample.fit.rates
    assert (rates.r, rates.alpha, rates.a, rates.b) == pytest.approx(
        (0.242593, 4.413531, 0.792886, 2.425753), rel=1e-5
    )
    assert sample.fit.log_likelihood == pytest.approx(-9582.4256, abs=1e-3)
    assert sample.fit.problem is None


def test_gamma_gamma_gives_the_published_parameters_and_mean(sample: Sample) -> None:
    spending = sample.spending
    assert int((sample.x > 0).sum()) == 946
    assert (spending.p, spending.q, spending.v) == pytest.approx((6.24880, 3.74459, 15.44775), rel=1e-4)
    assert spending.mean == pytest.approx(35.171, abs=1e-3)


def test_one_customers_expected_purchases_and_chance_to_be_there(sample: Sample) -> None:
    x, last, age = (np.array([value]) for value in (2.0, 30.43, 38.86))
    there = alive(sample.fit.rates, x, last, age)
    assert there[0] == pytest.approx(0.72661, abs=5e-6)
    assert there[0] * expected_if_there(sample.fit.rates, x, age, 39.0)[0] == pytest.approx(1.22591, abs=5e-6)


def test_the_holdout_figures(sample: Sample) -> None:
    there = alive(sample.fit.rates, sample.x, sample.last, sample.age)
    expected = there * expected_if_there(sample.fit.rates, sample.x, sample.age, 39.0)
    assert expected.sum() == pytest.approx(1653.4, abs=0.05)
    orders = purchases_file(shared("data/cdnow/CDNOW_sample.txt"), 1)
    purchases = Purchases.of(frame(orders, moment=datetime(1998, 7, 1, tzinfo=UTC)))
    cut = purchases.today - 274  # 1997-09-30
    came = np.bincount(purchases.customer[purchases.day > cut], minlength=len(purchases.ids))
    assert came.sum() == 1882
    assert np.abs(expected - came).mean() == pytest.approx(0.7855, abs=5e-5)


def test_the_value_of_twelve_months_at_one_percent_a_month(sample: Sample) -> None:
    there = alive(sample.fit.rates, sample.x, sample.last, sample.age)
    mean = sample.spending.expected(sample.x, sample.mean)
    value, before = np.zeros(len(there)), np.zeros(len(there))
    for month in range(1, 13):
        until = there * expected_if_there(sample.fit.rates, sample.x, sample.age, 4.345 * month)
        value += mean * (until - before) / 1.01**month
        before = until
    assert value.sum() == pytest.approx(71_509.90, abs=0.01)
    assert value.mean() == pytest.approx(30.3394, abs=5e-5)


def test_expectations_agree_with_the_hypergeometric_formula_and_with_the_sum_of_chances(
    sample: Sample,
) -> None:
    rates, x, last, age = sample.fit.rates, sample.x, sample.last, sample.age
    r, alpha, a, b = rates.r, rates.alpha, rates.a, rates.b
    inner = ((alpha + age) / (alpha + age + 39)) ** (r + x)
    above = (
        (a + b + x - 1) / (a - 1) * (1 - inner * hyp2f1(r + x, b + x, a + b + x - 1, 39 / (alpha + age + 39)))
    )
    odds = a / (b + np.maximum(x, 1) - 1) * ((alpha + age) / (alpha + last)) ** (r + x)
    by_formula = above / (1 + (x > 0) * odds)
    there = alive(rates, x, last, age)
    found = there * expected_if_there(rates, x, age, 39.0)
    np.testing.assert_allclose(found, by_formula, rtol=1e-10)
    chances = sum(there * chance_of_at_least(rates, x, age, 39.0, orders) for orders in range(1, 400))
    np.testing.assert_allclose(chances, found, rtol=1e-9)


def test_the_metric_gives_the_same_from_the_purchases_themselves() -> None:
    orders = purchases_file(shared("data/cdnow/CDNOW_sample.txt"), 1)
    found = frame(orders, moment=CALIBRATION_END)
    metric = ValueMetric(MetricSettings())
    model = metric.fit("account", found)
    card = model.card["bg_nbd"]
    assert isinstance(card, dict)
    for key, value in {"r": 0.242593, "alpha_weeks": 4.413531, "a": 0.792886, "b": 2.425753}.items():
        assert card[key] == pytest.approx(
            value, rel=1e-3
        )  # weeks rounded to a hundredth in the published table
    assert card["log_likelihood"] == pytest.approx(-9582.4256, abs=1e-2)
    tables = metric.apply("account", found, model).tables
    figures = {row["figure"]: row["value"] for row in tables["value_summary"].to_pylist()}
    assert figures["clv_12m"] == pytest.approx(71_509.90, rel=1e-3)
    assert tables["customers_without_record"].num_rows == figures["customers"] == 2357


@pytest.mark.slow
def test_the_whole_file_and_its_likelihood() -> None:
    found = frame(purchases_file(shared("data/cdnow/CDNOW_master.txt"), 0), moment=CALIBRATION_END)
    card = ValueMetric(MetricSettings()).fit("account", found).card["bg_nbd"]
    assert isinstance(card, dict)
    for key, value in {"r": 0.251624, "alpha_weeks": 4.788943, "a": 0.723433, "b": 2.161088}.items():
        assert card[key] == pytest.approx(value, rel=1e-3)
    assert card["log_likelihood"] == pytest.approx(-95368.444, abs=1e-2)
