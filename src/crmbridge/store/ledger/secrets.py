"""Secrets that processes share, as ciphertext: the key is never here (see crmbridge/secrets.py)."""

from __future__ import annotations

import sqlalchemy as sa

from crmbridge.store.ledger import tables
from crmbridge.store.ledger.database import Database, insert_new


class Secrets(Database):
    """The ledger's ciphertexts."""

    def secret(self, connection: str, name: str) -> bytes | None:
        """The ciphertext stored under this name, if any."""
        with self._read() as db:
            found = db.execute(
                sa.select(tables.secrets.c.ciphertext).where(*_which(connection, name))
            ).scalar()
        return None if found is None else bytes(found)

    def set_secret(self, connection: str, name: str, ciphertext: bytes) -> None:
        """Store a ciphertext in the place of any former one."""
        values = {"ciphertext": ciphertext, "updated_at": self.clock()}
        with self._write() as db:
            db.execute(
                insert_new(db, tables.secrets)
                .values(connection=connection, name=name, **values)
                .on_conflict_do_update(index_elements=["connection", "name"], set_=values)
            )

    def delete_secret(self, connection: str, name: str) -> None:
        """Forget a ciphertext; none of that name is fine."""
        with self._write() as db:
            db.execute(sa.delete(tables.secrets).where(*_which(connection, name)))


def _which(connection: str, name: str) -> list[sa.ColumnElement[bool]]:
    return [tables.secrets.c.connection == connection, tables.secrets.c.name == name]
