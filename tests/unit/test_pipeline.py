"""Stages and the time in them: hand-made paths and the figures of the real data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.pipeline import PipelineMetric
from crmbridge.metrics.pipeline.stays import _by_deal_and_time
from crmbridge.model.columns import schema
from crmbridge.model.fields import result_schema
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model, Results
from tests.shared_data import shared

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 31, 10, tzinfo=UTC)
Rows = Sequence[Mapping[str, Any]]


def table(object_name: ObjectName, rows: Rows) -> pa.Table:
    return pa.table(
        {f.name: pa.array([row.get(f.name) for row in rows], f.type) for f in schema(object_name)}
    )


def frame(deals: Rows, changes: Rows = ()) -> Frame:
    tables: dict[ObjectName, pa.Table] = {
        "deal": table("deal", deals),
        "stage_change": table("stage_change", changes),
    }
    return Frame.of(tables, moment=NOW, zone=BERLIN)


def fitted(known: Frame) -> tuple[Model, Results]:
    metric = PipelineMetric(MetricSettings())
    model = metric.fit("deal", known)
    return model, metric.apply("deal", known, model)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def path(deal: str, *steps: tuple[str | None, str, float]) -> Rows:
    return [
        {"id": f"{deal}/{n}", "deal_id": deal, "from_stage": source, "to_stage": target, "at": ago(days)}
        for n, (source, target, days) in enumerate(steps)
    ]


def summary(results: Results) -> dict[str | tuple[str, str], float | None]:
    return {
        (row["figure"], row["stage"]) if row["stage"] else row["figure"]: row["value"]
        for row in results.tables["deal_summary"].to_pylist()
    }


def test_maven_gives_its_counts_win_rate_and_days_to_close() -> None:
    def moment(text: str) -> datetime | None:
        return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC) if text else None

    convert = pacsv.ConvertOptions(
        column_types=dict.fromkeys(("engage_date", "close_date", "close_value"), pa.string())
    )
    rows = pacsv.read_csv(shared("data/maven-crm/sales_pipeline.csv"), convert_options=convert).to_pylist()
    deals = [
        {
            "id": row["opportunity_id"],
            "stage": row["deal_stage"],
            "is_closed": row["deal_stage"] in ("Won", "Lost"),
            "is_won": row["deal_stage"] == "Won",
            "created_at": moment(row["engage_date"]),
            "closed_at": moment(row["close_date"]),
            "amount": Decimal(row["close_value"]) if row["close_value"] else None,
        }
        for row in rows
    ]
    model, results = fitted(frame(deals))
    found = summary(results)
    assert found["won"] == 4238
    assert found["lost"] == 2473
    assert found["open", "Engaging"] == 1589
    assert found["open", "Prospecting"] == 500
    assert found["win_rate"] == pytest.approx(0.6315, abs=5e-5)
    assert found["won_value"] == 10_005_534
    assert found["days_to_close_median"] == 45
    assert found["days_to_close_mean"] == pytest.approx(47.985, abs=5e-4)
    assert found["days_to_close_won_median"] == 57
    assert found["days_to_close_lost_median"] == 14
    assert model.provisional  # there is no stage history, so nothing is usual
    values = {row["id"]: row for row in results.values.to_pylist()}
    engaging = next(deal for deal in deals if deal["stage"] == "Engaging")
    prospecting = next(deal for deal in deals if deal["stage"] == "Prospecting")
    since = engaging["created_at"].astimezone(BERLIN).date()
    assert values[engaging["id"]]["days_in_stage"] == (NOW.date() - since).days
    assert values[engaging["id"]]["typical_days"] is None
    assert values[prospecting["id"]]["days_in_stage"] is None  # no date at all


def history(stays: Sequence[float]) -> tuple[Rows, Rows]:
    """Deals that were in A for one day each and then in B for the days given, and are won."""
    deals: list[Mapping[str, Any]] = []
    changes: list[Mapping[str, Any]] = []
    for n, days in enumerate(stays):
        deals.append(
            {"id": f"w{n}", "stage": "Won", "is_closed": True, "is_won": True, "created_at": ago(101)}
        )
        changes += path(f"w{n}", (None, "A", 101), ("A", "B", 100), ("B", "Won", 100 - days))
    return deals, changes


def test_an_open_deal_is_stuck_when_three_quarters_left_sooner_and_waiting_ones_count() -> None:
    """1 - S(8) = 1 - 4/7 * 3/4 = 4/7 and S(10) = 0: half left within 8 days, three quarters within 10."""
    deals, changes = history([2, 4, 6, 8, 10])
    for id, days in (("fresh", 8), ("late", 11)):
        deals = [*deals, {"id": id, "stage": "B", "created_at": ago(50)}]
        changes = [*changes, *path(id, (None, "A", 50), ("A", "B", days))]
    _, results = fitted(frame(deals, changes))
    values = {row["id"]: row for row in results.values.to_pylist()}
    # One of seven is still there after 11 days: three quarters have left within 10.
    assert values["fresh"] == {"id": "fresh", "days_in_stage": 8, "typical_days": 8, "stuck": False}
    assert values["late"] == {"id": "late", "days_in_stage": 11, "typical_days": 8, "stuck": True}
    assert values["w0"] == {"id": "w0", "days_in_stage": None, "typical_days": None, "stuck": None}


def test_where_a_quarter_never_leaves_stuck_is_who_waits_longer_than_anybody_who_left() -> None:
    deals, changes = history([2, 4, 6, 8, 10])
    for n in range(20):
        deals = [*deals, {"id": f"z{n}", "stage": "B", "created_at": ago(90)}]
        changes = [*changes, *path(f"z{n}", (None, "A", 90), ("A", "B", 5 if n < 10 else 80))]
    values = {row["id"]: row for row in fitted(frame(deals, changes))[1].values.to_pylist()}
    assert (values["z0"]["typical_days"], values["z0"]["stuck"]) == (None, False)
    assert (values["z19"]["typical_days"], values["z19"]["stuck"]) == (None, True)


def test_nothing_is_called_usual_on_four_completed_stays() -> None:
    deals, changes = history([2, 4, 6, 8])
    deals = [*deals, {"id": "open", "stage": "B", "created_at": ago(50)}]
    changes = [*changes, *path("open", ("A", "B", 40))]
    _, results = fitted(frame(deals, changes))
    assert results.values.to_pylist()[-1] == {
        "id": "open",
        "days_in_stage": 40,
        "typical_days": None,
        "stuck": None,
    }


def test_the_funnel_accounts_for_every_deal_that_entered() -> None:
    deals: Rows = [
        {"id": "won", "stage": "Won", "is_closed": True, "is_won": True},
        {"id": "lost", "stage": "Lost", "is_closed": True, "is_won": False},
        {"id": "back", "stage": "A"},
        {"id": "open", "stage": "B"},
        {"id": "closed in B", "stage": "B", "is_closed": True, "is_won": False},
    ]
    changes: Rows = [
        *path("won", (None, "A", 9), ("A", "B", 8), ("B", "C", 6), ("C", "Won", 5)),
        *path("lost", (None, "A", 9), ("A", "B", 8), ("B", "Lost", 7)),
        *path("back", (None, "A", 9), ("A", "B", 8), ("B", "A", 7)),
        *path("open", ("A", "B", 8)),
        *path("closed in B", (None, "A", 9), ("A", "B", 8)),
        *path("unknown deal", (None, "A", 9), ("A", "Z", 8)),
    ]
    _, results = fitted(frame(deals, changes))
    funnel = results.tables["funnel"].to_pylist()
    names = ("stage", "entered", "moved_on", "moved_back", "lost", "still_open")
    assert [tuple(row[name] for name in names) for row in funnel] == [
        ("A", 5, 4, 0, 0, 1),
        ("B", 5, 1, 1, 2, 1),
        ("C", 1, 1, 0, 0, 0),
    ]
    assert funnel[1]["median_days"] == 1


def test_the_first_stay_begins_with_the_deal_and_never_before_it() -> None:
    deals = [
        {"id": "d", "stage": "B", "created_at": ago(10)},
        {"id": "odd", "stage": "B", "created_at": ago(1)},
    ]
    changes = [*path("d", ("A", "B", 4)), *path("odd", ("A", "B", 4))]
    model, results = fitted(frame(deals, changes))
    assert results.tables["funnel"].to_pylist()[0]["median_days"] == 6
    assert model.card["changed_before_creation"] == 1


def test_rows_that_change_nothing_are_no_changes() -> None:
    deals = [{"id": "d", "stage": "B", "created_at": ago(10)}]
    changes = path("d", (None, "A", 10), ("A", "A", 9), ("A", "B", 8), (None, "B", 3), ("B", "B", 2))
    _, results = fitted(frame(deals, changes))
    assert results.values["days_in_stage"].to_pylist() == [8]
    assert [row["median_days"] for row in results.tables["funnel"].to_pylist()] == [2, None]


def test_changes_at_the_same_instant_keep_the_order_of_the_crm() -> None:
    deals = [{"id": "d", "stage": "C", "created_at": ago(10)}]
    changes = path("d", (None, "B", 5), ("B", "A", 5), ("A", "C", 5))
    model, _ = fitted(frame(deals, changes))
    assert model.card["stage_order"] == ["B", "A", "C"]


def test_a_history_that_contradicts_the_deal_gives_no_days_in_stage() -> None:
    _, results = fitted(frame([{"id": "d", "stage": "C", "created_at": ago(10)}], path("d", (None, "A", 9))))
    assert results.values["days_in_stage"].to_pylist() == [None]


def test_what_comes_after_the_moment_is_not_known() -> None:
    deals = [
        {"id": "d", "stage": "A", "created_at": ago(10)},
        {"id": "e", "stage": "A", "created_at": ago(-1)},
    ]
    _, results = fitted(frame(deals, path("d", (None, "A", 9), ("A", "B", -1))))
    assert results.values["days_in_stage"].to_pylist() == [9, None]


def test_no_deals_give_empty_tables_and_a_provisional_model() -> None:
    model, results = fitted(frame([]))
    assert model.provisional
    assert results.values.schema == result_schema("deal", PipelineMetric.produces)
    assert results.tables["funnel"].num_rows == 0
    assert summary(results)["win_rate"] is None


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 10**13])
def test_changes_are_ordered_by_deal_then_time_then_as_they_came(unit: int) -> None:
    """Packed into one number where the bits suffice (not for the last unit), and in every case stable."""
    random = np.random.default_rng(11)
    deal = random.integers(0, 50, 2000).astype(np.int32)
    at = random.integers(-300, 300, 2000) * unit
    expected = np.lexsort((np.arange(2000), at, deal))
    assert (_by_deal_and_time(deal, at, 2**15) == expected).all()
