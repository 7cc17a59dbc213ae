"""What the ledger says of itself when it is checked."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from crmbridge.store.ledger import tables
from crmbridge.store.ledger.database import Database
from crmbridge.store.ledger.plans import Counts


class Checking(Database):
    """The ledger's look at itself."""

    def problems(self) -> list[str]:
        """What the database finds wrong with its own files, and the rows that refer to nothing."""
        with self._read() as db:
            if db.dialect.name == "sqlite":
                said = db.exec_driver_sql("PRAGMA integrity_check(10)").scalars().all()
                found = [str(line) for line in said if line != "ok"]
                return found + [
                    f"a row of {row[0]} refers to a row of {row[2]} that is not there"
                    for row in db.exec_driver_sql("PRAGMA foreign_key_check").all()[:10]
                ]
            db.execute(sa.select(sa.func.count()).select_from(tables.runs))
            return []  # PostgreSQL checks pages as it reads them and references as they are written

    def plan_sums(self, connection: str) -> Iterator[tuple[int, str, Counts]]:
        """Every plan of the connection: status and counts; `planned` counts rows in whatever state."""
        plans, rows = tables.plans, tables.plan_rows
        states = ("pending", "sent", "same", "rejected")
        sums = [sa.func.count().filter(rows.c.state == state) for state in states]
        retried = sa.func.coalesce(sa.func.sum(rows.c.attempts - 1).filter(rows.c.attempts > 1), 0)
        planned = sa.func.count(rows.c.plan)
        query = (
            sa.select(plans.c.id, plans.c.status, plans.c.counts, planned, *sums, retried)
            .select_from(plans.outerjoin(rows, rows.c.plan == plans.c.id))
            .where(plans.c.connection == connection)
            .group_by(plans.c.id, plans.c.status, plans.c.counts)
            .order_by(plans.c.id)
        )
        with self._read() as db:
            for plan_id, status, stored, *numbers in db.execute(query):
                yield plan_id, status, Counts(**stored) if stored is not None else Counts(*map(int, numbers))
