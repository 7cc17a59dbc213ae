"""The changes worth most: ranked by money, each with an interval, none without its number."""

from __future__ import annotations

import dataclasses
import math

import pytest

from crmbridge.report.changes import Z90, changes
from crmbridge.report.words import Words
from tests.unit.report_sample import sample

WORDS = Words()


def test_the_most_money_comes_first_and_every_price_lies_in_its_interval() -> None:
    found = changes(WORDS, sample(), "EUR", limit=9)
    assert [change.amount for change in found] == sorted((change.amount for change in found), reverse=True)
    assert len(found) == 4
    for change in found:
        assert change.low.value <= change.amount == change.money.value <= change.high.value
    assert len(changes(WORDS, sample(), "EUR")) == 3


def test_stuck_deals_are_priced_with_what_they_bring_if_each_is_won_on_its_own() -> None:
    rows = [row for row in sample().stages.to_pylist() if row["stuck"]]
    stuck = next(
        each for each in changes(WORDS, sample(), "EUR", limit=9) if each.money.column == "changes.stuck"
    )
    assert stuck.amount == pytest.approx(sum(row["expected"] for row in rows))
    spread = Z90 * math.sqrt(sum(row["variance"] for row in rows))
    assert stuck.high.value == pytest.approx(stuck.amount + spread)


def test_customers_slipping_away_are_priced_by_their_own_rhythm_less_what_is_expected() -> None:
    # Four customers: 7,500 every 36.5 days is 75,000 a year; 5,000 is expected of each.
    found = changes(WORDS, sample(), "EUR", limit=9)
    slipping = next(each for each in found if each.money.column == "changes.slipping")
    assert slipping.amount == pytest.approx(4 * (75_000 - 5_000))
    assert slipping.high.value - slipping.amount == pytest.approx(math.sqrt(4) * 4_500)


def test_what_advice_prices_in_money_is_shown_with_its_evidence_and_the_reps_name() -> None:
    found = {change.title: change for change in changes(WORDS, sample(), "EUR", limit=9)}
    assert found["Shorten Proposal"].why == "Half of the deals need 17 days."
    assert found["Bring follow-up to the others' rate: Ana Example"].amount == 150_000
    assert not [title for title in found if "call" in title]


def test_without_prices_there_are_no_changes() -> None:
    data = sample()
    bare = dataclasses.replace(
        data,
        changes=data.changes.schema.empty_table(),
        stages=data.stages.schema.empty_table(),
        slipping=data.slipping.schema.empty_table(),
    )
    assert changes(WORDS, bare, "EUR") == []
