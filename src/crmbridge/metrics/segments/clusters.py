"""k-means, and whether its groups come back.

Groups are kept only if they come back: from another seed, and from the two halves of the customers each on
its own. Two divisions of the same customers are compared by the adjusted Rand index (1: the same, 0: chance).

    ARI = (sum_ij C(n_ij, 2) - E) / ((sum_i C(a_i, 2) + sum_j C(b_j, 2)) / 2 - E),
    E = sum_i C(a_i, 2) sum_j C(b_j, 2) / C(n, 2)

Sources: Arthur and Vassilvitskii, k-means++, SODA 2007; Hubert and Arabie, Journal of Classification 2, 1985.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from crmbridge.metrics.arrays import Codes, Floats

MOST: Final = 6
COMES_BACK: Final = 0.8
"""The adjusted Rand index from which on two divisions count as the same."""
RESTARTS: Final = 5
ROUNDS: Final = 100
SAMPLE: Final = 6_000


@dataclass(frozen=True)
class Stability:
    """How well so many groups come back: from another seed, from the other half of the customers."""

    groups: int
    other_seed: float
    other_half: float

    @property
    def comes_back(self) -> bool:
        return min(self.other_seed, self.other_half) >= COMES_BACK


def stable_centres(points: Floats, seed: int) -> tuple[Floats, list[Stability]]:
    """The centres (groups x columns) of the most groups that come back, and what was tried for that.

    One centre, the mean, where not even two do. Of more than 6,000 points an even sample is taken; their
    order does not matter.
    """
    points = points[np.lexsort(points.T)]
    if len(points) > SAMPLE:
        points = points[np.linspace(0, len(points) - 1, SAMPLE).astype(np.int64)]
    half = np.random.default_rng([seed, 99]).permutation(len(points)) % 2 == 0
    tried = []
    most = min(MOST, len(np.unique(points, axis=0)))
    for groups in range(most, 1, -1):
        centres = kmeans(points, groups, [seed, 0])
        own = nearest(points, centres)
        again = nearest(points, kmeans(points, groups, [seed, 1]))
        one, other = (nearest(points, kmeans(points[rows], groups, [seed, 2])) for rows in (half, ~half))
        tried.append(Stability(groups, adjusted_rand(own, again), adjusted_rand(one, other)))
        if tried[-1].comes_back:
            return centres, tried
    return points.mean(axis=0, keepdims=True), tried


def kmeans(points: Floats, groups: int, seed: list[int]) -> Floats:
    """The centres with the least sum of squares out of five beginnings by k-means++."""
    draw = np.random.default_rng(seed)
    best, least = points[:0], np.inf
    for _ in range(RESTARTS):
        centres = _beginning(points, groups, draw)
        for _ in range(ROUNDS):
            own = nearest(points, centres)
            number = np.bincount(own, minlength=groups)
            sums = np.stack([np.bincount(own, column, groups) for column in points.T], axis=1)
            moved = np.where(number[:, None] > 0, sums / np.maximum(number, 1)[:, None], centres)
            if np.allclose(moved, centres, rtol=0, atol=1e-9):
                break
            centres = moved
        total = float(_squares(points, centres).min(axis=1).sum())
        if total < least - 1e-9:
            best, least = centres, total
    return best


def _beginning(points: Floats, groups: int, draw: np.random.Generator) -> Floats:
    centres: Floats = points[draw.integers(len(points))][None]
    while len(centres) < groups:
        away = _squares(points, centres).min(axis=1)
        total = away.sum()
        chance = away / total if total > 0 else None
        centres = np.concatenate([centres, points[draw.choice(len(points), p=chance)][None]])
    return centres


def _squares(points: Floats, centres: Floats) -> Floats:
    """Squared distances, points x centres."""
    return np.stack([((points - centre) ** 2).sum(axis=1) for centre in centres], axis=1)


def nearest(points: Floats, centres: Floats) -> Codes:
    """The number of the nearest centre; of equally near ones the first."""
    found: Codes = _squares(points, centres).argmin(axis=1)
    return found


def adjusted_rand(one: Codes, other: Codes) -> float:
    """How alike two divisions of the same things are: 1 the same, about 0 by chance."""
    table = np.zeros((int(one.max(initial=0)) + 1, int(other.max(initial=0)) + 1))
    np.add.at(table, (one, other), 1)

    def pairs(counts: Floats) -> float:
        return float((counts * (counts - 1) / 2).sum())

    together, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    by_chance = rows * columns / max(pairs(np.array([float(len(one))])), 1.0)
    most = (rows + columns) / 2
    return 1.0 if most == by_chance else (together - by_chance) / (most - by_chance)
