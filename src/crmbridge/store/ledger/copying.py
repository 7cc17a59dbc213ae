"""The ledger as plain tables, out of one database and into another: SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa

from crmbridge.errors import StoreError
from crmbridge.store import migrations
from crmbridge.store.ledger import tables
from crmbridge.store.ledger.database import MIGRATION_LOCK, Database
from crmbridge.store.ledger.parts import PART_COLUMNS, Part

CHUNK: Final = 10_000
_HOLDER: Final = ("host", "machine", "pid", "process_start", "since", "renewed_at")


class Snapshot:
    """One state of the ledger, as long as the transaction lasts."""

    def __init__(self, db: sa.Connection) -> None:
        self._db = db

    def parts(self) -> list[Part]:
        """All registered parts, of all connections."""
        parts = tables.parts
        query = sa.select(*PART_COLUMNS).order_by(parts.c.connection, parts.c.object, parts.c.first_seq)
        return [Part(**row) for row in self._db.execute(query).mappings()]

    def rows(self, table: sa.Table) -> Iterator[list[dict[str, Any]]]:
        """A table's rows, a chunk at a time, JSON as text. Nobody holds the leases of a copy."""
        columns = [
            sa.type_coerce(column, sa.Text).label(column.name)
            if isinstance(column.type, tables.Json)
            else column
            for column in table.columns
        ]
        query = sa.select(*columns).order_by(*table.primary_key.columns)
        found = self._db.execution_options(stream_results=True).execute(query)
        for chunk in found.mappings().partitions(CHUNK):
            rows = [dict(row) for row in chunk]
            if table is tables.leases:
                rows = [{**row, **dict.fromkeys(_HOLDER)} for row in rows]
            yield rows


class Copying(Database):
    """The ledger's copying."""

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """One state of all tables, whatever is written meanwhile."""
        with self._in_words(), self._engine.connect() as db:
            if db.dialect.name == "postgresql":
                db = db.execution_options(isolation_level="REPEATABLE READ")
            yield Snapshot(db)

    def is_empty(self) -> bool:
        """Whether nothing ever ran and no secret is kept."""
        with self._read() as db:
            return not any(
                db.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first()
                for table in (tables.runs, tables.secrets, tables.alerts)
            )

    def replace_all(
        self, revision: str, content: Mapping[str, Iterator[Sequence[Mapping[str, Any]]]]
    ) -> None:
        """Put these tables, as of a revision of the schema, in the place of all there is, in one transaction.

        Then they are brought up to date. Raises StoreError where the revision is of a newer crmbridge.
        """
        with self._write() as db:
            if db.dialect.name == "postgresql":
                db.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            _drop_all(db)
            try:
                migrations.upgrade(db, revision)
            except migrations.UnknownRevision as unknown:
                raise StoreError(
                    f"The backup was made by a newer crmbridge (revision {unknown}).",
                    remedy="Upgrade crmbridge here first.",
                ) from None
            there = sa.MetaData()
            there.reflect(db)
            for table in there.sorted_tables:
                for rows in content.get(table.name, iter(())):
                    if rows:
                        db.execute(sa.insert(table), list(rows))
            _count_on(db, there)
            migrations.upgrade(db)


def _drop_all(db: sa.Connection) -> None:
    there = sa.MetaData()
    there.reflect(db)
    there.drop_all(db)


def _count_on(db: sa.Connection, there: sa.MetaData) -> None:
    """Let numbers that a PostgreSQL database counts up go on behind those that are used; SQLite does."""
    if db.dialect.name != "postgresql":
        return
    for table in there.sorted_tables:
        if "id" in table.c and isinstance(table.c.id.type, sa.Integer):
            last = db.execute(sa.select(sa.func.max(table.c.id))).scalar()
            if last is not None:
                sequence = sa.func.pg_get_serial_sequence(table.name, "id")
                db.execute(sa.select(sa.func.setval(sequence, last)))
