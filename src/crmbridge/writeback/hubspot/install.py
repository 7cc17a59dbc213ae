"""Making and archiving our properties in HubSpot.

developers.hubspot.com/docs/api-reference/latest/crm/properties/guide. A name that exists is answered
with 409, or within a 207; a name of an archived property brings that one back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from crmbridge.connectors.base import CheckItem
from crmbridge.connectors.hubspot.answers import Refused, context_of, errors_of
from crmbridge.connectors.hubspot.client import Client
from crmbridge.connectors.hubspot.own import GROUP, GROUP_LABEL, OWN, definition
from crmbridge.connectors.hubspot.schema import Property, read_properties
from crmbridge.errors import AuthError
from crmbridge.model.fields import Field, hubspot_name
from crmbridge.writeback.base import InstallStep

EXISTS: Final = frozenset({"OBJECT_ALREADY_EXISTS", "CONFLICT"})
IN_USE: Final = "Take it out of the forms, lists and workflows that use it, then run uninstall again."


@dataclass(frozen=True)
class Wanted:
    """What one type of object should carry."""

    kind: str
    fields: tuple[Field, ...]


def install(client: Client, wanted: Sequence[Wanted], *, dry_run: bool) -> Iterator[InstallStep]:
    """Make what is missing; where anything stands in the way, say so and make nothing.

    A type of object that the portal or the key does not have is left out. Raises AuthError where the key may
    not change the schema, QuotaError, TransientError.
    """
    known = {each.kind: _properties(client, each.kind) for each in wanted}
    present = [each for each in wanted if known[each.kind] is not None]
    conflicts = [
        InstallStep(f"{each.kind}.{hubspot_name(one.key)}", "conflict", problem)
        for each in present
        for one in each.fields
        if (problem := _problem(one, (known[each.kind] or {}).get(hubspot_name(one.key)))) is not None
    ]
    yield from conflicts
    for each in () if conflicts else present:
        yield from _install(client, each, known[each.kind] or {}, dry_run=dry_run)


def _install(
    client: Client, wanted: Wanted, known: Mapping[str, Property], *, dry_run: bool
) -> Iterator[InstallStep]:
    missing = [each for each in wanted.fields if hubspot_name(each.key) not in known]
    for each in wanted.fields:
        if each not in missing:
            yield InstallStep(f"{wanted.kind}.{hubspot_name(each.key)}", "present")
    if not missing:
        return
    archived = read_properties(client, wanted.kind, archived=True)
    if dry_run:
        for each in missing:
            name = hubspot_name(each.key)
            brought = " (brings back the archived one)" if name in archived else ""
            yield InstallStep(f"{wanted.kind}.{name}{brought}", "planned")
        return
    with _naming_the_scope(wanted.kind):
        _make_group(client, wanted.kind)
        refused = _make(client, wanted.kind, missing)
    made = read_properties(client, wanted.kind) if refused or archived else None
    for each in missing:
        name = hubspot_name(each.key)
        problem = refused.get(name)
        if problem in EXISTS and made is not None and name not in made:
            problem = "HubSpot neither made it nor said why: run install again."
        elif problem is None or problem in EXISTS:
            # Somebody made it meanwhile, or an archived one came back: is it as ours should be?
            problem = _problem(each, made.get(name)) if made is not None else None
        yield InstallStep(f"{wanted.kind}.{name}", "done" if problem is None else "conflict", problem)


def _make_group(client: Client, kind: str) -> None:
    path = f"{client.paths.properties.format(kind)}/groups"
    groups = client.get(path).get("results") or ()
    if any(group.get("name") == GROUP for group in groups):
        return
    try:
        client.post(path, {"name": GROUP, "label": GROUP_LABEL}, kind="install")
    except Refused as error:
        if error.status != 409 and error.category not in EXISTS:
            raise


def _make(client: Client, kind: str, fields: Sequence[Field]) -> dict[str, str]:
    """Make the properties; returns why some could not be, by name."""
    path = f"{client.paths.properties.format(kind)}/batch/create"
    try:
        answer = client.post(path, {"inputs": [definition(each) for each in fields]}, kind="install").body
    except Refused as error:
        if error.status == 403:
            raise
        if len(fields) > 1:  # the whole batch was refused: one by one, to know which
            refused: dict[str, str] = {}
            for each in fields:
                refused |= _make(client, kind, [each])
            return refused
        exists = error.status == 409 or error.category in EXISTS
        return {hubspot_name(fields[0].key): "CONFLICT" if exists else _said(error.message, error.code)}
    problems: dict[str, str] = {}
    for listed in errors_of(answer):
        category = str(listed.get("category") or "")
        for name in context_of(listed, "name", "propertyName"):
            problems[name] = category if category in EXISTS else _said(listed.get("message"), category)
    made = {str(each.get("name")) for each in answer.get("results") or ()}
    for each in fields:
        if hubspot_name(each.key) not in made:
            problems.setdefault(hubspot_name(each.key), "CONFLICT")
    return problems


def uninstall(client: Client, kinds: Sequence[str], *, dry_run: bool) -> Iterator[InstallStep]:
    """Archive the properties that are ours by name and by group, then the group where it is empty."""
    for kind in kinds:
        known = _properties(client, kind)
        if known is None:
            continue
        ours = [name for name, each in sorted(known.items()) if name in OWN and each.group == GROUP]
        for name in ours:
            if dry_run:
                yield InstallStep(f"{kind}.{name}", "planned")
            else:
                yield _archive(client, kind, name)
        if not dry_run and ours:
            _remove_group(client, kind)


def _archive(client: Client, kind: str, name: str) -> InstallStep:
    path = f"{client.paths.properties.format(kind)}/{name}"
    try:
        with _naming_the_scope(kind):
            client.delete(path)
    except Refused as error:
        if error.status != 404:
            return InstallStep(f"{kind}.{name}", "conflict", f"{_said(error.message, error.code)} {IN_USE}")
    return InstallStep(f"{kind}.{name}", "done")


def _remove_group(client: Client, kind: str) -> None:
    try:
        client.delete(f"{client.paths.properties.format(kind)}/groups/{GROUP}")
    except Refused as error:
        # Somebody keeps a property of their own in it, or it is gone.
        client.context.log("hubspot.group_kept", object=kind, status=error.status, code=error.code)


def checked(client: Client, wanted: Sequence[Wanted]) -> Iterator[CheckItem]:
    """Whether each of our fields is there, with the right type, and can be written."""
    for each in wanted:
        known = _properties(client, each.kind)
        if known is None:
            yield CheckItem(
                each.kind, "warning", f"the portal or the key has no {each.kind}", "Nothing is written there."
            )
            continue
        for one in each.fields:
            name = hubspot_name(one.key)
            problem = _problem(one, known.get(name))
            if name not in known:
                yield CheckItem(f"{each.kind}.{name}", "failed", "it is missing", "Run `crmbridge install`.")
            elif problem is not None:
                yield CheckItem(f"{each.kind}.{name}", "failed", "it can't be written", problem)
            else:
                yield CheckItem(f"{each.kind}.{name}", "ok", "it is there")


def _properties(client: Client, kind: str) -> Mapping[str, Property] | None:
    """None where the portal or the key does not have the type."""
    try:
        return read_properties(client, kind)
    except Refused as error:
        if error.status not in (400, 403, 404):
            raise
        client.context.log("hubspot.no_object", object=kind, status=error.status, scopes=error.scopes)
        return None


def _problem(field: Field, there: Property | None) -> str | None:
    """Why the property that is there can't be ours."""
    if there is None:
        return None
    wanted = definition(field)
    if there.type != wanted["type"]:
        return (
            f"A property of this name is there, of type {there.type} instead of {wanted['type']}: rename it."
        )
    if there.is_read_only:
        return "A property of this name is there and can't be written: rename it."
    lacking = [one["value"] for one in wanted.get("options", ()) if one["value"] not in there.options]
    if lacking and field.type == "choice":
        return f"Its options lack {', '.join(lacking)}: add them, with these internal names."
    return None


def _said(message: object, code: str) -> str:
    return f"HubSpot says: {message or code}."


@contextmanager
def _naming_the_scope(kind: str) -> Iterator[None]:
    """Turns a missing scope into an AuthError that names it."""
    try:
        yield
    except Refused as error:
        if error.status != 403:
            raise
        scopes = ", ".join(error.scopes) or f"crm.schemas.{kind}.write"
        raise AuthError(
            f"the key may not change the properties of {kind}.",
            connection=error.connection,
            said=error.message or None,
            remedy=f"Grant {scopes}, or install with `--as` a connection that has it.",
        ) from error
