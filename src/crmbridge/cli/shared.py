"""What all commands share: the streams, the options, and how an answer is shown and a run ends."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from crmbridge import display, logs
from crmbridge.bridge import Bridge
from crmbridge.errors import SettingsError
from crmbridge.store.ledger import Run

Name = Annotated[str, typer.Argument(help="The connection, as named in the settings.", metavar="NAME")]
Object = Annotated[
    str, typer.Argument(help="The object, such as lead, deal, account or rep.", metavar="OBJECT")
]
RecordId = Annotated[str, typer.Argument(help="The record's id, exactly as the CRM has it.", metavar="ID")]
RunId = Annotated[int, typer.Argument(help="The run's number; `crmbridge runs` lists them.", metavar="RUN")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys.")]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        help="The moment, ISO 8601, without an offset in the connection's timezone; default now.",
        metavar="MOMENT",
    ),
]

EXIT: Final = {"done": 0, "awaiting_approval": 0, "failed": 1, "stopped": 3, "partly": 4}
"""Exit codes by a run's status."""
_PIPE_WIDTH: Final = 1_000
"""In a pipe or a file a row is one line, so that it can be searched and cut."""


@dataclass
class Globals:
    """What stands before the command."""

    config: Path | None = None
    verbose: bool = False
    json_lines: bool = False


given = Globals()


def out() -> Console:
    """Standard output."""
    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=_PIPE_WIDTH if wide else None)


def say(text: str) -> None:
    """One plain sentence on standard output."""
    out().print(Text(text), soft_wrap=True)


def complain(text: str) -> None:
    """One plain sentence on standard error."""
    Console(stderr=True).print(Text(text, style="red"), soft_wrap=True)


def progress() -> display.Progress:
    """How far a run is: a line that renews itself on a terminal, lines in the log with `--verbose`."""
    return logs.Steps() if given.verbose else display.TerminalProgress(sys.stderr)


@contextmanager
def bridge() -> Iterator[Bridge]:
    """The installation that the settings describe."""
    steps = progress()
    with Bridge.open(given.config, log=logs.log, progress=steps) as opened:
        try:
            opened.look()
            yield opened
        except KeyboardInterrupt:
            complain(
                "crmbridge: broken off. What was stored or written stays; the next run goes on from there."
            )
            raise typer.Exit(130) from None
        finally:
            steps.close()


def moment(text: str | None) -> datetime | None:
    """What `--at` says; without an offset it is read in the connection's zone."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(
            f"--at {text!r} is not a moment.", remedy="Use ISO 8601, such as 2026-03-31T08:00:00Z."
        ) from error


def show(data: Any, as_json: bool, render: Callable[[Any], RenderableType]) -> None:
    """An answer, for people or as JSON; nothing else goes to standard output with `--json`."""
    if as_json:
        write_json(data)
    else:
        out().print(render(data))


def write_json(data: Any) -> None:
    """Data of ours as one JSON document; escaped where standard output can't hold every letter."""
    unicode = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    text = json.dumps(display.plain(data), ensure_ascii=not unicode, indent=2)
    sys.stdout.write(text + "\n")


def finish(run: Run, as_json: bool, **more: Any) -> None:
    """A run's end: its line or its JSON (`more` are further keys), and the exit code of its status."""
    show({**display.run_dict(run), **more} if as_json else run, as_json, display.run_line)
    leave(EXIT[run.status])


def leave(code: int) -> None:
    """End the command with this exit code."""
    if code:
        raise typer.Exit(code)
