"""English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SENTENCES: Final[Mapping[str, str] | None] = None
"""English is what the sentences are written in."""
LIST: Final = (", ", " and ")
STEPS: Final = ((1e9, "bn"), (1e6, "M"), (1e3, "k"))
PLAIN: Final[Mapping[str, str]] = {}
"""Names of several where they differ from those after a number."""
THINGS: Final = {
    "lead": ("lead", "leads"),
    "contact": ("contact", "contacts"),
    "account": ("account", "accounts"),
    "deal": ("deal", "deals"),
    "stage_change": ("stage change", "stage changes"),
    "activity": ("activity", "activities"),
    "order": ("order", "orders"),
    "rep": ("rep", "reps"),
    "record": ("record", "records"),
    "outcome": ("outcome", "outcomes"),
    "customer": ("customer", "customers"),
    "day": ("day", "days"),
    "later run": ("later run", "later runs"),
    "open lead": ("open lead", "open leads"),
    "open deal": ("open deal", "open deals"),
    "scored lead": ("scored lead", "scored leads"),
    "scored deal": ("scored deal", "scored deals"),
    "scored account": ("scored account", "scored accounts"),
}
OUTCOMES: Final = {"lead": "convert", "deal": "are won", "account": "order again"}
EFFICIENCIES: Final = {
    "communication_efficiency": ("Communication", "positive outcomes per hour of communication"),
    "follow_up_efficiency": ("Follow-up", "deals won per hour of follow-up"),
    "order_efficiency": ("Orders", "orders fulfilled per processing day"),
}
GROUPINGS: Final = {
    "rep": ("Rep", "The team", ""),
    "team": ("Team", "Overall", " by team"),
    "deal_type": ("Type of deal", "Overall", " by type of deal"),
    "channel": ("Channel", "Overall", " by channel"),
}
COVERAGES: Final = {
    "communication_efficiency": "Communications whose time was measured",
    "follow_up_efficiency": "Closed deals with any measured time",
    "order_efficiency": "Orders with both dates",
}
NAMES: Final[Mapping[str, str]] = {
    "industry": "industry",
    "size": "company size",
    "source": "source",
    "value": "mean value",
    "days": "days to win",
    "growth": "growth",
    "employees": "employees",
}
"""Keys that are not read well with their underscores taken out."""
