"""Numbers, names and sentences as people read them, in the language of the report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from crmbridge.report.texts import LANGUAGES

_SYMBOLS: Final = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "CNY": "CN¥", "INR": "₹"}
NBSP: Final = "\u00a0"


@dataclass(frozen=True)
class Words:
    """One language: `en`, or `zh` (simplified Chinese). Sentences are found by their English."""

    language: str = "en"

    def text(self, sentence: str, **values: object) -> str:
        """The sentence in the language, its `{names}` filled in. Raises KeyError where it was forgotten."""
        known = LANGUAGES[self.language].SENTENCES
        found: str = sentence if known is None else known[sentence]
        return found.format(**values) if values else found

    def many(self, count: int, name: str) -> str:
        """`1 lead`, `4,000 leads`; `name` is an object, `open deal`, `record` ... of the language's file."""
        one, more = LANGUAGES[self.language].THINGS[name]
        return f"{count:,} {one if count == 1 else more}"

    def things(self, name: str) -> str:
        """What several of them are called: `leads`."""
        texts = LANGUAGES[self.language]
        return str(texts.PLAIN.get(name) or texts.THINGS[name][1])

    def outcome(self, object_name: str) -> str:
        """What a good outcome is: leads `convert`, deals `are won`."""
        return str(LANGUAGES[self.language].OUTCOMES[object_name])

    def efficiency(self, key: str) -> tuple[str, str]:
        """An efficiency's name and unit."""
        name, unit = LANGUAGES[self.language].EFFICIENCIES[key]
        return name, unit

    def grouping(self, name: str) -> tuple[str, str, str]:
        """What one of a grouping is called, what all are, and what a title says of it."""
        one, everybody, title = LANGUAGES[self.language].GROUPINGS[name]
        return one, everybody, title

    def coverage(self, key: str) -> str:
        """What the share known of an efficiency is a share of."""
        return str(LANGUAGES[self.language].COVERAGES[key])

    def name(self, value: str | None) -> str:
        """A key of a metric's table or of the ledger (`win_rate`, `rising`), as people say it."""
        if value is None:
            return ""
        return str(LANGUAGES[self.language].NAMES.get(value, value.replace("_", " ")))

    def listed(self, words: Sequence[str]) -> str:
        """`a, b and c`."""
        comma, last = LANGUAGES[self.language].LIST
        return listed(words, comma, last)

    def some(self, names: Sequence[str], most: int = 3) -> str:
        """`a, b and c`, or `a, b, c and 4 more`."""
        if len(names) <= most + 1:
            return self.listed(names)
        return self.listed([*names[:most], self.text("{n} more", n=len(names) - most)])

    def money(self, amount: float, currency: str | None) -> str:
        """`€1.24 M`, `CHF 930`, `12,300` where no currency is known; three digits that matter."""
        sign = "\u2212" if amount < 0 else ""
        size = abs(amount)
        for step, word in LANGUAGES[self.language].STEPS:
            if size / step >= 0.9995:
                text = f"{_short(significant(size / step, 3))}{NBSP}{word}"
                break
        else:
            text = number(size)
        if not currency:
            return sign + text
        symbol = _SYMBOLS.get(currency)
        return f"{sign}{symbol}{text}" if symbol else f"{sign}{currency}{NBSP}{text}"

    def between(self, low: float, high: float, currency: str | None) -> str:
        """`€1 M to €2 M`: an interval of money."""
        return self.text("{low} to {high}", low=self.money(low, currency), high=self.money(high, currency))

    def moneys(self, amounts: Iterable[tuple[float, str | None]]) -> str:
        """Sums of several currencies side by side: they are never added up."""
        return self.listed([self.money(amount, currency) for amount, currency in amounts]) or "0"

    def days(self, value: float) -> str:
        """`1 day`, `17 days`."""
        return self.many(round(value), "day")

    def day(self, moment: datetime) -> str:
        """`31 March 2026`."""
        if self.language == "zh":
            return f"{moment.year}年{moment.month}月{moment.day}日"
        return f"{moment.day} {moment:%B %Y}"

    def month(self, period: str) -> str:
        """`2026-03` is `March 2026`."""
        if self.language == "zh":
            return f"{int(period[:4])}年{int(period[5:])}月"
        return f"{datetime.strptime(period, '%Y-%m'):%B %Y}"  # noqa: DTZ007 - a month, not a moment

    def minute(self, moment: datetime) -> str:
        """`31 March 2026, 08:05`."""
        return f"{self.day(moment)}{' ' if self.language == 'zh' else ', '}{moment:%H:%M}"


ENGLISH: Final = Words()


def number(value: float, decimals: int = 0) -> str:
    """`12,345.6`; a minus is a real one."""
    text = f"{value:,.{decimals}f}"
    return text.replace("-", "\u2212") if float(text.replace(",", "")) else f"{0:.{decimals}f}"


def percent(value: float, decimals: int = 0) -> str:
    """`percent(0.123)` is `12 %`; never 0 % or 100 % for what is not quite that."""
    shown = f"{value * 100:.{decimals}f}"
    least = 10**-decimals
    if float(shown) == 0 and value > 0:
        shown = f"< {least:.{decimals}f}"
    elif float(shown) == 100 and value < 1:
        shown = f"> {100 - least:.{decimals}f}"
    elif value < 0:
        shown = shown.replace("-", "\u2212") if float(shown) else f"{0:.{decimals}f}"
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


def listed(words: Sequence[str], comma: str = ", ", last: str = " and ") -> str:
    """`a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{comma.join(words[:-1])}{last}{words[-1]}"


def _short(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
