"""The pipeline metric: how long a deal has been in its stage, what is usual, whether it is stuck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypedDict, cast

import numpy as np
import pyarrow as pa
from pydantic import JsonValue

from crmbridge.metrics.arrays import UNKNOWN_MOMENT, Floats, Mask
from crmbridge.metrics.base import Frame, Metric, MetricSettings
from crmbridge.metrics.days import calendar_days, micros
from crmbridge.metrics.pipeline.bottleneck import bottlenecks
from crmbridge.metrics.pipeline.deals import Deals
from crmbridge.metrics.pipeline.process_map import edges, nodes, owners
from crmbridge.metrics.pipeline.stays import NOWHERE, Stays, last_stays, stage_order, stays
from crmbridge.metrics.pipeline.tables import deal_summary, funnel
from crmbridge.metrics.pipeline.times import lasted, quantiles
from crmbridge.model.fields import result_schema
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model, Results

FEWEST_STAYS: Final = 5
"""Completed stays a stage must have before something is called usual there."""
STUCK_QUANTILE: Final = 0.75


class StageTimes(TypedDict):
    """What is usual in a stage: None where fewer than FEWEST_STAYS stays have ended, or too few yet."""

    stays: int
    typical_days: float | None
    stuck_after: float | None


@dataclass(frozen=True)
class _Known:
    deals: Deals
    stays: Stays
    lasted: tuple[Floats, Mask]
    stages: list[str]
    order: list[int]


class PipelineMetric(Metric):
    """Days in the stage, days usual there, and stuck or not, for every open deal.

    `days_in_stage`: whole days of the zone since the change into the deal's stage, or since its creation.
    `typical_days`: days within which half of the deals have left that stage, those still there censored.
    `stuck`: three quarters had left by then (where a quarter never leaves: all that ever did), and longer
    than a day. Closed deals carry none of them. See docs/metrics-pipeline.md.
    """

    name: ClassVar[str] = "pipeline"
    objects: ClassVar[tuple[ObjectName, ...]] = ("deal",)
    needs: ClassVar[tuple[ObjectName, ...]] = ("deal", "stage_change")
    produces: ClassVar[tuple[str, ...]] = ("days_in_stage", "typical_days", "stuck")

    def __init__(self, settings: MetricSettings) -> None:
        super().__init__(settings)
        self._last: tuple[Frame, _Known] | None = None

    def fit(self, object_name: ObjectName, frame: Frame) -> Model:
        """Learn how long deals stay in each stage; `provisional` where too few stays were completed."""
        known = self._known(frame)
        days, ended = known.lasted
        times: dict[str, StageTimes] = {}
        for number in known.order:
            rows = np.isfinite(days) & (known.stays.stage == number)
            times[known.stages[number]] = _stage_times(days[rows], ended[rows])
        stages = cast("Mapping[str, JsonValue]", times)
        card: dict[str, JsonValue] = {
            "deals": len(known.deals.ids),
            "completed_stays": int((np.isfinite(days) & ended).sum()),
            "stage_order": [known.stages[number] for number in known.order],
            "fewest_stays": FEWEST_STAYS,
            "changed_before_creation": known.stays.out_of_order,
        }
        usual = any(stage["typical_days"] is not None for stage in times.values())
        return Model(
            metric=self.name,
            object=object_name,
            parameters={"stages": stages},
            card=card,
            provisional=not usual,
        )

    def apply(self, object_name: ObjectName, frame: Frame, model: Model) -> Results:
        """The three fields for every live deal (none for closed ones), the summary and the funnel."""
        known = self._known(frame)
        deals = known.deals
        usual = cast("Mapping[str, StageTimes]", model.parameters["stages"])
        days = _days_in_stage(frame, deals, known.stays)
        typical = _of_stage(deals, known.stages, usual, "typical_days")
        limit = np.maximum(_of_stage(deals, known.stages, usual, "stuck_after"), 1.0)
        judged = np.isfinite(days) & np.isfinite(limit)
        values = {
            "id": deals.ids.values,
            "days_in_stage": pa.array(days, mask=~np.isfinite(days)),
            "typical_days": pa.array(typical, mask=~np.isfinite(typical)),
            "stuck": pa.array(days > limit, mask=~judged),
        }
        last = last_stays(known.stays, len(known.stages))
        way = (known.stages, known.order)
        tables = {
            "deal_summary": deal_summary(frame, deals, *way),
            "funnel": funnel(deals, known.stays, last, *known.lasted, *way),
            "bottlenecks": bottlenecks(frame, deals, known.stays, *known.lasted, *way),
            "process_nodes": nodes(deals, known.stays, *known.lasted, *way),
            "process_edges": edges(known.stays, known.lasted[0], *way),
            "owners": owners(frame, deals),
        }
        types = result_schema(object_name, self.produces)
        return Results(
            object=object_name,
            values=pa.table({name: values[name] for name in types.names}, schema=types),
            tables=tables,
        )

    def _known(self, frame: Frame) -> _Known:
        """Deals and stays of a frame, made once for fitting and applying."""
        if self._last is None or self._last[0] is not frame:
            deals = Deals.of(frame)
            found = stays(frame, deals)
            stages = deals.stages.values.to_pylist()
            position = stage_order(found, len(stages))
            order = [
                number
                for number in sorted(range(len(stages)), key=lambda n: (position[n], stages[n]))
                if not deals.end_stages(len(stages))[number]
            ]
            self._last = (frame, _Known(deals, found, lasted(frame, deals, found), stages, order))
        return self._last[1]


def _stage_times(days: Floats, ended: Mask) -> StageTimes:
    number = int(ended.sum())
    if number < FEWEST_STAYS:
        return {"stays": number, "typical_days": None, "stuck_after": None}
    middle, late = quantiles(days, ended, (0.5, STUCK_QUANTILE))
    longest = float(days[ended].max())
    return {"stays": number, "typical_days": middle, "stuck_after": longest if late is None else late}


def _days_in_stage(frame: Frame, deals: Deals, stays: Stays) -> Floats:
    """Whole days each open deal has been in its stage; NaN where its history contradicts it."""
    now = stays.next_stage == NOWHERE
    deal, since = stays.deal[now], stays.since[now]
    agrees: Mask = (deals.stage[deal] == stays.stage[now]) | (deals.stage[deal] == NOWHERE)
    sure = deals.open[deal] & agrees & (since != UNKNOWN_MOMENT) & (since <= micros(frame.moment))
    days = np.full(len(deals.ids), np.nan)
    today = calendar_days(np.array([micros(frame.moment)]), frame.zone)[0]
    days[deal[sure]] = today - calendar_days(since[sure], frame.zone)
    return days


def _of_stage(
    deals: Deals,
    stages: list[str],
    usual: Mapping[str, StageTimes],
    key: Literal["typical_days", "stuck_after"],
) -> Floats:
    """The stage's figure for each open deal; NaN where there is none."""
    found = [usual[name][key] if name in usual else None for name in stages]
    per_stage = np.array([np.nan if value is None else value for value in found] + [np.nan])
    return np.where(deals.open, per_stage[deals.stage], np.nan)
