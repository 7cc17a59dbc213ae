"""The API's paths. HubSpot ships a dated version every March and September and keeps it for 18 months.

developers.hubspot.com/docs/api-reference/legacy/migration-guide
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

API_VERSION: Final = "2026-09"


@dataclass(frozen=True)
class Paths:
    """Where each part of the API lies; `{}` is the object type."""

    objects: str
    associations: str
    properties: str
    pipelines: str
    owners: str
    account: str
    token: str

    @classmethod
    def of(cls, api: Literal["dated", "legacy"]) -> Paths:
        return DATED if api == "dated" else LEGACY


DATED: Final = Paths(
    objects=f"/crm/objects/{API_VERSION}/{{}}",
    associations=f"/crm/associations/{API_VERSION}/{{}}/{{}}/batch/read",
    properties=f"/crm/properties/{API_VERSION}/{{}}",
    pipelines=f"/crm/pipelines/{API_VERSION}/{{}}",
    owners=f"/crm/owners/{API_VERSION}",
    account=f"/account-info/{API_VERSION}/details",
    token=f"/oauth/{API_VERSION}/token",
)
LEGACY: Final = Paths(
    objects="/crm/v3/objects/{}",
    associations="/crm/v4/associations/{}/{}/batch/read",
    properties="/crm/v3/properties/{}",
    pipelines="/crm/v3/pipelines/{}",
    owners="/crm/v3/owners",
    account="/account-info/v3/details",
    token="/oauth/v1/token",  # noqa: S106 - a path
)
