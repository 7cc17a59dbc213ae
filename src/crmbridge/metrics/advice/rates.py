"""Shares with their n: which of several is surely better than the rest, by a Beta-Binomial model.

Slot i (an hour, a weekday) has x_i answers to n_i calls; x_i ~ Binomial(n_i, r_i), and the true rates are
spread as r_i ~ Beta(m p, m (1 - p)), with p the rate of all and m from the spread beyond chance (method of
moments, Kleinman 1973). So r_i | x_i ~ Beta(m p + x_i, m (1 - p) + n_i - x_i): a slot with few calls is drawn
to the rate of all, and where the slots differ no more than chance would make them none is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from crmbridge.metrics.arrays import Codes

FEWEST: Final = 30
"""Calls in a slot, and outside it, below which nothing is said of it."""
LOW, HIGH = 0.05, 0.95


@dataclass(frozen=True)
class Share:
    """`hits` of `n`."""

    n: int
    hits: int

    @property
    def rate(self) -> float:
        return self.hits / self.n if self.n else 0.0

    @property
    def low(self) -> float:
        """The lower end of the 90 % interval (Jeffreys); 0 of nothing."""
        return float(betaincinv(self.hits + 0.5, self.n - self.hits + 0.5, LOW)) if self.hits else 0.0

    @property
    def high(self) -> float:
        """The upper end; 1 of nothing."""
        misses = self.n - self.hits
        return float(betaincinv(self.hits + 0.5, misses + 0.5, HIGH)) if misses else 1.0

    def surely_above(self, other: Share) -> bool:
        """Whether both are known from FEWEST or more and the intervals do not overlap."""
        return min(self.n, other.n) >= FEWEST and self.low > other.high

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Best:
    """The place of a slot that is surely better than the rest of them, its share and that of the rest."""

    place: int
    share: Share
    rest: Share

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any] | None) -> Best | None:
        if found is None:
            return None
        return cls(int(found["place"]), Share(**found["share"]), Share(**found["rest"]))


def best(tries: Codes, hits: Codes) -> Best | None:
    """The slot whose rate is surely higher than that of all others together; None where none is.

    Its lower bound at 5 % / the number of slots tried (so that looking at many does not find one by chance)
    must lie above the upper bound of the others.
    """
    m = concentration(tries, hits)
    used = tries >= FEWEST
    if m is None or not used.any():
        return None
    p = hits.sum() / tries.sum()
    low = betaincinv(m * p + hits, m * (1 - p) + tries - hits, LOW / max(int((tries > 0).sum()), 1))
    place = int(np.argmax(np.where(used, low, -1.0)))
    share = Share(int(tries[place]), int(hits[place]))
    rest = Share(int(tries.sum()) - share.n, int(hits.sum()) - share.hits)
    if rest.n < FEWEST or low[place] <= rest.high:
        return None
    return Best(place, share, rest)


def concentration(tries: Codes, hits: Codes) -> float | None:
    """m of the Beta distribution of the slots' true rates; None where chance alone explains their spread."""
    n, x = (each[tries > 0].astype(np.float64) for each in (tries, hits))
    total = float(n.sum())
    if len(n) < 2 or not 0 < x.sum() < total:
        return None
    p = float(x.sum()) / total
    spread = float((n * (x / n - p) ** 2).sum())
    chance = (len(n) - 1) * p * (1 - p)
    most = p * (1 - p) * (total - float((n**2).sum()) / total)
    if spread <= chance or most <= chance:
        return None
    correlation = min((spread - chance) / (most - chance), 0.99)
    return float(1 / correlation - 1)


def own_best(
    tries: Codes, hits: Codes, others: Codes, other_hits: Codes, rate: float
) -> npt.NDArray[np.bool_]:
    """Row by row, whether a contact's own hour is surely better than its other hours.

    Few calls decide: both rates have the prior Beta(2 p, 2 (1 - p)) about the rate of all.
    """
    p = min(max(rate, 0.02), 0.98)
    low = betaincinv(2 * p + hits, 2 * (1 - p) + tries - hits, LOW)
    high = betaincinv(2 * p + other_hits, 2 * (1 - p) + others - other_hits, HIGH)
    surely: npt.NDArray[np.bool_] = low > high
    return surely
