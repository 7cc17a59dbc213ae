"""Plans and their rows: what would be written, and what became of it.

States are counted from the rows themselves, never kept beside them, so that
`pending + sent + same + rejected = planned` can't be broken, by a kill either. Only when rows are removed, in
the same transaction, their last counts are written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal, NamedTuple

import sqlalchemy as sa

from crmbridge.errors import NotFoundError, StoreError
from crmbridge.model.fields import FieldValue
from crmbridge.store.ledger import tables
from crmbridge.store.ledger.database import Database

PlanKind = Literal["write", "undo"]
PlanStatus = Literal["awaiting_approval", "stopped", "approved", "done", "superseded", "dry_run"]
RowState = Literal["pending", "sent", "same", "rejected"]

_CHUNK: Final = 10_000


class PlanRow(NamedTuple):
    """One record's change. `before` is what the CRM held when it was planned; keys are catalogue keys.

    A tuple, because there are millions: a frozen dataclass takes four times as long to make.
    """

    object: str
    id: str
    before: Mapping[str, FieldValue]
    after: Mapping[str, FieldValue]
    reason: str
    position: int = -1
    state: RowState = "pending"
    attempts: int = 0
    in_flight: bool = False
    code: str | None = None
    message: str | None = None


class PlanText(NamedTuple):
    """A new row as it is stored: `before` and `after` are JSON already, made in columns for a whole plan."""

    object: str
    id: str
    before: str
    after: str
    reason: str


@dataclass(frozen=True)
class Counts:
    """`pending + sent + same + rejected = planned`. `retried`, beside them, counts further attempts."""

    planned: int
    pending: int
    sent: int
    same: int
    rejected: int
    retried: int


@dataclass(frozen=True)
class Plan:
    """`guards` maps each guard that stopped the plan to the sentence that says why; `undoes` is a run.

    `counts` are those of a plan whose rows were removed, and `emptied_at` is when they were.
    """

    id: int
    run: int
    connection: str
    kind: PlanKind
    moment: datetime
    created_at: datetime
    status: PlanStatus
    approved_by: Literal["person", "policy"] | None
    approved_at: datetime | None
    guards: Mapping[str, str]
    undoes: int | None
    counts: Mapping[str, int] | None = None
    emptied_at: datetime | None = None


class Plans(Database):
    """The ledger's plans."""

    def store_plan(
        self,
        run_id: int,
        connection: str,
        kind: PlanKind,
        moment: datetime,
        rows: Iterable[PlanRow | PlanText],
        *,
        status: PlanStatus,
        guards: Mapping[str, str],
        undoes: int | None = None,
    ) -> Plan:
        """Keep a plan whole, its rows in the order given (each `position` is counted here, from 0).

        `rows` is consumed within the transaction, a chunk at a time, and must not itself write to the ledger.
        A write plan, unless it is a dry run, supersedes the connection's older ones that were never approved;
        their rows, which nobody can write any more, go: a schedule makes such plans day and night. Under a
        legal hold they stay.
        """
        plans = tables.plans
        with self._write() as db:
            self._fence(db, connection)
            if kind == "write" and status != "dry_run":
                older = sa.and_(
                    plans.c.connection == connection,
                    plans.c.kind == "write",
                    plans.c.status.in_(["awaiting_approval", "stopped"]),
                )
                superseded = db.execute(sa.select(plans.c.id).where(older)).scalars().all()
                db.execute(sa.update(plans).where(older).values(status="superseded"))
                for each in superseded if not self.legal_hold else ():
                    self._empty(db, each)
            new = sa.insert(plans).values(
                run=run_id,
                connection=connection,
                kind=kind,
                moment=moment,
                created_at=self.clock(),
                status=status,
                guards=dict(guards),
                undoes=undoes,
            )
            plan_id = int(db.execute(new.returning(plans.c.id)).scalar_one())
            write = _copy_rows if db.dialect.name == "postgresql" else _insert_rows
            write(db, _row_tuples(plan_id, rows))
            return _plan(db, plan_id)

    def plan(self, plan_id: int) -> Plan:
        """The plan of this id. Raises NotFoundError."""
        with self._read() as db:
            return _plan(db, plan_id)

    def plans(self, connection: str, limit: int = 50) -> list[Plan]:
        """The connection's last plans, newest first."""
        query = sa.select(tables.plans).where(tables.plans.c.connection == connection)
        with self._read() as db:
            found = db.execute(query.order_by(tables.plans.c.id.desc()).limit(limit))
            return [Plan(**row) for row in found.mappings()]

    def plan_of_run(self, run_id: int) -> Plan | None:
        """The newest plan that the run made."""
        return self._newest(tables.plans.c.run == run_id)

    def unfinished_plan(self, connection: str) -> Plan | None:
        """The newest plan of the connection that was approved and not closed: rows may be pending."""
        plans = tables.plans
        return self._newest(plans.c.connection == connection, plans.c.status == "approved")

    def auto_allowed(self, connection: str) -> bool:
        """Whether a person approved a plan that was then applied, and no undo came after the newest such."""
        plans = tables.plans
        query = (
            sa.select(plans.c.kind)
            .where(
                plans.c.connection == connection,
                plans.c.approved_at.is_not(None),
                sa.or_(
                    plans.c.kind == "undo",
                    sa.and_(plans.c.approved_by == "person", plans.c.status == "done"),
                ),
            )
            .order_by(plans.c.approved_at.desc(), plans.c.id.desc())
            .limit(1)
        )
        with self._read() as db:
            return db.execute(query).scalar() == "write"

    def plan_rows(
        self, plan_id: int, *, state: RowState | None = None, after: int = -1, limit: int = 1000
    ) -> list[PlanRow]:
        """The next rows of a plan behind the position `after`, of one state or of all, by position."""
        rows = tables.plan_rows
        query = sa.select(*_COLUMNS).where(rows.c.plan == plan_id, rows.c.position > after)
        if state is not None:
            query = query.where(rows.c.state == state)
        with self._read() as db:
            return [PlanRow(*row) for row in db.execute(query.order_by(rows.c.position).limit(limit))]

    def counts(self, plan_id: int) -> Counts:
        """How many of the plan's rows are in each state, counted now, or when they were removed.

        Raises NotFoundError.
        """
        with self._read() as db:
            plan = _plan(db, plan_id)
            return Counts(**plan.counts) if plan.counts is not None else _counted(db, plan_id)

    def empty_plans(self, connection: str, before: datetime) -> int:
        """Remove the rows of plans that were made before a moment; returns of how many plans.

        Their counts are kept for ever. A plan that can still be written keeps its rows, and under a legal
        hold all do.
        """
        plans = tables.plans
        old = sa.select(plans.c.id).where(
            plans.c.connection == connection,
            plans.c.created_at < before,
            plans.c.emptied_at.is_(None),
            plans.c.status.in_(["done", "dry_run", "superseded"]),
        )
        with self._read() as db:
            found = [] if self.legal_hold else db.execute(old.order_by(plans.c.id)).scalars().all()
        for plan_id in found:  # one at a time: nobody waits long for the ledger
            with self._write() as db:
                self._fence(db, connection)
                self._empty(db, plan_id)
        return len(found)

    def _empty(self, db: sa.Connection, plan_id: int) -> None:
        counts = asdict(_counted(db, plan_id))
        db.execute(sa.delete(tables.plan_rows).where(tables.plan_rows.c.plan == plan_id))
        _change(db, plan_id, counts=counts, emptied_at=self.clock())

    def approve(self, plan_id: int, by: Literal["person", "policy"]) -> Plan:
        """Let a plan be applied; a second time changes nothing. Raises StoreError where it is too late."""
        with self._write() as db:
            plan = _plan(db, plan_id)
            self._fence(db, plan.connection)
            if plan.status == "approved":
                return plan
            if plan.status not in ("awaiting_approval", "stopped"):
                raise StoreError(
                    f"Plan {plan_id} can't be approved: it is {plan.status.replace('_', ' ')}.",
                    remedy=f"Make a new one with `crmbridge plan {plan.connection}`.",
                )
            return _change(db, plan_id, status="approved", approved_by=by, approved_at=self.clock())

    def close_plan(self, plan_id: int) -> Plan:
        """Call an approved plan done. Raises StoreError while a row is pending."""
        rows = tables.plan_rows
        with self._write() as db:
            plan = _plan(db, plan_id)
            self._fence(db, plan.connection)
            if plan.status == "done":
                return plan
            pending = sa.select(sa.func.count()).where(rows.c.plan == plan_id, rows.c.state == "pending")
            number = db.execute(pending).scalar_one()
            if number or plan.status != "approved":
                why = f"{number} rows are pending" if number else f"it is {plan.status.replace('_', ' ')}"
                raise StoreError(f"Plan {plan_id} can't be closed: {why}.")
            return _change(db, plan_id, status="done")

    def begin_attempt(self, plan_id: int, positions: Sequence[int]) -> None:
        """Note, before the request leaves, that these rows are on their way.

        Raises StoreError if the plan is not approved or a row is not pending: nothing is sent twice.
        """
        with self._write() as db:
            plan = _plan(db, plan_id)
            self._fence(db, plan.connection)
            if plan.status != "approved":
                raise StoreError(f"Plan {plan_id} is not approved: nothing of it may be sent.")
            changed = "attempts = attempts + 1, in_flight = {true}"
            _update_pending(db, plan_id, changed, [(position,) for position in positions])

    def record(self, plan_id: int, outcomes: Sequence[tuple[int, RowState, str | None, str | None]]) -> None:
        """Write what became of rows: position, state, and the CRM's code and message.

        A state of `pending` means another try. Raises StoreError if a row has got its final state before.
        """
        with self._write() as db:
            self._fence(db, _plan(db, plan_id).connection)
            changed = "state = {mark}, code = {mark}, message = {mark}, in_flight = {false}"
            values = [
                (
                    state,
                    *(None if words is None else tables.storable(words) for words in (code, message)),
                    position,
                )
                for position, state, code, message in outcomes
            ]
            _update_pending(db, plan_id, changed, values)

    def _newest(self, *conditions: sa.ColumnElement[bool]) -> Plan | None:
        query = sa.select(tables.plans).where(*conditions).order_by(tables.plans.c.id.desc()).limit(1)
        with self._read() as db:
            row = db.execute(query).mappings().one_or_none()
        return None if row is None else Plan(**row)


