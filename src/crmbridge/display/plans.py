"""Pages about plans: what would be written, the question, what was read back, what an undo left."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, TextIO

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.prompt import Confirm
from rich.text import Text

from crmbridge.display.tables import SHOWN, more, plain, short, table
from crmbridge.model.fields import CATALOGUE, STAMPS
from crmbridge.schedule.budget import Forecast
from crmbridge.store.ledger import Counts, Ledger, Plan, PlanRow
from crmbridge.writeback.undo import Kept
from crmbridge.writeback.values import differing
from crmbridge.writeback.verify import Verified

_PLAN_ROWS: Final = 10
_WHY: Final = {"changed_by_person": "a person changed it", "written_since": "a later run wrote it"}


def rows(ledger: Ledger, plan_id: int) -> Iterator[PlanRow]:
    """All rows of a plan, page by page."""
    after = -1
    while page := ledger.plan_rows(plan_id, after=after, limit=5000):
        yield from page
        after = page[-1].position


def row_dict(row: PlanRow) -> dict[str, Any]:
    """A row of a plan as `--json` prints it."""
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
    """A plan for people: how many records, and the first ones with what would change."""
    counts = ledger.counts(stored.id)
    title = Text(
        f"Plan {stored.id} of {stored.connection}: {counts.planned:,} records to write", style="bold"
    )
    if not counts.planned:
        return title
    page = table("object", "id", "why", "what would be written")
    for row in ledger.plan_rows(stored.id, limit=_PLAN_ROWS):
        page.add_row(row.object, escape(row.id), escape(row.reason), _changes(row))
    return Group(title, page, *more(counts.planned - _PLAN_ROWS))


def _changes(row: PlanRow) -> str:
    """What differs, but for the stamps and the new wording of texts, which go along with every write."""
    changes = []
    for key in differing(row.after, row.before):
        before, after = row.before.get(key), short(row.after[key])
        if before is None and key not in STAMPS:
            changes.append(f"{key} {after}")
        elif before is not None and CATALOGUE[key].type in ("number", "choice", "boolean"):
            changes.append(f"{key} {short(before)} -> {after}")
    return escape("; ".join(changes))


def write_plan_json(stream: TextIO, ledger: Ledger, stored: Plan, forecast: Forecast) -> None:
    """`{plan, planned, guards, forecast, changes: [{object, id, field, before, after, reason}]}`, streamed: a
    plan may be large.
    """
    unicode = (stream.encoding or "utf-8").lower().startswith("utf")
    counts = ledger.counts(stored.id)
    head: dict[str, Any] = {"plan": stored.id, "planned": counts.planned, "guards": dict(stored.guards)}
    head["forecast"] = plain(forecast)
    stream.write(json.dumps(head, ensure_ascii=not unicode)[:-1] + ', "changes": [')
    separator = "\n"
    for row in rows(ledger, stored.id):
        for key, value in row.after.items():
            change = {
                "object": row.object,
                "id": row.id,
                "field": key,
                "before": row.before.get(key),
                "after": value,
                "reason": row.reason,
            }
            stream.write(separator + json.dumps(change, ensure_ascii=not unicode))
            separator = ",\n"
    stream.write("]}\n")


class Approval:
    """Shows the plan and asks, as `sync` does on a terminal. `asked` tells whether it came to that."""

    def __init__(self, console: Console, ledger: Ledger) -> None:
        self._console, self._ledger = console, ledger
        self.asked = False

    def __call__(self, stored: Plan, counts: Counts) -> bool:
        self.asked = True
        self._console.print(plan(self._ledger, stored))
        try:
            question = f"Write these {counts.planned:,} records?"
            return Confirm.ask(question, console=self._console, default=False)
        except (KeyboardInterrupt, EOFError):
            # Who breaks off has not approved: the plan stays, and the run ends as it should.
            self._console.print()
            return False


def verification(found: Verified) -> RenderableType:
    """What `verify` read back."""
    if found.holds:
        return Text(f"{found.read:,} records read back: every one holds what was written.", style="green")
    page = table("object", "id", "field", "written", "holds now")
    for one in found.differences[:SHOWN]:
        page.add_row(one.object, escape(one.id), one.field, *_texts(one.written, one.held))
    left = SHOWN - len(found.differences)
    for object_name, record in found.gone[: max(left, 0)]:
        page.add_row(object_name, escape(record), "", "", "the record is gone")
    differ = len({(one.object, one.id) for one in found.differences} | set(found.gone))
    title = Text(
        f"{found.read:,} records read back; {differ:,} differ from what was written:", style="yellow"
    )
    return Group(title, page, *more(len(found.differences) + len(found.gone) - SHOWN))


def kept(found: Sequence[Kept]) -> RenderableType:
    """What an undo left as it was."""
    page = table("object", "id", "field", "ours", "holds now", "why it was left")
    for one in found[:SHOWN]:
        page.add_row(one.object, escape(one.id), one.field, *_texts(one.ours, one.theirs), _WHY[one.why])
    records = len({(one.object, one.id) for one in found})
    title = Text(f"{records:,} records changed since were left as they are:", style="yellow")
    return Group(title, page, *more(len(found) - SHOWN))


def _texts(*values: object) -> list[str]:
    return [escape(short(value)) for value in values]
