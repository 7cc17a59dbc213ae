"""Working hours: what lies between two moments of the time that people work in."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from crmbridge.metrics.calendar import WEEKDAYS, Calendar
from crmbridge.metrics.days import micros
from tests.unit.efficiency_kit import BERLIN, efficiency, frame, total


def working_days(calendar: Calendar, start: datetime, end: datetime, zone: ZoneInfo = BERLIN) -> float:
    moments = (np.array([micros(moment)]) for moment in (start, end))
    return float(calendar.working_days(*moments, zone)[0])


def berlin(day: int, hour: int = 0, minute: int = 0, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (berlin(2, 9), berlin(2, 17), 1.0),  # a Monday
        (berlin(2, 9), berlin(2, 13), 0.5),
        (berlin(2, 3), berlin(2, 23), 1.0),
        (berlin(2, 17), berlin(3, 9), 0.0),
        (berlin(6, 13), berlin(9, 13), 1.0),  # over a weekend
        (berlin(7, 8), berlin(8, 20), 0.0),  # a weekend
        (berlin(27, 9), berlin(30, 9), 1.0),  # the clocks change on the 29th
        (berlin(2), berlin(2, month=4), 23.0),
        (datetime(1969, 12, 29, tzinfo=BERLIN), datetime(1970, 1, 5, tzinfo=BERLIN), 5.0),
    ],
)
def test_working_days_are_those_of_the_calendar(start: datetime, end: datetime, days: float) -> None:
    assert working_days(Calendar(), start, end) == pytest.approx(days, abs=1e-12)


def test_holidays_and_breaks_are_not_worked() -> None:
    calendar = Calendar(
        hours=("13:00-17:00", "08:00-12:00"), holidays=(date(2026, 3, 4), date(2026, 3, 7), date(2026, 3, 4))
    )
    assert working_days(calendar, berlin(2), berlin(9)) == pytest.approx(4.0)
    assert working_days(calendar, berlin(4, 9), berlin(5, 8)) == 0.0
    assert working_days(calendar, berlin(2, 11), berlin(2, 14)) == pytest.approx(2 / 8)


def test_the_calendar_may_have_a_zone_of_its_own() -> None:
    start, end = datetime(2026, 3, 2, 14, tzinfo=UTC), datetime(2026, 3, 2, 22, tzinfo=UTC)
    assert working_days(Calendar(zone="America/New_York"), start, end) == pytest.approx(1.0)
    assert working_days(Calendar(), start, end) == pytest.approx(2 / 8)


def test_a_night_shift_is_two_spans_and_a_repeated_hour_is_never_negative_time() -> None:
    calendar = Calendar(weekdays=WEEKDAYS, hours=("22:00-24:00", "00:00-06:00"))
    assert working_days(calendar, berlin(2, 22), berlin(3, 6)) == pytest.approx(1.0)
    first = datetime(2026, 10, 25, 0, 50, tzinfo=UTC)  # 02:50, ten minutes before the clocks go back
    assert working_days(calendar, first, first + timedelta(minutes=20)) == 0.0


zones = st.sampled_from(["Europe/Berlin", "Pacific/Kiritimati", "America/St_Johns", "Australia/Lord_Howe"])
days_in_between = st.lists(st.dates(date(2000, 1, 1), date(2000, 4, 1)), max_size=5)


@given(
    begin=st.datetimes(datetime(2000, 1, 1), datetime(2000, 4, 1)),  # noqa: DTZ001 - by the clock on the wall
    minutes=st.integers(0, 60 * 24 * 60),
    zone=zones.map(ZoneInfo),
    holidays=days_in_between,
)
@settings(max_examples=60, deadline=None)
def test_it_agrees_with_walking_from_minute_to_minute(
    begin: datetime, minutes: int, zone: ZoneInfo, holidays: list[date]
) -> None:
    begin = begin.replace(second=0, microsecond=0)
    start, end = (each.replace(tzinfo=zone) for each in (begin, begin + timedelta(minutes=minutes)))
    for moment in (start, end):  # such a time need not be where the clocks go forward
        assume(moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == moment.replace(tzinfo=None))
    walked = np.datetime64(begin, "m") + np.arange(minutes)
    day = walked.astype("datetime64[D]")
    minute = (walked - day).astype(int)
    worked = ((minute >= 540) & (minute < 720)) | ((minute >= 750) & (minute < 1020))
    worked &= np.is_busday(day, holidays=holidays)
    calendar = Calendar(hours=("09:00-12:00", "12:30-17:00"), holidays=tuple(holidays))
    assert working_days(calendar, start, end, zone) == pytest.approx(worked.sum() / 450, abs=1e-9)


def test_orders_are_measured_in_working_days_where_the_settings_ask_for_it() -> None:
    orders = [
        {"id": "1", "owner_id": "r1", "ordered_at": berlin(6, 13), "fulfilled_at": berlin(9, 13)},
        {"id": "2", "owner_id": "r1", "ordered_at": berlin(7, 8), "fulfilled_at": berlin(7, 20)},
    ]
    known = frame({"order": orders})
    assert total(efficiency(known))["processing_days"] == pytest.approx(3.5)
    working = total(efficiency(known, order_days="working"))
    assert (working["orders_fulfilled"], working["processing_days"]) == (2, pytest.approx(1.0))
    assert working["order_efficiency"] == pytest.approx(2.0)
    holidays = {"calendar": {"holidays": ["2026-03-09"]}}
    assert total(efficiency(known, order_days="working", **holidays))["processing_days"] == pytest.approx(0.5)
    assert total(efficiency(known, **holidays)) == total(efficiency(known))


@pytest.mark.parametrize(
    "wrong",
    [
        {"hours": ["9-17"]},
        {"hours": ["17:00-09:00"]},
        {"hours": ["09:00-25:00"]},
        {"hours": ["09:00-12:00", "11:00-17:00"]},
        {"hours": []},
        {"weekdays": []},
        {"weekdays": ["Monday"]},
        {"zone": "Berlin"},
        {"holidays": ["31.12.2026"]},
    ],
)
def test_a_calendar_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Calendar.model_validate(wrong)
