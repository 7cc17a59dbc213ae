"""What a model has, by `fields_get`: the versions differ, and so does every organisation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from crmbridge.model import is_own_name

SCALARS: Final = frozenset(
    {"char", "text", "integer", "float", "monetary", "boolean", "date", "datetime", "selection", "many2one"}
    | {"many2one_reference", "reference"}
)
"""Types whose value is one JSON scalar (of a many2one: an id and a name). Pages, files and lists are not."""
TAGS: Final = frozenset({"tag_ids", "category_id"})
"""Lists of tags: read as their names."""
TECHNICAL: Final = frozenset(
    {"id", "create_date", "write_date", "create_uid", "write_uid", "__last_update", "display_name"}
    | {
        "calendar_last_notif_ack",
        "email_normalized",
        "phone_sanitized",
        "mobile_normalized",
        "color",
        "contact_address_complete",
    }
    | {"date_last_stage_update", "date_action_last", "day_close", "date_automation_last", "duration_tracking"}
    | {"lost_reason", "lost_reason_id", "email_domain_criterion"}
)
"""What is no input: bookkeeping, spellings of another field, and what closing alone fills in."""
RIVALS: Final = frozenset({"probability", "automated_probability"})
"""Odoo's own predictive score: read under its own name, by which the score arena knows it. Never an input."""
MADE_OF_RIVALS: Final = frozenset(
    {"is_automated_probability", "prorated_revenue", "recurring_revenue_prorated"}
    | {"recurring_revenue_monthly_prorated"}
)
"""What Odoo makes of its score: it would bring the score in by the back door, so it is not read."""
_STATE: Final = ("activity_", "message_")
"""What is planned and what was said, as of now: activities of their own tell it, with their time."""
_SECRET: Final = ("token", "password", "signup", "api_key", "oauth")


@dataclass(frozen=True)
class OdooField:
    """One field as `fields_get` tells it. `choices` are the keys of a selection."""

    name: str
    type: str
    stored: bool
    relation: str | None
    choices: tuple[str, ...]
    readonly: bool


def read_fields(found: Mapping[str, Mapping[str, Any]]) -> dict[str, OdooField]:
    """The answer of `fields_get`."""
    return {
        name: OdooField(
            name,
            str(each.get("type")),
            bool(each.get("store", True)),
            each.get("relation"),
            tuple(str(choice[0]) for choice in each.get("selection") or ()),
            bool(each.get("readonly")),
        )
        for name, each in found.items()
    }


def attributes(fields: Mapping[str, OdooField], taken: Iterable[str]) -> list[str]:
    """The names that become attributes: stored, readable as a scalar, and not read for something else."""
    left_out = {*taken, *TECHNICAL, *MADE_OF_RIVALS}
    return sorted(
        name
        for name, field in fields.items()
        if (field.type in SCALARS or (name in TAGS and field.type == "many2many"))
        and (field.stored or name in TAGS)
        and name not in left_out
        and not name.startswith(_STATE)
        and not is_own_name(name)
        and not any(word in name for word in _SECRET)
    )


def first_of(fields: Mapping[str, OdooField], *names: str) -> str | None:
    """The first of these names that the model has: the versions call it differently."""
    return next((name for name in names if name in fields), None)
