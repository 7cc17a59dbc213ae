"""The efficiency metric: E, R and O per rep and per account, pooled, with intervals and coverage."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import JsonValue

from crmbridge.metrics.arrays import Floats, Ids
from crmbridge.metrics.base import Frame, Metric, MetricSettings
from crmbridge.metrics.days import MONTHS, month_name
from crmbridge.metrics.efficiency import pooling
from crmbridge.metrics.efficiency.pooling import Prior, Rates
from crmbridge.metrics.efficiency.ranking import surpassed, tiers
from crmbridge.metrics.efficiency.tally import COUNT, KINDS, MEASURES, TIME, Kind, Sums, Tally, tally
from crmbridge.model.fields import result_schema
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model, Results

TYPICAL: Final[Mapping[Kind, float]] = MappingProxyType(
    {"communication": 1.0, "follow_up": 0.1, "order": 0.2}
)
"""Rates of the right order of magnitude: outcomes per hour, deals per hour, orders per processing day."""
UNIT: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "communication": "positive outcomes per hour",
        "follow_up": "deals won per hour",
        "order": "orders per processing day",
    }
)


class EfficiencyMetric(Metric):
    """Communication efficiency E = C / T, follow-up efficiency R = S / T, order efficiency O = N / T.

    Over the `window_days` whole days before the moment. E: communications with a positive outcome whose time
    was measured, per hour of all measured ones. R: deals won per hour spent on the deals won and lost, from
    their first communication on. O: orders fulfilled per day from ordered to fulfilled. Fields carry the rate
    partially pooled over the peers (see `pooling`), with its 90 % interval; the details carry the rate on its
    own. No time, no rate: None. See docs/metrics-efficiency.md.
    """

    name: ClassVar[str] = "efficiency"
    objects: ClassVar[tuple[ObjectName, ...]] = ("rep", "account")
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
        owner = _owner(object_name)
        tallied = self._tally(frame)
        ids, sums = _of_owner(tallied, owner)
        order = _by_id(ids)
        parameters: dict[str, JsonValue] = {}
        card: dict[str, JsonValue] = {
            "window_days": self.settings.window_days,
            "from": tallied.start.isoformat(),
            "to": tallied.end.isoformat(),
            "left_out": dict(tallied.left_out),
        }
        for kind in KINDS:
            counts, times = (values[order] for values in _rate_parts(sums, kind, len(ids)))
            prior = pooling.fit_prior(counts, times, TYPICAL[kind])
            if prior is None:
                card[kind] = {"peers": 0, "note": "nobody has any measured time in the window"}
                continue
            parameters[kind] = cast("JsonValue", prior.to_rows())
            card[kind] = {
                "unit": UNIT[kind],
                "peers": int((times > 0).sum()),
                "events": int(counts[times > 0].sum()),
                "time": float(times.sum()),
                "typical": prior.mean,
                "spread_between_peers": prior.spread,
            }
        return Model(
            metric=self.name, object=object_name, parameters=parameters, card=card, provisional=not parameters
        )

    def apply(self, object_name: ObjectName, frame: Frame, model: Model) -> Results:
        """The rates of every live rep or account, and the organisation's."""
        owner = _owner(object_name)
        tallied = self._tally(frame)
        ids, sums = _of_owner(tallied, owner)
        number = len(ids)
        columns: dict[str, Floats] = {}
        for kind in KINDS:
            counts, times = _rate_parts(sums, kind, number)
            rows = model.parameters.get(kind)
            rates = _nothing(number)
            if rows is not None:
                rates = pooling.pooled(Prior.from_rows(cast("list[list[float]]", rows)), counts, times)
            columns |= _named(f"{kind}_efficiency", rates)
            columns[f"{kind}_raw"] = pooling.raw(counts, times).rate
        columns |= {name: sums.of(name, number) for name in MEASURES}
        columns |= _shares(columns)

        live = frame.table(object_name, ("id",))["id"].combine_chunks()
        rows_of_live = Ids(ids).find(live)
        types = result_schema(object_name, self.produces)
        values = {name: _nullable(columns[name][rows_of_live]) for name in types.names if name != "id"}
        details = {
            name: _nullable(column[rows_of_live]) for name, column in columns.items() if name not in values
        }
        tables = {
            "efficiency_total": _organisation(tallied, ("window", "all")),
            "efficiency_by_period": _organisation(tallied, ("month",)),
        }
        if owner == "rep":
            everybody = _everybody(frame, ids, columns)
            tables |= {"efficiency_by_rep": everybody, "ranking": _ranking(everybody)}
        return Results(
            object=object_name,
            values=pa.table({"id": live, **values}, schema=types),
            details=pa.table(details),
            tables=tables,
        )

    def _tally(self, frame: Frame) -> Tally:
        """The sums of a frame, made once however many objects are fitted and applied on it."""
        if self._last is None or self._last[0] is not frame:
            self._last = (frame, tally(frame, self.settings.window_days))
        return self._last[1]


Owner = Literal["rep", "account"]


def _owner(object_name: ObjectName) -> Owner:
    if object_name not in ("rep", "account"):
        raise ValueError(f"efficiency is measured per rep and per account, not per {object_name}")
    return object_name


