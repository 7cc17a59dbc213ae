"""The client: every call to the org goes through here, and comes back whole or as an error that says what to
do.

One auth hook (`auth.SessionAuth`) and one adapter (`Gate`) stand in front of `requests`; simple-salesforce
works on the same session (`Client.salesforce`). A run's own calls do not go through its methods: they retry
nothing, have no time-out, drop headers when they refresh a session and hide the answer's headers.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError

from crmbridge.connectors.base import Context
from crmbridge.connectors.http import Passing, Share, TokenSource, retrying
from crmbridge.connectors.salesforce.auth import SOAP_TOKEN, SessionAuth, SignIn, date_of
from crmbridge.connectors.salesforce.errors import (
    PASSING_STATUS,
    Lost,
    Refused,
    is_fault,
    policy,
    read_error,
)
from crmbridge.connectors.salesforce.options import SalesforceOptions, is_loopback
from crmbridge.errors import AuthError, QuotaError, SettingsError, TransientError

if TYPE_CHECKING:
    from simple_salesforce.api import Salesforce

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 120.0
POOL: Final = 16
LONGEST_URL: Final = 16_000
"""Salesforce takes 16,384 characters of URI."""
_USAGE: Final = re.compile(r"(?<![\w-])api-usage=(\d+)/(\d+)")
_IN_URL: Final = "',()*:"
"""Characters that a query may hold unescaped, so that more of it fits into a URL."""

_ENVELOPE: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
    '<soapenv:Header xmlns="http://soap.sforce.com/2006/04/metadata">'
    "<CallOptions><client>crmbridge</client></CallOptions>"
    "<AllOrNoneHeader><allOrNone>true</allOrNone></AllOrNoneHeader>"
    "<SessionHeader><sessionId>{session}</sessionId></SessionHeader></soapenv:Header>"
    '<soapenv:Body xmlns="http://soap.sforce.com/2006/04/metadata">{operation}</soapenv:Body>'
    "</soapenv:Envelope>"
)

Json = Any


class Unanswered(Passing):
    """The request left, and nobody knows whether it was carried out."""


class Gate(HTTPAdapter):
    """In front of every request: a time-out, the configured scheme, and no pretty printing."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme
        super().__init__(pool_maxsize=POOL, max_retries=0)

    def send(self, request: requests.PreparedRequest, *args: Any, **how: Any) -> requests.Response:
        if how.get("timeout") is None:
            how["timeout"] = (CONNECT_SECONDS, READ_SECONDS)
        request.headers.pop("X-PrettyPrint", None)
        url = request.url or ""
        if self._scheme == "http" and url.startswith("https://"):
            request.url = "http://" + url.removeprefix("https://")  # simple-salesforce knows only https
        return super().send(request, *args, **how)


def following_page(found: Mapping[str, Any]) -> str | None:
    """Where a query's next page is; None after its last. Raises TransientError for neither of the two."""
    following = found.get("nextRecordsUrl")
    if found.get("done", following is None):
        return None
    if not following:
        raise TransientError(
            "an answer to a query is neither the last page nor names the next one.",
            remedy="Nothing is lost; the next run asks again.",
        )
    return str(following)


