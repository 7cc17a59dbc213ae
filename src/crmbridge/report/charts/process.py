"""Where leads and deals get to, where they wait, and where the money stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from crmbridge.report.data import LEADS_STAGE, NO_STAGE
from crmbridge.report.figures import Cell, Figure, joined, sentence
from crmbridge.report.svg import NARROW, ROW, Chart, Spec, chart, values
from crmbridge.report.words import Words, number, percent

_LETTER: Final = 6.7
"""Width of a letter of the charts' text, a little more than the mean."""
_FATES: Final = (
    ("went on", "moved_on"),
    ("still there", "still_open"),
    ("went back", "moved_back"),
    ("lost", "lost"),
)
_COLOURS: Final = {
    "went on": "var(--blue)",
    "still there": "var(--open)",
    "went back": "var(--quiet)",
    "lost": "var(--amber)",
}


def funnel(words: Words, table: pa.Table, won: float | None) -> Chart | None:
    """What became of the leads, and of the deals that entered each stage; None where nothing is known."""
    rows = [row for row in table.to_pylist() if row["entered"]]
    if not rows:
        return None
    drawn = [
        {"stage": _stage(words, row["stage"]), "records": row[key], "fate": words.text(fate), "order": place}
        for row in rows
        for place, (fate, key) in enumerate(_FATES)
        if row[key]
    ]
    labels = []
    for row in rows:
        share = went_on(row)
        label = number(row["entered"])
        if share is not None:
            label = words.text("{n} · {share} go on", n=label, share=percent(share))
        labels.append({"stage": _stage(words, row["stage"]), "entered": row["entered"], "label": label})
    fates = [fate for fate, key in _FATES if any(row[key] for row in rows)]

    def spec(width: int) -> Spec:
        colour = {
            "field": "fate",
            "type": "nominal",
            "scale": {
                "domain": [words.text(fate) for fate in fates],
                "range": [_COLOURS[fate] for fate in fates],
            },
            "legend": {"title": None, "columns": 2 if width == NARROW else 4},
        }
        layers: list[Spec] = [
            {
                "data": values(drawn),
                "mark": {"type": "bar", "height": 16},
                "encoding": {
                    "x": {"field": "records", "type": "quantitative", "stack": "zero"},
                    "color": colour,
                    "order": {"field": "order"},
                },
            },
            {"mark": {"type": "text", "align": "left", "dx": 6}, "encoding": {"text": {"field": "label"}}},
        ]
        return bars(width, labels, "stage", "entered", layers)

    def figure(row: Mapping[str, Any], column: str, decimals: int = 0) -> Cell:
        if row[column] is None:
            return ""
        table = "report" if row["stage"] == LEADS_STAGE else "pipeline_deal_funnel"
        place = (("stage", row["stage"]),)
        return Figure(number(row[column], decimals), row[column], table, column, place)

    heads = ("Stage", "Entered", "Went on", "Still there", "Went back", "Lost", "Go on", "Typical days")
    return chart(
        words.text("Funnel"),
        _funnel_in_words(words, rows, won),
        spec,
        [words.text(head) for head in heads],
        [
            (
                _stage(words, row["stage"]),
                figure(row, "entered"),
                *(figure(row, key) for _, key in _FATES),
                "" if (share := went_on(row)) is None else percent(share, 1),
                figure(row, "median_days", 1),
            )
            for row in rows
        ],
    )


def _stage(words: Words, stage: str) -> str:
    return words.text(stage) if stage in (LEADS_STAGE, NO_STAGE) else stage


def went_on(row: Mapping[str, Any]) -> float | None:
    """The share that went on, of the funnel's records that are no longer in the stage; None where all are."""
    decided = row["entered"] - row["still_open"]
    return float(row["moved_on"]) / decided if decided else None


