"""The API over HTTP: JSON-RPC with faults as HTTP 200, from 19 on also JSON-2 with statuses."""

from __future__ import annotations

import json
import threading
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2

from tests.vendors.odoo.database import KEYS, Database, Refusal

READS = {"search", "search_read", "search_count"}
NAMES = {
    "search": ["domain"],
    "search_read": ["domain", "fields"],
    "search_count": ["domain"],
    "read": ["ids", "fields"],
    "write": ["ids", "vals"],
    "load": ["fields", "data"],
    "unlink": ["ids"],
    "create": ["vals_list"],
    "fields_get": ["allfields", "attributes"],
    "has_group": ["ids", "group_ext_id"],
    "has_access": ["ids", "operation"],
    "context_get": [],
}


def answer(database: Database, request: httpx2.Request) -> httpx2.Response:
    """Answer one request, as httpx2's MockTransport wants it. Raises ReadTimeout for a lost answer."""
    response = _answer(database, request)
    response.headers["Date"] = format_datetime(database.clock(), usegmt=True)
    return response


def _answer(database: Database, request: httpx2.Request) -> httpx2.Response:
    path = request.url.path
    if path == "/web/version" and database.version >= 19:
        return httpx2.Response(
            200, json={"version": f"{database.version}.0", "version_info": _version(database)}
        )
    if path.startswith("/json/2/") and database.version >= 19:
        return _json2(database, request)
    if path != "/jsonrpc":
        return httpx2.Response(404, text="<html>Not Found</html>")
    body = json.loads(request.content)
    if body.get("jsonrpc") != "2.0" or body.get("method") != "call":
        return httpx2.Response(400, text="<html>Bad Request</html>")
    asked = body["params"]
    try:
        result = _call(database, asked["service"], asked["method"], asked["args"])
    except Refusal as refusal:
        data = {"name": refusal.name, "message": refusal.message, "debug": "Traceback", "arguments": []}
        error = {"code": 200, "message": "Odoo Server Error", "data": data}
        return httpx2.Response(200, json={"jsonrpc": "2.0", "id": body["id"], "error": error})
    if isinstance(result, httpx2.Response):
        return result
    return httpx2.Response(200, json={"jsonrpc": "2.0", "id": body["id"], "result": result})


def _call(database: Database, service: str, method: str, arguments: list[Any]) -> Any:
    if (service, method) == ("common", "version"):
        return {"server_version": f"{database.version}.0", "server_version_info": _version(database)}
    if (service, method) == ("common", "login"):
        name, login, key = arguments
        _check_database(database, name)
        return database.login(login, key)
    if (service, method) != ("object", "execute_kw"):
        raise Refusal("builtins.AttributeError", f"no method {service}.{method}")
    name, uid, key, model, called, positional, named = arguments
    _check_database(database, name)
    login = {1: "admin", 5: "demo"}.get(uid, "")
    if database.login(login, key) is False:
        raise Refusal("odoo.exceptions.AccessDenied", "Access denied")
    return _execute(database, uid, model, called, positional, named)


def _execute(
    database: Database, uid: int, model: str, method: str, positional: list[Any], named: dict[str, Any]
) -> Any:
    if method in READS and model == "crm.lead":
        if database._strikes("throttled"):
            return httpx2.Response(429, text="Too Many Requests", headers={"Retry-After": "1"})
        if database._strikes("bad gateway"):
            return httpx2.Response(502, text="<html>Bad Gateway</html>")
    ours = method in ("write", "load") and model in ("crm.lead", "res.partner")
    if ours and database._strikes("lost_request"):
        raise httpx2.ReadTimeout("no answer")
    result = database.execute(uid, model, method, positional, named)
    if ours and database._strikes("lost_answer"):
        raise httpx2.ReadTimeout("no answer")
    return result


def _json2(database: Database, request: httpx2.Request) -> httpx2.Response:
    _, _, _, model, method = request.url.path.split("/")
    key = request.headers.get("Authorization", "").removeprefix("bearer ")
    login = next((login for login, each in KEYS.items() if each == key), "")
    uid = database.login(login, key)
    if uid is False or request.headers.get("X-Odoo-Database") != database.name:
        return _refused(401, "werkzeug.exceptions.Unauthorized", "Invalid apikey")
    named = json.loads(request.content)
    positional = [named.pop(name) for name in NAMES[method]]
    try:
        result = _execute(database, int(uid), model, method, positional, named)
    except Refusal as refusal:
        status = 403 if refusal.name.endswith("AccessError") else 422
        return _refused(status, refusal.name, refusal.message)
    return result if isinstance(result, httpx2.Response) else httpx2.Response(200, json=result)


def _refused(status: int, name: str, message: str) -> httpx2.Response:
    return httpx2.Response(
        status, json={"name": name, "message": message, "arguments": [], "context": {}, "debug": ""}
    )


def _version(database: Database) -> list[Any]:
    return [database.version, 0, 0, "final", 0, ""]


def _check_database(database: Database, name: str) -> None:
    if name != database.name:
        raise Refusal("psycopg2.OperationalError", f'FATAL:  database "{name}" does not exist\n')


class Server:
    """The same over a socket on loopback, for what drives the whole program. `url` is its address."""

    def __init__(self, database: Database) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                url = f"http://{self.headers['Host']}{self.path}"
                response = answer(
                    database, httpx2.Request("POST", url, content=content, headers=dict(self.headers))
                )
                self.send_response_only(response.status_code)
                for name in ("Date", "Content-Type", "Retry-After"):
                    if name in response.headers:
                        self.send_header(name, response.headers[name])
                self.send_header("Content-Length", str(len(response.content)))
                self.end_headers()
                self.wfile.write(response.content)

            def log_message(self, format: str, *args: Any) -> None:
                """Tests need no log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
