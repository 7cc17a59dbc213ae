"""How many orders are to come, and what they bring: expectations, chances and 90 % intervals.

Of a customer who is there with probability A, and then with lambda ~ Gamma(r + x, alpha + T) and
p ~ Beta(a, b + x), the orders N within t weeks are min(Poisson(lambda t), Geometric(p)):

    P(N >= n) = A I(t / (alpha + T + t); n, r + x) B(a, b + x + n - 1) / B(a, b + x)
    E[N] = A E_p[(1 - (1 + p t / (alpha + T))^-(r + x)) / p]

I is the regularised incomplete beta function. The first is the product of a negative binomial's tail and of
E[(1 - p)^(n - 1)]; the expectation over p is a Gauss-Jacobi sum. It equals the formula with the
hypergeometric function in Fader, Hardie and Lee (2005), without its singularity at a = 1.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.interpolate import RegularGridInterpolator
from scipy.linalg import eigh_tridiagonal
from scipy.special import betainc, betaln

from crmbridge.metrics.arrays import Codes, Floats
from crmbridge.metrics.value.bgnbd import Rates
from crmbridge.metrics.value.gamma_gamma import Spending

NODES: Final = 20
LOW, HIGH = 0.05, 0.95
DRAWS: Final = 4000
LEVELS: Final = np.arange(0.0, 0.961, 0.01)
FREQUENT: Final = np.unique(np.concatenate([np.arange(11), np.geomspace(10, 2500, 26).round()]))
"""Numbers of repeat orders for which the spread is drawn; between them it is interpolated."""
LONGEST: Final = 2100.0
"""Weeks: 40 years."""
AGES: Final = 12


def distinct(x: Floats, age: Floats) -> tuple[tuple[Floats, Floats], Codes]:
    """The distinct pairs of repeat orders and age, ordered by both, and which pair each customer has."""
    pairs, back = np.unique(x + 1j * age, return_inverse=True)
    return (pairs.real, pairs.imag), back


def expected_if_there(rates: Rates, x: Floats, age: Floats, weeks: float) -> Floats:
    """E[N] of customers who are there, by repeat orders and age in weeks."""
    if rates.a == 0:
        return (rates.r + x) / (rates.alpha + age) * weeks
    pairs, back = distinct(x, age)
    found = np.empty(len(pairs[0]))
    bounds = np.flatnonzero(np.diff(pairs[0], prepend=np.nan) != 0)
    for begin, end in zip(bounds, [*bounds[1:], len(found)], strict=True):
        repeats = float(pairs[0][begin])
        nodes, shares = beta_nodes(rates.a, rates.b + repeats)
        # (1 - (1 + p c)^-s) / p with c = t / (alpha + T); its limit at p = 0 is s c.
        ratio = weeks / (rates.alpha + pairs[1][begin:end, None])
        growth = np.log1p(nodes * ratio) * (rates.r + repeats)
        per_node = np.where(nodes > 1e-290, -np.expm1(-growth) / np.maximum(nodes, 1e-290), ratio)
        found[begin:end] = per_node @ shares
    return found[back]


def chance_of_at_least(rates: Rates, x: Floats, age: Floats, weeks: float, orders: int) -> Floats:
    """P(N >= orders) of customers who are there."""
    tail: Floats = betainc(orders, rates.r + x, weeks / (rates.alpha + age + weeks))
    if rates.a == 0:
        return tail
    stays: Floats = np.exp(betaln(rates.a, rates.b + x + orders - 1) - betaln(rates.a, rates.b + x))
    return tail * stays


def beta_nodes(a: float, b: float, number: int = NODES) -> tuple[Floats, Floats]:
    """Nodes on [0, 1] and shares (they sum to 1) of the Gauss sum for Beta(a, b): Golub and Welsch, 1969."""
    n = np.arange(number, dtype=np.float64)
    total = a + b
    middle = np.empty(number)
    middle[0] = a / total
    m = n[1:]
    middle[1:] = 0.5 + (a - b) * (total - 2) / (2 * (2 * m + total - 2) * (2 * m + total))
    beside = np.empty(number - 1)
    beside[0] = a * b / (total**2 * (total + 1))
    m = n[2:]
    twice = 2 * m + total - 2
    beside[1:] = m * (m + a - 1) * (m + b - 1) * (m + total - 2) / (twice**2 * (twice + 1) * (twice - 1))
    nodes, vectors = eigh_tridiagonal(middle, np.sqrt(beside))
    return np.clip(nodes, 0.0, 1.0), vectors[0] ** 2


class Spread:
    """Quantiles of what a customer brings within t weeks, by simulation with a seed.

    In units of the customer's expected mean order; without `spending` each order counts 1. For a grid of
    repeat orders and ages 4,000 customers who are there are drawn; between the grid's points quantiles are
    interpolated. A point's draws depend on the rates and the seed alone.
    """

    def __init__(
        self, rates: Rates, spending: Spending | None, weeks: float, most_repeats: float, seed: int
    ) -> None:
        last = int(np.searchsorted(FREQUENT, max(most_repeats, 1.0)))
        self._repeats = FREQUENT[: last + 1]
        self._ratios = weeks / (rates.alpha + np.geomspace(1.0, LONGEST + 1, AGES) - 1)[::-1]
        self._rates, self._weeks = rates, weeks
        grid = np.empty((len(self._repeats), AGES, len(LEVELS)))
        for row, repeats in enumerate(self._repeats):
            draw = np.random.default_rng([seed, row])
            rate = draw.gamma(rates.r + repeats, size=DRAWS)
            until_gone = np.full(DRAWS, np.inf)
            if rates.a > 0:
                leaves = np.maximum(draw.beta(rates.a, rates.b + repeats, DRAWS), 1e-12)
                until_gone = 1 + np.floor(
                    np.log(1 - draw.random(DRAWS)) / np.log1p(-np.minimum(leaves, 1 - 1e-12))
                )
            own = 1.0 / draw.gamma(spending.q + spending.p * repeats, size=DRAWS) if spending else None
            for column, ratio in enumerate(self._ratios):
                orders = np.minimum(draw.poisson(rate * ratio), until_gone)
                brought = orders
                if spending and own is not None:
                    unit = (spending.q + spending.p * repeats - 1) / spending.p
                    brought = draw.standard_gamma(spending.p * orders) * own * unit
                grid[row, column] = np.quantile(brought, LEVELS)
        self._quantiles = RegularGridInterpolator((self._repeats, self._ratios, LEVELS), grid)

    def interval(self, there: Floats, x: Floats, age: Floats) -> tuple[Floats, Floats]:
        """The 5 % and 95 % quantiles for customers who are there with these chances."""
        ratio = np.clip(self._weeks / (self._rates.alpha + age), self._ratios[0], self._ratios[-1])
        repeats = np.minimum(x, self._repeats[-1])
        found = []
        for level in (LOW, HIGH):
            # Who has left brings nothing: that mass lies below everything.
            inner = (level - (1 - there)) / np.maximum(there, 1e-12)
            points = np.stack([repeats, ratio, np.clip(inner, 0.0, LEVELS[-1])], axis=1)
            found.append(np.where(inner > 0, self._quantiles(points), 0.0))
        return found[0], found[1]
