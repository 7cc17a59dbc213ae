"""Activities that belong to a record through its contacts: a call is often filed with the person alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from crmbridge.metrics.base import Frame
from crmbridge.metrics.need.arrays import ByRecord, Flags, Ints, pieces
from crmbridge.metrics.need.ids import Lookup
from crmbridge.metrics.need.leaks import FEWEST, surely_fewer
from crmbridge.model.records import ObjectName


class ContactLinks:
    """The deals or accounts of each contact. `linked` says which of the records have a contact."""

    def __init__(self, frame: Frame, object_name: ObjectName, ids: pa.Array) -> None:
        lookup = Lookup(ids)
        contacts, rows = [], []
        of, key = ("contact", "id") if object_name == "account" else ("deal", "contact_id")
        record = "account_id" if object_name == "account" else "id"
        for slab in pieces(frame, of, list(dict.fromkeys([key, record]))):  # type: ignore[arg-type]
            row = lookup.rows(slab[record])
            keep = (row >= 0) & np.asarray(slab[key].is_valid())
            contacts.append(slab[key].filter(pa.array(keep)))
            rows.append(row[keep])
        named = pa.concat_arrays([pa.array([], pa.string()), *contacts]).dictionary_encode()
        row = np.concatenate([np.zeros(0, np.int64), *rows])
        code = np.asarray(named.indices).astype(np.int64)
        order = np.lexsort((row, code))
        self._row = row[order]
        self._contacts = Lookup(named.dictionary)
        self._of = ByRecord(code[order], len(named.dictionary))
        self.linked: Flags = np.zeros(len(ids), np.bool_)
        self.linked[row] = True

    def rows(self, contact: pa.Array) -> tuple[Ints, Ints]:
        """Pairs (position in `contact`, row of the record): each contact's records, all of them."""
        pairs = self._of.of(self._contacts.rows(contact))
        none = np.zeros(0, np.int64)
        positions = np.concatenate([none, *(found for found, _ in pairs)])
        return positions, self._row[np.concatenate([none, *(places for _, places in pairs)])]


def is_linked_in_time(linked: Flags, closed: Flags) -> bool:
    """Whether contacts are not linked at closing: open records have one about as often as closed ones."""
    still, ended = linked[~closed], linked[closed]
    if min(len(still), len(ended)) < FEWEST:
        return True
    return not surely_fewer(float(still.mean()), len(still), float(ended.mean()), len(ended))
