"""Planning: what would be written, against what the CRM holds now. `rule` says what is worth writing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.model.fields import CATALOGUE, fields_on, result_schema
from crmbridge.model.records import ObjectName
from crmbridge.store.ledger import PlanText
from crmbridge.writeback.base import Writer
from crmbridge.writeback.guards import Figures, GuardSettings, tripped
from crmbridge.writeback.json_rows import json_rows
from crmbridge.writeback.rule import Comparison, compare
from crmbridge.writeback.values import aligned, checked_ids, in_one_piece, rounded, written_table

__all__ = ["Changes", "GuardSettings", "changed_rows", "plan_object", "rows", "tripped"]

READ_ROWS: Final = 100_000
"""How many records are read and compared at once."""
STORED_ROWS: Final = 10_000
"""How many become rows of the ledger at once: as Python objects they take ten times the memory."""


@dataclass(frozen=True)
class Changes:
    """The records of one object that would be written.

    `before` and `after` are tables of `result_schema`, row by row alongside `reasons`. `gone` counts records
    that have results but are no longer in the CRM.
    """

    object: ObjectName
    before: pa.Table
    after: pa.Table
    reasons: pa.ChunkedArray
    figures: Figures
    gone: int = 0

    def __len__(self) -> int:
        return int(self.after.num_rows)


def changed_rows(
    object_name: ObjectName,
    results: pa.Table,
    held: pa.Table | None,
    *,
    fields: Sequence[str],
    dead_band: float,
) -> Changes:
    """The rule applied to results and what is held (columns of `model.fields.result_schema`), nothing read.

    `fields` are the keys chosen in the settings; one that the results lack is neither written nor cleared.
    What is compared is what would be written (`values.written_table`, whose errors are raised here).
    """
    found = _Found(object_name, _keys(object_name, results, fields))
    ids = checked_ids(object_name, results)
    after = written_table(object_name, results, found.keys)
    before = aligned(object_name, held, ids, found.keys)
    found.add(after, before, compare(after, before, dead_band))
    return found.changes()


def plan_object(
    object_name: ObjectName,
    results: pa.Table,
    *,
    writer: Writer,
    held: pa.Table | None,
    fields: Sequence[str],
    dead_band: float,
    on_read: Callable[[pa.Table], None] = lambda table: None,
) -> Changes:
    """What would change in the CRM as it is *now*, by the rule.

    Where the writer's reads are free, everything is read. Otherwise `held` (what is known to be held, None
    for nothing) chooses the candidates, and only these are read again; `on_read` gets what was read, so that
    the next plan knows better. Raises AuthError, QuotaError and TransientError of the writer.
    """
    found = _Found(object_name, _keys(object_name, results, fields))
    ids = checked_ids(object_name, results)
    parts: Iterator[pa.Table] = (
        written_table(object_name, results.slice(start, READ_ROWS), found.keys)
        for start in range(0, len(ids), READ_ROWS)
    )
    if not writer.reads_are_free:
        parts = _candidates(parts, aligned(object_name, held, ids, found.keys), found, dead_band)
    for after in parts:
        now = writer.read_table(object_name, in_one_piece(after["id"]))
        if not writer.reads_are_free:
            on_read(now)
        here = pc.is_in(after["id"], value_set=in_one_piece(now["id"]))
        found.gone += len(here) - pc.sum(here).as_py()
        after = _those(after, here)
        before = aligned(object_name, now, in_one_piece(after["id"]), found.keys)
        found.add(after, before, compare(after, before, dead_band))
    return found.changes()


def rows(changes: Iterable[Changes]) -> Iterator[PlanText]:
    """The changes as the ledger stores them, object by object."""
    for each in changes:
        for start in range(0, len(each), STORED_ROWS):
            part = slice(start, start + STORED_ROWS)
            ids, *before = (in_one_piece(column[part]) for column in each.before.columns)
            _, *after = (in_one_piece(column[part]) for column in each.after.columns)
            texts = (json_rows(each.after.column_names[1:], columns) for columns in (before, after))
            told = (ids, *texts, in_one_piece(each.reasons[part]))
            yield from map(PlanText, repeat(each.object), *(column.to_pylist() for column in told))


def _those(table: pa.Table, rows: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The rows of the table that are true; no copy where all are."""
    return table if pc.all(rows).as_py() else table.filter(rows)


def _keys(object_name: ObjectName, results: pa.Table, fields: Sequence[str]) -> list[str]:
    return [each.key for each in fields_on(object_name, fields) if each.key in results.column_names]


@dataclass
class _Found:
    """What was found so far, part by part: of the compared rows only those to be written are kept."""

    object: ObjectName
    keys: list[str]
    gone: int = 0
    carrying: int = 0
    changing: int = 0
    before: list[pa.Table] = field(default_factory=list)
    after: list[pa.Table] = field(default_factory=list)
    reasons: list[pa.Array] = field(default_factory=list)
    held_scores: list[npt.NDArray[np.float64]] = field(default_factory=list)
    new_scores: list[npt.NDArray[np.float64]] = field(default_factory=list)

    def add(self, after: pa.Table, before: pa.Table, comparison: Comparison) -> None:
        """Rows compared with what the CRM holds now."""
        write = pa.array(comparison.write)
        self.before.append(_those(before, write))
        self.after.append(_those(after, write))
        self.reasons.append(comparison.reasons)
        self.changing += int((comparison.carrying & comparison.write).sum())
        self.note(after, before, comparison.carrying)

    def note(self, after: pa.Table, before: pa.Table, carrying: npt.NDArray[np.bool_]) -> None:
        """The guards' figures of compared rows."""
        self.carrying += int(carrying.sum())
        if "score" in self.keys:
            scores = rounded(in_one_piece(before["score"]), CATALOGUE["score"].decimals)
            scored = ~np.isnan(scores)
            self.held_scores.append(scores[scored])
            self.new_scores.append(in_one_piece(after["score"]).to_numpy(zero_copy_only=False)[scored])

    def changes(self) -> Changes:
        nothing = result_schema(self.object, self.keys).empty_table()
        none = np.zeros(0)
        return Changes(
            self.object,
            before=pa.concat_tables([nothing, *self.before]),
            after=pa.concat_tables([nothing, *self.after]),
            reasons=pa.chunked_array(self.reasons, pa.string()),
            figures=Figures(
                self.object,
                self.carrying,
                self.changing,
                held_scores=np.concatenate([none, *self.held_scores]),
                new_scores=np.concatenate([none, *self.new_scores]),
            ),
            gone=self.gone,
        )


def _candidates(
    parts: Iterable[pa.Table], known: pa.Table, found: _Found, dead_band: float
) -> Iterator[pa.Table]:
    """Of all results those that differ from what is known to be held, in parts to be read."""
    kept, start = [], 0
    for after in parts:
        before = known.slice(start, after.num_rows)
        start += after.num_rows
        comparison = compare(after, before, dead_band)
        rest = pa.array(~comparison.write)
        found.note(after.filter(rest), before.filter(rest), comparison.carrying[~comparison.write])
        kept.append(after.filter(pa.array(comparison.write)))
    candidates = pa.concat_tables(kept) if kept else known
    for begin in range(0, candidates.num_rows, READ_ROWS):
        yield candidates.slice(begin, READ_ROWS)
