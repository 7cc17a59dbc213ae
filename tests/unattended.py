"""An installation that runs by its schedule, for tests: a CRM in memory, the clock passed in, alerts kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

from crmbridge.alerts.base import AlertChannel
from crmbridge.bridge import Bridge
from crmbridge.errors import CRMBridgeError, TransientError
from crmbridge.hookspecs import hookimpl
from crmbridge.metrics.base import Metric
from crmbridge.plugins import Plugins
from crmbridge.store.ledger import Alert, Run
from tests.conftest import Clock
from tests.memory_crm import ORGS, MemoryCrm, MemoryPlugin

Answer = TypeVar("Answer")

SETTINGS = """
{store}
[connections.acme]
connector = "memory"
org = "{org}"
page_size = 10
schedule = "{schedule}"
{extra}

[alerts.recorder]
"""


class RecorderOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Recorder(AlertChannel):
    """Keeps what it is told; refuses while `refuses`."""

    name: ClassVar[str] = "recorder"
    Options = RecorderOptions
    told: ClassVar[list[Alert]] = []
    refuses: ClassVar[bool] = False

    def send(self, alert: Alert) -> None:
        if Recorder.refuses:
            raise TransientError("nobody listens.")
        Recorder.told.append(alert)


class RecorderPlugin:
    @hookimpl
    def crmbridge_alerts(self) -> Sequence[type[AlertChannel]]:
        return [Recorder]


class Unattended:
    """One scheduled connection, `acme`. Every call is a process of its own."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        schedule: str = "every 15 minutes",
        store: str = "",
        extra: str = "",
        leads: int = 4,
        metrics: Callable[[Mapping[str, type[Metric]]], Mapping[str, type[Metric]]] = lambda known: {},
    ) -> None:
        self.clock, self.metrics = clock, metrics
        self.settings = folder / "crmbridge.toml"
        org = str(folder)
        text = SETTINGS.format(org=org, schedule=schedule, store=store, extra=extra)
        self.settings.write_text(text, encoding="utf-8")
        self.crm = ORGS[org] = MemoryCrm()
        for number in range(leads):
            self.crm.put("lead", f"l{number}", {"created_at": self.crm.now, "lead_source": "Web"})
        Recorder.told, Recorder.refuses = [], False
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def open(self, **more: Any) -> Bridge:
        plugins = Plugins.load(found=[])
        plugins.add("memory", MemoryPlugin(), source="tests")
        plugins.add("recorder", RecorderPlugin(), source="tests")
        plugins.metrics = dict(self.metrics(plugins.metrics))

        def log(event: str, **values: Any) -> None:
            self.lines.append((event, values))

        return Bridge.open(self.settings, plugins=plugins, clock=self.clock, log=log, **more)

    def do(self, action: Callable[[Bridge], Answer], **more: Any) -> Answer:
        with self.open(**more) as bridge:
            return action(bridge)

    def run(self) -> Run | None:
        """What the scheduler does at a timer: the run that is due."""
        return self.do(lambda bridge: bridge.run_due("acme"))

    def run_or_fail(self) -> Run | CRMBridgeError | None:
        try:
            return self.run()
        except CRMBridgeError as error:
            return error

    def look(self) -> None:
        """What every command does first."""
        self.do(lambda bridge: bridge.look())

    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        return self.do(lambda bridge: bridge.ledger.runs("acme", 100_000))[::-1]

    @property
    def told(self) -> list[tuple[str, str]]:
        """Kind and state of every alert told so far."""
        return [(alert.kind, alert.state) for alert in Recorder.told]
