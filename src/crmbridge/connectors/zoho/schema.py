"""What the org's modules are made of: modules, fields, our own fields among them, stages.

Everything is read once per run. Zoho makes the API names of custom fields itself: ours are found by the id
that `install` has noted, else by their label or the name that follows from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from crmbridge.connectors.base import Context
from crmbridge.connectors.zoho import limits
from crmbridge.connectors.zoho.client import Client, Refused
from crmbridge.connectors.zoho.objects import BY_NAME, ECHOES, HISTORIES, LOST, SCALARS_NOT, WON, Module
from crmbridge.connectors.zoho.options import Options, Stages
from crmbridge.errors import AuthError, TransientError
from crmbridge.model.fields import CATALOGUE, Field, FieldType, is_own_name

LABEL_LENGTH: Final = 25

SHORT_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "communication_efficiency": "CRMBridge Comm Eff",
        "communication_efficiency_low": "CRMBridge Comm Eff Low",
        "communication_efficiency_high": "CRMBridge Comm Eff High",
        "follow_up_efficiency": "CRMBridge Follow Eff",
        "follow_up_efficiency_low": "CRMBridge Follow Eff Low",
        "follow_up_efficiency_high": "CRMBridge Follow Eff High",
        "order_efficiency": "CRMBridge Order Eff",
        "order_efficiency_low": "CRMBridge Order Eff Low",
        "order_efficiency_high": "CRMBridge Order Eff High",
        "expected_revenue": "CRMBridge Exp Revenue",
    }
)
"""Labels for the keys whose own would have more than 25 characters."""

DATA_TYPES: Final[Mapping[FieldType, frozenset[str]]] = MappingProxyType(
    {
        "number": frozenset({"double", "decimal"}),
        "text": frozenset({"text", "textarea"}),
        "choice": frozenset({"picklist", "text"}),
        "datetime": frozenset({"datetime"}),
        "boolean": frozenset({"boolean"}),
    }
)
"""Zoho's field types that can carry ours."""


def label_of(key: str) -> str:
    """The label of our field at Zoho."""
    return SHORT_LABELS.get(key) or CATALOGUE[key].label


@dataclass(frozen=True)
class ZohoField:
    """One field of a module, as its metadata tells."""

    id: str
    name: str
    label: str
    type: str
    custom: bool = False
    writable: bool = True
    length: int | None = None
    profiles: Mapping[str, str] = field(default_factory=dict)
    """What profiles may do with it, by the profile's id: read_write, read_only, hidden."""

    def is_writable_by(self, profile: str | None) -> bool:
        """Whether users of a profile may change it; what is not said is allowed."""
        return self.writable and self.profiles.get(profile or "", "read_write") == "read_write"

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> ZohoField:
        """Read a field's metadata."""
        return cls(
            id=str(raw.get("id") or ""),
            name=str(raw["api_name"]),
            label=str(raw.get("field_label") or raw.get("display_label") or ""),
            type=str(raw.get("data_type") or "text"),
            custom=bool(raw.get("custom_field")),
            writable=not (raw.get("read_only") or raw.get("field_read_only")),
            length=raw.get("length") if isinstance(raw.get("length"), int) else None,
            profiles={
                str(each["id"]): str(each.get("permission_type"))
                for each in raw.get("profiles") or []
                if each.get("id")
            },
        )

    def carries(self, field: Field) -> bool:
        """Whether our field's values fit into this one."""
        return self.type in DATA_TYPES[field.type] and (
            field.type != "text" or self.length is None or self.length >= field.length
        )


@dataclass(frozen=True)
class ModuleFields:
    """The fields of a module by API name; `noted` are the ids that `install` gave ours, by key."""

    fields: Mapping[str, ZohoField]
    noted: Mapping[str, str] = field(default_factory=dict)

    def own(self, keys: Sequence[str]) -> dict[str, ZohoField]:
        """Our fields that are there, by key: of the id noted, of our label, or of a name made from it."""
        by_id = {each.id: each for each in self.fields.values()}
        by_label = {each.label: each for each in reversed(list(self.fields.values()))}
        found = {}
        for key in keys:
            label = label_of(key)
            name = label.replace(" ", "_")
            match = by_id.get(self.noted.get(key, "")) or by_label.get(label) or self.fields.get(name)
            if match is not None:
                found[key] = match
        return found

    def readable(self, module: Module, mapped: Mapping[str, str]) -> list[str]:
        """The fields worth reading, the model's first: no structures, no echoes of writing."""
        wanted = [*mapped.values(), "Created_Time", "Modified_Time", *module.needs]
        if "Converted__s" in self.fields:
            wanted = [name for name in wanted if name != "$converted"]  # the same, by another name
        names = [name for name in dict.fromkeys(wanted) if name in self.fields or name.startswith("$")]
        others = [
            field.name
            for field in self.fields.values()
            if field.type not in SCALARS_NOT and field.name != "id" and field.name not in module.left_out
        ]
        echoes = ECHOES - set(mapped.values())
        return [name for name in dict.fromkeys([*names, *others]) if name not in echoes]


@dataclass(frozen=True)
class User:
    """Who signs in: the user's profile, and what it allows, as far as the token may know."""

    id: str | None = None
    profile: str | None = None
    profile_name: str = "unknown"
    permissions: Mapping[str, bool] = field(default_factory=dict)

    def may(self, permission: str) -> bool | None:
        """Whether the profile has a permission; None where that is not told."""
        return self.permissions.get(permission)


