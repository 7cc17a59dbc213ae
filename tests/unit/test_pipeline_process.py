"""Where the process hurts and how it is walked: hand-made paths, and organisations with planted truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crmbridge.metrics.base import Frame
from crmbridge.metrics.pipeline.times import quantiles
from crmbridge.model.results import Results
from tests.unit.test_pipeline import ago, fitted, frame, path, table

Rows = list[Mapping[str, Any]]


def rows(results: Results, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = results.tables[name].to_pylist()
    return found


def walked(draw: np.random.Generator, number: int, means: Sequence[float]) -> Frame:
    """Deals created over two years that go through stages of gamma times with these means; half are won."""
    deals: Rows = []
    changes: Rows = []
    for n in range(number):
        at = float(draw.uniform(0, 730))
        steps: list[tuple[str | None, str, float]] = [(None, "S0", at)]
        for place, mean in enumerate(means):
            at -= float(draw.gamma(2, mean / 2))
            end = "Won" if draw.random() < 0.5 else "Lost"
            following = f"S{place + 1}" if place + 1 < len(means) else end
            if at > 0:
                steps.append((f"S{place}", following, at))
        last = steps[-1]
        closed = last[1] in ("Won", "Lost")
        deal = {"id": f"d{n}", "stage": last[1], "created_at": ago(steps[0][2]), "amount": 100}
        closing = {"is_closed": True, "is_won": last[1] == "Won", "closed_at": ago(last[2])} if closed else {}
        deals.append({**deal, **closing})
        changes += path(f"d{n}", *steps)
    return frame(deals, changes)


@pytest.mark.parametrize("slow", [0, 1, 2])
def test_the_planted_bottleneck_is_found_and_priced(slow: int) -> None:
    means = [8.0, 8.0, 8.0]
    means[slow] = 40.0
    table_ = rows(fitted(walked(np.random.default_rng(slow), 900, means))[1], "bottlenecks")
    worst = [row for row in table_ if row["is_bottleneck"]]
    assert [row["stage"] for row in worst] == [f"S{slow}"]
    (row,) = worst
    assert row["is_sure"]
    assert row["deal_days_lost_low"] < row["deal_days_lost"] < row["deal_days_lost_high"]
    # 100 each, half won, so many deal-days a year too long.
    assert row["money_delayed"] == pytest.approx(row["deal_days_lost"] * 100 * row["win_rate"] / 365)
    assert row["best_days"] < row["typical_days"]


def test_equal_stages_have_no_sure_bottleneck() -> None:
    found = rows(fitted(walked(np.random.default_rng(5), 600, [20.0, 20.0, 20.0]))[1], "bottlenecks")
    assert not any(row["is_sure"] for row in found)


def test_a_year_of_waiting_costs_no_more_than_the_year_has_days() -> None:
    """A deal forgotten for six years loses a year a year."""
    deals: Rows = [{"id": "forgotten", "stage": "A", "created_at": ago(2200)}]
    changes: Rows = list(path("forgotten", (None, "A", 2200)))
    for n in range(30):
        deals.append({"id": f"w{n}", "stage": "Won", "is_closed": True, "is_won": True, "closed_at": ago(90)})
        changes += path(f"w{n}", (None, "A", 100), ("A", "Won", 90))
    (row,) = rows(fitted(frame(deals, changes))[1], "bottlenecks")
    assert row["best_days"] == 10
    assert row["deal_days_lost"] == pytest.approx(365)
    assert row["money_delayed"] is None, "there are no amounts"


def test_stage_times_with_a_third_still_open_are_unbiased_where_a_mean_of_those_that_left_is_not() -> None:
    draw = np.random.default_rng(17)
    medians, naive = [], []
    for _ in range(60):
        time, seen = draw.exponential(30.0, 400), draw.uniform(0, 100.0, 400)
        ended = time <= seen
        found = quantiles(np.minimum(time, seen), ended, (0.5,))[0]
        assert found is not None
        medians.append(found)
        naive.append(np.median(time[ended]))
    truth = 30.0 * np.log(2)
    assert np.mean(~ended) == pytest.approx(0.3, abs=0.05)
    assert np.mean(medians) == pytest.approx(truth, rel=0.03)
    assert np.mean(naive) < 0.8 * truth


def test_rework_skips_and_ends_are_told_apart() -> None:
    deals: Rows = [{"id": name, "stage": "C", "created_at": ago(30)} for name in ("x", "y", "z")]
    deals.append({"id": "lost", "stage": "Lost", "is_closed": True, "is_won": False, "created_at": ago(30)})
    changes: Rows = [
        *path("x", (None, "A", 30), ("A", "B", 20), ("B", "C", 10)),
        *path("y", (None, "A", 30), ("A", "B", 25), ("B", "A", 20), ("A", "B", 15), ("B", "C", 10)),
        *path("z", (None, "A", 30), ("A", "C", 10)),
        *path("lost", (None, "A", 30), ("A", "Lost", 28)),
    ]
    results = fitted(frame(deals, changes))[1]
    edges = {(row["from_stage"], row["to_stage"]): row for row in rows(results, "process_edges")}
    assert {key: (row["kind"], row["moves"], row["deals"]) for key, row in edges.items()} == {
        ("A", "B"): ("forward", 3, 2),
        ("B", "C"): ("forward", 2, 2),
        ("B", "A"): ("back", 1, 1),
        ("A", "C"): ("skip", 1, 1),
        ("A", "Lost"): ("end", 1, 1),
    }
    assert edges["A", "B"]["share"] == pytest.approx(3 / 5)
    assert edges["A", "B"]["median_days"] == 5
    nodes = {row["stage"]: row for row in rows(results, "process_nodes")}
    assert {
        name: (row["place"], row["kind"], row["deals"], row["returned"]) for name, row in nodes.items()
    } == {
        "A": (1, "stage", 4, 1),
        "B": (2, "stage", 2, 1),
        "C": (3, "stage", 3, 0),
        "Lost": (None, "lost", 1, 0),
    }
    assert nodes["C"]["open"] == 3


def test_deals_that_go_to_an_owner_and_back_are_counted() -> None:
    owned = {"one": ["ann"], "two": ["ann", "bob"], "back": ["ann", "bob", "ann"], "none": [None]}
    deals: Rows = [
        {"id": name, "stage": "Won", "is_closed": True, "is_won": name != "back", "owner_id": owners[-1]}
        for name, owners in owned.items()
    ]
    known = frame(deals)
    versions = table(
        "deal", [{"id": name, "owner_id": owner} for name, owners in owned.items() for owner in owners]
    )
    since = pa.array([ago(50 - n) for n in range(versions.num_rows)], pa.timestamp("us", tz="UTC"))
    versions = versions.append_column("valid_from", since)
    known = replace(
        known,
        versions=lambda name, columns: (
            iter(versions.select(list(columns)).to_batches()) if name == "deal" else iter(())
        ),
    )
    found = {row["owners"]: (row["deals"], row["won"]) for row in rows(fitted(known)[1], "owners")}
    assert found == {"1": (1, 1), "2": (2, 1), "3 or more": (0, 0), "there and back": (1, 0)}


def test_without_deals_every_table_is_there_and_empty_of_figures() -> None:
    results = fitted(frame([]))[1]
    assert [rows(results, name) for name in ("bottlenecks", "process_nodes", "process_edges")] == [[], [], []]
    assert all(row["deals"] == 0 and row["win_rate"] is None for row in rows(results, "owners"))
