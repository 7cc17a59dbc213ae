"""Planning: which records would be written, with what, and why. Pure but for the writer's reads.

The rule (a record is written whole or not at all). It is written when

- it holds nothing of ours yet and there is something to say,
- its score moves by the dead-band or more,
- its grade, `stuck`, segment or *kind* of next action changes,
- another number moves by 5 % or more of what is held,
- one of these turns from null to a value or back (a metric abstains, or no longer does).

Texts, day counters and stamps never cause a write alone; they go along with one. The kind of a next action is
what stands before its first colon: metrics write next actions as `Kind: evidence` ("Call: opened the offer
twice"), so that new evidence for the same advice writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.model.fields import CATALOGUE, STAMPS, FieldValue, fields_on
from crmbridge.model.records import ObjectName
from crmbridge.store.ledger import PlanRow
from crmbridge.writeback.base import Writer
from crmbridge.writeback.guards import Figures, GuardSettings, tripped
from crmbridge.writeback.values import clean_text, held_table, rounded, shown, table_of, written_table

__all__ = ["Changes", "GuardSettings", "changed_rows", "plan_object", "rows", "tripped"]

Mask = npt.NDArray[np.bool_]

NUMBER_SHARE: Final = 0.05
"""A number other than the score is written from this relative change on."""
DAY_COUNTERS: Final = frozenset({"days_in_stage"})
KINDS: Final = ("grade", "next_action", "stuck", "segment")
"""Fields whose change of kind causes a write; of the next action only what stands before the colon counts."""
READ_ROWS: Final = 50_000
"""How many records' values are held as dictionaries at once."""
REASONS_SHOWN: Final = 3


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
    """The rule above, applied to results and what is held (columns of `model.fields.result_schema`).

    `fields` are the keys chosen in the settings; one that the results lack is neither written nor cleared.
    What is compared is what would be written (`values.written_table`, whose errors are raised here).
    """
    keys = _keys(object_name, results, fields)
    after = written_table(object_name, results, keys)
    before = held_table(object_name, held, after["id"].combine_chunks(), keys)
    comparison = _compare(after, before, dead_band)
    return _changes(object_name, [(after, before, comparison)], [])


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
    """What would change in the CRM as it is *now*.

    Where the writer's reads are free, everything is read. Otherwise `held` (what is known to be held, None
    for nothing) chooses the candidates, and only these are read again; `on_read` gets what was read, so that
    the next plan knows better. Raises AuthError, QuotaError and TransientError of the writer.
    """
    keys = _keys(object_name, results, fields)
    after = written_table(object_name, results, keys)
    unread: list[_Compared] = []
    if not writer.reads_are_free:
        known = held_table(object_name, held, after["id"].combine_chunks(), keys)
        first = _compare(after, known, dead_band)
        rest = pa.array(~first.write)
        unread = [(after.filter(rest), known.filter(rest), first.only(~first.write))]
        after = after.filter(pa.array(first.write))
    compared: list[_Compared] = []
    gone = 0
    for start in range(0, after.num_rows, READ_ROWS):
        part = after.slice(start, READ_ROWS)
        ids = part["id"].to_pylist()
        now = writer.read(object_name, ids)
        if len(now) < len(ids):
            gone += len(ids) - len(now)
            part = part.filter(pa.array([identifier in now for identifier in ids]))
            ids = part["id"].to_pylist()
        before = table_of(object_name, keys, ((identifier, now[identifier]) for identifier in ids))
        if not writer.reads_are_free:
            on_read(before)
        compared.append((part, before, _compare(part, before, dead_band)))
    return _changes(object_name, compared or [(after, after, _nothing())], unread, gone)


def rows(changes: Iterable[Changes]) -> Iterator[PlanRow]:
    """The changes as the ledger stores them, object by object."""
    for each in changes:
        keys = each.after.column_names[1:]
        for start in range(0, len(each), READ_ROWS):
            part = slice(start, start + READ_ROWS)
            ids, *after = (column[part].to_pylist() for column in each.after.columns)
            _, *before = (column[part].to_pylist() for column in each.before.columns)
            reasons = each.reasons[part].to_pylist()
            for identifier, old, new, reason in zip(
                ids, _tuples(before), _tuples(after), reasons, strict=True
            ):
                yield PlanRow(
                    each.object,
                    identifier,
                    dict(zip(keys, old, strict=True)),
                    dict(zip(keys, new, strict=True)),
                    reason,
                )


def _tuples(columns: Sequence[Sequence[FieldValue]]) -> Iterator[tuple[FieldValue, ...]]:
    return zip(*columns, strict=True)


@dataclass(frozen=True)
class _Comparison:
    """Row by row: whether it would be written, whether it carries values of ours; why, for the written."""

    write: Mask
    carrying: Mask
    reasons: list[str]

    def only(self, rows: Mask) -> _Comparison:
        return _Comparison(self.write[rows], self.carrying[rows], [])


_Compared = tuple[pa.Table, pa.Table, _Comparison]


def _nothing() -> _Comparison:
    none = np.zeros(0, dtype=bool)
    return _Comparison(none, none, [])


def _keys(object_name: ObjectName, results: pa.Table, fields: Sequence[str]) -> list[str]:
    return [field.key for field in fields_on(object_name, fields) if field.key in results.column_names]


