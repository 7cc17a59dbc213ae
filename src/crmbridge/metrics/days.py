"""Wall-clock time of a zone, for whole columns: what days, months and windows are counted in.

Moments are microseconds since 1970-01-01 UTC (int64), as Arrow keeps them. Wall-clock microseconds are the
same count for the clock on the wall: two local midnights are whole days apart across a change of the clocks.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Micros = npt.NDArray[np.int64]

SECOND: Final = 1_000_000
HOUR: Final = 3_600 * SECOND
DAY: Final = 24 * HOUR
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_YEAR_ONE: Final = 1969 * 12  # months from 0001-01 to 1970-01
MONTHS: Final = 9999 * 12
"""How many months there are: `months` counts from 0 to MONTHS - 1."""


def micros(moment: datetime) -> int:
    """An aware moment in microseconds since 1970-01-01 UTC."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _offset(moment: datetime, zone: ZoneInfo) -> int:
    return (moment.astimezone(zone).utcoffset() or timedelta(0)) // timedelta(microseconds=1)


@cache
def _changes(zone: ZoneInfo) -> tuple[Micros, Micros]:
    """Since when (UTC) which offset holds, 1900 to 2100: looked for week by week, then by halving."""
    starts, offsets = [micros(_FIRST)], [_offset(_FIRST, zone)]
    moment, step = _FIRST, timedelta(days=7)
    while moment < _LAST:
        if _offset(moment + step, zone) != offsets[-1]:
            low, high = moment, moment + step
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                if _offset(middle, zone) == offsets[-1]:
                    low = middle
                else:
                    high = middle
            starts.append(micros(high.replace(microsecond=0)))
            offsets.append(_offset(high, zone))
        moment += step
    return np.array(starts, np.int64), np.array(offsets, np.int64)


def wall_clock(moments: Micros, zone: ZoneInfo) -> Micros:
    """Wall-clock microseconds of moments; before 1900 and after 2100 with the offset of these bounds."""
    if not len(moments):
        return moments
    starts, offsets = _changes(zone)
    first, last = np.searchsorted(starts, [moments.min(), moments.max()], side="right") - 1
    first, last = max(int(first), 0), max(int(last), 0)
    if first == last:
        return moments + int(offsets[first])
    within = starts[first + 1 : last + 1]
    return moments + offsets[first : last + 1][np.searchsorted(within, moments, side="right")]


def days_between(start: Micros, end: Micros, zone: ZoneInfo) -> npt.NDArray[np.float64]:
    """Fractional days from start to end on the clock on the wall; negative only where end is before start."""
    days = (wall_clock(end, zone) - wall_clock(start, zone)) / DAY
    return np.where(end >= start, np.maximum(days, 0.0), (end - start) / DAY)


def calendar_days(moments: Micros, zone: ZoneInfo) -> Micros:
    """The local calendar day of each moment, as days since 1970-01-01."""
    return wall_clock(moments, zone) // DAY


def months(moments: Micros, zone: ZoneInfo) -> Micros:
    """The local calendar month of each moment, as months since 0001-01."""
    days = calendar_days(moments, zone)
    if not len(days):
        return days
    first, last = int(days.min()), int(days.max())
    if last - first >= len(days):
        return _months_of_days(days)
    # Many moments of few days: each day is looked up once.
    return _months_of_days(np.arange(first, last + 1))[days - first]


def _months_of_days(days: Micros) -> Micros:
    counted = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) + _YEAR_ONE
    return np.clip(counted, 0, MONTHS - 1)


def month_name(month: int) -> str:
    """`2026-03` for a month as `months` counts them."""
    return f"{month // 12 + 1:04d}-{month % 12 + 1:02d}"


def window_start(moment: datetime, zone: ZoneInfo, days: int) -> datetime:
    """The local midnight `days` whole days before the day of the moment, in UTC."""
    today = moment.astimezone(zone).date()
    first = max(today.toordinal() - days, date(1900, 1, 1).toordinal())
    return datetime.combine(date.fromordinal(first), time(), tzinfo=zone).astimezone(UTC)
