"""Calls to HubSpot: sign-in, retries, limits, and what its errors mean.

All calls go through one generated `ApiClient` of hubspot-api-client, by its raw `rest_client`: one pool of
connections, any path, bytes. Its models would drop fields and errors.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Final, TypeVar, cast
from weakref import WeakValueDictionary

import urllib3

from crmbridge.connectors.base import Context
from crmbridge.connectors.http import LONGEST_WAIT, Passing, Share, Token, TokenSource, retrying
from crmbridge.connectors.hubspot.answers import Json, Refused, encodable, tolerant
from crmbridge.connectors.hubspot.options import Options
from crmbridge.connectors.hubspot.pace import Pace, number
from crmbridge.connectors.hubspot.paths import Paths
from crmbridge.errors import AuthError, QuotaError, TransientError

Check = Callable[[Json], str | None]
"""Looks at an answer that is no error, and says what is wrong with it: then it is asked for again."""
Item = TypeVar("Item")
Result = TypeVar("Result")

TIMEOUTS: Final = (5.0, 60.0)
"""Seconds to connect, and to wait for bytes."""
WORKERS: Final = 8
MIGRATION: Final = 477
_NEVER_RETRIED: Final = urllib3.Retry(0, redirect=0, raise_on_redirect=False, raise_on_status=False)
"""Retries are ours; a redirect is not followed, so that the token goes nowhere else."""
_WAITS: Final[Mapping[str, float]] = {"TEN_SECONDLY_ROLLING": 10.0, "SECONDLY": 1.0}
_POLICIES: Final = ("DAILY", *_WAITS)
_PASSING: Final = frozenset({408, 423, 425, 429, MIGRATION, *range(500, 505), *range(520, 527)})
_MAY_HAVE_WORKED: Final = frozenset({408, 500, 502, 504, 520, 522, 524})
"""After these nobody knows whether a write took effect."""


class Lost(Exception):
    """A write whose answer never came, or came as an error that leaves open whether it took effect."""


@dataclass(frozen=True)
class Answer:
    """A call's answer that was no error."""

    status: int
    body: Json


