"""What holds for every organisation: finite figures, chances within 0 and 1, the same bytes in any order."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmbridge.metrics.base import MetricSettings
from crmbridge.metrics.need import NeedMetric
from crmbridge.model.records import Account, Activity, Deal, Lead, ObjectName, Order, StageChange
from crmbridge.model.results import Results
from tests.unit.need_organisation import NOW, frame, leads

_CHECKED = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _fit_and_check(records: dict[ObjectName, list[Any]], object_name: ObjectName) -> Results:
    metric = NeedMetric(MetricSettings())
    made = frame(records)
    model = metric.fit(object_name, made)
    again = metric.fit(object_name, frame({name: rows[::-1] for name, rows in records.items()}, batch=3))
    assert again.to_bytes() == model.to_bytes()
    _check_json(model.model_dump())
    stamp = {"moment": (NOW - timedelta(days=400)).isoformat()}
    before = model.model_copy(update={"card": {**model.card, "fitted": stamp}})
    _check_json(metric.refit(object_name, made, before).model_dump())
    results = metric.apply(object_name, made, model)
    for table in (results.values, results.details):
        assert table is not None
        assert table.num_rows == results.values.num_rows
        for row in table.to_pylist():
            _check_json(row)
    for row in results.values.to_pylist():
        if row["score"] is None:
            assert row["grade"] is None
            assert row["reasons_up"]
        else:
            assert 0.0 <= row["score_low"] <= row["score"] <= row["score_high"] <= 100.0
            assert row["grade"] in "ABCD"
    return results


def _check_json(value: Any) -> None:
    if isinstance(value, float):
        assert math.isfinite(value)
    elif isinstance(value, dict):
        for each in value.values():
            _check_json(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            _check_json(each)


_MOMENTS = st.none() | st.integers(-4000, 400).map(lambda days: NOW + timedelta(days=days, hours=days % 24))
_TEXTS = st.none() | st.sampled_from(["", " ", "a", "b", "12", "ü" * 300, "null", "NaN", "inf", "1e999"])
_TEXTS |= st.sampled_from(["2026-01-05", "0001-01-01T00:00:00Z", "2025-02-31", "9999-12-31", "2026-13-99"])
_NUMBERS = st.none() | st.sampled_from([0, 1, -1, 1e-9, 1e12, -1e300, 1e300, 5e-324, 12345.678])
_ATTRIBUTES = st.dictionaries(
    st.sampled_from(["x", "y", "Score", "loss_reason", "crmbridge_score"]),
    _TEXTS | _NUMBERS | st.booleans(),
    max_size=3,
)


@st.composite
def _leads(draw: st.DrawFn) -> list[Lead]:
    found = []
    for row in range(draw(st.integers(0, 40))):
        kind = draw(st.sampled_from(["open", "won", "lost", "both"]))
        moment = draw(_MOMENTS)
        found.append(
            Lead(
                id=f"{row}",
                created_at=draw(_MOMENTS),
                owner_id=draw(st.none() | st.sampled_from(["r1", "r2"])),
                title=draw(_TEXTS),
                employees=draw(st.none() | st.integers(0, 2**62)),
                annual_revenue=draw(st.none() | st.sampled_from([0, 10**20, -(10**20)])),
                is_converted=kind in ("won", "both") or draw(st.none()),
                is_disqualified=kind in ("lost", "both"),
                converted_at=moment if kind == "won" else None,
                closed_at=moment,
                attributes=draw(_ATTRIBUTES),
            )
        )
    return found


_ACTIVITIES = st.lists(
    st.builds(
        Activity,
        id=st.uuids().map(str),
        kind=st.sampled_from(["call", "email"]),
        lead_id=st.integers(0, 40).map(str),
        deal_id=st.none() | st.integers(0, 40).map(str),
        contact_id=st.none() | st.sampled_from(["c1", "c2"]),
        started_at=_MOMENTS,
        duration=st.none() | st.sampled_from([0.0, 1e-9, 1e12]),
        outcome=st.sampled_from([None, "connected", "no_answer"]),
        is_completed=st.none() | st.booleans(),
    ),
    max_size=30,
)


@_CHECKED
@given(_leads(), _ACTIVITIES)
def test_any_leads_give_finite_scores_and_the_same_bytes(
    rows: list[Lead], activities: list[Activity]
) -> None:
    _fit_and_check({"lead": rows, "activity": activities}, "lead")


@st.composite
def _deals(draw: st.DrawFn) -> dict[ObjectName, list[Any]]:
    deals, changes = [], []
    for row in range(draw(st.integers(0, 40))):
        closed = draw(st.none() | st.booleans())
        deals.append(
            Deal(
                id=f"{row}",
                created_at=draw(_MOMENTS),
                account_id=draw(st.none() | st.sampled_from(["a1", "a2", "gone"])),
                contact_id=draw(st.none() | st.sampled_from(["c1", "c2"])),
                owner_id=draw(st.none() | st.sampled_from(["7", "8"])),
                amount=draw(st.none() | st.sampled_from([0, 1, 10**28])),
                stage=draw(st.none() | st.sampled_from(["New", "Won", "Lost"])),
                is_closed=closed,
                is_won=draw(st.none() | st.booleans()) if closed else None,
                closed_at=draw(_MOMENTS),
                expected_close=draw(st.none() | st.dates()),
                attributes=draw(_ATTRIBUTES),
            )
        )
    for row in range(draw(st.integers(0, 40))):
        at = draw(_MOMENTS)
        if at is not None:
            changes.append(
                StageChange(
                    id=f"{row}",
                    deal_id=f"{draw(st.integers(0, 40))}",
                    from_stage=draw(st.none() | st.just("New")),
                    to_stage=draw(st.sampled_from(["New", "Won"])),
                    at=at,
                )
            )
    accounts = [Account(id="a1", industry="x"), Account(id="a2", employees=0)]
    return {"deal": deals, "stage_change": changes, "account": accounts}


@pytest.mark.slow
@_CHECKED
@given(_deals(), _ACTIVITIES)
def test_any_deals_give_finite_scores_and_the_same_bytes(
    records: dict[ObjectName, list[Any]], activities: list[Activity]
) -> None:
    _fit_and_check({**records, "activity": activities}, "deal")


@_CHECKED
@given(
    st.lists(
        st.builds(
            Order,
            id=st.uuids().map(str),
            account_id=st.none() | st.integers(0, 12).map(str),
            ordered_at=_MOMENTS,
            amount=st.none() | st.sampled_from([0, -5, 10**28]),
        ),
        max_size=60,
    )
)
def test_any_orders_give_finite_scores_and_the_same_bytes(orders: list[Order]) -> None:
    _fit_and_check({"account": [Account(id=str(row)) for row in range(12)], "order": orders}, "account")


@pytest.mark.parametrize("object_name", ["lead", "deal", "account"])
def test_an_empty_organisation_has_a_model_that_abstains(object_name: ObjectName) -> None:
    results = _fit_and_check({}, object_name)
    assert results.values.num_rows == 0


@pytest.mark.parametrize(
    "attribute",
    [
        lambda row: f"level {row % 10_000}",
        lambda row: "the same",
        lambda row: None,
        lambda row: 1e-9 * (row % 7),
        lambda row: 1e12 * (row % 7),
        lambda row: (-1e300, 1e300)[row % 2],
        lambda row: 1e300 if row == 5 else 5e-324,
    ],
)
def test_extreme_columns_do_no_harm(attribute: Any) -> None:
    rows = [
        lead.model_copy(update={"attributes": {"x": attribute(row)}}) for row, lead in enumerate(leads(800))
    ]
    _fit_and_check({"lead": rows}, "lead")


@pytest.mark.parametrize("won", [True, False])
def test_one_outcome_alone_gives_a_chance_short_of_certainty(won: bool) -> None:
    rows = [lead for lead in leads(800) if lead.is_converted == won or not lead.closed_at]
    results = _fit_and_check({"lead": rows}, "lead")
    scores = np.array(results.values["score"].to_pylist())
    assert (scores > 0.0).all()
    assert (scores < 100.0).all()


def test_our_own_fields_are_never_inputs() -> None:
    rows = [
        lead.model_copy(
            update={"attributes": {"CRMBridge_Score__c": row % 9, "crmbridge_grade": "ABCD"[row % 4]}}
        )
        for row, lead in enumerate(leads(500))
    ]
    card: Any = NeedMetric(MetricSettings()).fit("lead", frame({"lead": rows})).card
    named = {row["name"] for part in ("inputs", "dropped", "blocked") for row in card[part]}
    assert not any("crmbridge" in name.lower() for name in named)
