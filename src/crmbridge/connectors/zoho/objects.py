"""Which of Zoho's modules become which objects, and which of their fields the common model's.

Source: the field metadata of each module (`GET /crm/v8/settings/fields?module=...`) and
https://www.zoho.com/crm/developer/docs/api/v8/modules-api.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from crmbridge.model.records import ActivityKind, ObjectName, Outcome


@dataclass(frozen=True)
class Module:
    """One module: its object, and the Zoho field of each field of the model.

    `needs` are further fields that the mapping looks at. `deletions`: whether the vendor lists deleted
    records of it. `immutable`: rows that are history: what the vendor fills in later is not taken.
    """

    name: str
    object: ObjectName
    fields: Mapping[str, str]
    kind: ActivityKind | None = None
    needs: tuple[str, ...] = ()
    deletions: bool = True
    left_out: frozenset[str] = field(default_factory=frozenset)


_ACTIVITY: Final = {"owner_id": "Owner", "contact_id": "Who_Id"}

MODULES: Final[tuple[Module, ...]] = (
    Module(
        "Accounts",
        "account",
        {
            "owner_id": "Owner",
            "name": "Account_Name",
            "industry": "Industry",
            "employees": "Employees",
            "annual_revenue": "Annual_Revenue",
            "country": "Billing_Country",
            "website": "Website",
        },
    ),
    Module(
        "Contacts",
        "contact",
        {
            "owner_id": "Owner",
            "account_id": "Account_Name",
            "first_name": "First_Name",
            "last_name": "Last_Name",
            "email": "Email",
            "phone": "Phone",
            "title": "Title",
            "lead_source": "Lead_Source",
        },
    ),
    Module(
        "Leads",
        "lead",
        {
            "owner_id": "Owner",
            "first_name": "First_Name",
            "last_name": "Last_Name",
            "company": "Company",
            "title": "Designation",
            "email": "Email",
            "phone": "Phone",
            "industry": "Industry",
            "employees": "No_of_Employees",
            "annual_revenue": "Annual_Revenue",
            "country": "Country",
            "lead_source": "Lead_Source",
            "status": "Lead_Status",
            "is_converted": "Converted__s",
            "converted_at": "Converted_Date_Time",
            "converted_account_id": "Converted_Account",
            "converted_contact_id": "Converted_Contact",
            "converted_deal_id": "Converted_Deal",
        },
        needs=("$converted",),
    ),
    Module(
        "Deals",
        "deal",
        {
            "owner_id": "Owner",
            "name": "Deal_Name",
            "account_id": "Account_Name",
            "contact_id": "Contact_Name",
            "amount": "Amount",
            "currency": "Currency",
            "stage": "Stage",
            "type": "Type",
            "lead_source": "Lead_Source",
            "expected_close": "Closing_Date",
        },
    ),
    Module(
        "DealHistory",
        "stage_change",
        # Modified_Time of a row is the moment the deal entered the row's stage.
        {"deal_id": "Potential_Name", "to_stage": "Stage", "at": "Modified_Time", "rep_id": "Modified_By"},
        deletions=False,
        left_out=frozenset({"Moved_To__s", "Stage_Duration_Calendar_Days", "Last_Modified_Time"}),
    ),
    Module(
        "Calls",
        "activity",
        {
            **_ACTIVITY,
            "subject": "Subject",
            "started_at": "Call_Start_Time",
            "duration": "Call_Duration_in_seconds",
            "outcome": "Call_Result",
        },
        kind="call",
        needs=("What_Id", "$se_module", "Call_Type", "Call_Duration", "Call_Status"),
    ),
    Module(
        "Events",
        "activity",
        {**_ACTIVITY, "subject": "Event_Title", "started_at": "Start_DateTime", "ended_at": "End_DateTime"},
        kind="meeting",
        needs=("What_Id", "$se_module", "Check_In_Time"),
    ),
    Module(
        "Tasks",
        "activity",
        {**_ACTIVITY, "subject": "Subject", "ended_at": "Closed_Time"},
        kind="task",
        needs=("What_Id", "$se_module", "Status"),
    ),
    Module(
        "Sales_Orders",
        "order",
        {
            "owner_id": "Owner",
            "account_id": "Account_Name",
            "deal_id": "Deal_Name",
            "amount": "Grand_Total",
            "currency": "Currency",
            "ordered_at": "Created_Time",
            "status": "Status",
        },
    ),
)
BY_NAME: Final[Mapping[str, Module]] = MappingProxyType({module.name: module for module in MODULES})

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

PARENTS: Final[Mapping[str, str]] = MappingProxyType(
    {"Leads": "lead_id", "Deals": "deal_id", "Accounts": "account_id", "Contacts": "contact_id"}
)
"""What an activity's What_Id refers to, by `$se_module`, in the order in which an unknown id is looked up."""

ECHOES: Final = frozenset(
    {"Modified_By", "Last_Activity_Time", "Change_Log_Time__s", "Record_Status__s", "Locked__s"}
)
"""Change with every write, ours too: no inputs."""

SCALARS_NOT: Final = frozenset(
    {"subform", "fileupload", "imageupload", "profileimage", "multi_module_lookup", "consent_lookup", "ALARM"}
    | {"RRULE", "multiselectlookup", "multiuserlookup", "linktolookup", "event_reminder"}
)
"""Field types that hold structures, and are not read."""

NUMBERS: Final = frozenset(
    {"integer", "double", "currency", "percent", "bigint", "decimal", "rollup_summary"}
)

OUTCOMES: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        "Interested": "connected",
        "Not interested": "connected",
        "Requested more info": "connected",
        "Requested call back": "connected",
        "Request for more info": "connected",
        "No response/Busy": "no_answer",
        "No response": "no_answer",
        "Invalid number": "other",
    }
)
"""Zoho's own values of Call_Result; `outcomes` in the settings says what others mean."""

STATUS_OUTCOMES: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        "Missed": "no_answer",
        "Unattended": "no_answer",
        "Unattended Dialled": "no_answer",
        "Attended": "connected",
        "Attended Dialled": "connected",
    }
)
"""What Call_Type and Call_Status say where there is no result."""

WON: Final = "Closed Won"
LOST: Final = frozenset({"Closed Lost", "Closed Lost to Competition", "Closed-Lost to Competition"})
"""The forecast types of pipelines, and the names of Zoho's own stages."""

NEEDED: Final = frozenset({"Leads", "Deals"})
"""Modules without which there is nothing to score. A user may lack the others: then they are not read."""

HISTORIES: Final = frozenset({"DealHistory"})
"""Modules without a page of their own in the CRM: the API shows them all the same, or refuses them."""

FORMER: Final = "$from_stage"
"""A column that is added to a history: the stage before, null for a deal's first row."""

BULK_READ_NOT: Final = HISTORIES
"""Modules of ours that the vendor's list for Bulk Read does not have: they are read by queries."""
BULK_WRITE: Final = frozenset({"Leads", "Contacts", "Accounts", "Deals"})
"""Modules of ours that Bulk Write takes."""
