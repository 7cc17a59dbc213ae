"""When a connection runs: cron, an interval, or after business hours, as moments that everybody agrees on.

A slot is a moment at which a run is due. Slots are a function of the schedule and its zone alone, so that
every process and machine agrees on them. Cron is read as cron reads it: five fields, Sunday is 0 or 7, and
where both the day of the month and the day of the week are given, either suffices. When the clocks change, a
wall-clock time that does not exist is run at the instant it would have been without the change, and one that
comes twice is run the first time; a schedule for every hour (`*`, `*/2`) follows real hours instead.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

LONGEST_GAP: Final = timedelta(days=8 * 366)
"""29 February comes again after at most eight years."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)
_MIDNIGHT: Final = 24 * 60
_UNITS: Final = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
_INTERVAL: Final = re.compile(r"(?:every\s+)?(\d+)?\s*([a-z]+?)s?", re.IGNORECASE)
_WEEKDAYS: Final = {
    name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
}
_MONTHS: Final = {
    name: number + 1
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
    )
}
_SHORT: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}
_HELP: Final = 'use cron ("*/30 * * * *"), "every 15 minutes" or "after business hours"'


class Timetable(ABC):
    """The slots of a schedule; all moments are aware, and come in UTC."""

    @abstractmethod
    def after(self, moment: datetime) -> datetime:
        """The first slot later than the moment."""

    @abstractmethod
    def last(self, since: datetime, until: datetime) -> datetime | None:
        """The latest slot that is later than `since` and not later than `until`."""

    def slots(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """Every slot later than `since` and not later than `until`, in order."""
        slot = self.after(since)
        while slot <= until:
            yield slot
            slot = self.after(slot)

    def period(self, moment: datetime) -> timedelta:
        """From the first slot after the moment to the next."""
        first = self.after(moment)
        return self.after(first) - first


@dataclass(frozen=True)
class Interval(Timetable):
    """Every so many seconds, counted from 1970 so that all processes agree."""

    seconds: int

    def after(self, moment: datetime) -> datetime:
        return self._slot(self._number(moment) + 1)

    def last(self, since: datetime, until: datetime) -> datetime | None:
        slot = self._slot(self._number(until))
        return slot if slot > since else None

    def _number(self, moment: datetime) -> int:
        return (moment - _EPOCH) // timedelta(seconds=self.seconds)

    def _slot(self, number: int) -> datetime:
        return _EPOCH + timedelta(seconds=self.seconds) * number


@dataclass(frozen=True)
class BusinessHours:
    """When people work: spans of the day in minutes, weekdays (Sunday is 0), holidays."""

    spans: Sequence[tuple[int, int]]
    weekdays: frozenset[int]
    holidays: frozenset[date]
    zone: tzinfo

    def closing(self) -> tuple[int, int]:
        """The minute at which a working day ends, and whether (1 or 0) that is on the next day."""
        ends = dict(self.spans)
        end = max(ends.values())
        if end < _MIDNIGHT:
            return end, 0
        minute = 0  # a night shift goes on after midnight
        while minute in ends:
            minute = ends[minute]
        if minute >= _MIDNIGHT:
            raise ValueError("the business hours never end")
        return minute, 1


@dataclass(frozen=True)
class Cron(Timetable):
    """Wall-clock times in a zone. `days` and `weekdays` (Sunday is 0) are None where the field is `*`."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int] | None
    months: frozenset[int]
    weekdays: frozenset[int] | None
    every_hour: bool
    """Whether the hours are `*` or a step: then it runs in real hours when the clocks change."""
    zone: tzinfo
    without: frozenset[date] = frozenset()
    """Days on which it never comes."""

    def after(self, moment: datetime) -> datetime:
        for day in self._dates(moment, _DAY):
            found = [slot for slot in self._of_day(day) if slot > moment]
            if found:
                return found[0]
        raise ValueError("this schedule never comes")

    def last(self, since: datetime, until: datetime) -> datetime | None:
        for day in self._dates(until, -_DAY):
            slots = self._of_day(day)
            found = [slot for slot in slots if slot <= until]
            if found:
                return found[-1] if found[-1] > since else None
            if datetime.combine(day, time.min, self.zone) + _DAY < since:
                return None
        return None

    def _dates(self, moment: datetime, step: timedelta) -> Iterator[date]:
        """Days that match, from the one before the moment's on: a slot can be shifted over midnight."""
        day = moment.astimezone(self.zone).date() - step
        for _ in range(LONGEST_GAP.days):
            if day.month in self.months and day not in self.without and self._matches(day):
                yield day
            day += step

    def _matches(self, day: date) -> bool:
        of_month = self.days is None or day.day in self.days
        of_week = self.weekdays is None or day.isoweekday() % 7 in self.weekdays
        if self.days is not None and self.weekdays is not None:
            return of_month or of_week
        return of_month and of_week

    def _of_day(self, day: date) -> list[datetime]:
        found = set()
        for hour in self.hours:
            for minute in self.minutes:
                wall = datetime.combine(day, time(hour, minute), self.zone)
                first = wall.astimezone(UTC)
                found.add(first)
                if self.every_hour and _exists(wall, first):
                    found.add(wall.replace(fold=1).astimezone(UTC))
        return sorted(found)


def _exists(wall: datetime, moment: datetime) -> bool:
    return moment.astimezone(wall.tzinfo).replace(tzinfo=None) == wall.replace(tzinfo=None)


def parse(text: str, zone: tzinfo, hours: BusinessHours | None = None) -> Timetable:
    """The timetable of a `schedule` setting. Raises ValueError with a sentence for the admin."""
    words = " ".join(text.split()).lower()
    if words == "after business hours":
        return _after(hours or BusinessHours(((540, 1020),), frozenset(range(1, 6)), frozenset(), zone))
    words = _SHORT.get(words, words)
    if len(words.split()) == 5 and not words.startswith("every"):
        cron = _cron(words, zone)
        try:
            cron.after(_EPOCH)
        except ValueError:
            raise ValueError(f"{text!r} never comes: no month has such a day") from None
        return cron
    found = _INTERVAL.fullmatch(words)
    if not found or found[2] not in _UNITS or (found[1] is None and not words.startswith("every")):
        raise ValueError(f"{text!r} is not a schedule; {_HELP}")
    seconds = int(found[1] or 1) * _UNITS[found[2]]
    if not 0 < seconds <= 86_400:
        raise ValueError(f"{text!r} is not an interval from 1 second to 24 hours; cron says longer ones")
    return Interval(seconds)


def _after(hours: BusinessHours) -> Cron:
    """When working days end."""
    minute, next_day = hours.closing()
    return Cron(
        minutes=frozenset([minute % 60]),
        hours=frozenset([minute // 60]),
        days=None,
        months=frozenset(range(1, 13)),
        weekdays=frozenset((day + next_day) % 7 for day in hours.weekdays),
        every_hour=False,
        zone=hours.zone,
        without=frozenset(day + next_day * _DAY for day in hours.holidays),
    )


def _cron(text: str, zone: tzinfo) -> Cron:
    minute, hour, day, month, weekday = text.split()
    weekdays = _field("day of the week", weekday, 0, 7, _WEEKDAYS)
    return Cron(
        minutes=_field("minute", minute, 0, 59),
        hours=_field("hour", hour, 0, 23),
        days=None if day == "*" else _field("day of the month", day, 1, 31),
        months=_field("month", month, 1, 12, _MONTHS),
        weekdays=None if weekday == "*" else frozenset(number % 7 for number in weekdays),
        every_hour=hour.startswith("*"),
        zone=zone,
    )


def _field(
    name: str, text: str, low: int, high: int, names: Mapping[str, int] | None = None
) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        try:
            if span == "*":
                begin, end = low, high
            else:
                begin = _number(first, names)
                end = _number(last, names) if dash else high if slash else begin
            every = int(step) if slash else 1
        except ValueError:
            raise ValueError(f"{part!r} is not a {name} as cron has it") from None
        if not (low <= begin <= end <= high and every > 0):
            raise ValueError(f"{part!r} is not a {name} from {low} to {high}")
        found |= set(range(begin, end + 1, every))
    return frozenset(found)


def _number(text: str, names: Mapping[str, int] | None) -> int:
    return names[text] if names and text in names else int(text)
