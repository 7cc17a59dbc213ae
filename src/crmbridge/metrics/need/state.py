"""The state of records as of moments: which version was in force, and its fields as raw inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from crmbridge.metrics.arrays import moments
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import DAY
from crmbridge.metrics.need.arrays import NEVER, UNKNOWN, ByRecord, Flags, Ints, pieces
from crmbridge.metrics.need.columns import Column, ColumnReader
from crmbridge.metrics.need.ids import Lookup
from crmbridge.model.columns import ATTRIBUTE_PREFIX
from crmbridge.model.records import ObjectName

_LATER = NEVER - 1
"""The start of a version that does not say since when it holds: after everything."""


@dataclass(frozen=True)
class State:
    """Columns by name, one row per case; `assumed` marks cases older than the record's first version: their
    values are those of that version, which is certain only for fields that never change."""

    columns: Mapping[str, Column]
    assumed: Flags


def read_now(
    frame: Frame,
    object_name: ObjectName,
    ids: pa.Array,
    names: Sequence[str],
    known: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Column]:
    """The fields of these records as they stand. `known`: the levels of a fitted model, by column."""
    readers, lookup = _readers(names, len(ids), known), Lookup(ids)
    for slab in pieces(frame, object_name, ["id", *names]):
        row = lookup.rows(slab["id"])
        _put(readers, slab, np.flatnonzero(row >= 0), row[row >= 0])
    return {name: reader.finish() for name, reader in readers.items()}


def read_as_of(
    frame: Frame,
    object_name: ObjectName,
    ids: pa.Array,
    record: Ints,
    moment: Ints,
    names: Sequence[str],
    ended: Ints | None = None,
) -> State:
    """The fields as of each case's moment. Cases (`record` the row in `ids`, -1 for none) may come in any
    order.

    A first version that was seen within a day of the moment counts as in force: between two pulls nobody
    looks; unless the record had ended by then (`ended`, per case, in microseconds)."""
    order, lookup = np.lexsort((moment, record)), Lookup(ids)
    first = np.full(len(ids), NEVER)
    cases = ByRecord(record[order], len(ids))
    stamp = moment[order]
    in_force = np.full(len(record), UNKNOWN)
    for slab in pieces(frame, object_name, ["id", "valid_from"], versions=True):
        row = lookup.rows(slab["id"])
        since = _since(slab)
        seen = row >= 0
        np.minimum.at(first, row[seen], since[seen])
        for positions, case in cases.of(row):
            held = since[positions] <= stamp[case]
            np.maximum.at(in_force, case[held], since[positions][held])
    has_record = record[order] >= 0
    of_first = np.where(has_record, first[record[order]], NEVER) if len(ids) else np.full(len(record), NEVER)
    before = in_force == UNKNOWN
    assumed = before & ((of_first > stamp + DAY) | ~has_record)
    if ended is not None:
        assumed |= before & (of_first >= ended[order])
    chosen = np.where(before, of_first, in_force)

    # Cases of one record that see the same version share a row.
    starts = np.ones(len(record), np.bool_)
    starts[1:] = (np.diff(record[order]) != 0) | (np.diff(chosen) != 0)
    row_of_case = np.cumsum(starts) - 1
    firsts = np.flatnonzero(starts)
    rows = ByRecord(record[order][firsts], len(ids))
    version = chosen[firsts]
    readers = _readers(names, len(firsts), None)
    for slab in pieces(frame, object_name, ["id", "valid_from", *names], versions=True):
        row = lookup.rows(slab["id"])
        since = _since(slab)
        for positions, target in rows.of(row):
            same = since[positions] == version[target]
            _put(readers, slab, positions[same], target[same])
    back = np.empty(len(record), np.int64)
    back[order] = row_of_case
    unordered = np.empty(len(record), np.bool_)
    unordered[order] = assumed
    return State({name: reader.finish().take(back) for name, reader in readers.items()}, unordered)


def _since(versions: pa.RecordBatch) -> Ints:
    since = moments(versions["valid_from"])
    return np.where(since == UNKNOWN, _LATER, since)


def _readers(
    names: Sequence[str], rows: int, known: Mapping[str, Sequence[str]] | None
) -> dict[str, ColumnReader]:
    return {
        name: ColumnReader(
            name,
            rows,
            tagged=name.startswith(ATTRIBUTE_PREFIX),
            known=None if known is None else known.get(name, ()),
        )
        for name in names
    }


def _put(readers: Mapping[str, ColumnReader], slab: pa.RecordBatch, positions: Ints, rows: Ints) -> None:
    every = len(positions) == slab.num_rows
    for name, reader in readers.items():
        reader.put(rows, slab[name] if every else slab[name].take(pa.array(positions)))
