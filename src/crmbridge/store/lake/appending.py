"""Appending: from a page of records to a registered part with what is new in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import JsonValue

from crmbridge.store.lake import content, files
from crmbridge.store.lake.arrays import Int64s
from crmbridge.store.lake.changes import NEVER, Changes, find_changes
from crmbridge.store.lake.index import Index
from crmbridge.store.lake.table import MOMENT, SYSTEM, Table, microseconds, moment
from crmbridge.store.ledger import Part, PartsState, SetAsideRow

MODIFIED: Final = "modified_at"


@dataclass(frozen=True)
class Appended:
    """What a page brought: records never seen before, changed (or restored), unchanged, and deleted ones."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0

    def __add__(self, other: Appended) -> Appended:
        return Appended(
            self.new + other.new,
            self.changed + other.changed,
            self.unchanged + other.unchanged,
            self.deleted + other.deleted,
        )


class Appender:
    """Appends to one table, and remembers the latest versions between pages."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._index = Index()
        self._state: PartsState | None = None

    def append(
        self,
        rows: pa.Table,
        *,
        run: int,
        seen_at: datetime,
        cursor: Mapping[str, JsonValue] | None,
        deleted: Sequence[str],
        set_aside: Sequence[SetAsideRow],
        stamps: Collection[str],
    ) -> Appended:
        """See `Lake.append`."""
        part, changes = None, None
        if rows.num_rows or deleted:
            state = self._up_to_date()
            rows = tidy(rows, self.table.own_schema())
            gone = pa.array(dict.fromkeys(deleted), pa.string())
            changes, hashes = self._compare(rows, gone, microseconds(seen_at), state.last_seq + 1, stamps)
            if len(changes.seq):
                part = self._write(rows, gone, changes, hashes, seen_at, run, state.last_number + 1)
        registered = None
        if part is not None or cursor is not None or set_aside:
            registered = self.table.ledger.register(
                self.table.connection, self.table.object, run, part=part, cursor=cursor, set_aside=set_aside
            )
        if changes is None:
            return Appended()
        if part is not None and registered is not None:
            self._index.put(changes.keys, changes.content, changes.valid_from, changes.seq)
            self._state = PartsState(
                state.count + 1, registered, part.number, part.last_seq, state.live + part.live
            )
        return Appended(changes.new, changes.changed, changes.unchanged, changes.deleted)

    def index(self) -> Index:
        """The latest version of every record, deleted ones included, as it is now."""
        self._up_to_date()
        return self._index

    def _up_to_date(self) -> PartsState:
        """The parts' state now; the index is read anew where another process has changed them since."""
        state = self.table.ledger.parts_state(self.table.connection, self.table.object)
        if state != self._state:
            self._index, self._state = Index(), None
            for part in self.table.parts():
                names = ("key", "hash", "valid_from", "seq", "deleted")
                for batch in files.read(self.table.path(part), names):
                    numbers = content.content_numbers(batch.column("hash"))
                    numbers[batch.column("deleted").to_numpy(zero_copy_only=False)] = 0
                    self._index.put(
                        batch.column("key").to_numpy(),
                        numbers,
                        batch.column("valid_from").view(pa.int64()).to_numpy(),
                        batch.column("seq").to_numpy(),
                    )
            self._state = state
        return state

    def _compare(
        self, rows: pa.Table, gone: pa.Array, seen: int, first_seq: int, stamps: Collection[str]
    ) -> tuple[Changes, pa.Array]:
        hashes = content.digests(rows, leave_out={MODIFIED, *stamps})
        nothing = np.zeros(len(gone), dtype=np.int64)
        changes = find_changes(
            self._index,
            np.concatenate((content.keys(rows.column("id")), content.keys(gone))),
            np.concatenate((content.content_numbers(hashes), nothing)),
            np.concatenate((_modified(rows), nothing + NEVER)),
            seen=seen,
            first_seq=first_seq,
        )
        return changes, hashes

    def _write(
        self,
        rows: pa.Table,
        gone: pa.Array,
        changes: Changes,
        hashes: pa.Array,
        seen_at: datetime,
        run: int,
        number: int,
    ) -> Part:
        table, count = self.table, len(changes.seq)
        keep, keep_gone = changes.write[: rows.num_rows], changes.write[rows.num_rows :]
        hashes = pc.fill_null(
            pa.concat_arrays([hashes.filter(pa.array(keep)), pa.nulls(keep_gone.sum(), hashes.type)]),
            bytes(16),
        )
        if not keep.all():
            rows = rows.filter(pa.array(keep))
        if keep_gone.any():
            tombstones = pa.table({"id": gone.filter(pa.array(keep_gone))})
            rows = pa.concat_tables([rows, tombstones], promote_options="default")
        system = [
            pa.array(changes.keys),
            hashes,
            pa.array(changes.valid_from).view(MOMENT),
            pa.repeat(pa.scalar(seen_at, MOMENT), count),
            pa.array(changes.content == 0),
            pa.array(changes.seq),
            pa.array(changes.replaces, mask=changes.replaces == NEVER),
        ]
        for field, values in zip(SYSTEM, system, strict=True):
            rows = rows.append_column(field, values)
        part = Part(
            connection=table.connection,
            object=table.object,
            number=number,
            path=table.new_path(number),
            rows=count,
            updates=int((changes.replaces != NEVER).sum()),
            tombstones=changes.deleted,
            live=changes.live,
            first_seq=int(changes.seq[0]),
            last_seq=int(changes.seq[-1]),
            oldest=moment(int(changes.valid_from.min())),
            newest=moment(int(changes.valid_from.max())),
            bytes=0,
            run=run,
        )
        size = files.write(table.path(part), rows.schema, [rows])
        return replace(part, bytes=size, digest=files.digest(table.path(part)))


def tidy(rows: pa.Table, own: pa.Schema) -> pa.Table:
    """The rows in the types the lake keeps, without columns that are null throughout.

    Raises ValueError if the ids are missing or a column has a name of the lake's own.
    """
    if "id" not in rows.column_names:
        raise ValueError("records in the lake need an id")
    names, arrays = [], []
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if name in SYSTEM.names:
            raise ValueError(f"the column {name} is the lake's own")
        if name == "id" and column.null_count:
            raise ValueError("a record has no id")
        if name == "id" or column.null_count < len(column):
            names.append(name)
            arrays.append(
                column.cast(_stored_type(own.field(name).type if name in own.names else column.type))
            )
    return pa.table(arrays, names=names)


def _stored_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return MOMENT if pa.types.is_timestamp(kind) else kind


def _modified(rows: pa.Table) -> Int64s:
    if MODIFIED not in rows.column_names:
        return np.full(rows.num_rows, NEVER, dtype=np.int64)
    moments = rows.column(MODIFIED).combine_chunks().view(pa.int64())
    return np.asarray(pc.fill_null(moments, NEVER).to_numpy())
