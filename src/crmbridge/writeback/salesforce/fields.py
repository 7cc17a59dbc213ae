"""Our fields as Salesforce has them: types, and their metadata.

Metadata API Developer Guide: "CustomField". The children of a component stand in the order of the API's
schema: `fullName`, then alphabetically.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from xml.sax.saxutils import escape

from crmbridge.connectors.salesforce.objects import CARRIERS
from crmbridge.model.fields import CATALOGUE, Field, FieldType, fields_on, salesforce_name
from crmbridge.model.records import ObjectName

MARK: Final = "Made by crmbridge."
"""Stands in the description of everything `install` makes: `uninstall` removes nothing without it."""
LONGEST_TEXT: Final = 255
"""A longer one is a long text area (which can't be filtered by)."""
SHORTEST_LONG: Final = 256
PRECISION: Final = 18

DESCRIBED_AS: Final[Mapping[FieldType, frozenset[str]]] = MappingProxyType(
    {
        "number": frozenset({"double", "currency", "percent"}),
        "text": frozenset({"string", "textarea"}),
        "choice": frozenset({"picklist", "string"}),
        "datetime": frozenset({"datetime"}),
        "boolean": frozenset({"boolean"}),
    }
)
"""Types in a describe that take our values."""
METADATA: Final[Mapping[FieldType, frozenset[str]]] = MappingProxyType(
    {
        "number": frozenset({"Number", "Currency", "Percent"}),
        "text": frozenset({"Text", "TextArea", "LongTextArea"}),
        "choice": frozenset({"Picklist", "Text"}),
        "datetime": frozenset({"DateTime"}),
        "boolean": frozenset({"Checkbox"}),
    }
)
"""The same in the Metadata API."""


@dataclass(frozen=True)
class Placed:
    """One field of the catalogue on one Salesforce object."""

    object: ObjectName
    field: Field

    @property
    def sobject(self) -> str:
        return CARRIERS[self.object]

    @property
    def name(self) -> str:
        return salesforce_name(self.field.key)

    @property
    def full_name(self) -> str:
        return f"{self.sobject}.{self.name}"


def placed(keys: tuple[str, ...] = tuple(CATALOGUE)) -> Iterator[Placed]:
    """The fields of these keys on every object that carries them."""
    for object_name in CARRIERS:
        for field in fields_on(object_name, keys):
            yield Placed(object_name, field)


def field_children(where: Placed) -> list[tuple[str, str]]:
    """The metadata of a field: element names and inner XML, in the schema's order."""
    field = where.field
    found = {
        "description": escape(f"{field.description}. {MARK}"),
        "inlineHelpText": escape(f"{field.description}. Written by crmbridge; changes are overwritten."),
        "label": escape(field.label),
    }
    if field.type == "number":
        found |= {"type": "Number", "precision": str(PRECISION), "scale": str(field.decimals)}
    elif field.type == "boolean":
        found |= {"type": "Checkbox", "defaultValue": "false"}
    elif field.type == "datetime":
        found |= {"type": "DateTime"}
    elif field.type == "choice":
        values = "".join(
            f"<value><fullName>{choice}</fullName><default>false</default><label>{choice}</label></value>"
            for choice in field.choices
        )
        definition = f"<valueSetDefinition><sorted>false</sorted>{values}</valueSetDefinition>"
        found |= {"type": "Picklist", "valueSet": f"<restricted>true</restricted>{definition}"}
    elif field.length > LONGEST_TEXT:
        length = str(max(field.length, SHORTEST_LONG))
        found |= {"type": "LongTextArea", "length": length, "visibleLines": "4"}
    else:
        found |= {"type": "Text", "length": str(field.length)}
    if field.type != "boolean":
        found["required"] = "false"
    return sorted(found.items())


def conflict(where: Placed, *, kind: str | None, length: int | None, decimals: int | None) -> str | None:
    """Why a field of our name that is there can't take our values; None where it can."""
    if kind not in METADATA[where.field.type]:
        return f"{where.full_name} is there already, of type {kind}"
    if where.field.type == "text" and length is not None and length < where.field.length:
        return f"{where.full_name} is there already, for {length} characters instead of {where.field.length}"
    if where.field.type == "number" and decimals is not None and decimals < where.field.decimals:
        return (
            f"{where.full_name} is there already, with {decimals} decimals instead of {where.field.decimals}"
        )
    return None


def described_problem(where: Placed, described: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """What is wrong with a field as the describe shows it, and what to do."""
    if described is None:
        return "is not there, or not visible to the integration user", "Run `crmbridge install`."
    if described["type"] not in DESCRIBED_AS[where.field.type]:
        return f"is of type {described['type']}", "Rename that field, then run `crmbridge install`."
    if not described.get("updateable", True):
        return (
            "can't be written by the integration user",
            "Assign the permission set CRMBridge_Integration to the integration user.",
        )
    return None
