"""What Odoo's faults mean. They come with HTTP 200 over JSON-RPC, as the name of a Python exception."""

from __future__ import annotations

from typing import Final

DENIED: Final = frozenset(
    {
        "odoo.exceptions.AccessDenied",
        "odoo.http.SessionExpiredException",
        "werkzeug.exceptions.Unauthorized",
    }
)
"""The login or the key is no longer good."""
NOT_ALLOWED: Final = frozenset({"odoo.exceptions.AccessError", "werkzeug.exceptions.Forbidden"})
_PASSING: Final = (
    "psycopg2.errors.SerializationFailure",
    "psycopg2.errors.LockNotAvailable",
    "psycopg2.errors.DeadlockDetected",
    "psycopg2.extensions.TransactionRollbackError",
    "psycopg2.extensions.QueryCanceledError",
    "psycopg2.InterfaceError",
    "psycopg2.pool.PoolError",
    "odoo.exceptions.CacheMiss",
    "odoo.exceptions.LockError",
    "odoo.exceptions.ConcurrencyError",
    "odoo.service.model.RetryableException",
    "werkzeug.exceptions.TooManyRequests",
)


class Fault(Exception):
    """Odoo says no: `name` is the exception's, `message` what a person reads."""

    def __init__(self, name: str, message: str) -> None:
        self.name, self.message = name, " ".join(message.split())
        super().__init__(self.said)

    @property
    def code(self) -> str:
        """`ValidationError`, without the modules before it."""
        return self.name.rpartition(".")[2]

    @property
    def said(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code

    @property
    def is_denied(self) -> bool:
        return self.name in DENIED

    @property
    def is_not_allowed(self) -> bool:
        return self.name in NOT_ALLOWED

    @property
    def is_no_database(self) -> bool:
        return "database" in self.message and "does not exist" in self.message

    @property
    def is_passing(self) -> bool:
        """Whether it may work later: a lock, a clash of two transactions, a database that is starting."""
        if self.name in _PASSING:
            return True
        return self.name.startswith("psycopg2.") and self.code in ("OperationalError", "TransactionRollback")


class Lost(Exception):
    """A request left whose answer never came whole: only reading back tells whether it took effect."""
