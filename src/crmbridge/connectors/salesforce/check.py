"""`crmbridge check` for Salesforce: sign-in, limits, objects, fields, and what a run will cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from crmbridge.connectors.base import CheckItem, Org
from crmbridge.connectors.salesforce.bulk import PAGE_ROWS as BULK_ROWS
from crmbridge.connectors.salesforce.client import Client
from crmbridge.connectors.salesforce.errors import Refused
from crmbridge.connectors.salesforce.objects import SOBJECTS, SObject
from crmbridge.connectors.salesforce.pull import ObjectReader
from crmbridge.errors import AuthError, SettingsError, TransientError

PAGE_ROWS: Final = 2_000
JOB_CALLS: Final = 10
OVERHEAD: Final = 2
"""Calls of a whole read beside its pages: the describe, and one to spare."""
NEEDED: Final = frozenset({"User", "Account", "Contact", "Lead", "Opportunity"})


def check(client: Client, org: Callable[[], Org]) -> Iterator[CheckItem]:
    """Everything a run needs. Changes nothing."""
    try:
        found = org()
    except (AuthError, SettingsError, TransientError, Refused) as error:
        yield CheckItem("sign-in", "failed", f"{error.what} {error.said or ''}".strip(), error.remedy)
        return
    yield CheckItem("sign-in", "ok", f"{found.label}, org {found.id}, {client.options.auth}")
    calls = 0
    for sobject in (each for each in SOBJECTS if each.instead_of is None):
        item, rows = _object(client, sobject)
        calls += OVERHEAD + _pages(client, rows)
        yield item
    yield _limits(client)
    yield _cost(client, calls)


def _object(client: Client, sobject: SObject) -> tuple[CheckItem, int]:
    name = f"{sobject.becomes}: {sobject.name}"
    try:
        reader = ObjectReader.open(client, sobject)
        if reader is None:
            remedy = f"Give the integration user's permission set Read and View All on {sobject.name}."
            detail = "the user may not read it, or the org has none"
            return CheckItem(name, "failed" if sobject.name in NEEDED else "warning", detail, remedy), 0
        counted = _count(client, sobject)
    except (Refused, TransientError) as error:
        return CheckItem(name, "failed", str(error), error.remedy), 0
    wanted = {source.column for source in sobject.sources}
    hidden = sorted(wanted - set(reader.schema.types) - {"CurrencyIsoCode", "OpportunityId"})
    number = "too many rows to count" if counted is None else f"{counted:,} rows"
    detail = f"{number}, {len(reader.schema.types)} readable fields"
    if hidden:
        remedy = "Make them visible to the integration user (field-level security) where the org has them."
        detail = f"{detail}; not readable: {', '.join(hidden)}"
        return CheckItem(name, "warning", detail, remedy), counted or 0
    return CheckItem(name, "ok", detail), counted or 0


def _limits(client: Client) -> CheckItem:
    if client.usage is None:
        _ask_limits(client)
    if client.usage is None:
        return CheckItem("API calls", "warning", "the org did not tell its limit", None)
    used, limit = client.usage
    share = int(limit * client.context.api_budget)
    detail = f"{limit - used:,} of {limit:,} left today; crmbridge may use {share:,} a day"
    if limit - used < share * 0.2:
        return CheckItem("API calls", "warning", detail, "Other integrations use most of the org's calls.")
    return CheckItem("API calls", "ok", detail)


def _ask_limits(client: Client) -> None:
    """Most answers tell the day's limit in a header; where a proxy takes it away, a resource does."""
    try:
        told = client.get("limits/")["DailyApiRequests"]
        client.usage = int(told["Max"]) - int(told["Remaining"]), int(told["Max"])
    except (Refused, KeyError, TypeError, ValueError) as error:
        client.context.log("salesforce.no_limits", why=str(error)[:200])


def _count(client: Client, sobject: SObject) -> int | None:
    """Rows the user sees; None where there are so many that Salesforce does not get through them."""
    try:
        return int(client.get("query/", q=f"SELECT COUNT() FROM {sobject.name}")["totalSize"])  # noqa: S608
    except TransientError as error:
        client.context.log("salesforce.not_counted", object=sobject.name, said=error.said)
        return None


def _pages(client: Client, rows: int) -> int:
    """Calls for the pages of a whole read; a query job is made and asked after a few times."""
    if rows > client.options.rest_rows:
        return -(-rows // BULK_ROWS) + JOB_CALLS
    return max(-(-rows // PAGE_ROWS), 1)


def _cost(client: Client, calls: int) -> CheckItem:
    name, detail = "cost of the first run", f"about {calls:,} calls; later runs read what changed"
    left = client.share.left
    if left is not None and calls > left:
        remedy = "It goes on where it stood on the following days; or raise api_budget for the first run."
        return CheckItem(name, "warning", f"{detail}; {left:,} may be used today", remedy)
    return CheckItem(name, "ok", detail)
