"""Where leads and deals get to, and where the money stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from crmbridge.report import words
from crmbridge.report.data import LEADS_STAGE
from crmbridge.report.svg import NARROW, ROW, Chart, Spec, draw, values

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


def funnel(table: pa.Table, won: float | None) -> Chart | None:
    """What became of the leads, and of the deals that entered each stage; None where nothing is known."""
    rows = [row for row in table.to_pylist() if row["entered"]]
    if not rows:
        return None
    drawn = [
        {"stage": row["stage"], "records": row[key], "fate": fate, "order": place}
        for row in rows
        for place, (fate, key) in enumerate(_FATES)
        if row[key]
    ]
    labels = []
    for row in rows:
        share = went_on(row)
        label = words.number(row["entered"])
        if share is not None:
            label += f" · {words.percent(share)} go on"
        labels.append({"stage": row["stage"], "entered": row["entered"], "label": label})
    sentence = _funnel_in_words(rows, won)
    fates = [fate for fate, key in _FATES if any(row[key] for row in rows)]

    def spec(width: int) -> Spec:
        colour = {
            "field": "fate",
            "type": "nominal",
            "scale": {
                "domain": fates,
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
        return _bars(width, labels, "stage", "entered", layers)

    return Chart(
        "Funnel",
        sentence,
        draw(spec, f"Funnel. {sentence}"),
        ("Stage", "Entered", "Went on", "Still there", "Went back", "Lost", "Go on", "Typical days"),
        [
            (
                row["stage"],
                words.number(row["entered"]),
                *(words.number(row[key]) for _, key in _FATES),
                "" if (share := went_on(row)) is None else words.percent(share, 1),
                "" if row["median_days"] is None else words.number(row["median_days"], 1),
            )
            for row in rows
        ],
    )


def went_on(row: Mapping[str, Any]) -> float | None:
    """The share that went on, of the funnel's records that are no longer in the stage; None where all are."""
    decided = row["entered"] - row["still_open"]
    return float(row["moved_on"]) / decided if decided else None


def narrowest(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The stage of the deals from which the smallest share goes on; None where fewer than two stages tell."""
    told = [row for row in rows if row["stage"] != LEADS_STAGE and went_on(row) is not None]
    return min(told, key=lambda row: went_on(row) or 0.0) if len(told) > 1 else None


def _funnel_in_words(rows: Sequence[Mapping[str, Any]], won: float | None) -> str:
    sentences = []
    for row in rows:
        share = went_on(row)
        if row["stage"] == LEADS_STAGE and share is not None:
            decided = words.number(row["entered"] - row["still_open"])
            sentences.append(f"{words.percent(share)} of {decided} decided leads converted.")
    if won is not None:
        sentences.append(f"{words.number(won)} deals were won.")
    least = narrowest(rows)
    if least is not None:
        left = words.number(least["entered"] - least["still_open"])
        share_on = words.percent(went_on(least) or 0.0)
        sentences.append(f"Fewest deals go on from {least['stage']}: {share_on} of the {left} that left it.")
    return " ".join(sentences) or f"{words.number(rows[0]['entered'])} entered {rows[0]['stage']}."


def money_in_stages(stages: pa.Table, currency: str | None) -> Chart | None:
    """Expected revenue of the open deals by stage, moving and stuck, in one currency; None without any."""
    rows = [row for row in stages.to_pylist() if row["currency"] == currency and row["expected"]]
    if not rows:
        return None
    total = sum(row["expected"] for row in rows)
    stuck = sum(row["expected"] for row in rows if row["stuck"])
    stuck_deals = sum(row["deals"] for row in rows if row["stuck"])
    sentence = f"{words.money(total, currency)} is to be expected from the open deals."
    if stuck:
        sentence += (
            f" {words.money(stuck, currency)} of it ({words.percent(stuck / total)}) sits in "
            f"{words.many(stuck_deals, 'deal')} that stand longer in their stage than such deals usually do."
        )
    names = list(dict.fromkeys(row["stage"] for row in rows))
    sums = {name: sum(row["expected"] for row in rows if row["stage"] == name) for name in names}
    drawn = [
        {"stage": row["stage"], "what": "stuck" if row["stuck"] else "moving", "expected": row["expected"]}
        for row in rows
    ]
    labels = [
        {"stage": name, "expected": sums[name], "label": words.money(sums[name], currency)} for name in names
    ]

    def spec(width: int) -> Spec:
        colour = {
            "field": "what",
            "type": "nominal",
            "scale": {"domain": ["moving", "stuck"], "range": ["var(--blue)", "var(--amber)"]},
            "legend": {"title": None},
        }
        layers: list[Spec] = [
            {
                "data": values(drawn),
                "mark": {"type": "bar", "height": 16},
                "encoding": {"color": colour, "order": {"field": "what"}},
            },
            {"mark": {"type": "text", "align": "left", "dx": 6}, "encoding": {"text": {"field": "label"}}},
        ]
        return _bars(width, labels, "stage", "expected", layers)

    return Chart(
        "Where the money stands",
        sentence,
        draw(spec, f"Where the money stands. {sentence}"),
        ("Stage", "State", "Deals", "Amount", "Expected"),
        [
            (
                row["stage"],
                "stuck" if row["stuck"] else "moving",
                words.number(row["deals"]),
                words.money(row["amount"], currency),
                words.money(row["expected"], currency),
            )
            for row in rows
        ],
    )


def _bars(
    width: int, rows: Sequence[Mapping[str, Any]], name: str, value: str, layers: Sequence[Spec]
) -> Spec:
    """Horizontal bars in the rows' own order; the scale leaves room for each row's `label` behind its bar."""
    names = 110 if width == NARROW else 190
    free = width - min(names, _LETTER * max(len(row[name]) for row in rows)) - 30
    # A bar of length v and its label must fit: v / top * free + label <= free.
    top = max(row[value] / max(0.2, 1 - (_LETTER * len(row["label"]) + 12) / free) for row in rows) or 1
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
