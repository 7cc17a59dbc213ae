"""Where deals are won, and what moved since the quarter before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from crmbridge.report.figures import Cell, Figure, joined, sentence
from crmbridge.report.svg import HALF, ROW, Chart, Spec, chart, values
from crmbridge.report.words import Words, number, percent, significant

Row = Mapping[str, Any]
SHOWN: Final = 12
"""Groups that are drawn."""


def quarters(words: Words, table: pa.Table, moved: pa.Table, currency: str | None) -> Chart | None:
    """The win rate quarter by quarter, and whether a change is one in selling; None with fewer than two."""
    rows = [row for row in table.to_pylist() if row["win_rate"] is not None]
    if len(rows) < 2:
        return None

    def figure(row: Row, column: str, text: str) -> Figure:
        return Figure(text, row[column], "market_deal_quarters", column, (("quarter", row["quarter"]),))

    def optional(row: Row, column: str, money: bool) -> Cell:
        if row[column] is None:
            return ""
        text = words.money(row[column], currency) if money else significant(row[column], 3)
        return figure(row, column, text)

    said = _moved(words, moved)

    def spec(width: int) -> Spec:
        y = {
            "type": "quantitative",
            "scale": {"zero": True},
            "axis": {"title": None, "tickCount": 4, "domain": False, "ticks": False, "format": ".0%"},
        }
        return {
            "height": 220,
            "data": values(rows),
            "encoding": {
                "x": {
                    "field": "quarter",
                    "type": "ordinal",
                    "axis": {"title": None, "grid": False, "labelAngle": 0, "labelOverlap": True},
                }
            },
            "layer": [
                {
                    "mark": {"type": "rule", "strokeWidth": 3, "color": "var(--blue)", "opacity": 0.45},
                    "encoding": {"y": {"field": "win_rate_low", **y}, "y2": {"field": "win_rate_high"}},
                },
                {
                    "mark": {"type": "line", "color": "var(--blue)", "strokeWidth": 2, "point": {"size": 45}},
                    "encoding": {"y": {"field": "win_rate", **y}},
                },
            ],
        }

    heads = (
        "Quarter",
        "Closed",
        "Won",
        "Win rate",
        "90 % interval",
        "Won value",
        "Mean value",
        "Median days",
    )
    return chart(
        words.text("Win rate by quarter"),
        joined(said) if said else words.text("No two whole quarters can be compared yet."),
        spec,
        [words.text(head) for head in heads],
        [
            (
                row["quarter"],
                figure(row, "closed", number(row["closed"])),
                figure(row, "won", number(row["won"])),
                figure(row, "win_rate", percent(row["win_rate"], 1)),
                sentence(
                    words,
                    "{low} to {high}",
                    low=figure(row, "win_rate_low", percent(row["win_rate_low"], 1)),
                    high=figure(row, "win_rate_high", percent(row["win_rate_high"], 1)),
                ),
                optional(row, "won_value", True),
                optional(row, "mean_value", True),
                optional(row, "median_days", False),
            )
            for row in rows
        ],
        wide=HALF,
    )


def _moved(words: Words, moved: pa.Table) -> list[Any]:
    """What moved the win rate: the dimension by which most of it is mix, in a sentence."""
    rows = [row for row in moved.to_pylist() if row["measure"] == "win_rate" and row["change"] is not None]
    if not rows:
        return []
    most = max(rows, key=lambda row: abs(row["mix"] or 0.0))

    def figure(column: str, points: bool = True) -> Figure:
        place = (("dimension", most["dimension"]), ("measure", "win_rate"))
        value = most[column]
        text = f"{number(value * 100, 1)}" if points else percent(value, 1)
        if points and value > 0 and text != "0.0":
            text = f"+{text}"
        return Figure(text, value, "market_deal_moved", column, place)

    return [
        sentence(
            words,
            "From {before_quarter} to {quarter} the win rate went from {before} to {after}.",
            before_quarter=most["before_quarter"],
            quarter=most["quarter"],
            before=figure("before", False),
            after=figure("after", False),
        ),
        sentence(
            words,
            "Of the {change} points, {mix} come from other deals than before (by "
            "{dimension}), {within} from the same deals going otherwise.",
            change=figure("change"),
            mix=figure("mix"),
            within=figure("within"),
            dimension=words.name(most["dimension"]),
        ),
    ]


def standing_out(words: Words, table: pa.Table) -> Chart | None:
    """The groups whose win rate differs most from that of all others; None where nothing was compared."""
    rows = [row for row in table.to_pylist() if row["measure"] == "win_rate" and row["value"] is not None]
    if not rows:
        return None
    every = [row for row in table.to_pylist() if row["value"] is not None]
    above = [row for row in every if row["stands_out"]]
    rows.sort(key=lambda row: (row["q_value"] if row["q_value"] is not None else 1.0, row["group"]))
    rows = sorted(rows[:SHOWN], key=lambda row: -row["value"])

    def figure(row: Row, column: str, text: str) -> Figure:
        place = (("dimension", row["dimension"]), ("group", row["group"]), ("measure", row["measure"]))
        return Figure(text, row[column], "market_deal_market", column, place)

    def optional(row: Row, column: str) -> Cell:
        return "" if row[column] is None else figure(row, column, percent(row[column], 1))

    if above:
        named = [
            words.text(
                "{group} ({dimension}, {measure})",
                group=row["group"],
                dimension=words.name(row["dimension"]),
                measure=words.name(row["measure"]),
            )
            for row in above
        ]
        said = words.text(
            "Of {n} comparisons {k} stand out after the correction for looking at many: {names}.",
            n=number(len(every)),
            k=number(len(above)),
            names=words.some(named),
        )
    else:
        said = words.text(
            "Of {n} comparisons none stands out after the correction for looking "
            "at many: no part of the market is shown to be better.",
            n=number(len(every)),
        )
    drawn = [
        {
            "group": f"{row['group']} ({words.name(row['dimension'])})",
            "value": row["value"],
            "low": row["low"],
            "high": row["high"],
            "clear": bool(row["stands_out"]),
        }
        for row in rows
    ]

    def spec(width: int) -> Spec:
        x = {
            "type": "quantitative",
            "axis": {"title": None, "tickCount": 3, "format": ".0%"},
            "scale": {"zero": True},
        }
        y = {
            "field": "group",
            "type": "nominal",
            "sort": None,
            "title": None,
            "axis": {"ticks": False, "domain": False, "labelColor": "var(--ink)", "labelLimit": 150},
        }
        colour = {
            "field": "clear",
            "type": "nominal",
            "legend": None,
            "scale": {"domain": [True, False], "range": ["var(--blue)", "var(--quiet)"]},
        }
        return {
            "height": {"step": ROW - 4},
            "autosize": {"type": "fit-x", "contains": "padding"},
            "data": values(drawn),
            "layer": [
                {
                    "mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.45},
                    "encoding": {
                        "x": {"field": "low", **x},
                        "x2": {"field": "high"},
                        "y": y,
                        "color": colour,
                    },
                },
                {
                    "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                    "encoding": {"x": {"field": "value", **x}, "y": y, "color": colour},
                },
            ],
        }

    heads = ("Group", "By", "Closed", "Won", "Win rate", "90 % interval", "All others", "Stands out")
    return chart(
        words.text("Win rate by part of the market"),
        said,
        spec,
        [words.text(head) for head in heads],
        [
            (
                row["group"],
                words.name(row["dimension"]),
                figure(row, "closed", number(row["closed"])),
                figure(row, "won", number(row["won"])),
                optional(row, "value"),
                ""
                if row["low"] is None
                else sentence(words, "{low} to {high}", low=optional(row, "low"), high=optional(row, "high")),
                optional(row, "others"),
                words.name(row["stands_out"]),
            )
            for row in rows
        ],
        wide=HALF,
    )
