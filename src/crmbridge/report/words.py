"""Numbers as people read them, and the sentences that say what a chart shows. English."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

_SYMBOLS: Final = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "CNY": "CN¥", "INR": "₹"}
_STEPS: Final = ((1e9, "bn"), (1e6, "M"), (1e3, "k"))
NBSP: Final = "\u00a0"
OBJECTS: Final = {
    "lead": ("lead", "leads"),
    "contact": ("contact", "contacts"),
    "account": ("account", "accounts"),
    "deal": ("deal", "deals"),
    "stage_change": ("stage change", "stage changes"),
    "activity": ("activity", "activities"),
    "order": ("order", "orders"),
    "rep": ("rep", "reps"),
}
OUTCOMES: Final = {"lead": "convert", "deal": "are won", "account": "order again"}
EFFICIENCIES: Final = {
    "communication_efficiency": ("Communication", "positive outcomes per hour of communication"),
    "follow_up_efficiency": ("Follow-up", "deals won per hour of follow-up"),
    "order_efficiency": ("Orders", "orders fulfilled per processing day"),
}

GROUPINGS: Final = {
    "rep": ("Rep", "The team", ""),
    "team": ("Team", "Overall", " by team"),
    "deal_type": ("Type of deal", "Overall", " by type of deal"),
    "channel": ("Channel", "Overall", " by channel"),
}
"""What one of a grouping is called, what the organisation's own rate is, and what a title says of it."""
COVERAGES: Final = {
    "communication_efficiency": "Communications whose time was measured",
    "follow_up_efficiency": "Closed deals with any measured time",
    "order_efficiency": "Orders with both dates",
}


def number(value: float, decimals: int = 0) -> str:
    """`12,345.6`; a minus is a real one."""
    text = f"{value:,.{decimals}f}"
    return text.replace("-", "\u2212") if float(text.replace(",", "")) else f"{0:.{decimals}f}"


def many(count: int, name: str) -> str:
    """`1 lead`, `4,000 leads`; `name` is an object's or any word that takes an s."""
    one, more = OBJECTS.get(name, (name, f"{name}s"))
    return f"{count:,} {one if count == 1 else more}"


def percent(value: float, decimals: int = 0) -> str:
    """`percent(0.123)` is `12 %`; never 0 % or 100 % for what is not quite that."""
    shown = f"{value * 100:.{decimals}f}"
    least = 10**-decimals
    if float(shown) == 0 and value > 0:
        shown = f"< {least:.{decimals}f}"
    elif float(shown) == 100 and value < 1:
        shown = f"> {100 - least:.{decimals}f}"
    return f"{shown}{NBSP}%"


def interval(low: float, high: float) -> str:
    """`52–68 %`, both ends in percent."""
    return f"{percent(low).removesuffix(f'{NBSP}%')}–{percent(high)}"


def significant(value: float, digits: int = 2) -> str:
    """A rate to so many digits that matter: `0.031`, `2.4`, `180`."""
    if value == 0 or not math.isfinite(value):
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return number(value, decimals)


def money(amount: float, currency: str | None) -> str:
    """`€1.24 M`, `CHF 930`, `12,300` where no currency is known; three digits that matter."""
    sign = "\u2212" if amount < 0 else ""
    size = abs(amount)
    for step, word in _STEPS:
        if size / step >= 0.9995:
            text = f"{_short(significant(size / step, 3))}{NBSP}{word}"
            break
    else:
        text = number(size)
    if not currency:
        return sign + text
    symbol = _SYMBOLS.get(currency)
    return f"{sign}{symbol}{text}" if symbol else f"{sign}{currency}{NBSP}{text}"


def _short(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def moneys(amounts: Iterable[tuple[float, str | None]]) -> str:
    """Sums of several currencies side by side: they are never added up."""
    return listed([money(amount, currency) for amount, currency in amounts]) or "0"


def days(value: float) -> str:
    """`1 day`, `17 days`."""
    whole = round(value)
    return f"{whole:,} day" if whole == 1 else f"{whole:,} days"


def day(moment: datetime) -> str:
    """`31 March 2026`."""
    return f"{moment.day} {moment:%B %Y}"


def month(period: str) -> str:
    """`2026-03` is `March 2026`."""
    return f"{datetime.strptime(period, '%Y-%m'):%B %Y}"  # noqa: DTZ007 - a month, not a moment


def minute(moment: datetime) -> str:
    """`31 March 2026, 08:05`."""
    return f"{day(moment)}, {moment:%H:%M}"


def some(names: Sequence[str], most: int = 3) -> str:
    """`a, b and c`, or `a, b, c and 4 more`."""
    if len(names) <= most + 1:
        return listed(names)
    return listed([*names[:most], f"{len(names) - most} more"])


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
