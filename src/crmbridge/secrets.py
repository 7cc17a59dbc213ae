"""Where secrets come from: the environment, a file of mode 600, the ledger's encrypted store, the keyring."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Literal

import keyring
import keyring.errors
from cryptography.fernet import Fernet, InvalidToken
from keyring.backend import KeyringBackend
from pydantic import SecretStr

from crmbridge.connectors.http import MemoryVault, Vault
from crmbridge.errors import BusyError, SettingsError
from crmbridge.store.ledger import Ledger

KEY_VARIABLE = "CRMBRIDGE_KEY"
SERVICE = "crmbridge"
TOKEN: Final = "token"  # noqa: S105 - the name it is stored under
WAIT_SECONDS: Final = 0.5
WAITS: Final = 240
_ELSEWHERE = "the environment, a file of mode 600 or the ledger's encrypted store"


def variable(connection: str, name: str) -> str:
    """`CRMBRIDGE_ACME_CLIENT_SECRET` for connection `acme` and secret `client_secret`."""
    return f"CRMBRIDGE_{connection}_{name}".upper().replace("-", "_")


class Secrets:
    """The secrets of one connection. `files` maps a secret's name to the file that holds it."""

    def __init__(
        self,
        connection: str,
        *,
        files: Mapping[str, Path],
        ledger: Ledger | None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.connection = connection
        self._files = files
        self._ledger = ledger
        self._environment = environment

    def find(self, name: str) -> SecretStr | None:
        """The secret, or None where it is set nowhere."""
        value = (
            self._environment.get(variable(self.connection, name))
            or self._from_file(name)
            or self._from_ledger(name)
            or self._from_keyring(f"{self.connection}/{name}")
        )
        return SecretStr(value) if value else None

    def get(self, name: str) -> SecretStr:
        """The secret. Raises SettingsError that names every way to give it."""
        found = self.find(name)
        if found is not None:
            return found
        raise SettingsError(
            f"the secret {name} is not set.",
            connection=self.connection,
            remedy=f"Set {variable(self.connection, name)} in the environment, or run "
            f"`crmbridge secret set {self.connection} {name}`, or name a file of mode 600 as {name}_file.",
        )

    def set(self, name: str, value: SecretStr, *, store: Literal["keyring", "ledger"]) -> None:
        """Keep a secret in the keyring, or encrypted in the ledger."""
        if store == "keyring":
            _safe_keyring().set_password(SERVICE, f"{self.connection}/{name}", value.get_secret_value())
        elif self._ledger is not None:
            self._ledger.set_secret(
                self.connection, name, self._cipher().encrypt(value.get_secret_value().encode())
            )

    def stored(self, name: str) -> str | None:
        """What the ledger's encrypted store holds, or None."""
        return self._from_ledger(name)

    def vault(self) -> Vault:
        """Where the token lies: in the ledger where there is a key for it, else in this process."""
        if self._ledger is None or not self._key():
            return MemoryVault()
        return LedgerVault(self, self._ledger)

    def _key(self) -> str | None:
        return self._environment.get(KEY_VARIABLE) or self._from_keyring("key")

    def _from_file(self, name: str) -> str | None:
        path = self._files.get(name)
        if path is None:
            return None
        try:
            mode = path.stat().st_mode
            text = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(
                f"{name}_file {path} can't be read: {error.strerror}.", connection=self.connection
            ) from error
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsError(
                f"{name}_file {path} can be read by others.",
                connection=self.connection,
                remedy=f"Run `chmod 600 {path}`.",
            )
        return text

    def _from_ledger(self, name: str) -> str | None:
        stored = self._ledger.secret(self.connection, name) if self._ledger else None
        if stored is None:
            return None
        try:
            return self._cipher().decrypt(stored).decode()
        except InvalidToken as error:
            raise SettingsError(
                f"the stored secret {name} can't be decrypted with the present key.",
                connection=self.connection,
                remedy=f"Put back the key it was stored with as {KEY_VARIABLE}, or set the secret again.",
            ) from error

    def _cipher(self) -> Fernet:
        key = self._key()
        if not key:
            raise SettingsError(
                "the ledger's encrypted store has no key.",
                connection=self.connection,
                remedy="Make one with `crmbridge secret new-key` and give it as "
                f"{KEY_VARIABLE} or keep it in the keyring.",
            )
        try:
            return Fernet(key)
        except ValueError as error:
            raise SettingsError(
                f"{KEY_VARIABLE} is not a key made by `crmbridge secret new-key`.", connection=self.connection
            ) from error

    def _from_keyring(self, name: str) -> str | None:
        try:
            backend = _safe_keyring()
        except SettingsError:
            # Nothing safe to look into; `get` says what the ways are.
            return None
        try:
            return backend.get_password(SERVICE, name)
        except keyring.errors.KeyringError as error:
            raise SettingsError(
                f"the keyring {backend.name} can't be read: {error}.", connection=self.connection
            ) from error


class LedgerVault:
    """A connection's token for all its processes: encrypted in the ledger, changed by one at a time."""

    def __init__(
        self, secrets: Secrets, ledger: Ledger, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._secrets, self._ledger, self._sleep = secrets, ledger, sleep

    def read(self) -> str | None:
        return self._secrets.stored(TOKEN)

    def write(self, text: str) -> None:
        self._secrets.set(TOKEN, SecretStr(text), store="ledger")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for the others; a holder that died is taken over by the lease itself. Raises BusyError."""
        with ExitStack() as held:
            for remaining in reversed(range(WAITS)):
                try:
                    held.enter_context(self._ledger.lease(f"token/{self._secrets.connection}"))
                    break
                except BusyError:
                    if not remaining:
                        raise
                    self._sleep(WAIT_SECONDS)
            yield


class LedgerNotes:
    """A connection's notes (see `connectors.base.Notes`) beside its ciphertexts; they are no secrets."""

    def __init__(self, ledger: Ledger, connection: str) -> None:
        self._ledger, self._connection = ledger, connection

    def read(self, name: str) -> str | None:
        found = self._ledger.secret(self._connection, f"note: {name}")
        return None if found is None else found.decode()

    def write(self, name: str, text: str | None) -> None:
        if text is None:
            self._ledger.delete_secret(self._connection, f"note: {name}")
        else:
            self._ledger.set_secret(self._connection, f"note: {name}", text.encode())


def new_key() -> str:
    """A fresh key for the ledger's encrypted store."""
    return Fernet.generate_key().decode()


def _is_plaintext(backend: KeyringBackend) -> bool:
    kind = type(backend)
    if kind.__module__.startswith("keyring.backends.null"):
        return True
    return kind.__module__.startswith("keyrings.alt") and "Encrypted" not in kind.__name__


def _safe_keyring() -> KeyringBackend:
    """The machine's keyring; back ends that keep plain text are refused, also inside a chain."""
    backend = keyring.get_keyring()
    for part in getattr(backend, "backends", [backend]):
        if _is_plaintext(part):
            raise SettingsError(
                f"the keyring {type(part).__module__}.{type(part).__name__} keeps secrets as plain text.",
                remedy=f"Remove it, or use {_ELSEWHERE}.",
            )
    if backend.priority <= 0:
        raise SettingsError(
            "this machine has no keyring.",
            remedy=f"Use {_ELSEWHERE}.",
        )
    return backend
