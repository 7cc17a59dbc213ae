"""Orders as the customer metrics read them: who bought on which day, for how much.

What counts is the same everywhere: an order of a known account, placed on or before the moment, whose status
does not say that it came to nothing. Days are calendar days of the connection's zone. A negative amount is a
refund. Amounts count in the currency that most orders are in; others are not known (NaN).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.arrays import UNKNOWN_MOMENT, Codes, Floats, Ids, among, moments, numbers, pieces
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import calendar_days, micros

CAME_TO_NOTHING: Final = ("cancel", "cancelled", "canceled", "void", "voided", "draft", "rejected")
"""Statuses, in small letters, of orders that are none (any more)."""
_COLUMNS: Final = ("account_id", "ordered_at", "amount", "currency", "status")


@dataclass
class Orders:
    """The orders of a frame, a piece at a time. `ids` numbers the customers as they are met.

    `left_out` counts, once `pieces` has been read to its end, what did not count and why.
    """

    frame: Frame
    ids: Ids = field(default_factory=lambda: Ids(pa.array([], pa.string())))
    left_out: dict[str, int] = field(default_factory=dict)
    currency: str | None = None
    other_currencies: int = 0

    @property
    def today(self) -> int:
        """The calendar day of the moment, as days since 1970-01-01."""
        return int(calendar_days(np.array([micros(self.frame.moment)]), self.frame.zone)[0])

    def pieces(self) -> Iterator[tuple[Codes, Codes, Floats]]:
        """Customer, day and amount of the orders that count; the amount is NaN where it is not known."""
        self.currency = main_currency(self.frame)
        counted: Counter[str] = Counter()
        now = micros(self.frame.moment)
        for batch in pieces(self.frame, "order", _COLUMNS):
            column = dict(zip(_COLUMNS, batch.columns, strict=True))
            at = moments(column["ordered_at"])
            reasons = {
                "no account": pc.is_null(column["account_id"]).to_numpy(zero_copy_only=False),
                "no date": at == UNKNOWN_MOMENT,
                "after the moment": at > now,
                "cancelled or draft": among(pc.utf8_lower(column["status"]), CAME_TO_NOTHING),
            }
            kept = np.ones(len(at), bool)
            for reason, applies in reasons.items():
                counted[reason] += int((kept & applies).sum())
                kept &= ~applies
            rows = pa.array(kept)
            customer = self.ids.number(column["account_id"].filter(rows))
            amount = numbers(column["amount"])[kept]
            amount[~np.isfinite(amount)] = np.nan
            if self.currency is not None:
                same = among(pc.fill_null(column["currency"], self.currency).filter(rows), [self.currency])
                self.other_currencies += int((~same).sum())
                amount[~same] = np.nan
            yield customer, calendar_days(at[kept], self.frame.zone), amount
        self.left_out = {reason: number for reason, number in counted.items() if number}


def main_currency(frame: Frame) -> str | None:
    """The currency most orders are in (of equals the first by name); None where none is known."""
    found: Counter[str] = Counter()
    for batch in pieces(frame, "order", ("currency",)):
        counts = pc.value_counts(batch.column(0).drop_null())
        found.update(dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist())))  # noqa: B905
    return min(found, key=lambda name: (-found[name], name)) if found else None
