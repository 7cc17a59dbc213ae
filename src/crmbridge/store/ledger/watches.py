"""What is watched over: a connection's schedule, up to where its slots were served and its runs reviewed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from crmbridge.store.ledger import tables
from crmbridge.store.ledger.database import Database, insert_new
from crmbridge.store.ledger.runs import Run


@dataclass(frozen=True)
class Watch:
    """`served` is the latest slot taken up, or since when the schedule is known; `reviewed` a run's id."""

    connection: str
    schedule: str | None
    served: datetime
    reviewed: int


class Watches(Database):
    """The ledger's memory of what should happen."""

    def watch(self, connection: str, schedule: str | None) -> Watch:
        """The connection's watch, begun now where there is none: nothing before counts.

        A schedule that has changed holds from now on; slots of the former that nobody took up are let go.
        """
        watches, runs = tables.watches, tables.runs
        which = watches.c.connection == connection
        with self._read() as db:
            row = db.execute(sa.select(watches).where(which)).mappings().one_or_none()
        if row is not None and row["schedule"] == schedule:
            return Watch(**row)
        now = self.clock()
        with self._write() as db:
            newest = sa.select(sa.func.coalesce(sa.func.max(runs.c.id), 0))
            first = {
                "connection": connection,
                "schedule": schedule,
                "served": now,
                "reviewed": db.execute(newest.where(runs.c.connection == connection)).scalar_one(),
            }
            db.execute(insert_new(db, watches).values(**first).on_conflict_do_nothing())
            changed = sa.and_(which, watches.c.schedule.is_distinct_from(schedule))
            db.execute(sa.update(watches).where(changed).values(schedule=schedule, served=now))
            return Watch(**db.execute(sa.select(watches).where(which)).mappings().one())

    def set_served(self, watch: Watch, moment: datetime) -> None:
        """Count slots from another moment on, unless somebody has changed the watch meanwhile."""
        watches = tables.watches
        same = sa.and_(watches.c.connection == watch.connection, watches.c.served == watch.served)
        with self._write() as db:
            db.execute(sa.update(watches).where(same).values(served=moment))

    def last_scheduled(self, connection: str) -> Run | None:
        """The newest run that was for a slot."""
        runs = tables.runs
        query = sa.select(runs).where(runs.c.connection == connection, runs.c.slot.is_not(None))
        with self._read() as db:
            row = db.execute(query.order_by(runs.c.id.desc()).limit(1)).mappings().one_or_none()
        return None if row is None else Run(**row)

    def unreviewed(self, watch: Watch, limit: int = 1000) -> list[Run]:
        """Runs that have ended since the last review, oldest first, up to the first that has not."""
        runs = tables.runs
        query = sa.select(runs).where(runs.c.connection == watch.connection, runs.c.id > watch.reviewed)
        with self._read() as db:
            found = [Run(**row) for row in db.execute(query.order_by(runs.c.id).limit(limit)).mappings()]
        going = next((place for place, run in enumerate(found) if run.status == "running"), len(found))
        return found[:going]
