"""The portal's API over HTTP on loopback, with sign-in, limits, faults on demand, and a log of all calls."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from tests.vendors.hubspot.api import Api
from tests.vendors.hubspot.portal import Json, Portal, Problem

PIECE = 300
"""Bytes of a piece where an answer comes in pieces."""
TOKEN = "pat-na1-00000000-0000-0000-0000-000000000000"


Manner = Literal["", "stalls", "resets", "pieces", "closes"]


@dataclass(frozen=True)
class Call:
    """A request as it came in."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: Json
    headers: dict[str, str]

    def is_at(self, part: str) -> bool:
        return part in f"{self.method} {self.path}"


@dataclass
class Fault:
    """What happens to a call instead of its answer, once, or `times`.

    `before` answers without doing anything, `after` does it and then answers this: a status with a body and
    headers, raw bytes as the body, or no answer at all (`drops`). `edit` changes the true answer. `manner` is
    how the true answer goes out: half of it and no more (`stalls`), half of it and a reset, in pieces of 300
    bytes, or whole and then the connection is closed without a word.
    """

    at: str
    status: int = 200
    body: Json | None = None
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    drops: bool = False
    takes_effect: bool = False
    times: int = 1
    skips: int = 0
    edit: Callable[[Json], Any] | None = None
    does: Callable[[], object] | None = None
    manner: Manner = ""


