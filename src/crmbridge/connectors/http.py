"""What connectors over HTTP share: one token for all, retries, and the share of the API that may be used."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

import stamina
from pydantic import BaseModel, ConfigDict, ValidationError

from crmbridge.errors import QuotaError, TransientError

Answer = TypeVar("Answer")

ATTEMPTS: Final = 6
LONGEST_WAIT: Final = 60.0
EARLY: Final = timedelta(minutes=5)
"""A token is renewed this long before it ends, so that no request leaves with one that ends on the way."""


class Token(BaseModel):
    """An access token. `refresh` is the refresh token that came with it, where the vendor rotates them;
    `base_url` the host the vendor says it is for.
    """

    model_config = ConfigDict(frozen=True)
    access: str
    expires_at: datetime | None = None
    refresh: str | None = None
    base_url: str | None = None


class Vault(Protocol):
    """Where a connection's token lies for all its workers and processes."""

    def read(self) -> str | None:
        """The stored text, or None."""

    def write(self, text: str) -> None:
        """Store the text, before the token in it is used."""

    def alone(self) -> AbstractContextManager[object]:
        """One worker of one process at a time."""


class MemoryVault:
    """A vault of this process alone: for tokens that cost nothing to fetch again, and for tests."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._lock = threading.RLock()

    def read(self) -> str | None:
        return self._text

    def write(self, text: str) -> None:
        self._text = text

    def alone(self) -> AbstractContextManager[object]:
        return self._lock


class TokenSource:
    """One token for all: who finds it ended renews it while the others wait, and then all use the new one.

    `fetch(former)` asks the vendor for a token; `former` is the last one known, with its refresh token.
    Raises what `fetch` raises.
    """

    def __init__(
        self, fetch: Callable[[Token | None], Token], *, vault: Vault, clock: Callable[[], datetime]
    ) -> None:
        self._fetch, self._vault, self._clock = fetch, vault, clock
        self._lock = threading.Lock()
        self._token: Token | None = None

    def token(self) -> Token:
        """A token that is good now, as far as one can know."""
        held = self._token
        return held if held is not None and self._is_fresh(held) else self._renewed(None)

    def renewed(self, refused: Token) -> Token:
        """Another token than the one the vendor has just refused."""
        return self._renewed(refused)

    def _renewed(self, refused: Token | None) -> Token:
        with self._lock, self._vault.alone():
            stored = self._stored()
            is_other = refused is None or (stored is not None and stored.access != refused.access)
            if stored is None or not is_other or not self._is_fresh(stored):
                stored = self._fetch(stored or self._token)
                self._vault.write(stored.model_dump_json())
            self._token = stored
            return stored

    def _stored(self) -> Token | None:
        text = self._vault.read()
        try:
            return Token.model_validate_json(text) if text else None
        except ValidationError:
            return None  # of another version: fetched anew

    def _is_fresh(self, token: Token) -> bool:
        return token.expires_at is None or token.expires_at - self._clock() > EARLY


@dataclass
class Passing(Exception):
    """Raised inside `retrying` for what may work later; `wait` is what the vendor asks for, in seconds."""

    said: str
    wait: float | None = None


def retrying(call: Callable[[], Answer], *, connection: str, attempts: int = ATTEMPTS) -> Answer:
    """Call until it no longer raises `Passing`, with growing waits and jitter; the vendor's own wait wins.

    Raises TransientError with the last thing the vendor said.
    """

    def again(error: Exception) -> bool | float:
        if not isinstance(error, Passing):
            return False
        return min(error.wait, LONGEST_WAIT) if error.wait is not None else True

    try:
        for attempt in stamina.retry_context(
            on=again, attempts=attempts, timeout=None, wait_max=LONGEST_WAIT
        ):
            with attempt:
                return call()
    except Passing as error:
        raise TransientError(
            f"the CRM did not answer as it should, {attempts} times.",
            connection=connection,
            said=error.said,
            remedy="Nothing is lost; the next run goes on from here.",
        ) from error
    raise AssertionError("stamina always returns or raises")


class Share:
    """The connection's share of a daily limit: what it may still use.

    `budget` is the share, `spent_today` what earlier runs of the last 24 hours used of it. A call that would
    pass it is not made, nor one that would leave the other integrations less than `reserve`, a share of the
    daily limit. `tell` is told the daily limit.
    """

    def __init__(
        self,
        *,
        budget: float,
        spent_today: int,
        connection: str,
        reserve: float = 0.0,
        tell: Callable[[int], None] = lambda limit: None,
    ) -> None:
        self._budget, self._before, self._connection = budget, spent_today, connection
        self._reserve, self._tell = reserve, tell
        self._allowed: int | None = None
        self._spent = 0

    def learn(self, *, limit: int, used: int) -> None:
        """Take the vendor's word for its daily limit and what all integrations have used of it."""
        self._tell(limit)
        left = max(limit - used - math.ceil(limit * self._reserve), 0)
        allowed = min(int(limit * self._budget) - self._before, self._spent + left)
        self._allowed = allowed if self._allowed is None else min(self._allowed, allowed)

    def spend(self, calls: int = 1) -> None:
        """Count calls before they are made. Raises QuotaError where they would pass the share."""
        if self._allowed is not None and self._spent + calls > self._allowed:
            raise QuotaError(
                f"this run has used its share of the daily API limit ({self._spent:,} calls).",
                connection=self._connection,
                remedy="It goes on from its checkpoint at the next run; api_budget is the share, api_reserve "
                "what is left to others.",
            )
        self._spent += calls

    @property
    def left(self) -> int | None:
        """Calls this run may still make; None before the vendor has said what its limit is."""
        return None if self._allowed is None else self._allowed - self._spent
