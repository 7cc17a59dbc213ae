"""Making our fields and what makes them visible, and removing them.

A new field is visible to nobody, not even to who made it: so fields come first, then the two permission sets
(merged with what is in them: an entry that is left out is taken away), then the assignment to the integration
user. Each step may be repeated, so that an install that broke off anywhere is finished by the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.etree import ElementTree

from crmbridge.connectors.salesforce.client import Client
from crmbridge.connectors.salesforce.errors import Refused
from crmbridge.writeback.base import InstallStep
from crmbridge.writeback.salesforce import metadata
from crmbridge.writeback.salesforce.fields import MARK, Placed, conflict, field_children, placed
from crmbridge.writeback.salesforce.room import deleted, look, too_many

INTEGRATION: Final = "CRMBridge_Integration"
READERS: Final = "CRMBridge_Score_Read"
SETS: Final = {
    INTEGRATION: ("CRMBridge Integration", "Lets the integration user write the scores.", True),
    READERS: ("CRMBridge Score Read", "Lets people see the scores.", False),
}
"""Label, description, and whether the set lets edit."""


def install(client: Client, keys: tuple[str, ...], user: str, *, dry_run: bool) -> Iterator[InstallStep]:
    """The steps; where anything conflicts, only the conflicts, and nothing is made."""
    wanted = list(placed(keys))
    there = metadata.read(client, "CustomField", [each.full_name for each in wanted])
    conflicts = [step for each in wanted if (step := _conflict(each, there.get(each.full_name)))]
    missing = [each for each in wanted if each.full_name not in there]
    in_bin: list[InstallStep] = []
    if missing:
        room = look(client, list(dict.fromkeys(each.sobject for each in missing)))
        conflicts += too_many(client, room, missing)
        in_bin = list(deleted(room, missing))
    yield from conflicts
    if conflicts:
        return
    yield from in_bin
    state: Final = "planned" if dry_run else "done"
    refused = set()
    if missing and not dry_run:
        components = {each.full_name: field_children(each) for each in missing}
        for result in metadata.upsert(client, "CustomField", components):
            if result.code:
                refused.add(result.full_name)
                yield InstallStep(
                    f"field {result.full_name}: {result.code}: {result.message}",
                    "conflict",
                    "See the object's fields in Salesforce's setup (their number is limited).",
                )
    for each in wanted:
        if each.full_name not in refused:
            yield InstallStep(f"field {each.full_name}", state if each in missing else "present")
    if refused:
        return
    sets = metadata.read(client, "PermissionSet", list(SETS))
    for name in SETS:
        if name in sets and _grants(name, sets[name], wanted):
            yield InstallStep(f"permission set {name}", "present")
            continue
        if not dry_run:
            merged = _merged(name, sets.get(name, []), wanted)
            for result in metadata.upsert(client, "PermissionSet", {name: merged}):
                if result.code:
                    what = f"permission set {name}: {result.code}: {result.message}"
                    yield InstallStep(what, "conflict", "See the permission set in Salesforce's setup.")
                    return
        yield InstallStep(f"permission set {name}", state)
    yield _assignment(client, user, dry_run=dry_run)


def uninstall(client: Client, *, dry_run: bool) -> Iterator[InstallStep]:
    """Remove the fields and sets that carry our mark, and our fields from sets that others have added to."""
    state: Final = "planned" if dry_run else "done"
    everything = [each.full_name for each in placed()]
    there = metadata.read(client, "CustomField", everything)
    ours = [name for name in everything if MARK in (metadata.text(there.get(name, []), "description") or "")]
    sets = metadata.read(client, "PermissionSet", list(SETS))
    for name, children in sets.items():
        if MARK not in (metadata.text(children, "description") or ""):
            continue
        others = [
            child for child in children if child[0].endswith("Permissions") and _field_of(child) not in ours
        ]
        if others:
            continue  # removing the fields takes them out of it
        if not dry_run:
            refused = _refusals(metadata.delete(client, "PermissionSet", [name]))
            yield from refused
            if refused:
                continue
        yield InstallStep(f"permission set {name}", state)
    refused = [] if dry_run else _refusals(metadata.delete(client, "CustomField", ours))
    yield from refused
    left = {step.what.split()[1].rstrip(":") for step in refused}
    for name in ours:
        if name not in left:
            yield InstallStep(f"field {name}", state)


def _refusals(results: Iterator[metadata.Result]) -> list[InstallStep]:
    return [
        InstallStep(
            f"field {result.full_name}: {result.code}: {result.message}",
            "conflict",
            "Take it out of what uses it (layouts, reports, flows), then run this again.",
        )
        for result in results
        if result.code
    ]


def _conflict(where: Placed, children: metadata.Children | None) -> InstallStep | None:
    if children is None:
        return None
    length, scale = metadata.text(children, "length"), metadata.text(children, "scale")
    why = conflict(
        where,
        kind=metadata.text(children, "type"),
        length=int(length) if length else None,
        decimals=int(scale) if scale else None,
    )
    return InstallStep(why, "conflict", "Rename that field's API name, or take it away.") if why else None


def _merged(name: str, children: metadata.Children, wanted: list[Placed]) -> metadata.Children:
    """The set's content with our entries, everything else as it was."""
    label, description, edits = SETS[name]
    ours = {each.full_name for each in wanted}
    kept = [child for child in children if _field_of(child) not in ours]
    if metadata.text(kept, "label") is None:
        kept += [("label", label), ("description", f"{description} {MARK}")]
        kept.append(("hasActivationRequired", "false"))
    flags = f"<editable>{str(edits).lower()}</editable>"
    entries = [
        ("fieldPermissions", f"{flags}<field>{each.full_name}</field><readable>true</readable>")
        for each in wanted
    ]
    return sorted(kept + entries, key=lambda child: child[0])


def _grants(name: str, children: metadata.Children, wanted: list[Placed]) -> bool:
    """Whether the set gives all that it should."""
    flags = ("readable", "editable") if SETS[name][2] else ("readable",)
    given = {_field_of(child) for child in children if all(_entry(child, flag) == "true" for flag in flags)}
    return {each.full_name for each in wanted} <= given


def _field_of(child: tuple[str, str]) -> str | None:
    return _entry(child, "field")


def _entry(child: tuple[str, str], part: str) -> str | None:
    """A part of a field's permissions; None for anything else in a set."""
    if child[0] != "fieldPermissions":
        return None
    return ElementTree.fromstring(f"<x>{child[1]}</x>").findtext(part)  # noqa: S314 - read from the org


def _assignment(client: Client, user: str, *, dry_run: bool) -> InstallStep:
    what = f"permission set {INTEGRATION} assigned to user {user}"
    found = client.query(f"SELECT Id FROM PermissionSet WHERE Name = '{INTEGRATION}'", kind="schema")  # noqa: S608
    if not found:
        return InstallStep(what, "planned")
    identifier = found[0]["Id"]
    soql = (
        "SELECT Id FROM PermissionSetAssignment "  # noqa: S608 - ids from the org
        f"WHERE PermissionSetId = '{identifier}' AND AssigneeId = '{user}'"
    )
    if client.query(soql, kind="schema"):
        return InstallStep(what, "present")
    if dry_run:
        return InstallStep(what, "planned")
    try:
        client.post(
            "sobjects/PermissionSetAssignment",
            {"PermissionSetId": identifier, "AssigneeId": user},
            kind="schema",
        )
    except Refused as error:
        if error.code != "DUPLICATE_VALUE":  # an answer that was lost, or somebody was faster
            raise
    return InstallStep(what, "done")
