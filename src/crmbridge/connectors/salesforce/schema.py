"""What an object is like in this org: its describe, and the columns a query asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from crmbridge.connectors.salesforce.client import Client
from crmbridge.connectors.salesforce.errors import Refused
from crmbridge.connectors.salesforce.objects import IDENTITY, SObject
from crmbridge.model.fields import fields_on, is_own_name, salesforce_name
from crmbridge.model.records import ObjectName

NOT_READ: Final = frozenset({"address", "location", "complexvalue", "base64", "anyType", "json"})
"""Compound types (their parts are fields of their own) and what is no scalar."""
NUMBERS: Final = frozenset({"int", "double", "currency", "percent", "long"})


@dataclass(frozen=True)
class Schema:
    """One object of the org, as this connection's user sees it.

    `types` are the readable fields and their types in the describe's order, our own ones among them;
    `own` is the API name of each of our fields that is there, by key.
    """

    name: str
    types: Mapping[str, str]
    own: Mapping[str, str]
    replicates: bool
    fields: Mapping[str, Mapping[str, Any]]

    def without(self, name: str) -> Schema:
        """This schema as if a field were not there."""
        own = {key: column for key, column in self.own.items() if column != name}
        return replace(self, types={each: kind for each, kind in self.types.items() if each != name}, own=own)

    @property
    def columns(self) -> list[str]:
        """What a query selects."""
        ours = set(self.own.values())
        return [name for name in self.types if not is_own_name(name) or name in ours]

    @property
    def stamp(self) -> str:
        """The field that says when a row last changed; history objects are only ever added to."""
        return "SystemModstamp" if "SystemModstamp" in self.types else "CreatedDate"

    @property
    def is_deleted_shown(self) -> bool:
        return "IsDeleted" in self.types


def describe(client: Client, sobject: str) -> Mapping[str, Any] | None:
    """The object's describe; None where the org has no such object or the user may not see it."""
    try:
        found: Mapping[str, Any] = client.get(f"sobjects/{sobject}/describe", kind="schema")
    except Refused as error:
        if error.status in (403, 404) or error.code in ("NOT_FOUND", "INVALID_TYPE"):
            return None
        raise
    return found if found.get("queryable", True) else None


def own_names(
    object_name: ObjectName, keys: tuple[str, ...], described: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """The API names of our fields that are there, by key: with a package's namespace where there is one."""
    names = {}
    for field in fields_on(object_name, keys):
        plain = salesforce_name(field.key)
        found = [name for name in described if name == plain or name.endswith(f"__{plain}")]
        if found:
            names[field.key] = plain if plain in found else found[0]
    return names


def read_schema(
    client: Client, sobject: SObject, keys: tuple[str, ...], ignore: tuple[str, ...]
) -> Schema | None:
    """The schema to pull an object by; None where it is not there for this user."""
    found = describe(client, sobject.name)
    if found is None:
        return None
    fields = {field["name"]: field for field in found["fields"]}
    mapped = {source.column for source in sobject.sources}
    types = {
        name: field["type"]
        for name, field in fields.items()
        if (field["type"] not in NOT_READ or (field["type"] == "anyType" and name in mapped))
        and not field.get("deprecatedAndHidden")
        and (name in IDENTITY or f"{sobject.name}.{name}" not in ignore)
    }
    return Schema(
        sobject.name,
        types,
        own_names(sobject.becomes, keys, types),
        bool(found.get("replicateable", True)),
        fields,
    )
