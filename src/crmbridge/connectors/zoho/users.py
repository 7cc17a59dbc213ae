"""Reps: the org's users, those deactivated and deleted too, for they own old records.

Source: https://www.zoho.com/crm/developer/docs/api/v8/get-users.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from crmbridge.connectors.base import Page, SetAside
from crmbridge.connectors.zoho import limits
from crmbridge.connectors.zoho.client import Client, Refused
from crmbridge.model.records import Rep

TYPES: Final = ("AllUsers", "DeactiveUsers", "DeletedUsers")
"""What `AllUsers` leaves out in some orgs is asked for by name."""
_ATTRIBUTES: Final = ("country", "state", "city", "language", "locale", "time_zone", "category", "type__s")


def pull_users(client: Client, zone: ZoneInfo) -> Iterator[Page]:
    """All users as one complete page: there are few."""
    found: dict[str, Mapping[str, Any]] = {}
    for kind in TYPES:
        number = 1
        while True:
            params = {"type": kind, "page": number, "per_page": limits.LIST_PAGE}
            try:
                answer = client.get("users", params)
            except Refused:
                if kind == TYPES[0]:
                    raise
                break  # an org that does not know this kind of users has told of all it knows
            users = answer.body.get("users") or []
            for user in users:
                found.setdefault(str(user["id"]), user)
            if not users or not answer.info.get("more_records"):
                break
            number += 1
    records, aside = [], []
    for identifier, user in found.items():
        try:
            records.append(rep(user))
        except ValidationError as error:
            reason = f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}"
            aside.append(SetAside("rep", f"users/{identifier}", reason, identifier))
    yield Page("rep", records, {"users": len(found)}, (), aside, complete=True)


def rep(user: Mapping[str, Any]) -> Rep:
    """A user as a rep. Raises ValidationError."""
    profile, role = user.get("profile") or {}, user.get("role") or {}
    attributes = {name: user[name] for name in _ATTRIBUTES if isinstance(user.get(name), (str, int, bool))}
    if profile.get("name"):
        attributes["profile"] = profile["name"]
    return Rep.model_validate(
        {
            "id": str(user["id"]),
            "created_at": user.get("created_time"),
            "modified_at": user.get("Modified_Time"),
            "name": user.get("full_name"),
            "email": user.get("email"),
            "is_active": str(user.get("status", "")).lower() == "active",
            "role": role.get("name"),
            "attributes": attributes,
        }
    )
