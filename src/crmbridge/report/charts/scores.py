"""How scores spread, and whether what they say comes true."""

from __future__ import annotations

from typing import Any, Final

from crmbridge.report import words
from crmbridge.report.cards import Card
from crmbridge.report.data import BIN, Scores
from crmbridge.report.svg import HALF, Chart, Spec, draw, values

_GRADES: Final = ("A", "B", "C", "D")


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
                    "legend": {"title": "Grade"},
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
            return {"title": title, "tickCount": 4, "format": "d", "labelExpr": "datum.label + ' %'", **more}

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
