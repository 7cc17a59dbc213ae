"""An explanation and a model card on a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from pydantic_core import to_json
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from crmbridge.model.columns import ATTRIBUTE_PREFIX
from crmbridge.report import words
from crmbridge.report.cards import Card, Drift, Estimate, card_of
from crmbridge.report.explain import Explanation
from crmbridge.report.words import ENGLISH
from crmbridge.store.ledger import StoredModel

VISIBLE: Final = 0.005
"""Log-odds from which on a contribution has a line of its own."""
HISTORY_SHOWN: Final = 12
DRIFTED_SHOWN: Final = 5


def explanation_page(explanation: Explanation) -> RenderableType:
    """The page of one record for a terminal."""
    parts: list[RenderableType] = [_headline(explanation)]
    if explanation.contributions:
        parts += [Text(), _sum(explanation)]
    for heading, text in (
        ("Raises it", explanation.reasons_up),
        ("Lowers it", explanation.reasons_down),
        ("Next", explanation.next_action),
    ):
        if text:
            parts.append(Text.assemble("\n", (heading, "bold"), f"  {text}"))
    if explanation.what_if:
        what = explanation.what_if
        parts.append(
            Text.assemble(
                ("\nWould raise it most", "bold"),
                f"  {what.change}: the score would go from {what.before:.2f} to {what.after:.2f}",
            )
        )
    if len(explanation.history) > 1:
        parts += [Text("\nThe score so far", style="bold"), _history(explanation)]
    if explanation.other:
        parts += [Text("\nWhat else is known", style="bold"), _pairs(explanation.other)]
    filled = {name: value for name, value in explanation.values.items() if value is not None}
    parts += [Text("\nThe record", style="bold"), _pairs(filled)]
    return Group(*parts)


def _headline(explanation: Explanation) -> Text:
    text = Text()
    text.append(f"{explanation.object} {explanation.id}", style="bold")
    if explanation.name:
        text.append(f"  {explanation.name}")
    text.append(f"\nas of {explanation.moment:%Y-%m-%d %H:%M} UTC\n")
    if explanation.score is None:
        text.append(explanation.why_not or "", style="yellow")
        return text
    text.append(f"score {explanation.score:.2f}", style="bold green")
    if explanation.score_low is not None and explanation.score_high is not None:
        text.append(f" (90 %: {explanation.score_low:.2f} to {explanation.score_high:.2f})")
    text.append(f", grade {explanation.grade}, {explanation.score_trend}")
    if explanation.month_ago is not None and explanation.month_ago.score is not None:
        text.append(f" ({explanation.month_ago.score:.2f} a month ago)")
    provisional = ", provisional" if explanation.provisional else ""
    text.append(f"\nmodel {explanation.model}{provisional}", style="dim")
    return text


def _sum(explanation: Explanation) -> Table:
    """Base, contributions and total; those too small to be seen in one line, so that the page adds up."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("input", overflow="fold")
    table.add_column("value", overflow="fold")
    table.add_column("log-odds", justify="right")
    table.add_column("odds", justify="right")
    table.add_column("")
    seen = [each for each in explanation.contributions if abs(each.log_odds) >= VISIBLE]
    rest = math.fsum(each.log_odds for each in explanation.contributions if abs(each.log_odds) < VISIBLE)
    largest = max((abs(each.log_odds) for each in seen), default=1.0)
    table.add_row(
        "a record with average inputs", f"{explanation.base:.2f} %", f"{explanation.base_log_odds:+.3f}"
    )
    for each in seen:
        bar = Text("█" * max(1, round(12 * abs(each.log_odds) / largest)))
        bar.stylize("blue" if each.log_odds > 0 else "yellow")
        is_own = each.input.removeprefix(ATTRIBUTE_PREFIX) in explanation.values
        value = escape(_value(each.value)) if is_own else ""
        table.add_row(escape(each.label), value, f"{each.log_odds:+.3f}", f"x {each.odds:.2f}", bar)
    hidden = len(explanation.contributions) - len(seen)
    if hidden:
        table.add_row(f"{hidden} smaller ones", "", f"{rest:+.3f}", f"x {math.exp(rest):.2f}")
    check = "adds up" if explanation.adds_up else f"misses it by {explanation.difference:.1e}"
    style = "bold" if explanation.adds_up else "bold red"
    table.add_row(
        "this record", f"{explanation.score:.2f} %", f"{explanation.log_odds:+.3f}", check, style=style
    )
    return table


def _history(explanation: Explanation) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for each in explanation.history[-HISTORY_SHOWN:]:
        score = "no score" if each.score is None else f"{each.score:.2f}"
        table.add_row(f"{each.since:%Y-%m-%d}", score, each.grade or "")
    return table


