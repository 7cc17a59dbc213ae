"""`[connections.NAME]` of the connector `hubspot`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from crmbridge.model.records import RECORDS, ObjectName

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _url(text: str) -> str:
    """A URL to which a bearer token may be sent: https, or http on this machine."""
    parts = urlsplit(text)
    if not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("it must be a URL such as https://api.hubapi.com")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError("it must start with https://, so that nobody on the way reads the token")
    return text.rstrip("/")


class Options(BaseModel):
    """The connector's own settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    auth: Literal["token", "oauth"] = "token"
    """`token`: a service key, or a private app's token; `oauth`: an app's client and refresh token."""
    client_id: str | None = None
    lead_object: Literal["auto", "leads", "contacts"] = "auto"
    """What a lead is: HubSpot's leads, or its contacts where the portal (or the key) has no leads."""
    bodies: bool = False
    """Whether notes, and the texts of emails, calls, meetings and tasks are read."""
    properties: Mapping[ObjectName, Mapping[str, str]] = {}
    """`[connections.NAME.properties.lead] employees = "headcount"`: a field of the model = a property."""
    overlap_minutes: float = Field(default=10, ge=0)
    """How far each pull looks back beyond the last change it saw: the search index runs behind."""
    deletions_hours: float = Field(default=0, ge=0)
    """Archived records are listed at most every so many hours; 0 is at every pull."""
    reconcile_hours: float = Field(default=24, ge=0)
    """All records are read again at most every so many hours, where that takes few of the day's calls: a new
    association and a record brought back from the bin leave no other trace; 0 is never."""
    api: Literal["dated", "legacy"] = "dated"
    """The API's paths: dated, or v3 and v4, which HubSpot ends in 2027."""
    base_url: Annotated[str, AfterValidator(_url)] = "https://api.hubapi.com"

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.auth == "oauth" and not self.client_id:
            raise ValueError('auth = "oauth" needs client_id')
        for object_name, fields in self.properties.items():
            unknown = sorted(set(fields) - set(RECORDS[object_name].model_fields) | {"id"} & set(fields))
            if unknown:
                raise ValueError(f"properties.{object_name}: {unknown[0]} is not a field that can be mapped")
        return self