def _of_owner(tallied: Tally, owner: Owner) -> tuple[pa.Array, Sums]:
    return (tallied.reps, tallied.rep) if owner == "rep" else (tallied.accounts, tallied.account)


def _by_id(ids: pa.Array) -> npt.NDArray[np.int64]:
    """The order of the ids, so that the order in which they were met does not matter."""
    order: npt.NDArray[np.int64] = np.argsort(ids.to_numpy(zero_copy_only=False).astype("U"), kind="stable")
    return order


def _rate_parts(sums: Sums, kind: Kind, number: int) -> tuple[Floats, Floats]:
    """Events and time of each. Where no outcome at all was logged, its communications say nothing about E."""
    counts, times = sums.of(COUNT[kind], number), sums.of(TIME[kind], number)
    if kind == "communication":
        times = np.where(sums.of("outcomes_known", number) > 0, times, 0.0)
        counts = np.where(times > 0, counts, 0.0)
    return counts, times


def _nothing(number: int) -> Rates:
    return Rates(*(np.full(number, np.nan) for _ in range(3)))


def _named(name: str, rates: Rates) -> dict[str, Floats]:
    return {name: rates.rate, f"{name}_low": rates.low, f"{name}_high": rates.high}


def _ratio(above: Floats, below: Floats) -> Floats:
    """above / below; NaN where there is nothing below."""
    some = below > 0
    return np.where(some, above / np.where(some, below, 1.0), np.nan)


def _shares(columns: Mapping[str, Floats]) -> dict[str, Floats]:
    """Coverages, and the amount won per hour beside the number of deals."""
    return {
        "time_coverage": _ratio(columns["measured"], columns["communications"]),
        "follow_up_coverage": _ratio(columns["followed"], columns["won"] + columns["lost"]),
        "amount_per_hour": _ratio(columns["won_amount"], columns["follow_up_hours"]),
    }


def _nullable(column: Floats) -> pa.Array:
    return pa.array(column, pa.float64(), mask=np.isnan(column))


def _organisation(tallied: Tally, periods: tuple[str, ...]) -> pa.Table:
    """One row per period: the rates of the organisation on their own, and what they are made of."""
    names: list[str] = []
    blocks: list[dict[str, Floats]] = []
    for period in periods:
        if period == "window":
            names.append("window")
            blocks.append({name: tallied.window.of(name, 1) for name in MEASURES})
            continue
        monthly = {name: tallied.month.of(name, MONTHS) for name in MEASURES}
        if period == "all":
            names.append("all")
            blocks.append({name: values.sum(keepdims=True) for name, values in monthly.items()})
            continue
        filled = np.flatnonzero(sum((values > 0 for values in monthly.values()), np.zeros(MONTHS, bool)))
        names += [month_name(int(month)) for month in filled]
        blocks.append({name: values[filled] for name, values in monthly.items()})
    measures = {name: np.concatenate([block[name] for block in blocks]) for name in MEASURES}
    known = np.where(measures["outcomes_known"] > 0, 1.0, 0.0)
    columns: dict[str, Floats] = {}
    for kind in KINDS:
        times = measures[TIME[kind]] * (known if kind == "communication" else 1.0)
        columns |= _named(f"{kind}_efficiency", pooling.raw(measures[COUNT[kind]], times))
    columns |= measures | _shares(measures)
    if tallied.several_currencies:
        columns |= {name: np.full(len(names), np.nan) for name in ("won_amount", "amount_per_hour")}
    return pa.table(
        {"period": pa.array(names, pa.string())}
        | {name: _nullable(column) for name, column in columns.items()}
    )


def _everybody(frame: Frame, ids: pa.Array, columns: Mapping[str, Floats]) -> pa.Table:
    """All reps that are known or were seen as owners, by id, with their names."""
    reps = frame.table("rep", ("id", "name")).combine_chunks()
    row = Ids(reps["id"].combine_chunks()).find(ids)
    names = reps["name"].combine_chunks().take(pa.array(row, mask=row < 0))
    measures = {name: _nullable(column) for name, column in columns.items()}
    return pa.table({"id": ids, "name": names} | measures).take(pa.array(_by_id(ids)))


def _ranking(everybody: pa.Table) -> pa.Table:
    """Per efficiency, the reps from the best on, in tiers between which no interval overlaps."""
    blocks = []
    for kind in KINDS:
        field = f"{kind}_efficiency"
        rated = everybody.filter(everybody[field].is_valid())
        low, high = (rated[f"{field}_{end}"].to_numpy() for end in ("low", "high"))
        block = pa.table(
            {
                "efficiency": pa.array([kind] * len(rated), pa.string()),
                "tier": pa.array(tiers(low, high)),
                "id": rated["id"],
                "name": rated["name"],
                "rate": rated[field],
                "low": rated[f"{field}_low"],
                "high": rated[f"{field}_high"],
                "better_than": pa.array(surpassed(low, high)),
            }
        )
        blocks.append(block.sort_by([("tier", "ascending"), ("rate", "descending"), ("id", "ascending")]))
    return pa.concat_tables(blocks)
