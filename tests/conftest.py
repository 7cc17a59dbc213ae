"""What all tests share: a clock that only moves when told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

pytest_plugins = ["tests.postgresql"]


class Clock:
    """A clock for tests: `clock()` is the moment, `clock.advance(...)` moves it."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **by: float) -> None:
        self.moment += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 11, 24, 12, 0, tzinfo=UTC))
