"""The client: signs in, calls methods of Odoo's models, tries again what passes.

JSON-RPC (`/jsonrpc`, service `object`, `execute_kw`) is the same from version 11 to 19; the JSON-2 API
(`/json/2/<model>/<method>`) came with 19. odoo.com/documentation: "External API".
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache, cached_property
from itertools import count
from typing import Any, Final, cast

import httpx2
from pydantic_core import from_json, to_json

from crmbridge.connectors import Context, Org, Passing, retrying
from crmbridge.errors import AuthError, SettingsError
from crmbridge_odoo.faults import Fault, Lost
from crmbridge_odoo.fields import OdooField, read_fields
from crmbridge_odoo.options import Options

TIMEOUT: Final = httpx2.Timeout(300.0, connect=10.0)
JSON2_FROM: Final = 19
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "search": ("domain",),
    "search_read": ("domain", "fields"),
    "search_count": ("domain",),
    "read": ("ids", "fields"),
    "write": ("ids", "vals"),
    "load": ("fields", "data"),
    "unlink": ("ids",),
    "create": ("vals_list",),
    "fields_get": ("allfields", "attributes"),
    "has_group": ("ids", "group_ext_id"),
    "has_access": ("ids", "operation"),
    "context_get": (),
}
"""What the JSON-2 API calls the arguments that JSON-RPC takes by place."""

Row = dict[str, Any]
Domain = Sequence[Any]


class Client:
    """One connection's calls. `transport` is for tests.

    Raises `Fault` for what Odoo declines; AuthError where the key is no longer good, SettingsError for a
    wrong address or database, TransientError; with `once`, also `Lost`.
    """

    def __init__(self, context: Context, transport: httpx2.BaseTransport | None = None) -> None:
        self.context = context
        self.options = cast(Options, context.options)
        self._http = httpx2.Client(
            base_url=self.options.url,
            timeout=TIMEOUT,
            follow_redirects=False,
            transport=transport,
            verify=_trust() if transport is None else True,
        )
        self._numbers = count(1)
        self._fields: dict[str, Mapping[str, OdooField]] = {}
        self.dated: datetime | None = None
        """The server's clock at its last answer."""

    # Who and where

    @cached_property
    def version(self) -> int:
        """The major version: 11 to 19 and on. Odoo Online's `saas~17.4` is 17."""
        if self.options.api == "json2":
            found = self._get("/web/version").get("version_info")
        else:
            found = self._common("version").get("server_version_info")
        first = str(found[0]) if found else ""
        digits = first.rpartition("~")[2].partition(".")[0]
        if not digits.isdigit():
            raise SettingsError(
                f"{self.options.url} does not say which Odoo it is.",
                connection=self.context.connection,
                remedy="Correct url.",
            )
        return int(digits)

    @cached_property
    def by_json2(self) -> bool:
        if self.options.api == "auto":
            return self.version >= JSON2_FROM
        return self.options.api == "json2"

    @cached_property
    def uid(self) -> int:
        """The id of the user who signs in. Raises AuthError."""
        options = self.options
        if self.by_json2:
            rows = self._execute("res.users", "search_read", ([["login", "=", options.username]], ["id"]), {})
            found = rows[0]["id"] if rows else False
        else:
            found = self._common("login", options.database, options.username, self._key)
        if not found:
            raise self._denied("login and key do not belong together")
        return int(found)

    @cached_property
    def user_context(self) -> dict[str, Any]:
        """With every call: archived records too, all companies of the user, names in the user's language."""
        found = self._execute("res.users", "context_get", (), {})
        given: dict[str, Any] = {"active_test": False}
        if found.get("lang"):
            given["lang"] = found["lang"]
        rows = self._execute("res.users", "read", ([self.uid], ["company_id", "company_ids"]), {})
        if rows:
            own, others = rows[0].get("company_id"), rows[0].get("company_ids") or []
            first = [own[0]] if own else []
            given["allowed_company_ids"] = first + sorted(set(others) - set(first))
        return given

    def org(self) -> Org:
        """The database, by its name and the second in which it was made: every user reads the same."""
        made = self.search_read("res.country", [], ["create_date"], limit=1)
        stamp = "".join(sign for sign in str(made[0]["create_date"]) if sign.isdigit()) if made else "0"
        options = self.options
        return Org(f"{options.database}-{stamp}", f"Odoo database {options.database} at {options.url}")

    def now(self) -> datetime:
        """The earlier one of the two clocks: what is later by either may not be known yet."""
        ours = self.context.clock().astimezone(UTC)
        return ours if self.dated is None else min(ours, self.dated)

    # Models

    def fields(self, model: str) -> Mapping[str, OdooField]:
        """What the user sees of a model, by name; empty where the database does not have it."""
        if model not in self._fields:
            try:
                self._fields[model] = read_fields(
                    self.call(model, "fields_get", [], ["type", "store", "relation", "readonly", "selection"])
                )
            except Fault as fault:
                if fault.is_denied or fault.is_passing:
                    raise
                self.context.log("odoo.no_model", model=model, said=fault.code)
                self._fields[model] = {}
        return self._fields[model]

    def forget_fields(self) -> None:
        """Look again: fields were made or removed."""
        self._fields.clear()

    def has_group(self, group: str) -> bool:
        """Whether the user is in a group, by its external id."""
        arguments = ([self.uid], group) if self.version >= 18 else (group,)
        return bool(self.call("res.users", "has_group", *arguments))

    def may(self, model: str, operation: str) -> bool:
        """Whether the user's groups allow an operation on a model (record rules aside)."""
        try:
            if self.version >= 18:
                return bool(self.call(model, "has_access", [], operation))
            return bool(self.call(model, "check_access_rights", operation, raise_exception=False))
        except Fault as fault:
            if fault.is_denied or fault.is_passing:
                raise
            return False

    def search_read(self, model: str, domain: Domain, fields: Sequence[str], **more: Any) -> list[Row]:
        """Records that match, archived ones too, in the order of their ids unless told otherwise."""
        return list(
            self.call(model, "search_read", list(domain), list(fields), **{"order": "id asc", **more})
        )

    def search(self, model: str, domain: Domain, **more: Any) -> list[int]:
        """Ids of records that match, archived ones too."""
        return list(self.call(model, "search", list(domain), **{"order": "id asc", **more}))

    def create(self, model: str, values: Mapping[str, Any], **context: Any) -> int:
        """Make one record; returns its id."""
        arguments = [dict(values)] if self.by_json2 else dict(values)
        made = self.call(model, "create", arguments, kind="install", context=context)
        return int(made[0] if isinstance(made, list) else made)

    def call(
        self,
        model: str,
        method: str,
        *arguments: Any,
        kind: str = "read",
        once: bool = False,
        context: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Any:
        """Call a method of a model. `kind` is what the call is counted as; with `once` it is not sent again
        where it may have taken effect.
        """
        named["context"] = {**self.user_context, **(context or {})}
        return self._execute(model, method, arguments, named, kind=kind, once=once)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    # One request

    @property
    def _key(self) -> str:
        return self.context.secret("api_key").get_secret_value()

    def _common(self, method: str, *arguments: Any) -> Any:
        return self._request("/jsonrpc", self._envelope("common", method, arguments), kind="auth")

    def _execute(
        self,
        model: str,
        method: str,
        arguments: Sequence[Any],
        named: Mapping[str, Any],
        *,
        kind: str = "read",
        once: bool = False,
    ) -> Any:
        if self.by_json2:
            body = {**dict(zip(_NAMES[method], arguments, strict=True)), **named}
            return self._request(f"/json/2/{model}/{method}", body, kind=kind, once=once)
        given = (self.options.database, self.uid, self._key, model, method, list(arguments), dict(named))
        return self._request("/jsonrpc", self._envelope("object", "execute_kw", given), kind=kind, once=once)

    def _envelope(self, service: str, method: str, arguments: Sequence[Any]) -> dict[str, Any]:
        parameters = {"service": service, "method": method, "args": list(arguments)}
        return {"jsonrpc": "2.0", "method": "call", "id": next(self._numbers), "params": parameters}

    def _get(self, path: str) -> Any:
        def attempt() -> Any:
            return self._read(self._sent("GET", path, None, "auth", once=False), once=False)

        return retrying(attempt, connection=self.context.connection)

    def _request(self, path: str, body: Mapping[str, Any], *, kind: str, once: bool = False) -> Any:
        content = to_json(body)

        def attempt() -> Any:
            try:
                return self._read(self._sent("POST", path, content, kind, once=once), once=once)
            except Fault as fault:
                if fault.is_no_database:
                    raise SettingsError(
                        f"{self.options.url} has no database {self.options.database}.",
                        connection=self.context.connection,
                        said=fault.message,
                        remedy="Correct database.",
                    ) from fault
                if fault.is_denied:
                    raise self._denied(fault.message or fault.code) from fault
                if fault.is_passing and not once:
                    raise Passing(fault.said) from fault
                raise

        return retrying(attempt, connection=self.context.connection)

    def _sent(
        self, method: str, path: str, content: bytes | None, kind: str, *, once: bool
    ) -> httpx2.Response:
        self.context.calls.add(kind)
        headers = {"Content-Type": "application/json"} if content is not None else {}
        if path.startswith("/json/"):
            headers |= {"Authorization": f"bearer {self._key}", "X-Odoo-Database": self.options.database}
        try:
            response = self._http.request(method, path, content=content, headers=headers)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise Passing(f"no connection: {type(error).__name__}") from error
        except httpx2.TransportError as error:
            if once:
                raise Lost(type(error).__name__) from error
            raise Passing(f"no whole answer: {type(error).__name__}") from error
        self.dated = _date(response) or self.dated
        return response

    def _read(self, response: httpx2.Response, *, once: bool) -> Any:
        status = response.status_code
        try:
            body = from_json(response.content)
        except ValueError:
            body = None
        fault = _fault(body, status)
        if fault is not None:
            raise fault
        if status == 429:
            raise Passing("too many calls", _wait(response))
        if status in (301, 302, 303, 307, 308, 404):
            raise SettingsError(
                f"{self.options.url} has no Odoo API at {response.request.url.path}.",
                connection=self.context.connection,
                said=f"HTTP {status} {response.headers.get('Location', '')}".strip(),
                remedy="Correct url: the address of Odoo itself, where it does not lead on to another.",
            )
        if status in (401, 403):
            raise self._denied(f"HTTP {status}")
        if status >= 300 or body is None:
            if once:
                raise Lost(f"HTTP {status} with a body that can't be read")
            raise Passing(f"HTTP {status} with a body that can't be read")
        if isinstance(body, dict) and "jsonrpc" in body:
            return body.get("result")
        return body

    def _denied(self, said: str) -> AuthError:
        name = self.context.connection
        return AuthError(
            f"Odoo refuses the sign-in of {self.options.username}.",
            connection=name,
            said=said,
            remedy="Make a new API key in the user's preferences, then run "
            f"`crmbridge secret set {name} api_key`.",
        )


@cache
def _trust() -> ssl.SSLContext:
    """The trusted authorities, read once per process: reading them takes a quarter of a second."""
    return httpx2.create_ssl_context()


def _fault(body: object, status: int) -> Fault | None:
    """The fault an answer is: `error.data` over JSON-RPC, the body itself over JSON-2."""
    if not isinstance(body, dict):
        return None
    if "jsonrpc" in body:
        error = body.get("error")
        if not isinstance(error, dict):
            return None
        found = error.get("data")
        data: dict[str, Any] = found if isinstance(found, dict) else {}
        return Fault(
            str(data.get("name") or error.get("message")),
            str(data.get("message") or error.get("message") or ""),
        )
    if status >= 400 and "name" in body and "message" in body:
        return Fault(str(body["name"]), str(body["message"]))
    return None


def _date(response: httpx2.Response) -> datetime | None:
    text = response.headers.get("Date")
    try:
        return parsedate_to_datetime(text).astimezone(UTC) if text else None
    except ValueError:
        return None


def _wait(response: httpx2.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None
