"""Small organisations for the efficiency tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.efficiency import EfficiencyMetric
from crmbridge.model.columns import schema
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Results

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 31, 10, tzinfo=UTC)


def table(object_name: ObjectName, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    own = schema(object_name)
    columns = {f.name: pa.array([row.get(f.name) for row in rows], f.type) for f in own}
    attributes = {name for row in rows for name in row if name.startswith("attributes.")}
    return pa.table(
        columns | {name: pa.array([row.get(name) for row in rows], pa.string()) for name in attributes}
    )


def frame(rows: Mapping[ObjectName, Sequence[Mapping[str, Any]]], zone: ZoneInfo = BERLIN) -> Frame:
    return Frame.of({name: table(name, found) for name, found in rows.items()}, moment=NOW, zone=zone)


def efficiency(frame: Frame, object_name: ObjectName = "rep", **settings: Any) -> Results:
    metric = EfficiencyMetric(MetricSettings(**settings))
    return metric.apply(object_name, frame, metric.fit(object_name, frame))


def total(results: Results, period: str = "window") -> dict[str, Any]:
    (row,) = (row for row in results.tables["efficiency_total"].to_pylist() if row["period"] == period)
    found: dict[str, Any] = row
    return found


def by_id(results: Results) -> dict[str, dict[str, Any]]:
    assert results.details is not None
    rows = zip(results.values.to_pylist(), results.details.to_pylist(), strict=True)
    return {value["id"]: value | detail for value, detail in rows}


def call(**fields: Any) -> dict[str, Any]:
    given = {
        "kind": "call",
        "owner_id": "r1",
        "started_at": NOW - timedelta(days=5),
        "outcome": "connected",
        "duration": 600.0,
    }
    return given | fields
