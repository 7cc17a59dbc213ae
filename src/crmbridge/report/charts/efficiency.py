"""Efficiencies per rep, team, deal type, channel and month, each with its interval."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from crmbridge.report.data import COVERAGES, TRENDS
from crmbridge.report.figures import Figure, sentence
from crmbridge.report.svg import NARROW, ROW, Chart, Spec, chart, values
from crmbridge.report.words import Words, percent, significant


def efficiency(
    words: Words, groups: pa.Table, key: str, overall: float | None, grouping: str = "rep"
) -> Chart | None:
    """One efficiency per rep (or team, deal type, channel) with its interval, best first; None where it is
    known of nobody, or for groups that are not reps, of fewer than two. `overall` is the organisation's.
    """
    rows = [row for row in groups.to_pylist() if row[key] is not None]
    if len(rows) < (1 if grouping == "rep" else 2):
        return None
    rows.sort(key=lambda row: -row[key])
    kind, unit = words.efficiency(key)
    one, of_all, by = words.grouping(grouping)
    above = [row for row in rows if overall is not None and row[f"{key}_low"] > overall]
    below = [row for row in rows if overall is not None and row[f"{key}_high"] < overall]
    said = [f"{_capital(unit)}."]
    if overall is not None:
        said.append(words.text("{who}: {rate}.", who=of_all, rate=significant(overall, 3)))
        if above:
            said.append(
                words.text("Clearly above it: {names}.", names=words.some([row["name"] for row in above]))
            )
        if below:
            names = words.some([row["name"] for row in reversed(below)])
            said.append(words.text("Clearly below it: {names}.", names=names))
        if not above and not below:
            nobody = "Nobody can be told apart from it." if grouping == "rep" else None
            said.append(words.text(nobody or "None can be told apart from it."))
    for trend, text in (
        ("rising", "Rising since the window before: {names}."),
        ("falling", "Falling since the window before: {names}."),
    ):
        moved = [row["name"] for row in rows if row[TRENDS[key]] == trend]
        if moved:
            said.append(words.text(text, names=words.some(moved)))
    top = max(row[f"{key}_high"] for row in rows) * 1.05
    names_met = Counter(row["name"] for row in rows)
    drawn = [
        {
            "rep": row["name"] if names_met[row["name"]] == 1 else f"{row['name']} ({row['id']})",
            "rate": row[key],
            "low": row[f"{key}_low"],
            "high": row[f"{key}_high"],
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

    table = "efficiency_rep" if grouping == "rep" else f"efficiency_rep_efficiency_by_{grouping}"

    def figure(row: dict, column: str, text: str) -> Figure:  # type: ignore[type-arg]
        place = (("id", row["id"]),) if grouping == "rep" else (("name", row["name"]),)
        return Figure(text, row[column], table, column, place)

    return chart(
        kind + by,
        " ".join(said),
        spec,
        (
            one,
            _capital(unit),
            words.text("90 % interval"),
            words.coverage(key),
            words.text("Since the window before"),
        ),
        [
            (
                shown["rep"],
                figure(row, key, significant(row[key], 3)),
                sentence(
                    words,
                    "{low} to {high}",
                    low=figure(row, f"{key}_low", significant(row[f"{key}_low"], 3)),
                    high=figure(row, f"{key}_high", significant(row[f"{key}_high"], 3)),
                ),
                ""
                if row[COVERAGES[key]] is None
                else figure(row, COVERAGES[key], percent(row[COVERAGES[key]])),
                words.name(row[TRENDS[key]]),
            )
            for shown, row in zip(drawn, rows, strict=True)
        ],
        wide=NARROW,
    )


def by_month(words: Words, months: pa.Table, key: str) -> Chart | None:
    """The organisation's efficiency month by month with its interval; None with fewer than three months."""
    rows = [row for row in months.to_pylist() if row[key] is not None]
    if len(rows) < 3:
        return None
    name, unit = words.efficiency(key)
    first, last = rows[0], rows[-1]
    if last[f"{key}_low"] > first[f"{key}_high"]:
        verdict = "It has gone up."
    elif last[f"{key}_high"] < first[f"{key}_low"]:
        verdict = "It has gone down."
    else:
        verdict = "The two intervals overlap: no change is shown."
    said = words.text(
        "{last_month}: {last} {unit}; {first_month}: {first}.",
        last_month=words.month(last["period"]),
        last=significant(last[key], 3),
        unit=unit,
        first_month=words.month(first["period"]),
        first=significant(first[key], 3),
    )
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
                    "axis": {"title": None, "grid": False, "tickCount": 4, "format": "%Y-%m"},
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

    def figure(row: dict, column: str) -> Figure:  # type: ignore[type-arg]
        place = (("period", row["period"]),)
        return Figure(
            significant(row[column], 3), row[column], "efficiency_rep_efficiency_by_period", column, place
        )

    return chart(
        words.text("{name} by month", name=name),
        f"{said} {words.text(verdict)}",
        spec,
        (words.text("Month"), _capital(unit), words.text("90 % interval")),
        [
            (
                row["period"],
                figure(row, key),
                sentence(
                    words, "{low} to {high}", low=figure(row, f"{key}_low"), high=figure(row, f"{key}_high")
                ),
            )
            for row in rows
        ],
        wide=NARROW,
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
