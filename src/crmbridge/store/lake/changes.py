"""Which rows of a page are new versions, and since when they hold: pure arithmetic on arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crmbridge.store.lake.arrays import Bools, Int64s
from crmbridge.store.lake.index import Index

NEVER = np.iinfo(np.int64).min
"""Stands for a modification time that is not known, and for `replaces nothing`."""


@dataclass(frozen=True)
class Changes:
    """The new versions among the rows of a page.

    `write` marks them in the page; the other arrays have one number per new version, in the page's order.
    `content` is 0 for a tombstone; `replaces` is the seq of the record's version before, or NEVER.
    """

    write: Bools
    keys: Int64s
    content: Int64s
    seq: Int64s
    replaces: Int64s
    valid_from: Int64s
    new: int
    changed: int
    unchanged: int
    deleted: int
    live: int


def find_changes(
    index: Index, keys: Int64s, content: Int64s, modified: Int64s, *, seen: int, first_seq: int
) -> Changes:
    """Compare a page's rows, in order, each with the record's state before it.

    `content` is 0 where the record is gone. `modified` and `seen` are microseconds, `modified` NEVER where
    the CRM does not say. A record that is not known is in the same state as a deleted one: it has no content.

    A first version holds since it was modified, if that is known and not in the future, else since it was
    seen. A later one likewise, if that is after the version before; a record's versions never go back in
    time.
    """
    order = np.argsort(keys, kind="stable")  # brings a record's rows together, in the page's order
    key, state = keys[order], content[order]
    number = np.arange(len(order))
    first = np.ones(len(order), dtype=np.bool_)
    np.not_equal(key[1:], key[:-1], out=first[1:])
    start = np.maximum.accumulate(np.where(first, number, 0))  # where each row's record begins
    known = index.find(key[first])[np.cumsum(first) - 1]

    before = np.empty_like(state)
    before[1:] = state[:-1]
    before[first] = np.where(known[first] >= 0, index.content[known[first]], 0)
    written = state != before
    write = np.empty_like(written)
    write[order] = written
    seq = (first_seq + np.cumsum(write) - 1)[order]

    # The version each row replaces: the last one written of its record in this page, or the index's.
    last = np.maximum.accumulate(np.where(written, number, -1))
    earlier = np.concatenate(([-1], last[:-1])) if len(last) else last
    in_page = earlier >= start
    replaces = np.where(known >= 0, index.seq[known], NEVER)
    replaces[in_page] = seq[earlier[in_page]]
    since = np.where(known >= 0, index.valid_from[known], NEVER)
    told = modified[order]
    valid_from = _hold_since(told, since, seen)
    for row in np.flatnonzero(in_page & written):  # the same record again within one page: rare
        since[row] = valid_from[earlier[row]]
        valid_from[row] = _hold_since(told[row : row + 1], since[row : row + 1], seen)[0]

    back = np.empty_like(order)
    back[order] = number
    chosen = back[write]
    gone = written & (state == 0)
    new = written & first & (known < 0)
    return Changes(
        write=write,
        keys=keys[write],
        content=content[write],
        seq=seq[chosen],
        replaces=replaces[chosen],
        valid_from=valid_from[chosen],
        new=int(new.sum()),
        changed=int((written & ~gone & ~new).sum()),
        unchanged=int(((state != 0) & ~written).sum()),
        deleted=int(gone.sum()),
        live=int((written & (before == 0)).sum() - gone.sum()),
    )


def _hold_since(told: Int64s, since: Int64s, seen: int) -> Int64s:
    return np.where((told > since) & (told <= seen), told, np.maximum(since, seen))
