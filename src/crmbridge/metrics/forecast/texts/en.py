"""English."""

from __future__ import annotations


def too_few(ended: int, needed: int) -> str:
    return (
        f"No forecast: {ended:,} deals with known dates have ended in three years, and {needed} are needed."
    )


def by_history(ended: int, open_deals: int) -> str:
    return (
        f"From {ended:,} deals that ended: when deals of a stage were won after as long in it. "
        f"{open_deals:,} deals are open."
    )


def by_score(deals: int) -> str:
    return f"The chances of {deals:,} open deals are those of their scores."


def tested(months: int, forecasts: int, coverage: float, error: float | None, naive: float | None) -> str:
    span = "a month" if months == 1 else f"{months} months"
    text = (
        f"Of {forecasts} past forecasts of {span}, {100 * coverage:.0f} % came in between P10 and P90 "
        "(80 % should)"
    )
    if error is None or naive is None:
        return text + "."
    return f"{text}; P50 was off by {100 * error:.0f} %, the {span} before by {100 * naive:.0f} %."


def not_tested() -> str:
    return "Not tested: there is too little history to make earlier forecasts again."


def other_currencies(deals: int, currency: str) -> str:
    return f"{deals:,} deals in other currencies than {currency} are left out."
