"""The efficiency metric: E, R and O, pooled, with intervals, coverage and trend."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import JsonValue

from crmbridge.metrics.arrays import Ids
from crmbridge.metrics.base import Frame, Metric, MetricSettings
from crmbridge.metrics.efficiency import pooling, tables
from crmbridge.metrics.efficiency.pooling import Prior
from crmbridge.metrics.efficiency.rates import RATED, Columns, nullable, pooled_columns, rate_parts
from crmbridge.metrics.efficiency.sums import KINDS, Kind
from crmbridge.metrics.efficiency.tally import Grouping, Tally, tally
from crmbridge.model.fields import result_schema
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model, Results

TYPICAL: Final[Mapping[Kind, float]] = MappingProxyType(
    {"communication": 1.0, "follow_up": 0.1, "order": 0.2}
)
"""Rates of the right order of magnitude: outcomes per hour, deals per hour, orders per processing day."""
PER: Final[Mapping[Kind, str]] = MappingProxyType(
    {"communication": "hour", "follow_up": "hour", "order": "processing day"}
)
GROUPINGS: Final[Mapping[ObjectName, tuple[Grouping, ...]]] = MappingProxyType(
    {"rep": ("rep", "team", "deal_type", "channel"), "account": ("account",), "deal": ("deal",)}
)
"""What is told along with the results of an object; the first is the object itself."""


class EfficiencyMetric(Metric):
    """Communication efficiency E = C / T, follow-up efficiency R = S / T, order efficiency O = N / T.

    Over the `window_days` whole days before the moment. E: communications with a positive outcome whose time
    was measured, per hour of all measured ones. R: deals won per hour spent on the deals won and lost, from
    their first communication on. O: orders fulfilled per day from ordered to fulfilled. Fields carry the rate
    partially pooled over the peers (see `pooling`), with its 90 % interval; the details carry the rate on its
    own, that of the window before, and the trend. No time, no rate: None. See docs/metrics-efficiency.md.
    """

    name: ClassVar[str] = "efficiency"
    objects: ClassVar[tuple[ObjectName, ...]] = ("rep", "account", "deal")
    needs: ClassVar[tuple[ObjectName, ...]] = ("activity", "deal", "order", "rep", "account")
    needs_records: ClassVar[bool] = False
    produces: ClassVar[tuple[str, ...]] = (
        *(f"{kind}_efficiency{end}" for kind in KINDS for end in ("", "_low", "_high")),
        "time_coverage",
    )

    def __init__(self, settings: MetricSettings) -> None:
        super().__init__(settings)
        self._last: tuple[Frame, Tally] | None = None

    def fit(self, object_name: ObjectName, frame: Frame) -> Model:
        """Learn from the peers how rates are spread; `provisional` where there is nothing to learn from."""
        tallied = self._tally(frame)
        own, *others = _groupings(object_name)
        parameters, learned = _learn(tallied, own)
        card: dict[str, JsonValue] = {
            "window_days": self.settings.window_days,
            "from": tallied.start.isoformat(),
            "to": tallied.end.isoformat(),
            "order_days": self.settings.order_days,
            "left_out": dict(tallied.left_out),
            **learned,
        }
        everything: dict[str, JsonValue] = {own: parameters}
        for grouping in others:
            everything[grouping], card[grouping] = _learn(tallied, grouping)
        return Model(
            metric=self.name, object=object_name, parameters=everything, card=card, provisional=not parameters
        )

    def apply(self, object_name: ObjectName, frame: Frame, model: Model) -> Results:
        """The rates of every live rep or account, or of every deal that the window knows anything of; with
        those of reps, the organisation's.
        """
        tallied = self._tally(frame)
        own, *others = _groupings(object_name)
        columns = _columns(tallied, own, model)
        live = frame.table(object_name, ("id",))["id"].combine_chunks()
        place = Ids(tallied.groups[own]).find(live)
        if own == "account":
            columns |= tables.places(columns, RATED[own])
        elif own == "deal":
            columns["follow_up_hours"] = nullable(tallied.spent)
            stirring = _stirring(tallied)[place]
            live, place = live.filter(pa.array(stirring)), place[stirring]
        rows = pa.array(place)
        types = result_schema(object_name, self.produces)
        values = {name: columns[name].take(rows) for name in types.names if name != "id"}
        details = {name: column.take(rows) for name, column in columns.items() if name not in values}
        found = self._organisation(frame, tallied, columns, others, model) if own == "rep" else {}
        return Results(
            object=object_name,
            values=pa.table({"id": live, **values}, schema=types),
            details=pa.table(details),
            tables=found,
        )

    def _organisation(
        self, frame: Frame, tallied: Tally, columns: Columns, others: list[Grouping], model: Model
    ) -> dict[str, pa.Table]:
        reps = tables.named_reps(frame, tallied.groups["rep"], columns)
        found = {
            "efficiency_total": tables.total(tallied),
            "efficiency_by_period": tables.by_period(tallied),
            "efficiency_by_rep": reps,
        }
        ranked = [tables.ranking("rep", reps, RATED["rep"])]
        for grouping in others:
            names = tallied.groups[grouping]
            rated = pa.table({"id": names, "name": names} | _columns(tallied, grouping, model))
            rated = rated.take(pa.array(tables.by_id(names)))
            ranked.append(tables.ranking(grouping, rated, RATED[grouping]))
            found[f"efficiency_by_{grouping}"] = rated.drop_columns("id")
        found["ranking"] = pa.concat_tables(ranked)
        return found

    def _tally(self, frame: Frame) -> Tally:
        """The sums of a frame, made once however many objects are fitted and applied on it."""
        if self._last is None or self._last[0] is not frame:
            self._last = (frame, tally(frame, self.settings))
        return self._last[1]


def _groupings(object_name: ObjectName) -> tuple[Grouping, ...]:
    if object_name not in GROUPINGS:
        raise ValueError(f"efficiency is measured per {', '.join(GROUPINGS)}, not per {object_name}")
    return GROUPINGS[object_name]


def _learn(tallied: Tally, grouping: Grouping) -> tuple[dict[str, JsonValue], dict[str, JsonValue]]:
    """The prior of each efficiency that the peers speak for, as parameters, and what the card says of it."""
    groups, sums = tallied.groups[grouping], tallied.sums[grouping]
    order = tables.by_id(groups)
    parameters: dict[str, JsonValue] = {}
    card: dict[str, JsonValue] = {}
    for kind in RATED[grouping]:
        counts, times = (values[order] for values in rate_parts(sums, kind, len(groups)))
        prior = pooling.fit_prior(counts, times, TYPICAL[kind])
        if prior is None:
            card[kind] = {"peers": 0}
            continue
        parameters[kind] = cast("JsonValue", prior.to_rows())
        card[kind] = {
            "per": PER[kind],
            "peers": int((times > 0).sum()),
            "events": int(counts[times > 0].sum()),
            "time": float(times.sum()),
            "typical": prior.mean,
            "spread_between_peers": prior.spread,
        }
    return parameters, card


def _columns(tallied: Tally, grouping: Grouping, model: Model) -> Columns:
    """Everything that is said of the groups of a grouping."""
    known: Any = model.parameters.get(grouping, {})
    priors = {kind: Prior.from_rows(known[kind]) for kind in RATED[grouping] if kind in known}
    number = len(tallied.groups[grouping])
    columns = pooled_columns(tallied.sums[grouping], number, RATED[grouping], priors)
    return tables.without_amounts(tallied, columns)


def _stirring(tallied: Tally) -> npt.NDArray[np.bool_]:
    """The deals of which the window knows a communication, an order or the closing."""
    sums, number = tallied.sums["deal"], len(tallied.groups["deal"])
    seen = ("communications", "orders_seen", "won", "lost")
    return cast("npt.NDArray[np.bool_]", sum(sums.of(name, number) for name in seen) > 0)
