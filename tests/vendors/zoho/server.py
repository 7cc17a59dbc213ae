"""The stand-in over HTTP on loopback: sign-in, tokens, credits, concurrency, faults."""

from __future__ import annotations

import json
import socket
import threading
from datetime import UTC, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.vendors.zoho import api
from tests.vendors.zoho.org import EDITIONS, Fault, Org, Request

SUB_POOL = 10
"""Simultaneous queries and writes of more than ten records, in every edition."""

CLIENT_ID = "1000.CLIENT"
CLIENT_SECRET = "stand-in-client-secret"
REFRESH_TOKEN = "1000.stand-in-refresh-token"
THROTTLED = {
    "error": "Access Denied",
    "error_description": "You have made too many requests continuously. Please try again after some time.",
    "status": "failure",
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that the client closed is no error of the stand-in."""


class ZohoServer:
    """One server; `org` may be changed for a new one between tests."""

    def __init__(self, org: Org | None = None) -> None:
        self.org = org or Org()
        stand_in = self

        class Handler(_Handler):
            server_of = stand_in

        self._http = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.api_domain: str | None = None
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def token(self, form: dict[str, str]) -> tuple[int, Any]:
        """The accounts server's answer."""
        org = self.org
        if form.get("grant_type") != "refresh_token" or form.get("client_id") != CLIENT_ID:
            return 200, {"error": "invalid_client"}
        if form.get("client_secret") != CLIENT_SECRET:
            return 200, {"error": "invalid_client_secret"}
        if form.get("refresh_token") != REFRESH_TOKEN or org.switches.revoked:
            return 200, {"error": "invalid_code"}
        org.token_requests = [each for each in org.token_requests if org.now - each < timedelta(minutes=10)]
        if len(org.token_requests) >= 10:
            return 400, THROTTLED
        org.token_requests.append(org.now)
        name = f"1000.access-{len(org.tokens) + 1}"
        org.tokens[name] = org.now + timedelta(seconds=org.switches.token_seconds)
        while len(org.tokens) - len(org.refused_tokens) > 15:
            org.refused_tokens.add(next(each for each in org.tokens if each not in org.refused_tokens))
        domain = self.url if self.api_domain is None else self.api_domain
        return 200, {
            "access_token": name,
            **({"api_domain": domain} if domain else {}),
            "token_type": "Bearer",
            "expires_in": org.switches.token_seconds,
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server_of: ZohoServer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""

    def _any(self) -> None:
        org = self.server_of.org
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        parsed = None
        if body.startswith(b"{"):
            # The vendor's own client names no content type.
            parsed = json.loads(body)
        request = Request(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body, parsed)
        with org.lock:
            org.requests.append(request)
            org.active += 1
            org.most_active = max(org.most_active, org.active)
            large = len(parsed.get("data") or ()) > 10 if isinstance(parsed, dict) else False
            in_pool = parts.path.endswith("/coql") or large
            org.in_sub_pool += in_pool
            fault = org.take_fault(f"{self.command} {self.path}")
        try:
            self._serve(org, request, fault)
        finally:
            with org.lock:
                org.active -= 1
                org.in_sub_pool -= in_pool

    do_GET = do_POST = do_PUT = do_DELETE = _any

    def _serve(self, org: Org, request: Request, fault: Fault | None) -> None:
        if fault is not None and fault.kind == "before":
            if fault.drop:
                self._drop()
                return
            if fault.answer is not None:
                self._send(*fault.answer)
                return
        if org.active > EDITIONS[org.edition][2] or org.in_sub_pool > SUB_POOL:
            self._send(429, api.Refuse(429, "TOO_MANY_REQUESTS", "too many requests").body, {})
            return
        if request.path.endswith("/coql"):
            org.before_query()
        with org.lock:
            status, body, headers = self._answer(org, request)
        if fault is not None and fault.kind == "after":
            if fault.drop:
                self._drop()
                return
            if fault.answer is not None:
                status, body, headers = fault.answer
        if org.credits * 2 >= org.daily:
            headers = {**headers, "X-API-CREDITS-REMAINING": str(max(org.daily - org.credits, 0))}
        self._send(status, body, headers, half=fault is not None and fault.half)

    def _drop(self) -> None:
        """Close the connection without a word."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, org: Org, request: Request) -> tuple[int, Any, dict[str, str]]:
        if request.path == "/oauth/v2/token":
            status, found = self.server_of.token(dict(parse_qsl(request.body.decode())))
            return status, found, {}
        token = request.headers.get("authorization", "").removeprefix("Zoho-oauthtoken ")
        good = token in org.tokens and org.tokens[token] > org.now and token not in org.refused_tokens
        if not good:
            return 401, api.Refuse(401, "INVALID_TOKEN", "invalid oauth token").body, {}
        try:
            (status, body, headers), credits = api.answer(org, request)
        except api.Refuse as error:
            status, body, headers, credits = error.status, error.body, {}, 1
        if org.credits + credits > org.daily:
            body = api.Refuse(429, "TOO_MANY_REQUESTS", "credits").body
            return 429, body, {"X-API-CREDITS-REMAINING": "0"}
        org.credits += credits
        return status, body, headers

    def _send(self, status: int, body: Any, headers: dict[str, str], half: bool = False) -> None:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        kind = "application/x-download" if isinstance(body, bytes) else "application/json;charset=UTF-8"
        if half:
            content = content[: len(content) // 2]
        self.send_response_only(status)
        self.send_header("Date", format_datetime(self.server_of.org.now.astimezone(UTC), usegmt=True))
        for name, value in headers.items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Type", headers.get("Content-Type", kind))
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if status not in (204, 304):
            self.wfile.write(content)
