"""A portal, its server, and a pace that does not wait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from crmbridge.connectors.base import Context
from crmbridge.connectors.hubspot import HubSpotConnector, Options, client, pace
from crmbridge.model.fields import CORE
from crmbridge.model.records import ObjectName
from crmbridge.testing import Clock, Pulled, context, pulled
from crmbridge.writeback.hubspot import HubSpotWriter
from tests.vendors.hubspot.portal import Portal
from tests.vendors.hubspot.server import TOKEN, Server, serving


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


@dataclass
class Hub:
    """Connectors and writers of one portal, for tests of single behaviours."""

    server: Server
    clock: Clock
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def context(
        self, *, fields: Sequence[str] = CORE, secrets: dict[str, str] | None = None, **options: Any
    ) -> Context:
        """A context with these settings; without others, leads are HubSpot's leads."""
        chosen = Options(**{"base_url": self.server.url, "lead_object": "leads", **options})
        given = context(chosen, fields=fields, secrets=secrets or {"access_token": TOKEN}, clock=self.clock)
        return replace(given, log=lambda event, **values: self.events.append((event, values)))

    def connector(self, *, page: int = 100, block: int = 1_000, **options: Any) -> HubSpotConnector:
        return HubSpotConnector(self.context(**options), page=page, block=block)

    def writer(self, **options: Any) -> HubSpotWriter:
        """A writer whose properties are there."""
        writer = HubSpotWriter(self.context(**options))
        list(writer.install(dry_run=False))
        return writer

    def pull(self, object_name: ObjectName, cursor: Any = None, **options: Any) -> Pulled:
        return pulled(self.connector(**options).pull(object_name, cursor))


@pytest.fixture
def hub(server: Server, clock: Clock) -> Hub:
    return Hub(server, clock)
