"""The fields of a new org's modules: names, types, labels, as `settings/fields` gives them.

Names and types are those of the vendor's module documentation and of recorded rows of a trial org.
"""

from __future__ import annotations

from typing import Any

MODULE_FLAGS: dict[str, Any] = {
    "api_supported": True,
    "viewable": True,
    "visible": True,
    "editable": True,
    "creatable": True,
    "deletable": True,
    "generated_type": "default",
    "status": "visible",
}

_COMMON = (
    "Owner:ownerlookup Created_By:ownerlookup Modified_By:ownerlookup Created_Time:datetime "
    "Modified_Time:datetime Last_Activity_Time:datetime Tag:text Description:textarea "
)
_TABLES = {
    "Leads": "First_Name:text Last_Name:text Company:text Designation:text Email:email Phone:phone "
    "Industry:picklist No_of_Employees:integer Annual_Revenue:currency Country:text Lead_Source:picklist "
    "Lead_Status:picklist Converted__s:boolean Converted_Date_Time:datetime Converted_Account:lookup "
    "Converted_Contact:lookup Converted_Deal:lookup Lead_Conversion_Time:integer Campaign_Code:text "
    "Email_Opt_Out:boolean Score_Points:double Interests:multiselectpicklist First_Visited_Time:datetime "
    "Record_Image:profileimage",
    "Contacts": "Account_Name:lookup First_Name:text Last_Name:text Email:email Phone:phone Title:text "
    "Lead_Source:picklist",
    "Accounts": "Account_Name:text Industry:picklist Employees:integer Annual_Revenue:currency "
    "Billing_Country:text Website:website Currency:picklist",
    "Deals": "Deal_Name:text Account_Name:lookup Contact_Name:lookup Amount:currency Currency:picklist "
    "Stage:picklist Type:picklist Lead_Source:picklist Closing_Date:date Probability:integer "
    "Lead_Conversion_Time:integer Sales_Cycle_Duration:integer Overall_Sales_Duration:integer",
    "DealHistory": "Potential_Name:lookup Stage:picklist Moved_To__s:picklist "
    "Stage_Duration_Calendar_Days:integer Amount:currency Probability:integer Expected_Revenue:currency "
    "Closing_Date:date",
    "Calls": "Subject:text Who_Id:lookup What_Id:lookup Call_Type:picklist Call_Start_Time:datetime "
    "Call_Duration:text Call_Duration_in_seconds:integer Call_Status:picklist Call_Result:picklist",
    "Events": "Event_Title:text Who_Id:lookup What_Id:lookup Start_DateTime:datetime End_DateTime:datetime "
    "Check_In_Time:datetime Venue:text",
    "Tasks": "Subject:text Who_Id:lookup What_Id:lookup Status:picklist Due_Date:date Closed_Time:datetime "
    "Priority:picklist",
    "Sales_Orders": "Subject:text Account_Name:lookup Deal_Name:lookup Grand_Total:currency "
    "Currency:picklist Status:picklist Due_Date:date Ordered_Items:subform",
}
_JSON_TYPES = {
    "integer": "integer",
    "double": "double",
    "currency": "double",
    "boolean": "boolean",
    "lookup": "jsonobject",
    "ownerlookup": "jsonobject",
    "multiselectpicklist": "jsonarray",
    "subform": "jsonarray",
}
LENGTHS = {"text": 255, "textarea": 32_000, "double": 16, "integer": 9, "currency": 16, "picklist": 120}
STAGES = (
    ("Qualification", "Open"),
    ("Negotiation/Review", "Open"),
    ("Closed Won", "Closed Won"),
    ("Gewonnen", "Closed Won"),
    ("Closed Lost", "Closed Lost"),
)


def field(identifier: int, name: str, kind: str, label: str | None = None, **more: Any) -> dict[str, Any]:
    """One field's metadata."""
    return {
        "id": f"48760000000{identifier:05}",
        "api_name": name,
        "field_label": label or name.replace("_", " "),
        "display_label": label or name.replace("_", " "),
        "data_type": kind,
        "json_type": _JSON_TYPES.get(kind, "string"),
        "length": LENGTHS.get(kind, 120),
        "custom_field": False,
        "read_only": False,
        "field_read_only": False,
        "visible": True,
        "system_mandatory": name in ("Last_Name", "Company"),
        "pick_list_values": [],
        **more,
    }


def _fields() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    number = 2000
    for module, table in _TABLES.items():
        found[module] = []
        for part in (_COMMON + table).split():
            name, _, kind = part.partition(":")
            number += 1
            found[module].append(field(number, name, kind))
    return found


FIELDS = _fields()
