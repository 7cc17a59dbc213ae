"""What closing does to a record's fields: seen in the versions before and after it, and told by names.

A field that is filled in or overwritten when a record is closed knows the outcome. Records that the lake has
seen open and then closed show it: their state an hour before they were first seen closed is compared with the
present one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from crmbridge.metrics.need.arrays import Flags, Floats
from crmbridge.metrics.need.columns import Column
from crmbridge.metrics.need.design import plan_field
from crmbridge.metrics.need.evaluate import Z99, wilson
from crmbridge.metrics.need.leaks import FEWEST, SURPRISE, Suspect, finely_cut, separation_of
from crmbridge.model.columns import ATTRIBUTE_PREFIX

MOST: Final = 20_000
"""Closed records that are looked at: more say nothing new."""
LATE: Final = 0.5
"""Share of a field's values that must surely (99 %) have come with the closing."""
RARE_WHEN_OPEN: Final = 0.25
"""A field is filled in at closing only if open records have it at most this share as often as closed ones."""
COLLAPSE: Final = 0.05
"""By how much the AUC must surely (99 %) fall, and by half of what it is above a coin's at least."""
HONEST: Final = 0.6
"""An AUC before the closing from which on a field whose values are all known in time is worth keeping."""

_ENDED: Final = {"lost", "loss", "won", "win", "closed", "close", "closing", "closure"} | {
    *("conversion", "converted", "disqualified", "disqualification", "rejected", "rejection")
}
_OF_IT: Final = {"reason", "reasons", "date", "time", "datetime", "day", "days", "on", "at", "by", "id"} | {
    *("amount", "notes", "comment")
}
_FORESEEN: Final = {"expected", "planned", "estimated", "forecast", "target", "probable", "predicted"}
_NAMED: Final = {
    # Salesforce
    *("isclosed", "iswon", "isconverted", "closedate", "forecastcategory", "forecastcategoryname"),
    # HubSpot
    *("closedate", "hsisclosed", "hsisclosedwon", "hsisclosedlost", "hsclosedwoncount"),
    # Zoho
    *("salescycleduration", "overallsalesduration"),
    # Dynamics
    *("statecode", "statuscode", "actualvalue", "actualclosedate"),
    # Odoo
    *("dayclose", "wonstatus", "lostreasonid"),
}
"""The vendors' own fields that these words do not tell, without signs and in small letters."""
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def is_of_closing(name: str) -> bool:
    """Whether the name says that the field is one of the closing itself, as `Loss_Reason__c` does."""
    own = name.rpartition(ATTRIBUTE_PREFIX)[2]
    words = [word.lower() for word in _WORD.findall(own)]
    if "".join(words) in _NAMED:
        return True
    found = set(words)
    return bool(found & _ENDED) and bool(found & _OF_IT) and not found & _FORESEEN


@dataclass(frozen=True)
class Closings:
    """Records seen open, then closed; one row each: how they ended (`positive`), and their fields shortly
    before and as they stand. `unknown` has, for the columns that were not known before for every record,
    where they were not.
    """

    positive: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))
    before: Mapping[str, Column] = field(default_factory=dict)
    after: Mapping[str, Column] = field(default_factory=dict)
    unknown: Mapping[str, Flags] = field(default_factory=dict)


def find_leak_at_closing(name: str, closings: Closings, current: Column, assumed: bool) -> Suspect | None:
    """Whether the field is filled in or overwritten at closing. `current` is the same field for the records
    open now; `assumed`: whether training would use values not known to have held in time.
    """
    before, after = closings.before.get(name), closings.after.get(name)
    if before is None or after is None:
        return None
    rows = np.flatnonzero(~closings.unknown.get(name, np.zeros(len(before), np.bool_)))
    if len(rows) < FEWEST:
        return None
    before, after, positive = before.take(rows), after.take(rows), closings.positive[rows]
    late = _late(before, after, current)
    if late is not None:
        return late
    return _collapse(before, after, positive, assumed)


def _late(before: Column, after: Column, current: Column) -> Suspect | None:
    filled = int(after.present.sum())
    came = int((after.present & ~before.present).sum())
    if came < SURPRISE or wilson(came, filled, Z99)[0] <= LATE:
        return None
    share = filled / len(after)
    now = float(current.present.mean()) if len(current) >= FEWEST else 0.0
    if now > RARE_WHEN_OPEN * share:
        return None
    return Suspect("first_filled_at_closing", {"late": came / filled, "filled": float(filled)})


def _collapse(before: Column, after: Column, positive: Flags, assumed: bool) -> Suspect | None:
    if min(int(positive.sum()), int((~positive).sum())) < FEWEST:
        return None
    planned = plan_field(after)
    if isinstance(planned, str):
        return None
    cut = finely_cut(planned, after)
    truth: Floats = positive.astype(np.float64)
    now, error_now = separation_of(cut, after, truth)
    then, error_then = separation_of(cut, before, truth)
    fell = now - then - Z99 * float(np.hypot(error_now, error_then))
    if fell <= COLLAPSE or then - 0.5 > (now - 0.5) / 2.0:
        return None
    if not assumed and then - Z99 * error_then > HONEST:
        return None
    return Suspect("collapses", {"auc": now, "before": then})
