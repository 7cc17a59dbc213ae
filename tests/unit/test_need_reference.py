"""Need on real data: the figures of the reference, and an honest verdict where nothing can be predicted."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import train_test_split

from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.need import NeedMetric
from crmbridge.metrics.need.arrays import Floats
from crmbridge.metrics.need.columns import Column, ColumnReader
from crmbridge.metrics.need.design import Design, Matrix, plan_field
from crmbridge.metrics.need.evaluate import auc
from crmbridge.metrics.need.logistic import Prior, fit, fit_one_variable, probability
from crmbridge.model.columns import to_table
from crmbridge.model.records import Account, Deal, Lead
from tests.shared_data import shared


@pytest.fixture(scope="module")
def calls() -> list[dict[str, str]]:
    with shared("data/bank-marketing/bank-additional.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=";"))


@pytest.fixture(scope="module")
def outcome(calls: list[dict[str, str]]) -> Floats:
    return np.array([call["y"] == "yes" for call in calls], np.float64)


def test_the_one_variable_chance_on_bank_is_that_of_the_reference(
    calls: list[dict[str, str]], outcome: Floats
) -> None:
    seconds = np.array([float(call["duration"]) for call in calls])
    found = fit_one_variable(seconds, outcome)
    p = probability(found.a + found.b * seconds)
    assert found.a == pytest.approx(-3.4117991, rel=1e-5)
    assert found.b == pytest.approx(0.00389879, rel=1e-5)
    assert found.log_likelihood == pytest.approx(-1162.84977, rel=1e-5)
    area = auc(p, outcome, np.arange(len(p)))
    assert area is not None
    assert area.value == pytest.approx(0.821632, rel=1e-5)
    assert np.mean((p - outcome) ** 2) == pytest.approx(0.080590, rel=1e-5)


def _columns(calls: list[dict[str, str]]) -> dict[str, Column]:
    table = to_table(
        "lead",
        [
            Lead(id=str(row), attributes={k: v for k, v in call.items() if k not in ("y", "duration")})
            for row, call in enumerate(calls)
        ],
    )
    columns = {}
    for name in table.column_names:
        if name.startswith("attributes."):
            reader = ColumnReader(name, len(calls), tagged=True)
            reader.put(np.arange(len(calls)), table[name].combine_chunks())
            columns[name] = reader.finish()
    return columns


def _matrix(columns: dict[str, Column], learned_from: np.ndarray, rows: int) -> Matrix:
    fields = [plan_field(column.take(learned_from)) for column in columns.values()]
    return Design(tuple(field for field in fields if not isinstance(field, str))).encode(columns, rows)


def test_encoder_and_fit_come_within_a_hundredth_of_the_oracle_on_bank(
    calls: list[dict[str, str]], outcome: Floats
) -> None:
    train, test = train_test_split(np.arange(len(calls)), test_size=0.2, stratify=outcome, random_state=0)
    matrix = _matrix(_columns(calls), train, len(calls))
    precision = np.ones(matrix.design.width)
    precision[0] = 0.0
    prior = Prior(precision, matrix.means(train), 2.0, 0.1)
    found = fit(list(matrix.parts(train, outcome)), prior)
    p = probability(matrix.logit(found.theta, test))
    assert roc_auc_score(outcome[test], p) == pytest.approx(0.7726, abs=0.01)
    assert brier_score_loss(outcome[test], p) == pytest.approx(0.0788, abs=0.002)


def test_the_fit_is_that_of_scikit_learn_for_the_same_prior(
    calls: list[dict[str, str]], outcome: Floats
) -> None:
    every = np.arange(len(calls))
    matrix = _matrix(_columns(calls), every, len(calls))
    x = np.column_stack([matrix.logit(unit) for unit in np.eye(matrix.design.width)])
    precision = np.ones(matrix.design.width)
    precision[0] = 0.0
    found = fit(list(matrix.parts(every, outcome)), Prior(precision))
    oracle = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000, solver="newton-cholesky")
    oracle.fit(x[:, 1:], outcome)
    assert found.theta[1:] == pytest.approx(oracle.coef_[0], abs=1e-6)
    assert found.theta[0] == pytest.approx(oracle.intercept_[0], abs=1e-6)


def test_bank_has_no_dates_so_the_card_refuses_a_split_in_time(calls: list[dict[str, str]]) -> None:
    leads = [
        Lead(
            id=str(row),
            is_converted=call["y"] == "yes",
            is_disqualified=call["y"] == "no",
            attributes={name: value for name, value in call.items() if name != "y"},
        )
        for row, call in enumerate(calls)
    ]
    frame = Frame.of(
        {"lead": to_table("lead", leads)}, moment=datetime(2026, 1, 1, tzinfo=UTC), zone=ZoneInfo("UTC")
    )
    card: Any = NeedMetric(MetricSettings(exclude=("duration",))).fit("lead", frame).card
    assert card["split"]["kind"] == "folds"
    assert card["excluded"] == ["attributes.duration"]
    assert any("split in time is refused: created_at is not known" in said for said in card["verdict"])
    assert card["metrics"]["auc"]["value"] == pytest.approx(0.77, abs=0.02)


def _day(text: str) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


@pytest.fixture(scope="module")
def maven() -> dict[str, list[Deal] | list[Account]]:
    with shared("data/maven-crm/sales_pipeline.csv").open(encoding="utf-8") as file:
        deals = [
            Deal(
                id=row["opportunity_id"],
                created_at=_day(row["engage_date"]),
                closed_at=_day(row["close_date"]),
                owner_id=row["sales_agent"],
                account_id=row["account"] or None,
                amount=Decimal(row["close_value"]) if row["close_value"] else None,
                stage=row["deal_stage"],
                is_closed=row["deal_stage"] in ("Won", "Lost"),
                is_won=row["deal_stage"] == "Won",
                attributes={"product": row["product"]},
            )
            for row in csv.DictReader(file)
        ]
    with shared("data/maven-crm/accounts.csv").open(encoding="utf-8") as file:
        accounts = [
            Account(
                id=row["account"],
                industry=row["sector"],
                employees=int(row["employees"]),
                annual_revenue=Decimal(row["revenue"]),
                country=row["office_location"],
            )
            for row in csv.DictReader(file)
        ]
    return {"deal": deals, "account": accounts}


@pytest.mark.parametrize("moment", ["2017-12-31", "2018-12-31", "2026-01-01"])
def test_on_maven_the_card_says_that_the_outcome_cant_be_predicted(
    maven: dict[str, list[Deal] | list[Account]], moment: str
) -> None:
    at = _day(moment)
    assert at is not None
    frame = Frame.of(
        {name: to_table(name, rows) for name, rows in maven.items()},  # type: ignore[arg-type,misc]
        moment=at,
        zone=ZoneInfo("UTC"),
    )
    model = NeedMetric(MetricSettings()).fit("deal", frame)
    card: Any = model.card
    assert "The outcome can't be predicted from these columns" in card["verdict"][0]
    assert card["published"] in ("base", "age")
    assert not model.provisional
    assert card["split"]["kind"] == "time"
    assert (card["outcomes"]["closed"], card["outcomes"]["positives"]) == (6711, 4238)
    assert card["metrics"]["auc_at_same_age"]["value"] == pytest.approx(0.5, abs=0.06)
    blocked = {row["name"]: row["reason"] for row in card["blocked"]}
    assert "filled in at closing" in blocked["amount"]
    assert "filled in at closing" in blocked["account.industry"]
    results = NeedMetric(MetricSettings()).apply("deal", frame, model)
    assert results.values.num_rows == 1589 + 500
