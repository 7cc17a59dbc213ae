"""`crmbridge check`: everything a run needs, looked at without changing anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from crmbridge.connectors.base import CheckItem
from crmbridge.connectors.zoho import cells, limits
from crmbridge.connectors.zoho.client import Refused, is_hidden
from crmbridge.connectors.zoho.objects import Module
from crmbridge.errors import CRMBridgeError

if TYPE_CHECKING:
    from crmbridge.connectors.zoho.connector import ZohoConnector

SAMPLE: int = 10
_SCOPES = "Make a refresh token with all the scopes of docs/zoho.md."


def check(connector: ZohoConnector) -> Iterator[CheckItem]:
    """The lines of the check; it ends at what nothing goes on without."""
    try:
        org = connector.org()
        modules = connector.modules()
    except CRMBridgeError as error:
        yield CheckItem("sign-in", "failed", " ".join(filter(None, (error.what, error.said))), error.remedy)
        return
    yield CheckItem("sign-in", "ok", f"{org.label} ({org.id})")
    yield _credits(connector)
    if not any(module.object == "lead" for module in modules):
        yield CheckItem("Leads", "warning", "this user does not see the module", "Grant it in the profile.")
    for module in modules:
        yield _module(connector, module)
    yield _query(connector, modules)
    yield _users(connector)


def _credits(connector: ZohoConnector) -> CheckItem:
    daily = connector.client.daily or 0
    share = int(daily * connector.context.api_budget)
    needed = len(connector.modules()) * limits.bulk_read_forecast(1)
    detail = (
        f"{daily:,} credits in 24 hours, of which {share:,} are this connection's; a first pull takes about "
        f"{needed:,} and {limits.BULK_READ_CREDITS} for every {limits.JOB_PAGE:,} records of a module, "
        f"writing 1,000 scores {limits.write_forecast(1_000):,}"
    )
    if needed > share:
        return CheckItem("credits", "warning", detail, "Raise api_budget, or expect the first pull in parts.")
    return CheckItem("credits", "ok", detail)


def _module(connector: ZohoConnector, module: Module) -> CheckItem:
    name = f"{module.object}: {module.name}"
    try:
        source = connector.source(module)
        mapped = {**module.fields, **connector.options.mapping.get(module.object, {})}
        fields = connector.schema.fields(module.name).fields
        hidden = sorted({each for each in mapped.values() if each not in fields})
        params = {"fields": ",".join([n for n in source.names if n[0] != "$"][:50]), "per_page": SAMPLE}
        rows = connector.client.get(module.name, params).rows
        decoded = source.decoder.decode(cells.from_rows(rows, source.names)) if rows else None
    except Refused as error:
        if is_hidden(error, module.name):
            return CheckItem(name, "warning", f"is not read: {error.said}", "Grant it in the user's profile.")
        return CheckItem(name, "failed", error.said, _SCOPES)
    except CRMBridgeError as error:
        return CheckItem(name, "failed", error.said or str(error), error.remedy or _SCOPES)
    detail = f"{len(source.names)} fields are read"
    if hidden:
        detail += f"; not shown to this user: {', '.join(hidden)}"
    if decoded is not None and decoded.set_aside:
        first = decoded.set_aside[0]
        return CheckItem(
            name,
            "warning",
            f"{detail}; of the first {len(rows)} records {len(decoded.set_aside)} do not fit: {first.reason}",
            "Such records are set aside; correct them in Zoho, or map another field.",
        )
    return CheckItem(name, "ok", detail)


def _query(connector: ZohoConnector, modules: list[Module]) -> CheckItem:
    if not modules:
        return CheckItem("COQL", "warning", "there is no module to query")
    select = f"select id from {modules[0].name} where id is not null limit 1"  # noqa: S608 - COQL
    try:
        connector.client.query(select)
    except Refused as error:
        return CheckItem("COQL", "warning", error.said, f"Lists are read instead, more slowly. {_SCOPES}")
    return CheckItem("COQL", "ok", "queries are allowed")


def _users(connector: ZohoConnector) -> CheckItem:
    try:
        connector.client.get("users", {"type": "CurrentUser"})
    except Refused as error:
        return CheckItem("users", "failed", error.said, _SCOPES)
    return CheckItem("users", "ok", "users can be read")
