"""`crmbridge check` of a HubSpot connection: what a run needs, looked at without changing anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from crmbridge.connectors.base import CheckItem
from crmbridge.connectors.hubspot import objects
from crmbridge.connectors.hubspot.answers import Json, Refused
from crmbridge.connectors.hubspot.client import Client
from crmbridge.connectors.hubspot.feed import full_read
from crmbridge.connectors.hubspot.leads import lead_kind
from crmbridge.connectors.hubspot.objects import HubSpotObject
from crmbridge.connectors.hubspot.reading import Reader
from crmbridge.connectors.hubspot.schema import read_properties
from crmbridge.errors import AuthError, QuotaError, TransientError

SCORES: Final = 1_000
"""Scores whose writing is forecast."""


def check(client: Client, reader: Reader) -> Iterator[CheckItem]:
    """Sign-in and portal, the daily limit, owners, what a lead is, then each type of object."""
    try:
        account = client.get(client.paths.account)
    except (AuthError, TransientError, Refused) as error:
        yield CheckItem("sign-in", "failed", f"{error.what} {error.said or ''}".strip(), error.remedy)
        return
    try:
        yield from _portal(client, reader, account)
    except QuotaError as error:
        yield CheckItem("API limit", "failed", error.what, error.remedy)


def _portal(client: Client, reader: Reader, account: Json) -> Iterator[CheckItem]:
    kind = str(account.get("accountType") or "").lower().replace("_", " ")
    yield CheckItem("sign-in", "ok", f"portal {account.get('portalId')} ({kind or 'unknown type'})")
    lead = lead_kind(client)
    chosen = "set" if client.options.lead_object != "auto" else "found"
    detail = f"HubSpot's {lead.name} are taken for leads ({chosen})"
    if chosen == "found" and lead is objects.LEADS and reader.count(lead) == 0:
        remedy = 'If nobody works with HubSpot\'s leads, set lead_object = "contacts".'
        yield CheckItem("leads", "warning", f"{detail}; there are none", remedy)
    else:
        yield CheckItem("leads", "ok", detail)
    yield _owners(reader)
    kinds: Sequence[HubSpotObject] = (
        objects.COMPANIES,
        objects.CONTACTS,
        *((objects.LEADS,) if lead is objects.LEADS else ()),
        objects.DEALS,
        *(each for each in objects.ACTIVITIES if client.options.bodies or each is not objects.NOTES),
        objects.ORDERS,
    )
    calls = records = 0
    for each in kinds:
        item, names = _object(client, reader, each)
        yield item
        if item.state == "ok":
            number = reader.count(each)
            calls, records = calls + full_read(each, number, names), records + number
    yield _limit(client.share.left, records, calls)


def _limit(left: int | None, records: int, calls: int) -> CheckItem:
    """What is left of the day's calls, beside what a first run would take."""
    forecast = (
        f"reading all {records:,} records takes about {calls:,} calls, later runs what has changed, "
        f"writing {SCORES:,} scores {SCORES // 100}"
    )
    if left is None:
        return CheckItem("API limit", "ok", f"HubSpot does not say what is left of the day; {forecast}")
    detail = f"this connection may make {left:,} more calls today; {forecast}"
    if left <= 0:
        return CheckItem("API limit", "failed", detail, "Wait until tomorrow, or raise api_budget.")
    if calls > left:
        remedy = "Raise api_budget, or expect the first reading in several runs."
        return CheckItem("API limit", "warning", detail, remedy)
    return CheckItem("API limit", "ok", detail)


def _owners(reader: Reader) -> CheckItem:
    try:
        found = reader.owners()
    except Refused as error:
        return CheckItem("owners", "failed", _said(error), error.remedy or "Grant crm.objects.owners.read.")
    active = sum(raw.get("archived") is not True for raw in found)
    return CheckItem("owners", "ok", f"{active} active, {len(found) - active} archived")


def _object(client: Client, reader: Reader, kind: HubSpotObject) -> tuple[CheckItem, Sequence[str]]:
    """How a type of object fares, and the properties that are read of it."""
    needed = kind in (objects.CONTACTS, objects.COMPANIES, objects.DEALS)
    try:
        properties = sorted(read_properties(client, kind.name))
        records, _ = next(reader.listed(kind, ()))
        shown = reader.readable(kind, properties)
    except Refused as error:
        remedy = error.remedy or f"Grant crm.objects.{kind.name}.read, where the edition has {kind.name}."
        return CheckItem(kind.name, "failed" if needed else "warning", _said(error), remedy), ()
    if kind.stamp not in properties:
        problem = f"there is no property {kind.stamp}: changes can't be found"
        return CheckItem(kind.name, "failed", problem, "Tell the authors of crmbridge."), ()
    seen = "records can be read" if records else "there are none"
    refused = sorted(set(properties) - set(shown))
    if refused:
        seen += f"; HubSpot does not show the key {', '.join(refused)}"
    return CheckItem(kind.name, "ok", f"{len(shown)} properties; {seen}"), shown


def _said(error: Refused) -> str:
    return f"HubSpot says {error.status} {error.code}: {error.message}".rstrip(": ")
