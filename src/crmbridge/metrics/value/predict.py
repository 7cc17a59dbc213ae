"""From what was learned to figures per customer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from crmbridge.metrics.arrays import Codes, Floats
from crmbridge.metrics.value import bgnbd, contract
from crmbridge.metrics.value.learn import WEEK, Learned
from crmbridge.metrics.value.outlook import Spread, chance_of_at_least, distinct, expected_if_there
from crmbridge.metrics.value.purchases import Histories, Purchases

YEAR: Final = 365.0
MONTHS: Final = 12
DISCOUNT: Final = 0.01
"""A month, for `clv_12m` alone."""


@dataclass(frozen=True)
class Prediction:
    """One entry per customer with a purchase; NaN where the metric abstains. Money in the main currency.

    `how`: `bg_nbd`, `empirical` (p_alive from `returns`) or `contract`, by customer.
    """

    customer: Codes
    p_alive: Floats
    orders: Floats
    order_chance: Floats
    mean_order: Floats
    value: Floats
    low: Floats
    high: Floats
    clv: Floats
    how: npt.NDArray[np.object_]


def predict(learned: Learned, purchases: Purchases, days: float = YEAR, seed: int = 0) -> Prediction | None:
    """The next `days` days of every customer; None where nothing could be learned."""
    histories = purchases.histories()
    if learned.kind == "none":
        return None
    if learned.kind == "contract":
        return _contract(learned, purchases, histories, days)
    return _buyers(learned, purchases, histories, days, seed)


def _buyers(
    learned: Learned, purchases: Purchases, histories: Histories, days: float, seed: int
) -> Prediction:
    rates, after = learned.rates, learned.returns
    assert rates is not None  # noqa: S101 - `learn` gives both kinds both
    assert after is not None  # noqa: S101 - as above
    x, last, age = histories.repeats, histories.last / WEEK, histories.age / WEEK
    there = np.ones(len(x))
    if learned.kind == "bg_nbd":
        there = bgnbd.alive(rates, x, last, age)
    weeks = days / WEEK
    # Customers alike in x and T expect alike: there are far fewer such pairs than customers.
    pairs, pair = distinct(x, age)
    until = np.stack(
        [expected_if_there(rates, *pairs, weeks * month / MONTHS) for month in range(1, MONTHS + 1)]
    )
    discounts = (1 + DISCOUNT) ** -np.arange(1.0, MONTHS + 1)
    inner = until[-1][pair]
    discounted = (discounts @ np.diff(until, axis=0, prepend=0.0))[pair]
    if learned.spending is not None:
        mean = learned.spending.expected(histories.priced, histories.mean)
    else:
        mean = _typical_mean(learned, histories)
    mean = np.where(histories.known > 0, mean, np.nan)
    low, high = Spread(rates, learned.spending, weeks, float(x.max(initial=0)), seed).interval(there, x, age)
    quiet = histories.age - histories.last
    empirical = np.where(x > 0, after[1].chance(quiet), after[0].chance(quiet))
    by_model = (x > 0) & (learned.kind == "bg_nbd")
    expected = there * inner
    return Prediction(
        customer=histories.customer,
        p_alive=np.where(by_model, there, empirical),
        orders=expected,
        order_chance=there * chance_of_at_least(rates, x, age, weeks, 1),
        mean_order=mean,
        value=expected * mean,
        low=low * mean,
        high=high * mean,
        clv=mean * there * discounted,
        how=np.where(by_model, "bg_nbd", "empirical").astype(object),
    )


def _contract(learned: Learned, purchases: Purchases, histories: Histories, days: float) -> Prediction:
    renewals = learned.renewals
    assert renewals is not None  # noqa: S101 - `learn` gives every contract model its renewals
    found = contract.terms(purchases, renewals.period)
    coming = contract.outlook(renewals, found, days)
    mean = np.where(histories.known > 0, histories.spent / np.maximum(histories.known, 1), np.nan)
    value = coming.orders * mean
    return Prediction(
        customer=histories.customer,
        p_alive=coming.alive,
        orders=coming.orders,
        order_chance=np.where(coming.orders > 0, np.minimum(coming.alive, coming.orders), 0.0),
        mean_order=mean,
        value=value,
        low=coming.low * mean,
        high=coming.high * mean,
        clv=value / (1 + DISCOUNT) ** ((MONTHS + 1) / 2),
        how=np.full(len(mean), "contract", dtype=object),
    )


def _typical_mean(learned: Learned, histories: Histories) -> Floats:
    if learned.typical is None:
        return np.full(len(histories), np.nan)
    own = histories.spent / np.maximum(histories.known, 1)
    return learned.typical.expected(histories.known, own)
