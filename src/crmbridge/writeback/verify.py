"""Verifying: read back what was sent and list every difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from crmbridge.model.fields import FieldValue
from crmbridge.model.records import ObjectName
from crmbridge.store.ledger import Ledger
from crmbridge.writeback.apply import batches, chosen
from crmbridge.writeback.base import Writer
from crmbridge.writeback.values import differing

READ_ROWS: Final = 50_000


@dataclass(frozen=True)
class Difference:
    """A field that does not hold what was written into it."""

    object: str
    id: str
    field: str
    written: FieldValue
    held: FieldValue


@dataclass(frozen=True)
class Verified:
    """`read` records were compared; `gone` (object, id) are no longer in the CRM."""

    read: int
    differences: tuple[Difference, ...]
    gone: tuple[tuple[str, str], ...]

    @property
    def holds(self) -> bool:
        """Whether everything that was sent is there."""
        return not self.differences and not self.gone


def verify_plan(
    plan_id: int, *, ledger: Ledger, writer: Writer, on_progress: Callable[[int], None] = lambda read: None
) -> Verified:
    """Read back every row of the plan that was sent. Raises AuthError, QuotaError, TransientError."""
    read = 0
    differences: list[Difference] = []
    gone: list[tuple[str, str]] = []
    for rows in batches(ledger, plan_id, "sent", READ_ROWS):
        held = writer.read(cast(ObjectName, rows[0].object), [row.id for row in rows])
        for row in (chosen(row, writer) for row in rows):
            now = held.get(row.id)
            if now is None:
                gone.append((row.object, row.id))
                continue
            differences += [
                Difference(row.object, row.id, key, row.after[key], now.get(key))
                for key in differing(row.after, now)
            ]
        read += len(rows)
        on_progress(read)
    return Verified(read, tuple(differences), tuple(gone))
