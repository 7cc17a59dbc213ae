"""Reading: streams of record batches, as of a moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.errors import StoreError
from crmbridge.model.columns import ATTRIBUTE_PREFIX
from crmbridge.store.lake import content, files
from crmbridge.store.lake.arrays import Bools, Int64s
from crmbridge.store.lake.table import Table, microseconds
from crmbridge.store.ledger import Part

END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)
_HIDDEN: Final = frozenset({"key", "hash", "seq", "replaces"})
_NONE: Final = np.empty(0, dtype=np.int64)


def scan(table: Table, columns: Sequence[str], at: datetime) -> Iterator[pa.RecordBatch]:
    """The latest version of each record with valid_from <= at; deleted records are left out."""
    parts = _known_parts(table, at)
    yield from _stream(table, parts, columns, at, _replaced(table, parts, at))


def versions(table: Table, columns: Sequence[str], at: datetime) -> Iterator[pa.RecordBatch]:
    """Every version with valid_from <= at, of live and of deleted records; tombstones are left out."""
    yield from _stream(table, _known_parts(table, at), columns, at, _NONE)


def live_ids(table: Table) -> pa.Array:
    """The ids of all records that are not deleted, in no order."""
    found = [batch.column(0) for batch in scan(table, ["id"], END_OF_TIME)]
    return pa.concat_arrays(found) if found else pa.array([], pa.string())


def attribute_names(table: Table) -> list[str]:
    """The names of all attributes that any version has, sorted."""
    found: set[str] = set()
    for part in table.parts():
        found.update(files.read_schema(table.path(part)).names)
    return sorted(name.removeprefix(ATTRIBUTE_PREFIX) for name in found if name.startswith(ATTRIBUTE_PREFIX))


def history(table: Table, id: str) -> list[dict[str, Any]]:
    """All versions of one record, oldest first: its columns, `valid_from`, `seen_at` and `deleted`."""
    rows: list[dict[str, Any]] = []
    for part in table.parts():
        path = table.path(part)
        if holds(table, part, id):
            for batch in files.read(path):
                rows += batch.filter(pc.equal(batch.column("id"), id)).to_pylist()
    return [{name: value for name, value in row.items() if name not in _HIDDEN} for row in rows]


def holds(table: Table, part: Part, id: str) -> bool:
    """Whether the part has a version of the record. Keys are looked through first: they are read faster."""
    key = content.keys(pa.array([id]))[0]
    path = table.path(part)
    if not any((batch.column("key").to_numpy() == key).any() for batch in files.read(path, ["key"])):
        return False
    return any(pc.any(pc.equal(batch.column("id"), id)).as_py() for batch in files.read(path, ["id"]))


def _known_parts(table: Table, at: datetime) -> list[Part]:
    return [part for part in table.parts() if part.oldest <= at]


def _replaced(table: Table, parts: Sequence[Part], at: datetime) -> Int64s:
    """The seqs, sorted, of all versions that another one had replaced by `at`."""
    found = [_NONE]
    for part in parts:
        if part.updates:
            for batch in files.read(table.path(part), ["replaces", "valid_from"]):
                known = batch.filter(
                    pc.less_equal(batch.column("valid_from"), pa.scalar(at, batch["valid_from"].type))
                )
                found.append(known.column("replaces").drop_null().to_numpy())
    return np.sort(np.concatenate(found))


def _stream(
    table: Table, parts: Sequence[Part], columns: Sequence[str], at: datetime, replaced: Int64s
) -> Iterator[pa.RecordBatch]:
    """The parts' rows known at the moment, without tombstones and the replaced, in the columns asked for."""
    schema = table.schema(columns)
    for part in parts:
        start, end = np.searchsorted(replaced, [part.first_seq, part.last_seq + 1])
        gone = replaced[start:end]
        needed = {*columns, "seq"}
        if part.newest > at:
            needed.add("valid_from")
        if part.tombstones:
            needed.add("deleted")
        for batch in files.read(table.path(part), sorted(needed)):
            keep = np.ones(batch.num_rows, dtype=np.bool_)
            if len(gone):
                keep &= ~among(batch.column("seq").to_numpy(), gone)
            if part.newest > at:
                keep &= batch.column("valid_from").view(pa.int64()).to_numpy() <= microseconds(at)
            if part.tombstones:
                keep &= ~batch.column("deleted").to_numpy(zero_copy_only=False)
            if keep.any():
                rows = batch if keep.all() else batch.filter(pa.array(keep))
                yield _select(rows, schema, part.path)


def among(numbers: Int64s, ascending: Int64s) -> Bools:
    """Which numbers are among the sorted ones, of which there is at least one."""
    place = np.minimum(np.searchsorted(ascending, numbers), len(ascending) - 1)
    found: Bools = ascending[place] == numbers
    return found


def _select(rows: pa.RecordBatch, schema: pa.Schema, path: str) -> pa.RecordBatch:
    arrays = []
    for field in schema:
        place = rows.schema.get_field_index(field.name)
        if place < 0:
            arrays.append(pa.nulls(rows.num_rows, field.type))
            continue
        try:
            arrays.append(rows.column(place).cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise StoreError(
                f"{field.name} in {path} is of the type {rows.column(place).type}, elsewhere {field.type}.",
                remedy="Run `crmbridge score` again: it replaces what an older version computed.",
            ) from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
