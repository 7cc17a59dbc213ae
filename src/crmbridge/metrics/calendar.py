"""The working-hours calendar: which hours people work, and how many working days lie between two moments.

W(t) is the working time from 1970-01-01 to the wall-clock time t; between two moments lie
(W(end) - W(start)) / H working days, H being the hours of one working day. W is a sum of whole days, counted
by weekday, less holidays, and of the hours of the last day, so no day is walked through. Since it goes by the
clock on the wall, a change of the clocks neither gives nor takes working time.
"""

from __future__ import annotations

import re
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from crmbridge.metrics.days import DAY, SECOND, Micros, wall_clock
from crmbridge.model.zones import ZoneName

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS: Final = re.compile(r"(\d\d):([0-5]\d)-(\d\d):([0-5]\d)")
_MINUTE: Final = 60 * SECOND
_THURSDAY: Final = 3  # 1970-01-01


def _span(text: str) -> tuple[int, int]:
    """Beginning and end of `09:00-12:30` in minutes of the day."""
    found = _HOURS.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a span such as '09:00-17:00'")
    begin, end = (60 * int(found[at]) + int(found[at + 1]) for at in (1, 3))
    if not begin < end <= 24 * 60:
        raise ValueError(f"{text!r} must end after it begins, at 24:00 at the latest; cut a night in two")
    return begin, end


def _spans(texts: tuple[str, ...]) -> tuple[str, ...]:
    spans = sorted(map(_span, texts))
    if any(before[1] > after[0] for before, after in pairwise(spans)):
        raise ValueError("the spans overlap")
    return texts


class Calendar(BaseModel):
    """`[connections.NAME.metrics.calendar]`: when people work. `zone` is the connection's where not set."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    weekdays: tuple[Weekday, ...] = Field(default=WEEKDAYS[:5], min_length=1)
    hours: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_spans)] = ("09:00-17:00",)
    zone: ZoneName | None = None
    holidays: tuple[date, ...] = ()

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Beginnings and ends in minutes of the day, in order."""
        return sorted(map(_span, self.hours))

    @cached_property
    def _minutes(self) -> npt.NDArray[np.int64]:
        """Beginnings and ends in minutes of the day (spans, 2), in order."""
        return np.array(self.spans, np.int64)

    @cached_property
    def _day(self) -> int:
        """Microseconds of one working day."""
        return int(np.diff(self._minutes, axis=1).sum()) * _MINUTE

    @cached_property
    def _worked(self) -> npt.NDArray[np.bool_]:
        """Whether each weekday is worked, Monday first."""
        return np.isin(np.arange(7), [WEEKDAYS.index(name) for name in self.weekdays])

    @cached_property
    def _holidays(self) -> npt.NDArray[np.int64]:
        """The holidays that would be working days, as days since 1970-01-01, in order."""
        days = np.unique(np.array(self.holidays, "datetime64[D]").astype(np.int64))
        return days[self._worked[_weekday(days)]]

    def working_days(self, start: Micros, end: Micros, zone: ZoneInfo) -> npt.NDArray[np.float64]:
        """Working days from each start to its end, in fractions; never negative. `zone` where none is set."""
        own = zone if self.zone is None else ZoneInfo(self.zone)
        worked: npt.NDArray[np.float64] = self._until(wall_clock(end, own))
        return np.maximum(worked - self._until(wall_clock(start, own)), 0.0)

    def _until(self, wall: Micros) -> npt.NDArray[np.float64]:
        """W in working days, for wall-clock microseconds."""
        day, rest = wall // DAY, wall % DAY
        # Whole weeks begin on Mondays; a day's place in its week says how much of that week is over.
        weekday = _weekday(day)
        over = np.concatenate([[0], np.cumsum(self._worked)])
        days = (day - weekday + _THURSDAY) // 7 * int(over[-1]) + over[weekday]
        days -= np.searchsorted(self._holidays, day, side="left")
        begins, ends = (self._minutes * _MINUTE).T
        today = np.clip(rest[:, None] - begins, 0, ends - begins).sum(axis=1) / self._day
        free = ~self._worked[weekday] | np.isin(day, self._holidays)
        until: npt.NDArray[np.float64] = np.where(free, 0.0, today) + days
        return until


def _weekday(days: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """0 for Monday to 6 for Sunday, of days since 1970-01-01."""
    return (days + _THURSDAY) % 7
