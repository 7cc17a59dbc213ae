"""What is planted in the sample organisation is found again, by the files connector and by what counts."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from pydantic import SecretStr

from crmbridge.connectors.base import Context, SetAside
from crmbridge.connectors.files import FilesConnector, Options
from crmbridge.demo.generate import generate
from crmbridge.demo.planted import Truth
from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.efficiency import EfficiencyMetric
from crmbridge.metrics.pipeline import PipelineMetric
from crmbridge.model.columns import to_table
from crmbridge.model.records import ObjectName

NOW = datetime(2026, 3, 31, 8, tzinfo=UTC)


def no_secret(name: str) -> SecretStr:
    raise AssertionError(f"the sample organisation needs no secret, not {name}")


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Truth, Frame, list[SetAside]]:
    directory: Path = tmp_path_factory.mktemp("demo")
    truth = generate(directory, seed=7, moment=NOW)
    settings: dict[str, Any] = tomllib.loads((directory / "crmbridge.toml").read_text(encoding="utf-8"))
    own = {
        key: value for key, value in settings["connections"]["demo"].items() if key in Options.model_fields
    }
    zone = ZoneInfo("Europe/Berlin")
    context = Context(
        connection="demo",
        options=Options(**own | {"path": directory / own["path"]}),
        secret=no_secret,
        clock=lambda: NOW,
        zone=zone,
    )
    connector = FilesConnector(context)
    tables: dict[ObjectName, pa.Table] = {}
    set_aside: list[SetAside] = []
    for name in connector.objects():
        pages = list(connector.pull(name, None))
        set_aside += [row for page in pages for row in page.set_aside]
        parts = [p.records if isinstance(p.records, pa.Table) else to_table(name, p.records) for p in pages]
        tables[name] = pa.concat_tables(parts, promote_options="default")
    return truth, Frame.of(tables, moment=NOW, zone=zone), set_aside


def test_the_settings_read_every_good_row_and_set_aside_every_bad_one(
    pulled: tuple[Truth, Frame, list[SetAside]],
) -> None:
    truth, frame, set_aside = pulled
    for name, number in truth.counts.items():
        assert frame.table(name, ["id"]).num_rows == number
    assert {row.place for row in set_aside} == {f"{bad.file}:{bad.line}" for bad in truth.bad_rows}


def test_the_planted_efficiencies_lie_in_the_intervals(pulled: tuple[Truth, Frame, list[SetAside]]) -> None:
    truth, frame, _ = pulled
    metric = EfficiencyMetric(MetricSettings(window_days=2000))
    values = metric.apply("rep", frame, metric.fit("rep", frame)).values.to_pylist()
    planted = {
        "communication_efficiency": truth.communication_efficiency,
        "order_efficiency": {rep: 1 / days for rep, days in truth.fulfilment_days.items()},
    }
    inside = [
        row[f"{key}_low"] <= rates[row["id"]] <= row[f"{key}_high"]
        for key, rates in planted.items()
        for row in values
    ]
    assert len(inside) == 24
    assert sum(inside) >= 18  # below that with a chance of 1 in 50, were each inside with 90 %


def test_the_bottleneck_and_the_stale_deals_are_found(pulled: tuple[Truth, Frame, list[SetAside]]) -> None:
    truth, frame, _ = pulled
    metric = PipelineMetric(MetricSettings())
    model = metric.fit("deal", frame)
    results = metric.apply("deal", frame, model)
    assert model.card["stage_order"] == list(truth.stage_days)
    funnel = results.tables["funnel"].to_pylist()
    assert max(funnel, key=lambda row: row["median_days"])["stage"] == truth.bottleneck
    stuck = {row["id"]: row["stuck"] for row in results.values.to_pylist()}
    stale = [stuck[id] for id in truth.stale_deals]
    others = [value for id, value in stuck.items() if value is not None and id not in set(truth.stale_deals)]
    assert sum(stale) / len(stale) > 0.85
    assert sum(others) / len(others) < 0.3
