"""No input makes efficiency or pipeline say infinity, NaN or a negative number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmbridge.metrics.base import Frame, Metric, MetricSettings
from crmbridge.metrics.efficiency import EfficiencyMetric
from crmbridge.metrics.pipeline import PipelineMetric
from crmbridge.model.columns import schema
from crmbridge.model.fields import result_schema
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Results

NOW = datetime(2026, 3, 29, 12, tzinfo=UTC)  # the day the clocks change in Europe
ZONES = ("Europe/Berlin", "Pacific/Kiritimati", "America/St_Johns", "UTC", "Asia/Kathmandu")

moments = st.one_of(
    st.none(),
    st.sampled_from(
        [
            NOW,
            datetime(2026, 3, 29, 1, tzinfo=UTC),
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, tzinfo=UTC),
            datetime(1899, 12, 31, tzinfo=UTC),
        ]
    ),
    st.floats(-400, 5).map(lambda days: NOW + timedelta(days=days)),
)
some_id = st.sampled_from([None, "1", "2", "3", "x"])
truth = st.sampled_from([None, True, False])
stage = st.sampled_from([None, "A", "B", "Won", "Lost"])


def rows(**columns: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries(columns), max_size=12).map(
        lambda found: [row | {"id": str(n)} for n, row in enumerate(found)]
    )


organisations = st.fixed_dictionaries(
    {
        "activity": rows(
            kind=st.sampled_from(["call", "meeting", "email", "task", "note"]),
            owner_id=some_id,
            account_id=some_id,
            deal_id=some_id,
            created_at=moments,
            started_at=moments,
            ended_at=moments,
            duration=st.sampled_from([None, 0.0, 1e-9, 1.0, 600.0, 1e12, 1e308]),
            outcome=st.sampled_from([None, "connected", "held", "no_answer"]),
            is_completed=truth,
        ),
        "deal": rows(
            owner_id=some_id,
            account_id=some_id,
            amount=st.sampled_from([None, Decimal(0), Decimal("1e-9"), Decimal(10) ** 28]),
            currency=st.sampled_from([None, "EUR", "USD"]),
            stage=stage,
            is_closed=truth,
            is_won=truth,
            type=st.sampled_from([None, "New", "Renewal"]),
            created_at=moments,
            closed_at=moments,
        ),
        "stage_change": rows(
            deal_id=some_id.map(lambda id: id or "gone"),
            from_stage=stage,
            to_stage=stage.map(lambda name: name or "A"),
            at=moments.map(lambda moment: moment or NOW),
        ),
        "order": rows(
            owner_id=some_id, account_id=some_id, deal_id=some_id, ordered_at=moments, fulfilled_at=moments
        ),
        "rep": st.just([{"id": "1", "role": "Inside"}, {"id": "2"}]),
        "account": st.just([{"id": "1"}]),
    }
)


def frame(organisation: Mapping[ObjectName, list[dict[str, Any]]], zone: str) -> Frame:
    tables = {
        name: pa.table({f.name: pa.array([row.get(f.name) for row in found], f.type) for f in schema(name)})
        for name, found in organisation.items()
    }
    return Frame.of(tables, moment=NOW, zone=ZoneInfo(zone))


def numbers(results: Results) -> list[float]:
    tables = [results.values, *results.tables.values(), *([results.details] if results.details else [])]
    return [
        value
        for table in tables
        for column in table.columns
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
        for value in column.drop_null().to_pylist()
    ]


@pytest.mark.parametrize("metric_class", [EfficiencyMetric, PipelineMetric])
@given(
    organisation=organisations,
    zone=st.sampled_from(ZONES),
    window_days=st.sampled_from([1, 90, 10**6]),
    order_days=st.sampled_from(["clock", "working"]),
)
@settings(max_examples=25, deadline=None)
def test_every_number_is_finite_and_none_is_negative(
    metric_class: type[Metric],
    organisation: Mapping[ObjectName, list[dict[str, Any]]],
    zone: str,
    window_days: int,
    order_days: Literal["clock", "working"],
) -> None:
    metric = metric_class(MetricSettings(window_days=window_days, order_days=order_days))
    known = frame(organisation, zone)
    for object_name in metric.objects:
        model = metric.fit(object_name, known)
        results = metric.apply(object_name, known, model)
        assert all(math.isfinite(value) and value >= 0 for value in numbers(results))
        assert results.values.schema == result_schema(object_name, metric.produces)
        ids = [row["id"] for row in organisation[object_name]]
        if (metric_class, object_name) == (
            EfficiencyMetric,
            "deal",
        ):  # of those that nothing happens to: none
            assert set(results.values["id"].to_pylist()) <= set(ids)
        else:
            assert results.values["id"].to_pylist() == ids
        assert b"Infinity" not in model.to_bytes()
        assert b"NaN" not in model.to_bytes()
        if results.details is not None:
            assert results.details.num_rows == results.values.num_rows


@given(organisation=organisations, zone=st.sampled_from(ZONES))
@settings(max_examples=15, deadline=None)
def test_the_sums_of_the_parts_are_the_whole(
    organisation: Mapping[ObjectName, list[dict[str, Any]]], zone: str
) -> None:
    metric = EfficiencyMetric(MetricSettings())
    known = frame(organisation, zone)
    tables = metric.apply("rep", known, metric.fit("rep", known)).tables
    (window, whole) = tables["efficiency_total"].to_pylist()
    months, reps = tables["efficiency_by_period"].to_pylist(), tables["efficiency_by_rep"].to_pylist()
    teams, channels = (tables[f"efficiency_by_{name}"].to_pylist() for name in ("team", "channel"))
    for name in ("communications", "successes", "communication_hours", "won", "orders_fulfilled"):
        assert sum(month[name] for month in months) == pytest.approx(whole[name])
        assert window[name] <= whole[name] * (1 + 1e-9)
        assert sum(rep[name] for rep in reps) <= window[name] * (1 + 1e-9)
        (inside,) = (rep[name] for rep in reps if rep["id"] == "1")
        assert sum(team[name] for team in teams) == pytest.approx(inside)
        if name in channels[0]:
            assert sum(channel[name] for channel in channels) == pytest.approx(window[name])


@given(organisation=organisations, zone=st.sampled_from(ZONES))
@settings(max_examples=25, deadline=None)
def test_the_funnel_and_the_summary_account_for_every_deal(
    organisation: Mapping[ObjectName, list[dict[str, Any]]], zone: str
) -> None:
    metric = PipelineMetric(MetricSettings())
    known = frame(organisation, zone)
    tables = metric.apply("deal", known, metric.fit("deal", known)).tables
    for row in tables["funnel"].to_pylist():
        assert row["entered"] == row["moved_on"] + row["moved_back"] + row["lost"] + row["still_open"]
    figures = {row["figure"]: row["value"] for row in tables["deal_summary"].to_pylist() if not row["stage"]}
    assert figures["won"] + figures["lost"] + figures["open"] == figures["deals"] == len(organisation["deal"])
