"""Retention: versions that are too old to matter one by one go, a period's last one stays.

Thinning keeps, of a record's versions within one period (a UTC day or month, or all time), the last. Only a
version whose successor is older than the rule's moment goes, so what the lake knew as of that moment or any
later one is exactly what it was. As of an earlier moment, a record is as at the end of the period before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

import numpy as np
import pyarrow as pa

from crmbridge.store.lake import files
from crmbridge.store.lake.arrays import Bools, Int64s
from crmbridge.store.lake.table import Table, microseconds
from crmbridge.store.lake.upkeep import exchange, rewritten
from crmbridge.store.ledger import Part

Period = Literal["day", "month", "ever"]

AT_ONCE: Final = 4_000_000
"""Rows whose versions are compared at once: about 60 bytes each."""
_NONE: Final = -1


@dataclass(frozen=True)
class Rule:
    """Of the versions replaced before a moment, the last of each period stays.

    With the period `ever` nothing stays of a record that was deleted before the moment.
    """

    before: datetime
    period: Period


@dataclass(frozen=True)
class _Chains:
    """Rows of whole records, a record's together, in the order of their versions."""

    key: Int64s
    seq: Int64s
    valid_from: Int64s
    deleted: Bools

    def same_as_next(self) -> Bools:
        """Whether the next row is the same record's next version."""
        same = np.zeros(len(self.key), dtype=np.bool_)
        np.equal(self.key[1:], self.key[:-1], out=same[:-1])
        return same


def thin(table: Table, rules: Sequence[Rule], *, at_once: int = AT_ONCE) -> int:
    """Remove the versions that the rules let go; returns how many.

    Parts without such versions are left as they are. What replaced a removed version replaces the one before
    it now. All becomes so in one transaction, or nothing.
    """
    parts = table.parts()
    latest = max((microseconds(rule.before) for rule in rules), default=0)
    if not any(microseconds(part.oldest) < latest for part in parts):
        return 0
    first_seqs = np.array([part.first_seq for part in parts], dtype=np.int64)
    live = np.zeros(len(parts), dtype=np.int64)
    dropped: list[Int64s] = []
    relinked: list[tuple[Int64s, Int64s]] = []
    buckets = 1 + sum(part.rows for part in parts) // at_once
    for bucket in range(buckets):
        chains = _read(table, parts, bucket, buckets)
        gone = _gone(chains, rules)
        dropped.append(chains.seq[gone])
        kept = _Chains(*(column[~gone] for column in vars(chains).values()))
        before = _before(kept)
        relinked.append(_relinks(chains, gone, kept, before))
        alive = (~kept.deleted).astype(np.int64)
        gain = alive - np.where(before == _NONE, 0, alive[before])
        np.add.at(live, np.searchsorted(first_seqs, kept.seq, side="right") - 1, gain)
    out = np.sort(np.concatenate(dropped))
    if len(out):
        links = _sorted_links(relinked)
        _rewrite(table, parts, out, links, live)
    return len(out)


def _read(table: Table, parts: Sequence[Part], bucket: int, buckets: int) -> _Chains:
    names = ("key", "seq", "valid_from", "deleted")
    found: list[list[np.ndarray]] = [[], [], [], []]
    for part in parts:
        for batch in files.read(table.path(part), names):
            key = batch.column("key").to_numpy()
            chosen = key % buckets == bucket
            columns = (
                key,
                batch.column("seq").to_numpy(),
                batch.column("valid_from").view(pa.int64()).to_numpy(),
                batch.column("deleted").to_numpy(zero_copy_only=False),
            )
            for all_of_it, column in zip(found, columns, strict=True):
                all_of_it.append(column[chosen])
    key, seq, valid_from, deleted = (np.concatenate(columns) for columns in found)
    order = np.lexsort((seq, key))
    return _Chains(key[order], seq[order], valid_from[order], deleted[order])