class Client:
    """One org, signed in lazily. Safe to be used by several threads."""

    def __init__(self, context: Context, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.context, self.sleep = context, sleep
        self.options = cast(SalesforceOptions, context.options)
        self.base = f"/services/data/v{self.options.api_version}/"
        self._home = urlsplit(self.options.instance_url)
        plain, session = requests.Session(), requests.Session()
        login = urlsplit(self.options.token_url)
        plain.mount(f"{login.scheme}://", Gate(login.scheme))
        for prefix in ("https://", "http://"):
            session.mount(prefix, Gate(self._home.scheme))
        if is_loopback(self._home.hostname or ""):
            plain.trust_env = session.trust_env = False  # no proxy on the way to this machine
        session.headers["Accept-Encoding"] = (
            "gzip"  # what `bulk` unpacks as a stream; not whatever is installed
        )
        self._plain = plain
        signing_in = SignIn(context, self.options, plain)
        self.tokens = TokenSource(signing_in.fetch, vault=context.vault, clock=context.clock)
        session.auth = SessionAuth(self.tokens, self._is_home)
        self.session = session
        self.share = Share(
            budget=context.api_budget,
            spent_today=context.spent_today,
            connection=context.connection,
            reserve=context.api_reserve,
            tell=context.calls.learn_limit,
        )
        self.server_now: datetime | None = None
        """The server's clock, by its last answer."""
        self.usage: tuple[int, int] | None = None
        """Calls used today and the day's limit, by its last answer."""

    @cached_property
    def salesforce(self) -> Salesforce:
        """simple-salesforce on this client's session: its calls are renewed, timed out and mapped as ours.

        Made when it is asked for: it loads zeep and the Metadata API's WSDL types, half a second and 50 MB
        that a run does not need.
        """
        from simple_salesforce.api import Salesforce

        return Salesforce(
            session_id="",  # the hook puts the token in
            instance_url=self.options.instance_url,
            version=self.options.api_version,
            session=self.session,
        )

    # -- requests --

    def get(self, path: str, *, kind: str = "read", **query: str) -> Json:
        """A GET's JSON. Raises Refused, AuthError, QuotaError, TransientError."""
        url = path
        if query:
            url += "?" + "&".join(f"{key}={quote(value, safe=_IN_URL)}" for key, value in query.items())
        return self._retried(lambda: self._json(self._sent("GET", url, kind)))

    def post(self, path: str, body: Json, *, kind: str) -> Json:
        """A POST's JSON, for requests that may be made again."""
        return self._retried(lambda: self._json(self._sent("POST", path, kind, json=body)))

    def change(
        self, method: str, path: str, *, kind: str, headers: Mapping[str, str] | None = None, **content: Any
    ) -> Json:
        """A request that must not be made twice unasked: Raises Lost where nobody knows what became of it."""

        def once() -> Json:
            try:
                answer = self._sent(method, path, kind, headers=headers, **content)
            except Unanswered as error:
                raise Lost("the answer to a write was lost.", said=error.said) from error
            if not answer.content:
                return None
            try:
                return json.loads(answer.content)
            except ValueError as error:
                raise Lost("the answer to a write was not readable.") from error

        return self._retried(once)

    def raw(
        self, method: str, path: str, *, kind: str, headers: Mapping[str, str] | None = None, **content: Any
    ) -> requests.Response:
        """A whole answer, retried."""
        answer: requests.Response = self._retried(
            lambda: self._sent(method, path, kind, headers=headers, **content)
        )
        return answer

    @contextmanager
    def stream(self, path: str, *, kind: str) -> Iterator[requests.Response]:
        """An answer whose body has not been read yet; not retried once it has begun."""
        answer = self._retried(lambda: self._sent("GET", path, kind, stream=True))
        with answer:
            yield answer

    def close(self) -> None:
        """Give back connections."""
        self._plain.close()
        self.session.close()

    def _retried(self, call: Callable[[], Any]) -> Any:
        try:
            return retrying(call, connection=self.context.connection)
        except Refused as error:
            error.connection = self.context.connection
            raise

    def _sent(
        self,
        method: str,
        path: str,
        kind: str,
        *,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
        **content: Any,
    ) -> requests.Response:
        """Send once; raises Passing for what may pass, Unanswered where it may have been carried out."""
        self.share.spend()
        self.context.calls.add(kind)
        url = self.options.instance_url + self._path(path)
        try:
            answer = self.session.request(
                method, url, headers=dict(headers or {}), stream=stream, allow_redirects=False, **content
            )
            if not stream or answer.status_code >= 300:
                _ = answer.content  # read here, so that what is cut short is retried
        except requests.exceptions.ConnectTimeout as error:
            raise Passing(f"no connection: {type(error).__name__}") from None
        except requests.RequestException as error:
            if _never_left(error):
                raise Passing(f"no connection: {type(error).__name__}") from error
            raise Unanswered(f"{type(error).__name__}: the answer did not arrive") from error
        self._learn(answer)
        if answer.status_code < 300 or answer.status_code == 304:
            return answer
        raise self._error(answer)

    def _path(self, path: str) -> str:
        """Where a request goes: below the API's root, or what the org itself has named, whole or relative.

        Of a whole address only the path is taken: the token goes to the configured host alone.
        """
        parts = urlsplit(path)
        if parts.netloc:
            return parts.path + (f"?{parts.query}" if parts.query else "")
        if path.startswith("services/"):
            return "/" + path
        return path if path.startswith("/") else self.base + path

    def _error(self, answer: requests.Response) -> Exception:
        status = answer.status_code
        code, message = read_error(answer.content)
        if 300 <= status < 400:
            place = answer.headers.get("Location", "another address")
            return SettingsError(
                f"the org does not answer at {self.options.instance_url} any more: it sends to {place}.",
                connection=self.context.connection,
                remedy="Set instance_url to the org's My Domain.",
            )
        what = policy(code, message)
        if status == 401 or what == "session":
            return AuthError(
                "Salesforce does not take the new token either.",
                connection=self.context.connection,
                said=f"{code or status}: {message}",
                remedy="See that the integration user may use the API, and the app's policies.",
            )
        if what == "quota":
            return QuotaError(
                "the org's daily API limit is used up.",
                connection=self.context.connection,
                said=message,
                remedy="The next run goes on from here once calls are free again.",
            )
        wait = _seconds(answer.headers.get("Retry-After"))
        if what == "passing":
            return Passing(f"{code}: {message}", wait)
        if status == 500 and code and is_fault(answer.content):
            return Refused(status, code, message)  # every fault of SOAP is a 500
        if code is None and (status in PASSING_STATUS or status == 403):
            # 502 and 504 come from a gateway that gave up on a request that may have arrived.
            kind = Unanswered if status in (500, 502, 504) else Passing
            return kind(f"HTTP {status}: {message}", wait)
        if status in PASSING_STATUS and what == "permanent":
            return Passing(f"HTTP {status} {code}: {message}", wait)
        return Refused(status, code, message)

    @staticmethod
    def _json(answer: requests.Response) -> Json:
        try:
            # Numbers with a point stay text: no digit of an amount is lost, and both decoders see the same.
            return json.loads(answer.content, parse_float=str)
        except ValueError as error:
            raise Passing(f"HTTP {answer.status_code} with a body that is not JSON") from error

    def _learn(self, answer: requests.Response) -> None:
        found = _USAGE.search(answer.headers.get("Sforce-Limit-Info", ""))
        if found:
            self.usage = int(found[1]), int(found[2])
            self.share.learn(limit=self.usage[1], used=self.usage[0])
        self.server_now = date_of(answer) or self.server_now

    def _is_home(self, url: str) -> bool:
        parts = urlsplit(url)
        return parts.netloc == self._home.netloc and parts.scheme in (self._home.scheme, "https")

    # -- what several rooms ask --

    def query(self, soql: str, *, kind: str = "read") -> list[dict[str, Any]]:
        """All rows of a small query."""
        return [row for rows in self.query_pages(soql, kind=kind) for row in rows]

    def query_pages(
        self, soql: str, *, kind: str = "read", resource: str = "query/"
    ) -> Iterator[list[dict[str, Any]]]:
        """The rows of a query, a page at a time. Raises TransientError where the pages break off."""
        found = self.get(resource, kind=kind, q=soql)
        while True:
            yield list(found["records"])
            following = following_page(found)
            if following is None:
                return
            found = self.get(following, kind=kind)

    def soap(self, operation: str) -> ElementTree.Element:
        """One call of the Metadata API: the element of its response. Raises Refused for a fault."""
        body = _ENVELOPE.format(session=SOAP_TOKEN, operation=operation).encode()
        answer = self.raw(
            "POST",
            f"/services/Soap/m/{self.options.api_version}",
            kind="schema",
            data=body,
            headers={"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""'},
        )
        # The parser beneath (expat >= 2.4.1) bounds the expansion of entities by itself.
        root = ElementTree.fromstring(answer.content)  # noqa: S314
        found = root.find("{http://schemas.xmlsoap.org/soap/envelope/}Body")
        if found is None or not len(found):
            raise Refused(answer.status_code, None, "a SOAP answer without a body")
        return found[0]

    def user_id(self) -> str:
        """Who this connection signs in as."""
        try:
            # The API's root names the user to everybody, userinfo only to apps with the scopes of OpenID.
            return str(self.get("", kind="auth")["identity"]).rstrip("/").rpartition("/")[2]
        except (Refused, KeyError):
            return str(self.get("/services/oauth2/userinfo", kind="auth")["user_id"])

    def waiting(
        self, *, first: float = 1.0, longest: float = 30.0, until: float = 86_400.0
    ) -> Iterator[None]:
        """Turns of polling with growing waits between them; raises TransientError in the end."""
        wait, waited = first, 0.0
        while waited < until:
            yield
            self.sleep(wait)
            waited, wait = waited + wait, min(wait * 1.5, longest)
        raise TransientError(
            "a bulk job did not end within a day.",
            connection=self.context.connection,
            remedy="See Bulk Data Load Jobs in Salesforce's setup; the next run goes on.",
        )


def _seconds(header: str | None) -> float | None:
    """What Retry-After says, where it says seconds."""
    return float(header) if header and header.strip().isdigit() else None


def _never_left(error: requests.RequestException) -> bool:
    """Whether no connection came about (no such host, nobody listens), so that nothing was carried out."""
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", None), NewConnectionError)
