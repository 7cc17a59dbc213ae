"""Upkeep: few files, no strays, nothing of who asked to be forgotten, and a look whether all is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.errors import StoreError
from crmbridge.store.lake import files, reading
from crmbridge.store.lake.table import Table, moment
from crmbridge.store.ledger import Part


def compact(table: Table, *, at_least: int, small: int, largest: int) -> int:
    """Merge runs of `at_least` or more neighbouring parts of fewer than `small` rows each.

    A merged part has at most `largest` rows. Every version stays, with its seq and moments, so all reading
    gives what it gave before. Returns by how many parts there are fewer.
    """
    state = table.ledger.parts_state(table.connection, table.object)
    number, old, new = state.last_number, [], []
    for is_small, neighbours in groupby(table.parts(), key=lambda part: part.rows < small):
        run = list(neighbours)
        if not is_small or len(run) < at_least:
            continue
        for group, schema in _groups(table, run, largest):
            if len(group) > 1:
                number += 1
                old += group
                new.append(_merged(table, group, schema, number))
    exchange(table, old, new)
    return len(old) - len(new)


def forget(table: Table, id: str, column: str = "id") -> int:
    """Rewrite the parts without the record's versions, and those that replaced them; returns how many went.

    `column` names the record; where it is not `id`, a row that holds the record goes with all its versions.
    """
    if column != "id":
        return sum(forget(table, row) for row in _rows_with(table, column, id))
    number = table.ledger.parts_state(table.connection, table.object).last_number
    old, new, gone, was_live = [], [], 0, False
    for part in table.parts():
        if not reading.holds(table, part, id):
            continue
        path, live, removed = table.path(part), part.live, 0
        for batch in files.read(path, ["id", "deleted"]):
            for deleted in batch.filter(pc.equal(batch["id"], id))["deleted"].to_pylist():
                live -= (not deleted) - was_live
                was_live, removed = not deleted, removed + 1
        gone += removed
        old.append(part)
        if removed < part.rows:
            number += 1
            batches = (batch.filter(pc.not_equal(batch["id"], id)) for batch in files.read(path))
            new.append(
                rewritten(table, files.read_schema(path), batches, replace(part, number=number, live=live))
            )
    exchange(table, old, new)
    return gone


def _rows_with(table: Table, column: str, id: str) -> list[str]:
    found: set[str] = set()
    for part in table.parts():
        for batch in files.read(table.path(part), ["id", column]):
            if column in batch.schema.names and pa.types.is_string(batch.schema.field(column).type):
                found.update(batch.filter(pc.equal(batch[column], id))["id"].to_pylist())
    return sorted(found)


def strays(root: Path, connection: str, files_found: Sequence[Path], registered: Sequence[str]) -> list[Path]:
    """Of the connection's files that bear a part's name those that are not registered: what a kill left.

    Raises StoreError where that can't be how they came to be: a registered part is gone, or none is
    registered and there are several (the first is registered before the second is written).
    """
    found = {path.relative_to(root).as_posix(): path for path in files_found}
    gone = set(registered) - found.keys()
    if gone:
        raise StoreError(
            f"{len(gone)} of the {len(registered)} parts of the lake are gone, such as {root / min(gone)}.",
            remedy="Restore them from a backup, or give the connection another name in the settings to start "
            "anew.",
        )
    left = [path for name, path in found.items() if name not in set(registered)]
    whole = [path for path in left if files.is_whole(path)]
    if not registered and len(whole) > 1:
        raise StoreError(
            f"There are {len(whole)} parts in {root / connection} that the ledger knows nothing of.",
            remedy="Restore the ledger they belong to, or name it under [store]. To start anew, move the "
            "folder away.",
        )
    return left


def problems(root: Path, parts: Sequence[Part]) -> list[str]:
    """A sentence for every registered part that is not there, not readable, or not as it was registered."""
    found = []
    for part in parts:
        try:
            rows = files.count_rows(root / part.path)
        except StoreError as error:
            found.append(str(error))
            continue
        size = (root / part.path).stat().st_size
        if (rows, size) != (part.rows, part.bytes):
            found.append(
                f"{part.path} has {rows} rows in {size} bytes; registered were {part.rows} in {part.bytes}."
            )
        elif part.digest is not None and files.digest(root / part.path) != part.digest:
            found.append(f"{part.path} is not what was written: its hash differs.")
    return found


def _groups(table: Table, run: Sequence[Part], largest: int) -> Iterator[tuple[list[Part], pa.Schema]]:
    """Neighbours that fit into one part together, and the columns of all of them."""
    group: list[Part] = []
    united = pa.schema([])
    for part in run:
        schema = files.read_schema(table.path(part))
        together = _unite(united, schema)
        if group and (together is None or sum(one.rows for one in group) + part.rows > largest):
            yield group, united
            group, together = [], schema
        group.append(part)
        united = together
    if group:
        yield group, united


def _unite(one: pa.Schema, other: pa.Schema) -> pa.Schema | None:
    """All columns of both; None where a derived table's column once had quite another type."""
    try:
        return pa.unify_schemas([one, other], promote_options="permissive")
    except pa.ArrowTypeError:
        return None


def _merged(table: Table, group: Sequence[Part], schema: pa.Schema, number: int) -> Part:
    batches = (batch for part in group for batch in files.read(table.path(part)))
    part = replace(group[-1], number=number, live=sum(part.live for part in group))
    return rewritten(table, schema, batches, part)


def rewritten(table: Table, schema: pa.Schema, batches: Iterable[pa.RecordBatch], part: Part) -> Part:
    """Write the batches as the part of this number, with what can be counted from them."""
    rows = updates = tombstones = 0
    seqs: list[int] = []
    moments: list[int] = []

    def counted() -> Iterator[pa.Table]:
        nonlocal rows, updates, tombstones
        waiting: list[pa.Table] = []
        for batch in batches:
            if batch.num_rows:
                rows += batch.num_rows
                updates += batch.num_rows - batch["replaces"].null_count
                tombstones += pc.sum(batch["deleted"]).as_py()
                seqs.extend((batch["seq"][0].as_py(), batch["seq"][-1].as_py()))
                moments.extend(pc.min_max(batch["valid_from"].view(pa.int64())).as_py().values())
                waiting.append(pa.Table.from_batches([batch]))
            if sum(table.num_rows for table in waiting) >= files.ROW_GROUP:
                yield _united(waiting, schema)
                waiting = []
        if waiting:
            yield _united(waiting, schema)

    path = table.new_path(part.number)
    size = files.write(table.root / path, schema, counted())
    return replace(
        part,
        path=path,
        bytes=size,
        digest=files.digest(table.root / path),
        rows=rows,
        updates=updates,
        tombstones=tombstones,
        first_seq=seqs[0],
        last_seq=seqs[-1],
        oldest=moment(min(moments)),
        newest=moment(max(moments)),
    )


def _united(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    united = pa.concat_tables([schema.empty_table(), *tables], promote_options="permissive")
    return united.select(schema.names).cast(schema)


def exchange(table: Table, old: Sequence[Part], new: Sequence[Part]) -> None:
    """Register new parts in the place of old ones, in one transaction, and remove the old files."""
    if not old:
        return
    table.ledger.replace_parts(table.connection, old, new)
    for part in old:
        with files.in_words("remove", table.path(part)):
            table.path(part).unlink(missing_ok=True)
