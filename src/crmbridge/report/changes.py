"""The changes that are worth most, each with its price and the price's 90 % interval, made from the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from crmbridge.report.data import ReportData
from crmbridge.report.figures import Figure, joined, sentence
from crmbridge.report.words import Words

Z90: Final = 1.6448536269514722
YEAR: Final = 365


@dataclass(frozen=True)
class Change:
    """What to change, what it is worth (with what the money is: earlier, at stake ...), and why.

    `amount` ranks; `money`, `low` and `high` are how it is shown.
    """

    title: str
    amount: float
    money: Figure
    low: Figure
    high: Figure
    what: str
    why: Markup


TITLES: Final = {
    "bottleneck": "Shorten {subject}",
    "first_response": "Answer new leads sooner",
    "follow_up": "Bring follow-up to the others' rate: {subject}",
}
"""The changes of the metric `advice` that have a price in money, and what each is called."""


def changes(words: Words, data: ReportData, currency: str | None, limit: int = 3) -> list[Change]:
    """The priced changes, the most money first. `currency` is that of the open deals shown.

    - what the metric `advice` prices in money: the bottleneck, answering leads sooner, reps' follow-up;
    - deals that stand longer than such deals do: their expected revenue, with the interval of what they bring
      if they are won or lost independently of each other;
    - customers who slip away: what they would order in a year at their own rhythm (mean order x 365 / usual
      days) less what is to be expected of them (`value`), whose intervals are taken as independent.
    """
    found = _advised(words, data)
    found += [change for make in (_stuck, _slipping) if (change := make(words, data, currency)) is not None]
    return sorted(found, key=lambda change: -change.amount)[:limit]


def _advised(words: Words, data: ReportData) -> list[Change]:
    rows = [
        row
        for row in data.changes.to_pylist()
        if row["unit"] == "money"
        and row["worth"]
        and row["worth_low"] is not None
        and row["change"] in TITLES
    ]

    def figure(row: dict[str, Any], column: str) -> Figure:
        place = (("change", row["change"]), ("subject", row["subject"]))
        text = words.money(row[column], row["currency"])
        return Figure(text, row[column], "advice_deal_changes", column, place)

    return [
        Change(
            words.text(TITLES[row["change"]], subject=row["subject"]),
            row["worth"],
            figure(row, "worth"),
            figure(row, "worth_low"),
            figure(row, "worth_high"),
            words.text(
                "of expected revenue waits there on an average day"
                if row["change"] == "bottleneck"
                else "a year, at most"
            ),
            sentence(words, "{evidence}", evidence=row["evidence"] or ""),
        )
        for row in rows
    ]


def _stuck(words: Words, data: ReportData, currency: str | None) -> Change | None:
    rows = [row for row in data.stages.to_pylist() if row["stuck"] and row["currency"] == currency]
    amount = sum(row["expected"] or 0.0 for row in rows)
    if not amount:
        return None
    spread = Z90 * math.sqrt(sum(row["variance"] or 0.0 for row in rows))
    deals = sum(row["deals"] for row in rows)
    counted = Figure(words.many(deals, "deal"), deals, "report", "changes.stuck_deals")
    why = [
        sentence(
            words, "{deals} stand longer in their stage than three quarters of such deals do.", deals=counted
        )
    ]
    first = next((row for row in data.deals.to_pylist() if row["stuck"]), None)
    if first is not None:
        why.append(sentence(words, "Start with {deal}.", deal=first["name"] or first["id"]))
    return Change(
        words.text("Move the stuck deals, or close them"),
        amount,
        *_shown(words, "changes.stuck", amount, max(amount - spread, 0.0), amount + spread, currency),
        words.text("of expected revenue is stuck"),
        joined(why),
    )


def _slipping(words: Words, data: ReportData, currency: str | None) -> Change | None:
    rows = [
        row
        for row in data.slipping.to_pylist()
        if row["value_12m"] is not None and row["mean_order"] is not None and row["usual_days"]
    ]
    usual = sum(row["mean_order"] * YEAR / row["usual_days"] for row in rows)
    now = sum(row["value_12m"] for row in rows)
    amount = usual - now
    if amount <= 0:
        return None
    spread = Z90 * math.sqrt(sum((_deviation(row)) ** 2 for row in rows))
    why = sentence(
        words,
        "{customers} slip away: at their own rhythm they would order for {usual} "
        "in 12 months, now {now} is to be expected.",
        customers=Figure(
            words.many(len(rows), "customer"), len(rows), "report", "changes.slipping_customers"
        ),
        usual=Figure(words.money(usual, data.orders_currency), usual, "report", "changes.slipping_usual"),
        now=Figure(words.money(now, data.orders_currency), now, "report", "changes.slipping_now"),
    )
    low, high = max(amount - spread, 0.0), amount + spread
    return Change(
        words.text("Win back the customers who slip away"),
        amount,
        *_shown(words, "changes.slipping", amount, low, high, data.orders_currency),
        words.text("a year is at stake"),
        why,
    )


def _deviation(row: dict[str, Any]) -> float:
    return float(row["value_high"] - row["value_low"]) / (2 * Z90)


def _shown(
    words: Words, column: str, amount: float, low: float, high: float, currency: str | None
) -> tuple[Figure, Figure, Figure]:
    def figure(end: str, value: float) -> Figure:
        return Figure(words.money(value, currency), value, "report", column + end)

    return figure("", amount), figure("_low", low), figure("_high", high)
