"""Revenue to come, and how well such forecasts did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from crmbridge.report.figures import Figure, joined, sentence
from crmbridge.report.svg import HALF, Chart, Spec, chart, values
from crmbridge.report.words import Words, number, percent, significant

Row = Mapping[str, Any]
SHOWN: Final = 6
"""Months ahead that are drawn; the table has all."""
_X: Final[Spec] = {
    "field": "month",
    "type": "ordinal",
    "axis": {"title": None, "grid": False, "labelAngle": 0, "labelOverlap": True},
}


def forecast(words: Words, table: pa.Table) -> Chart | None:
    """The revenue of the coming months with its range; None where there is no forecast."""
    rows = table.to_pylist()
    if not rows:
        return None
    currency = rows[0]["currency"]

    def figure(row: Row, column: str) -> Figure:
        place = (("month", row["month"]),)
        return Figure(
            words.money(row[column], currency), row[column], "forecast_deal_forecast", column, place
        )

    said = [
        sentence(
            words,
            "{month}: {p50} is as likely to be beaten as missed; in 8 of 10 such "
            "months between {p10} and {p90}.",
            month=words.month(row["month"]),
            **{column: figure(row, column) for column in ("p50", "p10", "p90")},
        )
        for row in rows[:2]
    ]
    if rows[0]["won_so_far"]:
        said.insert(1, sentence(words, "Of it {won} is won already.", won=figure(rows[0], "won_so_far")))
    return chart(
        words.text("The months to come"),
        joined(said),
        lambda width: {
            "height": 220,
            "data": values(rows[:SHOWN]),
            "encoding": {"x": _X},
            "layer": _range(words),
        },
        [words.text(head) for head in ("Month", "P10", "P50", "P90", "From open deals", "From new deals")],
        [
            (
                row["month"],
                *(figure(row, name) for name in ("p10", "p50", "p90", "from_open_deals", "from_new_deals")),
            )
            for row in rows
        ],
        wide=HALF,
    )


def _range(words: Words) -> list[Spec]:
    y = {
        "type": "quantitative",
        "scale": {"zero": True},
        "axis": {"title": None, "tickCount": 4, "domain": False, "ticks": False, "format": "~s"},
    }
    return [
        {
            "mark": {"type": "bar", "color": "var(--blue)", "opacity": 0.3, "width": {"band": 0.5}},
            "encoding": {"y": {"field": "p10", **y}, "y2": {"field": "p90"}},
        },
        {
            "mark": {
                "type": "tick",
                "color": "var(--blue)",
                "thickness": 3,
                "bandSize": 24,
                "width": {"band": 0.5},
            },
            "encoding": {"y": {"field": "p50", **y}},
        },
    ]


def accuracy(words: Words, table: pa.Table, currency: str | None) -> Chart | None:
    """The forecasts that would have been made a month ahead, beside what came; None without any."""
    rows = [row for row in table.to_pylist() if row["months"] == 1]
    if not rows:
        return None
    within = sum(row["p10"] <= row["actual"] <= row["p90"] for row in rows)
    said = [
        sentence(
            words,
            "In {hit} of the last {n} months what came lay between P10 and P90; 8 of 10 should.",
            hit=within,
            n=len(rows),
        )
    ]
    errors = _errors(rows)
    if errors is not None:
        ours, naive = errors
        better = 'The middle was off by {ours} on average; saying "as last month" by {naive}.'
        said.append(sentence(words, better, ours=percent(ours), naive=percent(naive)))

    def figure(row: Row, column: str) -> Figure:
        place = (("month", row["month"]), ("months", 1))
        text = words.money(row[column], currency)
        return Figure(text, row[column], "forecast_deal_forecast_backtest", column, place)

    drawn = [{**row, "hit": row["p10"] <= row["actual"] <= row["p90"]} for row in rows]

    def spec(width: int) -> Spec:
        colour = {
            "field": "hit",
            "type": "nominal",
            "legend": None,
            "scale": {"domain": [True, False], "range": ["var(--ink)", "var(--amber)"]},
        }
        shape = {
            "field": "hit",
            "type": "nominal",
            "legend": None,
            "scale": {"domain": [True, False], "range": ["circle", "diamond"]},
        }
        return {
            "height": 220,
            "data": values(drawn),
            "encoding": {"x": _X},
            "layer": [
                *_range(words),
                {
                    "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                    "encoding": {
                        "y": {"field": "actual", "type": "quantitative"},
                        "color": colour,
                        "shape": shape,
                    },
                },
            ],
        }

    return chart(
        words.text("Past forecasts and what came"),
        joined(said),
        spec,
        [words.text(head) for head in ("Month", "P10", "P50", "P90", "What came", "The month before")],
        [
            (row["month"], *(figure(row, name) for name in ("p10", "p50", "p90", "actual", "naive")))
            for row in rows
        ],
        wide=HALF,
    )


def _errors(rows: list[dict[str, Any]]) -> tuple[float, float] | None:
    """Mean absolute error of the forecast's middle and of the month before, as shares of what came."""
    came = sum(abs(row["actual"]) for row in rows)
    known = [row for row in rows if row["naive"] is not None]
    if not came or len(known) != len(rows):
        return None
    ours = sum(abs(row["p50"] - row["actual"]) for row in rows) / came
    naive = sum(abs(row["naive"] - row["actual"]) for row in rows) / came
    return ours, naive


def velocity(words: Words, table: pa.Table) -> Chart | None:
    """What the pipeline brings a day, now and at the starts of quarters; None without two of them."""
    rows = [row for row in table.to_pylist() if row["per_day"] is not None]
    if len(rows) < 2:
        return None
    currency = rows[0]["currency"]

    def figure(row: Row, column: str, text: str) -> Figure:
        return Figure(text, row[column], "forecast_deal_velocity", column, (("until", row["until"]),))

    def money(row: Row, column: str) -> Figure:
        return figure(row, column, words.money(row[column], currency))

    last = rows[-1]
    said = sentence(
        words,
        "The pipeline brings {now} a day: {n} open deals × {rate} won × {amount} "
        "each / {days} days to win. On {then} it was {before}.",
        now=money(last, "per_day"),
        n=figure(last, "open_deals", number(last["open_deals"])),
        rate=figure(last, "win_rate", percent(last["win_rate"])),
        amount=money(last, "mean_amount"),
        days=figure(last, "days_to_win", significant(last["days_to_win"], 3)),
        then=rows[0]["until"],
        before=money(rows[0], "per_day"),
    )

    def spec(width: int) -> Spec:
        return {
            "height": 150,
            "data": values(rows),
            "mark": {"type": "bar", "color": "var(--blue)"},
            "encoding": {
                "x": {**_X, "field": "until"},
                "y": {
                    "field": "per_day",
                    "type": "quantitative",
                    "axis": {"title": None, "tickCount": 3, "domain": False, "ticks": False, "format": "~s"},
                },
            },
        }

    heads = ("Until", "Open deals", "Win rate", "Mean amount", "Days to win", "A day")
    return chart(
        words.text("Sales velocity"),
        said,
        spec,
        [words.text(head) for head in heads],
        [
            (
                row["until"],
                figure(row, "open_deals", number(row["open_deals"])),
                figure(row, "win_rate", percent(row["win_rate"])),
                money(row, "mean_amount"),
                figure(row, "days_to_win", significant(row["days_to_win"], 3)),
                money(row, "per_day"),
            )
            for row in rows
        ],
    )
