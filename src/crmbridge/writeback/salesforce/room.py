"""Whether there is room for our fields: said before the first of them is made.

Salesforce Help: "Custom Fields Allowed Per Object", "Manage Deleted Custom Fields". A deleted field is
renamed (`_del`) and counts until it is erased; fields of managed packages do not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crmbridge.connectors.salesforce.client import Client
from crmbridge.connectors.salesforce.errors import Refused
from crmbridge.connectors.salesforce.schema import describe
from crmbridge.writeback.base import InstallStep
from crmbridge.writeback.salesforce.fields import Placed

FIELDS_ALLOWED: Final[Mapping[str, int]] = {
    "Team Edition": 100,
    "Professional Edition": 100,
    "Enterprise Edition": 500,
    "Developer Edition": 500,
    "Unlimited Edition": 800,
}
"""Custom fields an object may have, by Organization.OrganizationType; other editions are not judged."""
DELETED: Final = "_del"


@dataclass(frozen=True)
class Room:
    """How many custom fields each object has, and the names (`Lead.X__c`) of those in the bin."""

    used: Mapping[str, int]
    in_bin: frozenset[str]


def look(client: Client, sobjects: Sequence[str]) -> Room:
    """Ask the Tooling API; where this user may not, the describes, which do not show the bin."""
    names = ",".join(f"'{name}'" for name in sobjects)
    soql = (
        "SELECT DeveloperName, NamespacePrefix, TableEnumOrId FROM CustomField "  # noqa: S608 - our own names
        f"WHERE TableEnumOrId IN ({names})"
    )
    used: Counter[str] = Counter()
    in_bin = set()
    try:
        for rows in client.query_pages(soql, kind="schema", resource="tooling/query/"):
            for row in rows:
                if row.get("NamespacePrefix"):
                    continue
                name = str(row["DeveloperName"])
                used[row["TableEnumOrId"]] += 1
                if name.endswith(DELETED):
                    in_bin.add(f"{row['TableEnumOrId']}.{name.removesuffix(DELETED)}__c")
    except Refused as error:
        client.context.log("salesforce.no_tooling", code=error.code, status=error.status)
        for sobject in sobjects:
            fields = (describe(client, sobject) or {}).get("fields", ())
            used[sobject] = sum(bool(each.get("custom")) and each["name"].count("__") == 1 for each in fields)
    return Room(used, frozenset(in_bin))


def too_many(client: Client, room: Room, missing: Sequence[Placed]) -> Iterator[InstallStep]:
    """A conflict for each object that would have more custom fields than the org's edition allows."""
    rows = client.query("SELECT OrganizationType FROM Organization", kind="schema")
    edition = str(rows[0].get("OrganizationType")) if rows else ""
    allowed = FIELDS_ALLOWED.get(edition)
    wanted = Counter(each.sobject for each in missing)
    for sobject, number in wanted.items():
        used = room.used.get(sobject, 0)
        if allowed is not None and used + number > allowed:
            yield InstallStep(
                f"{number} more fields on {sobject}, which has {used}: {edition} allows {allowed}",
                "conflict",
                "Choose fewer with `fields = [...]`, or delete unused ones and erase them from the bin.",
            )


def deleted(room: Room, missing: Sequence[Placed]) -> Iterator[InstallStep]:
    """What is told of fields that were deleted and may still be restored."""
    for each in missing:
        if each.full_name in room.in_bin:
            yield InstallStep(
                f"deleted field {each.full_name} in the bin: the new one begins empty",
                "present",
                "Restore it instead where its former values matter (Setup, the object's Deleted Fields).",
            )
