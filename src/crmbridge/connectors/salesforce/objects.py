"""Which Salesforce objects become which records, and which of their fields are which of ours.

Objects and fields: Object Reference for the Salesforce Platform. `kind` says how a cell is read (`cells`):

| kind | cell | value |
|---|---|---|
| id | 18 characters (15 are completed) | text |
| text | any | text |
| boolean | `true`, `false` | boolean |
| count | a whole number | int64 |
| money | a number | decimal |
| moment | ISO 8601 with an offset | UTC |
| date | ISO 8601 | date |
| day | ISO 8601 date | its first moment in the connection's zone |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from crmbridge.model.records import ObjectName

Kind = Literal["id", "text", "boolean", "count", "money", "moment", "date", "day"]


@dataclass(frozen=True)
class Source:
    """Where one field of the common model comes from."""

    field: str
    column: str
    kind: Kind = "text"


@dataclass(frozen=True)
class SObject:
    """One Salesforce object: what it becomes, where its fields come from, and which rows count.

    `uses` are fields that derived values need (see `derive`); `also` are fields that stay attributes although
    they are mapped. An object that is read `instead_of` another is read where the other can't be.
    """

    name: str
    becomes: ObjectName
    sources: tuple[Source, ...]
    uses: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    where: str | None = None
    instead_of: str | None = None


ALL: Final = (
    Source("id", "Id", "id"),
    Source("created_at", "CreatedDate", "moment"),
    Source("modified_at", "SystemModstamp", "moment"),
)
IDENTITY: Final = frozenset(source.column for source in ALL)
"""Fields that are always read."""
OWNED: Final = (*ALL, Source("owner_id", "OwnerId", "id"))

NEVER_ATTRIBUTES: Final = frozenset(
    {
        # They change with our own writes or with whoever looks, and say nothing about the record.
        "SystemModstamp",
        "LastModifiedDate",
        "LastModifiedById",
        "LastViewedDate",
        "LastReferencedDate",
        "IsDeleted",
    }
)

SOBJECTS: Final = (
    SObject(
        "User",
        "rep",
        (
            *ALL,
            Source("name", "Name"),
            Source("email", "Email"),
            Source("is_active", "IsActive", "boolean"),
        ),
    ),
    SObject(
        "Account",
        "account",
        (
            *OWNED,
            Source("name", "Name"),
            Source("industry", "Industry"),
            Source("employees", "NumberOfEmployees", "count"),
            Source("annual_revenue", "AnnualRevenue", "money"),
            Source("country", "BillingCountry"),
            Source("website", "Website"),
        ),
    ),
    SObject(
        "Contact",
        "contact",
        (
            *OWNED,
            Source("account_id", "AccountId", "id"),
            Source("first_name", "FirstName"),
            Source("last_name", "LastName"),
            Source("email", "Email"),
            Source("phone", "Phone"),
            Source("title", "Title"),
            Source("lead_source", "LeadSource"),
        ),
    ),
    SObject(
        "Lead",
        "lead",
        (
            *OWNED,
            Source("first_name", "FirstName"),
            Source("last_name", "LastName"),
            Source("company", "Company"),
            Source("title", "Title"),
            Source("email", "Email"),
            Source("phone", "Phone"),
            Source("industry", "Industry"),
            Source("employees", "NumberOfEmployees", "count"),
            Source("annual_revenue", "AnnualRevenue", "money"),
            Source("country", "Country"),
            Source("lead_source", "LeadSource"),
            Source("status", "Status"),
            Source("is_converted", "IsConverted", "boolean"),
            Source("converted_at", "ConvertedDate", "day"),
            Source("converted_account_id", "ConvertedAccountId", "id"),
            Source("converted_contact_id", "ConvertedContactId", "id"),
            Source("converted_deal_id", "ConvertedOpportunityId", "id"),
        ),
    ),
    SObject(
        "Opportunity",
        "deal",
        (
            *OWNED,
            Source("name", "Name"),
            Source("account_id", "AccountId", "id"),
            Source("contact_id", "ContactId", "id"),
            Source("amount", "Amount", "money"),
            Source("currency", "CurrencyIsoCode"),
            Source("stage", "StageName"),
            Source("is_closed", "IsClosed", "boolean"),
            Source("is_won", "IsWon", "boolean"),
            Source("type", "Type"),
            Source("lead_source", "LeadSource"),
            Source("expected_close", "CloseDate", "date"),
        ),
        uses=("CloseDate", "LastStageChangeDate"),
        also=("LastStageChangeDate",),
    ),
    SObject(
        "OpportunityHistory",
        "stage_change",
        (
            *ALL,
            Source("deal_id", "OpportunityId", "id"),
            Source("to_stage", "StageName"),
            Source("at", "CreatedDate", "moment"),
            Source("rep_id", "CreatedById", "id"),
        ),
    ),
    SObject(
        # The history of tracked fields: it goes back two years, and only as far as stages were tracked.
        "OpportunityFieldHistory",
        "stage_change",
        (
            *ALL,
            Source("deal_id", "OpportunityId", "id"),
            Source("from_stage", "OldValue"),
            Source("to_stage", "NewValue"),
            Source("at", "CreatedDate", "moment"),
            Source("rep_id", "CreatedById", "id"),
        ),
        where="Field = 'StageName'",
        instead_of="OpportunityHistory",
    ),
    SObject(
        "Task",
        "activity",
        (
            *OWNED,
            Source("subject", "Subject"),
            Source("account_id", "AccountId", "id"),
            Source("ended_at", "CompletedDateTime", "moment"),
            Source("is_completed", "IsClosed", "boolean"),
        ),
        uses=("WhoId", "WhatId", "TaskSubtype", "CallType", "CallDurationInSeconds", "CallDisposition"),
        also=("WhoId", "WhatId", "TaskSubtype", "CallType", "CallDurationInSeconds", "CallDisposition"),
    ),
    SObject(
        "Event",
        "activity",
        (
            *OWNED,
            Source("subject", "Subject"),
            Source("account_id", "AccountId", "id"),
            Source("started_at", "StartDateTime", "moment"),
            Source("ended_at", "EndDateTime", "moment"),
        ),
        uses=("WhoId", "WhatId", "DurationInMinutes", "IsAllDayEvent"),
        also=("WhoId", "WhatId", "DurationInMinutes", "IsAllDayEvent"),
        # An invitation repeats the event once for each who is invited.
        where="IsChild = false",
    ),
    SObject(
        "Order",
        "order",
        (
            *OWNED,
            Source("account_id", "AccountId", "id"),
            Source("deal_id", "OpportunityId", "id"),
            Source("amount", "TotalAmount", "money"),
            Source("currency", "CurrencyIsoCode"),
            Source("ordered_at", "EffectiveDate", "day"),
            Source("status", "Status"),
        ),
    ),
)

OBJECTS: Final[tuple[ObjectName, ...]] = tuple(dict.fromkeys(each.becomes for each in SOBJECTS))
"""Referred-to objects first, as `SOBJECTS` lists them."""

CARRIERS: Final[Mapping[ObjectName, str]] = MappingProxyType(
    {"lead": "Lead", "contact": "Contact", "account": "Account", "deal": "Opportunity", "rep": "User"}
)
"""The objects that carry our fields, and their names at Salesforce."""

PREFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {"lead_id": "00Q", "contact_id": "003", "account_id": "001", "deal_id": "006"}
)
"""What a polymorphic reference (Task.WhoId, Event.WhatId) points to, by its first three characters."""

TASK_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {"Call": "call", "Email": "email", "ListEmail": "email", "Task": "task"}
)
"""Task.TaskSubtype; what is not here (Cadence, LinkedIn) is `other`."""
DIRECTIONS: Final[Mapping[str, str]] = MappingProxyType({"Inbound": "inbound", "Outbound": "outbound"})
"""Task.CallType; an internal call has no direction."""


def sobjects_of(object_name: ObjectName) -> tuple[SObject, ...]:
    """The Salesforce objects whose rows become this object's records."""
    return tuple(each for each in SOBJECTS if each.becomes == object_name)