class Client:
    """All calls of one run of a connection; the connector and the writer share it."""

    def __init__(self, context: Context, *, pace: Pace | None = None) -> None:
        self.context = context
        self.options = cast(Options, context.options)
        self.paths = Paths.of(self.options.api)
        self.pace = pace or Pace()
        self.share = Share(
            budget=context.api_budget,
            spent_today=context.spent_today,
            connection=context.connection,
            reserve=context.api_reserve,
            tell=context.calls.learn_limit,
        )
        # The package takes half a second to import: only who talks to HubSpot waits for it.
        from hubspot.crm.objects import ApiClient, Configuration

        configuration = Configuration(host=self.options.base_url)
        configuration.retries = _NEVER_RETRIED
        configuration.connection_pool_maxsize = WORKERS
        self._api = ApiClient(configuration)
        self._tokens = TokenSource(self._refresh, vault=context.vault, clock=context.clock)
        self._counting = threading.Lock()
        self.dated: datetime | None = None
        """HubSpot's own time, of its last answer."""
        self._workers: ThreadPoolExecutor | None = None
        self._is_closed = False

    @classmethod
    def of(cls, context: Context) -> Client:
        """The client of this context's run: one for all that share its counter of calls."""
        found = _CLIENTS.get(id(context.calls))
        if found is None:
            # The client holds the context and so the counter: no other one can get its id meanwhile.
            found = _CLIENTS[id(context.calls)] = cls(context)
        return found

    def get(self, path: str, query: Sequence[tuple[str, str]] = (), *, check: Check | None = None) -> Json:
        """GET. Raises AuthError, QuotaError, Refused, TransientError."""
        return self._retried("GET", path, query=query, kind="read", check=check).body

    def post(
        self, path: str, body: Json, *, kind: str = "read", search: bool = False, check: Check | None = None
    ) -> Answer:
        """POST something that may be sent again. Raises AuthError, QuotaError, Refused, TransientError."""
        return self._retried("POST", path, body=body, kind=kind, search=search, check=check)

    def delete(self, path: str) -> None:
        """DELETE. Raises AuthError, QuotaError, Refused, TransientError."""
        self._retried("DELETE", path, kind="write")

    def write(self, path: str, body: Json) -> Answer:
        """POST a write: what was certainly refused is sent again, nothing else.

        Raises Lost where it may have taken effect, and AuthError, QuotaError, Refused, TransientError.
        """
        return self._retried("POST", path, body=body, kind="write", once=True)

    def each(self, call: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Call for each of the items, several at a time; results in order."""
        if len(items) <= 1:
            return map(call, items)
        if self._workers is None:
            self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="hubspot")
        return self._workers.map(call, items)

    def close(self) -> None:
        """Close the connections, and log how many calls were made and are left for today."""
        if self._workers is not None:
            self._workers.shutdown(wait=True, cancel_futures=True)
            self._workers = None
        self._api.rest_client.pool_manager.clear()
        if not self._is_closed:
            self._is_closed = True
            self.context.log("hubspot.calls", made=self.context.calls.total, left=self.share.left)

    def _retried(
        self,
        method: str,
        path: str,
        *,
        kind: str,
        query: Sequence[tuple[str, str]] = (),
        body: Json | None = None,
        search: bool = False,
        once: bool = False,
        check: Check | None = None,
    ) -> Answer:
        def call() -> Answer:
            answer = signed_in()
            complaint = check(answer.body) if check is not None else None
            if complaint is not None:
                raise Passing(complaint)
            return answer

        def signed_in() -> Answer:
            token = self._token()
            try:
                return self._send(method, path, token, kind, query, body, search, once)
            except _Unauthorized as error:
                if self.options.auth == "token":
                    raise self._unauthorized(error.said) from error
            renewed = self._tokens.renewed(token)
            try:
                return self._send(method, path, renewed, kind, query, body, search, once)
            except _Unauthorized as error:
                raise self._unauthorized(error.said) from error

        return retrying(call, connection=self.context.connection)

    def _send(
        self,
        method: str,
        path: str,
        token: Token,
        kind: str,
        query: Sequence[tuple[str, str]],
        body: Json | None,
        search: bool,
        once: bool,
    ) -> Answer:
        headers = {
            "Authorization": f"Bearer {token.access}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "Content-Type": "application/json",
            "User-Agent": "crmbridge",
        }
        self._spend(kind)
        self.pace.take(search=search)
        status, raw, answered = self._exchange(method, path, headers, query=query, body=body, once=once)
        if not search:
            self._learn(answered)
        if status < 300:
            return Answer(status, self._parsed(status, raw, once=once))
        raise self._problem(status, raw, answered, path, search=search, once=once)

    def _exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Json | None = None,
        form: Mapping[str, str] | None = None,
        once: bool = False,
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """One request, and its answer's status, body and headers, whatever the status."""
        from hubspot.crm.objects.exceptions import ApiException

        try:
            response = self._api.rest_client.request(
                method,
                self.options.base_url + path,
                query_params=list(query) or None,
                headers=dict(headers),
                body=body,
                post_params=form,
                _preload_content=False,
                _request_timeout=TIMEOUTS,
            )
            return response.status, response.data, response.headers
        except ApiException as error:
            if not error.status:
                raise TransientError(
                    "the connection to HubSpot is not safe.",
                    connection=self.context.connection,
                    said=str(error.reason).replace("\n", " "),
                    remedy="Look at base_url and this machine's certificates.",
                ) from error
            return error.status, error.body or b"", error.headers or {}
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", None) or error
            said = f"no answer ({type(reason).__name__})"
            unsent = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
            if once and not isinstance(reason, unsent):
                raise Lost(said) from error
            raise Passing(said) from error

    def _parsed(self, status: int, raw: bytes, *, once: bool) -> Json:
        if status == 204 or not raw:
            return {}
        try:
            parsed = json.loads(raw)
        except ValueError:
            parsed = None
        if isinstance(parsed, dict):
            return encodable(parsed) if b"\\ud" in raw else parsed
        said = f"an answer {status} that is not the JSON it should be"
        raise Lost(said) if once else Passing(said)

    def _problem(
        self, status: int, raw: bytes, headers: Mapping[str, str], path: str, *, search: bool, once: bool
    ) -> Exception:
        """What to raise for an answer that is an error."""
        body = tolerant(raw)
        said = f"{status} {body.get('message') or ''}".strip()
        asked = number(headers, "Retry-After")
        if status == 401:
            return _Unauthorized(said)
        if status == 530:
            return self._unauthorized(said)
        if status == 429:
            return self._too_many(body, said, asked, search=search)
        if asked is not None and asked > LONGEST_WAIT and status in _PASSING:
            return TransientError(
                f"HubSpot can't answer for {asked / 60:,.0f} minutes.",
                connection=self.context.connection,
                said=said,
                remedy="Nothing is lost; a later run goes on.",
            )
        if once and status in _MAY_HAVE_WORKED:
            return Lost(said)
        if status in _PASSING:
            wait = max(float(asked or 0), 2.0) if status == 423 else asked
            return Passing(said, None if wait is None else float(wait))
        return Refused(status, body, connection=self.context.connection, path=path)

    def _too_many(self, body: Json, said: str, asked: int | None, *, search: bool) -> Exception:
        # Some answers have the policy in their message alone.
        words = f"{body.get('policyName') or ''} {body.get('message') or ''}".upper()
        policy = next((each for each in _POLICIES if each in words), "")
        if policy == "DAILY":
            return QuotaError(
                "the portal's daily limit of API calls is used up.",
                connection=self.context.connection,
                said=said,
                remedy="It is free again at midnight of the portal's zone; the next run goes on.",
            )
        wait = float(asked) if asked is not None else _WAITS.get(policy, 1.0 if search else 10.0)
        (self.pace.searches if search else self.pace.calls).pause(wait)
        return Passing(said, wait)

    def _spend(self, kind: str) -> None:
        with self._counting:
            self.share.spend()
            self.context.calls.add(kind)

    def _learn(self, headers: Mapping[str, str]) -> None:
        self.pace.learn(headers)
        if headers.get("Date"):
            with suppress(ValueError):
                self.dated = parsedate_to_datetime(headers["Date"])
        limit, left = (number(headers, f"X-HubSpot-RateLimit-Daily{name}") for name in ("", "-Remaining"))
        if limit and left is not None:
            with self._counting:
                self.share.learn(limit=limit, used=max(limit - left, 0))

    def _token(self) -> Token:
        return self._key if self.options.auth == "token" else self._tokens.token()

    @cached_property
    def _key(self) -> Token:
        access = self.context.secret("access_token").get_secret_value().strip()
        if not access or not all("!" <= letter <= "~" for letter in access):
            # Sent, it would end in an error that shows it.
            raise AuthError(
                "the secret access_token has letters that no token has.",
                connection=self.context.connection,
                remedy="Copy the key again, and set the secret access_token.",
            )
        return Token(access=access)

    def _refresh(self, former: Token | None) -> Token:
        """An access token for the refresh token; HubSpot rarely changes the latter, but may."""
        refresh = (former and former.refresh) or self.context.secret("refresh_token").get_secret_value()
        form = {
            "grant_type": "refresh_token",
            "client_id": str(self.options.client_id),
            "client_secret": self.context.secret("client_secret").get_secret_value(),
            "refresh_token": refresh,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}

        def call() -> Token:
            self._spend("auth")
            status, raw, answered = self._exchange("POST", self.paths.token, headers, form=form)
            if status >= 300:
                if status in _PASSING:
                    asked = number(answered, "Retry-After")
                    raise Passing(f"{status} at sign-in", None if asked is None else float(asked))
                raise self._revoked(status, tolerant(raw))
            body = self._parsed(status, raw, once=False)
            access = body.get("access_token")
            if not isinstance(access, str) or not access:
                raise Passing("a sign-in answer without a token")
            seconds = float(body.get("expires_in") or 1800)
            ends = self.context.clock() + timedelta(seconds=seconds)
            return Token(access=access, expires_at=ends, refresh=str(body.get("refresh_token") or refresh))

        return retrying(call, connection=self.context.connection)

    def _revoked(self, status: int, body: Json) -> AuthError:
        code = str(body.get("status") or body.get("error") or status)
        words = {str(body.get(key) or "") for key in ("error", "status")}
        if words & {"invalid_grant", "BAD_REFRESH_TOKEN", "BAD_HUB", "access_denied"}:
            what, remedy = "HubSpot has revoked the app's access.", "Install the app again."
        else:
            what = "HubSpot does not know this app."
            remedy = "Look at client_id and the secret client_secret."
        return AuthError(
            what,
            connection=self.context.connection,
            said=f"{code}: {body.get('message') or body.get('error_description') or ''}",
            remedy=remedy,
        )

    def _unauthorized(self, said: str) -> AuthError:
        remedy = (
            "Look at the secret access_token: the service key may have been rotated or deleted."
            if self.options.auth == "token"
            else "Install the app again and set the secret refresh_token."
        )
        return AuthError(
            "HubSpot refused the token.", connection=self.context.connection, said=said, remedy=remedy
        )


class _Unauthorized(Exception):
    """401: the token may have ended."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


_CLIENTS: WeakValueDictionary[int, Client] = WeakValueDictionary()
