"""The leak guard: what only the outcome filled in is blocked, what was honestly known is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crmbridge.metrics.base import MetricSettings
from crmbridge.metrics.need import NeedMetric
from crmbridge.metrics.need.leaks import separation, stability
from crmbridge.model.records import Lead
from tests.unit.need_organisation import frame, leads


def _card(rows: list[Lead], **settings: Any) -> Any:
    return NeedMetric(MetricSettings(**settings)).fit("lead", frame({"lead": rows})).card


def _with(rows: list[Lead], value: Any) -> list[Lead]:
    """The leads with an attribute `x` as `value(lead, chances)` gives it; None leaves it away."""
    chances = np.random.default_rng(7)
    found = []
    for lead in rows:
        x = value(lead, chances)
        more = {} if x is None else {"x": x}
        found.append(lead.model_copy(update={"attributes": {**lead.attributes, **more}}))
    return found


def _closed(lead: Lead) -> bool:
    return bool(lead.is_converted or lead.is_disqualified)


LEAKS = {
    "filled_at_closing": lambda lead, chances: f"r{int(chances.integers(4))}" if _closed(lead) else None,
    "one_outcome": lambda lead, chances: (
        f"r{int(chances.integers(3))}" if not lead.is_converted and chances.uniform() < 0.1 else None
    ),
    "too_good": lambda lead, chances: (
        (100.0 if lead.is_converted else 0.0) if _closed(lead) else float(chances.integers(10, 90))
    ),
}


@pytest.mark.parametrize("code", LEAKS)
def test_a_leak_is_blocked_with_its_reason(code: str) -> None:
    card = _card(_with(leads(1500), LEAKS[code]))
    (row,) = card["blocked"]
    assert row["name"] == "attributes.x"
    assert row["code"] == code
    assert row["reason"]
    assert "attributes.x" not in {used["name"] for used in card["inputs"]}


def test_an_honest_input_is_not_blocked_however_strong_or_rarely_filled() -> None:
    strong = _with(
        leads(1500),
        lambda lead, chances: float(chances.normal(3.0 if lead.is_converted else 0.0)) if _closed(lead)
        else float(chances.normal(3.0 * (chances.uniform() < 0.3))),
    )  # fmt: skip
    assert _card(strong)["blocked"] == []
    rare = _with(leads(1500), lambda lead, chances: "yes" if chances.uniform() < 0.02 else None)
    assert _card(rare)["blocked"] == []


@pytest.mark.slow
def test_no_input_of_fifty_organisations_without_a_leak_is_blocked_more_than_once() -> None:
    blocked = [row for seed in range(50) for row in _card(leads(300, seed=seed))["blocked"]]
    assert len(blocked) <= 1


def test_include_overrules_the_guard_and_exclude_everything() -> None:
    rows = _with(leads(1500), LEAKS["filled_at_closing"])
    for name in ("x", "attributes.x"):
        card = _card(rows, include=(name,))
        assert card["included"] == ["attributes.x"]
        assert "attributes.x" in {used["name"] for used in card["inputs"]}
        card = _card(rows, include=(name,), exclude=(name,))
        assert card["excluded"] == ["attributes.x"]
        assert "attributes.x" not in {used["name"] for used in card["inputs"]}


def test_the_card_counts_how_many_values_are_assumed() -> None:
    card = _card(leads(500))
    assumed = {used["name"]: used["assumed"] for used in card["inputs"]}
    assert assumed["lead_source"] == 0  # a lead's source never changes
    assert assumed["attributes.budget"] == card["outcomes"]["cases"]


def test_groups_are_told_apart_as_well_as_their_shares_differ() -> None:
    area, error = separation(np.array([10.0, 90.0]), np.array([90.0, 10.0]))
    assert area == pytest.approx(0.9)
    assert 0.0 < error < 0.05
    assert separation(np.array([5.0, 5.0]), np.array([5.0, 5.0]))[0] == pytest.approx(0.5)


def test_stability_is_zero_for_equal_samples_and_large_for_others() -> None:
    sample = np.array([0] * 50 + [1] * 50, np.int32)
    assert stability(sample, sample, 2) == 0.0
    assert stability(sample, np.ones(100, np.int32), 2) > 1.0
