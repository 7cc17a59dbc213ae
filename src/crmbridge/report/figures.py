"""Numbers that can be traced: each carries its exact value and the place where it stands in the export."""

from __future__ import annotations

import json
from dataclasses import dataclass

from markupsafe import Markup

from crmbridge.report.words import Words


@dataclass(frozen=True)
class Figure:
    """A number as it is shown (`text`), its `value`, and where the export has it: table, column, row.

    `row` gives the columns by which the row is found. The table `report` is no file: it holds what the report
    counts or sums up itself, from tables that are exported. On the page the number is an HTML `data` element.
    """

    text: str
    value: float
    table: str
    column: str
    row: tuple[tuple[str, str | int], ...] = ()

    def __html__(self) -> str:
        return Markup('<data value="{}" data-table="{}" data-column="{}" data-row="{}">{}</data>').format(
            repr(float(self.value)),
            self.table,
            self.column,
            json.dumps(dict(self.row), ensure_ascii=False),
            self.text,
        )

    def __str__(self) -> str:
        return self.text


Cell = str | Figure | Markup
"""What a table's cell may be: text, a number, or text with numbers in it."""


def sentence(words: Words, text: str, **values: object) -> Markup:
    """The sentence in the report's language with figures in it; everything else is escaped."""
    return Markup(words.text(text)).format(**values)  # noqa: S704 - our own sentence


def joined(parts: list[Markup]) -> Markup:
    """Sentences one after the other."""
    return Markup(" ").join(parts)
