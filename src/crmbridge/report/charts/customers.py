"""Groups of customers, and who moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from crmbridge.report.charts.process import bars
from crmbridge.report.figures import Cell, Figure, joined, sentence
from crmbridge.report.svg import Chart, Spec, chart, values
from crmbridge.report.words import Words, number, percent, significant


def segments(words: Words, table: pa.Table, movement: pa.Table, currency: str | None) -> Chart | None:
    """The groups by their share of the customers and of what was spent; None where there are none."""
    rows = [row for row in table.to_pylist() if row["segment"]]
    if not rows:
        return None

    def figure(row: Mapping[str, Any], column: str, text: str) -> Figure:
        place = (("segment", row["segment"]),)
        return Figure(text, row[column], "segments_account_segments", column, place)

    def optional(row: Mapping[str, Any], column: str) -> Cell:
        return "" if row[column] is None else figure(row, column, significant(row[column], 3))

    said = []
    spending = [row for row in rows if row["share_of_spent"] is not None]
    if spending:
        top = max(spending, key=lambda row: row["share_of_spent"])
        said.append(
            sentence(
                words,
                "{segment}: {share} of the customers, {money} of what was spent.",
                segment=top["segment"],
                share=figure(top, "share", percent(top["share"])),
                money=figure(top, "share_of_spent", percent(top["share_of_spent"])),
            )
        )
    moves = [row for row in movement.to_pylist() if row["from_segment"] != row["to_segment"]]
    if moves:
        most = max(moves, key=lambda row: row["customers"])
        place = (("from_segment", most["from_segment"]), ("to_segment", most["to_segment"]))
        moved = Figure(
            words.many(most["customers"], "customer"),
            most["customers"],
            "segments_account_movement",
            "customers",
            place,
        )
        said.append(
            sentence(
                words,
                "The largest move of the last {days} days: {n} from {start} to {end}.",
                days=most["days"],
                n=moved,
                start=most["from_segment"],
                end=most["to_segment"],
            )
        )
    kinds = {"share": words.text("of the customers"), "share_of_spent": words.text("of what was spent")}
    drawn = [
        {"segment": row["segment"], "what": name, "share": row[key]}
        for row in rows
        for key, name in kinds.items()
        if row[key] is not None
    ]
    labels = [
        {
            "segment": row["segment"],
            "top": max(row["share"], row["share_of_spent"] or 0.0),
            "label": number(row["customers"]),
        }
        for row in rows
    ]

    def spec(width: int) -> Spec:
        layers: list[Spec] = [
            {
                "data": values(drawn),
                "mark": {"type": "bar", "height": 9},
                "encoding": {
                    "x": {"field": "share", "type": "quantitative"},
                    "yOffset": {"field": "what", "sort": list(kinds.values())},
                    "color": {
                        "field": "what",
                        "type": "nominal",
                        "scale": {"domain": list(kinds.values()), "range": ["var(--open)", "var(--blue)"]},
                        "legend": {"title": None},
                    },
                },
            },
            {"mark": {"type": "text", "align": "left", "dx": 6}, "encoding": {"text": {"field": "label"}}},
        ]
        return bars(width, labels, "segment", "top", layers)

    heads = (
        "Group",
        "Customers",
        "Share",
        "Spent",
        "Of what was spent",
        "Median days since the last order",
        "Median orders",
    )
    return chart(
        words.text("Groups of customers"),
        joined(said),
        spec,
        [words.text(head) for head in heads],
        [
            (
                row["segment"],
                figure(row, "customers", number(row["customers"])),
                figure(row, "share", percent(row["share"], 1)),
                "" if row["spent"] is None else figure(row, "spent", words.money(row["spent"], currency)),
                ""
                if row["share_of_spent"] is None
                else figure(row, "share_of_spent", percent(row["share_of_spent"], 1)),
                optional(row, "median_days_since_order"),
                optional(row, "median_orders"),
            )
            for row in rows
        ],
    )