class Schema:
    """The org's metadata, read on demand and once."""

    def __init__(self, client: Client, options: Options, context: Context) -> None:
        self._client, self._options, self._context = client, options, context
        self._fields: dict[str, ModuleFields] = {}

    @cached_property
    def organisation(self) -> Mapping[str, Any]:
        """`/org`: who this is, and its edition. Raises AuthError where the token may not read it."""
        try:
            answer = self._client.get("org")
        except Refused as error:
            raise self._no_access(error) from error
        found = answer.body.get("org") or [{}]
        organisation: Mapping[str, Any] = found[0]
        licence = organisation.get("license_details") or {}
        self._client.learn(self.edition(licence), int(licence.get("users_license_purchased") or 1))
        return organisation

    @staticmethod
    def edition(licence: Mapping[str, Any]) -> limits.Edition:
        """The edition of a licence; a trial has the limits of what is tried."""
        tried = licence.get("trial_type") if not licence.get("paid") else None
        return limits.edition_of(tried or licence.get("paid_type"))

    @cached_property
    def modules(self) -> Mapping[str, Mapping[str, Any]]:
        """The modules that the API shows, by API name."""
        _ = self.organisation
        try:
            answer = self._client.get("settings/modules")
        except Refused as error:
            raise self._no_access(error) from error
        return {
            str(each["api_name"]): each
            for each in answer.body.get("modules") or []
            if each.get("api_supported", True)
            and (each.get("viewable", True) or each["api_name"] in HISTORIES)
        }

    def fields(self, module: str) -> ModuleFields:
        """The fields of a module that this user may see. Raises Refused where the module is closed."""
        if module not in self._fields:
            try:
                raws = self._client.get("settings/fields", {"module": module}).body.get("fields") or []
            except Refused:
                if module not in HISTORIES:
                    raise
                raws = []
            fields = [ZohoField.of(raw) for raw in raws if raw.get("api_name")]
            if not fields and module in HISTORIES:
                # Some orgs keep no list of a history's fields: these are documented.
                fields = [ZohoField("", name, name, "text") for name in BY_NAME[module].fields.values()]
            self._fields[module] = ModuleFields({field.name: field for field in fields}, self._noted(module))
        return self._fields[module]

    def forget(self, module: str) -> None:
        """Read the module's fields again next time: they have changed."""
        self._fields.pop(module, None)

    def remember(self, module: str, own: Mapping[str, ZohoField]) -> None:
        """Note the ids of our fields, so that they are found again under whatever label."""
        ids = {key: field.id for key, field in own.items() if field.id}
        self._context.notes.write(f"fields/{module}", json.dumps({**self._noted(module), **ids}))

    def _noted(self, module: str) -> dict[str, str]:
        noted: dict[str, str] = json.loads(self._context.notes.read(f"fields/{module}") or "{}")
        return noted

    @cached_property
    def user(self) -> User:
        """Who signs in, as far as this token may know it."""
        found = self._asked("users", {"type": "CurrentUser"}, "users")
        if not found:
            return User()
        given = found[0].get("profile") or {}
        profile = str(given["id"]) if given.get("id") else None
        name = str(given.get("name") or "unknown")
        details = self._asked(f"settings/profiles/{profile}", {}, "profiles") if profile else []
        said = details[0].get("permissions_details") or [] if details else []
        permissions = {str(each.get("name")): bool(each.get("enabled")) for each in said}
        return User(str(found[0].get("id")), profile, name, permissions)

    @cached_property
    def stages(self) -> Stages:
        """Which deal stages are won and lost: the settings, what the pipelines say, and Zoho's own names."""
        won, lost = {WON}, set(LOST)
        for layout in self._asked("settings/layouts", {"module": "Deals"}, "layouts"):
            for pipeline in self._asked(
                "settings/pipeline", {"layout_id": str(layout.get("id"))}, "pipeline"
            ):
                for stage in pipeline.get("maps") or []:
                    kind = stage.get("forecast_type")
                    values = {str(stage.get("actual_value")), str(stage.get("display_value"))}
                    if kind == WON:
                        won |= values
                    elif kind == "Closed Lost":
                        lost |= values
        said = self._options.stages
        won = (won | set(said.won)) - set(said.lost)
        lost = (lost | set(said.lost)) - set(said.won)
        return Stages(won=tuple(sorted(won)), lost=tuple(sorted(lost)))

    def _asked(self, path: str, params: Mapping[str, str], key: str) -> list[dict[str, Any]]:
        """Metadata that a user may lack the scope for: the settings and Zoho's own names stand in."""
        try:
            found: list[dict[str, Any]] = self._client.get(path, params).body.get(key) or []
        except Refused:
            return []
        return found

    def _no_access(self, error: Refused) -> AuthError | TransientError:
        return AuthError(
            "the token may not read what crmbridge needs.",
            connection=self._context.connection,
            said=error.said,
            remedy="Make a new refresh token with all the scopes of docs/zoho.md.",
        )


def is_ours(field: ZohoField) -> bool:
    """Whether a field is one that `install` made."""
    return field.custom and (is_own_name(field.name) or is_own_name(field.label))
