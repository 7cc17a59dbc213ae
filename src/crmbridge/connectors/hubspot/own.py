"""Our fields as HubSpot properties: their definitions, and how a value is spelt.

developers.hubspot.com/docs/api-reference/latest/crm/properties/guide. Values are texts; "" clears one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from crmbridge.connectors.hubspot.moments import moment
from crmbridge.model.fields import CATALOGUE, Field, FieldValue, hubspot_name

GROUP: Final = "crmbridge"
GROUP_LABEL: Final = "CRMBridge"
_LINE: Final = 255
"""Texts that may be longer are shown in a box of several lines."""
_TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "number": ("number", "number"),
    "text": ("string", "text"),
    "choice": ("enumeration", "select"),
    "datetime": ("datetime", "date"),
    "boolean": ("bool", "booleancheckbox"),
}
OWN: Final[Mapping[str, Field]] = {hubspot_name(key): field for key, field in CATALOGUE.items()}
"""Our fields by the name of their property."""
PROPERTIES: Final[Mapping[str, tuple[str, Field]]] = {field.key: (name, field) for name, field in OWN.items()}
"""Each key's property."""


def definition(field: Field) -> dict[str, Any]:
    """The body with which the property is made."""
    kind, shown = _TYPES[field.type]
    found: dict[str, Any] = {
        "name": hubspot_name(field.key),
        "label": field.label,
        "description": field.description,
        "groupName": GROUP,
        "type": kind,
        "fieldType": "textarea" if field.type == "text" and field.length > _LINE else shown,
        "formField": False,
    }
    choices = ("true", "false") if field.type == "boolean" else field.choices
    if choices:
        found["options"] = [
            {
                "label": {"true": "Yes", "false": "No"}.get(choice, choice),
                "value": choice,
                "displayOrder": place,
                "hidden": False,
            }
            for place, choice in enumerate(choices)
        ]
    return found


def spelt(field: Field, value: FieldValue) -> str:
    """A value as HubSpot takes it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f"{value:.{field.decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def understood(field: Field, text: object) -> FieldValue:
    """What HubSpot holds, as a value of the field; a text that is none stays as it is, and so differs."""
    if text is None or text == "":
        return None
    spelling = str(text)
    if field.type == "number":
        try:
            return float(spelling)
        except ValueError:
            return None
    if field.type == "boolean":
        return spelling.lower() == "true"
    if field.type == "datetime":
        try:
            at: datetime | None = moment(spelling)
        except ValueError:
            return spelling
        return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return spelling