def _changes(
    object_name: ObjectName, compared: Sequence[_Compared], unread: Sequence[_Compared], gone: int = 0
) -> Changes:
    written = [(after, before, pa.array(each.write)) for after, before, each in compared]
    reasons = [pa.array(each.reasons, pa.string()) for _, _, each in compared]
    return Changes(
        object_name,
        before=pa.concat_tables(before.filter(write) for _, before, write in written),
        after=pa.concat_tables(after.filter(write) for after, _, write in written),
        reasons=pa.chunked_array(reasons, pa.string()),
        figures=_figures(object_name, [*compared, *unread]),
        gone=gone,
    )


def _figures(object_name: ObjectName, compared: Sequence[_Compared]) -> Figures:
    held, new = [np.zeros(0)], [np.zeros(0)]
    for after, before, _ in compared:
        if "score" in after.column_names:
            scores = rounded(before["score"].combine_chunks(), CATALOGUE["score"].decimals)
            scored = ~np.isnan(scores)
            held.append(scores[scored])
            new.append(after["score"].combine_chunks().to_numpy(zero_copy_only=False)[scored])
    return Figures(
        object_name,
        carrying=sum(int(each.carrying.sum()) for _, _, each in compared),
        changing=sum(int((each.carrying & each.write).sum()) for _, _, each in compared),
        held_scores=np.concatenate(held),
        new_scores=np.concatenate(new),
    )


def _compare(after: pa.Table, before: pa.Table, dead_band: float) -> _Comparison:
    carrying, speaking = _says_something(before), _says_something(after)
    causes = {key: _moved(key, after, before, dead_band) & carrying for key in _causing(after.column_names)}
    write = ~carrying & speaking
    for moved in causes.values():
        write = write | moved
    return _Comparison(write, carrying, _reasons(after, before, write, causes))


def _causing(columns: Iterable[str]) -> list[str]:
    """The columns that can cause a write, in the order in which reasons name them."""
    present = set(columns)
    numbers = [
        key
        for key, field in CATALOGUE.items()
        if field.type == "number" and key != "score" and key not in DAY_COUNTERS
    ]
    return [key for key in ("score", *KINDS, *numbers) if key in present]


def _says_something(table: pa.Table) -> Mask:
    """Whether a row has any value beside stamps. An unchecked box says nothing: some CRMs can't clear it."""
    something: Mask = np.zeros(table.num_rows, dtype=bool)
    for name in table.column_names[1:]:
        if name in STAMPS:
            continue
        column = table[name].combine_chunks()
        if column.type == pa.float64():
            present = pc.is_valid(column)
        else:
            present = pc.fill_null(column if column.type == pa.bool_() else pc.not_equal(column, ""), False)
        something |= present.to_numpy(zero_copy_only=False)
    return something


def _moved(key: str, after: pa.Table, before: pa.Table, dead_band: float) -> Mask:
    new, old = after[key].combine_chunks(), before[key].combine_chunks()
    if key in KINDS:
        changed: Mask = pc.not_equal(_kind(key, new), _kind(key, old)).to_numpy(zero_copy_only=False)
        return changed
    decimals = CATALOGUE[key].decimals
    now, then = rounded(new, decimals), rounded(old, decimals)
    distance = np.round(np.abs(now - then), decimals)  # NaN where either is null
    # The factor keeps floating point from holding 105 - 100 for less than 5 % of 100.
    bound = dead_band if key == "score" else NUMBER_SHARE * np.abs(then) * (1 - 1e-9)
    far: Mask = (distance > 0) & (distance >= bound)
    appeared: Mask = np.isnan(now) != np.isnan(then)
    return far | appeared


def _kind(key: str, column: pa.Array) -> pa.Array:
    if column.type == pa.bool_():
        return pc.fill_null(column, False)
    if key == "next_action":
        column = pc.list_element(pc.split_pattern(column, ":", max_splits=1), 0)
    return pc.fill_null(clean_text(column), "")


def _reasons(after: pa.Table, before: pa.Table, write: Mask, causes: dict[str, Mask]) -> list[str]:
    if not write.any():
        return []
    place = np.cumsum(write) - 1
    parts: list[list[str]] = [[] for _ in range(int(write.sum()))]
    for key, moved in causes.items():
        which = pa.array(moved)
        old, new = before[key].filter(which).to_pylist(), after[key].filter(which).to_pylist()
        words = key.replace("_", " ")
        for row, was, becomes in zip(place[moved].tolist(), old, new, strict=True):
            parts[row].append(f"{words} {_brief(key, was)} -> {_brief(key, becomes)}")
    if "score" in after.column_names:
        scored = after["score"].is_valid().to_numpy()[write].tolist()
    else:
        scored = [False] * len(parts)
    return [_reason(found, has_score) for found, has_score in zip(parts, scored, strict=True)]


def _brief(key: str, value: FieldValue) -> str:
    if key == "next_action" and isinstance(value, str):
        value = value.partition(":")[0].strip()
    return shown(key, value)


def _reason(parts: Sequence[str], has_score: bool) -> str:
    if not parts:
        return "first score" if has_score else "first values"
    text = ", ".join(parts[:REASONS_SHOWN])
    more = len(parts) - REASONS_SHOWN
    return f"{text} and {more} more" if more > 0 else text
