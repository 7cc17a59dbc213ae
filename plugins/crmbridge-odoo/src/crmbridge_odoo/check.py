"""`crmbridge check`: everything a run needs, looked at without changing anything.

A user with too few rights gets the list of what is missing, each with the group that gives it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from crmbridge.connectors import CheckItem
from crmbridge.errors import CRMBridgeError
from crmbridge_odoo.faults import Fault
from crmbridge_odoo.stages import TRACKED, Stages

if TYPE_CHECKING:
    from crmbridge_odoo.connector import OdooConnector

SAMPLE: Final = 20
OLDEST: Final = 11
ALL_RECORDS: Final = "sales_team.group_sale_salesman_all_leads"
SETTINGS: Final = "base.group_system"
SALES: Final = "Give the user Sales / User: All Documents (docs/odoo.md)."
READ: Final = {
    "crm.lead": "leads and opportunities",
    "res.partner": "companies and persons",
    "crm.stage": "which stages are won",
    "res.users": "reps",
    "calendar.event": "meetings",
    "mail.activity": "planned activities",
    "mail.message": "e-mails, notes, activities done",
    "sale.order": "orders",
}
_NEEDED: Final = ("crm.lead", "res.partner", "crm.stage", "res.users")


def check(connector: OdooConnector) -> Iterator[CheckItem]:
    """The lines of the check; it ends at what nothing goes on without."""
    client = connector.client
    try:
        org = connector.org()
        version = client.version
        client.user_context  # noqa: B018 - it signs in
    except CRMBridgeError as error:
        yield CheckItem("sign-in", "failed", " ".join(filter(None, (error.what, error.said))), error.remedy)
        return
    except Fault as fault:
        yield CheckItem("sign-in", "failed", fault.said, "Give an internal user's login and key.")
        return
    api = "JSON-2" if client.by_json2 else "JSON-RPC"
    yield CheckItem("sign-in", "ok", f"{org.label}, user {client.uid}, by {api}")
    yield CheckItem(
        "version",
        "ok" if version >= OLDEST else "warning",
        f"Odoo {version}",
        None if version >= OLDEST else f"Versions before {OLDEST} are not supported.",
    )
    for model, what in READ.items():
        yield _readable(connector, model, what)
    yield _all_records(connector)
    yield _history(connector)
    for model in ("crm.lead", "res.partner"):
        may = client.may(model, "write")
        name = f"write {model}"
        yield CheckItem(name, "ok" if may else "failed", _may("write", may), None if may else SALES)
    yield _sample(connector)


def _may(what: str, may: bool) -> str:
    return f"the user may {what} it" if may else f"the user may not {what} it"


def _readable(connector: OdooConnector, model: str, what: str) -> CheckItem:
    name, needed = f"read {model}", model in _NEEDED
    if not connector.client.fields(model):
        detail = "the database does not have it, or hides it from this user"
        remedy = "Install the app CRM." if model == "crm.lead" else f"Without it there are no {what}."
        return CheckItem(name, "failed" if needed else "warning", detail, remedy)
    try:
        number = connector.client.call(model, "search_count", [])
    except Fault as fault:
        if fault.is_denied or fault.is_passing:
            raise
        remedy = SALES if needed else f"{SALES} Without it there are no {what}."
        return CheckItem(name, "failed" if needed else "warning", fault.said, remedy)
    return CheckItem(name, "ok", f"{what}: {number:,}")


def _all_records(connector: OdooConnector) -> CheckItem:
    try:
        sees_all = connector.client.has_group(ALL_RECORDS)
    except Fault as fault:
        return CheckItem("all records", "warning", fault.said, SALES)
    if sees_all:
        return CheckItem("all records", "ok", "the user sees the records of all reps")
    return CheckItem("all records", "failed", "the user sees their own leads and opportunities only", SALES)


def _history(connector: OdooConnector) -> CheckItem:
    if Stages(connector.client, connector.related).is_tracked():
        return CheckItem("stage history", "ok", f"{TRACKED} can be read")
    return CheckItem(
        "stage history",
        "warning",
        f"the user may not read {TRACKED}: Odoo shows it to Administration / Settings only",
        "It works without: only the entry into each deal's present stage is known, and adds up from now on.",
    )


def _sample(connector: OdooConnector) -> CheckItem:
    try:
        source, mapper = connector.source("deal")
        domain = list(source.domain)
        rows = connector.client.search_read(source.model, domain, ["write_date", *source.names], limit=SAMPLE)
        decoded = mapper.decode(rows)
    except Fault as fault:
        return CheckItem("sample", "failed", fault.said, SALES)
    except CRMBridgeError as error:
        return CheckItem("sample", "failed", error.what, error.remedy)
    detail = f"{len(source.names)} fields of {len(rows)} opportunities were read"
    if decoded.set_aside:
        first = decoded.set_aside[0]
        return CheckItem(
            "sample",
            "warning",
            f"{detail}; {len(decoded.set_aside)} do not fit: {first.place}: {first.reason}",
            "Such records are set aside; correct them in Odoo, or map another field.",
        )
    return CheckItem("sample", "ok", detail)
