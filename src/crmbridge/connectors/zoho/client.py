"""The client: signs in, keeps the limits, tries again what passes, and says what an answer means.

Zoho tells what happened in the body's `code`; the status comes second. TOO_MANY_REQUESTS comes as 429, 400 or
200, and means that the credits of the day are gone or too many calls are under way: the header
X-API-CREDITS-REMAINING, which appears from half of the credits on, tells the two apart.
"""

from __future__ import annotations

import math
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from tempfile import TemporaryFile
from typing import IO, Any, Final, Literal, cast

import httpx2
from pydantic_core import from_json

from crmbridge.connectors.base import Context
from crmbridge.connectors.http import Passing, Token, TokenSource, retrying
from crmbridge.connectors.zoho import hosts, limits
from crmbridge.connectors.zoho.objects import HISTORIES, NEEDED
from crmbridge.connectors.zoho.options import Options
from crmbridge.connectors.zoho.tokens import Fetch, RememberingVault
from crmbridge.errors import AuthError, CRMBridgeError, QuotaError

VERSION: Final = "v8"
TIMEOUT: Final = httpx2.Timeout(60.0, connect=5.0)
REMAINING: Final = "X-API-CREDITS-REMAINING"
SHORT: Final = 2_000
"""Bytes; what is longer is no refusal."""
SUB_POOL: Final = 4
"""Of the sub-pool's ten simultaneous calls, so that the org's other integrations keep theirs."""

Body = Mapping[str, Any]
Method = Literal["GET", "POST", "PUT", "DELETE"]
Send = Callable[[Token], httpx2.Response]

_KEPT: Final = ("Date", REMAINING, "Retry-After")
"""Headers that are looked at."""
_BUSY: Final = frozenset({"TOO_MANY_REQUESTS", "RATE_LIMIT_EXCEEDED", "CONCURRENCY_LIMIT_EXCEEDED"})
_TOKEN: Final = frozenset({"INVALID_TOKEN", "INVALID_OAUTHTOKEN", "AUTHENTICATION_FAILURE"})
_INTERNAL: Final = frozenset({"INTERNAL_ERROR", "INTERNAL_SERVER_ERROR"})


class Refused(Exception):
    """Zoho says no to a request, in words of its own: `code`, `details`, `message`."""

    def __init__(self, status: int, body: Body) -> None:
        self.status, self.body = status, body
        self.code = str(body.get("code") or f"HTTP {status}")
        found = body.get("details")
        self.details: Mapping[str, Any] = found if isinstance(found, dict) else {}
        self.message = str(body.get("message") or "")
        super().__init__(self.said)

    @property
    def said(self) -> str:
        """Code, message and details in one line."""
        parts = [self.code, self.message, ", ".join(f"{key}={value}" for key, value in self.details.items())]
        return ": ".join(part for part in parts if part)


_NOT_ALLOWED: Final = frozenset(
    {
        "OAUTH_SCOPE_MISMATCH",
        "NO_PERMISSION",
        "INVALID_MODULE",
        "NOT_SUPPORTED",
        "NOT_SUPPORTED_FEATURE",
        "MODULE_NOT_SUPPORTED",
        "FEATURE_NOT_ENABLED",
        "FEATURE_NOT_SUPPORTED",
        "INVALID_URL_PATTERN",
        "INVALID_REQUEST_METHOD",
        "AUTHORIZATION_FAILED",
        "RESOURCE_NOT_FOUND",
    }
)


def is_not_allowed(error: Refused) -> bool:
    """Whether this way of reading is closed, while another may be open."""
    return error.code in _NOT_ALLOWED


def is_hidden(error: Refused, module: str) -> bool:
    """Whether a module is closed to this user or edition, and is one to do without. A missing scope is an
    error of the configuration, but for histories, which some editions refuse in this way.
    """
    if module in NEEDED or not is_not_allowed(error):
        return False
    return error.code != "OAUTH_SCOPE_MISMATCH" or module in HISTORIES


class Lost(Exception):
    """A request left whose answer never came whole: only reading back tells whether it took effect."""


