"""A portal's properties, read once per run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crmbridge.connectors.hubspot.answers import Json, listed
from crmbridge.connectors.hubspot.client import Client


@dataclass(frozen=True)
class Property:
    """A property's definition, as far as it matters here. Most of HubSpot's own are read-only."""

    name: str
    type: str
    group: str
    is_read_only: bool
    options: tuple[str, ...]

    @classmethod
    def of(cls, raw: Json) -> Property:
        metadata = raw.get("modificationMetadata") or {}
        return cls(
            name=str(raw.get("name") or ""),
            type=str(raw.get("type") or "string"),
            group=str(raw.get("groupName") or ""),
            is_read_only=metadata.get("readOnlyValue") is True,
            options=tuple(str(option.get("value")) for option in raw.get("options") or ()),
        )


def read_properties(client: Client, kind: str, *, archived: bool = False) -> Mapping[str, Property]:
    """The properties of an object type by name, without the sensitive ones, which take scopes of their own.

    Raises AuthError, QuotaError, Refused, TransientError.
    """
    path = client.paths.properties.format(kind)
    # An answer without a list must not pass for a portal without properties.
    body = client.get(path, [("archived", "true")] if archived else [], check=listed)
    shown = (raw for raw in body["results"] if raw.get("dataSensitivity") in (None, "", "non_sensitive"))
    found = (Property.of(raw) for raw in shown)
    return {each.name: each for each in found if each.name}
