"""`crmbridge check`: everything a run needs, looked at without changing anything."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import TYPE_CHECKING

from crmbridge.connectors.base import CheckItem
from crmbridge.connectors.zoho import cells, forecast, limits
from crmbridge.connectors.zoho.client import Refused, is_hidden
from crmbridge.connectors.zoho.lists import IDS
from crmbridge.connectors.zoho.objects import Module
from crmbridge.errors import CRMBridgeError

if TYPE_CHECKING:
    from crmbridge.connectors.zoho.connector import ZohoConnector

SAMPLE: int = 10
_CLOSED = ("OAUTH_SCOPE_MISMATCH", "NO_PERMISSION", "FEATURE_NOT_ENABLED", "NOT_SUPPORTED")
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
    yield _jobs(connector)
    yield _users(connector)


def _credits(connector: ZohoConnector) -> CheckItem:
    daily = connector.client.daily or 0
    share = int(daily * connector.context.api_budget)
    modules = connector.modules()
    records = forecast.counts(connector.client, modules)
    first = forecast.first_pull(records or {module.name: 0 for module in modules})
    counted = f"of {sum(records.values()):,} records " if records else "of small modules "
    each_job = f", and {limits.job_credits()} for every {limits.JOB_PAGE:,} records of a large one"
    detail = (
        f"{daily:,} credits in 24 hours, of which {share:,} are this connection's; the first pull {counted}"
        f"takes about {first:,}{'' if records else each_job}; one that finds nothing new "
        f"{forecast.next_pull({module.name: 0 for module in modules}):,}; writing 1,000 scores "
        f"{limits.write_forecast(1_000):,}, and {2 * ceil(1_000 / IDS):,} to read them before and after"
    )
    if first > share:
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


def _jobs(connector: ZohoConnector) -> CheckItem:
    try:
        # A look at a job that is none costs one credit, where making one costs fifty.
        connector.client.request("GET", "/crm/bulk/v8/read/1", kind="poll")
    except Refused as error:
        if error.code in _CLOSED:
            return CheckItem("Bulk Read", "warning", error.said, f"Queries are used instead. {_SCOPES}")
    return CheckItem("Bulk Read", "ok", "jobs are allowed")


def _users(connector: ZohoConnector) -> CheckItem:
    try:
        connector.client.get("users", {"type": "CurrentUser"})
    except Refused as error:
        return CheckItem("users", "failed", error.said, _SCOPES)
    return CheckItem("users", "ok", "users can be read")
