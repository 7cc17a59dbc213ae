"""Pages about runs: the line at the end of one, the history, one with its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.text import Text

from crmbridge.display.plans import row_dict, rows
from crmbridge.display.tables import SHOWN, at, more, table
from crmbridge.schedule.budget import Forecast
from crmbridge.store.ledger import Ledger, Run
from crmbridge.sync.run import plan_of

_STYLES: Final = {"done": "green", "partly": "yellow", "awaiting_approval": "cyan", "running": "cyan"}
_STATES: Final = ("pending", "sent", "same", "rejected")


def run_dict(run: Run) -> dict[str, Any]:
    """A run as `--json` prints it."""
    head = {"run": run.id, "connection": run.connection, "kind": run.kind, "status": run.status}
    tail = {"error": run.error} if run.error else {}
    return {**head, "at": run.moment.isoformat(), **run.summary, **tail}


def total(summary: Mapping[str, Any], key: str) -> int:
    """A figure of a run's summary, added up where it is per object."""
    value = summary.get(key) or 0
    return sum(value.values()) if isinstance(value, dict) else int(value)


def run_line(run: Run) -> RenderableType:
    """What a run did, in a few lines."""
    summary: Mapping[str, Any] = run.summary
    text = Text(f"Run {run.id} of {run.connection}: ")
    text.append(_words(run.status), style=f"bold {_STYLES.get(run.status, 'red')}")
    text.append(f" in {summary.get('seconds', 0):.1f} s")
    for part in _done(run):
        text.append(f"\n  {part}")
    guards: Mapping[str, str] = summary.get("guards") or {}
    for name, sentence in guards.items():
        text.append(f"\n  guard {name}: {sentence}", style="yellow")
    if run.error:
        text.append(f"\n  {run.error}", style="red")
    if run.status in ("awaiting_approval", "stopped") and summary.get("plan"):
        overrides = "".join(f" --override {name}" for name in guards)
        command = f"crmbridge apply {summary['plan']}{overrides}"
        text.append(f"\n  Nothing was written. To write it: {command}", style="bold")
    return text


def _done(run: Run) -> list[str]:
    summary = run.summary
    parts = []
    if run.kind in ("sync", "pull") and "pulled" in summary:
        deleted, aside = total(summary, "deleted"), total(summary, "set_aside")
        parts.append(
            f"{total(summary, 'pulled'):,} records new or changed"
            + (f", {deleted:,} deleted" if deleted else "")
            + (f", {aside:,} rows set aside (crmbridge run {run.id})" if aside else "")
        )
    if "scored" in summary:
        parts.append(f"{total(summary, 'scored'):,} scored")
    if summary.get("planned"):
        counts = ", ".join(f"{summary[state]:,} {state}" for state in _STATES if summary[state])
        parts.append(f"{summary['planned']:,} records planned: {counts}")
    elif "planned" in summary:
        parts.append("0 records to write: the CRM holds what would be written already")
    return parts


def runs(found: Sequence[Run]) -> RenderableType:
    """The history. A figure that no run has takes no column."""
    figures = [
        key
        for key in ("pulled", "planned", "sent", "rejected", "api_calls")
        if any(total(run.summary, key) for run in found)
    ]
    page = table(
        "#run",
        "connection",
        "!kind",
        "!started (UTC)",
        "status",
        *(f"#{key.replace('_', ' ')}" for key in figures),
        "#seconds",
    )
    for run in found:
        page.add_row(
            str(run.id),
            run.connection,
            run.kind,
            at(run.started_at),
            f"[{_STYLES.get(run.status, 'red')}]{_words(run.status)}[/]",
            *(f"{total(run.summary, key):,}" if key in run.summary else "" for key in figures),
            f"{run.summary['seconds']:.1f}" if "seconds" in run.summary else "",
        )
    return page if found else Text("Nothing ran yet.")


def forecasts(found: Sequence[Forecast]) -> RenderableType:
    """What the connections' runs will need of the vendors' APIs."""
    lines = []
    for each in found:
        if each.uses_an_api:
            line = Text(f"API budget of {each.connection}: {each.sentence}", style="dim")
            if each.is_short:
                line.append("; that is short", style="yellow")
            lines.append(line)
    return Group(*lines)


def run_details(ledger: Ledger, run: Run) -> Mapping[str, Any]:
    """One run with its rows: what was set aside, what was rejected, what was written."""
    found = plan_of(ledger, run)
    return {
        **run_dict(run),
        "attempts": run.attempts,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "set_aside_rows": ledger.set_aside_rows(run.id, limit=100_000),
        "plan_status": found.status if found else None,
        "rows": [row_dict(row) for row in rows(ledger, found.id)] if found else [],
    }


def run_page(details: Mapping[str, Any]) -> RenderableType:
    """One run for people."""
    head = table("", "")
    for key, value in details.items():
        shown = "" if key in ("set_aside_rows", "rows") else _shown(key, value)
        if shown:
            head.add_row(f"[bold]{key.replace('_', ' ')}[/]", escape(shown))
    head.show_header = False
    parts: list[RenderableType] = [head]
    aside = details["set_aside_rows"]
    if aside:
        page = table("where", "object", "id", "why it was set aside")
        for row in aside[:SHOWN]:
            page.add_row(escape(row.place), row.object, escape(row.id or ""), escape(row.reason))
        parts += ["", page, *more(len(aside) - SHOWN)]
    rejected = [row for row in details["rows"] if row["state"] == "rejected"]
    if rejected:
        page = table("object", "id", "code", "why it was rejected")
        for row in rejected[:SHOWN]:
            page.add_row(row["object"], escape(row["id"]), row["code"] or "", escape(row["message"] or ""))
        parts += ["", page, *more(len(rejected) - SHOWN)]
    return Group(*parts)


def _shown(key: str, value: object) -> str:
    """A figure of a run in words; nothing where there is nothing to say."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items() if each)
    if key == "at" and isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return f"{at(value, '%Y-%m-%d %H:%M:%S')} UTC"
    if key.endswith("status"):
        return _words(str(value or ""))
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)


def _words(status: str) -> str:
    # The ledger can't tell a run that works from one that was killed: the connection's next run settles it.
    return "not finished" if status == "running" else status.replace("_", " ")
