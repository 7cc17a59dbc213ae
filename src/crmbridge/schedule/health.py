"""`/health` and `/metrics` over HTTP: for this machine alone, or with a token."""

from __future__ import annotations

import hmac
import ipaddress
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from crmbridge.errors import CRMBridgeError, SettingsError

Checks = dict[str, bool]
"""What was looked at, and whether it is well."""
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class HealthServer:
    """Answers in threads of its own from `start` to `close`.

    `/health/live` says that the process works, `/health/ready` that it can do its job (503 where it can't),
    `/health` both; `/metrics` is for Prometheus. With a token every request needs
    `Authorization: Bearer TOKEN`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ready: Callable[[], Checks],
        metrics: Callable[[], bytes],
        token: str | None = None,
    ) -> None:
        if token is None and not is_loopback(host):
            raise SettingsError(
                f"[serve] host = {host!r} can be reached from other machines, and there is no token.",
                remedy="Set CRMBRIDGE_SERVE_TOKEN in the environment, or run `crmbridge secret set serve "
                "token`, or leave host at 127.0.0.1.",
            )
        self._ready, self._metrics, self._token = ready, metrics, token
        try:
            self._server = _server(host, port, self)
        except OSError as error:
            raise SettingsError(
                f"[serve] {host}:{port} can't be used: {error.strerror or error}.",
                remedy="Set another port (0 takes any) or host under [serve].",
            ) from error
        self.address: tuple[str, int] = self._server.server_address[:2]  # type: ignore[assignment]

    def start(self) -> None:
        """Answer from now on."""
        threading.Thread(target=self._server.serve_forever, args=(1.0,), name="health", daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, authorization: str) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        if self._token is not None and not _same(authorization, f"Bearer {self._token}"):
            return 401, "text/plain", b"the token is missing or wrong\n"
        if path == "/metrics":
            try:
                return 200, METRICS_TYPE, self._metrics()
            except CRMBridgeError as error:
                return 503, "text/plain", f"{error}\n".encode()
        if path == "/health/live":
            return _as_json(200, {"live": True})
        if path in ("/health", "/health/ready"):
            checks = self._ready()
            well = all(checks.values())
            return _as_json(200 if well else 503, {"live": True, "ready": well, "checks": checks})
        return 404, "text/plain", b"there are /health, /health/live, /health/ready and /metrics\n"


class _Handler(BaseHTTPRequestHandler):
    timeout = 10  # a client that sends nothing does not hold its thread for ever
    server_version, sys_version = "crmbridge", ""
    health: HealthServer

    def do_GET(self) -> None:
        status, kind, body = self.health.answer(
            self.path.partition("?")[0], self.headers.get("Authorization", "")
        )
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: they come every few seconds."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _server(host: str, port: int, health: HealthServer) -> ThreadingHTTPServer:
    handler = type("Handler", (_Handler,), {"health": health})
    server = ThreadingHTTPServer((host, port), handler)
    server.daemon_threads = True
    return server


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _as_json(status: int, content: dict[str, Any]) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(content).encode() + b"\n"
