"""Conditions and alerts: what is wrong now, and who is still to be told that it began or ended.

A change of state and its alert are one transaction, so that a process killed between the two can't lose the
alert, and two processes that see the same thing make one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

import sqlalchemy as sa

from crmbridge.store.ledger import tables
from crmbridge.store.ledger.database import Database, insert_new
from crmbridge.store.ledger.watches import Watch

ConditionKind = Literal["failing", "guard", "budget", "drift", "expiry", "did_not_run", "clock"]
AlertState = Literal["raised", "cleared"]


@dataclass(frozen=True)
class Condition:
    """Something that is wrong with a connection: what, since when, and what to do."""

    connection: str
    kind: ConditionKind
    since: datetime
    what: str
    remedy: str


class Seen(NamedTuple):
    """What was seen of one kind of condition at a moment: the condition, or None where all is well."""

    kind: ConditionKind
    at: datetime
    condition: Condition | None


@dataclass(frozen=True)
class Alert:
    """One change of state. `undelivered` are the channels that have not taken it yet."""

    id: int
    connection: str
    kind: ConditionKind
    state: AlertState
    at: datetime
    since: datetime
    what: str
    remedy: str
    undelivered: Sequence[str]
    attempts: int
    next_attempt_at: datetime | None


class Alerts(Database):
    """The ledger's conditions and alerts."""

    def conditions(self, connection: str | None = None) -> list[Condition]:
        """What is wrong now, with one connection or with all."""
        conditions = tables.conditions
        query = sa.select(conditions).order_by(conditions.c.connection, conditions.c.since)
        if connection is not None:
            query = query.where(conditions.c.connection == connection)
        with self._read() as db:
            return [Condition(**row) for row in db.execute(query).mappings()]

    def see(
        self, watch: Watch, seen: Sequence[Seen], channels: Sequence[str], reviewed: int | None = None
    ) -> bool:
        """Take what was seen, in order; every change of state makes one alert for the channels.

        With `reviewed`, it was seen in the runs up to that id: where another process has reviewed them
        meanwhile, nothing is done and False returned.
        """
        watches = tables.watches
        with self._write() as db:
            if reviewed is not None:
                mine = sa.and_(watches.c.connection == watch.connection, watches.c.reviewed == watch.reviewed)
                if db.execute(sa.update(watches).where(mine).values(reviewed=reviewed)).rowcount != 1:
                    return False
            for each in seen:
                _take(db, watch.connection, each, channels)
        return True

    def alerts(self, connection: str | None = None, limit: int = 50) -> list[Alert]:
        """The last alerts, newest first."""
        query = sa.select(tables.alerts).order_by(tables.alerts.c.id.desc()).limit(limit)
        if connection is not None:
            query = query.where(tables.alerts.c.connection == connection)
        return self._alerts(query)

    def due_alerts(self, now: datetime) -> list[Alert]:
        """Alerts that some channel should be told now, oldest first."""
        alerts = tables.alerts
        return self._alerts(
            sa.select(alerts).where(alerts.c.next_attempt_at <= now).order_by(alerts.c.id).limit(100)
        )

    def delivered(self, alert: Alert, undelivered: Sequence[str], next_attempt_at: datetime | None) -> None:
        """Note a try to deliver: who has still not taken it, and when to try again (None: never)."""
        values = {
            "undelivered": list(undelivered),
            "attempts": alert.attempts + 1,
            "next_attempt_at": next_attempt_at,
        }
        with self._write() as db:
            db.execute(sa.update(tables.alerts).where(tables.alerts.c.id == alert.id).values(**values))

    def _alerts(self, query: sa.Select[tuple[object, ...]]) -> list[Alert]:
        with self._read() as db:
            return [Alert(**row) for row in db.execute(query).mappings()]


def _take(db: sa.Connection, connection: str, seen: Seen, channels: Sequence[str]) -> None:
    conditions = tables.conditions
    which = sa.and_(conditions.c.connection == connection, conditions.c.kind == seen.kind)
    if seen.condition is not None:
        found = seen.condition
        values = {
            "connection": connection,
            "kind": seen.kind,
            "since": found.since,
            "what": found.what,
            "remedy": found.remedy,
        }
        new = insert_new(db, conditions).values(**values).on_conflict_do_nothing()
        if db.execute(new).rowcount == 1:
            _alert(db, found, "raised", seen.at, channels)
        else:  # it goes on; its latest words are kept, its beginning stays
            db.execute(sa.update(conditions).where(which).values(what=found.what, remedy=found.remedy))
        return
    ended = db.execute(sa.delete(conditions).where(which).returning(*conditions.c)).mappings().one_or_none()
    if ended is not None:
        _alert(db, Condition(**ended), "cleared", seen.at, channels)


def _alert(
    db: sa.Connection, condition: Condition, state: AlertState, at: datetime, channels: Sequence[str]
) -> None:
    new = sa.insert(tables.alerts).values(
        connection=condition.connection,
        kind=condition.kind,
        state=state,
        at=at,
        since=condition.since,
        what=condition.what,
        remedy=condition.remedy,
        undelivered=list(channels),
        attempts=0,
        next_attempt_at=at if channels else None,
    )
    db.execute(new)