@dataclass(frozen=True)
class Answer:
    """What came back: `body` is empty where there was nothing (204, 304)."""

    status: int
    body: Body
    date: datetime | None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows under `data`."""
        return cast(list[dict[str, Any]], self.body.get("data") or [])

    @property
    def info(self) -> Body:
        """What the answer says of its pages."""
        return cast(Body, self.body.get("info") or {})


class Client:
    """One connection's requests. May be used by several threads.

    Raises `Refused` for what Zoho declines, AuthError, QuotaError and TransientError for the rest; with
    `once`, also `Lost`.
    """

    def __init__(self, context: Context, options: Options) -> None:
        self._context, self._options = context, options
        self._http = httpx2.Client(timeout=TIMEOUT, follow_redirects=False, verify=_trust())
        vault = RememberingVault(context.vault)
        fetch = Fetch(context, options, self._http, vault)
        self._tokens = TokenSource(fetch, vault=vault, clock=context.clock)
        self._daily: int | None = None
        self._remaining: int | None = None
        self.date: datetime | None = None
        """The CRM's clock, as the last answer told it."""
        self._calls = threading.BoundedSemaphore(limits.FREE.calls - 1)
        self._sub_pool = threading.BoundedSemaphore(SUB_POOL)

    def learn(self, edition: limits.Edition, users: int) -> None:
        """Take the org's edition: its credits of a day, its simultaneous calls."""
        self._daily = edition.credits(users)
        self._context.calls.learn_limit(self._daily)
        self._calls = threading.BoundedSemaphore(edition.calls - 1)

    @property
    def daily(self) -> int | None:
        """The org's credits in 24 hours; None before they are known."""
        return self._daily

    def get(self, path: str, params: Mapping[str, Any] | None = None, **more: Any) -> Answer:
        """GET under /crm/v8."""
        return self.request("GET", f"/crm/{VERSION}/{path}", params=params, **more)

    def query(self, select: str) -> Answer:
        """A COQL query; it costs by the rows that come."""
        answer = self.request("POST", f"/crm/{VERSION}/coql", json={"select_query": select}, sub_pool=True)
        self._context.calls.add("read", limits.query_credits(len(answer.rows)) - 1)
        return answer

    def request(
        self,
        method: Method,
        path: str,
        *,
        kind: str = "read",
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        credits: int = 1,
        sub_pool: bool = False,
        once: bool = False,
    ) -> Answer:
        """Send one request to the API's host and return what it says.

        `credits` are what it costs; `once`: it is not sent again where it may have taken effect.
        """

        def attempt() -> Answer:
            def send(token: Token) -> httpx2.Response:
                return self._http.request(
                    method,
                    self._base(token) + path,
                    params=params,
                    json=json,
                    headers=self._headers(token, headers),
                )

            response = self._signed(send, credits=credits, kind=kind, sub_pool=sub_pool, once=once)
            return self._read(response, once=once, credits=credits)

        return retrying(attempt, connection=self._context.connection)

    def upload(self, name: str, content: bytes, org: str) -> Answer:
        """Upload a ZIP for Bulk Write; `org` is the org's zgid. An upload alone changes nothing."""

        def attempt() -> Answer:
            def send(token: Token) -> httpx2.Response:
                base = self._options.content_url or hosts.content_of(self._base(token))
                return self._http.post(
                    f"{base}/crm/{VERSION}/upload",
                    files={"file": (name, content, "application/zip")},
                    headers=self._headers(token, {"feature": "bulk-write", "X-CRM-ORG": org}),
                )

            return self._read(self._signed(send, credits=1, kind="write"), once=False)

        return retrying(attempt, connection=self._context.connection)

    def download(self, path: str) -> IO[bytes]:
        """A result of a bulk job, as a temporary file; `path` is its download_url, absolute or relative."""

        def attempt(file: IO[bytes]) -> IO[bytes]:
            def send(token: Token) -> httpx2.Response:
                base = self._base(token)
                url = path if path.startswith("http") else base + path
                if hosts.base_of(url) != base:
                    raise CRMBridgeError(
                        f"a result lies at {hosts.base_of(url)}, where no token is sent.",
                        connection=self._context.connection,
                    )
                with self._http.stream("GET", url, headers=self._headers(token, None)) as response:
                    return _stored(response, file)

            response = self._signed(send, credits=1, kind="poll")
            if file.tell():
                file.seek(0)
                return file
            self._read(response, once=False)
            raise Passing(f"HTTP {response.status_code}, which is no ZIP file")

        file = TemporaryFile()  # noqa: SIM115 - closed by who reads it
        try:
            return retrying(lambda: attempt(file), connection=self._context.connection)
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def _signed(
        self, send: Send, *, credits: int, kind: str, sub_pool: bool = False, once: bool = False
    ) -> httpx2.Response:
        """Send with the shared token; a refused one is renewed and the request sent again, once."""
        token = self._tokens.token()
        response = self._sent(send, token, credits, kind, sub_pool, once)
        if _is_token_refused(response):
            token = self._tokens.renewed(token)
            response = self._sent(send, token, credits, kind, sub_pool, once)
            if _is_token_refused(response):
                raise AuthError(
                    "Zoho refuses a token it has just given.",
                    connection=self._context.connection,
                    said=_code(response),
                    remedy="Check that api_domain and accounts_url are of one data centre.",
                )
        return response

    def _sent(
        self, send: Send, token: Token, credits: int, kind: str, sub_pool: bool, once: bool
    ) -> httpx2.Response:
        self._spend(kind, credits)
        try:
            with self._slot(sub_pool):
                response = send(token)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise Passing(f"no connection: {type(error).__name__}") from error
        except httpx2.TransportError as error:
            if once:
                raise Lost(type(error).__name__) from error
            raise Passing(f"no whole answer: {type(error).__name__}") from error
        self.date = _date(response) or self.date
        remaining = response.headers.get(REMAINING)
        if remaining is not None and remaining.strip().isdigit():
            self._remaining = int(remaining)
        return response

    @contextmanager
    def _slot(self, sub_pool: bool) -> Iterator[None]:
        with ExitStack() as held:
            if sub_pool:
                held.enter_context(self._sub_pool)
            held.enter_context(self._calls)
            yield

    def _read(self, response: httpx2.Response, *, once: bool, credits: int = 1) -> Answer:
        """Classify by the body's code first, the status second."""
        status = response.status_code
        if status in (204, 304) or (status < 300 and not response.content):
            return Answer(status, {}, _date(response))
        body = _body(response)
        if body is None:
            # HTML of a gateway, or half a JSON text.
            if once:
                raise Lost(f"HTTP {status} with a body that can't be read")
            raise Passing(f"HTTP {status} with a body that can't be read")
        code = str(body.get("code") or "")
        if code in _BUSY or (status == 429 and not code):
            said = Refused(status, body).said
            if self._remaining is not None and self._remaining < credits:
                raise QuotaError(
                    "the org has no API credits left for today.",
                    connection=self._context.connection,
                    said=said,
                    remedy="The next run goes on from here once the oldest calls are 24 hours old.",
                )
            raise Passing(said, _wait(response))
        if status >= 500 or code in _INTERNAL:
            if once:
                raise Lost(f"HTTP {status} {code}")
            raise Passing(Refused(status, body).said)
        if (status < 300 and body.get("status") != "error") or _has_rows(body):
            # 400, 412 and others may carry an answer for each row.
            return Answer(status, body, _date(response))
        raise Refused(status, body)

    def _spend(self, kind: str, credits: int) -> None:
        """Count credits before they are spent. Raises QuotaError where they would pass the share.

        The connector's and the writer's client of a run count together, on the context.
        """
        if self._daily is not None:
            allowed = int(self._daily * self._context.api_budget) - self._context.spent_today
            reserve = math.ceil(self._daily * self._context.api_reserve)
            taken = self._remaining is not None and self._remaining - credits < reserve
            if taken or self._context.calls.total + credits > allowed:
                raise QuotaError(
                    f"this run has used its share of the day's credits ({self._context.calls.total:,}).",
                    connection=self._context.connection,
                    remedy="It goes on from its checkpoint at the next run; api_budget is the share, "
                    "api_reserve what is left to others.",
                )
        self._context.calls.add(kind, credits)

    def _base(self, token: Token) -> str:
        return self._options.api_domain or token.base_url or ""

    def _headers(self, token: Token, more: Mapping[str, str] | None) -> dict[str, str]:
        return {"Authorization": f"Zoho-oauthtoken {token.access}", **(more or {})}


