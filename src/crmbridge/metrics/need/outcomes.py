"""What became of each record: converted or won, closed without, or still open, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.arrays import moments
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import micros
from crmbridge.metrics.need.arrays import NEVER, UNKNOWN, Flags, Ints, pieces
from crmbridge.metrics.need.ids import Lookup
from crmbridge.model.records import ObjectName

_COLUMNS: dict[ObjectName, tuple[str, ...]] = {
    "lead": ("is_converted", "converted_at", "is_disqualified", "closed_at"),
    "deal": ("is_closed", "is_won", "closed_at", "stage"),
}


@dataclass(frozen=True)
class Outcomes:
    """One row per live record of the object, ordered by id.

    `created` and `end` are microseconds: `created` UNKNOWN where the source does not say, `end` NEVER for an
    open record and UNKNOWN for a closed one without a date. `positive` says how a closed record ended.
    """

    ids: pa.Array
    created: Ints
    end: Ints
    closed: Flags
    positive: Flags

    def __len__(self) -> int:
        return len(self.ids)


def read_outcomes(frame: Frame, object_name: ObjectName) -> Outcomes:
    """The outcomes of leads or deals as known at the frame's moment."""
    table = frame.table(object_name, ["id", "created_at", *_COLUMNS[object_name]])
    table = table.take(pc.sort_indices(_one(table, "id")))
    now = micros(frame.moment)
    closed, positive, end = _closing(object_name, table, now)
    ids = _one(table, "id")
    if object_name == "deal":
        end = _not_after_the_closing_stage(frame, ids, _one(table, "stage"), closed, end)
    if bool(np.any(closed & (end == UNKNOWN))):
        end = np.where(closed & (end == UNKNOWN), first_seen_closed(frame, object_name, ids), end)
    end = np.where(closed, np.minimum(end, now), NEVER)
    return Outcomes(ids, moments(_one(table, "created_at")), end, closed, positive & closed)


def _one(table: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    found = table[name]
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _flag(table: pa.Table | pa.RecordBatch, name: str) -> Flags:
    return np.asarray(_one(table, name).fill_null(False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def _closing(
    object_name: ObjectName, table: pa.Table | pa.RecordBatch, now: int
) -> tuple[Flags, Flags, Ints]:
    """Closed, positive, and when; without a date UNKNOWN."""
    closed_at = moments(_one(table, "closed_at"))
    dated = (closed_at != UNKNOWN) & (closed_at <= now)
    if object_name == "lead":
        positive = _flag(table, "is_converted")
        closed = positive | _flag(table, "is_disqualified") | dated
        converted_at = moments(_one(table, "converted_at"))
        return closed, positive, np.where(positive & (converted_at != UNKNOWN), converted_at, closed_at)
    positive = _flag(table, "is_won")
    unsaid = np.asarray(_one(table, "is_closed").is_null())
    return positive | _flag(table, "is_closed") | (unsaid & dated), positive, closed_at


def _not_after_the_closing_stage(
    frame: Frame, ids: pa.Array, stage: pa.Array, closed: Flags, end: Ints
) -> Ints:
    """A deal has ended when it first reached a stage that only closed deals are in, whatever its closing date
    says: else a snapshot between the two would see the outcome in its stage."""
    mask = pa.array(closed)
    ending = pc.unique(stage.filter(mask).drop_null())
    ending = ending.filter(pc.invert(pc.is_in(ending, value_set=pc.unique(stage.filter(pc.invert(mask))))))
    end, lookup = end.copy(), Lookup(ids)
    for slab in pieces(frame, "stage_change", ["deal_id", "to_stage", "at"]):
        slab = slab.filter(pc.is_in(slab["to_stage"], value_set=ending))
        row = lookup.rows(slab["deal_id"])
        at = moments(slab["at"])
        known = (row >= 0) & closed[row] & (at != UNKNOWN)
        known &= end[row] != UNKNOWN
        np.minimum.at(end, row[known], at[known])
    return end


def first_seen_closed(frame: Frame, object_name: ObjectName, ids: pa.Array) -> Ints:
    """When each record was first seen closed, if it had been seen open before; UNKNOWN otherwise."""
    first = np.full(len(ids), NEVER)
    first_closed = np.full(len(ids), NEVER)
    columns = ["id", "valid_from", *_COLUMNS[object_name]]
    lookup = Lookup(ids)
    for slab in pieces(frame, object_name, columns, versions=True):
        row = lookup.rows(slab["id"])
        since = moments(slab["valid_from"])
        closed, _, _ = _closing(object_name, slab, micros(frame.moment))
        known = (row >= 0) & (since != UNKNOWN)
        np.minimum.at(first, row[known], since[known])
        known &= closed
        np.minimum.at(first_closed, row[known], since[known])
    return np.where((first_closed != NEVER) & (first_closed > first), first_closed, UNKNOWN)
