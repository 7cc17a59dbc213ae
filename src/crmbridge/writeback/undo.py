"""Undoing: a plan that puts back what was there before, wherever the CRM still holds ours.

It is a plan like any other (kind `undo`), with one row for each row that was sent, what we wrote as its
`before`: applying it reads each record, restores the former values, and rejects, with the reason, what a
person has changed since. It is accounted for row by row, survives a kill, and can itself be undone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

from crmbridge.model.fields import FieldValue
from crmbridge.model.records import ObjectName
from crmbridge.store.ledger import Ledger, PlanRow
from crmbridge.writeback.apply import BY_PERSON, LATER, batches, chosen
from crmbridge.writeback.base import Writer
from crmbridge.writeback.values import differing
from crmbridge.writeback.verify import READ_ROWS


@dataclass(frozen=True)
class Kept:
    """A field that an undo left as it was: what we wrote, and what the CRM holds now."""

    object: str
    id: str
    field: str
    ours: FieldValue
    theirs: FieldValue
    why: Literal["changed_by_person", "written_since"]


def undo_rows(plan_id: int, *, ledger: Ledger) -> Iterator[PlanRow]:
    """The rows of an undo: for each row of the plan that was sent, before and after changed places."""
    reason = f"undo of run {ledger.plan(plan_id).run}"
    for rows in batches(ledger, plan_id, "sent", READ_ROWS):
        for row in rows:
            former = {key: row.before.get(key) for key in row.after}
            yield PlanRow(row.object, row.id, row.after, former, reason)


def kept(undo_plan_id: int, *, ledger: Ledger, writer: Writer) -> Iterator[Kept]:
    """What an applied undo left as it was, record by record and field by field.

    Reads the records it names. Raises AuthError, QuotaError, TransientError.
    """
    for rows in batches(ledger, undo_plan_id, "rejected", READ_ROWS):
        left = [chosen(row, writer) for row in rows if row.code in (BY_PERSON, LATER)]
        held = writer.read(cast(ObjectName, rows[0].object), [row.id for row in left]) if left else {}
        for row in left:
            now = held.get(row.id, {})
            for key in differing(row.before, now):
                why = cast(Literal["changed_by_person", "written_since"], row.code)
                yield Kept(row.object, row.id, key, row.before[key], now.get(key), why)
