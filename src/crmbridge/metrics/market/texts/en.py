"""English."""

from __future__ import annotations

from typing import Final

OTHERS: Final = "(all others)"


def none_closed() -> str:
    return "No deal is closed yet: there is nothing to compare."


def compared(comparisons: int, sure: int) -> str:
    if not comparisons:
        return "There is nothing to compare: no field divides the closed deals into groups of ten or more."
    if not sure:
        return (
            f"Of {comparisons} comparisons none is more than chance would give (false discovery rate 10 %)."
        )
    return (
        f"Of {comparisons} comparisons {sure} hold after correction for looking at so many "
        "(false discovery rate 10 %)."
    )


def win_rate_moved(quarter: str, before: float, after: float, p_value: float | None) -> str:
    then, now = f"{100 * before:.1f} %", f"{100 * after:.1f} %"
    text = f"In {quarter} {now} of the closed deals were won, {then} in the quarter before"
    return text + ("." if p_value is not None and p_value < 0.1 else ": no more than chance.")


def several_currencies() -> str:
    return "Won deals are in several currencies: their amounts are not compared."
