"""From sums to rates: E, R and O of each group, with intervals, coverages and trends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import pyarrow as pa

from crmbridge.metrics.arrays import Floats
from crmbridge.metrics.efficiency import pooling
from crmbridge.metrics.efficiency.pooling import Prior, Rates
from crmbridge.metrics.efficiency.sums import BEFORE, COUNT, KINDS, MEASURES, NOW, TIME, Kind, Sums
from crmbridge.metrics.efficiency.tally import Grouping
from crmbridge.metrics.efficiency.trend import chance_of_rise, trends

RATED: Final[Mapping[Grouping, tuple[Kind, ...]]] = MappingProxyType(
    {
        "rep": KINDS,
        "team": KINDS,
        "account": KINDS,
        "deal": ("communication", "order"),
        "deal_type": KINDS,
        "channel": ("communication",),
    }
)
"""Which efficiencies a grouping has. A single deal is won or not, which is no rate; only communications have
a channel.
"""
_OF: Final[Mapping[Kind, tuple[str, ...]]] = MappingProxyType(
    {
        "communication": MEASURES[:5],
        "follow_up": MEASURES[5:10],
        "order": MEASURES[10:],
    }
)
Columns = dict[str, pa.Array]


def rate_parts(sums: Sums, kind: Kind, number: int, window: int = NOW) -> tuple[Floats, Floats]:
    """Events and time of each group. Where no outcome at all was logged, its communications say nothing
    about E.
    """
    counts, times = sums.of(COUNT[kind], number, window), sums.of(TIME[kind], number, window)
    if kind == "communication":
        times = np.where(sums.of("outcomes_known", number, window) > 0, times, 0.0)
        counts = np.where(times > 0, counts, 0.0)
    return counts, times


def pooled_columns(sums: Sums, number: int, kinds: Iterable[Kind], priors: Mapping[Kind, Prior]) -> Columns:
    """Per group: each rate pooled with its interval, on its own (`_raw`), that of the window before
    (`_before`) and the trend; then what they are made of. Null where there is no time.
    """
    columns: Columns = {}
    for kind in kinds:
        counts, times = rate_parts(sums, kind, number)
        prior = priors.get(kind)
        rates = pooling.nothing(number) if prior is None else pooling.pooled(prior, counts, times)
        columns |= rate_columns(kind, rates)
        columns[f"{kind}_raw"] = nullable(pooling.raw(counts, times).rate)
        columns |= trend_columns(sums, kind, number)
    return columns | measure_columns({name: sums.of(name, number) for name in MEASURES}, kinds)


def rate_columns(kind: Kind, rates: Rates) -> Columns:
    """A rate and the ends of its interval."""
    ends = {"": rates.rate, "_low": rates.low, "_high": rates.high}
    return {f"{kind}_efficiency{end}": nullable(values) for end, values in ends.items()}


def trend_columns(sums: Sums, kind: Kind, number: int) -> Columns:
    """The rate of the window before on its own, and whether it has surely changed since."""
    now, before = (rate_parts(sums, kind, number, window) for window in (NOW, BEFORE))
    return {
        f"{kind}_before": nullable(pooling.raw(*before).rate),
        f"{kind}_trend": trends(chance_of_rise(*now, *before)),
    }


def measure_columns(measures: Mapping[str, Floats], kinds: Iterable[Kind] = KINDS) -> Columns:
    """What the rates of these kinds are made of, their coverages, and the amount won per hour."""
    shares = {
        "communication": {"time_coverage": ratio(measures["measured"], measures["communications"])},
        "follow_up": {
            "follow_up_coverage": ratio(measures["followed"], measures["won"] + measures["lost"]),
            "amount_per_hour": ratio(measures["won_amount"], measures["follow_up_hours"]),
        },
        "order": {"order_coverage": ratio(measures["orders_fulfilled"], measures["orders_seen"])},
    }
    columns: Columns = {}
    for kind in kinds:
        columns |= {name: nullable(measures[name]) for name in _OF[kind]}
        columns |= {name: nullable(values) for name, values in shares[kind].items()}
    return columns


def ratio(above: Floats, below: Floats) -> Floats:
    """above / below; NaN where there is nothing below."""
    some = below > 0
    return np.where(some, above / np.where(some, below, 1.0), np.nan)


def nullable(column: Floats) -> pa.Array:
    """Numbers with nulls for NaN."""
    return pa.array(column, pa.float64(), mask=np.isnan(column))
