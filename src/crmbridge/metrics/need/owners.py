"""The owner's record to date: how many of the rep's records that had ended by a moment came true."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.base import Frame
from crmbridge.metrics.need.arrays import Ints, pieces
from crmbridge.metrics.need.columns import Column
from crmbridge.metrics.need.ids import Lookup
from crmbridge.metrics.need.outcomes import Outcomes
from crmbridge.metrics.need.windows import key_of
from crmbridge.model.records import ObjectName

OWNER_RECORD = "owner_record"
_WEIGHT = 5.0
"""Outcomes that the share of all owners counts for: a rep's first win is not a record of 100 %."""


class OwnersRecord:
    """What is known of the outcomes of every owner's records, found by owner and moment."""

    def __init__(self, frame: Frame, object_name: ObjectName, outcomes: Outcomes) -> None:
        owner = read_owners(frame, object_name, outcomes.ids).dictionary_encode()
        self._owners: pa.Array = owner.dictionary
        code = np.asarray(owner.indices.fill_null(-1)).astype(np.int64)
        ended = np.flatnonzero(outcomes.closed & (outcomes.end >= 0) & (code >= 0))
        # Closed is known from the second after on: what ended at the moment itself is not to date.
        key = key_of(code[ended], outcomes.end[ended])
        order = np.argsort(key, kind="stable")
        self._key, self._code = key[order], code[ended][order]
        self._came = np.concatenate([[0], np.cumsum(outcomes.positive[ended][order])])
        time = np.argsort(outcomes.end[ended], kind="stable")
        self._end = outcomes.end[ended][time]
        self._all_came = np.concatenate([[0], np.cumsum(outcomes.positive[ended][time])])

    def as_of(self, owner: pa.Array, moment: Ints) -> Column:
        """The share of the owner's ended records that came true by each moment, drawn towards that of all
        owners' by _WEIGHT outcomes; missing where none had ended. `owner`: ids, one per moment.
        """
        code = pc.index_in(owner, value_set=self._owners).fill_null(-1)
        place = np.asarray(code).astype(np.int64)
        known = place >= 0
        upto = np.searchsorted(self._key, key_of(np.maximum(place, 0), moment), side="left")
        begin = np.searchsorted(self._code, place, side="left")
        number = np.where(known, upto - begin, 0)
        came = self._came[upto] - self._came[np.minimum(begin, upto)]
        before = np.searchsorted(self._end, moment, side="left")
        of_all = self._all_came[before] / np.maximum(before, 1)
        share = (came + _WEIGHT * of_all) / (number + _WEIGHT)
        return Column.of_numbers(OWNER_RECORD, np.where(number > 0, 100.0 * share, np.nan))


def owner_texts(column: Column) -> pa.Array:
    """The ids of a column of owners; null where there is none."""
    if column.codes is None:
        return pa.nulls(len(column), pa.string())
    code = pa.array(column.codes, mask=column.codes < 0)
    return pa.array(column.levels, pa.string()).take(code)


def read_owners(frame: Frame, object_name: ObjectName, ids: pa.Array) -> pa.Array:
    """The owner's id of each record as it stands."""
    texts, lookup = np.full(len(ids), None, dtype=object), Lookup(ids)
    for slab in pieces(frame, object_name, ["id", "owner_id"]):
        row = lookup.rows(slab["id"])
        texts[row[row >= 0]] = slab["owner_id"].to_numpy(zero_copy_only=False)[row >= 0]
    return pa.array(texts, pa.string())
