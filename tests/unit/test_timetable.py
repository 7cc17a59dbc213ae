from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmbridge.timetable import BusinessHours, parse

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def slots(schedule: str, since: str, until: str, hours: BusinessHours | None = None) -> list[str]:
    found = parse(schedule, BERLIN, hours).slots(at(since), at(until))
    return [f"{slot.astimezone(BERLIN):%d %H:%M}" for slot in found]


@pytest.mark.parametrize(
    ("schedule", "seconds"),
    [
        ("every 15 minutes", 900),
        ("Every 15  minutes", 900),
        ("15m", 900),
        ("30s", 30),
        ("every second", 1),
        ("every 2 hours", 7200),
        ("24h", 86400),
    ],
)
def test_an_interval_comes_in_even_steps_whoever_counts_them(schedule, seconds):
    table = parse(schedule, BERLIN)
    first = table.after(at("2026-11-24T12:00:01"))
    assert first.timestamp() % seconds == 0
    assert table.after(first) - first == table.period(first) == timedelta(seconds=seconds)
    assert table.last(at("2026-11-24T12:00:01"), first) == first
    assert table.last(first, first + timedelta(milliseconds=1)) is None


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 6 * * 1-5", ["23 06:00", "24 06:00", "25 06:00", "26 06:00", "27 06:00"]),  # Monday the 23rd
        ("0 6 * * 0", ["22 06:00", "29 06:00"]),
        ("0 6 * * 7", ["22 06:00", "29 06:00"]),
        ("0 6 * * sun,mon", ["22 06:00", "23 06:00", "29 06:00"]),
        ("30 4 24 * fri", ["24 04:30", "27 04:30"]),  # either day suffices
        ("0 */12 25 nov *", ["25 00:00", "25 12:00"]),
        ("5/30 23 25 * *", ["25 23:05", "25 23:35"]),
        ("@weekly", ["29 00:00"]),
    ],
)
def test_cron_is_read_as_cron_reads_it(cron, expected):
    assert slots(cron, "2026-11-21T23:00:00", "2026-11-29T22:00:00") == expected


def test_a_time_that_the_change_to_summer_time_leaves_out_is_run_once_all_the_same():
    assert slots("30 2 * * *", "2027-03-27T00:00:00", "2027-03-29T12:00:00") == [
        "27 02:30",
        "28 03:30",
        "29 02:30",
    ]


def test_a_time_that_the_change_to_winter_time_brings_twice_is_run_once():
    assert slots("30 2 * * *", "2026-10-24T12:00:00", "2026-10-26T12:00:00") == ["25 02:30", "26 02:30"]


def test_a_schedule_for_every_hour_follows_real_hours_through_both_changes():
    for day in ("2026-10-25", "2027-03-28"):
        found = list(parse("*/30 * * * *", BERLIN).slots(at(f"{day}T00:00:00"), at(f"{day}T04:00:00")))
        assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(minutes=30)}


def working(*spans: tuple[int, int], weekdays: str = "12345", holidays: str = "") -> BusinessHours:
    days = frozenset(date.fromisoformat(day) for day in holidays.split())
    hours = [(60 * begin, 60 * end) for begin, end in spans]
    return BusinessHours(hours, frozenset(map(int, weekdays)), days, BERLIN)


def test_after_business_hours_is_when_a_working_day_ends() -> None:
    found = slots("after business hours", "2026-11-26T12:00:00", "2026-12-02T00:00:00")
    assert found == ["26 17:00", "27 17:00", "30 17:00", "01 17:00"]
    hours = working((8, 12), (13, 18), holidays="2026-11-27")
    found = slots("after business hours", "2026-11-26T12:00:00", "2026-12-01T00:00:00", hours)
    assert found == ["26 18:00", "30 18:00"]


def test_a_night_shift_ends_in_the_morning_of_the_next_day() -> None:
    hours = working((22, 24), (0, 6), weekdays="01", holidays="2026-11-29")  # Sunday and Monday nights
    found = slots("after business hours", "2026-11-26T12:00:00", "2026-12-02T00:00:00", hours)
    assert found == ["01 06:00"]


def test_business_hours_that_never_end_are_refused() -> None:
    with pytest.raises(ValueError, match="never end"):
        parse("after business hours", BERLIN, working((0, 12), (12, 24)))


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("sometimes", "not a schedule"),
        ("15", "not a schedule"),
        ("every 3 fortnights", "not a schedule"),
        ("0s", "1 second to 24 hours"),
        ("every 48 hours", "1 second to 24 hours"),
        ("60 * * * *", "minute from 0 to 59"),
        ("0 0 31 2 *", "never comes"),
        ("0 0 * * L", "day of the week"),
        ("0 5-1 * * *", "hour from 0 to 23"),
        ("0 */0 * * *", "hour from 0 to 23"),
    ],
)
def test_what_is_no_schedule_is_refused_in_words(schedule, said):
    with pytest.raises(ValueError, match=said):
        parse(schedule, BERLIN)


@given(
    schedule=st.sampled_from(
        [
            "*/7 * * * *",
            "30 2 * * *",
            "0 0 1 * *",
            "15 3 * * 1-5",
            "0 1,2,3 29 2 *",
            "90s",
            "*/20 1-4 * * sun",
        ]
    ),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]),
    moment=st.floats(1.3e9, 2.2e9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)
def test_the_slot_after_a_moment_is_the_last_one_up_to_itself_and_there_is_none_between(
    schedule, zone, moment
):
    table = parse(schedule, ZoneInfo(zone))
    slot = table.after(moment)
    assert slot > moment
    assert table.last(moment, slot) == slot
    assert table.last(moment, slot - timedelta(microseconds=1)) is None
    before = table.last(moment - timedelta(days=800), moment)
    if before is not None:
        assert table.after(before) == slot
