"""`/metrics`: what Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from crmbridge.config import Settings
from crmbridge.schedule.totals import OUTCOMES, Totals
from crmbridge.schedule.watchman import Watchman
from crmbridge.store.ledger import ConditionKind


class Exposition(Collector):
    """Reads the ledger when it is asked; counters are of all runs in the ledger, whoever made them."""

    def __init__(
        self,
        watchman: Callable[[], Watchman],
        *,
        running: Callable[[], list[str]],
        clock: Callable[[], datetime],
        version: str,
    ) -> None:
        self._watchman, self._running, self._clock = watchman, running, clock
        self._version = version
        self._totals = Totals()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """The metrics in Prometheus' text format. Raises StoreError."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering must not read the ledger."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric, from the ledger as it is now."""
        watchman = self._watchman()
        self._totals.update(watchman.ledger)
        yield GaugeMetricFamily("crmbridge_up", f"crmbridge {self._version} serves.", value=1)
        yield from self._counters()
        yield from self._gauges(watchman, watchman.settings)

    def _counters(self) -> Iterator[Metric]:
        totals = self._totals
        runs = CounterMetricFamily(
            "crmbridge_runs", "Runs that have ended.", labels=["connection", "kind", "status"]
        )
        for labels, number in sorted(totals.runs.items()):
            runs.add_metric(labels, number)
        records = CounterMetricFamily(
            "crmbridge_records",
            "Records that were pulled (new or changed), deleted or set aside.",
            labels=["connection", "what", "object"],
        )
        for labels, number in sorted(totals.records.items()):
            records.add_metric(labels, number)
        rows = CounterMetricFamily(
            "crmbridge_rows", "Rows written to the CRM, by outcome.", labels=["connection", "outcome"]
        )
        for (name, outcome), number in sorted(totals.rows.items()):
            rows.add_metric([name, outcome], number)
        rejected = CounterMetricFamily("crmbridge_rejected", "Rows the CRM rejected.", labels=["connection"])
        for (name, outcome), number in sorted(totals.rows.items()):
            if outcome == OUTCOMES[-1]:
                rejected.add_metric([name], number)
        calls = CounterMetricFamily("crmbridge_api_calls", "API calls made.", labels=["connection"])
        for name, number in sorted(totals.calls.items()):
            calls.add_metric([name], number)
        seconds = CounterMetricFamily("crmbridge_run_seconds", "Seconds runs took.", labels=["connection"])
        for name, taken in sorted(totals.seconds.items()):
            seconds.add_metric([name], taken)
        yield from (runs, records, rows, rejected, calls, seconds)

    def _gauges(self, watchman: Watchman, settings: Settings) -> Iterator[Metric]:
        def gauge(name: str, text: str, *more: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"crmbridge_{name}", text, labels=["connection", *more])

        now = self._clock()
        age = gauge("score_age_seconds", "Age of the newest score.")
        last = gauge("last_run_timestamp_seconds", "When the last run ended.")
        next_run = gauge("next_run_timestamp_seconds", "When the next run is due.")
        spent = gauge("api_calls_last_day", "API calls of the last 24 hours.")
        share = gauge("api_budget_calls", "API calls a day that this connection may make.")
        needed = gauge("api_forecast_calls", "API calls a day that its runs will need.")
        running = gauge("running", "Whether a run is under way in this process.")
        wrong = gauge("condition", "Whether something is wrong, by kind.", "kind")
        kinds = {(each.connection, each.kind) for each in watchman.ledger.conditions()}
        for name in settings.names:
            if name in self._totals.scored_at:
                age.add_metric([name], (now - self._totals.scored_at[name]).total_seconds())
            if name in self._totals.ended_at:
                last.add_metric([name], self._totals.ended_at[name].timestamp())
            timetable = settings.common(name).timetable()
            if timetable is not None:
                next_run.add_metric([name], timetable.after(now).timestamp())
            forecast = watchman.forecast(name)
            spent.add_metric([name], forecast.spent_today)
            if forecast.share is not None:
                share.add_metric([name], forecast.share)
            if forecast.calls_a_day is not None:
                needed.add_metric([name], forecast.calls_a_day)
            running.add_metric([name], name in self._running())
            for kind in get_args(ConditionKind):
                wrong.add_metric([name, kind], (name, kind) in kinds)
        yield from (age, last, next_run, spent, share, needed, running, wrong)
