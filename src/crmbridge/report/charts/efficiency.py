"""Efficiencies per rep, team, deal type, channel and month, each with its interval."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from crmbridge.report import words
from crmbridge.report.data import COVERAGES, TRENDS
from crmbridge.report.svg import NARROW, ROW, Chart, Spec, draw, values


def efficiency(groups: pa.Table, key: str, overall: float | None, grouping: str = "rep") -> Chart | None:
    """One efficiency per rep (or team, deal type, channel) with its interval, best first; None where it is
    known of nobody, or for groups that are not reps, of fewer than two. `overall` is the organisation's.
    """
    rows = [row for row in groups.to_pylist() if row[key] is not None]
    if len(rows) < (1 if grouping == "rep" else 2):
        return None
    rows.sort(key=lambda row: -row[key])
    kind, unit = words.EFFICIENCIES[key]
    one, of_all, by = words.GROUPINGS[grouping]
    name = kind + by
    above = [row for row in rows if overall is not None and row[f"{key}_low"] > overall]
    below = [row for row in rows if overall is not None and row[f"{key}_high"] < overall]
    sentence = f"{unit.capitalize()}."
    if overall is not None:
        sentence += f" {of_all}: {words.significant(overall, 3)}."
        if above:
            sentence += f" Clearly above it: {words.some([row['name'] for row in above])}."
        if below:
            sentence += f" Clearly below it: {words.some([row['name'] for row in reversed(below)])}."
        if not above and not below:
            sentence += f" {'Nobody' if grouping == 'rep' else 'None'} can be told apart from it."
    for trend in ("rising", "falling"):
        moved = [row["name"] for row in rows if row[TRENDS[key]] == trend]
        if moved:
            sentence += f" {trend.capitalize()} since the window before: {words.some(moved)}."
    top = max(row[f"{key}_high"] for row in rows) * 1.05
    names = Counter(row["name"] for row in rows)
    drawn = [
        {
            "rep": row["name"] if names[row["name"]] == 1 else f"{row['name']} ({row['id']})",
            "rate": row[key],
            "low": row[f"{key}_low"],
            "high": row[f"{key}_high"],
            "coverage": row[COVERAGES[key]],
            "trend": row[TRENDS[key]],
            "clear": row in above or row in below,
        }
        for row in rows
    ]

    def spec(width: int) -> Spec:
        x = {
            "type": "quantitative",
            "scale": {"domain": [0, top], "nice": False},
            "axis": {"title": None, "tickCount": 3, "format": "~g"},
        }
        colour = {
            "field": "clear",
            "type": "nominal",
            "legend": None,
            "scale": {"domain": [True, False], "range": ["var(--blue)", "var(--quiet)"]},
        }
        y = {
            "field": "rep",
            "type": "nominal",
            "sort": None,
            "title": None,
            "axis": {"ticks": False, "domain": False, "labelColor": "var(--ink)", "labelLimit": 110},
        }
        layers: list[Spec] = [
            {
                "mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.45},
                "encoding": {"x": {"field": "low", **x}, "x2": {"field": "high"}, "y": y, "color": colour},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                "encoding": {"x": {"field": "rate", **x}, "y": y, "color": colour},
            },
        ]
        if overall is not None:
            layers.append(
                {
                    "data": values([{"overall": overall}]),
                    "mark": {
                        "type": "rule",
                        "color": "var(--amber)",
                        "strokeDash": [4, 3],
                        "strokeWidth": 1.5,
                    },
                    "encoding": {"x": {"field": "overall", **x}},
                }
            )
        return {
            "height": {"step": ROW},
            "autosize": {"type": "fit-x", "contains": "padding"},
            "data": values(drawn),
            "layer": layers,
        }

    return Chart(
        name,
        sentence,
        draw(spec, f"{name}. {sentence}", wide=NARROW),
        (
            one,
            unit.capitalize(),
            f"90{words.NBSP}% interval",
            words.COVERAGES[key],
            "Since the window before",
        ),
        [
            (
                row["rep"],
                words.significant(row["rate"], 3),
                f"{words.significant(row['low'], 3)} to {words.significant(row['high'], 3)}",
                "" if row["coverage"] is None else words.percent(row["coverage"]),
                row["trend"] or "",
            )
            for row in drawn
        ],
    )


def by_month(months: pa.Table, key: str) -> Chart | None:
    """The organisation's efficiency month by month with its interval; None with fewer than three months."""
    rows = [row for row in months.to_pylist() if row[key] is not None]
    if len(rows) < 3:
        return None
    name, unit = words.EFFICIENCIES[key]
    first, last = rows[0], rows[-1]
    sentence = (
        f"{words.month(last['period'])}: {words.significant(last[key], 3)} {unit}; "
        f"{words.month(first['period'])}: {words.significant(first[key], 3)}."
    )
    if last[f"{key}_low"] > first[f"{key}_high"]:
        sentence += " It has gone up."
    elif last[f"{key}_high"] < first[f"{key}_low"]:
        sentence += " It has gone down."
    else:
        sentence += " The two intervals overlap: no change is shown."
    drawn = [
        {
            "month": f"{row['period']}-01",
            "rate": row[key],
            "low": row[f"{key}_low"],
            "high": row[f"{key}_high"],
        }
        for row in rows
    ]

    def spec(width: int) -> Spec:
        y = {
            "type": "quantitative",
            "scale": {"zero": True},
            "axis": {"title": None, "tickCount": 4, "domain": False, "ticks": False, "format": "~g"},
        }
        return {
            "height": 150,
            "data": values(drawn),
            "encoding": {
                "x": {
                    "field": "month",
                    "type": "temporal",
                    "timeUnit": "utcyearmonth",
                    "axis": {"title": None, "grid": False, "tickCount": 4, "format": "%b %y"},
                }
            },
            "layer": [
                {
                    "mark": {"type": "area", "color": "var(--blue)", "opacity": 0.2},
                    "encoding": {"y": {"field": "low", **y}, "y2": {"field": "high"}},
                },
                {
                    "mark": {"type": "line", "color": "var(--blue)", "strokeWidth": 2, "point": {"size": 25}},
                    "encoding": {"y": {"field": "rate", **y}},
                },
            ],
        }

    title = f"{name} by month"
    return Chart(
        title,
        sentence,
        draw(spec, f"{title}. {sentence}", wide=NARROW),
        ("Month", unit.capitalize(), f"90{words.NBSP}% interval"),
        [
            (
                row["period"],
                words.significant(row[key], 3),
                f"{words.significant(row[f'{key}_low'], 3)} to {words.significant(row[f'{key}_high'], 3)}",
            )
            for row in rows
        ],
    )
