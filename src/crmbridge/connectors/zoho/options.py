"""What `[connections.NAME]` of a Zoho connection says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, field_validator

from crmbridge.connectors.zoho import hosts
from crmbridge.connectors.zoho.objects import MODULES
from crmbridge.model.records import RECORDS, ObjectName, Outcome

_FIXED: Final = frozenset({"id", "created_at", "modified_at", "attributes"})


def _url(is_allowed: Callable[[str], bool], example: str) -> AfterValidator:
    def check(url: str) -> str:
        base = hosts.base_of(url)
        if not is_allowed(base):
            raise ValueError(f"{url!r} is not one of Zoho's, such as {example} (http only on this machine)")
        return base

    return AfterValidator(check)


class Stages(BaseModel):
    """Deal stages that are won or lost, where the pipelines do not say it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    won: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class Options(BaseModel):
    """The settings of one Zoho connection.

    `accounts_url` is the sign-in of the org's data centre. `api_domain` and `content_url` override what the
    sign-in says. `outcomes` says what an org's own call results mean, `stages` which deal stages are won or
    lost, `disqualified` which lead statuses end a lead. `mapping` gives, per object, another field of the CRM
    for a field of the common model. `bulk_write` allows jobs for much: they have no switch for automations.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    client_id: str
    accounts_url: Annotated[str, _url(hosts.is_accounts, "https://accounts.zoho.eu")] = (
        "https://accounts.zoho.com"
    )
    api_domain: Annotated[str, _url(hosts.is_api, "https://www.zohoapis.eu")] | None = None
    content_url: Annotated[str, _url(hosts.is_content, "https://content.zohoapis.eu")] | None = None
    outcomes: Mapping[str, Outcome] = {}
    stages: Stages = Stages()
    disqualified: tuple[str, ...] = ("Junk Lead", "Lost Lead", "Not Qualified")
    mapping: Mapping[ObjectName, Mapping[str, str]] = {}
    bulk_write: bool = False

    @field_validator("mapping")
    @classmethod
    def _known(cls, value: Mapping[ObjectName, Mapping[str, str]]) -> Mapping[ObjectName, Mapping[str, str]]:
        mapped = {module.object for module in MODULES}
        for object_name, fields in value.items():
            if object_name not in mapped:
                raise ValueError(f"{object_name} can't be mapped, only {', '.join(sorted(mapped))}")
            known = RECORDS[object_name].model_fields.keys() - _FIXED
            for field in fields.keys() - known:
                raise ValueError(
                    f"{object_name} has no field {field!r} to map; it has {', '.join(sorted(known))}"
                )
        return value
