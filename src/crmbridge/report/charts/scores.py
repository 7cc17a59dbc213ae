"""How scores spread, and whether what they say comes true."""

from __future__ import annotations

from typing import Any, Final

from crmbridge.report.cards import Card
from crmbridge.report.data import BIN, Scores
from crmbridge.report.figures import Figure
from crmbridge.report.svg import HALF, Chart, Spec, chart, values
from crmbridge.report.words import Words, number, percent

_GRADES: Final = ("A", "B", "C", "D")


def distribution(words: Words, scores: Scores) -> Chart | None:
    """How the scores of an object's open records spread, by grade; None where nothing is scored."""
    if not scores.scored:
        return None
    found = [
        words.text("{n} have grade {grade}", n=f"{records:,}", grade=grade)
        for grade, records in scores.grades.items()
        if records
    ]
    said = words.text(
        "Of {all}, {parts}.",
        all=words.many(scores.scored, f"scored {scores.object}"),
        parts=words.listed(found),
    )
    if scores.abstained:
        said += " " + words.text("Without a score: {n} more.", n=f"{scores.abstained:,}")
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
                    "title": words.text("Score"),
                    "scale": {"domain": [0, 100]},
                    "axis": {"values": [0, 20, 40, 60, 80, 100], "grid": False, "format": "d"},
                },
                "x2": {"field": "to"},
                "y": {
                    "field": "records",
                    "type": "quantitative",
                    "title": words.things(scores.object).capitalize(),
                    "axis": {"tickCount": 4, "domain": False, "ticks": False, "format": ",d"},
                },
                "color": {
                    "field": "grade",
                    "type": "nominal",
                    "legend": {"title": words.text("Grade")},
                    "scale": {
                        "domain": list(_GRADES),
                        "range": [f"var(--grade-{grade.lower()})" for grade in _GRADES],
                    },
                },
            },
        }

    def figure(row: dict[str, Any]) -> Figure:
        place = (("object", scores.object), ("low", row["from"]), ("grade", row["grade"]))
        return Figure(number(row["records"]), row["records"], "report", "scores", place)

    return chart(
        words.text("Scores of {objects}", objects=words.things(scores.object)),
        said,
        spec,
        (words.text("Score"), words.text("Grade"), words.things(scores.object).capitalize()),
        [
            (words.text("{low} to {high}", low=row["from"], high=row["to"]), row["grade"], figure(row))
            for row in drawn
        ],
        wide=HALF,
    )


def calibration(words: Words, card: Card) -> Chart | None:
    """Whether what was said came true, on outcomes the model had not seen; None before there are any."""
    bins = card.calibration
    if not bins:
        return None
    hit = sum(group.low <= group.predicted <= group.high for group in bins)
    objects = words.things(card.object)
    said = words.text(
        "What was said came true, within 90 % intervals, in {hit} of {n} groups "
        "of {objects} the model had not seen.",
        hit=hit,
        n=len(bins),
        objects=objects,
    )
    total = sum(group.records for group in bins)
    off = sum((group.predicted - group.observed) * group.records for group in bins) / total * 100
    if abs(off) >= 1:
        high = "On average they were put {n} points too high."
        low = "On average they were put {n} points too low."
        said += " " + words.text(high if off > 0 else low, n=f"{abs(off):.0f}")
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
            "axis": axis(words.text("Came true"), domain=False, ticks=False),
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
                            "axis": axis(words.text("Chance the model gave"), grid=False),
                        },
                        "y": {"field": "true", **y},
                    },
                },
            ],
        }

    def figure(at: int, value: float, column: str, text: str) -> Figure:
        place = (("object", card.object), ("bin", at))
        return Figure(text, value, "ledger_models", column, place)

    return chart(
        words.text("Calibration for {objects}", objects=objects),
        said,
        spec,
        (
            words.text("Chance given"),
            words.text("Came true"),
            words.text("90 % interval"),
            words.text("Records"),
        ),
        [
            (
                figure(at, b.predicted, "calibration.predicted", percent(b.predicted, 1)),
                figure(at, b.observed, "calibration.observed", percent(b.observed, 1)),
                words.text("{low} to {high}", low=percent(b.low, 1), high=percent(b.high, 1)),
                figure(at, b.records, "calibration.n", number(b.records)),
            )
            for at, b in enumerate(bins)
        ],
        wide=HALF,
    )