@cache
def _trust() -> ssl.SSLContext:
    """The trusted authorities, read once per process: reading them takes a quarter of a second."""
    return httpx2.create_ssl_context()


def _stored(response: httpx2.Response, file: IO[bytes]) -> httpx2.Response:
    """The answer without its body where that is a ZIP file, which goes into `file`."""
    file.seek(0)
    file.truncate()
    chunks = response.iter_bytes()
    first = next(chunks, b"")
    kept = {name: response.headers[name] for name in _KEPT if name in response.headers}
    if response.status_code != 200 or not first.startswith(b"PK"):
        return httpx2.Response(response.status_code, headers=kept, content=b"".join([first, *chunks]))
    file.write(first)
    for chunk in chunks:
        file.write(chunk)
    return httpx2.Response(response.status_code, headers=kept)


def _body(response: httpx2.Response) -> Body | None:
    try:
        found = from_json(response.content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _code(response: httpx2.Response) -> str:
    return str((_body(response) or {}).get("code") or "")


def _is_token_refused(response: httpx2.Response) -> bool:
    # Only short answers are looked into: pages of records are read once.
    return len(response.content) < SHORT and _code(response) in _TOKEN


def _has_rows(body: Body) -> bool:
    rows = next((body[name] for name in ("data", "fields", "users") if name in body), None)
    return isinstance(rows, list) and bool(rows) and "code" not in body


def _date(response: httpx2.Response) -> datetime | None:
    text = response.headers.get("Date")
    if not text:
        return None
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None


def _wait(response: httpx2.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None
