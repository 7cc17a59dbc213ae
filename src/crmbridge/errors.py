"""One family of errors. Each says what happened, where, what the CRM said, and what to do next."""

from __future__ import annotations

__all__ = [
    "AuthError",
    "BusyError",
    "CRMBridgeError",
    "GuardError",
    "NotFoundError",
    "QuotaError",
    "SettingsError",
    "StoreError",
    "TransientError",
]


class CRMBridgeError(Exception):
    """Base of every error crmbridge raises on purpose.

    `what` is one sentence, `remedy` the next step for the admin; `connection`, `record` and `said`
    (the CRM's own words) are filled where they are known.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        remedy: str | None = None,
        connection: str | None = None,
        record: str | None = None,
        said: str | None = None,
    ) -> None:
        self.what, self.remedy, self.said = what, remedy, said
        self.connection, self.record = connection, record
        super().__init__(str(self))

    def __str__(self) -> str:
        where = " ".join(part for part in (self.connection, self.record) if part)
        text = f"{where}: {self.what}" if where else self.what
        if self.said:
            text += f" The CRM said: {self.said}"
        if self.remedy:
            text += f" {self.remedy}"
        return text


class SettingsError(CRMBridgeError):
    """Wrong usage or settings: a missing file or column, an unknown key, a secret in the file."""

    exit_code = 2


class AuthError(CRMBridgeError):
    """The CRM refused the sign-in for good: a person has to act; it is never retried in a loop."""


class TransientError(CRMBridgeError):
    """The CRM could not answer now (network, limits, locks) and retries are used up."""


class QuotaError(CRMBridgeError):
    """The connection's share of the vendor's API limit is used up; a later run goes on."""


class StoppedError(CRMBridgeError):
    """The run was asked to stop and has: it goes on from its checkpoint when it is started again."""


class StoreError(CRMBridgeError):
    """The ledger or the lake can't be read or written as it should."""


class BusyError(CRMBridgeError):
    """Another process runs this connection now."""

    exit_code = 3


class GuardError(CRMBridgeError):
    """A guard stopped the run before anything was written."""

    exit_code = 3


class NotFoundError(CRMBridgeError):
    """A run, plan, record or model of that name does not exist."""

    exit_code = 2
