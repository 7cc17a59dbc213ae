"""An installation that is run again and again, each time as a scheduler does it: opened, run, closed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from crmbridge.bridge import Bridge
from crmbridge.metrics.base import Metric
from crmbridge.model.records import ObjectName
from crmbridge.plugins import Plugins
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Counts, Ledger, Run
from crmbridge.sync.run import Approve
from tests.conftest import Clock
from tests.memory_crm import MemoryPlugin

Answer = TypeVar("Answer")
COLUMNS: Mapping[str, list[str]] = {
    "lead": ["id", "created_at", "owner_id", "lead_source", "is_converted", "attributes.Budget"],
    "activity": ["id", "lead_id", "started_at", "duration", "outcome"],
    "rep": ["id", "name"],
}


class Installation:
    """One connection of one settings file. Every call is a run of a process of its own."""

    def __init__(self, settings: Path, clock: Clock, name: str = "acme") -> None:
        self.settings, self.clock, self.name = settings, clock, name
        self.metrics: Callable[[Mapping[str, type[Metric]]], Mapping[str, type[Metric]]] = lambda known: known

    def do(self, action: Callable[[Bridge], Answer]) -> Answer:
        """What the action answers when given an open installation."""
        plugins = Plugins.load(found=[])
        plugins.add("memory", MemoryPlugin(), source="tests")
        plugins.metrics = dict(self.metrics(plugins.metrics))
        with Bridge.open(self.settings, plugins=plugins, clock=self.clock) as bridge:
            return action(bridge)

    def sync(self, approve: Approve | Literal["yes"] | None = "yes", **options: Any) -> Run:
        return self.do(lambda bridge: bridge.sync(self.name, approve=approve, **options))

    def pull(self, **options: Any) -> Run:
        return self.do(lambda bridge: bridge.pull(self.name, **options))

    def score(self, **options: Any) -> Run:
        return self.do(lambda bridge: bridge.score(self.name, **options))

    def plan(self, **options: Any) -> Run:
        return self.do(lambda bridge: bridge.plan(self.name, **options))

    def apply(self, plan: Any, *override: str) -> Run:
        return self.do(lambda bridge: bridge.apply(plan, override=override))

    def undo(self, run: int) -> Run:
        return self.do(lambda bridge: bridge.undo(run))

    def runs(self) -> list[Run]:
        """All runs, newest first."""
        return self.do(lambda bridge: bridge.ledger.runs(self.name, limit=10_000))

    def counts(self, plan: Any) -> Counts:
        return self.do(lambda bridge: bridge.ledger.counts(plan))

    def look(self, question: Callable[[Ledger, Lake], Answer]) -> Answer:
        """What the store answers."""
        return self.do(lambda bridge: question(bridge.ledger, bridge.lake))

    def records(self, object_name: ObjectName | str, columns: list[str] | None = None) -> dict[str, Any]:
        """The lake's records as of now, by id."""
        wanted = columns or COLUMNS[object_name]
        return self.look(
            lambda ledger, lake: {
                row["id"]: row
                for batch in lake.scan(self.name, object_name, wanted, at=self.clock())
                for row in batch.to_pylist()
            }
        )

    def change_settings(self, old: str, new: str) -> None:
        text = self.settings.read_text(encoding="utf-8")
        assert old in text
        self.settings.write_text(text.replace(old, new), encoding="utf-8")

    @property
    def exports(self) -> Path:
        return self.settings.parent / "exports"
