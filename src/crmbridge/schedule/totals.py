"""What all runs came to, added up as they end: the counters of `/metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from crmbridge.store.ledger import Ledger, Run

OUTCOMES = ("sent", "same", "rejected")


class Totals:
    """Sums over the ledger's runs. `update` reads what has ended since it was last called, nothing twice."""

    def __init__(self) -> None:
        self.runs: Counter[tuple[str, str, str]] = Counter()
        """By connection, kind and status."""
        self.records: Counter[tuple[str, str, str]] = Counter()
        """Pulled, deleted and set aside records, by connection, what became of them, and object."""
        self.rows: Counter[tuple[str, str]] = Counter()
        """Written rows, by connection and outcome."""
        self.calls: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}
        self.scored_at: dict[str, datetime] = {}
        """The latest moment that a connection was scored as of."""
        self.ended_at: dict[str, datetime] = {}
        self._seen, self._pending = 0, set[int]()

    def update(self, ledger: Ledger) -> None:
        """Add up what has ended since."""
        for run in ledger.runs_by_id(sorted(self._pending)):
            self._take(run)
        while found := ledger.runs_after(self._seen):
            for run in found:
                self._take(run)
            self._seen = found[-1].id

    def _take(self, run: Run) -> None:
        if run.status == "running":
            self._pending.add(run.id)
            return
        self._pending.discard(run.id)
        name, summary = run.connection, run.summary
        self.runs[name, run.kind, run.status] += 1
        self.calls[name] += run.api_calls
        for what in ("pulled", "deleted", "set_aside"):
            for object_name, number in _counts(summary.get(what)).items():
                self.records[name, what, object_name] += number
        for outcome in OUTCOMES:
            written = summary.get(outcome)
            self.rows[name, outcome] += written if isinstance(written, int) else 0
        seconds = summary.get("seconds")
        if isinstance(seconds, int | float):
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        if "scored" in summary:
            self.scored_at[name] = max(run.moment, self.scored_at.get(name, run.moment))
        if run.finished_at is not None:
            self.ended_at[name] = max(run.finished_at, self.ended_at.get(name, run.finished_at))


def _counts(value: Any) -> Mapping[str, int]:
    return value if isinstance(value, Mapping) else {}
