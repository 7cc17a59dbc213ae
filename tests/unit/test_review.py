"""What is wrong with a connection, from what its runs came to and its models say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crmbridge.model.results import Model
from crmbridge.schedule.budget import forecast
from crmbridge.schedule.review import of_models, of_runs
from crmbridge.store.ledger import Run, StoredModel
from crmbridge.timetable import parse

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def run(number: int = 1, status: Any = "done", kind: Any = "sync", calls: int = 0, **summary: Any) -> Run:
    return Run(number, "acme", kind, NOW, NOW, NOW, status, 1, summary, None, NOW, calls)


def wrong(*runs: Run) -> dict[str, str | None]:
    return {seen.kind: seen.condition and seen.condition.what for seen in of_runs(runs)}


def test_a_run_that_works_ends_everything_but_says_nothing_of_what_it_did_not_see() -> None:
    assert wrong(run()) == {"failing": None, "guard": None, "budget": None, "clock": None}
    assert wrong(run(status="awaiting_approval"))["failing"] is None


def test_what_was_only_to_be_looked_at_or_was_cut_off_says_nothing() -> None:
    assert wrong(run(dry_run=True, status="failed"), run(status="interrupted"), run(kind="pull")) == {}


@pytest.mark.parametrize("status", ["stopped", "awaiting_approval"])
def test_a_guard_is_told_whether_the_run_was_automatic_or_asks_a_person(status: str) -> None:
    found = list(of_runs([run(7, status, guards={"max_changed": "40 % would change"}, plan=3)]))
    assert [seen.kind for seen in found] == ["failing", "guard"]
    assert found[1].condition is not None
    assert "40 % would change" in found[1].condition.what
    assert "crmbridge apply 3 --override max_changed" in found[1].condition.remedy


def test_a_plan_that_a_person_applied_ends_the_guard() -> None:
    assert wrong(run(kind="apply", status="partly")) == {"guard": None}
    assert wrong(run(kind="apply", status="failed")) == {}


def stored(drift: Any) -> StoredModel:
    model = Model(metric="need", object="lead", parameters={}, card={"drift": drift})
    return StoredModel(model, "published", NOW, 1, "acme")


def test_a_model_whose_card_shows_drift_is_told_with_what_has_moved() -> None:
    drift = {
        "shown": True,
        "moved": ["lead_source"],
        "features": [{"name": "lead_source", "label": "Lead source", "psi": 0.4}],
        "calibration": {"predicted": 0.31, "observed": 0.12},
    }
    condition = of_models("acme", {"lead": stored(drift)}, NOW).condition
    assert condition is not None
    assert "in Lead source: 31% were predicted, 12% came" in condition.what
    assert of_models("acme", {"lead": stored({**drift, "shown": False})}, NOW).condition is None
    assert of_models("acme", {"lead": stored(None)}, NOW).condition is None
    assert of_models("acme", {}, NOW).condition is None


def test_the_forecast_is_what_runs_usually_needed_times_the_slots_of_a_day() -> None:
    history = [run(n, calls=calls) for n, calls in enumerate([10, 12, 11, 10, 90, 10, 10, 11, 10, 5000])]
    history.insert(0, run(50, "failed", calls=1, daily_limit=10_000))
    history.insert(0, run(51, calls=1, dry_run=True))
    found = forecast(
        "acme",
        history,
        timetable=parse("*/30 6-20 * * 1-5", UTC),
        spent_today=345,
        api_budget=0.25,
        now=NOW,
    )
    assert (found.runs_known, found.calls_a_run, found.calls_a_busy_run) == (10, 10, 90)
    assert (found.runs_a_day, found.calls_a_day, found.share) == (30, 300, 2500)
    assert not found.is_short
    assert found.sentence == (
        "about 10 calls a run (busy: 90), 300 a day in 30 runs, 345 in the last 24 hours, "
        "share 2,500 of 10,000 a day"
    )


def test_a_schedule_that_needs_more_than_the_share_is_short() -> None:
    def needs(schedule: str) -> bool:
        return forecast(
            "acme",
            [run(calls=10, daily_limit=10_000)],
            timetable=parse(schedule, UTC),
            spent_today=0,
            api_budget=0.1,
            now=NOW + timedelta(seconds=1),
        ).is_short

    assert needs("every 10 minutes")
    assert not needs("every 15 minutes")


def test_before_the_first_run_nothing_is_forecast() -> None:
    found = forecast("acme", [], timetable=None, spent_today=0, api_budget=0.25, now=NOW)
    assert (found.calls_a_run, found.share, found.is_short) == (None, None, False)
    assert "no run to forecast from" in found.sentence
