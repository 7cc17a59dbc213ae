"""Everything one connection's run needs, opened once and closed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

import pyarrow as pa

from crmbridge.config import Connection
from crmbridge.connectors.base import Connector, Context
from crmbridge.errors import StoppedError
from crmbridge.metrics.base import Frame, Metric
from crmbridge.model.records import OBJECTS, ObjectName
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger
from crmbridge.sync.retention import Retention
from crmbridge.writeback.base import Writer

REFIT_AFTER: Final = timedelta(days=7)
NEW_OUTCOMES: Final = 0.1
"""Models are refitted weekly, or after this share of new outcomes."""


@dataclass(frozen=True)
class Session:
    """One connection, open. `progress(step, done, total)` is told how far it is; total may be None.

    `stopping` says whether the run should stop: it does so between two calls, where its work is stored.
    """

    connection: Connection
    context: Context
    connector: Connector
    writer: Writer | None
    metrics: Sequence[Metric]
    ledger: Ledger
    lake: Lake
    retention: Retention = field(default_factory=Retention)
    progress: Callable[[str, int, int | None], None] = field(default=lambda step, done, total: None)
    stopping: Callable[[], bool] = field(default=lambda: False)

    @property
    def name(self) -> str:
        return self.connection.name

    @property
    def zone(self) -> ZoneInfo:
        return self.context.zone

    @property
    def log(self) -> Callable[..., None]:
        return self.context.log

    def now(self) -> datetime:
        return self.context.clock()

    def tell(self, step: str, done: int, total: int | None) -> None:
        """Say how far the run is, where it can stop without losing anything. Raises StoppedError."""
        self.progress(step, done, total)
        if self.stopping():
            raise StoppedError(
                f"stopped at {step}, as asked.",
                connection=self.name,
                remedy="Nothing is lost: it goes on from here when it is started again.",
            )

    def frame(self, moment: datetime) -> Frame:
        """The connection's records as of a moment, read from the lake."""
        return Frame(
            moment=moment,
            zone=self.zone,
            scan=partial(self.lake.scan, self.name, at=moment),
            versions=partial(self.lake.versions, self.name, at=moment),
            attribute_names=partial(self.lake.attribute_names, self.name),
            results=partial(self._results, moment),
            tables=partial(self._tables, moment),
        )

    def _results(
        self, moment: datetime, metric: str, object_name: ObjectName, columns: Sequence[str]
    ) -> pa.Table | None:
        return self._said(moment, result_object(metric, object_name), columns)

    def _tables(
        self, moment: datetime, metric: str, object_name: ObjectName, name: str, columns: Sequence[str]
    ) -> pa.Table | None:
        return self._said(moment, table_object(metric, object_name, name), columns)

    def _said(self, moment: datetime, name: str, columns: Sequence[str]) -> pa.Table | None:
        batches = list(self.lake.scan(self.name, name, columns, at=moment))
        return pa.Table.from_batches(batches) if batches else None

    def present(self) -> Mapping[ObjectName, int]:
        """The model's objects that have live records, with their number."""
        counts = {name: self.lake.live_count(self.name, name) for name in OBJECTS}
        return {name: number for name, number in counts.items() if number}


def result_object(metric: str, object_name: str) -> str:
    """The lake's name for a metric's results."""
    return f"result/{metric}/{object_name}"


def table_object(metric: str, object_name: str, name: str) -> str:
    """The lake's name for a metric's table about the organisation."""
    return f"table/{metric}/{object_name}/{name}"
