"""The charts of the report. Each says in a sentence, made from its numbers, what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from crmbridge.report import words
from crmbridge.report.cards import Card
from crmbridge.report.data import BIN, LEADS_STAGE, Scores
from crmbridge.report.svg import HALF, NARROW, Chart, Spec, draw, values

_ROW: Final = 26
"""Height of a bar with the space around it, in pixels."""
_LETTER: Final = 6.7
"""Width of a letter of the charts' text, a little more than the mean."""
_LEGEND: Final[Spec] = {
    "orient": "top",
    "symbolType": "square",
    "symbolStrokeWidth": 0,
    "labelColor": "var(--muted)",
    "labelFontSize": 12,
    "titleColor": "var(--muted)",
    "titleFontSize": 12,
    "titleFontWeight": "normal",
    "titleOrient": "left",
}
_FATES: Final = (
    ("went on", "moved_on"),
    ("still there", "still_open"),
    ("went back", "moved_back"),
    ("lost", "lost"),
)
_GRADES: Final = ("A", "B", "C", "D")


def _bars(
    width: int, rows: Sequence[Mapping[str, Any]], name: str, value: str, layers: Sequence[Spec]
) -> Spec:
    """Horizontal bars in the rows' own order; the scale leaves room for each row's `label` behind its bar."""
    names = 110 if width == NARROW else 190
    free = width - min(names, _LETTER * max(len(row[name]) for row in rows)) - 30
    # A bar of length v and its label must fit: v / top * free + label <= free.
    top = max(row[value] / max(0.2, 1 - (_LETTER * len(row["label"]) + 12) / free) for row in rows) or 1
    return {
        "height": {"step": _ROW},
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

    def spec(width: int) -> Spec:
        colour = {
            "field": "fate",
            "type": "nominal",
            "scale": {
                "domain": [fate for fate, _ in _FATES],
                "range": ["var(--blue)", "var(--open)", "var(--quiet)", "var(--amber)"],
            },
            "legend": {"title": None, **_LEGEND},
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


def distribution(scores: Scores) -> Chart | None:
    """How the scores of an object's open records spread, by grade; None where nothing is scored."""
    if not scores.scored:
        return None
    found = [f"{number:,} have grade {grade}" for grade, number in scores.grades.items() if number]
    sentence = f"Of {words.many(scores.scored, f'scored {scores.object}')}, {words.listed(found)}."
    if scores.abstained:
        sentence += f" {scores.abstained:,} more {'has' if scores.abstained == 1 else 'have'} no score."
    drawn = [
        {"from": row["low"], "to": row["low"] + BIN, "grade": row["grade"], "records": row["records"]}
        for row in scores.bins.to_pylist()
    ]

    def spec(width: int) -> Spec:
        return {
            "height": 220,
            "data": values(drawn),
            "mark": {"type": "bar", "stroke": "var(--card)", "strokeWidth": 1},
            "encoding": {
                "x": {
                    "field": "from",
                    "type": "quantitative",
                    "bin": {"binned": True, "step": BIN},
                    "title": "Score",
                    "scale": {"domain": [0, 100]},
                    "axis": {"values": [0, 20, 40, 60, 80, 100], "grid": False, "format": "d"},
                },
                "x2": {"field": "to"},
                "y": {
                    "field": "records",
                    "type": "quantitative",
                    "title": words.OBJECTS[scores.object][1].capitalize(),
                    "axis": {"tickCount": 4, "domain": False, "ticks": False, "format": ",d"},
                },
                "color": {
                    "field": "grade",
                    "type": "nominal",
                    "legend": {"title": "Grade", **_LEGEND},
                    "scale": {
                        "domain": list(_GRADES),
                        "range": [f"var(--grade-{grade.lower()})" for grade in _GRADES],
                    },
                },
            },
        }

    title = f"Scores of {words.OBJECTS[scores.object][1]}"
    return Chart(
        title,
        sentence,
        draw(spec, f"{title}. {sentence}", wide=HALF),
        ("Score", "Grade", words.OBJECTS[scores.object][1].capitalize()),
        [(f"{row['from']} to {row['to']}", row["grade"], words.number(row["records"])) for row in drawn],
    )


def calibration(card: Card) -> Chart | None:
    """Whether what was said came true, on outcomes the model had not seen; None before there are any."""
    bins = card.calibration
    if not bins:
        return None
    hit = sum(group.low <= group.predicted <= group.high for group in bins)
    sentence = (
        f"What was said came true, within 90{words.NBSP}% intervals, in {hit} of {len(bins)} groups "
        f"of {words.OBJECTS[card.object][1]} the model had not seen."
    )
    total = sum(group.records for group in bins)
    off = sum((group.predicted - group.observed) * group.records for group in bins) / total * 100
    if abs(off) >= 1:
        sentence += f" On average they were put {abs(off):.0f} points too {'high' if off > 0 else 'low'}."
    drawn = [
        {
            "said": b.predicted * 100,
            "true": b.observed * 100,
            "low": b.low * 100,
            "high": b.high * 100,
            "n": b.records,
        }
        for b in bins
    ]
    top = max(max(row["high"], row["said"]) for row in drawn)
    top = min(100.0, 10 * (top // 10 + 1))

    def spec(width: int) -> Spec:
        def axis(title: str, **more: Any) -> Spec:
            return {"title": title, "tickCount": 5, "format": "d", "labelExpr": "datum.label + ' %'", **more}

        y = {
            "type": "quantitative",
            "scale": {"domain": [0, top], "nice": False},
            "axis": axis("Came true", domain=False, ticks=False),
        }
        return {
            "height": 220,
            "layer": [
                {
                    "data": values([{"at": 0}, {"at": top}]),
                    "mark": {"type": "line", "color": "var(--muted)", "strokeDash": [4, 4], "strokeWidth": 1},
                    "encoding": {"x": {"field": "at", "type": "quantitative"}, "y": {"field": "at", **y}},
                },
                {
                    "data": values(drawn),
                    "mark": {"type": "rule", "color": "var(--blue)", "strokeWidth": 2, "opacity": 0.5},
                    "encoding": {
                        "x": {"field": "said", "type": "quantitative"},
                        "y": {"field": "low", **y},
                        "y2": {"field": "high"},
                    },
                },
                {
                    "data": values(drawn),
                    "mark": {
                        "type": "point",
                        "filled": True,
                        "color": "var(--blue)",
                        "size": 60,
                        "opacity": 1,
                    },
                    "encoding": {
                        "x": {
                            "field": "said",
                            "type": "quantitative",
                            "scale": {"domain": [0, top], "nice": False},
                            "axis": axis("Chance the model gave", grid=False),
                        },
                        "y": {"field": "true", **y},
                    },
                },
            ],
        }

    title = f"Calibration for {words.OBJECTS[card.object][1]}"
    return Chart(
        title,
        sentence,
        draw(spec, f"{title}. {sentence}", wide=HALF),
        ("Chance given", "Came true", f"90{words.NBSP}% interval", "Records"),
        [
            (
                words.percent(b.predicted, 1),
                words.percent(b.observed, 1),
                f"{words.percent(b.low, 1)} to {words.percent(b.high, 1)}",
                words.number(b.records),
            )
            for b in bins
        ],
    )


def efficiency(reps: pa.Table, key: str, team: float | None) -> Chart | None:
    """One efficiency per rep with its interval, best first; None where it is known of nobody."""
    rows = [row for row in reps.to_pylist() if row[key] is not None]
    if not rows:
        return None
    rows.sort(key=lambda row: -row[key])
    name, unit = words.EFFICIENCIES[key]
    above = [row for row in rows if team is not None and row[f"{key}_low"] > team]
    below = [row for row in rows if team is not None and row[f"{key}_high"] < team]
    sentence = f"{unit.capitalize()}."
    if team is not None:
        sentence += f" The team: {words.significant(team, 3)}."
        if above:
            sentence += f" Clearly above it: {words.some([row['name'] for row in above])}."
        if below:
            sentence += f" Clearly below it: {words.some([row['name'] for row in reversed(below)])}."
        if not above and not below:
            sentence += " Nobody can be told apart from it."
    top = max(row[f"{key}_high"] for row in rows) * 1.05
    drawn = [
        {"rep": row["name"], "rate": row[key], "low": row[f"{key}_low"], "high": row[f"{key}_high"]}
        for row in rows
    ]
    clear = {row["name"] for row in above + below}
    for row in drawn:
        row["clear"] = row["rep"] in clear

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
        if team is not None:
            layers.append(
                {
                    "data": values([{"team": team}]),
                    "mark": {
                        "type": "rule",
                        "color": "var(--amber)",
                        "strokeDash": [4, 3],
                        "strokeWidth": 1.5,
                    },
                    "encoding": {"x": {"field": "team", **x}},
                }
            )
        return {
            "height": {"step": _ROW},
            "autosize": {"type": "fit-x", "contains": "padding"},
            "data": values(drawn),
            "layer": layers,
        }

    return Chart(
        name,
        sentence,
        draw(spec, f"{name}. {sentence}", wide=NARROW),
        ("Rep", unit.capitalize(), f"90{words.NBSP}% interval"),
        [
            (
                row["rep"],
                words.significant(row["rate"], 3),
                f"{words.significant(row['low'], 3)} to {words.significant(row['high'], 3)}",
            )
            for row in drawn
        ],
    )


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
            "legend": {"title": None, **_LEGEND},
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
