"""How the groups are made up, how they changed, and the customers to call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crmbridge.metrics.arrays import Floats, Ids, Mask
from crmbridge.metrics.base import Frame
from crmbridge.metrics.segments.tally import Standing

Names = npt.NDArray[np.object_]

SHOWN: Final = 100
"""Slipping customers that are listed, those who spent most first."""


def overview(now: Standing, names: Names) -> pa.Table:
    """One row per group, the one that spent most first: its customers, and what they are like."""
    rows = []
    total = float(np.nansum(now.spent))
    for name in sorted({name for name in names.tolist() if name is not None}):
        own = names == name
        known = now.spent[own][np.isfinite(now.spent[own])]
        spent = float(known.sum())
        rows.append(
            {
                "segment": name,
                "customers": int(own.sum()),
                "share": float(own.mean()),
                "orders": int(now.orders[own].sum()),
                "spent": spent if len(known) else None,
                "share_of_spent": spent / total if total > 0 and len(known) else None,
                "median_days_since_order": float(np.median(now.quiet[own])),
                "median_orders": float(np.median(now.orders[own])),
                "median_spent": float(np.median(known)) if len(known) else None,
            }
        )
    rows.sort(key=lambda row: (-(row["spent"] or 0.0), row["segment"]))
    return pa.Table.from_pylist(rows, _OVERVIEW)


def movement(before: Standing, then: Names, now: Standing, names: Names, new: str) -> pa.Table:
    """How many customers went from which group to which between two days; `new` is who had not ordered.

    Nothing where there are no groups.
    """
    if any(name is None for name in names.tolist()):
        return _MOVEMENT.empty_table()
    kinds, number = np.unique([*then.tolist(), *names.tolist(), new], return_inverse=True)
    former = np.full(int(now.customer.max(initial=0)) + 1, number[-1])
    former[before.customer] = number[: len(then)]
    pairs, counts = np.unique(
        np.stack([former[now.customer], number[len(then) : -1]]), axis=1, return_counts=True
    )
    rows = [
        {
            "from_segment": kinds[start],
            "to_segment": kinds[end],
            "customers": count,
            "days": now.day - before.day,
        }
        for start, end, count in zip(*pairs.tolist(), counts.tolist(), strict=True)
    ]
    return pa.Table.from_pylist(rows, _MOVEMENT)


def over_time(standings: Sequence[Standing], names: Sequence[Names]) -> pa.Table:
    """The customers of each group as of each day, oldest first."""
    rows = []
    for standing, own in zip(standings, names, strict=True):
        found, counts = np.unique([name for name in own.tolist() if name is not None], return_counts=True)
        day = np.datetime64(standing.day, "D").item()
        rows += [
            {"day": day, "segment": str(name), "customers": int(number)}
            for name, number in zip(found, counts, strict=True)
        ]
    return pa.Table.from_pylist(rows, _OVER_TIME)


def slipping_customers(frame: Frame, ids: pa.Array, now: Standing, chance: Floats, rows: Mask) -> pa.Table:
    """The customers slipping away who spent most, with their own rhythm."""
    found = np.flatnonzero(rows)
    named = frame.table("account", ("id", "name")).combine_chunks()
    own = ids.take(pa.array(now.customer[found]))
    place = Ids(named["id"].combine_chunks()).find(own)
    usual = (now.last - now.first)[found] / np.maximum(now.orders[found] - 1, 1)
    spent = now.spent[found]
    table = pa.table(
        {
            "id": own,
            "name": named["name"].combine_chunks().take(pa.array(place, mask=place < 0)),
            "orders": pa.array(now.orders[found], pa.int64()),
            "spent": pa.array(spent, pa.float64(), mask=~np.isfinite(spent)),
            "days_since_order": pa.array(now.quiet[found]),
            "usual_days": pa.array(usual),
            "pause_chance": pa.array(chance[found]),
        }
    )
    return table.sort_by([("spent", "descending"), ("id", "ascending")]).slice(0, SHOWN)


_OVERVIEW: Final = pa.schema(
    [
        ("segment", pa.string()),
        ("customers", pa.int64()),
        ("share", pa.float64()),
        ("orders", pa.int64()),
        ("spent", pa.float64()),
        ("share_of_spent", pa.float64()),
        ("median_days_since_order", pa.float64()),
        ("median_orders", pa.float64()),
        ("median_spent", pa.float64()),
    ]
)
_MOVEMENT: Final = pa.schema(
    [
        ("from_segment", pa.string()),
        ("to_segment", pa.string()),
        ("customers", pa.int64()),
        ("days", pa.int64()),
    ]
)
_OVER_TIME: Final = pa.schema([("day", pa.date32()), ("segment", pa.string()), ("customers", pa.int64())])
