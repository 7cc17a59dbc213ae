"""The ledger: what ran, what was planned, what was written, record by record. SQLite (WAL) or PostgreSQL.

One module per noun; `Ledger` is all of them on one database.
"""

from __future__ import annotations

import sqlalchemy as sa

from crmbridge.store.ledger import tables
from crmbridge.store.ledger.alerts import Alert, Alerts, Condition, ConditionKind, Seen
from crmbridge.store.ledger.checking import Checking
from crmbridge.store.ledger.copying import Copying, Snapshot
from crmbridge.store.ledger.keeping import Copy, CopyKind, Keeping
from crmbridge.store.ledger.leases import Leases
from crmbridge.store.ledger.models import Models, ModelStatus, StoredModel
from crmbridge.store.ledger.parts import Part, Parts, PartsState, SetAsideRow
from crmbridge.store.ledger.plans import (
    Counts,
    Plan,
    PlanKind,
    PlanRow,
    Plans,
    PlanStatus,
    PlanText,
    RowState,
)
from crmbridge.store.ledger.runs import Run, RunKind, Runs, RunStatus
from crmbridge.store.ledger.secrets import Secrets
from crmbridge.store.ledger.watches import Watch, Watches

__all__ = [
    "Alert",
    "Condition",
    "ConditionKind",
    "Copy",
    "CopyKind",
    "Counts",
    "Ledger",
    "ModelStatus",
    "Part",
    "PartsState",
    "Plan",
    "PlanKind",
    "PlanRow",
    "PlanStatus",
    "PlanText",
    "RowState",
    "Run",
    "RunKind",
    "RunStatus",
    "Seen",
    "SetAsideRow",
    "Snapshot",
    "StoredModel",
    "Watch",
]


class Ledger(Leases, Runs, Parts, Plans, Models, Secrets, Watches, Alerts, Keeping, Checking, Copying):
    """An open ledger. `Ledger.open(url, clock=...)` opens one; it may be used by several threads."""

    def forget(self, connection: str, object_name: str, id: str) -> int:
        """Erase one record's id and values from plans and from what was set aside; returns the rows changed.

        Rows and their states stay, so that counts do. A row that was still to be written is rejected instead,
        with the code `forgotten`. A cursor that names the record goes: the next pull reads everything. A
        SQLite file is written anew, so that nothing stays in its unused pages either. Raises SettingsError
        under a legal hold.
        """
        self.refuse_under_hold("forget")
        plans, rows, runs, aside = tables.plans, tables.plan_rows, tables.runs, tables.set_aside
        ours = sa.select(plans.c.id).where(plans.c.connection == connection)
        which = sa.and_(rows.c.plan.in_(ours), rows.c.object == object_name, rows.c.id == id)
        its_runs = sa.select(runs.c.id).where(runs.c.connection == connection)
        with self._write() as db:
            db.execute(
                sa.update(rows)
                .where(which, rows.c.state == "pending")
                .values(state="rejected", code="forgotten", in_flight=False)
            )
            planned = db.execute(
                sa.update(rows).where(which).values(id="", before={}, after={}, reason="", message=None)
            )
            kept = db.execute(
                sa.update(aside)
                .where(aside.c.run.in_(its_runs), aside.c.object == object_name, aside.c.record_id == id)
                .values(record_id=None, raw=None, place="forgotten", reason="forgotten")
            )
            read_up_to = _cursor_names(db, connection, object_name, id)
            if read_up_to:
                db.execute(sa.delete(tables.cursors).where(*_cursor(connection, object_name)))
        self._wipe()
        return planned.rowcount + kept.rowcount + read_up_to


def _cursor(connection: str, object_name: str) -> list[sa.ColumnElement[bool]]:
    return [tables.cursors.c.connection == connection, tables.cursors.c.object == object_name]


def _cursor_names(db: sa.Connection, connection: str, object_name: str, id: str) -> bool:
    """Whether the place where reading goes on is told by this record's id."""
    found = db.execute(sa.select(tables.cursors.c.cursor).where(*_cursor(connection, object_name))).scalar()
    return found is not None and tables.json_text(id) in tables.json_text(found)
