"""The next action: a first, plain one from the record's own contacts, each with its evidence."""

from __future__ import annotations

from datetime import date, timedelta
from types import ModuleType
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from crmbridge.metrics.days import calendar_days
from crmbridge.metrics.need.arrays import NEVER, UNKNOWN
from crmbridge.metrics.need.snapshots import Cases
from crmbridge.metrics.need.windows import KINDS, Contacts

QUIET_DAYS: Final = 14
"""Days without a contact after which it is time to call."""
ACTIONS: Final = ("planned", "first_contact", "call", "try_again", "in_touch")


def next_actions(
    contacts: Contacts, cases: Cases, zone: ZoneInfo, text: ModuleType
) -> tuple[pa.Array, pa.Array]:
    """The action of each case in words, and its kind (one of ACTIONS); null where no activities are known at
    all.
    """
    size = len(cases)
    if not contacts.any or size == 0:
        return pa.nulls(size, pa.string()), pa.nulls(size, pa.string())
    today = calendar_days(cases.moment, zone)
    planned, never = contacts.next != NEVER, contacts.last == UNKNOWN
    ahead = np.where(planned, calendar_days(np.where(planned, contacts.next, 0), zone) - today, 0)
    since = np.where(never, 0, today - calendar_days(np.where(never, 0, contacts.last), zone))
    kind = np.where(since >= QUIET_DAYS, 2, np.where(contacts.last_missed, 3, 4))
    kind = np.where(planned, 0, np.where(never, 1, kind))
    figure = np.where(planned, ahead, np.where(never, cases.age, since))
    detail = np.where(kind == 0, contacts.next_kind, 0)
    day = np.where(kind == 0, today, 0)
    # Few records differ in all four, so each text is made once.
    rows = np.column_stack([kind, figure, detail, day])
    unique, back = np.unique(rows, axis=0, return_inverse=True)
    said = [_say(text, *row) for row in unique.tolist()]
    place = pa.array(back.reshape(-1))
    kinds = pa.array([ACTIONS[row[0]] for row in unique.tolist()], pa.string())
    return pa.array(said, pa.string()).take(place), kinds.take(place)


def _say(text: ModuleType, kind: int, figure: int, detail: int, day: int) -> str:
    if kind == 0:
        name = KINDS[detail] if detail < len(KINDS) else "other"
        return str(text.planned(name, date(1970, 1, 1) + timedelta(days=day + figure), figure))
    if kind == 1:
        return str(text.first_contact(None if figure < 0 else figure))
    return str((text.call_again, text.try_again, text.in_touch)[kind - 2](figure))
