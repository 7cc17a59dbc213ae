"""The deals, and the hours spent on each."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.arrays import Codes, Floats, Ids, Mask, moments, numbers, truths
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import Micros


class Deals:
    """The deals, and the hours spent on each from its first communication on.

    A communication is never before the first one; any other activity may be: those before what is so far
    known as the first wait until all activities were seen.
    """

    def __init__(self, frame: Frame) -> None:
        columns = ("id", "account_id", "owner_id", "amount", "currency", "is_closed", "is_won", "closed_at")
        table = frame.table("deal", (*columns, "type")).combine_chunks()
        column = {name: one_array(table, name) for name in table.column_names}
        self.ids = Ids(column["id"])
        self.account_id, self.owner_id = column["account_id"], column["owner_id"]
        kind = pc.utf8_trim_whitespace(column["type"])
        self.type = pc.if_else(pc.equal(kind, ""), pa.scalar(None, pa.string()), kind)
        self.amount = numbers(column["amount"])
        self.won: Mask = truths(column["is_won"], unknown=False)
        self.closed: Mask = truths(column["is_closed"], unknown=False) | self.won
        self.closed_at = moments(column["closed_at"])
        self.several_currencies = len(column["currency"].filter(pa.array(self.won)).drop_null().unique()) > 1
        self._first = np.full(len(self.ids), np.iinfo(np.int64).max)
        self._hours = np.zeros(len(self.ids))
        self._waiting: list[tuple[Codes, Micros, Floats]] = []

    def spend(self, deal: Codes, begun: Micros, hours: Floats, communication: Mask) -> None:
        """Take note of activities on deals (-1: on none)."""
        on_deal = deal >= 0
        first = on_deal & communication
        np.minimum.at(self._first, deal[first], begun[first])
        measured = on_deal & np.isfinite(hours)
        self._settle(deal[measured], begun[measured], hours[measured])

    def _settle(self, deal: Codes, begun: Micros, hours: Floats) -> None:
        after = begun >= self._first[deal]
        if after.any():
            self._hours += np.bincount(deal[after], hours[after], minlength=len(self._hours))
        if not after.all():
            self._waiting.append((deal[~after], begun[~after], hours[~after]))

    def hours(self) -> Floats:
        """Hours per deal, once every activity was seen."""
        waiting, self._waiting = self._waiting, []
        for deal, begun, hours in waiting:
            after = begun >= self._first[deal]
            self._hours += np.bincount(deal[after], hours[after], minlength=len(self._hours))
        return self._hours


def one_array(table: pa.Table, name: str) -> pa.Array:
    """A column of a table as one array."""
    column = table[name].combine_chunks()
    return column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)
