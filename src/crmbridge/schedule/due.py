"""What is due now, and what should have run and did not. Pure: everything is passed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from crmbridge.store.ledger import Run, Watch
from crmbridge.timetable import Timetable

CLOCK_SLACK: Final = timedelta(minutes=1)
"""Machines' clocks may differ by this much; what was served further in the future was served by a clock that
has been set back since."""
SHORTEST_GRACE: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Due:
    """A run that is due: for which slot, and as of which moment where it was begun and cut off."""

    slot: datetime
    moment: datetime | None = None


def due(timetable: Timetable, watch: Watch, last: Run | None, now: datetime) -> Due | None:
    """The run to make now, if any. `last` is the newest run that was for a slot.

    Slots that passed while nobody could run are one run: the latest. A run that was cut off comes first, as
    of the same moment, so that it is taken up and not begun anew.
    """
    if last is not None and last.slot is not None and last.status == "running":
        return Due(last.slot, last.moment)
    slot = timetable.last(watch.served, now)
    return None if slot is None else Due(slot)


def served_ahead(watch: Watch, now: datetime) -> bool:
    """Whether the clock was set back: slots were served that are still to come, so that none would be due."""
    return watch.served - now > CLOCK_SLACK


def grace(timetable: Timetable, slot: datetime, longest: timedelta) -> timedelta:
    """How late a run may begin before it counts as not having happened: a period, a minute at least."""
    return min(max(timetable.period(slot), SHORTEST_GRACE), longest)


@dataclass(frozen=True)
class Missed:
    """Slots that nobody took up: the first of them, and how many."""

    slot: datetime
    number: int


def missed(
    timetable: Timetable,
    watch: Watch,
    now: datetime,
    longest_grace: timedelta,
    *,
    busy_until: datetime | None = None,
    most: int = 10_000,
) -> Missed | None:
    """What should have run by now and was not begun, although no run was under way (`busy_until` is when the
    last one ended). `most` bounds the counting.
    """
    first = timetable.after(watch.served)
    possible = first if busy_until is None else max(first, busy_until)
    if now - possible <= grace(timetable, first, longest_grace):
        return None
    number = 0
    for _ in timetable.slots(watch.served, now):
        number += 1
        if number == most:
            break
    return Missed(first, number)
