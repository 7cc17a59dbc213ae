"""A portal's properties, read once per run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crmbridge.connectors.hubspot.client import Client, Json


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
            name=str(raw.get("name")),
            type=str(raw.get("type") or "string"),
            group=str(raw.get("groupName") or ""),
            is_read_only=metadata.get("readOnlyValue") is True,
            options=tuple(str(option.get("value")) for option in raw.get("options") or ()),
        )


def read_properties(client: Client, kind: str, *, archived: bool = False) -> Mapping[str, Property]:
    """The properties of an object type by name. Raises AuthError, QuotaError, Refused, TransientError."""
    path = client.paths.properties.format(kind)
    body = client.get(path, [("archived", "true")] if archived else [])
    found = (Property.of(raw) for raw in body.get("results") or () if isinstance(raw, dict))
    return {each.name: each for each in found if each.name}
