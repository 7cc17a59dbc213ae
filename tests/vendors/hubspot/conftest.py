"""A portal, its server, and a pace that does not wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crmbridge.connectors.hubspot import client, pace
from crmbridge.testing import Clock
from tests.vendors.hubspot.portal import Portal
from tests.vendors.hubspot.server import Server, serving


class Timer:
    """Seconds that pass when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch, timer: Timer) -> None:
    monkeypatch.setattr(client, "Pace", lambda: pace.Pace(now=timer.now, sleep=timer.sleep))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def portal(clock: Clock) -> Portal:
    return Portal(clock)


@pytest.fixture
def server(portal: Portal) -> Iterator[Server]:
    with serving(portal) as served:
        yield served
