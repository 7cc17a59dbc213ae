"""A report without names has none, and still the same numbers."""

from __future__ import annotations

import html

import pytest

from crmbridge.report.anonymous import anonymous
from crmbridge.report.html import render
from crmbridge.report.words import Words
from tests.unit.report_sample import AWKWARD, REPS_NAMED, sample

NAMES = (
    *AWKWARD,
    *(f"{name} Example" for name in REPS_NAMED),
    "Kessler AG renewal",
    "Nordwind expansion",
    "acme",
    "leads.csv",
    "entity is locked",
)


@pytest.fixture(scope="module")
def page() -> str:
    return render(anonymous(Words(), sample()))


def test_no_name_of_a_person_company_deal_or_connection_is_left(page: str) -> None:
    text = html.unescape(page)
    shown = html.unescape(render(sample()))
    for name in (*NAMES, "no activity for 19 days"):
        assert name in shown, "the names are those of the page with names"
        assert name not in text, name


def test_market_groups_that_are_teams_are_numbered_and_others_stay(page: str) -> None:
    data = anonymous(Words(), sample())
    assert data.market["group"].to_pylist() == ["Machines", data.groups["team"]["name"].to_pylist()[1]]
