"""What the pages share: a plain table, short values, and `... and more`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic_core import to_jsonable_python
from rich.table import Table
from rich.text import Text

SHOWN: Final = 50
"""Rows of what was set aside, rejected or found different that a page shows; `--json` gives them all."""
TICKS: Final = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "failed": "[red]✗[/]"}
_LONGEST: Final = 60


def plain(data: Any) -> Any:
    """JSON-able data of dataclasses, models and tables of ours."""
    return to_jsonable_python(data)


def table(*columns: str) -> Table:
    """A table without lines. `#` before a name stands numbers to the right, `!` keeps cells in one line."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(
            column.lstrip("#!"),
            justify="right" if column.startswith("#") else "left",
            overflow="fold",
            no_wrap=column.startswith(("#", "!")),
        )
    return made


def more(number: int) -> list[Text]:
    """A line that says how many rows are not shown, where there are any."""
    return [Text(f"... and {number:,} more (--json lists all)", style="dim")] if number > 0 else []


def at(moment: datetime | None, form: str = "%Y-%m-%d %H:%M") -> str:
    """A moment in a table, in UTC."""
    return f"{moment:{form}}" if moment else ""


def short(value: object) -> str:
    """A value of a field for a table: `empty` where there is none, long texts cut."""
    if value is None or value == "":
        return "empty"
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
