"""What the lake holds: registered parts, the cursors they reach, the rows set aside on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from pydantic import JsonValue

from crmbridge.store.ledger import tables
from crmbridge.store.ledger.database import Database, insert_new

Digest = bytes


@dataclass(frozen=True)
class Part:
    """One registered Parquet file of record versions.

    `path` is relative to the lake's root. `updates` counts rows that replace an earlier version, `tombstones`
    rows that say a record is gone, `live` by how much the part raised the number of live records. The seqs of
    its rows lie in `first_seq..last_seq`, which no other part's overlap; their valid_from in
    `oldest..newest`. `digest` is the file's (`lake.files.digest`).
    """

    connection: str
    object: str
    number: int
    path: str
    rows: int
    updates: int
    tombstones: int
    live: int
    first_seq: int
    last_seq: int
    oldest: datetime
    newest: datetime
    bytes: int
    run: int
    digest: Digest | None = None


@dataclass(frozen=True)
class PartsState:
    """What an object's parts come to. `count` and `last_id` together differ after any change of them."""

    count: int
    last_id: int
    last_number: int
    last_seq: int
    live: int


@dataclass(frozen=True)
class SetAsideRow:
    """A row that did not fit the model: where the admin finds it, why, and the row as it came."""

    object: str
    place: str
    reason: str
    id: str | None = None
    raw: str | None = None


class Parts(Database):
    """The ledger's record of the lake."""

    def connections(self) -> list[str]:
        """Every connection that ever ran, sorted."""
        with self._read() as db:
            query = sa.select(tables.runs.c.connection).distinct().order_by(tables.runs.c.connection)
            return list(db.execute(query).scalars())

    def cursor(self, connection: str, object_name: str) -> Mapping[str, JsonValue] | None:
        """Where the next pull of the object goes on, or None before the first page is stored."""
        cursors = tables.cursors
        query = sa.select(cursors.c.cursor).where(
            cursors.c.connection == connection, cursors.c.object == object_name
        )
        with self._read() as db:
            found: Mapping[str, JsonValue] | None = db.execute(query).scalar()
        return found

    def parts(self, connection: str, object_name: str | None = None) -> list[Part]:
        """The registered parts of an object, or of all objects, each object's oldest first."""
        parts = tables.parts
        query = sa.select(*PART_COLUMNS).where(parts.c.connection == connection)
        if object_name is not None:
            query = query.where(parts.c.object == object_name)
        with self._read() as db:
            return [
                Part(**row)
                for row in db.execute(query.order_by(parts.c.object, parts.c.first_seq)).mappings()
            ]

    def newest(self, connection: str) -> datetime | None:
        """The latest moment the lake knows the connection as of; what the CRM holds of ours counts not."""
        parts = tables.parts
        query = sa.select(sa.func.max(parts.c.newest)).where(
            parts.c.connection == connection, parts.c.object.not_like("held/%")
        )
        with self._read() as db:
            return db.execute(query).scalar()

    def parts_state(self, connection: str, object_name: str) -> PartsState:
        """How many parts an object has, the last number and seq used (0 if none), and its live records."""
        parts = tables.parts
        sums = (
            sa.func.count(),
            sa.func.max(parts.c.id),
            sa.func.max(parts.c.number),
            sa.func.max(parts.c.last_seq),
            sa.func.sum(parts.c.live),
        )
        query = sa.select(*sums).where(parts.c.connection == connection, parts.c.object == object_name)
        with self._read() as db:
            return PartsState(*(int(number or 0) for number in db.execute(query).one()))

    def register(
        self,
        connection: str,
        object_name: str,
        run: int,
        *,
        part: Part | None,
        cursor: Mapping[str, JsonValue] | None,
        set_aside: Sequence[SetAsideRow],
    ) -> int | None:
        """Make a part, the cursor it reaches and what was set aside on the way exist, all at once.

        Returns the part's id, as in `PartsState.last_id`.
        """
        id = None
        with self._write() as db:
            self._fence(db, connection)
            if part is not None:
                new = sa.insert(tables.parts).values(**asdict(part))
                id = int(db.execute(new.returning(tables.parts.c.id)).scalar_one())
            if cursor is not None:
                values = {"cursor": dict(cursor), "run": run, "updated_at": self.clock()}
                place = {"connection": connection, "object": object_name}
                db.execute(
                    insert_new(db, tables.cursors)
                    .values(**place, **values)
                    .on_conflict_do_update(index_elements=["connection", "object"], set_=values)
                )
            _set_aside(db, run, set_aside)
        return id

    def replace_parts(self, connection: str, old: Sequence[Part], new: Sequence[Part]) -> None:
        """Put new parts in the place of old ones of the connection, all at once."""
        parts = tables.parts
        with self._write() as db:
            self._fence(db, connection)
            for part in old:
                db.execute(
                    sa.delete(parts).where(
                        parts.c.connection == connection,
                        parts.c.object == part.object,
                        parts.c.number == part.number,
                    )
                )
            for part in new:
                db.execute(sa.insert(parts).values(**asdict(part)))

    def drop_set_aside(self, connection: str, before: datetime) -> int:
        """Remove what runs that began before a moment set aside; returns how many rows. Summaries count them.

        Under a legal hold nothing goes.
        """
        runs, aside = tables.runs, tables.set_aside
        if self.legal_hold:
            return 0
        old = sa.select(runs.c.id).where(runs.c.connection == connection, runs.c.started_at < before)
        with self._write() as db:
            self._fence(db, connection)
            return db.execute(sa.delete(aside).where(aside.c.run.in_(old))).rowcount

    def set_aside(self, run_id: int, items: Sequence[SetAsideRow]) -> None:
        """Keep rows that do not fit. The same object, place and reason counts once per run."""
        with self._write() as db:
            _set_aside(db, run_id, items)

    def set_aside_rows(self, run_id: int, limit: int = 1000, offset: int = 0) -> list[SetAsideRow]:
        """What the run set aside, in the order in which it came."""
        aside = tables.set_aside
        query = (
            sa.select(aside.c.object, aside.c.place, aside.c.reason, aside.c.record_id, aside.c.raw)
            .where(aside.c.run == run_id)
            .order_by(aside.c.id)
            .limit(limit)
            .offset(offset)
        )
        with self._read() as db:
            return [SetAsideRow(*row) for row in db.execute(query)]

    def set_aside_counts(self, run_id: int) -> dict[str, int]:
        """How many rows the run set aside, per object."""
        aside = tables.set_aside
        query = (
            sa.select(aside.c.object, sa.func.count())
            .where(aside.c.run == run_id)
            .group_by(aside.c.object)
            .order_by(aside.c.object)
        )
        with self._read() as db:
            return {name: int(number) for name, number in db.execute(query)}


PART_COLUMNS: Final = tuple(column for column in tables.parts.c if column.name != "id")


def _set_aside(db: sa.Connection, run: int, items: Sequence[SetAsideRow]) -> None:
    if not items:
        return
    rows = [
        {
            "run": run,
            "digest": _digest(item),
            "object": item.object,
            "place": item.place,
            "reason": item.reason,
            "record_id": item.id,
            "raw": item.raw,
        }
        for item in items
    ]
    db.execute(insert_new(db, tables.set_aside).on_conflict_do_nothing(), rows)


def _digest(item: SetAsideRow) -> bytes:
    text = tables.json_text([item.object, item.place, item.reason])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