def narrowest(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The stage of the deals from which the smallest share goes on; None where fewer than two stages tell."""
    told = [row for row in rows if row["stage"] != LEADS_STAGE and went_on(row) is not None]
    return min(told, key=lambda row: went_on(row) or 0.0) if len(told) > 1 else None


def _funnel_in_words(words: Words, rows: Sequence[Mapping[str, Any]], won: float | None) -> str:
    said = []
    for row in rows:
        share = went_on(row)
        if row["stage"] == LEADS_STAGE and share is not None:
            decided = number(row["entered"] - row["still_open"])
            said.append(
                words.text("{share} of {n} decided leads converted.", share=percent(share), n=decided)
            )
    if won is not None:
        said.append(words.text("{n} deals were won.", n=number(won)))
    least = narrowest(rows)
    if least is not None:
        said.append(
            words.text(
                "Fewest deals go on from {stage}: {share} of the {n} that left it.",
                stage=least["stage"],
                share=percent(went_on(least) or 0.0),
                n=number(least["entered"] - least["still_open"]),
            )
        )
    first = rows[0]
    return " ".join(said) or words.text(
        "{n} entered {stage}.", n=number(first["entered"]), stage=_stage(words, first["stage"])
    )


def waiting(words: Words, bottlenecks: pa.Table, currency: str | None) -> Chart | None:
    """The days of the last year that deals waited in each stage longer than its quickest quarter, and what
    that delays; None where no stage was compared with itself.
    """
    rows = [row for row in bottlenecks.to_pylist() if row["deal_days_lost"] is not None]
    if not rows:
        return None

    def figure(row: Mapping[str, Any], column: str, text: str) -> Figure:
        place = (("stage", row["stage"]),)
        return Figure(text, row[column], "pipeline_deal_bottlenecks", column, place)

    def days(row: Mapping[str, Any], column: str, decimals: int = 0) -> Cell:
        return "" if row[column] is None else figure(row, column, number(row[column], decimals))

    def money(row: Mapping[str, Any], column: str) -> Cell:
        return "" if row[column] is None else figure(row, column, words.money(row[column], currency))

    parts = []
    worst = next((row for row in rows if row["is_bottleneck"]), None)
    if worst is not None:
        sure = (
            "The bottleneck is {stage}: {days} days lost ({low} to {high}) in a "
            "year, surely more than anywhere else."
        )
        unsure = (
            "The bottleneck is {stage}: {days} days lost ({low} to {high}) in a "
            "year; other stages come close."
        )
        parts.append(
            sentence(
                words,
                sure if worst["is_sure"] else unsure,
                stage=worst["stage"],
                days=days(worst, "deal_days_lost"),
                low=days(worst, "deal_days_lost_low"),
                high=days(worst, "deal_days_lost_high"),
            )
        )
        if worst["money_delayed"] is not None:
            parts.append(
                sentence(
                    words,
                    "On an average day {money} of expected revenue waits there "
                    "beyond the stage's own best pace.",
                    money=money(worst, "money_delayed"),
                )
            )
    parts.append(
        sentence(words, "A day is lost where a deal stays longer than the stage's quickest quarter.")
    )
    drawn = [
        {
            "stage": row["stage"],
            "days": row["deal_days_lost"],
            "low": row["deal_days_lost_low"],
            "high": row["deal_days_lost_high"],
            "worst": row["is_bottleneck"],
            "label": number(row["deal_days_lost"]),
        }
        for row in rows
    ]

    def spec(width: int) -> Spec:
        colour = {
            "field": "worst",
            "type": "nominal",
            "legend": None,
            "scale": {"domain": [True, False], "range": ["var(--amber)", "var(--blue)"]},
        }
        x = {"type": "quantitative", "axis": None}
        layers: list[Spec] = [
            {"mark": {"type": "bar", "height": 12}, "encoding": {"color": colour}},
            {
                "mark": {"type": "rule", "strokeWidth": 2, "color": "var(--ink)"},
                "encoding": {"x": {"field": "low", **x}, "x2": {"field": "high"}},
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 8},
                "encoding": {"x": {"field": "high", **x}, "text": {"field": "label"}},
            },
        ]
        return bars(width, drawn, "stage", "days", layers, extent="high")

    heads = ("Stage", "Stays", "Best days", "Typical days", "Days lost", "90 % interval")
    money_heads = ("Money delayed", "90 % interval")
    return chart(
        words.text("Where deals wait"),
        joined(parts),
        spec,
        [words.text(head) for head in (*heads, *money_heads)],
        [
            (
                row["stage"],
                days(row, "stays"),
                days(row, "best_days", 1),
                days(row, "typical_days", 1),
                days(row, "deal_days_lost"),
                sentence(
                    words,
                    "{low} to {high}",
                    low=days(row, "deal_days_lost_low"),
                    high=days(row, "deal_days_lost_high"),
                ),
                money(row, "money_delayed"),
                ""
                if row["money_delayed"] is None
                else sentence(
                    words,
                    "{low} to {high}",
                    low=money(row, "money_delayed_low"),
                    high=money(row, "money_delayed_high"),
                ),
            )
            for row in rows
        ],
    )


def money_in_stages(words: Words, stages: pa.Table, currency: str | None) -> Chart | None:
    """Expected revenue of the open deals by stage, moving and stuck, in one currency; None without any."""
    rows = [row for row in stages.to_pylist() if row["currency"] == currency and row["expected"]]
    if not rows:
        return None
    total = sum(row["expected"] for row in rows)
    stuck = sum(row["expected"] for row in rows if row["stuck"])
    said = words.text("{money} is to be expected from the open deals.", money=words.money(total, currency))
    if stuck:
        said += " " + words.text(
            "{money} of it ({share}) sits in {deals} that stand longer in their "
            "stage than such deals usually do.",
            money=words.money(stuck, currency),
            share=percent(stuck / total),
            deals=words.many(sum(row["deals"] for row in rows if row["stuck"]), "deal"),
        )
    names = list(dict.fromkeys(row["stage"] for row in rows))
    sums = {name: sum(row["expected"] for row in rows if row["stage"] == name) for name in names}
    states = {False: words.text("moving"), True: words.text("stuck")}
    drawn = [
        {
            "stage": _stage(words, row["stage"]),
            "what": states[row["stuck"]],
            "expected": row["expected"],
            "order": row["stuck"],
        }
        for row in rows
    ]
    labels = [
        {"stage": _stage(words, name), "expected": sums[name], "label": words.money(sums[name], currency)}
        for name in names
    ]

    def spec(width: int) -> Spec:
        colour = {
            "field": "what",
            "type": "nominal",
            "scale": {"domain": list(states.values()), "range": ["var(--blue)", "var(--amber)"]},
            "legend": {"title": None},
        }
        layers: list[Spec] = [
            {
                "data": values(drawn),
                "mark": {"type": "bar", "height": 16},
                "encoding": {"color": colour, "order": {"field": "order"}},
            },
            {"mark": {"type": "text", "align": "left", "dx": 6}, "encoding": {"text": {"field": "label"}}},
        ]
        return bars(width, labels, "stage", "expected", layers)

    def figure(row: Mapping[str, Any], column: str, text: str) -> Cell:
        place = (("stage", row["stage"]), ("currency", currency or ""), ("stuck", int(row["stuck"])))
        return "" if row[column] is None else Figure(text, row[column], "report", f"stages.{column}", place)

    return chart(
        words.text("Where the money stands"),
        said,
        spec,
        [words.text(head) for head in ("Stage", "State", "Deals", "Amount", "Expected")],
        [
            (
                _stage(words, row["stage"]),
                states[row["stuck"]],
                figure(row, "deals", number(row["deals"])),
                figure(row, "amount", words.money(row["amount"] or 0.0, currency)),
                figure(row, "expected", words.money(row["expected"], currency)),
            )
            for row in rows
        ],
    )


def bars(
    width: int,
    rows: Sequence[Mapping[str, Any]],
    name: str,
    value: str,
    layers: Sequence[Spec],
    extent: str | None = None,
) -> Spec:
    """Horizontal bars in the rows' own order; the scale leaves room for each row's `label` behind its bar, or
    behind its `extent` where something is drawn beyond the bar.
    """
    names = 110 if width == NARROW else 190
    free = width - min(names, _LETTER * max(len(row[name]) for row in rows)) - 30
    # A bar of length v and its label must fit: v / top * free + label <= free.
    top = (
        max(row[extent or value] / max(0.2, 1 - (_LETTER * len(row["label"]) + 12) / free) for row in rows)
        or 1
    )
    return {
        "height": {"step": ROW},
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": values(rows),
        "encoding": {
            "y": {
                "field": name,
                "type": "nominal",
                "sort": None,
                "title": None,
                "axis": {
                    "ticks": False,
                    "domain": False,
                    "labelColor": "var(--ink)",
                    "labelLimit": names,
                },
            },
            "x": {
                "field": value,
                "type": "quantitative",
                "axis": None,
                "scale": {"domain": [0, top], "nice": False},
            },
        },
        "layer": list(layers),
    }
