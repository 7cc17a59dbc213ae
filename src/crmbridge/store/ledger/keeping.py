"""What keeps a store in order over years: whose the lake is, when upkeep was done, which copies were made."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from crmbridge.store.ledger import tables
from crmbridge.store.ledger.database import Database, insert_new

CopyKind = Literal["backup", "export", "report"]


@dataclass(frozen=True)
class Copy:
    """A folder or file that was written out of the store; `connection` is None where it holds all of them."""

    connection: str | None
    kind: CopyKind
    place: str
    made_at: datetime


class Keeping(Database):
    """The ledger's notes on its own keeping."""

    def identity(self) -> str:
        """The ledger's own name, the same for as long as it lives, in a backup and restored from it too."""
        query = sa.select(tables.identity.c.id).order_by(tables.identity.c.id).limit(1)
        with self._read() as db:
            known = db.execute(query).scalar()
        if known is not None:
            return str(known)
        with self._write() as db:
            if db.execute(query).scalar() is None:
                db.execute(insert_new(db, tables.identity).values(id=uuid.uuid4().hex))
            return str(db.execute(query).scalar_one())

    def add_copy(self, connection: str | None, kind: CopyKind, place: str) -> None:
        """Note that a copy was made; one in the same place takes the place of the former."""
        values = {"connection": connection, "kind": kind, "made_at": self.clock()}
        with self._write() as db:
            db.execute(
                insert_new(db, tables.copies)
                .values(place=place, **values)
                .on_conflict_do_update(index_elements=["place"], set_=values)
            )

    def copies(self, connection: str) -> list[Copy]:
        """The copies that may hold records of the connection, oldest first."""
        copies = tables.copies
        query = (
            sa.select(copies.c.connection, copies.c.kind, copies.c.place, copies.c.made_at)
            .where(sa.or_(copies.c.connection == connection, copies.c.connection.is_(None)))
            .order_by(copies.c.made_at, copies.c.id)
        )
        with self._read() as db:
            return [Copy(*row) for row in db.execute(query)]

    def upkeep_done(self, connection: str) -> datetime | None:
        """The moment up to which the connection's old rows and versions were thinned, if ever."""
        query = sa.select(tables.upkeep.c.done_at).where(tables.upkeep.c.connection == connection)
        with self._read() as db:
            return db.execute(query).scalar()

    def set_upkeep_done(self, connection: str, moment: datetime) -> None:
        """Note that upkeep was done as of a moment."""
        with self._write() as db:
            self._fence(db, connection)
            db.execute(
                insert_new(db, tables.upkeep)
                .values(connection=connection, done_at=moment)
                .on_conflict_do_update(index_elements=["connection"], set_={"done_at": moment})
            )