class Server:
    """Serves a portal. `url` is its address; `calls` all requests that came."""

    def __init__(self, portal: Portal) -> None:
        self.portal, self.api = portal, Api(portal)
        self.token: str | None = TOKEN
        self.refresh_token = "refresh-1"
        self.access_tokens: set[str] = {TOKEN}
        self.rotates = False
        self.refreshes = 0
        self.faults: list[Fault] = []
        self.calls: list[Call] = []
        self.validator: Callable[[Call, int, bytes], None] | None = None
        self.invalid: list[str] = []
        self.daily = 625_000
        self.limit: int | None = None
        """Calls in any ten seconds, of this server's own clock; None is no limit."""
        self.search_limit: int | None = None
        """Searches in any second; None is no limit."""
        self.now: Callable[[], float] = time.monotonic
        self.refused = 0
        self._window: deque[float] = deque()
        self._searches: deque[float] = deque()
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def connections(self) -> int:
        """How many connections clients have opened."""
        return self._http.accepted

    def count(self, part: str) -> int:
        """How many calls there were at `METHOD /path` containing this."""
        return sum(call.is_at(part) for call in self.calls)

    def by_path(self) -> Counter[str]:
        return Counter(f"{call.method} {call.path}" for call in self.calls)

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, call: Call) -> tuple[int, bytes, dict[str, str], Manner] | None:
        """Status, body, headers and how they go out; None where no answer is to come."""
        with self._lock:
            self.calls.append(call)
            fault = self._fault(call)
            if fault is not None and fault.does is not None:
                fault.does()
            is_true = fault is None or bool(fault.edit or fault.does or fault.manner)
            if is_true or (fault is not None and fault.takes_effect):
                status, body, headers = self._true(call)
                if fault is not None and fault.edit is not None and status < 300:
                    fault.edit(body)
            if fault is not None and not is_true:
                if fault.drops:
                    return None
                status, body, headers = fault.status, fault.body or {}, dict(fault.headers)
                if fault.raw is not None:
                    return status, fault.raw, headers, ""
            raw = b"" if status == 204 else json.dumps(body).encode()
            if self.validator is not None and (
                fault is None or (fault.edit is None and fault.does is not None)
            ):
                self.validator(call, status, raw)
            return status, raw, headers, fault.manner if fault is not None else ""

    def _fault(self, call: Call) -> Fault | None:
        for fault in self.faults:
            if not call.is_at(fault.at):
                continue
            if fault.skips:
                fault.skips -= 1
                continue
            fault.times -= 1
            if fault.times == 0:
                self.faults.remove(fault)
            return fault
        return None

    def _true(self, call: Call) -> tuple[int, Json, dict[str, str]]:
        try:
            if call.path.startswith("/oauth/"):
                return (*self._oauth(call), {})
            if len(call.path) + sum(map(len, (each for texts in call.query.values() for each in texts))) > (
                self.portal.switches.strict_url
            ):
                raise Problem(414, "URI_TOO_LONG", "URL too long")
            good = self.access_tokens - (set() if self.portal.switches.service_keys else {TOKEN})
            if call.headers.get("authorization", "") not in {f"Bearer {each}" for each in good}:
                raise Problem(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
            headers = self._limits(call)
            status, body = self.api.handle(call.method, call.path, call.query, call.body)
            return status, body, headers
        except Problem as problem:
            return problem.status, problem.body, getattr(problem, "headers", {})

    def _limits(self, call: Call) -> dict[str, str]:
        if call.path.endswith("/search"):
            self._limit_searches()
            return {}
        if not self.portal.switches.limit_headers:
            return {}
        most = self.limit or 190
        now = self.now()
        while self._window and self._window[0] <= now - 10:
            self._window.popleft()
        if self.limit is not None and len(self._window) >= self.limit:
            self.refused += 1
            problem = Problem(429, "RATE_LIMITS", "You have reached your ten_secondly_rolling limit.")
            problem.body |= {"errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}
            problem.headers = {"Retry-After": "10"} if self.portal.switches.retry_after else {}  # type: ignore[attr-defined]
            raise problem
        self._window.append(now)
        return {
            "X-HubSpot-RateLimit-Max": str(most),
            "X-HubSpot-RateLimit-Remaining": str(
                max(most - len(self._window), 0) if self.limit else most - 1
            ),
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            "X-HubSpot-RateLimit-Daily": str(self.daily),
            "X-HubSpot-RateLimit-Daily-Remaining": str(self.daily - len(self.calls)),
        }

    def _limit_searches(self) -> None:
        now = self.now()
        while self._searches and self._searches[0] <= now - 1:
            self._searches.popleft()
        if self.search_limit is not None and len(self._searches) >= self.search_limit:
            self.refused += 1
            problem = Problem(429, "RATE_LIMITS", "You have reached your secondly limit.")
            problem.body |= {"errorType": "RATE_LIMIT", "policyName": "SECONDLY"}
            raise problem
        self._searches.append(now)

    def _oauth(self, call: Call) -> tuple[int, Json]:
        form = {name: values[0] for name, values in parse_qs(call.body.get("form", "")).items()}
        if form.get("grant_type") != "refresh_token" or call.method != "POST":
            raise Problem(400, "VALIDATION_ERROR", "grant_type")
        if (form.get("client_id"), form.get("client_secret")) != ("client", "secret"):
            return 401, {"error": "invalid_client", "message": "missing or invalid client"}
        if form.get("refresh_token") != self.refresh_token:
            return 400, {
                "error": "invalid_grant",
                "status": "BAD_REFRESH_TOKEN",
                "message": "missing or invalid refresh token",
            }
        self.refreshes += 1
        access = f"access-{self.refreshes}"
        self.access_tokens = {access}
        if self.rotates:
            self.refresh_token = f"refresh-{self.refreshes + 1}"
        return 200, {
            "access_token": access,
            "refresh_token": self.refresh_token,
            "expires_in": 1800,
            "token_type": "bearer",
        }


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    owner: Server
    accepted = 0

    def get_request(self) -> tuple[socket.socket, Any]:
        self.accepted += 1
        return super().get_request()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        kind = self.headers.get("Content-Type") or ""
        body: Json = {}
        if raw:
            body = {"form": raw.decode()} if "form" in kind else json.loads(raw)
        call = Call(
            self.command,
            parts.path,
            parse_qs(parts.query, keep_blank_values=True),
            body,
            {name.lower(): value for name, value in self.headers.items()},
        )
        answered = self.server.owner.answer(call)
        if answered is None:
            self.close_connection = True
            return
        status, content, headers, manner = answered
        date = format_datetime(self.server.owner.portal.clock(), usegmt=True)
        length = len(content)
        usual = {"Content-Type": "application/json;charset=utf-8", "Content-Length": str(length)}
        if manner == "pieces":
            usual = {"Content-Type": usual["Content-Type"], "Transfer-Encoding": "chunked"}
            cut = [content[at : at + PIECE] for at in range(0, length, PIECE)]
            content = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*cut, b""])
        told = {"Date": date, **usual, **headers}
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in told.items())]
        if manner in ("stalls", "resets"):
            content = content[: length // 2]
        # One write: two would cost a delayed acknowledgement on a connection kept alive.
        self.wfile.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        if manner == "stalls":
            self.server.owner.closing.wait(5)
        elif manner == "resets":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        is_short = "Content-Length" in told and len(content) < int(told["Content-Length"])
        if manner == "closes" or is_short:
            self.close_connection = True

    do_GET = do_POST = do_DELETE = do_PATCH = _serve

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""


@contextmanager
def serving(portal: Portal) -> Iterator[Server]:
    """A server for the time of a `with`."""
    server = Server(portal)
    try:
        yield server
    finally:
        server.close()
