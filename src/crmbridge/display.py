"""How the command line shows things: tables and lines for people, plain data for `--json`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TextIO

from pydantic_core import to_jsonable_python
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

from crmbridge.connectors.base import CheckItem
from crmbridge.demo.run import DemoResult
from crmbridge.plugins import PluginInfo
from crmbridge.store.ledger import Counts, Ledger, Plan, PlanRow, Run
from crmbridge.sync.run import Approve, plan_of
from crmbridge.writeback.base import InstallStep
from crmbridge.writeback.verify import Verified

SHOWN: Final = 10
"""Rows of a plan or of what was set aside that a page shows; `--json` gives them all."""
_TICKS: Final = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "failed": "[red]✗[/]"}
_STATES: Final = {
    "present": "already there",
    "planned": "would be done",
    "done": "done",
    "conflict": "conflict",
}
_STATUS: Final = {"done": "green", "partly": "yellow", "awaiting_approval": "cyan"}


def plain(data: Any) -> Any:
    """JSON-able data of dataclasses, models and tables of ours."""
    return to_jsonable_python(data)


def progress(console: Console) -> Callable[[str, int, int | None], None]:
    """How far a run is: one line that renews itself on a terminal, nothing elsewhere."""
    if not console.is_terminal:
        return lambda step, done, total: None
    last = [0.0]

    def show(step: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - last[0] < 0.1 and done != total:
            return
        last[0] = now
        share = f" of {total:,}" if total else ""
        console.file.write(f"\r\x1b[K{step}: {done:,}{share}" if done != total else "\r\x1b[K")
        console.file.flush()

    return show


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = column.startswith("#")
        table.add_column(column.lstrip("#"), justify="right" if numeric else "left", overflow="fold")
    return table


def checks(items: Sequence[CheckItem]) -> RenderableType:
    """The table of ticks."""
    table = _table("", "check", "seen")
    for item in items:
        detail = escape(item.detail) + (f"\n[dim]{escape(item.remedy)}[/]" if item.remedy else "")
        table.add_row(_TICKS[item.state], escape(item.name), detail)
    return table


def plugins(infos: Sequence[PluginInfo]) -> RenderableType:
    """What is installed, and what failed."""
    table = _table("", "plugin", "from", "connectors", "writers", "metrics")
    for info in infos:
        lists = [", ".join(names) for names in (info.connectors, info.writers, info.metrics)]
        table.add_row(
            _TICKS["failed" if info.error else "ok"], escape(info.name), escape(info.source), *lists
        )
        if info.error:
            table.add_row("", f"[red]{escape(info.error)}[/]")
    return table


def steps(found: Sequence[InstallStep]) -> RenderableType:
    """What install or uninstall did or would do."""
    table = _table("what", "state")
    for step in found:
        state = _STATES[step.state] + (f"\n[dim]{escape(step.remedy)}[/]" if step.remedy else "")
        table.add_row(escape(step.what), state)
    return table if found else Text("Nothing to do.")


def run_dict(run: Run) -> Mapping[str, Any]:
    """A run as `--json` prints it."""
    head = {"run": run.id, "connection": run.connection, "kind": run.kind, "status": run.status}
    tail = {"error": run.error} if run.error else {}
    return {**head, "at": run.moment.isoformat(), **run.summary, **tail}


def _total(summary: Mapping[str, Any], key: str) -> int:
    value = summary.get(key) or 0
    return sum(value.values()) if isinstance(value, dict) else int(value)


def run_line(run: Run) -> RenderableType:
    """What a run did, in a few lines."""
    summary: Mapping[str, Any] = run.summary
    guards: Mapping[str, str] = summary.get("guards") or {}
    style = _STATUS.get(run.status, "red")
    text = Text()
    text.append(f"Run {run.id} of {run.connection}: ")
    text.append(run.status.replace("_", " "), style=f"bold {style}")
    text.append(f" in {summary.get('seconds', 0):.1f} s\n")
    parts = []
    if "pulled" in summary:
        pulled = f"{_total(summary, 'pulled'):,} records new or changed"
        deleted, aside = _total(summary, "deleted"), _total(summary, "set_aside")
        pulled += f", {deleted:,} deleted" if deleted else ""
        pulled += f", {aside:,} rows set aside (crmbridge run {run.id})" if aside else ""
        parts.append(pulled)
    if "scored" in summary:
        parts.append(f"{_total(summary, 'scored'):,} scored")
    if "planned" in summary:
        counts = ", ".join(f"{summary[key]:,} {key}" for key in ("pending", "sent", "same", "rejected"))
        parts.append(f"{summary['planned']:,} records planned: {counts}")
    text.append("\n".join(f"  {part}" for part in parts))
    for name, sentence in guards.items():
        text.append(f"\n  guard {name}: {sentence}", style="yellow")
    if run.error:
        text.append(f"\n  {run.error}", style="red")
    plan_id = summary.get("plan")
    if run.status in ("awaiting_approval", "stopped") and plan_id:
        overrides = "".join(f" --override {name}" for name in guards)
        text.append(
            f"\n  Nothing was written. To write it: crmbridge apply {plan_id}{overrides}", style="bold"
        )
    return text


def runs(found: Sequence[Run]) -> RenderableType:
    """The history."""
    table = _table(
        "#run", "connection", "kind", "at", "status", "#pulled", "#planned", "#sent", "#rejected", "#s"
    )
    for run in found:
        summary = run.summary
        numbers = [
            f"{_total(summary, key):,}" if key in summary else ""
            for key in ("pulled", "planned", "sent", "rejected")
        ]
        table.add_row(
            str(run.id),
            run.connection,
            run.kind,
            f"{run.moment:%Y-%m-%d %H:%M}",
            f"[{_STATUS.get(run.status, 'red')}]{run.status}[/]",
            *numbers,
            f"{summary.get('seconds', 0):.1f}",
        )
    return table if found else Text("Nothing ran yet.")


def run_details(ledger: Ledger, run: Run) -> Mapping[str, Any]:
    """One run with its rows: what was set aside, what was rejected, what was written."""
    plan_found = plan_of(ledger, run)
    rows = list(_rows(ledger, plan_found.id)) if plan_found else []
    return {
        **run_dict(run),
        "attempts": run.attempts,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "set_aside_rows": ledger.set_aside_rows(run.id, limit=100_000),
        "plan_status": plan_found.status if plan_found else None,
        "rows": [_row_dict(row) for row in rows],
    }


def run_page(details: Mapping[str, Any]) -> RenderableType:
    """One run for people."""
    head = _table("", "")
    hidden = {"set_aside_rows", "rows"}
    for key, value in details.items():
        if key not in hidden and value not in (None, {}, []):
            shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            head.add_row(f"[bold]{key}[/]", escape(str(shown)))
    parts: list[RenderableType] = [head]
    aside = details["set_aside_rows"]
    if aside:
        table = _table("where", "object", "id", "why it was set aside")
        for row in aside[:50]:
            table.add_row(escape(row.place), row.object, escape(row.id or ""), escape(row.reason))
        parts += ["", table, *_more(len(aside) - 50)]
    rejected = [row for row in details["rows"] if row["state"] == "rejected"]
    if rejected:
        table = _table("object", "id", "code", "why it was rejected")
        for row in rejected[:50]:
            table.add_row(row["object"], escape(row["id"]), row["code"] or "", escape(row["message"] or ""))
        parts += ["", table, *_more(len(rejected) - 50)]
    return Group(*parts)


def _more(number: int) -> list[Text]:
    return [Text(f"... and {number:,} more (--json lists all)", style="dim")] if number > 0 else []


def _rows(ledger: Ledger, plan_id: int) -> Iterator[PlanRow]:
    after = -1
    while page := ledger.plan_rows(plan_id, after=after, limit=5000):
        yield from page
        after = page[-1].position


def _row_dict(row: PlanRow) -> dict[str, Any]:
    return {
        "object": row.object,
        "id": row.id,
        "state": row.state,
        "before": dict(row.before),
        "after": dict(row.after),
        "reason": row.reason,
        "attempts": row.attempts,
        "code": row.code,
        "message": row.message,
    }


def plan(ledger: Ledger, stored: Plan) -> RenderableType:
    """A plan for people: how many, of what, the guards, and the first rows whole."""
    counts = ledger.counts(stored.id)
    title = Text(
        f"Plan {stored.id} of {stored.connection}: {counts.planned:,} records would be written", style="bold"
    )
    table = _table("object", "id", "why", "before", "after")
    for row in ledger.plan_rows(stored.id, limit=SHOWN):
        table.add_row(row.object, escape(row.id), escape(row.reason), _values(row.before), _values(row.after))
    parts: list[RenderableType] = [title, table] if counts.planned else [title]
    parts += _more(counts.planned - SHOWN)
    parts += [Text(f"guard {name}: {sentence}", style="yellow") for name, sentence in stored.guards.items()]
    if counts.pending and stored.status in ("awaiting_approval", "stopped"):
        overrides = "".join(f" --override {name}" for name in stored.guards)
        parts.append(Text(f"To write it: crmbridge apply {stored.id}{overrides}", style="bold"))
    return Group(*parts)


def _values(values: Mapping[str, Any]) -> str:
    return escape("  ".join(f"{key}={value}" for key, value in values.items() if value is not None)) or "-"


def write_plan_json(stream: TextIO, ledger: Ledger, stored: Plan) -> None:
    """`{plan, planned, changes: [{object, id, field, before, after, reason}]}`, streamed: a plan may be
    large.
    """
    counts = ledger.counts(stored.id)
    head = {"plan": stored.id, "planned": counts.planned, "guards": dict(stored.guards)}
    stream.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "changes": [')
    separator = "\n"
    for row in _rows(ledger, stored.id):
        for key, value in row.after.items():
            change = {
                "object": row.object,
                "id": row.id,
                "field": key,
                "before": row.before.get(key),
                "after": value,
                "reason": row.reason,
            }
            stream.write(separator + json.dumps(change, ensure_ascii=False))
            separator = ",\n"
    stream.write("]}\n")


def ask_approval(console: Console, ledger: Ledger) -> Approve:
    """Show the plan and ask, as `sync` does on a terminal."""

    def ask(stored: Plan, counts: Counts) -> bool:
        console.print(plan(ledger, stored))
        return Confirm.ask(f"Write these {counts.planned:,} records?", console=console, default=False)

    return ask


def verification(found: Verified) -> RenderableType:
    """What `verify` read back."""
    if found.holds:
        return Text(f"{found.read:,} records read back: every one holds what was written.", style="green")
    table = _table("object", "id", "field", "written", "holds now")
    for one in found.differences:
        table.add_row(one.object, escape(one.id), one.field, escape(str(one.written)), escape(str(one.held)))
    for object_name, record in found.gone:
        table.add_row(object_name, escape(record), "", "", "the record is gone")
    return Group(Text(f"{found.read:,} records read back; these differ:"), table)


def demo(result: DemoResult) -> RenderableType:
    """What the demo did, and what to try next."""
    first, second = result.first.summary, result.second.summary
    folder = result.directory
    read = f"[bold]{_total(first, 'pulled'):,} records[/] read, {_total(first, 'set_aside')} rows set aside"
    scored = f"[bold]{_total(first, 'scored'):,} scored[/], {_total(first, 'sent'):,} written and read back"
    lines = [
        f"{read} with their reason, {scored}, in {first.get('seconds', 0):.0f} s.",
        f"A second run wrote [bold]{_total(second, 'sent'):,} rows[/]: nothing had changed.",
        "",
    ]
    lead = result.lead
    if lead is not None and lead.score is not None:
        lines.append(
            f"The best open lead is {escape(lead.name or lead.id)}: [bold]{lead.score:.0f} %[/] "
            f"(90 % interval {lead.score_low:.0f} to {lead.score_high:.0f})."
        )
        lines += [f"  + {escape(lead.reasons_up)}"] if lead.reasons_up else []
        lines += [f"  - {escape(lead.reasons_down)}"] if lead.reasons_down else []
        lines.append("")
    lines += [
        f"Open the report: [bold]{escape(str(result.report.resolve()))}[/]",
        f"The scores lie in {escape(str(folder / 'crm' / 'scores'))}.",
        "",
        "Try next:",
        f"  cd {escape(str(folder))}",
        f"  crmbridge run {result.first.id}            what was set aside, and why",
        "  crmbridge model demo lead  what the model knows, and what it may not use",
        f"  crmbridge undo {result.first.id}           take every value back",
    ]
    return Text.from_markup("\n".join(lines))