_COLUMNS: Final = tuple(
    tables.plan_rows.c[name]
    for name in (
        "object",
        "id",
        "before",
        "after",
        "reason",
        "position",
        "state",
        "attempts",
        "in_flight",
        "code",
        "message",
    )
)
_WRITTEN: Final = '(plan, position, object, id, "before", "after", reason)'


def _plan(db: sa.Connection, plan_id: int) -> Plan:
    row = db.execute(sa.select(tables.plans).where(tables.plans.c.id == plan_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(
            f"There is no plan {plan_id}.", remedy="`crmbridge run RUN` names the plan of a run."
        )
    return Plan(**row)


def _counted(db: sa.Connection, plan_id: int) -> Counts:
    rows = tables.plan_rows
    states = sa.select(rows.c.state, sa.func.count()).where(rows.c.plan == plan_id).group_by(rows.c.state)
    retries = sa.select(sa.func.coalesce(sa.func.sum(rows.c.attempts - 1), 0)).where(
        rows.c.plan == plan_id, rows.c.attempts > 1
    )
    found = {state: int(number) for state, number in db.execute(states)}
    return Counts(
        planned=sum(found.values()),
        pending=found.get("pending", 0),
        sent=found.get("sent", 0),
        same=found.get("same", 0),
        rejected=found.get("rejected", 0),
        retried=int(db.execute(retries).scalar_one()),
    )


def _change(db: sa.Connection, plan_id: int, **values: Any) -> Plan:
    db.execute(sa.update(tables.plans).where(tables.plans.c.id == plan_id).values(**values))
    return _plan(db, plan_id)


def _row_tuples(plan_id: int, rows: Iterable[PlanRow | PlanText]) -> Iterator[tuple[Any, ...]]:
    text, words = tables.json_text, tables.storable
    for position, row in enumerate(rows):
        if isinstance(row, PlanText):
            yield plan_id, position, row.object, row.id, row.before, row.after, words(row.reason)
        else:
            yield plan_id, position, row.object, row.id, text(row.before), text(row.after), words(row.reason)


def _insert_rows(db: sa.Connection, rows: Iterator[tuple[Any, ...]]) -> None:
    statement = f"INSERT INTO plan_rows {_WRITTEN} VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - our own words
    while chunk := list(islice(rows, _CHUNK)):
        db.exec_driver_sql(statement, chunk)


def _copy_rows(db: sa.Connection, rows: Iterator[tuple[Any, ...]]) -> None:
    driver: Any = db.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY plan_rows {_WRITTEN} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _update_pending(db: sa.Connection, plan_id: int, changed: str, values: Sequence[tuple[Any, ...]]) -> None:
    """Update the pending rows whose positions stand last in `values`, in the driver's own words for speed."""
    if not values:
        return
    postgresql = db.dialect.name == "postgresql"
    marks = {"mark": "%s" if postgresql else "?"}
    truth = {"true": "true", "false": "false"} if postgresql else {"true": "1", "false": "0"}
    statement = (
        f"UPDATE plan_rows SET {changed} WHERE plan = {plan_id:d} AND position = {{mark}} "  # noqa: S608
        "AND state = 'pending'"
    ).format(**marks, **truth)
    updated = db.exec_driver_sql(statement, list(values)).rowcount
    if updated != len(values):
        raise StoreError(
            f"Plan {plan_id}: {len(values) - updated} of {len(values)} rows are not pending (any more).",
            remedy="Nothing of this batch was noted; `crmbridge run` shows the rows.",
        )
