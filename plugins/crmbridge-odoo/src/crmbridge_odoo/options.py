"""What `[connections.NAME]` of an Odoo connection says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from crmbridge.model import RECORDS, ActivityKind, ObjectName

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
MAPPED: Final[tuple[ObjectName, ...]] = ("lead", "deal", "account", "contact", "order")
_FIXED: Final = frozenset({"id", "created_at", "modified_at", "attributes"})


def _base(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an address such as https://acme.odoo.com")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError(f"{url!r} would send the key unencrypted: use https (http only on this machine)")
    return f"{parts.scheme}://{parts.netloc}"


class Options(BaseModel):
    """The settings of one Odoo connection.

    `api`: `auto` takes the JSON-2 API from Odoo 19 on and JSON-RPC before. `overlap_minutes` are read once
    more at every pull. `kinds` says what an activity type of the organisation's own is, by its name.
    `mapping` gives, per object, another field of Odoo for a field of the common model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    url: Annotated[str, AfterValidator(_base)] = Field(
        description="The address of your Odoo, such as https://acme.odoo.com"
    )
    database: str = Field(description="The name of the database", min_length=1)
    username: str = Field(description="The login of the integration user", min_length=1)
    api: Literal["auto", "jsonrpc", "json2"] = "auto"
    overlap_minutes: int = Field(default=10, ge=0, le=1440)
    kinds: Mapping[str, ActivityKind] = {}
    mapping: Mapping[ObjectName, Mapping[str, str]] = {}

    @field_validator("mapping")
    @classmethod
    def _known(cls, value: Mapping[ObjectName, Mapping[str, str]]) -> Mapping[ObjectName, Mapping[str, str]]:
        for object_name, fields in value.items():
            if object_name not in MAPPED:
                raise ValueError(f"{object_name} can't be mapped, only {', '.join(MAPPED)}")
            known = RECORDS[object_name].model_fields.keys() - _FIXED
            for field in fields.keys() - known:
                raise ValueError(f"{object_name} has no field {field!r}; it has {', '.join(sorted(known))}")
        return value
