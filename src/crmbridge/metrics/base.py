"""What a metric is: it fits a model to an organisation's history and says something about each record.

Metrics are pure. They get frames (columns as of a moment) and settings, and return a model and results: no
I/O, no clock, no randomness without a seed. A metric can be called in a notebook with a few Arrow tables
(`Frame.of`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from crmbridge.metrics.calendar import Calendar
from crmbridge.model.columns import schema
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model, Results


class Horizons(BaseModel):
    """Days within which the outcome must come."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    lead: int = Field(default=90, gt=0)
    deal: int = Field(default=180, gt=0)
    account: int = Field(default=365, gt=0)


class MetricSettings(BaseModel):
    """`[connections.NAME.metrics]`: what a metric may be told. Every metric reads what concerns it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    window_days: int = Field(default=90, gt=0)
    horizon_days: Horizons = Horizons()
    grades: tuple[float, float, float] = (70.0, 40.0, 20.0)
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    customers: Literal["auto", "buyers", "contracts"] = "auto"
    language: Literal["en", "zh"] = "en"
    seed: int = 0
    max_calibration_error: float = Field(default=0.03, gt=0, le=1)
    team: str = "role"
    order_days: Literal["clock", "working"] = "clock"
    calendar: Calendar = Calendar()


@dataclass(frozen=True)
class Frame:
    """The organisation as of a moment, in columns.

    `scan(object, columns)` yields record batches of the live records as known at `moment`, each once, with
    the asked columns (own fields of the model, or `attributes.NAME`); a column the data does not have comes
    as nulls of its type. `versions(object, columns)` yields every version known up to `moment`, of live and
    of deleted records, in no order, with `valid_from` (since when it held) among the columns that can be
    asked for: what training takes a record's state at a past moment from. `attribute_names(object)` lists the
    attributes there are. `results(metric, object, columns)` is what another metric said as of the moment, and
    `tables(metric, object, name, columns)` one of its tables (a column `id` of it as `record_id`), None where
    it said nothing. `moment` is aware UTC; days are counted in `zone`.
    """

    moment: datetime
    zone: ZoneInfo
    scan: Callable[[ObjectName, Sequence[str]], Iterator[pa.RecordBatch]]
    versions: Callable[[ObjectName, Sequence[str]], Iterator[pa.RecordBatch]]
    attribute_names: Callable[[ObjectName], Sequence[str]]
    results: Callable[[str, ObjectName, Sequence[str]], pa.Table | None] = lambda metric, name, columns: None
    tables: Callable[[str, ObjectName, str, Sequence[str]], pa.Table | None] = (
        lambda metric, object_name, name, columns: None
    )

    def table(self, object_name: ObjectName, columns: Sequence[str]) -> pa.Table:
        """All of `scan` at once."""
        return _collect(self.scan(object_name, columns), object_name, columns)

    @classmethod
    def of(cls, tables: Mapping[ObjectName, pa.Table], *, moment: datetime, zone: ZoneInfo) -> Frame:
        """A frame of tables in memory, for notebooks and tests."""

        def scan(object_name: ObjectName, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
            table = tables.get(object_name)
            if table is None:
                return
            arrays = [
                table[name].combine_chunks()
                if name in table.column_names
                else pa.nulls(table.num_rows, column_type(object_name, name))
                for name in columns
            ]
            yield from pa.table(arrays, names=list(columns)).combine_chunks().to_batches()

        def names(object_name: ObjectName) -> Sequence[str]:
            table = tables.get(object_name)
            prefix = "attributes."
            found = (
                []
                if table is None
                else [n[len(prefix) :] for n in table.column_names if n.startswith(prefix)]
            )
            return sorted(found)

        return cls(moment=moment, zone=zone, scan=scan, versions=scan, attribute_names=names)


def column_type(object_name: ObjectName, column: str) -> pa.DataType:
    """The Arrow type of a frame's column."""
    if column == "valid_from":
        return pa.timestamp("us", tz="UTC")
    own = schema(object_name)
    return own.field(column).type if column in own.names else pa.string()


def _collect(batches: Iterator[pa.RecordBatch], object_name: ObjectName, columns: Sequence[str]) -> pa.Table:
    own = pa.schema([pa.field(name, column_type(object_name, name)) for name in columns])
    return pa.Table.from_batches([batch.cast(own) for batch in batches], own)


class Metric(ABC):
    """One metric. `apply` is row-wise: a record's result depends on that record, the frame and the model
    alone.
    """

    name: ClassVar[str]
    produces: ClassVar[tuple[str, ...]]
    """Keys of the field catalogue it fills."""
    objects: ClassVar[tuple[ObjectName, ...]]
    """Objects it has results for; one model is fitted for each."""
    needs: ClassVar[tuple[ObjectName, ...]]
    """Objects it reads; missing ones are empty."""
    needs_records: ClassVar[bool] = True
    """Whether there must be records of the object; one whose tables speak of the organisation says False."""

    def __init__(self, settings: MetricSettings) -> None:
        self.settings = settings

    def outcomes(self, object_name: ObjectName, frame: Frame) -> int:
        """How many outcomes the frame knows: a model is refitted when they grow."""
        return 0

    @abstractmethod
    def fit(self, object_name: ObjectName, frame: Frame) -> Model:
        """Learn from all that the frame knows. Never fails for lack of data: then the model says so."""

    def refit(self, object_name: ObjectName, frame: Frame, published: Model) -> Model:
        """Learn anew where a model is in use. A card whose `gate` says `publish: false` keeps that one."""
        return self.fit(object_name, frame)

    @abstractmethod
    def apply(self, object_name: ObjectName, frame: Frame, model: Model) -> Results:
        """The results for the live records of the object."""
