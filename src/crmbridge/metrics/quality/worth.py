"""What filling a field would be worth to the scores, as far as the filled records can tell.

Of the closed leads or deals where the field is filled, how much it says about the outcome (in nats a record):

    I = sum over levels and outcomes of p(level, outcome) ln(p(outcome | level) / p(outcome)) - (k - 1) / 2n

for k levels and n records (the last term takes off what chance alone gives; Miller, 1955). I is what the
log-loss would fall by, at most, for each record that lacks the field today: at most, because other fields may
say the same. It is stated only where it is sure (G-test, 2 n I, Holm's correction over the fields, 5 %) and
rests on 100 closed records or more. Source: Cover and Thomas, Elements of Information Theory, 2006.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import chi2

from crmbridge.metrics.arrays import Codes, Floats, Mask, numbers, truths
from crmbridge.metrics.base import Frame
from crmbridge.metrics.quality.checks import is_filled
from crmbridge.model.records import ObjectName

FIELDS: Final[Mapping[ObjectName, tuple[str, ...]]] = {
    "lead": ("title", "industry", "employees", "annual_revenue", "country", "lead_source"),
    "deal": ("type", "lead_source", "amount"),
}
FEWEST: Final = 100
LEVELS: Final = 20
SURE: Final = 0.05
_Z90: Final = 1.645


@dataclass(frozen=True)
class Worth:
    """One field: open records that lack it, closed ones that have it, and the gain a record with its 90 %
    interval in nats; None where it is not sure that there is any.
    """

    field: str
    missing: int
    known: int
    gain: float | None
    low: float | None
    high: float | None
    p_value: float | None


def worth(frame: Frame, object_name: ObjectName) -> list[Worth]:
    """The fields' worth, for leads and deals; nothing for other objects."""
    fields = FIELDS.get(object_name, ())
    if not fields:
        return []
    won, closed = ("is_converted", "is_disqualified") if object_name == "lead" else ("is_won", "is_closed")
    table = frame.table(object_name, (*fields, won, closed)).combine_chunks()
    good = truths(_column(table, won), unknown=False)
    done = good | truths(_column(table, closed), unknown=False)
    found = []
    for name in fields:
        column = _column(table, name)
        filled = is_filled(column)
        known = filled & done
        missing = int((~filled & ~done).sum())
        gain, spread, p_value = _information(_levels(column, known), good[known])
        found.append((name, missing, int(known.sum()), gain, spread, p_value))
    p_values = _holm([row[-1] for row in found])
    return [
        Worth(name, missing, known, gain, max(gain - spread, 0.0), gain + spread, p_value)
        if known >= FEWEST and p_value < SURE and gain > 0
        else Worth(name, missing, known, None, None, None, p_value if known >= FEWEST else None)
        for (name, missing, known, gain, spread, _), p_value in zip(found, p_values, strict=True)
    ]


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table[name]
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _levels(column: pa.Array, known: Mask) -> Codes:
    """Numbers for what the filled cells say: fifths of numbers, the 20 most frequent texts and all others."""
    column = column.filter(pa.array(known))
    if not pa.types.is_string(column.type):
        values = numbers(column)
        edges = np.unique(np.quantile(values, [0.2, 0.4, 0.6, 0.8])) if len(values) else values
        place: Codes = np.searchsorted(edges, values, side="right")
        return place
    text = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    counts = pc.value_counts(text)
    order = pc.sort_indices(counts.field("counts"), sort_keys=[("", "descending")]).to_numpy()[:LEVELS]
    found = pc.index_in(text, value_set=counts.field("values").take(pa.array(order)))
    codes: Codes = pc.fill_null(found, LEVELS).to_numpy().astype(np.int64)
    return codes


def _information(levels: Codes, good: Mask) -> tuple[float, float, float]:
    """The information about the outcome, half its 90 % interval, and the p-value of the G-test."""
    number = len(levels)
    if number < 2 or good.all() or not good.any():
        return 0.0, 0.0, 1.0
    _, level = np.unique(levels, return_inverse=True)
    count = np.bincount(level).astype(np.float64)
    hits = np.bincount(level, good)
    kinds = len(count)
    if kinds < 2:
        return 0.0, 0.0, 1.0
    rate = np.where(good, hits[level], count[level] - hits[level]) / count[level]
    whole = np.where(good, good.mean(), 1 - good.mean())
    each: Floats = np.log(rate / whole)
    raw = float(each.mean())
    p_value = float(chi2.sf(2 * number * raw, kinds - 1))
    return raw - (kinds - 1) / (2 * number), _Z90 * float(each.std()) / np.sqrt(number), p_value


def _holm(p_values: list[float]) -> list[float]:
    """Holm's corrected p-values."""
    values = np.array(p_values)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return [float(value) for value in corrected]
