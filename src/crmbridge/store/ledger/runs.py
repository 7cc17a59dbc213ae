"""Runs, and which CRM a connection was made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from pydantic import JsonValue

from crmbridge.errors import NotFoundError
from crmbridge.store.ledger import tables
from crmbridge.store.ledger.database import Database, insert_new

RunKind = Literal["pull", "score", "plan", "apply", "verify", "undo", "sync"]
RunStatus = Literal["running", "done", "partly", "failed", "stopped", "awaiting_approval", "interrupted"]


@dataclass(frozen=True)
class Run:
    """One run. `summary` is what `sync --json` prints beyond these (counts per object and so on); `slot` is
    the scheduled moment it is for.
    """

    id: int
    connection: str
    kind: RunKind
    moment: datetime
    started_at: datetime
    finished_at: datetime | None
    status: RunStatus
    attempts: int
    summary: Mapping[str, JsonValue]
    error: str | None
    slot: datetime | None = None
    api_calls: int = 0


class Runs(Database):
    """The ledger's record of what ran."""

    def bind_org(self, connection: str, org_id: str, label: str) -> str | None:
        """Remember the connection's CRM the first time; later the id remembered if it differs, else None."""
        orgs = tables.orgs
        with self._write() as db:
            values = {"connection": connection, "org_id": org_id, "label": label, "bound_at": self.clock()}
            db.execute(insert_new(db, orgs).values(**values).on_conflict_do_nothing())
            stored = db.execute(sa.select(orgs.c.org_id).where(orgs.c.connection == connection)).scalar_one()
        return None if stored == org_id else str(stored)

    def start_run(
        self,
        connection: str,
        kind: RunKind,
        moment: datetime,
        resume: bool = True,
        about: Mapping[str, JsonValue] | None = None,
        slot: datetime | None = None,
    ) -> Run:
        """Begin a run, or take the unfinished one of the same kind, moment and `about` up again.

        `about` says what else makes it this run, such as the plan that it applies; it is the run's summary
        until it is finished. `slot` is the scheduled moment that it serves; with the run's beginning it is
        taken up. The caller holds the connection's lease, so whatever else still calls itself
        running has been cut off: it becomes `interrupted`, unless its approved plan waits to be finished.
        """
        about = dict(about or {})
        runs = tables.runs
        now = self.clock()
        with self._write() as db:
            self._fence(db, connection)
            unfinished = db.execute(
                sa.select(runs)
                .where(runs.c.connection == connection, runs.c.status == "running")
                .order_by(runs.c.id.desc())
            ).all()
            taken_up: int | None = None
            for row in unfinished:
                same = (row.kind, row.moment, row.summary) == (kind, moment, about)
                if resume and taken_up is None and same:
                    taken_up = row.id
                    change: dict[str, Any] = {"attempts": row.attempts + 1}
                elif _is_being_written(db, row.id):
                    continue
                else:
                    change = {"status": "interrupted", "finished_at": now}
                db.execute(sa.update(runs).where(runs.c.id == row.id).values(**change))
            if taken_up is None:
                new = sa.insert(runs).values(
                    connection=connection,
                    kind=kind,
                    moment=moment,
                    started_at=now,
                    status="running",
                    attempts=1,
                    summary=about,
                    slot=slot,
                )
                taken_up = int(db.execute(new.returning(runs.c.id)).scalar_one())
            if slot is not None:
                watches = tables.watches
                db.execute(sa.update(watches).where(watches.c.connection == connection).values(served=slot))
            return _run(db, taken_up)

    def add_calls(self, run_id: int, number: int) -> int:
        """Count API calls of a run; returns all it has made, in all its attempts."""
        runs = tables.runs
        with self._write() as db:
            more = sa.update(runs).where(runs.c.id == run_id).values(api_calls=runs.c.api_calls + number)
            return int(db.execute(more.returning(runs.c.api_calls)).scalar_one())

    def calls_since(self, connection: str, moment: datetime) -> int:
        """API calls of the connection's runs that began after the moment."""
        runs = tables.runs
        query = sa.select(sa.func.coalesce(sa.func.sum(runs.c.api_calls), 0))
        with self._read() as db:
            found = db.execute(query.where(runs.c.connection == connection, runs.c.started_at > moment))
            return int(found.scalar_one())

    def finish_run(
        self, run_id: int, status: RunStatus, summary: Mapping[str, JsonValue], error: str | None = None
    ) -> Run:
        """Write a run's end. Raises NotFoundError."""
        runs = tables.runs
        with self._write() as db:
            self._fence(db, _run(db, run_id).connection)
            db.execute(
                sa.update(runs)
                .where(runs.c.id == run_id)
                .values(status=status, summary=dict(summary), error=error, finished_at=self.clock())
            )
            return _run(db, run_id)

    def run(self, run_id: int) -> Run:
        """The run of this id. Raises NotFoundError."""
        with self._read() as db:
            return _run(db, run_id)

    def runs(self, connection: str | None = None, limit: int = 50) -> list[Run]:
        """The last runs, of one connection or of all, newest first."""
        query = sa.select(tables.runs).order_by(tables.runs.c.id.desc()).limit(limit)
        if connection is not None:
            query = query.where(tables.runs.c.connection == connection)
        with self._read() as db:
            return [Run(**row) for row in db.execute(query).mappings()]

    def runs_after(self, run_id: int, limit: int = 1000) -> list[Run]:
        """Runs with a greater id, oldest first."""
        runs = tables.runs
        return self._runs(sa.select(runs).where(runs.c.id > run_id).order_by(runs.c.id).limit(limit))

    def runs_by_id(self, ids: Sequence[int]) -> list[Run]:
        """The runs of these ids."""
        return self._runs(sa.select(tables.runs).where(tables.runs.c.id.in_(ids))) if ids else []

    def _runs(self, query: sa.Select[Any]) -> list[Run]:
        with self._read() as db:
            return [Run(**row) for row in db.execute(query).mappings()]


def _run(db: sa.Connection, run_id: int) -> Run:
    row = db.execute(sa.select(tables.runs).where(tables.runs.c.id == run_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"There is no run {run_id}.", remedy="`crmbridge runs` lists the runs there are.")
    return Run(**row)


def _is_being_written(db: sa.Connection, run_id: int) -> bool:
    plans = tables.plans
    query = sa.select(plans.c.id).where(plans.c.run == run_id, plans.c.status == "approved").limit(1)
    return db.execute(query).first() is not None
