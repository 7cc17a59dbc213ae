"""HubSpot's objects and what of the common model they are: tables to hold against HubSpot's own pages.

developers.hubspot.com/docs/api-reference/latest/crm/objects/{contacts, companies, deals, leads, orders}/guide
and .../crm/activities/{calls, meetings, emails, tasks, notes}/guide, .../crm/associations/guide (type ids).
A field names the properties it may come from; the first that the portal has, in a type that suits, is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from crmbridge.model.records import ObjectName


@dataclass(frozen=True)
class Link:
    """A field that holds the id of an associated record. `primary` is the association type that goes first;
    else the oldest record does, which has the smallest id.
    """

    field: str
    to: str
    primary: int | None = None


@dataclass(frozen=True)
class HubSpotObject:
    """One type of object. `stamp` is the property that says when a record was changed last."""

    name: str
    fields: Mapping[str, tuple[str, ...]]
    links: tuple[Link, ...] = ()
    stamp: str = "hs_lastmodifieddate"
    history: tuple[str, ...] = ()
    bodies: frozenset[str] = frozenset()
    asks: tuple[str, ...] = field(default=())
    """Further properties that the mapping looks at, where there are any."""


_OWNER: Final = {"owner_id": ("hubspot_owner_id",)}

COMPANIES: Final = HubSpotObject(
    "companies",
    {
        **_OWNER,
        "name": ("name",),
        "industry": ("industry",),
        "employees": ("numberofemployees",),
        "annual_revenue": ("annualrevenue",),
        "country": ("country",),
        "website": ("website", "domain"),
    },
)
CONTACTS: Final = HubSpotObject(
    "contacts",
    {
        **_OWNER,
        "first_name": ("firstname",),
        "last_name": ("lastname",),
        "email": ("email",),
        "phone": ("phone",),
        "title": ("jobtitle",),
        "lead_source": ("hs_analytics_source",),
    },
    links=(Link("account_id", "companies", 1),),
    stamp="lastmodifieddate",
)
CONTACTS_AS_LEADS: Final = HubSpotObject(
    "contacts",
    {
        **{name: sources for name, sources in CONTACTS.fields.items() if name != "account_id"},
        "company": ("company",),
        "industry": ("industry",),
        "employees": ("numemployees",),
        "annual_revenue": ("annualrevenue",),
        "country": ("country",),
        "status": ("hs_lead_status",),
    },
    links=(Link("converted_account_id", "companies", 1), Link("converted_deal_id", "deals")),
    stamp="lastmodifieddate",
    asks=("lifecyclestage", "hs_lifecyclestage_opportunity_date", "hs_lifecyclestage_customer_date"),
)
CATEGORIES: Final = ("hs_pipeline_stage_category_v2", "hs_pipeline_stage_category")
"""What the stage of a lead means: NEW, IN_PROGRESS, QUALIFIED, UNQUALIFIED; portals have either."""
LEADS: Final = HubSpotObject(
    "leads",
    {
        **_OWNER,
        "first_name": ("hs_associated_contact_firstname",),
        "last_name": ("hs_associated_contact_lastname",),
        "email": ("hs_associated_contact_email",),
        "company": ("hs_associated_company_name",),
        "lead_source": ("hs_lead_source",),
        "status": ("hs_pipeline_stage",),
    },
    links=(
        Link("converted_account_id", "companies"),
        Link("converted_contact_id", "contacts", 578),
        Link("converted_deal_id", "deals"),
    ),
    asks=CATEGORIES,
)
DEALS: Final = HubSpotObject(
    "deals",
    {
        **_OWNER,
        "name": ("dealname",),
        "amount": ("amount",),
        "currency": ("deal_currency_code",),
        "stage": ("dealstage",),
        "type": ("dealtype",),
        "lead_source": ("hs_analytics_source",),
        "expected_close": ("closedate",),
    },
    links=(Link("account_id", "companies", 5), Link("contact_id", "contacts")),
    history=("dealstage",),
    asks=("hs_is_closed", "hs_is_closed_won"),
)
ORDERS: Final = HubSpotObject(
    "orders",
    {
        **_OWNER,
        "amount": ("hs_total_price",),
        "currency": ("hs_currency_code",),
        "ordered_at": ("hs_external_created_date", "hs_createdate"),
        "fulfilled_at": ("hs_fulfilled_date", "hs_closed_date"),
        "status": ("hs_fulfillment_status", "hs_external_order_status"),
    },
    links=(Link("account_id", "companies"), Link("deal_id", "deals")),
)
_ABOUT: Final = (
    Link("contact_id", "contacts"),
    Link("account_id", "companies"),
    Link("deal_id", "deals"),
    Link("lead_id", "leads"),
)
CALLS: Final = HubSpotObject(
    "calls",
    {**_OWNER, "subject": ("hs_call_title",), "started_at": ("hs_timestamp",)},
    links=_ABOUT,
    bodies=frozenset({"hs_call_body", "hs_call_summary", "hs_body_preview", "hs_body_preview_html"}),
    asks=("hs_call_duration", "hs_call_direction", "hs_call_status", "hs_call_disposition"),
)
MEETINGS: Final = HubSpotObject(
    "meetings",
    {
        **_OWNER,
        "subject": ("hs_meeting_title",),
        "started_at": ("hs_meeting_start_time", "hs_timestamp"),
        "ended_at": ("hs_meeting_end_time",),
    },
    links=_ABOUT,
    bodies=frozenset(
        {"hs_meeting_body", "hs_internal_meeting_notes", "hs_body_preview", "hs_body_preview_html"}
    ),
    asks=("hs_meeting_outcome",),
)
EMAILS: Final = HubSpotObject(
    "emails",
    {**_OWNER, "subject": ("hs_email_subject",), "started_at": ("hs_timestamp",)},
    links=_ABOUT,
    bodies=frozenset(
        {"hs_email_text", "hs_email_html", "hs_email_headers", "hs_body_preview", "hs_body_preview_html"}
    ),
    asks=("hs_email_direction", "hs_email_status"),
)
TASKS: Final = HubSpotObject(
    "tasks",
    # hs_timestamp is when a task is due.
    {**_OWNER, "subject": ("hs_task_subject",), "started_at": ("hs_timestamp",)},
    links=_ABOUT,
    bodies=frozenset({"hs_task_body", "hs_body_preview", "hs_body_preview_html"}),
    asks=("hs_task_status",),
)
NOTES: Final = HubSpotObject("notes", {**_OWNER, "started_at": ("hs_timestamp",)}, links=_ABOUT)

KINDS: Final = {"calls": "call", "meetings": "meeting", "emails": "email", "tasks": "task", "notes": "note"}
ACTIVITIES: Final = (CALLS, MEETINGS, EMAILS, TASKS, NOTES)
ORDER: Final[tuple[ObjectName, ...]] = (
    "rep",
    "account",
    "contact",
    "lead",
    "deal",
    "stage_change",
    "activity",
    "order",
)
"""Referred-to objects first."""

EVERYWHERE: Final = frozenset({"contacts", "companies", "deals"})
"""What every edition has."""
MERGED: Final = "hs_merged_object_ids"
"""Ids that this record has taken the place of, separated by semicolons."""
STAGES: Final = frozenset({"dealstage", "hs_pipeline_stage"})
"""Properties that hold the id of a stage."""
CREATED: Final = ("createdate", "hs_createdate")

DISPOSITIONS: Final[Mapping[str, str]] = {
    "9d9162e7-6cf3-4944-bf63-4dff82258764": "no_answer",  # busy
    "f240bbac-87c9-4f6e-bf70-924b57d47db7": "connected",
    "a4c4c377-d246-4b32-a13b-75a56a4cd0ff": "voicemail",  # left a message with somebody
    "b2cf5968-551e-4856-9783-52b3da59a7d0": "voicemail",
    "73a0d17f-1163-4015-bdd5-ec830791da20": "no_answer",
    "17b47fee-58de-441e-a44c-c6300d46f273": "other",  # wrong number
}
"""Outcomes of calls that every portal has; a portal's own ones are `other`."""
CALL_STATUSES: Final[Mapping[str, str]] = {
    "BUSY": "no_answer",
    "NO_ANSWER": "no_answer",
    "MISSED": "no_answer",
    "CANCELED": "no_answer",
    "FAILED": "no_answer",
}
MEETING_OUTCOMES: Final[Mapping[str, str | None]] = {
    "COMPLETED": "held",
    "NO_SHOW": "no_show",
    "SCHEDULED": None,
    "RESCHEDULED": None,
    "CANCELED": "other",
}
EMAIL_DIRECTIONS: Final[Mapping[str, tuple[str, str | None]]] = {
    "EMAIL": ("outbound", "sent"),
    "INCOMING_EMAIL": ("inbound", "replied"),
    "FORWARDED_EMAIL": ("outbound", "other"),
}
CONVERTED_STAGES: Final = frozenset({"opportunity", "customer", "evangelist"})
"""Lifecycle stages of a contact that has become more than a lead."""
DISQUALIFIED_STATUSES: Final = frozenset({"UNQUALIFIED", "DISQUALIFIED"})

STAMPS: Final = frozenset(
    {"hs_object_id", "hs_lastmodifieddate", "lastmodifieddate", "hs_updated_by_user_id", MERGED, *CREATED}
)
"""Never attributes: the record's own fields under other names, and what every write changes."""
ENTRIES: Final = ("hs_v2_date_entered_", "hs_date_entered_")
"""Beginnings of names of properties that hold when a stage was entered."""
CLOCKS: Final = (
    "hs_time_in_",
    "hs_v2_time_in_",
    "hs_v2_cumulative_time_in_",
    "hs_v2_latest_time_in_",
    "hs_time_since_",
    "days_since_",
    "hs_days_since_",
    "hs_object_source_",
)
"""Beginnings of names of properties that change by themselves or say only who wrote."""
