"""The database under the ledger: opened, brought up to date, and its errors put into words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect

from crmbridge.errors import BusyError, SettingsError, StoreError
from crmbridge.store import migrations
from crmbridge.store.ledger import tables

BUSY_SECONDS: Final = 30
_TRIES: Final = 100
MIGRATION_LOCK: Final = (
    0x63726D62  # "crmb": the advisory lock all crmbridge processes on a PostgreSQL agree on
)


class Database:
    """An open ledger database. `_read` and `_write` are its only transactions; both raise StoreError."""

    def __init__(
        self, engine: sa.Engine, place: str, clock: Callable[[], datetime], legal_hold: bool = False
    ) -> None:
        self.place, self.clock, self.legal_hold = place, clock, legal_hold
        self._engine = engine
        self._writer = engine.execution_options(writes=True)
        self._held: dict[str, int] = {}

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], datetime], legal_hold: bool = False) -> Self:
        """Open the ledger, creating or upgrading its tables; several processes may do so at once.

        Under a `legal_hold` nothing of it, and nothing of a lake that it registers, is deleted.
        `url` is `sqlite:///FILE` or `postgresql+psycopg://...`. Raises SettingsError for any other, and
        StoreError where the database can't be used.
        """
        engine, place = _engine(url)
        ledger = cls(engine, place, clock, legal_hold)
        try:
            ledger._upgrade()
        except BaseException:
            ledger.close()
            raise
        return ledger

    def close(self) -> None:
        """Give back all connections to the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _upgrade(self) -> None:
        with self._write() as db:
            if db.dialect.name == "postgresql":
                db.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            if migrations.revision(db) == migrations.HEAD:
                return
            try:
                migrations.upgrade(db)
            except migrations.UnknownRevision as unknown:
                raise StoreError(
                    f"The ledger {self.place} was made by a newer crmbridge (revision {unknown}).",
                    remedy="Upgrade crmbridge here, or name another ledger in the settings.",
                ) from None

    def refuse_under_hold(self, what: str) -> None:
        """Raise SettingsError under a legal hold; `what` is the deletion that was asked for."""
        if self.legal_hold:
            raise SettingsError(
                f"a legal hold is set, so nothing is deleted: {what} is refused.",
                remedy="Take `legal_hold` out of [store] in the settings when the hold has ended.",
            )

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the ledger."""
        with self._in_words(), self._engine.connect() as db:
            yield db

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        """A transaction that is kept whole at the end, or not at all."""
        with self._in_words(), self._writer.begin() as db:
            yield db

    def _wipe(self) -> None:
        """Leave nothing of what was deleted in a SQLite file or its log; PostgreSQL has its vacuum."""
        if self._engine.dialect.name != "sqlite":
            return
        with self._in_words():
            connection = self._engine.raw_connection()
            try:
                cursor = connection.cursor()
                cursor.execute("VACUUM")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                cursor.close()
            finally:
                connection.close()

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        driver: Any = self._engine.dialect.loaded_dbapi
        try:
            yield
        except (sa.exc.DBAPIError, driver.Error) as error:  # bulk copies speak to the driver itself
            # The driver's first line only: the rest may quote values, which belong to people.
            said = str(getattr(error, "orig", error)).strip().partition("\n")[0]
            raise StoreError(
                f"The ledger {self.place} can't be used: {said}.", remedy=_remedy(said)
            ) from error

    def _fence(self, db: sa.Connection, connection: str) -> None:
        """Raise BusyError, within a write, if the connection's lease was ours and another took it over."""
        name = f"connection/{connection}"
        token = self._held.get(name)
        if token is not None:
            self._check_token(db, name, token)

    def _check_token(self, db: sa.Connection, name: str, token: int) -> None:
        lease = tables.leases
        query = sa.select(lease.c.token).where(lease.c.name == name, lease.c.host.is_not(None))
        # Nobody can take the lease over until this transaction has ended; heartbeats still pass.
        query = query.with_for_update(read=True, key_share=True)
        if db.execute(query).scalar() != token:
            raise BusyError(
                f"The lease {name} was lost to another process while this one was silent.",
                remedy="Nothing more is written here; the other process goes on.",
            )


def insert_new(db: sa.Connection, table: sa.Table) -> Any:
    """An insert for the database at hand that offers `on_conflict_do_nothing` and `..._do_update`."""
    return (postgresql if db.dialect.name == "postgresql" else sqlite_dialect).insert(table)


def _engine(text: str) -> tuple[sa.Engine, str]:
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError:
        raise SettingsError(
            "The ledger's address is not a database URL.",
            remedy="Use `sqlite:///crmbridge.db` or `postgresql+psycopg://user@host/database`.",
        ) from None
    place = url.render_as_string(hide_password=True)
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        return _sqlite(url), place
    if url.drivername == "postgresql+psycopg":
        try:
            return sa.create_engine(url, hide_parameters=True, pool_pre_ping=True), place
        except ModuleNotFoundError as missing:
            raise SettingsError(
                f"The ledger {place} needs the Python package {missing.name}.",
                remedy="Install it with `pip install 'crmbridge[postgresql]'`.",
            ) from None
    raise SettingsError(
        f"The ledger can't live in {url.drivername}.",
        remedy="Use `sqlite:///crmbridge.db` or `postgresql+psycopg://user@host/database`.",
    )


def _sqlite(url: sa.URL) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise SettingsError(
            "The ledger needs a file: what is only in memory is lost with the process.",
            remedy="Use `sqlite:///crmbridge.db`.",
        )
    folder = Path(url.database).absolute().parent
    if not folder.is_dir():
        raise StoreError(
            f"The folder of the ledger does not exist: {folder}.",
            remedy="Make it, or change `ledger` under [store] in the settings.",
        )
    engine = sa.create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        _use_wal(cursor)
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute(
            "PRAGMA journal_size_limit = 67108864"
        )  # a large plan must not leave a large log behind
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begin(db: sa.Connection) -> None:
        # A reader that turns into a writer may find its snapshot outdated and fail; a writer queues up.
        db.exec_driver_sql("BEGIN IMMEDIATE" if db.get_execution_options().get("writes") else "BEGIN")

    return engine


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Switch a new file to write-ahead logging.

    SQLite refuses at once where two connections try that together, instead of letting one wait.
    """
    for attempt in range(_TRIES):
        if cursor.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            return
        try:
            cursor.execute("PRAGMA page_size = 16384")  # plans are written a third faster
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if attempt == _TRIES - 1:
                raise
            cursor.execute("BEGIN IMMEDIATE")  # this does wait
            cursor.execute("COMMIT")


_REMEDIES: Final = {
    "is full": "Free space on the disk, then run again: nothing was half written.",
    "No space left": "Free space on the disk, then run again: nothing was half written.",
    "readonly": "Give this user the right to write the file and its folder.",
    "unable to open": "Give this user the right to write the file and its folder.",
    "malformed": "Restore the file from a backup; `sqlite3 FILE .recover` saves what can be read.",
    "not a database": "Name another file as `ledger` under [store], or restore this one from a backup.",
    "locked": f"Another process held it for more than {BUSY_SECONDS} seconds; run again when it is done.",
    "password": "Check user and password in the ledger's URL.",
    "connection": "Check that the database server runs and can be reached from here.",
}


def _remedy(said: str) -> str:
    for sign, remedy in _REMEDIES.items():
        if sign in said:
            return remedy
    return "Check the database, then run again: nothing was half written."
