"""Small tools of the generator: chance, office hours, and columns of text out of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.demo.planted import DAY

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NEVER: Final = np.int64(2**62)
"""A time (seconds since 1970) that does not come."""
_OPENS, _CLOSES = 7 * 3600, 16 * 3600  # UTC: nine to six in a Berlin summer
_WEEKDAY_OF_1970: Final = 3  # 1 January 1970 was a Thursday


@dataclass(frozen=True)
class Span:
    """From when to when the organisation's history is told, in seconds since 1970."""

    start: int
    moment: int

    def times(self, rng: np.random.Generator, number: int) -> Ints:
        """Office times all over the span in order, more of them towards its end: business grows."""
        share = rng.random(number) ** 0.7
        times = office(rng, (self.start + share * (self.moment - self.start)).astype(np.int64))
        return np.sort(self.clip(rng, times))

    def clip(self, rng: np.random.Generator, times: Ints) -> Ints:
        """The times, those after the moment moved into its last hour."""
        return np.where(times > self.moment, self.moment - rng.integers(1, 3600, len(times)), times)


def office(rng: np.random.Generator, times: Ints) -> Ints:
    """Each time, or where nobody works then, a time of the next working day."""
    second, day = times % DAY, times // DAY
    late = second > _CLOSES
    day = day + late
    weekday = (day + _WEEKDAY_OF_1970) % 7
    rest = np.where(weekday >= 5, 7 - weekday, 0)
    begins = late | (rest > 0) | (second < _OPENS)
    second = np.where(begins, _OPENS + rng.integers(0, _CLOSES - _OPENS, len(times)), second)
    return (day + rest) * DAY + second


def choose(rng: np.random.Generator, shares: Sequence[float] | Floats, number: int) -> Ints:
    """`number` draws of a position, by shares that need not sum to 1."""
    edges = np.cumsum(np.asarray(shares, np.float64))
    return np.searchsorted(edges / edges[-1], rng.random(number), side="right").astype(np.int64)


def spread(rng: np.random.Generator, weights: Floats, total: int) -> Ints:
    """How many of `total` each weight gets."""
    if not len(weights) or total <= 0 or weights.sum() <= 0:
        return np.zeros(len(weights), np.int64)
    return np.bincount(choose(rng, weights, total), minlength=len(weights)).astype(np.int64)


def logistic(log_odds: Floats) -> Floats:
    """Log-odds as probabilities."""
    chances: Floats = 1 / (1 + np.exp(-log_odds))
    return chances


def words(pool: Sequence[str], chosen: Ints, known: Mask | None = None) -> pa.Array:
    """The chosen words; null where not known."""
    return pa.array(pool, pa.string()).take(_positions(chosen, known))


def records(ids: pa.Array, chosen: Ints, known: Mask | None = None) -> pa.Array:
    """The chosen values of a column; null where the position is negative or not known."""
    some = chosen >= 0
    return ids.take(_positions(chosen, some if known is None else some & known))


def _positions(chosen: Ints, known: Mask | None) -> pa.Array:
    return pa.array(np.maximum(chosen, 0), mask=None if known is None else ~known)


def ids(prefix: str, first: int, number: int) -> pa.Array:
    """`L0000001` and so on: prefix and at least seven digits."""
    digits = pa.array(np.arange(first + 1, first + number + 1)).cast(pa.string())
    padded = pc.utf8_lpad(digits, width=7, padding="0")
    return pc.binary_join_element_wise(pa.scalar(prefix), padded, "")


def moments(times: Ints, known: Mask | None = None) -> pa.Array:
    """A column of moments in UTC; null for NEVER and where not known."""
    empty = times >= NEVER
    return pa.array(np.where(empty, 0, times), mask=empty if known is None else empty | ~known).cast(
        pa.timestamp("s", tz="UTC")
    )


def maybe(values: npt.NDArray[np.generic], known: Mask) -> pa.Array:
    """A column of numbers or booleans; null where not known."""
    return pa.array(values, mask=~known)
