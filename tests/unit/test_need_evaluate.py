"""Figures of quality and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from crmbridge.metrics.need.arrays import Floats
from crmbridge.metrics.need.calibrate import calibration, calibration_error
from crmbridge.metrics.need.evaluate import (
    auc,
    brier,
    gain,
    lift,
    mean_log_loss,
    wilson,
)
from crmbridge.metrics.need.logistic import probability


def _sample(rows: int, seed: int, signal: float = 1.0) -> tuple[Floats, Floats]:
    chances = np.random.default_rng(seed)
    logit = np.round(chances.normal(-0.5, signal, rows), 1)
    return logit, (chances.uniform(size=rows) < probability(logit)).astype(np.float64)


def test_figures_are_those_of_scikit_learn() -> None:
    logit, y = _sample(500, 0)
    group = np.arange(500)
    found = auc(logit, y, group)
    assert found is not None
    assert found.value == pytest.approx(roc_auc_score(y, logit))
    assert mean_log_loss(logit, y, group).value == pytest.approx(sklearn_log_loss(y, probability(logit)))
    assert brier(logit, y, group).value == pytest.approx(brier_score_loss(y, probability(logit)))


def test_the_auc_interval_is_delongs() -> None:
    logit, y = _sample(120, 3)
    positives, negatives = logit[y == 1], logit[y == 0]
    wins = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    area = wins.mean()
    spread = np.sum((wins.mean(axis=1) - area) ** 2) / len(positives) ** 2
    spread += np.sum((wins.mean(axis=0) - area) ** 2) / len(negatives) ** 2
    found = auc(logit, y, np.arange(120))
    assert found is not None
    assert found.error == pytest.approx(np.sqrt(spread))


def test_the_auc_interval_holds_the_truth_nine_times_in_ten() -> None:
    logit, y = _sample(400_000, 9)
    truth = roc_auc_score(y, logit)
    found = [auc(*_sample(250, seed), np.arange(250)) for seed in range(100, 500)]
    held = np.mean([each is not None and each.low <= truth <= each.high for each in found])
    assert 0.86 <= held <= 0.94


def test_cases_of_one_record_count_as_one_in_an_interval() -> None:
    logit, y = _sample(300, 1)
    once = auc(logit, y, np.arange(300))
    twice = auc(np.repeat(logit, 2), np.repeat(y, 2), np.repeat(np.arange(300), 2))
    assert once is not None
    assert twice is not None
    assert twice.value == pytest.approx(once.value)
    assert twice.error == pytest.approx(once.error)


def test_within_strata_only_what_the_score_knows_beyond_them_counts() -> None:
    chances = np.random.default_rng(4)
    stratum = chances.integers(0, 2, 4000)
    y = (chances.uniform(size=4000) < np.where(stratum == 1, 0.8, 0.2)).astype(np.float64)
    score = stratum + 0.01 * chances.normal(size=4000)
    overall, within = auc(score, y, np.arange(4000)), auc(score, y, np.arange(4000), stratum)
    assert overall is not None
    assert within is not None
    assert overall.value > 0.75
    assert within.low < 0.5 < within.high


@pytest.mark.parametrize("y", [np.zeros(5), np.ones(5)])
def test_there_is_no_auc_and_no_lift_of_one_outcome_alone(y: Floats) -> None:
    assert auc(np.arange(5.0), y, np.arange(5)) is None
    assert lift(np.linspace(0.1, 0.9, 5), np.zeros(5), np.arange(5), 0.1) is None


def test_a_better_prediction_has_a_gain_and_noise_has_none() -> None:
    logit, y = _sample(3000, 5)
    base = np.full(3000, np.log(y.mean() / (1 - y.mean())))
    noise = base + np.random.default_rng(6).normal(0, 0.3, 3000)
    assert gain(logit, base, y, np.arange(3000)).surely_above(0.0)
    assert not gain(noise, base, y, np.arange(3000)).surely_above(0.0)


def test_calibration_bins_hold_every_case_once_and_never_part_equal_predictions() -> None:
    logit, y = _sample(1000, 7, signal=0.2)
    p = probability(logit)
    bins = calibration(p, y)
    assert sum(found.n for found in bins) == 1000
    assert sum(found.n * found.observed for found in bins) == pytest.approx(y.sum())
    assert sum(found.n * found.predicted for found in bins) == pytest.approx(p.sum())
    assert len(calibration(np.full(50, 0.3), np.zeros(50))) == 1
    assert all(found.low <= found.observed <= found.high for found in bins)


def test_the_calibration_error_sees_a_model_that_is_off() -> None:
    logit, y = _sample(5000, 8)
    right = calibration_error(probability(logit), y, np.arange(5000))
    wrong = calibration_error(probability(logit + 0.5), y, np.arange(5000))
    assert right.value < 0.03 < wrong.low
    assert right.low <= right.value <= right.high


def test_lift_counts_ties_at_the_border_in_part() -> None:
    p = np.array([0.9] + [0.5] * 9)
    y = np.array([1.0, 1.0, 0, 0, 0, 0, 0, 0, 0, 0])
    found = lift(p, y, np.arange(10), 0.3)
    assert found is not None
    assert found["rate"] == pytest.approx((1 + 2 / 9) / 3)
    assert found["value"] == pytest.approx(found["rate"] / 0.2)
    assert found["low"] < found["value"] < found["high"]
    flat = lift(np.full(10, 0.5), y, np.arange(10), 0.1)
    assert flat is not None
    assert flat["value"] == pytest.approx(1.0)


def test_wilson_is_never_empty_nor_beyond_certainty() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(0, 20)
    assert low == 0.0
    assert 0.05 < high < 0.2
    assert wilson(20, 20)[1] == 1.0
