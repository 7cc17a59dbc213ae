"""What must hold in the long run, on organisations whose truth is known because it was drawn.

Organisations are simulated as columns, which is where learning begins: hundreds of them take a minute.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from crmbridge.metrics.base import MetricSettings
from crmbridge.metrics.need.arrays import Flags, Floats
from crmbridge.metrics.need.columns import Column
from crmbridge.metrics.need.design import Design, Matrix, plan_field
from crmbridge.metrics.need.drift import drift
from crmbridge.metrics.need.evaluate import Z90, lift
from crmbridge.metrics.need.logistic import covariance, probability
from crmbridge.metrics.need.publish import decide
from crmbridge.metrics.need.snapshots import Cases, Training
from crmbridge.metrics.need.train import PRIOR_OUTCOMES, PRIOR_RATES, Learner

LIMIT = MetricSettings().max_calibration_error

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Organisation:
    """Records in their order of arrival, with the coefficients that their outcomes came from.

    `seen` marks the matrix columns that any record has. `later` are records that arrive afterwards.
    """

    learner: Learner
    theta: Floats
    seen: Flags
    later: Matrix


def _columns(size: int, chances: np.random.Generator) -> dict[str, Column]:
    return {
        "a": Column.of_codes("a", chances.integers(4, size=size).astype(np.int32), tuple("wxyz")),
        "b": Column.of_codes("b", chances.integers(3, size=size).astype(np.int32), tuple("xyz")),
        "c": Column.of_numbers("c", chances.normal(size=size)),
        "d": Column.of_numbers("d", chances.normal(size=size)),
    }


def _organisation(
    size: int, chances: np.random.Generator, *, rate: float | None = None, later: int = 0, shift: float = 0.0
) -> Organisation:
    """Deals whose effects are drawn from the stated prior. With `rate` an average deal is won so often, else
    that is drawn from the prior too. `shift` is added to the log-odds of the newest fifth and later."""
    columns = _columns(size, chances)
    planned = [plan_field(column) for column in columns.values()]
    design = Design(tuple(field for field in planned if not isinstance(field, str)))
    matrix = design.encode(columns, size)
    centre = matrix.means(np.arange(size))
    theta = chances.normal(size=design.width)
    theta[0] = 0.0
    prior = PRIOR_RATES["deal"]
    average = chances.beta(PRIOR_OUTCOMES * prior, PRIOR_OUTCOMES * (1 - prior)) if rate is None else rate
    theta[0] = np.log(average / (1 - average)) - theta @ centre
    logit = matrix.logit(theta) + shift * (np.arange(size) >= 0.8 * size)
    y = (chances.uniform(size=size) < probability(logit)).astype(np.float64)
    nothing, number = np.zeros(size, np.int64), np.arange(size)
    ids = pa.array([f"D{row:06d}" for row in range(size)])
    cases = Cases(ids, number, number, nothing, number, number, y, np.ones(size, np.bool_))
    training = Training(cases, "moments", None, size, int(y.sum()), {}, False)
    after = design.encode(_columns(later, chances), later)
    return Organisation(Learner("deal", training, matrix), theta, centre != 0.0, after)


def test_intervals_of_coefficients_hold_nine_of_ten_truths_drawn_from_the_stated_prior() -> None:
    """2,000 organisations of 20 to 200 outcomes, a coefficient of each: their intervals are independent."""
    chances = np.random.default_rng(20260901)
    held = []
    for _ in range(2000):
        organisation = _organisation(int(chances.integers(20, 201)), chances)
        found = organisation.learner.fit(organisation.learner.matrix, None).fit
        error = np.sqrt(np.diag(covariance(found.factor)))
        one = chances.choice(np.flatnonzero(organisation.seen)[1:])
        held.append(abs(found.theta[one] - organisation.theta[one]) <= Z90 * error[one])
    assert 0.87 <= float(np.mean(held)) <= 0.93


def test_the_lift_on_later_outcomes_lies_in_the_reported_interval_without_drift() -> None:
    """200 organisations of 1,500 deals: tested on 300, published, and then used for 600 more."""
    chances = np.random.default_rng(20260902)
    held = []
    for _ in range(200):
        organisation = _organisation(1500, chances, rate=0.2, later=600)
        learner = organisation.learner
        tested, models = learner.test(0)
        assert tested is not None
        decision = decide(tested, *_outcomes(learner), LIMIT)
        told = lift(probability(decision.shown), tested.y, tested.group, 0.1)
        matrix = learner.narrowed(decision.level)
        published = learner.fit(matrix, None, start=models.get(decision.level))
        narrowed = organisation.later.narrowed([field.name for field in matrix.design.fields])
        chance = probability(organisation.later.logit(organisation.theta))
        y = (chances.uniform(size=600) < chance).astype(np.float64)
        came = lift(probability(narrowed.logit(published.fit.theta)), y, np.arange(600), 0.1)
        assert told is not None
        assert came is not None
        held.append(told["low"] <= came["value"] <= told["high"])
    assert 0.85 <= float(np.mean(held)) <= 0.95


def test_drift_is_told_where_there_is_some_and_hardly_ever_where_there_is_none() -> None:
    chances = np.random.default_rng(20260903)
    told = {}
    for shift in (0.0, -1.0):
        told[shift] = 0
        for _ in range(60):
            learner = _organisation(1500, chances, rate=0.3, shift=shift).learner
            tested, _ = learner.test(0)
            found = drift(learner.matrix, learner.training, tested, "full", str)
            assert found is not None
            told[shift] += bool(found["shown"])
    assert told[0.0] <= 3
    assert told[-1.0] >= 57


def test_models_of_mavens_size_that_are_right_are_published_with_all_their_inputs() -> None:
    """100 organisations of 6,711 resolved deals, 63 % of them won."""
    chances = np.random.default_rng(20260904)
    published = 0
    for _ in range(100):
        learner = _organisation(6711, chances, rate=0.63).learner
        tested, _ = learner.test(0)
        decision = decide(tested, *_outcomes(learner), LIMIT)
        published += decision.level == "full" and not decision.provisional
    assert published >= 95


def _outcomes(learner: Learner) -> tuple[int, int]:
    won = int(learner.training.cases.y.sum())
    return won, len(learner.training.cases) - won
