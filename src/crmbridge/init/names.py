"""What columns and files of exports are usually called: the likely names of each common field, best first.

Names are compared as `words` gives them, with and without the object's own name in front: `Lead Status` and
`LeadStatus` are both "lead status" and "status".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from crmbridge.model.records import ObjectName

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OTHER: Final = re.compile(r"[\W_]+")


def words(name: str) -> str:
    """A name in small words: `OrderID`, `order_id` and `Order ID` are all "order id"."""
    return _OTHER.sub(" ", _CAMEL.sub(" ", name)).strip().casefold()


OWN_NAMES: Final[Mapping[ObjectName, tuple[str, ...]]] = MappingProxyType(
    {
        # The first that a file's name holds decides, so the history of deals comes before the deals.
        "stage_change": ("stage history", "stage change", "opportunity history", "deal history", "history"),
        "deal": ("deal", "opportunity", "opportunities", "pipeline"),
        "lead": ("lead", "prospect"),
        "contact": ("contact", "person", "people"),
        "activity": ("activity", "activities", "call", "meeting", "task", "event", "email", "engagement"),
        "order": ("order", "invoice"),
        "account": ("account", "company", "companies", "organization", "organisation", "customer"),
        "rep": ("rep", "user", "owner", "sales agent", "sales team", "employee"),
    }
)

_COMMON: Final = {
    "created_at": "created at, created date, create date, created, created on, date created, creation date, "
    "created time",
    "modified_at": "modified at, last modified date, last modified, modified on, last modified time, "
    "modified time, updated at, last updated, date modified",
    "owner_id": "owner id, owner, assigned to, sales rep, rep id, rep, sales agent, salesperson, agent, "
    "user id, employee id",
}
_PERSON: Final = {
    "first_name": "first name, given name",
    "last_name": "last name, surname, family name",
    "title": "title, job title",
    "email": "email, e mail, email address",
    "phone": "phone, phone number, telephone, mobile, mobile phone",
    "lead_source": "lead source, source, original source",
}
_FIRM: Final = {
    "industry": "industry, sector",
    "employees": "employees, number of employees, no of employees, employee count, headcount",
    "annual_revenue": "annual revenue, revenue, turnover",
    "country": "country, country region, billing country, office location",
}
_LINKS: Final = {
    "account_id": "account id, company id, customer id, associated company id, account, customer",
    "contact_id": "contact id, associated contact id",
    "deal_id": "opportunity id, deal id",
    "lead_id": "lead id, lead",
}
_MONEY: Final = {
    "amount": "amount, value, total, total amount, close value, grand total",
    "currency": "currency, currency code, currency iso code",
}

_FIELDS: Final[Mapping[ObjectName, Mapping[str, str]]] = {
    "account": {
        "name": "name, account name, company name, account, company",
        **_FIRM,
        "website": "website, web site, website url, domain, company domain name",
    },
    "contact": {"account_id": _LINKS["account_id"], **_PERSON},
    "lead": {
        **_PERSON,
        "company": "company, company name, organization, organisation, account name",
        **_FIRM,
        "status": "status",
        "is_converted": "is converted, converted",
        "converted_at": "converted at, converted date, conversion date, date converted, converted on",
        "converted_account_id": "converted account id",
        "converted_contact_id": "converted contact id",
        "converted_deal_id": "converted opportunity id, converted deal id",
        "is_disqualified": "is disqualified, disqualified, unqualified, lost",
        "closed_at": "closed at, closed date, close date, closed on, date closed",
    },
    "deal": {
        **_COMMON,
        "created_at": f"{_COMMON['created_at']}, engage date, open date",
        "name": "opportunity name, deal name, name",
        "account_id": _LINKS["account_id"],
        "contact_id": _LINKS["contact_id"],
        "lead_id": _LINKS["lead_id"],
        **_MONEY,
        "stage": "stage, stage name, pipeline stage",
        "is_closed": "is closed, closed",
        "is_won": "is won, won",
        "type": "type",
        "lead_source": _PERSON["lead_source"],
        "expected_close": "expected close, expected close date, estimated close date",
        "closed_at": "closed at, closed date, close date, closed on, actual close date",
    },
    "stage_change": {
        "deal_id": _LINKS["deal_id"],
        "from_stage": "from stage, old stage, previous stage, old value",
        "to_stage": "to stage, new stage, new value, stage",
        "at": "changed at, changed date, change date, changed on, at, date, timestamp, created date",
        "rep_id": "changed by id, changed by, rep id, user id",
    },
    "activity": {
        "kind": "kind, type, activity type",
        "direction": "direction",
        "subject": "subject",
        **_LINKS,
        "started_at": "started at, start, start time, start date, started, date, date time",
        "ended_at": "ended at, end, end time, end date, ended",
        "duration": "duration, duration seconds, duration s, duration in seconds, seconds",
        "outcome": "outcome, result, disposition",
        "is_completed": "is completed, completed",
    },
    "order": {
        "account_id": _LINKS["account_id"],
        "deal_id": _LINKS["deal_id"],
        **_MONEY,
        "ordered_at": "ordered at, order date, date",
        "fulfilled_at": "fulfilled at, fulfilled date, shipped date, ship date, delivered at, delivery date",
        "status": "status",
    },
    "rep": {
        "name": "name, full name, sales agent",
        "email": _PERSON["email"],
        "is_active": "is active, active",
        "role": "role, profile, title",
    },
}


def likely(object_name: ObjectName) -> dict[str, tuple[str, ...]]:
    """The likely columns of each field of an object."""
    return {field: tuple(names.split(", ")) for field, names in {**_COMMON, **_FIELDS[object_name]}.items()}


def likely_ids(object_name: ObjectName) -> tuple[str, ...]:
    """The likely columns of an object's id."""
    own = OWN_NAMES[object_name]
    return ("id", "record id", *(f"{name} id" for name in own), *own, "key")


def variants(object_name: ObjectName, column: str) -> tuple[str, ...]:
    """A column's name in words, and without the object's own name in front."""
    name = words(column)
    bare = [name.removeprefix(f"{own} ") for own in OWN_NAMES[object_name] if name.startswith(f"{own} ")]
    return (name, *bare[:1])


def object_of(file: str) -> ObjectName | None:
    """What a file of this name most likely holds."""
    stem = f" {words(file)}"
    for object_name, names in OWN_NAMES.items():
        if any(f" {name}" in stem for name in names):
            return object_name
    return None