def _pairs(values: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(escape(name), escape(_value(value)))
    return table


def _value(value: Any) -> str:
    """A value as a person reads it; a dash where there is none."""
    if value is None:
        return "–"
    if isinstance(value, Decimal):
        return f"{value:,f}".rstrip("0").rstrip(".") if value % 1 else f"{value:,.0f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def model_card(stored: StoredModel) -> RenderableType:
    """A stored model's card: in plain words for need, as it stands for other metrics."""
    model = stored.model
    head = Text.assemble(
        (model.name, "bold"), f"  {stored.status}, fitted {stored.created_at:%Y-%m-%d %H:%M} UTC"
    )
    if model.provisional:
        head.append("  provisional", style="yellow")
    if model.metric == "need":
        return Group(head, *_need(card_of(model)))
    shown = {
        name: value if isinstance(value, (str, int, float, bool)) else to_json(value).decode()
        for name, value in model.card.items()
    }
    return Group(head, Text(), _pairs(shown))


def _need(card: Card) -> list[RenderableType]:
    parts: list[RenderableType] = [Text(f"predicts whether {card.target}\n", style="dim")]
    parts += [Text(sentence, style="bold") for sentence in card.verdict]
    facts = {"learned from": f"{ENGLISH.many(card.outcomes, 'outcome')}, {card.positives:,} of them good"}
    if card.since and card.until:
        facts["between"] = f"{card.since[:10]} and {card.until[:10]}"
    facts["tested on"] = f"{card.tested_on:,} it had not seen"
    figures: tuple[tuple[str, Estimate | None, int], ...] = (
        ("base rate", card.base_rate, 3),
        ("AUC, all inputs (a coin: 0.5)", card.auc, 3),
        *((f"lift of the best {share:.0%}", found, 2) for share, found in card.lifts),
    )
    for name, found, digits in figures:
        if found is not None:
            facts[name] = _with_interval(found, digits)
    if card.recalibrated is not None:
        intercept, slope = card.recalibrated
        facts["recalibrated"] = (
            f"log-odds x {_with_interval(slope, 2)} {'+' if intercept.value >= 0 else ''}"
            f"{_with_interval(intercept, 2)}"
        )
    parts += [Text(), _pairs(facts)]
    if card.figures:
        parts += [Text("\nOn the test", style="bold"), _figures(card)]
    if card.calibration:
        table = Table("said", "came true", "90 %", "records", box=None, pad_edge=False, header_style="bold")
        for group in card.calibration:
            between = words.interval(group.low, group.high)
            table.add_row(
                words.percent(group.predicted, 1),
                words.percent(group.observed, 1),
                between,
                f"{group.records:,}",
            )
        parts += [Text("\nCalibration", style="bold"), table]
    if card.confusion:
        parts += [Text("\nGrades on the test (cases)", style="bold"), _confusion(card)]
    if card.drift is not None:
        parts += [Text("\nWhat has changed", style="bold"), _pairs(_drift(card.drift))]
    if card.arena:
        parts += [Text("\nOther scores in the CRM, on the same outcomes", style="bold"), _arena(card)]
    for heading, rows in (
        ("Blocked: known only after the outcome", card.blocked),
        ("Left out", card.dropped),
        ("Excluded in the settings", tuple((name, "") for name in card.excluded)),
        ("Used although suspected, by the settings", tuple((name, "") for name in card.included)),
        ("Used", tuple((name, _assumed(card, name)) for name in card.inputs)),
    ):
        if rows:
            parts += [Text(f"\n{heading}", style="bold"), _pairs(dict(rows))]
    return parts


def _with_interval(found: Estimate | None, digits: int = 3) -> str:
    if found is None:
        return ""
    value, low, high = (f"{number:.{digits}f}" for number in (found.value, found.low, found.high))
    return f"{value} (90 %: {low} to {high})"


def _figures(card: Card) -> Table:
    table = Table("", "this model", "one rate for all", box=None, pad_edge=False, header_style="bold")
    if card.previous is not None:
        table.add_column(f"{escape(card.previous)}, on outcomes since")
    for figure in card.figures:
        row = [figure.name, _with_interval(figure.model), _with_interval(figure.base_rate)]
        table.add_row(*row, *([_with_interval(figure.previous)] if card.previous is not None else []))
    return table


def _confusion(card: Card) -> Table:
    table = Table("from", "came", "did not", "missed", box=None, pad_edge=False, header_style="bold")
    table.add_column("of these came")
    table.add_column("found of those that came")
    for row in card.confusion:
        table.add_row(
            f"{row.grade} ({row.bound:g})",
            f"{row.true_positives:,}",
            f"{row.false_positives:,}",
            f"{row.false_negatives:,}",
            _with_interval(row.precision, 2),
            _with_interval(row.recall, 2),
        )
    return table


def _arena(card: Card) -> Table:
    table = Table("score", "AUC", "Brier score", "lift of the best 10%", box=None, pad_edge=False)
    table.header_style = "bold"
    table.add_column("outcomes", justify="right")
    table.add_column("ahead")
    for contest in card.arena:
        if contest.auc is None:
            table.add_row(
                escape(contest.rival), "too few known in time so far", "", "", f"{contest.records:,}"
            )
            continue
        for side, name in enumerate(("this model", contest.rival)):
            ahead = contest.ahead == ("model", "rival")[side]
            table.add_row(
                escape(name),
                _with_interval(contest.auc[side]),
                _with_interval(contest.brier[side]),
                _with_interval(contest.lift[side], 2),
                f"{contest.records:,}",
                "yes" if ahead else "" if contest.ahead else "can't be told",
            )
    return table


def _drift(found: Drift) -> dict[str, str]:
    came = f"{words.percent(found.observed, 1)}, difference {_with_interval(found.difference)}"
    rows = {"predicted from older records": words.percent(found.predicted, 1), "came of the newest": came}
    for label, psi in found.inputs[:DRIFTED_SHOWN]:
        if psi > 0.0:
            rows[f"{label} differs"] = f"PSI {psi:.2f}"
    return rows


def _assumed(card: Card, name: str) -> str:
    number = card.assumed.get(name, 0)
    return f"{number:,} values are assumed to have been known in time" if number else ""