def _gone(chains: _Chains, rules: Sequence[Rule]) -> Bools:
    gone = np.zeros(len(chains.key), dtype=np.bool_)
    followed = chains.same_as_next()
    replaced_at = np.full(len(chains.key), np.iinfo(np.int64).max)
    replaced_at[:-1][followed[:-1]] = chains.valid_from[1:][followed[:-1]]
    for rule in rules:
        before = microseconds(rule.before)
        period = _periods(chains.valid_from, rule.period)
        same = np.zeros(len(period), dtype=np.bool_)
        np.equal(period[1:], period[:-1], out=same[:-1])
        gone |= followed & same & (replaced_at < before)
        if rule.period == "ever":
            gone |= ~followed & chains.deleted & (chains.valid_from < before)
    return gone


def _periods(moments: Int64s, period: Period) -> Int64s:
    if period == "ever":
        return np.zeros(len(moments), dtype=np.int64)
    unit = "datetime64[D]" if period == "day" else "datetime64[M]"
    return moments.astype("datetime64[us]").astype(unit).astype(np.int64)


def _before(kept: _Chains) -> Int64s:
    """The row of each row's version before, _NONE for a record's first."""
    before = np.arange(-1, len(kept.key) - 1)
    first = np.ones(len(kept.key), dtype=np.bool_)
    first[1:] = ~kept.same_as_next()[:-1]
    before[first] = _NONE
    return before


def _relinks(chains: _Chains, gone: Bools, kept: _Chains, before: Int64s) -> tuple[Int64s, Int64s]:
    """The kept rows (their seqs) whose version before is gone, and what they replace now (or _NONE)."""
    after_gone = np.zeros(len(gone), dtype=np.bool_)
    after_gone[1:] = gone[:-1] & chains.same_as_next()[:-1]
    changed = after_gone[~gone]
    return kept.seq[changed], np.where(before == _NONE, _NONE, kept.seq[before])[changed]


def _sorted_links(relinked: Sequence[tuple[Int64s, Int64s]]) -> tuple[Int64s, Int64s]:
    seq, replaces = (np.concatenate(column) for column in zip(*relinked, strict=True))
    order = np.argsort(seq)
    return seq[order], replaces[order]


def _rewrite(
    table: Table, parts: Sequence[Part], out: Int64s, links: tuple[Int64s, Int64s], live: Int64s
) -> None:
    number = table.ledger.parts_state(table.connection, table.object).last_number
    old, new = [], []
    for part, part_live in zip(parts, live.tolist(), strict=True):
        removed = _within(out, part)
        if not removed and not _within(links[0], part):
            continue
        old.append(part)
        if removed < part.rows:
            number += 1
            path = table.path(part)
            new.append(
                rewritten(
                    table,
                    files.read_schema(path),
                    _without(files.read(path), out, links),
                    replace(part, number=number, live=part_live),
                )
            )
    exchange(table, old, new)


def _within(ascending: Int64s, part: Part) -> int:
    first, end = np.searchsorted(ascending, [part.first_seq, part.last_seq + 1])
    return int(end - first)


def _without(
    batches: Iterator[pa.RecordBatch], out: Int64s, links: tuple[Int64s, Int64s]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        rows = batch.filter(pa.array(~_among(batch.column("seq").to_numpy(), out)))
        seq = rows.column("seq").to_numpy()
        changed = _among(seq, links[0])
        if changed.any():
            replaces = rows.column("replaces").fill_null(_NONE).to_numpy().copy()
            replaces[changed] = links[1][np.searchsorted(links[0], seq[changed])]
            place = rows.schema.get_field_index("replaces")
            values = pa.array(replaces, mask=replaces == _NONE)
            rows = rows.set_column(place, rows.schema.field(place), values)
        yield rows


def _among(numbers: Int64s, ascending: Int64s) -> Bools:
    return np.isin(numbers, ascending, assume_unique=True)
