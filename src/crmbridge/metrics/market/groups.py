"""The closed deals, and the groups they belong to in each dimension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import rankdata

from crmbridge.metrics.arrays import UNKNOWN_MOMENT, Codes, Floats, Ids, Mask, moments, numbers, truths
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import Micros, days_between, micros, months
from crmbridge.model.columns import attribute_column

SIZES: Final = (10, 50, 250, 1000)
SIZE_NAMES: Final = ("1-9", "10-49", "50-249", "250-999", "1000+")
"""Employees."""
FEWEST: Final = 10
"""Closed deals of a group that is looked at on its own."""
MOST_LEVELS: Final = 50
_BY_NAME: Final[Mapping[str, tuple[str, ...]]] = {
    "product": ("product",),
    "region": ("region", "territory"),
}
"""Dimensions taken from a deal's other fields, by words in their names."""


@dataclass(frozen=True)
class Dimension:
    """`group` numbers `names` for each closed deal; -1: not known, or in a group of fewer than ten deals."""

    name: str
    names: tuple[str, ...]
    group: Codes


@dataclass(frozen=True)
class Closed:
    """One entry per closed deal, up to the moment. `quarter` counts calendar quarters of the zone from the
    year 1 on, -1 where the deal has no date of closing; `days` from creation to closing and `amount` are NaN
    where not known. `amount` of deals in several currencies is not known.
    """

    won: Mask
    amount: Floats
    days: Floats
    quarter: Codes
    dimensions: tuple[Dimension, ...]
    several_currencies: bool

    def __len__(self) -> int:
        return len(self.won)

    @cached_property
    def day_ranks(self) -> tuple[Floats, float]:
        """Ranks of the won deals by days (NaN for others), and the sum of t^3 - t over ties of t deals."""
        usable = self.won & np.isfinite(self.days)
        ranks = np.full(len(self), np.nan)
        ranks[usable] = rankdata(self.days[usable])
        _, ties = np.unique(self.days[usable], return_counts=True)
        counts = ties.astype(np.float64)
        return ranks, float((counts**3 - counts).sum())


def closed_deals(frame: Frame) -> Closed:
    """Read the deals and what their accounts and owners add."""
    others = {
        name: [
            each
            for each in frame.attribute_names("deal")
            if any(word in each.lower() for word in words) and not each.lower().endswith(("id", "date"))
        ][:1]
        for name, words in _BY_NAME.items()
    }
    columns = (
        *("account_id", "owner_id", "type", "lead_source", "amount", "currency"),
        *("is_won", "is_closed", "created_at", "closed_at"),
        *(attribute_column(name) for names in others.values() for name in names),
    )
    table = frame.table("deal", columns).combine_chunks()
    won = truths(_column(table, "is_won"), unknown=False)
    closed_at = moments(_column(table, "closed_at"))
    over = won | truths(_column(table, "is_closed"), unknown=False)
    rows = over & ((closed_at == UNKNOWN_MOMENT) | (closed_at <= micros(frame.moment)))
    table = table.filter(pa.array(rows)).combine_chunks()
    won, closed_at = won[rows], closed_at[rows]
    created = moments(_column(table, "created_at"))
    dated = (closed_at != UNKNOWN_MOMENT) & (created != UNKNOWN_MOMENT)
    days = np.full(len(won), np.nan)
    days[dated] = days_between(created[dated], closed_at[dated], frame.zone)
    days[days < 0] = np.nan
    currencies = _column(table, "currency").filter(pa.array(won)).drop_null().unique()
    amount = numbers(_column(table, "amount"))
    accounts = _looked_up(
        frame, "account", _column(table, "account_id"), ("industry", "country", "employees")
    )
    reps = _looked_up(frame, "rep", _column(table, "owner_id"), ("role",))
    texts = {
        "industry": accounts["industry"],
        "country": accounts["country"],
        "source": _column(table, "lead_source"),
        "type": _column(table, "type"),
        "size": _sizes(accounts["employees"]),
        "team": reps["role"],
    }
    for name, found in others.items():
        for attribute in found:
            texts[name] = _untagged(_column(table, attribute_column(attribute)))
    dimensions = [_dimension(name, column) for name, column in texts.items()]
    return Closed(
        won=won,
        amount=np.full(len(won), np.nan) if len(currencies) > 1 else amount,
        days=days,
        quarter=_quarters(closed_at, frame),
        dimensions=tuple(each for each in dimensions if len(each.names) > 1),
        several_currencies=len(currencies) > 1,
    )


def quarter_name(quarter: int) -> str:
    """`2026-Q1`."""
    return f"{quarter // 4 + 1:04d}-Q{quarter % 4 + 1}"


def current_quarter(frame: Frame) -> int:
    """The quarter of the moment, which is not over yet."""
    return int(months(np.array([micros(frame.moment)]), frame.zone)[0]) // 3


def _quarters(closed_at: Micros, frame: Frame) -> Codes:
    known = closed_at != UNKNOWN_MOMENT
    found = np.full(len(closed_at), -1, np.int64)
    found[known] = months(closed_at[known], frame.zone) // 3
    return found


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table[name]
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _looked_up(frame: Frame, object_name: str, ids: pa.Array, names: tuple[str, ...]) -> dict[str, pa.Array]:
    """The fields of the records with these ids; null where there is none."""
    table = frame.table(object_name, ("id", *names)).combine_chunks()  # type: ignore[arg-type]
    place = Ids(_column(table, "id")).find(ids)
    at = pa.array(place, mask=place < 0)
    return {name: _column(table, name).take(at) for name in names}


def _sizes(employees: pa.Array) -> pa.Array:
    number = numbers(employees)
    known = number > 0
    band = np.searchsorted(np.array(SIZES), np.where(known, number, 1), side="right")
    return pa.array(np.array(SIZE_NAMES, object)[band], pa.string(), mask=~known)


def _untagged(cells: pa.Array) -> pa.Array:
    """An attribute's text; null for numbers, truths and what is empty."""
    text = pc.starts_with(cells, '"')
    return pc.if_else(text, pc.utf8_slice_codeunits(cells, 1), pa.scalar(None, pa.string()))


def _dimension(name: str, column: pa.Array) -> Dimension:
    """The groups with at least ten closed deals, by name; the 50 largest where there are more."""
    text = pc.utf8_trim_whitespace(column)
    text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    counts = sorted(
        ((row["counts"], row["values"]) for row in pc.value_counts(text.drop_null()).to_pylist()),
        key=lambda row: (-row[0], row[1]),
    )
    kept = sorted(value for count, value in counts[:MOST_LEVELS] if count >= FEWEST)
    return Dimension(name, tuple(kept), Ids(pa.array(kept, pa.string())).find(text))
