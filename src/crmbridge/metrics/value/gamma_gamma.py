"""Gamma-Gamma: what a customer spends on an order, as far as the few orders seen can tell.

A customer's orders are Gamma(p, nu) with the customer's own nu ~ Gamma(q, v). Of x orders with mean z:

    ln L = lnG(px + q) - lnG(px) - lnG(q) + q ln(v) + (px - 1) ln(z) + px ln(x) - (px + q) ln(xz + v)
    E[mean order | x, z] = p (v + x z) / (p x + q - 1)

A customer without repeat orders is expected to spend p v / (q - 1), the mean of all.
Source: Fader and Hardie, The Gamma-Gamma Model of Monetary Value, 2013.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import digamma, gammaln

from crmbridge.metrics.arrays import Floats
from crmbridge.metrics.value.maximum import maximum

STARTS: Final = ((1.0, 2.0, 1.0), (6.0, 4.0, 0.5), (3.0, 10.0, 3.0))
FEWEST: Final = 20
"""Customers with a repeat order of known value that it takes to fit."""


@dataclass(frozen=True)
class Spending:
    """The parameters; v in the currency. `problem` says in a word why they can't be used, None where they
    can: `too few`, `no mean` (q <= 1: the mean of all is infinite), `boundary`, `no maximum`.
    """

    p: float
    q: float
    v: float
    log_likelihood: float
    problem: str | None

    @property
    def mean(self) -> float:
        """What an order of a customer about whom nothing is known is expected to bring."""
        return self.p * self.v / (self.q - 1)

    def expected(self, orders: Floats, mean: Floats) -> Floats:
        """The expected mean order of customers whose `orders` repeat orders had this `mean` (NaN of none)."""
        spent = orders * np.nan_to_num(mean)
        return self.p * (self.v + spent) / (self.p * orders + self.q - 1)


def log_likelihood(theta: Floats, orders: Floats, mean: Floats) -> tuple[float, Floats]:
    """The log-likelihood at (ln p, ln q, ln v), and its gradient there; `orders` >= 1, `mean` > 0."""
    p, q, v = np.exp(theta)
    shape, spent = p * orders, orders * mean
    log_spent = np.log(spent + v)
    each = gammaln(shape + q) - gammaln(shape) - gammaln(q) + q * np.log(v)
    each += shape * np.log(spent) - np.log(mean) - (shape + q) * log_spent
    both = digamma(shape + q)
    at_p = orders * (both - digamma(shape) + np.log(spent) - log_spent)
    at_q = both - digamma(q) + np.log(v) - log_spent
    at_v = q / v - (shape + q) / (spent + v)
    return float(each.sum()), np.array([at_p.sum() * p, at_q.sum() * q, at_v.sum() * v])


def fit(orders: Floats, mean: Floats) -> Spending:
    """Maximum likelihood over the customers with at least one repeat order and a mean above 0."""
    usable = (orders >= 1) & (np.nan_to_num(mean) > 0)
    orders, mean = orders[usable], mean[usable]
    number = len(orders)
    if number < FEWEST:
        return Spending(np.nan, np.nan, np.nan, np.nan, "too few")
    order = np.lexsort((mean, orders))  # sums do not depend on the customers' order
    unit = float(np.median(mean))
    orders, scaled = orders[order], mean[order] / unit

    found = maximum(
        lambda theta: log_likelihood(theta, orders, scaled), [np.log(start) for start in STARTS], number
    )
    p, q, v = (float(parameter) for parameter in np.exp(found.theta))
    problem = "no mean" if found.problem is None and q <= 1.001 else found.problem
    return Spending(p, q, v * unit, found.log_likelihood - number * float(np.log(unit)), problem)
