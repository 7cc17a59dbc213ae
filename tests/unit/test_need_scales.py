"""Each field's own prior: learned where there is something to learn from, else the stated one."""

from __future__ import annotations

import numpy as np
import pytest

from crmbridge.metrics.need.arrays import Floats, Ints
from crmbridge.metrics.need.logistic import Prior, fit, probability
from crmbridge.metrics.need.rows import DenseRows
from crmbridge.metrics.need.scales import START, learn_scales, precision_of

FIELD: Ints = np.repeat([-1, 0, 1], [1, 8, 8])
"""An intercept and two fields of eight levels."""


def _scales(rows: int, effects: Floats, seed: int) -> Floats:
    chances = np.random.default_rng(seed)
    levels = chances.integers(0, 8, (rows, 2))
    x = np.zeros((rows, 17))
    x[:, 0] = 1.0
    x[np.arange(rows), 1 + levels[:, 0]] = 1.0
    x[np.arange(rows), 9 + levels[:, 1]] = 1.0
    y = (chances.uniform(size=rows) < probability(effects[levels[:, 0]] - 1.0)).astype(np.float64)
    parts = [DenseRows(x, y)]
    scales, _ = learn_scales(
        lambda precision, start: fit(parts, Prior(precision), start=start), FIELD, np.ones(17, np.bool_)
    )
    return scales


def test_a_field_without_effect_is_drawn_to_nothing_and_one_with_effect_is_left_alone() -> None:
    effects = np.array([1.5, -1.5, 1.0, -1.0, 0.5, -0.5, 0.0, 2.0])
    with_effect, without = _scales(4000, effects, seed=1)
    assert with_effect > 0.75
    assert without < 0.4


def test_with_few_outcomes_the_scale_stays_near_the_stated_one() -> None:
    assert (_scales(20, np.zeros(8), seed=2) > 0.6).all()


def test_precision_is_one_over_the_squared_scale_and_none_for_the_intercept() -> None:
    assert precision_of(np.array([0.5, START]), FIELD).tolist() == [0.0] + [4.0] * 8 + [1.0] * 8


@pytest.mark.parametrize("seed", range(5))
def test_a_scale_never_exceeds_the_stated_one(seed: int) -> None:
    assert (_scales(500, np.full(8, 3.0) * np.array([1, -1] * 4), seed) <= START).all()
