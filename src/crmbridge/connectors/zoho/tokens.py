"""Signing in: one access token for all, and never more requests than Zoho's accounts server bears.

Source: https://www.zoho.com/crm/developer/docs/api/v8/refresh.html and token-validity.html. Ten access tokens
a refresh token in ten minutes; beyond that it answers "Access Denied", which passes and is not a revocation.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Final

import httpx2
from pydantic import ValidationError

from crmbridge.connectors.base import Context
from crmbridge.connectors.http import EARLY, Passing, Token, Vault, retrying
from crmbridge.connectors.zoho import hosts
from crmbridge.connectors.zoho.options import Options
from crmbridge.errors import AuthError, TransientError

WINDOW: Final = timedelta(minutes=10)
REQUESTS: Final = 8
COOL_DOWN: Final = timedelta(minutes=5)
_HISTORY: Final = "requests"
_COOL_UNTIL: Final = "cool_until"
_EXPIRES: Final = 3600

_DEAD: Final = {
    "invalid_code": "The refresh token was revoked, or is of another data centre: make a new one "
    "(docs/zoho.md) and store it as refresh_token.",
    "invalid_client": "client_id is not known there: compare it with the API console, and accounts_url with "
    "the org's data centre.",
    "invalid_client_secret": "Store the client's secret again as client_secret.",
}


class RememberingVault:
    """A vault that keeps, beside the token, when tokens were asked for: one limit holds for all processes."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def read(self) -> str | None:
        """The stored text, or None."""
        return self._vault.read()

    def write(self, text: str) -> None:
        """Store the token's text beside what is remembered."""
        self._vault.write(json.dumps(self._memory() | json.loads(text)))

    def alone(self) -> AbstractContextManager[object]:
        """One worker of one process at a time."""
        return self._vault.alone()

    def requests(self, now: datetime) -> list[datetime]:
        """The requests of the last ten minutes."""
        moments = [datetime.fromisoformat(text) for text in self._memory().get(_HISTORY, [])]
        return [moment for moment in moments if now - moment < WINDOW]

    def cool_until(self) -> datetime | None:
        """Until when the accounts server is left alone."""
        text = self._memory().get(_COOL_UNTIL)
        return datetime.fromisoformat(text) if text else None

    def remember(self, requests: list[datetime], cool_until: datetime | None = None) -> None:
        """Keep when tokens were asked for, and until when to wait."""
        memory = self._all()
        memory[_HISTORY] = [moment.isoformat() for moment in requests]
        memory[_COOL_UNTIL] = cool_until.isoformat() if cool_until else None
        self._vault.write(json.dumps(memory))

    def _memory(self) -> dict[str, Any]:
        return {key: value for key, value in self._all().items() if key in (_HISTORY, _COOL_UNTIL)}

    def _all(self) -> dict[str, Any]:
        try:
            found = json.loads(self._vault.read() or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class Fetch:
    """Asks the accounts server for an access token; called by one worker at a time."""

    def __init__(
        self, context: Context, options: Options, http: httpx2.Client, vault: RememberingVault
    ) -> None:
        self._context, self._options, self._http, self._vault = context, options, http, vault

    def __call__(self, former: Token | None) -> Token:
        """A new token. Raises AuthError for what a person must repair, TransientError for what passes."""
        return retrying(self._ask, connection=self._context.connection)

    def _ask(self) -> Token:
        now = self._context.clock()
        before = self._vault.requests(now)
        cool_until = self._vault.cool_until()
        if (cool_until and now < cool_until) or len(before) >= REQUESTS:
            until = max(moment for moment in (cool_until, before[0] + WINDOW if before else None) if moment)
            raise self._cooling(until)
        self._vault.remember([*before, now])
        self._context.calls.add("auth")
        answer = self._post()
        body = _json(answer)
        if body is None or answer.status_code >= 500:
            raise Passing(f"HTTP {answer.status_code} from {self._options.accounts_url}")
        if isinstance(body.get("access_token"), str):
            return self._token(body, now)
        self._refuse(body, [*before, now])
        raise AssertionError("a refusal raises")

    def _post(self) -> httpx2.Response:
        secret = self._context.secret
        form = {
            "grant_type": "refresh_token",
            "client_id": self._options.client_id,
            "client_secret": secret("client_secret").get_secret_value(),
            "refresh_token": secret("refresh_token").get_secret_value(),
        }
        try:
            return self._http.post(f"{self._options.accounts_url}/oauth/v2/token", data=form)
        except httpx2.TransportError as error:
            raise Passing(f"{type(error).__name__} at {self._options.accounts_url}") from error

    def _token(self, body: dict[str, Any], now: datetime) -> Token:
        domain = (
            self._options.api_domain or body.get("api_domain") or hosts.api_of(self._options.accounts_url)
        )
        try:
            base = hosts.base_of(str(domain))
        except ValueError:
            base = ""
        if self._options.api_domain is None and not self._is_allowed(base):
            raise AuthError(
                f"the sign-in names {domain!r} as the API's host, which is not Zoho's; no token went there.",
                connection=self._context.connection,
                remedy="Set api_domain to the org's API host if this is right.",
            )
        # Older servers gave `expires_in` in milliseconds, with `expires_in_sec` beside it.
        seconds = body.get("expires_in_sec") or body.get("expires_in") or _EXPIRES
        try:
            life = timedelta(seconds=min(float(seconds), _EXPIRES))
            return Token(
                access=body["access_token"],
                # One that lives no longer than it is renewed early is used for half its life.
                expires_at=now + max(life, EARLY + life / 2),
                base_url=base,
            )
        except (ValidationError, ValueError, TypeError) as error:
            raise Passing(f"a token answer that can't be read: {type(error).__name__}") from error

    def _is_allowed(self, base: str) -> bool:
        """A token of the real Zoho never goes to this machine, and one of this machine may."""
        if hosts.is_loopback(base):
            return hosts.is_loopback(self._options.accounts_url)
        return hosts.is_api(base)

    def _refuse(self, body: dict[str, Any], requests: list[datetime]) -> None:
        error = str(body.get("error") or body.get("code") or body.get("message") or "no access_token")
        said = ": ".join(str(part) for part in (error, body.get("error_description")) if part)
        if error.lower().replace("_", " ") == "access denied" or "too many requests" in said.lower():
            until = requests[-1] + COOL_DOWN
            self._vault.remember(requests, until)
            raise self._cooling(until, said)
        raise AuthError(
            "Zoho refused the sign-in.",
            connection=self._context.connection,
            said=said,
            remedy=_DEAD.get(error, "Run `crmbridge check` after correcting client_id and the secrets."),
        )

    def _cooling(self, until: datetime, said: str | None = None) -> TransientError:
        return TransientError(
            "Zoho gives no further token now: too many were asked for in ten minutes.",
            connection=self._context.connection,
            said=said,
            remedy=f"The sign-in itself is fine; it is tried again after {until:%H:%M:%S} UTC.",
        )


def _json(answer: httpx2.Response) -> dict[str, Any] | None:
    try:
        found = answer.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
