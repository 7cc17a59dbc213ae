"""Numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmbridge.report import words
from crmbridge.report.words import ENGLISH


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.0, "0"), (0.0004, "< 1"), (0.123, "12"), (0.996, "> 99"), (1.0, "100")],
)
def test_only_certainty_is_shown_as_0_or_100_percent(share: float, shown: str) -> None:
    assert words.percent(share) == f"{shown}\u00a0%"


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (0, "EUR", "€0"),
        (999.4, "EUR", "€999"),
        (60_000, "EUR", "€60\u00a0k"),
        (999_999, "USD", "$1\u00a0M"),
        (1_234_567, "CHF", "CHF\u00a01.23\u00a0M"),
        (-5_100_000_000, None, "\u22125.1\u00a0bn"),
        (120_000, None, "120\u00a0k"),
    ],
)
def test_money_is_short_and_carries_its_currency(amount: float, currency: str | None, shown: str) -> None:
    assert ENGLISH.money(amount, currency) == shown


@given(st.floats(0.01, 1e12))
def test_a_short_amount_is_within_half_a_percent_of_the_amount(amount: float) -> None:
    text = ENGLISH.money(amount, None).replace(",", "")
    number, _, step = text.partition("\u00a0")
    shown = float(number) * {"": 1, "k": 1e3, "M": 1e6, "bn": 1e9}[step]
    assert shown == pytest.approx(amount, rel=0.0051, abs=0.5)


def test_sums_of_several_currencies_stand_side_by_side() -> None:
    assert ENGLISH.moneys([(1200, "EUR"), (300, "USD")]) == "€1.2\u00a0k and $300"


@pytest.mark.parametrize(
    ("names", "shown"),
    [([], ""), (["a"], "a"), (["a", "b", "c", "d"], "a, b, c and d"), (list("abcdef"), "a, b, c and 3 more")],
)
def test_long_lists_are_cut_with_the_number_left_out(names: list[str], shown: str) -> None:
    assert ENGLISH.some(names) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0312, "0.031"), (2.449, "2.4"), (180.2, "180"), (0, "0"), (-0.5, "\u22120.50")]
)
def test_rates_keep_the_digits_that_matter(value: float, shown: str) -> None:
    assert words.significant(value) == shown
