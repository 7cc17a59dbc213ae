"""Which model the customers' orders allow, and its parameters as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from pydantic import JsonValue

from crmbridge.metrics.arrays import Floats
from crmbridge.metrics.value import bgnbd, contract, gamma_gamma
from crmbridge.metrics.value.bgnbd import Rates
from crmbridge.metrics.value.contract import Renewals
from crmbridge.metrics.value.gamma_gamma import Spending
from crmbridge.metrics.value.purchases import Histories, Purchases
from crmbridge.metrics.value.returns import Returns, returns

Kind = Literal["bg_nbd", "nbd", "contract", "none"]
CustomerKind = Literal["auto", "buyers", "contracts"]

WEEK: Final = 7.0
FEWEST_REPEATERS: Final = 20
"""Customers with a second order that it takes to say anything."""
CONTRACTUAL: Final = 0.5
"""Share of customers with regular intervals from which on they are taken to have contracts."""
_DIGITS: Final = 12


@dataclass(frozen=True)
class Typical:
    """Spending without a distribution: a customer's own mean, drawn to the mean of all.

    `own` is worth as many orders as it takes for a customer's own mean to count as much as the mean of all:
    the variance within customers over that between them.
    """

    mean: float
    weight: float

    def expected(self, orders: Floats, mean: Floats) -> Floats:
        return (self.weight * self.mean + orders * np.nan_to_num(mean)) / (self.weight + orders)


@dataclass(frozen=True)
class Learned:
    """What `predict` needs. `kind`: how orders come (`none`: abstain); `typical` is None where no amount is
    known, `spending` where Gamma-Gamma can't be used.
    """

    kind: Kind
    rates: Rates | None = None
    renewals: Renewals | None = None
    spending: Spending | None = None
    typical: Typical | None = None
    returns: tuple[Returns, Returns] | None = None
    bg_nbd: bgnbd.Fit | None = None
    gamma_gamma: Spending | None = None
    """As fitted, also where it could not be used."""

    def to_json(self) -> dict[str, JsonValue]:
        """Twelve digits: what arithmetic in another order can change is not kept."""
        parts: dict[str, Any] = {"kind": self.kind}
        for name in ("rates", "renewals", "spending", "typical"):
            part = getattr(self, name)
            parts[name] = None if part is None else asdict(part)
        parts["returns"] = (
            None
            if self.returns is None
            else [
                {
                    "days": each.days.tolist(),
                    "staying": each.staying.tolist(),
                    "until": each.until,
                    "rate": each.rate,
                }
                for each in self.returns
            ]
        )
        rounded: dict[str, JsonValue] = shortened(parts)
        return rounded

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Learned:
        def part(name: str, kind: type) -> Any:
            return None if found[name] is None else kind(**found[name])

        after = found["returns"]
        return cls(
            kind=found["kind"],
            rates=part("rates", Rates),
            renewals=part("renewals", Renewals),
            spending=part("spending", Spending),
            typical=part("typical", Typical),
            returns=None
            if after is None
            else tuple(  # type: ignore[arg-type]
                Returns(
                    np.array(e["days"], np.int64), np.array(e["staying"], np.float64), e["until"], e["rate"]
                )
                for e in after
            ),
        )


def learn(purchases: Purchases, customers: CustomerKind) -> Learned:
    """Fit what the orders allow: contracts, BG/NBD, NBD where nobody leaves, or nothing."""
    histories = purchases.histories()
    repeaters = int((histories.repeats > 0).sum())
    if repeaters < FEWEST_REPEATERS or not histories.age.any():
        return Learned("none", typical=typical(purchases, histories))
    base = Learned("none", typical=typical(purchases, histories))
    if customers == "contracts" or (customers == "auto" and _look_contractual(purchases)):
        return replace(base, kind="contract", renewals=contract.fit(purchases))
    counts = bgnbd.Counts.of(histories.repeats, histories.last / WEEK, histories.age / WEEK)
    fitted = bgnbd.fit(counts)
    spending = gamma_gamma.fit(histories.priced, histories.mean)
    usable = fitted.problem is None
    return replace(
        base,
        kind="bg_nbd" if usable else "nbd",
        rates=fitted.rates if usable else fitted.staying,
        spending=spending if spending.problem is None else None,
        returns=returns(purchases),
        bg_nbd=fitted,
        gamma_gamma=spending,
    )


def _look_contractual(purchases: Purchases) -> bool:
    share, several = contract.regular_share(purchases)
    return several >= contract.FEWEST and share >= CONTRACTUAL


def typical(purchases: Purchases, histories: Histories) -> Typical | None:
    """The mean of all purchase days whose amount is known, and what a customer's own mean is worth."""
    amount, known = purchases.amount, np.isfinite(purchases.amount)
    if not known.any():
        return None
    mean = float(amount[known].mean())
    number, total = histories.known, histories.spent
    several = number >= 2
    if several.sum() < 2:
        return Typical(mean, 1.0)
    own = np.zeros(len(purchases.ids))
    own[histories.customer] = total / np.maximum(number, 1)
    of = purchases.customer[known]
    squares = np.bincount(of, (amount[known] - own[of]) ** 2, minlength=len(own))[histories.customer]
    within = float(squares[several].sum() / (number[several] - 1).sum())
    means = (total / np.maximum(number, 1))[several]
    between = float(means.var(ddof=1) - within * (1 / number[several]).mean())
    return Typical(mean, float(np.clip(within / between, 0.01, 100.0)) if between > 0 else 100.0)


def shortened(value: Any) -> Any:
    """Figures in twelve digits, those that are not finite as None."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: shortened(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [shortened(each) for each in value]
    return value
