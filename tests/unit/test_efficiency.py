"""Communication, follow-up and order efficiency: what counts, what does not, the figures of real data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.efficiency import EfficiencyMetric
from crmbridge.model.fields import result_schema
from crmbridge.model.records import ObjectName
from tests.shared_data import shared
from tests.unit.efficiency_kit import BERLIN, NOW, by_id, call, efficiency, frame, table, total


def test_bank_has_451_successes_in_1057710_seconds() -> None:
    rows = pacsv.read_csv(
        shared("data/bank-marketing/bank-additional.csv"), parse_options=pacsv.ParseOptions(delimiter=";")
    ).to_pylist()
    outcome = {"yes": "connected", "no": "other"}
    calls = [
        call(id=str(n), duration=float(row["duration"]), outcome=outcome[row["y"]])
        for n, row in enumerate(rows)
    ]
    found = total(efficiency(frame({"activity": calls})))
    assert found["successes"] == 451
    assert found["communication_hours"] * 3600 == pytest.approx(1_057_710, abs=1e-6)
    assert found["communication_efficiency"] == pytest.approx(451 / (1_057_710 / 3600), rel=1e-12)
    assert round(found["communication_efficiency"], 6) == 1.535014


def northwind() -> list[dict[str, Any]]:
    def moment(text: str) -> datetime | None:
        return (
            datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)
            if text[:1].isdigit()
            else None
        )

    texts = ("OrderID", "EmployeeID", "OrderDate", "ShippedDate")
    read = pacsv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()))
    rows = pacsv.read_csv(shared("data/northwind/orders.csv"), convert_options=read).to_pylist()
    return [
        {
            "id": row["OrderID"],
            "owner_id": row["EmployeeID"],
            "account_id": row["CustomerID"],
            "ordered_at": moment(row["OrderDate"]),
            "fulfilled_at": moment(row["ShippedDate"]),
        }
        for row in rows
    ]


def test_northwind_fulfils_0_117758_orders_per_processing_day() -> None:
    results = efficiency(frame({"order": northwind()}), window_days=36_500)
    found = total(results)
    assert (found["orders_fulfilled"], found["processing_days"]) == (809, 6870)
    assert round(found["order_efficiency"], 6) == 0.117758
    assert found == total(results, "all") | {"period": "window"}
    by_employee = {
        row["id"]: round(row["order_raw"], 4) for row in results.tables["efficiency_by_rep"].to_pylist()
    }
    expected = [0.1289, 0.1242, 0.1187, 0.1134, 0.1424, 0.1100, 0.1194, 0.1152, 0.0921]
    assert by_employee == {str(n): rate for n, rate in enumerate(expected, 1)}


def rep(id: str) -> dict[str, Any]:
    return {"id": id, "name": f"Rep {id}"}


def test_only_calls_meetings_and_emails_are_communications() -> None:
    kinds = ("call", "meeting", "email", "task", "note", "other")
    found = total(efficiency(frame({"activity": [call(id=kind, kind=kind) for kind in kinds]})))
    assert (found["communications"], found["successes"], found["communication_hours"]) == (3, 3, 0.5)


def test_unsuccessful_time_counts_and_unmeasured_successes_do_not() -> None:
    calls = [
        call(id="1"),
        call(id="2", outcome="no_answer", duration=1200.0),
        call(id="3", outcome=None, duration=1800.0),
        call(id="4", duration=None),
    ]
    found = by_id(efficiency(frame({"activity": calls, "rep": [rep("r1")]})))["r1"]
    assert found["communication_raw"] == pytest.approx(1.0)
    assert found["time_coverage"] == 0.75
    assert found["communication_efficiency_low"] < found["communication_efficiency"]
    assert found["communication_efficiency"] < found["communication_efficiency_high"]


def test_an_organisation_that_logs_no_outcomes_gets_no_rate_instead_of_zero() -> None:
    results = efficiency(frame({"activity": [call(id="1", outcome=None)], "rep": [rep("r1")]}))
    assert total(results)["communication_efficiency"] is None
    assert by_id(results)["r1"]["communication_efficiency"] is None
    assert by_id(results)["r1"]["time_coverage"] == 1.0


def test_a_meeting_is_as_long_as_from_its_beginning_to_its_end() -> None:
    begun = NOW - timedelta(days=2)
    meeting = call(kind="meeting", outcome="held", duration=None, started_at=begun)
    rows = [
        meeting | {"id": "1", "ended_at": begun + timedelta(hours=2)},
        meeting | {"id": "2", "ended_at": begun - timedelta(hours=1)},
        meeting | {"id": "3"},
        call(id="4", duration=None, started_at=begun, ended_at=begun + timedelta(hours=9)),
    ]
    metric = EfficiencyMetric(MetricSettings())
    known = frame({"activity": rows})
    model = metric.fit("rep", known)
    found = total(metric.apply("rep", known, model))
    assert (found["communications"], found["measured"], found["communication_hours"]) == (4, 1, 2.0)
    assert model.card["left_out"] == {
        "without_date": 0,
        "negative_duration": 1,
        "longer_than_a_year": 0,
        "fulfilled_before_ordered": 0,
    }


def test_the_window_begins_at_local_midnight_and_ends_at_the_moment() -> None:
    first = datetime(2026, 3, 31, tzinfo=BERLIN) - timedelta(days=90)
    calls = [
        call(id="in", started_at=first),
        call(id="before", started_at=first - timedelta(microseconds=1)),
        call(id="now", started_at=NOW),
        call(id="later", started_at=NOW + timedelta(microseconds=1)),
        call(id="by creation", started_at=None, created_at=NOW),
        call(id="undated", started_at=None),
        call(id="planned", is_completed=False),
    ]
    results = efficiency(frame({"activity": calls}))
    assert total(results)["communications"] == 3
    assert total(results, "all")["communications"] == 4


def test_follow_up_counts_the_hours_from_the_first_communication_on() -> None:
    days = [NOW - timedelta(days=n) for n in range(20)]
    on_deal = {"deal_id": "d1", "owner_id": "somebody else"}
    rows = [
        call(id="1", **on_deal, kind="task", started_at=days[9], duration=7200.0, outcome=None),
        call(id="2", **on_deal, started_at=days[8], duration=None),
        call(id="3", **on_deal, kind="task", started_at=days[7], duration=3600.0, outcome=None),
        call(id="4", **on_deal, started_at=days[6], duration=1800.0),
        call(id="5", deal_id="d2", started_at=days[6], duration=1800.0),
        call(id="6", deal_id="open", started_at=days[6], duration=99_000.0),
        call(id="7", deal_id="long ago", started_at=days[6], duration=99_000.0),
    ]
    deal = {"owner_id": "r1", "account_id": "a1", "currency": "EUR", "closed_at": days[1], "is_closed": True}
    deals = [
        deal | {"id": "d1", "is_won": True, "amount": Decimal("1500.5")},
        deal | {"id": "d2", "is_won": False, "amount": Decimal(9000)},
        deal | {"id": "open", "is_closed": False, "closed_at": None},
        deal | {"id": "long ago", "is_won": True, "closed_at": NOW - timedelta(days=300)},
        deal | {"id": "undated", "is_won": True, "closed_at": None},
    ]
    for order in (rows, rows[::-1]):
        results = efficiency(frame({"activity": order, "deal": deals, "rep": [rep("r1")]}))
        found = by_id(results)["r1"]
        assert (found["won"], found["lost"], found["follow_up_hours"]) == (1, 1, 2.0)
        assert found["follow_up_raw"] == 0.5
        assert found["amount_per_hour"] == 750.25
        assert found["follow_up_coverage"] == 1.0


def test_an_account_has_the_communications_on_its_deals_too() -> None:
    calls = [call(id="1", account_id="a1"), call(id="2", deal_id="d1"), call(id="3", deal_id="d2")]
    deals = [{"id": "d1", "account_id": "a1"}, {"id": "d2"}]
    accounts = [{"id": "a1"}, {"id": "silent"}]
    results = efficiency(frame({"activity": calls, "deal": deals, "account": accounts}), "account")
    assert by_id(results)["a1"]["communications"] == 2
    assert by_id(results)["silent"]["communication_efficiency"] is None
    assert by_id(results)["silent"]["time_coverage"] is None


def test_amounts_of_several_currencies_are_not_added_up() -> None:
    deal = {"is_won": True, "is_closed": True, "closed_at": NOW, "amount": Decimal(10)}
    deals = [deal | {"id": "1", "currency": "EUR"}, deal | {"id": "2", "currency": "USD"}]
    found = total(efficiency(frame({"deal": deals})))
    assert (found["won"], found["won_amount"], found["amount_per_hour"]) == (2, None, None)


def test_order_days_are_whole_across_a_change_of_the_clocks_and_never_negative() -> None:
    def order(id: str, ordered: datetime, fulfilled: datetime | None) -> dict[str, Any]:
        return {"id": id, "owner_id": "r1", "ordered_at": ordered, "fulfilled_at": fulfilled}

    def midnight(day: int) -> datetime:
        return datetime(2026, 3, day, tzinfo=BERLIN)

    orders = [
        order("over the change of 29 March", midnight(28), midnight(30)),
        order("the same day", midnight(20), midnight(20)),
        order("backwards", midnight(20), midnight(19)),
        order("not yet", midnight(20), None),
        order("in the future", midnight(20), NOW + timedelta(days=1)),
    ]
    metric = EfficiencyMetric(MetricSettings())
    known = frame({"order": orders})
    model = metric.fit("rep", known)
    found = total(metric.apply("rep", known, model))
    assert (found["orders_fulfilled"], found["processing_days"], found["order_efficiency"]) == (2, 2.0, 1.0)
    assert model.card["left_out"]["fulfilled_before_ordered"] == 1  # type: ignore[index, call-overload]


def test_no_time_gives_no_rate_and_no_infinity() -> None:
    calls = [call(id="1", duration=0.0)]
    deals = [{"id": "d", "owner_id": "r1", "is_won": True, "is_closed": True, "closed_at": NOW}]
    orders = [{"id": "o", "owner_id": "r1", "ordered_at": NOW, "fulfilled_at": NOW}]
    known = frame({"activity": calls, "deal": deals, "order": orders, "rep": [rep("r1")]})
    results = efficiency(known)
    for kind in ("communication", "follow_up", "order"):
        for end in ("", "_low", "_high"):
            assert by_id(results)["r1"][f"{kind}_efficiency{end}"] is None
            assert total(results)[f"{kind}_efficiency{end}"] is None
    assert results.tables["ranking"].num_rows == 0


def test_nothing_known_is_a_provisional_model_and_empty_results() -> None:
    metric = EfficiencyMetric(MetricSettings())
    for object_name in metric.objects:
        model = metric.fit(object_name, frame({}))
        results = metric.apply(object_name, frame({}), model)
        assert model.provisional
        assert results.values.schema == result_schema(object_name, metric.produces)
        assert results.values.num_rows == 0


def test_owners_without_a_rep_record_are_shown_and_ranked_but_not_written() -> None:
    calls = [call(id=str(n), owner_id="ghost" if n % 2 else "r1") for n in range(10)]
    results = efficiency(frame({"activity": calls, "rep": [rep("r1"), rep("idle")]}))
    assert results.values["id"].to_pylist() == ["r1", "idle"]
    assert [row["id"] for row in results.tables["efficiency_by_rep"].to_pylist()] == ["ghost", "idle", "r1"]
    ranked = results.tables["ranking"].to_pylist()
    assert {row["id"] for row in ranked if row["grouping"] == "rep"} == {"r1", "ghost"}


def test_periods_are_the_months_of_the_zone() -> None:
    midnight = datetime(2026, 3, 1, tzinfo=BERLIN)
    calls = [call(id="1", started_at=midnight), call(id="2", started_at=midnight - timedelta(seconds=1))]
    table = efficiency(frame({"activity": calls})).tables["efficiency_by_period"]
    assert table["period"].to_pylist() == ["2026-02", "2026-03"]
    assert table["communications"].to_pylist() == [1, 1]


def everything(known: Frame) -> tuple[list[bytes], dict[str, list[dict[str, Any]]]]:
    """The bytes of the models, and all results and tables by name."""
    metric = EfficiencyMetric(MetricSettings())
    models, found = [], {}
    for object_name in metric.objects:
        model = metric.fit(object_name, known)
        results = metric.apply(object_name, known, model)
        models.append(model.to_bytes())
        assert results.details is not None
        found[object_name] = sorted(
            (
                value | detail
                for value, detail in zip(results.values.to_pylist(), results.details.to_pylist(), strict=True)
            ),
            key=lambda row: str(row["id"]),
        )
        found |= {name: table.to_pylist() for name, table in results.tables.items()}
    return models, found


@pytest.mark.parametrize("rows", [1, 7, 100])
def test_results_do_not_depend_on_how_the_data_are_cut_or_ordered(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(5)
    calls = [
        call(
            id=str(n),
            owner_id=f"r{random.integers(6)}",
            account_id=f"a{random.integers(9)}",
            deal_id=f"d{random.integers(20)}",
            kind=["call", "meeting", "task"][random.integers(3)],
            outcome=["connected", "no_answer", None][random.integers(3)],
            duration=float(random.gamma(2, 300)),
            started_at=NOW - timedelta(days=float(random.uniform(0, 200))),
        )
        for n in range(400)
    ]
    deals = [
        {
            "id": f"d{n}",
            "owner_id": f"r{n % 6}",
            "type": ["New", "Renewal", None][n % 3],
            "is_closed": True,
            "is_won": n % 3 == 0,
            "closed_at": NOW,
        }
        for n in range(20)
    ]
    orders = [
        {
            "id": f"o{n}",
            "owner_id": f"r{n % 6}",
            "account_id": f"a{n % 9}",
            "deal_id": f"d{n % 20}",
            "ordered_at": NOW - timedelta(days=float(random.uniform(1, 200))),
            "fulfilled_at": NOW - timedelta(days=float(random.uniform(0, 1))),
        }
        for n in range(60)
    ]
    reps = [{"id": f"r{n}", "role": ["Inside", "Field"][n % 2]} for n in range(5)]
    accounts = [{"id": f"a{n}"} for n in range(9)]
    known: dict[ObjectName, list[dict[str, Any]]] = {
        "activity": calls,
        "deal": deals,
        "order": orders,
        "rep": reps,
        "account": accounts,
    }
    models, expected = everything(frame(known))
    assert everything(frame(known)) == (models, expected)

    shuffled = {
        name: table(name, [found[n] for n in random.permutation(len(found))]) for name, found in known.items()
    }

    def scan(object_name: ObjectName, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from shuffled[object_name].select(columns).to_batches(max_chunksize=rows)

    monkeypatch.setattr("crmbridge.metrics.arrays.PIECE", 3 * rows)
    _, found = everything(replace(frame(known), scan=scan))
    assert set(found) == set(expected)
    for name, others in expected.items():
        assert len(found[name]) == len(others)
        for one, other in zip(found[name], others, strict=True):
            assert one == {
                key: value if isinstance(value, str | None) else pytest.approx(value, rel=1e-9)
                for key, value in other.items()
            }, name
