"""The fit: where it ends, how sure it is, and that neither depends on how the rows are cut."""

from __future__ import annotations

import numpy as np
import pytest

from crmbridge.metrics.need.arrays import Floats
from crmbridge.metrics.need.columns import Column
from crmbridge.metrics.need.design import Design, Field, Matrix
from crmbridge.metrics.need.logistic import Prior, covariance, fit, fit_one_variable, log_loss, probability
from crmbridge.metrics.need.rows import CodedRows, DenseRows, EmbeddedRows, Layout


def _dense(rows: int = 400, columns: int = 5) -> tuple[Floats, Floats]:
    chances = np.random.default_rng(0)
    x = np.column_stack([np.ones(rows), chances.normal(size=(rows, columns - 1))])
    y = (chances.uniform(size=rows) < probability(x @ chances.normal(size=columns))).astype(np.float64)
    return x, y


def _prior(columns: int) -> Prior:
    precision = np.ones(columns)
    precision[0] = 0.0
    return Prior(precision, np.eye(columns)[0], 2.0, 0.1)


def test_at_the_maximum_the_gradient_is_zero_and_the_factor_is_that_of_the_curvature() -> None:
    x, y = _dense()
    prior = _prior(5)
    found = fit([DenseRows(x, y)], prior, weight=0.7)
    p = probability(x @ found.theta)
    at_prior = float(probability(found.theta[:1])[0])
    gradient = 0.7 * x.T @ (y - p) - prior.precision * found.theta
    gradient[0] += 2.0 * (0.1 - at_prior)
    assert np.max(np.abs(gradient)) < 1e-7
    hessian = 0.7 * (x * (p * (1 - p))[:, None]).T @ x + np.diag(prior.precision)
    hessian[0, 0] += 2.0 * at_prior * (1.0 - at_prior)
    assert found.factor @ found.factor.T == pytest.approx(hessian, rel=1e-9)
    assert covariance(found.factor) == pytest.approx(np.linalg.inv(hessian), rel=1e-9)
    assert found.log_likelihood == pytest.approx(-log_loss(x @ found.theta, y).sum())


def test_parts_in_any_cut_and_order_give_the_same_fit() -> None:
    x, y = _dense()
    whole = fit([DenseRows(x, y)], _prior(5))
    cut = [DenseRows(x[start : start + 37], y[start : start + 37]) for start in range(0, len(y), 37)]
    for parts in (cut, cut[::-1]):
        found = fit(parts, _prior(5))
        assert found.theta == pytest.approx(whole.theta, rel=1e-6)
        assert found.factor == pytest.approx(whole.factor, rel=1e-6, abs=1e-9)


def test_where_a_climb_starts_does_not_change_where_it_ends() -> None:
    x, y = _dense()
    start = fit([DenseRows(x[::5], y[::5])], _prior(5), weight=5.0)
    warm, cold = fit([DenseRows(x, y)], _prior(5), start=start), fit([DenseRows(x, y)], _prior(5))
    assert warm.theta == pytest.approx(cold.theta, rel=1e-7)


def _coded(rows: int = 300) -> Matrix:
    chances = np.random.default_rng(1)
    levels = tuple("abc")
    numbers = chances.normal(size=rows)
    numbers[chances.uniform(size=rows) < 0.2] = np.nan
    columns = {
        "one": Column.of_codes("one", chances.integers(-1, 3, rows).astype(np.int32), levels),
        "two": Column.of_numbers("two", numbers),
        "three": Column.of_codes("three", chances.integers(0, 3, rows).astype(np.int32), levels),
        "four": Column.of_numbers("four", chances.normal(size=rows)),
    }
    design = Design(
        (
            Field("one", "category", levels),
            Field("two", "number", (), 0.1, 1.2, (0.0,)),
            Field("three", "category", ("a", "c")),
            Field("four", "number", (), 0.0, 1.0, (0.0,)),
        )
    )
    return design.encode(columns, rows)


def test_coded_rows_answer_as_the_plain_matrix_does() -> None:
    matrix = _coded()
    x = np.column_stack([matrix.logit(unit) for unit in np.eye(matrix.design.width)])
    assert x[:, 0].tolist() == [1.0] * 300
    chances = np.random.default_rng(2)
    weight, residual = chances.uniform(size=300), chances.normal(size=300)
    symmetric = np.cov(chances.normal(size=(matrix.design.width, 40)))
    (part,) = matrix.parts()
    dense = DenseRows(x, np.zeros(300))
    assert part.gram(weight) == pytest.approx(dense.gram(weight), abs=1e-10)
    assert part.project(residual) == pytest.approx(dense.project(residual), abs=1e-10)
    assert part.quadratic(symmetric) == pytest.approx(np.einsum("ij,jk,ik->i", x, symmetric, x))


def test_embedded_rows_are_the_linear_image_of_their_rows() -> None:
    x, y = _dense()
    image = np.random.default_rng(3).normal(size=(5, 8))
    rows, plain = EmbeddedRows(DenseRows(x, y), image), DenseRows(x @ image, y)
    theta, weight = np.linspace(-1, 1, 8), np.linspace(0.1, 1, len(y))
    assert rows.logit(theta) == pytest.approx(plain.logit(theta))
    assert rows.project(weight) == pytest.approx(plain.project(weight))
    assert rows.gram(weight) == pytest.approx(plain.gram(weight))


def test_rows_without_any_field_have_their_intercept() -> None:
    rows = CodedRows(Layout(1, (0,), (), ()), np.zeros((3, 0), np.int32), np.ones((3, 1)), np.zeros(3))
    assert rows.logit(np.array([2.0])).tolist() == [2.0, 2.0, 2.0]
    assert rows.gram(np.ones(3)).tolist() == [[3.0]]
    assert rows.quadratic(np.array([[0.5]])).tolist() == [0.5, 0.5, 0.5]


def test_the_prior_alone_decides_before_there_is_any_outcome() -> None:
    found = fit([], _prior(3))
    assert float(probability(found.theta[:1])[0]) == pytest.approx(0.1)
    assert found.theta[1:].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("y", [np.zeros(20), np.ones(20), (np.arange(20) > 9).astype(np.float64)])
def test_outcomes_without_a_finite_maximum_are_refused_without_a_prior_and_fitted_with_one(y: Floats) -> None:
    x = np.arange(20.0)
    with pytest.raises(ValueError, match="no finite maximum"):
        fit_one_variable(x, y)
    found = fit([DenseRows(np.column_stack([np.ones(20), x]), y)], _prior(2))
    assert found.converged
    assert np.isfinite(found.theta).all()


def test_intervals_hold_the_truth_as_often_as_they_say_when_it_is_drawn_from_the_prior() -> None:
    """90 % intervals of the coefficients over 400 organisations of 20 to 200 outcomes each."""
    chances = np.random.default_rng(20260101)
    held = []
    for _ in range(400):
        rows = int(chances.integers(20, 200))
        x = np.column_stack([np.ones(rows), chances.normal(size=(rows, 3))])
        theta = np.concatenate([[chances.normal(-1.0, 0.5)], chances.normal(size=3)])
        y = (chances.uniform(size=rows) < probability(x @ theta)).astype(np.float64)
        found = fit([DenseRows(x, y)], Prior(np.array([0.0, 1.0, 1.0, 1.0]), np.eye(4)[0], 2.0, 0.25))
        error = np.sqrt(np.diag(covariance(found.factor)))
        held.append(np.abs(found.theta - theta)[1:] <= 1.6448536 * error[1:])
    assert 0.87 <= float(np.mean(held)) <= 0.93
