"""How complete the records are, and what a repair would be worth."""

from __future__ import annotations

from typing import Any

from crmbridge.report.charts.process import bars
from crmbridge.report.data import Quality
from crmbridge.report.figures import Cell, Figure, joined, sentence
from crmbridge.report.svg import HALF, Chart, Spec, chart
from crmbridge.report.words import Words, number, percent


def completeness(words: Words, quality: Quality) -> Chart | None:
    """How far the expected fields of an object are filled; None where none is kept."""
    rows = [row for row in quality.fields.to_pylist() if row["kept"] and row["filled"] is not None]
    if not rows:
        return None
    name = quality.object

    def total(figure: str, text: str) -> Figure:
        table = f"quality_{name}_quality_summary"
        return Figure(text, quality.summary[figure], table, "value", (("figure", figure),))

    def field(row: dict[str, Any], column: str, text: str, part: str = "quality_fields") -> Cell:
        if row[column] is None:
            return ""
        return Figure(text, row[column], f"quality_{name}_{part}", column, (("field", row["field"]),))

    said = [
        sentence(
            words,
            "Quality {score} of 100 on average; {n} records have something to "
            "repair, {twins} are probably there twice.",
            score=total("data_quality", number(quality.summary["data_quality"])),
            n=total("with_issues", number(quality.summary["with_issues"])),
            twins=total("duplicate_records", number(quality.summary["duplicate_records"])),
        )
    ]
    worth = [row for row in quality.repair.to_pylist() if row["missing"] and row["low"] is not None]
    if worth:
        best = max(worth, key=lambda row: row["gain"] * row["missing"])
        said.append(
            sentence(
                words,
                "Worth filling first: {field}. {n} open records lack it; the "
                "score's log-loss could fall by at most {gain} for each ({low} to {high}).",
                field=words.name(best["field"]),
                n=field(best, "missing", number(best["missing"]), "repair"),
                gain=field(best, "gain", number(best["gain"], 3), "repair"),
                low=field(best, "low", number(best["low"], 3), "repair"),
                high=field(best, "high", number(best["high"], 3), "repair"),
            )
        )
    drawn = [
        {"field": words.name(row["field"]), "filled": row["filled"], "label": percent(row["filled"])}
        for row in rows
    ]
    gains = {row["field"]: row for row in quality.repair.to_pylist()}

    def spec(width: int) -> Spec:
        layers: list[Spec] = [
            {"mark": {"type": "bar", "height": 12}},
            {"mark": {"type": "text", "align": "left", "dx": 6}, "encoding": {"text": {"field": "label"}}},
        ]
        return bars(width, drawn, "field", "filled", layers)

    heads = ("Field", "Filled", "Not valid", "Open records without it", "Gain at most, nats a record")
    return chart(
        words.text("Filled fields of {objects}", objects=words.things(name)),
        joined(said),
        spec,
        [words.text(head) for head in heads],
        [
            (
                words.name(row["field"]),
                field(row, "filled", percent(row["filled"], 1)),
                field(row, "not_valid", number(row["not_valid"])),
                *(
                    (
                        field(gain, "missing", number(gain["missing"]), "repair"),
                        field(gain, "gain", number(gain["gain"], 3), "repair"),
                    )
                    if (gain := gains.get(row["field"]))
                    else ("", "")
                ),
            )
            for row in rows
        ],
        wide=HALF,
    )
