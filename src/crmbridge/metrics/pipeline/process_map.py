"""The process as it is walked: stages as nodes, moves as edges, with rework, skips and changes of owner."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa

from crmbridge.metrics.arrays import UNKNOWN_MOMENT, Codes, Floats, Ids, Mask, moments, pieces, truths
from crmbridge.metrics.base import Frame
from crmbridge.metrics.pipeline.deals import Deals
from crmbridge.metrics.pipeline.stays import NOWHERE, Stays
from crmbridge.metrics.pipeline.times import quantiles

NODES: Final = pa.schema(
    [
        ("stage", pa.string()),
        ("place", pa.int64()),
        ("kind", pa.string()),
        ("deals", pa.int64()),
        ("visits", pa.int64()),
        ("returned", pa.int64()),
        ("open", pa.int64()),
        ("median_days", pa.float64()),
    ]
)
EDGES: Final = pa.schema(
    [
        ("from_stage", pa.string()),
        ("to_stage", pa.string()),
        ("kind", pa.string()),
        ("moves", pa.int64()),
        ("deals", pa.int64()),
        ("share", pa.float64()),
        ("median_days", pa.float64()),
    ]
)
OWNERS: Final = pa.schema(
    [
        ("owners", pa.string()),
        ("deals", pa.int64()),
        ("won", pa.int64()),
        ("lost", pa.int64()),
        ("win_rate", pa.float64()),
        ("median_days_to_close", pa.float64()),
    ]
)


def nodes(
    deals: Deals, stays: Stays, days: Floats, ended: Mask, stages: Sequence[str], order: Sequence[int]
) -> pa.Table:
    """One row per stage: its `place` on the way (null for ends), `kind` (stage, won, lost), how many `deals`
    were there in how many `visits`, how many came back to it (`returned`), how many are there now (`open`),
    and the median stay, those that go on as censored.
    """
    rows = []
    for stage in [*order, *_ends(stays, stages, order)]:
        there = np.flatnonzero(stays.stage == stage)
        known = there[np.isfinite(days[there])]
        visited, visits = np.unique(stays.deal[there], return_counts=True)
        standing = int((deals.open & (deals.stage == stage)).sum())
        of_way = stage in order
        rows.append(
            {
                "stage": stages[stage],
                "place": list(order).index(stage) + 1 if of_way else None,
                "kind": "stage" if of_way else _end_kind(deals, stage),
                "deals": len(visited),
                "visits": len(there),
                "returned": int((visits > 1).sum()),
                "open": standing,
                "median_days": quantiles(days[known], ended[known], (0.5,))[0] if of_way else None,
            }
        )
    return pa.Table.from_pylist(rows, NODES)


def edges(stays: Stays, days: Floats, stages: Sequence[str], order: Sequence[int]) -> pa.Table:
    """One row per move that was ever made: how often, by how many deals, its `share` of all moves out of
    `from_stage`, and the median stay before it.

    `kind`: forward (to the next stage), skip (over one or more), back, end (to a won or lost stage).
    """
    number = len(stages)
    moving = np.flatnonzero(stays.next_stage != NOWHERE)
    source, target = stays.stage[moving].astype(np.int64), stays.next_stage[moving].astype(np.int64)
    key = source * number + target
    place = {stage: position for position, stage in enumerate(order)}
    out = np.bincount(source, minlength=number)
    rows: list[dict[str, Any]] = []
    by_key = np.argsort(key, kind="stable")
    bounds = np.flatnonzero(np.diff(key[by_key], prepend=-1, append=-1))
    for start, end in pairwise(bounds.tolist()):
        chosen = by_key[start:end]
        one, other = int(source[chosen[0]]), int(target[chosen[0]])
        stayed = days[moving[chosen]]
        stayed = stayed[np.isfinite(stayed)]
        rows.append(
            {
                "from_stage": stages[one],
                "to_stage": stages[other],
                "kind": _move_kind(place.get(one), place.get(other)),
                "moves": len(chosen),
                "deals": len(np.unique(stays.deal[moving[chosen]])),
                "share": float(len(chosen) / out[one]),
                "median_days": float(np.median(stayed)) if len(stayed) else None,
            }
        )
    rows.sort(key=lambda row: (-row["moves"], row["from_stage"], row["to_stage"]))
    return pa.Table.from_pylist(rows, EDGES)


def owners(frame: Frame, deals: Deals) -> pa.Table:
    """What became of deals by how many owners they had, as far as the versions tell: 1, 2, 3 or more, and
    those that went back to an owner they had before (`there and back`).
    """
    had, back = _owners(frame, deals)
    took = deals.days_to_close(frame)
    groups = [("1", had == 1), ("2", had == 2), ("3 or more", had >= 3), ("there and back", back)]
    rows: list[dict[str, Any]] = []
    for name, rows_of in groups:
        won, lost = int((rows_of & deals.won).sum()), int((rows_of & deals.lost).sum())
        known = took[rows_of & np.isfinite(took)]
        rows.append(
            {
                "owners": name,
                "deals": int(rows_of.sum()),
                "won": won,
                "lost": lost,
                "win_rate": won / (won + lost) if won + lost else None,
                "median_days_to_close": float(np.median(known)) if len(known) else None,
            }
        )
    return pa.Table.from_pylist(rows, OWNERS)


def _owners(frame: Frame, deals: Deals) -> tuple[Codes, Mask]:
    """How many owners each deal had, and whether it went back to one it had before."""
    reps = Ids(pa.array([], pa.string()))
    found: list[tuple[Codes, Codes, Codes]] = []
    for piece in pieces(frame, "deal", ("id", "owner_id", "valid_from"), versions=True):
        deal, owner = deals.ids.find(piece["id"]), reps.number(piece["owner_id"])
        since = moments(piece["valid_from"])
        kept = (deal >= 0) & (owner >= 0) & truths(piece["id"].is_valid(), unknown=False)
        found.append((deal[kept], owner[kept], np.where(since == UNKNOWN_MOMENT, 0, since)[kept]))
    number = len(deals.ids)
    if not found:
        return np.zeros(number, np.int64), np.zeros(number, bool)
    deal, owner, since = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((since, deal))
    deal, owner = deal[order], owner[order]
    starts = np.ones(len(deal), bool)
    starts[1:] = (deal[1:] != deal[:-1]) | (owner[1:] != owner[:-1])
    spells = np.bincount(deal[starts], minlength=number)
    pairs = np.unique(deal * max(len(reps), 1) + owner)
    different = np.bincount(pairs // max(len(reps), 1), minlength=number)
    return different, spells > different


def _ends(stays: Stays, stages: Sequence[str], order: Sequence[int]) -> list[int]:
    walked = np.bincount(stays.stage[stays.stage >= 0], minlength=len(stages)) > 0
    return [stage for stage in range(len(stages)) if stage not in set(order) and walked[stage]]


def _end_kind(deals: Deals, stage: int) -> str:
    standing = deals.stage == stage
    return "won" if 2 * int((deals.won & standing).sum()) > int((~deals.open & standing).sum()) else "lost"


def _move_kind(source: int | None, target: int | None) -> str:
    if target is None:
        return "end"
    if source is None or target < source:
        return "back"
    return "forward" if target == source + 1 else "skip"
