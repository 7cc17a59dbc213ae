"""What a manager could change: what is planted is found and priced, and nothing is made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from crmbridge.metrics.advice import AdviceMetric
from crmbridge.metrics.advice.actions import fitting, with_contact
from crmbridge.metrics.advice.changes import SCHEMA
from crmbridge.metrics.advice.rates import Share
from crmbridge.metrics.advice.texts import LANGUAGES, en
from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.pipeline import PipelineMetric
from crmbridge.model.fields import CATALOGUE
from crmbridge.model.records import ObjectName
from tests.unit.efficiency_kit import table

NOW = datetime(2026, 3, 31, 10, tzinfo=UTC)
Said = Mapping[tuple[str, str, str], pa.Table]


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def frame(said: Said, **rows: Sequence[Mapping[str, Any]]) -> Frame:
    """`said` are tables of other metrics, by metric, object and name."""
    tables: dict[ObjectName, pa.Table] = {name: table(name, found) for name, found in rows.items()}  # type: ignore[misc, arg-type]
    made = Frame.of(tables, moment=NOW, zone=ZoneInfo("Europe/Berlin"))

    def of(metric: str, object_name: ObjectName, name: str, columns: Sequence[str]) -> pa.Table | None:
        found = said.get((metric, object_name, name))
        return None if found is None else found.select(list(columns))

    return replace(made, tables=of)


def changes(known: Frame, **settings: Any) -> list[dict[str, Any]]:
    metric = AdviceMetric(MetricSettings(**settings))
    metric.apply("lead", known, metric.fit("lead", known))
    found = metric.apply("deal", known, metric.fit("deal", known)).tables["changes"]
    assert found.schema == SCHEMA
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


REPS = pa.table(
    {
        "record_id": ["a", "b", "c"],
        "name": ["Ann", "Bob", None],
        "follow_up_hours": [100.0, 100.0, 100.0],
        "follow_up_efficiency": [0.10, 0.10, 0.02],
        "follow_up_efficiency_low": [0.07, 0.07, 0.01],
        "follow_up_efficiency_high": [0.14, 0.14, 0.04],
    }
)
CHANNELS = pa.table(
    {
        "name": ["call", "email"],
        "communication_hours": [30.0, 10.0],
        "communication_efficiency": [1.0, 4.0],
        "communication_efficiency_low": [0.8, 3.0],
        "communication_efficiency_high": [1.2, 5.0],
    }
)
REPAIR = pa.table(
    {
        "field": ["industry", "title"],
        "missing": [50, 50],
        "known": [1000, 1000],
        "gain": [0.02, None],
        "low": [0.01, None],
        "high": [0.03, None],
    }
)
WON = [
    {
        "id": f"w{n}",
        "is_closed": True,
        "is_won": True,
        "amount": Decimal(1000),
        "created_at": ago(90),
        "closed_at": ago(50),
    }
    for n in range(30)
]


def test_changes_are_ranked_in_money_first_each_with_its_price_interval_and_evidence() -> None:
    said: Said = {
        ("efficiency", "rep", "efficiency_by_rep"): REPS,
        ("efficiency", "rep", "efficiency_by_channel"): CHANNELS,
        ("quality", "lead", "repair"): REPAIR,
    }
    rows = changes(frame(said, deal=WON), window_days=73)
    assert [(row["rank"], row["change"], row["subject"], row["unit"]) for row in rows] == [
        (1, "follow_up", "c", "money"),
        (2, "channel", "call", "outcomes"),
        (3, "data_quality", "lead.industry", "nats"),
    ]
    # 100 hours in 73 days are 500 a year; 0.08 deals an hour more, at 1,000 each.
    assert (rows[0]["worth"], rows[0]["worth_low"], rows[0]["worth_high"]) == pytest.approx(
        (40000, 30000, 45000)
    )
    assert (rows[1]["worth"], rows[1]["worth_low"], rows[1]["worth_high"]) == pytest.approx((450, 270, 630))
    assert (rows[2]["worth"], rows[2]["worth_low"], rows[2]["worth_high"]) == pytest.approx((1.0, 0.5, 1.5))
    assert "0.020 deals won an hour (90 % 0.010 to 0.040)" in rows[0]["evidence"]
    assert all(row["is_association"] for row in rows)


def test_reps_whose_intervals_reach_the_median_and_channels_that_overlap_are_not_told_apart() -> None:
    reps = REPS.set_column(5, "follow_up_efficiency_high", pa.array([0.14, 0.14, 0.11]))
    channels = CHANNELS.set_column(4, "communication_efficiency_high", pa.array([3.5, 5.0]))
    said: Said = {
        ("efficiency", "rep", "efficiency_by_rep"): reps,
        ("efficiency", "rep", "efficiency_by_channel"): channels,
    }
    assert changes(frame(said, deal=WON)) == []


def test_a_planted_slow_first_response_is_priced_by_what_a_converted_lead_brings() -> None:
    leads, activities = [], []
    for n in range(400):
        soon = n % 2 == 0
        won = n % 4 == 0 if soon else n % 20 == 1
        leads.append(
            {
                "id": f"L{n}",
                "created_at": ago(100),
                "closed_at": ago(40),
                "is_converted": won,
                "is_disqualified": not won,
                "converted_deal_id": f"d{n}" if won else None,
            }
        )
        at = ago(100 - (1 / 24 if soon else 3))
        activities.append(
            {"id": f"{n}", "kind": "call", "lead_id": f"L{n}", "started_at": at, "outcome": "connected"}
        )
    deals = [
        {
            "id": lead["converted_deal_id"],
            "is_closed": True,
            "is_won": n % 2 == 0,
            "amount": Decimal(2000),
            "currency": "EUR",
            "created_at": ago(40),
            "closed_at": ago(20),
        }
        for n, lead in enumerate(lead for lead in leads if lead["is_converted"])
    ]
    rows = changes(frame({}, lead=leads, activity=activities, deal=deals))
    (row,) = rows
    # 200 later leads x (50 % - 10 %) x 1,000, the mean of deals won at 2,000 and lost ones.
    assert (row["change"], row["unit"], row["currency"]) == ("first_response", "money", "EUR")
    assert row["worth"] == pytest.approx(80_000)
    assert 50_000 < row["worth_low"] < row["worth"] < row["worth_high"] < 110_000
    assert row["is_association"]
    assert "An association, not proof" in row["evidence"]
    # Without the deals' amounts it is still worth so many conversions.
    (row,) = changes(frame({}, lead=leads, activity=activities))
    assert (row["unit"], row["currency"], row["worth"]) == ("conversions", None, pytest.approx(80))


def test_a_planted_bottleneck_is_priced_as_the_pipeline_prices_it() -> None:
    deals, moved = [], []
    for n in range(60):
        slow = 2 + 30 * (n % 3)
        days = 120.0 + n
        deals.append(
            {
                "id": f"d{n}",
                "stage": "Won",
                "is_closed": True,
                "is_won": True,
                "amount": Decimal(1000),
                "created_at": ago(days),
                "closed_at": ago(days - 3 - slow),
            }
        )
        for stage, came, at in ((None, "Talk", 0.0), ("Talk", "Offer", 3.0), ("Offer", "Won", 3.0 + slow)):
            moved.append(
                {
                    "id": f"{n}{came}",
                    "deal_id": f"d{n}",
                    "from_stage": stage,
                    "to_stage": came,
                    "at": ago(days - at),
                }
            )
    plain = frame({}, deal=deals, stage_change=moved)
    pipeline = PipelineMetric(MetricSettings())
    found = pipeline.apply("deal", plain, pipeline.fit("deal", plain)).tables["bottlenecks"]
    (row,) = changes(frame({("pipeline", "deal", "bottlenecks"): found}, deal=deals, stage_change=moved))
    offer = next(each for each in found.to_pylist() if each["is_bottleneck"])
    assert offer["stage"] == "Offer"
    assert (row["change"], row["subject"], row["unit"]) == ("bottleneck", "Offer", "money")
    assert row["worth"] == offer["money_delayed"]
    assert row["worth_low"] < row["worth"] < row["worth_high"]
    assert f"{offer['deal_days_lost']:,.0f} deal-days" in row["evidence"]


def test_amounts_in_several_currencies_price_nothing_in_money() -> None:
    deals = [{**deal, "currency": "EUR" if n % 2 else "USD"} for n, deal in enumerate(WON)]
    (row,) = changes(frame({("efficiency", "rep", "efficiency_by_rep"): REPS}, deal=deals))
    assert (row["unit"], row["currency"]) == ("deals", None)


def test_of_nothing_no_change_is_made_up() -> None:
    assert changes(frame({})) == []
    assert changes(frame({}, lead=[{"id": "a"}], deal=[{"id": "a"}])) == []


# Texts


@pytest.mark.parametrize("text", LANGUAGES.values(), ids=LANGUAGES)
def test_kinds_differ_and_evidence_that_does_not_fit_is_left_out_whole(text: ModuleType) -> None:
    share = Share(10**7, 10**6)
    said = [
        text.hand_over(None),
        text.overdue("task", date(2026, 3, 1), 30),
        text.rebook(2),
        text.planned("call", date(2026, 4, 1), 1),
        text.close_date(date(2026, 3, 1), 30),
        text.first_contact(3),
        text.write_instead(3, 3, share, share),
        text.call_instead(3, share, share),
        text.close_out(300),
        text.call_again(14),
        text.move_on(10**5, "字" * 60, 10**5),
        text.try_again(3),
        text.fill_in("amount", share),
        text.fill_in("expected_close", share),
        text.in_touch(3),
    ]
    for name in ("_CAME", "_KINDS", "_FIELDS"):
        assert set(getattr(text, name)) == set(getattr(en, name))
    kinds = [each.replace("：", ":").split(":")[0] for each in said]
    assert len(set(kinds)) == len(said)
    most = CATALOGUE["next_action"].length or 0
    assert max(map(len, said)) <= most
    long = fitting(text, [said[0], "x" * 100, "y" * 200, "z"])
    assert long == text.JOINT.join([said[0], "x" * 100])
    own = pa.array(["Buyer", None, "n" * 60, "Buyer"])
    answered = pa.array([None, None, None, "Clerk"])
    acts = pa.array([said[9], said[9], "x" * 250, said[9]])
    asked = with_contact(acts, answered, own, pa.array(["call"] * 4), text).to_pylist()
    before, after = text.ANSWERED_LAST
    assert asked == [
        said[9] + text.JOINT + text.ASK_FOR[0] + "Buyer",
        said[9],
        "x" * 250,
        f"{said[9]}{text.JOINT}{before}Clerk{after}",
    ]
    assert np.array([len(each) for each in asked]).max() <= most
