"""Leaks that the versions show: what closing fills in or overwrites is blocked, what was known is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.need import NeedMetric
from crmbridge.metrics.need.closing import is_of_closing
from crmbridge.model.columns import to_table
from crmbridge.model.records import Lead
from tests.unit.need_organisation import NOW, leads, with_versions

Value = Callable[[Lead, np.random.Generator], Any]


def _organisation(
    number: int,
    *,
    seed: int = 1,
    opened: Value,
    closed: Value,
    seen: float = 1.0,
    pulls: timedelta | None = None,
) -> Frame:
    """Leads whose attribute `x` is `opened(lead, chances)` from creation on and `closed(lead, chances)` once
    they are closed; None leaves it away, and for `closed` an ellipsis leaves what it was.

    A share `seen` of them has versions from its creation on, the others only one from after the closing. With
    `pulls`, versions hold since the pull that found them.
    """
    chances = np.random.default_rng(1000 + seed)

    def since(moment: Any) -> Any:
        if pulls is None:
            return moment
        steps = -(-(moment - (NOW - timedelta(days=2000))) // pulls)
        return min(NOW - timedelta(days=2000) + steps * pulls, NOW)

    now, versions, stamps = [], [], []
    for lead in leads(number, seed=seed):
        assert lead.created_at is not None
        first = opened(lead, chances)
        before = lead.model_copy(
            update={
                "attributes": {**lead.attributes, **({} if first is None else {"x": first})},
                "is_converted": False,
                "is_disqualified": False,
                "converted_at": None,
                "closed_at": None,
            }
        )
        if lead.closed_at is None:
            now.append(before)
            versions.append(before)
            stamps.append(since(lead.created_at))
            continue
        last = closed(lead, chances)
        last = first if last is ... else last
        after = lead.model_copy(
            update={"attributes": {**lead.attributes, **({} if last is None else {"x": last})}}
        )
        now.append(after)
        if chances.uniform() < seen and since(lead.created_at) < since(lead.closed_at):
            versions.append(before)
            stamps.append(since(lead.created_at))
        versions.append(after)
        stamps.append(since(lead.closed_at))
    made = to_table("lead", versions).append_column(
        "valid_from", pa.array(stamps, pa.timestamp("us", tz="UTC"))
    )
    return with_versions({"lead": to_table("lead", now)}, {"lead": made})


def _card(frame: Frame, **settings: Any) -> Any:
    return NeedMetric(MetricSettings(**settings)).fit("lead", frame).card


def _nothing(lead: Lead, chances: np.random.Generator) -> Any:
    return None


def _as_before(lead: Lead, chances: np.random.Generator) -> Any:
    return ...


def _level(lead: Lead, chances: np.random.Generator) -> Any:
    return f"r{int(chances.integers(4))}"


LEAKS: dict[str, tuple[str, Value, Value]] = {
    "a reason given when the lead is lost": (
        "first_filled_at_closing",
        _nothing,
        lambda lead, chances: _level(lead, chances) if lead.is_disqualified else None,
    ),
    "a field that every closing fills in": ("first_filled_at_closing", _nothing, _level),
    "a rating that closing overwrites": (
        "collapses",
        lambda lead, chances: int(chances.integers(1, 6)),
        lambda lead, chances: 5 if lead.is_converted else 1,
    ),
    "a rating that closing overwrites on half of them": (
        "collapses",
        lambda lead, chances: int(chances.integers(1, 6)),
        lambda lead, chances: (5 if lead.is_converted else 1) if chances.uniform() < 0.5 else ...,
    ),
    "a probability that starts honest and ends at 0 or 100": (
        "collapses",
        lambda lead, chances: float(np.round(chances.normal(50 + 5 * bool(lead.is_converted), 15))),
        lambda lead, chances: 100.0 if lead.is_converted else 0.0,
    ),
}


@pytest.mark.parametrize("seen", [1.0, 0.3])
@pytest.mark.parametrize("leak", LEAKS)
def test_what_closing_writes_is_blocked_and_the_card_says_how_it_was_found(leak: str, seen: float) -> None:
    code, opened, closed = LEAKS[leak]
    card = _card(_organisation(700, opened=opened, closed=closed, seen=seen))
    (row,) = card["blocked"]
    assert (row["name"], row["code"]) == ("attributes.x", code)
    assert row["reason"]
    assert "attributes.x" not in {used["name"] for used in card["inputs"]}


@pytest.mark.parametrize("days", [1, 7])
def test_what_is_filled_in_while_records_are_open_is_no_leak_however_seldom_one_looks(days: int) -> None:
    frame = _organisation(
        700,
        opened=lambda lead, chances: _level(lead, chances) if chances.uniform() < 0.5 else None,
        closed=lambda lead, chances: _level(lead, chances) if chances.uniform() < 0.3 else ...,
        pulls=timedelta(days=days),
    )
    assert _card(frame)["blocked"] == []


def test_a_strong_input_known_from_the_start_is_no_leak() -> None:
    frame = _organisation(
        700,
        opened=lambda lead, chances: float(chances.normal(2.0 * bool(lead.is_converted))),
        closed=_as_before,
    )
    card = _card(frame)
    assert card["blocked"] == []
    assert "attributes.x" in {used["name"] for used in card["inputs"]}


def test_include_overrules_what_the_versions_show() -> None:
    _, opened, closed = LEAKS["a rating that closing overwrites"]
    frame = _organisation(700, opened=opened, closed=closed)
    card = _card(frame, include=("x",))
    assert card["blocked"] == []
    assert card["included"] == ["attributes.x"]


def test_fields_of_the_closing_itself_are_known_by_their_names() -> None:
    for name in (
        *("Loss_Reason__c", "closed_lost_reason", "hs_closed_amount", "ConvertedDate", "Reason_For_Loss__s"),
        *(
            "lost_reason_id",
            "actualclosedate",
            "ForecastCategoryName",
            "days_to_close",
            "attributes.Won Date",
        ),
    ):
        assert is_of_closing(name), name
    for name in ("Expected_Close_Date", "budget", "Rating", "close_relations", "won_before", "Lead_Reason"):
        assert not is_of_closing(name), name


def test_a_field_of_the_closing_is_blocked_without_any_history() -> None:
    rows = [
        lead.model_copy(update={"attributes": {**lead.attributes, "Loss_Reason": "price"}})
        if row % 9 == 0
        else lead
        for row, lead in enumerate(leads(300))
    ]
    frame = with_versions({"lead": to_table("lead", rows)}, {})
    assert [row["code"] for row in _card(frame)["blocked"]] == ["of_closing"]


@pytest.mark.slow
def test_of_fifty_organisations_with_history_and_without_a_leak_at_most_one_input_is_blocked() -> None:
    blocked = [
        row
        for seed in range(50)
        for row in _card(
            _organisation(
                400,
                seed=seed,
                opened=lambda lead, chances: _level(lead, chances) if chances.uniform() < 0.4 else None,
                closed=lambda lead, chances: _level(lead, chances) if chances.uniform() < 0.4 else ...,
                seen=0.5,
                pulls=timedelta(days=1 + seed % 7),
            )
        )["blocked"]
    ]
    assert len(blocked) <= 1


# Dates


def test_a_date_is_an_input_by_the_days_since_it() -> None:
    """Leads that had a demo lately convert; the date itself says nothing."""
    chances = np.random.default_rng(5)
    rows = []
    for lead in leads(1200):
        assert lead.created_at is not None
        lately = bool(
            chances.uniform() < (0.9 if lead.is_converted else 0.2 if lead.is_disqualified else 0.4)
        )
        day = lead.created_at - timedelta(days=3 if lately else 60)
        rows.append(lead.model_copy(update={"attributes": {"demo": day.date().isoformat()}}))
    card = _card(with_versions({"lead": to_table("lead", rows)}, {}))
    (used,) = [row for row in card["inputs"] if row["name"] == "days_since.attributes.demo"]
    assert used["kind"] == "number"
    assert used["label"] == "Days since demo"
    assert used["assumed"] > 0
    assert card["metrics"]["auc_all_inputs"]["value"] > 0.75


def test_a_date_that_is_set_after_the_moment_of_prediction_is_blocked() -> None:
    """The day of the last activity of a closed lead is near its end: how long it lived tells how it ended."""
    rows = []
    for lead in leads(1500):
        day = lead.closed_at or NOW - timedelta(days=2)
        rows.append(lead.model_copy(update={"attributes": {"last_activity": f"{day:%Y-%m-%dT%H:%M:%SZ}"}}))
    frame = with_versions({"lead": to_table("lead", rows)}, {})
    assert [row["code"] for row in _card(frame)["blocked"]] == ["dated_later"]
