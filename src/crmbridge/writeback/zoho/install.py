"""Our custom fields: made in fives, found again by id or label, removed by id.

Source: https://www.zoho.com/crm/developer/docs/api/v8/create-custom-field.html. Zoho chooses the API name
from the label and does not tell it in its answer, so the metadata is read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crmbridge.connectors.base import CheckItem
from crmbridge.connectors.zoho.client import Client, Lost, Refused, is_hidden
from crmbridge.connectors.zoho.schema import DATA_TYPES, Schema, ZohoField, label_of
from crmbridge.model.fields import CATALOGUE, Field, fields_on
from crmbridge.model.records import ObjectName
from crmbridge.writeback.base import InstallStep

AT_ONCE: Final = 5
DOUBLE_DIGITS: Final = 16
SHORT_TEXT: Final = 255
CUSTOMIZE: Final = "Crm_Implied_Customize_Zoho_CRM"
"""The permission of a profile without which no field can be made."""
_PERMISSION: Final = (
    "The user needs the permission Customize Zoho CRM: install with the connection of an administrator "
    "(--as), or grant it in the user's profile"
)
_RUN_INSTALL: Final = "Run `crmbridge install` with an administrator's connection (--as)."
_LIMITS: Final = frozenset({"LIMIT_EXCEEDED", "FIELD_LIMIT_EXCEEDED", "MAX_LIMIT_REACHED", "LIMIT_REACHED"})
_CLOSED: Final = frozenset({"NO_PERMISSION", "AUTHORIZATION_FAILED", "OAUTH_SCOPE_MISMATCH"})


@dataclass(frozen=True)
class Wanted:
    """A field of ours in a module: what is there, if anything."""

    object: ObjectName
    module: str
    field: Field
    found: ZohoField | None

    @property
    def what(self) -> str:
        """How the step calls it."""
        return f"{self.module}: {label_of(self.field.key)}"


def wanted(schema: Schema, modules: Mapping[ObjectName, str], keys: Sequence[str]) -> list[Wanted]:
    """Our fields in the modules the org has, with what is there."""
    found = []
    for object_name, module in modules.items():
        fields = fields_on(object_name, keys)
        if module not in schema.modules or not fields:
            continue
        try:
            own = schema.fields(module).own([field.key for field in fields])
        except Refused as error:
            if not is_hidden(error, module):
                raise
            continue  # a module that this user does not see can't be written either
        found += [Wanted(object_name, module, field, own.get(field.key)) for field in fields]
    return found


def definition(field: Field) -> dict[str, Any]:
    """The body that creates a field. Without `profiles`, all users may see and change it."""
    made: dict[str, Any] = {"field_label": label_of(field.key)}
    if field.type == "number":
        return made | {"data_type": "double", "length": DOUBLE_DIGITS, "decimal_place": field.decimals}
    if field.type == "boolean":
        return made | {"data_type": "boolean"}
    if field.type == "datetime":
        return made | {"data_type": "datetime"}
    if field.type == "choice":
        values = [{"display_value": choice, "actual_value": choice} for choice in field.choices]
        return made | {"data_type": "picklist", "pick_list_values": values}
    if field.length <= SHORT_TEXT:
        return made | {"data_type": "text", "length": field.length}
    return made | {"data_type": "textarea", "textarea": {"type": "small"}}


def install(
    client: Client, schema: Schema, fields: Sequence[Wanted], *, dry_run: bool
) -> Iterator[InstallStep]:
    """Create what is missing. Where anything is in the way, say so and create nothing."""
    conflicts = [each for each in fields if each.found and not each.found.carries(each.field)]
    yield from (_conflict(each) for each in conflicts)
    if conflicts:
        return
    yield from (InstallStep(each.what, "present") for each in fields if each.found)
    missing = [each for each in fields if not each.found]
    if missing and schema.user.may(CUSTOMIZE) is False:
        yield InstallStep("permission", "conflict", f"{_PERMISSION} ({schema.user.profile_name}).")
        return
    if dry_run:
        yield from (InstallStep(each.what, "planned") for each in missing)
        return
    for module in dict.fromkeys(each.module for each in missing):
        of_module = [each for each in missing if each.module == module]
        for begin in range(0, len(of_module), AT_ONCE):
            yield from _create(client, schema, module, of_module[begin : begin + AT_ONCE])


def uninstall(
    client: Client, schema: Schema, fields: Sequence[Wanted], *, dry_run: bool
) -> Iterator[InstallStep]:
    """Remove the fields that `install` made: custom ones of our labels and types."""
    for each in fields:
        field = each.found
        if field is None or not field.custom or not field.carries(each.field):
            continue
        if dry_run:
            yield InstallStep(each.what, "planned")
            continue
        try:
            answer = client.request(
                "DELETE",
                f"/crm/v8/settings/fields/{field.id}",
                params={"module": each.module},
                kind="install",
            )
            refused = [Refused(answer.status, row) for row in answer.body.get("fields") or ()]
            said = next((error.said for error in refused if error.code != "SUCCESS"), None)
        except Refused as error:
            said = error.said
        if said:
            yield InstallStep(each.what, "conflict", f"Zoho says: {said}. Remove it in the settings.")
        else:
            yield InstallStep(each.what, "done")
        schema.forget(each.module)


def check(schema: Schema, fields: Sequence[Wanted]) -> Iterator[CheckItem]:
    """Whether each field is there, of a type that fits, and may be written by this user."""
    for each in fields:
        if each.found is None:
            yield CheckItem(each.what, "failed", "is not there", _RUN_INSTALL)
        elif not each.found.carries(each.field):
            yield CheckItem(each.what, "failed", f"is of type {each.found.type}", _conflict(each).remedy)
        elif not each.found.is_writable_by(schema.user.profile):
            yield CheckItem(
                each.what,
                "failed",
                "this user may not change it",
                f"Give the user's profile {schema.user.profile_name} write access to {each.found.label} "
                "(field permissions).",
            )
        else:
            yield CheckItem(each.what, "ok", each.found.name)


def _create(client: Client, schema: Schema, module: str, fields: Sequence[Wanted]) -> Iterator[InstallStep]:
    rows: Sequence[Mapping[str, Any]] = ()
    refusal: str | None = None
    try:
        answer = client.request(
            "POST",
            "/crm/v8/settings/fields",
            params={"module": module},
            json={"fields": [definition(each.field) for each in fields]},
            kind="install",
            once=True,
        )
        rows = answer.body.get("fields") or ()
    except Refused as error:
        refusal = error.said
    except Lost:
        pass  # what is there now tells what became of it
    schema.forget(module)
    own = schema.fields(module).own([each.field.key for each in fields])
    schema.remember(module, own)
    for place, each in enumerate(fields):
        found = own.get(each.field.key)
        if found is not None and found.carries(each.field):
            yield InstallStep(each.what, "done")
        elif found is not None:
            yield _conflict(Wanted(each.object, module, each.field, found))
        else:
            row = rows[place] if place < len(rows) else {}
            yield InstallStep(each.what, "conflict", _remedy(row, refusal))


def _remedy(row: Mapping[str, Any], refusal: str | None) -> str:
    code = str(row.get("code") or "")
    said = refusal or f"{code}: {row.get('message')}" if code or refusal else "nothing was created"
    if code in _LIMITS or (refusal or "").partition(":")[0] in _LIMITS:
        return f"The edition allows no further custom field ({said}). Choose fewer with fields = [...]."
    if code in _CLOSED or (refusal or "").partition(":")[0] in _CLOSED:
        return f"Zoho says: {said}. {_PERMISSION}."
    return f"Zoho says: {said}."


def _conflict(each: Wanted) -> InstallStep:
    kind = each.found.type if each.found else ""
    fitting = " or ".join(sorted(DATA_TYPES[each.field.type]))
    remedy = f"There is a field of this label of type {kind}, not {fitting}: rename or remove it."
    if kind in DATA_TYPES[each.field.type]:
        remedy = (
            f"There is a field of this label that holds fewer than {each.field.length} characters: rename it."
        )
    return InstallStep(each.what, "conflict", remedy)


ALL_KEYS: Final = tuple(CATALOGUE)
