"""The tables about the organisation: in all, by month, by group, and the ranking of each grouping."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.arrays import Ids
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import MONTHS, month_name
from crmbridge.metrics.efficiency import pooling
from crmbridge.metrics.efficiency.deals import one_array
from crmbridge.metrics.efficiency.ranking import surpassed, tiers
from crmbridge.metrics.efficiency.rates import (
    Columns,
    measure_columns,
    nullable,
    rate_columns,
    trend_columns,
)
from crmbridge.metrics.efficiency.sums import COUNT, KINDS, MEASURES, TIME, Kind
from crmbridge.metrics.efficiency.tally import Grouping, Tally


def by_id(ids: pa.Array) -> npt.NDArray[np.int64]:
    """The order of the ids, so that the order in which they were met does not matter."""
    order: npt.NDArray[np.int64] = np.argsort(ids.to_numpy(zero_copy_only=False).astype("U"), kind="stable")
    return order


def by_period(tallied: Tally) -> pa.Table:
    """The organisation month by month: rates on their own, with what they are made of."""
    monthly = {name: tallied.month.of(name, MONTHS) for name in MEASURES}
    filled = np.flatnonzero(sum((values > 0 for values in monthly.values()), np.zeros(MONTHS, bool)))
    measures = {name: values[filled] for name, values in monthly.items()}
    return _periods(tallied, [month_name(int(month)) for month in filled], measures)


def total(tallied: Tally) -> pa.Table:
    """The organisation in the window, with the trend, and over all time."""
    measures = {
        name: np.concatenate([tallied.window.of(name, 1), tallied.month.of(name, MONTHS).sum(keepdims=True)])
        for name in MEASURES
    }
    table = _periods(tallied, ["window", "all"], measures)
    for kind in KINDS:
        for name, column in trend_columns(tallied.window, kind, 1).items():
            table = table.append_column(name, pa.concat_arrays([column, pa.nulls(1, column.type)]))
    return table


def _periods(tallied: Tally, names: list[str], measures: dict[str, npt.NDArray[np.float64]]) -> pa.Table:
    known = np.where(measures["outcomes_known"] > 0, 1.0, 0.0)
    columns: Columns = {}
    for kind in KINDS:
        times = measures[TIME[kind]] * (known if kind == "communication" else 1.0)
        columns |= rate_columns(kind, pooling.raw(measures[COUNT[kind]], times))
    columns |= measure_columns(measures)
    return pa.table({"period": pa.array(names, pa.string())} | without_amounts(tallied, columns))


def without_amounts(tallied: Tally, columns: Columns) -> Columns:
    """The columns; amounts of several currencies do not add up to anything."""
    if not tallied.several_currencies:
        return columns
    nothing = {
        name: nullable(np.full(len(columns[name]), np.nan))
        for name in ("won_amount", "amount_per_hour")
        if name in columns
    }
    return columns | nothing


def named_reps(frame: Frame, ids: pa.Array, columns: Columns) -> pa.Table:
    """All reps that are known or were met as owners, by id, with their names."""
    records = frame.table("rep", ("id", "name")).combine_chunks()
    row = Ids(one_array(records, "id")).find(ids)
    names = one_array(records, "name").take(pa.array(row, mask=row < 0))
    return pa.table({"id": ids, "name": names} | columns).take(pa.array(by_id(ids)))


def places(columns: Columns, kinds: Iterable[Kind]) -> Columns:
    """Where each group stands, per efficiency: its tier, and how many it is better than; null without a rate.

    For groupings of which there are too many for a table that changes from its top every day.
    """
    found: Columns = {}
    for kind in kinds:
        field = f"{kind}_efficiency"
        rated = columns[field].is_valid()
        low, high = (columns[f"{field}_{end}"].filter(rated).to_numpy() for end in ("low", "high"))
        row = pc.subtract(pc.cumulative_sum(rated.cast(pa.int64())), 1)
        place = pc.if_else(rated, row, pa.scalar(None, pa.int64()))
        found[f"{kind}_tier"] = pa.array(tiers(low, high)).take(place)
        found[f"{kind}_better_than"] = pa.array(surpassed(low, high)).take(place)
    return found


def ranking(grouping: Grouping, groups: pa.Table, kinds: Iterable[Kind]) -> pa.Table:
    """Per efficiency, the groups (`id`, `name` and their rates) from the best on, in tiers between which no
    interval overlaps.
    """
    blocks = []
    for kind in kinds:
        field = f"{kind}_efficiency"
        rated = groups.filter(groups[field].is_valid())
        low, high = (rated[f"{field}_{end}"].to_numpy() for end in ("low", "high"))
        block = pa.table(
            {
                "grouping": pa.array([grouping] * len(rated), pa.string()),
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
