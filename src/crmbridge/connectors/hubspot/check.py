"""`crmbridge check` of a HubSpot connection: what a run needs, looked at without changing anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crmbridge.connectors.base import CheckItem
from crmbridge.connectors.hubspot import objects
from crmbridge.connectors.hubspot.client import Client, Refused
from crmbridge.connectors.hubspot.leads import lead_kind
from crmbridge.connectors.hubspot.objects import HubSpotObject
from crmbridge.connectors.hubspot.reading import Reader
from crmbridge.connectors.hubspot.schema import read_properties
from crmbridge.errors import AuthError, TransientError


def check(client: Client, reader: Reader) -> Iterator[CheckItem]:
    """Sign-in and portal, the daily limit, owners, what a lead is, then each type of object."""
    try:
        account = client.get(client.paths.account)
    except (AuthError, TransientError, Refused) as error:
        yield CheckItem("sign-in", "failed", f"{error.what} {error.said or ''}".strip(), error.remedy)
        return
    kind = str(account.get("accountType") or "").lower().replace("_", " ")
    yield CheckItem("sign-in", "ok", f"portal {account.get('portalId')} ({kind or 'unknown type'})")
    lead = lead_kind(client)
    chosen = "set" if client.options.lead_object != "auto" else "found"
    yield CheckItem("leads", "ok", f"HubSpot's {lead.name} are taken for leads ({chosen})")
    yield _owners(reader)
    kinds: Sequence[HubSpotObject] = (
        objects.COMPANIES,
        objects.CONTACTS,
        *((objects.LEADS,) if lead is objects.LEADS else ()),
        objects.DEALS,
        *(each for each in objects.ACTIVITIES if client.options.bodies or each is not objects.NOTES),
        objects.ORDERS,
    )
    for each in kinds:
        yield _object(client, reader, each)
    left = client.share.left
    if left is None:
        yield CheckItem("API limit", "ok", "HubSpot does not say what is left of the daily limit")
    else:
        detail = f"this connection may make {left:,} more calls today"
        remedy = None if left > 0 else "Wait until tomorrow, or raise api_budget."
        yield CheckItem("API limit", "ok" if left > 0 else "failed", detail, remedy)


def _owners(reader: Reader) -> CheckItem:
    try:
        found = reader.owners()
    except Refused as error:
        return CheckItem("owners", "failed", _said(error), error.remedy or "Grant crm.objects.owners.read.")
    active = sum(raw.get("archived") is not True for raw in found)
    return CheckItem("owners", "ok", f"{active} active, {len(found) - active} archived")


def _object(client: Client, reader: Reader, kind: HubSpotObject) -> CheckItem:
    needed = kind in (objects.CONTACTS, objects.COMPANIES, objects.DEALS)
    try:
        properties = read_properties(client, kind.name)
        records, _ = next(reader.listed(kind, sorted(properties)[:1]))
    except Refused as error:
        remedy = error.remedy or f"Grant crm.objects.{kind.name}.read, where the edition has {kind.name}."
        return CheckItem(kind.name, "failed" if needed else "warning", _said(error), remedy)
    if kind.stamp not in properties:
        return CheckItem(
            kind.name,
            "failed",
            f"there is no property {kind.stamp}: changes can't be found",
            "Tell the authors of crmbridge.",
        )
    seen = "records can be read" if records else "there are none"
    return CheckItem(kind.name, "ok", f"{len(properties)} properties; {seen}")


def _said(error: Refused) -> str:
    return f"HubSpot says {error.status} {error.code}: {error.message}".rstrip(": ")
