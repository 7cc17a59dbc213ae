"""Revenue of the months to come, by simulation: open deals, and those not there yet.

What is drawn, DRAWS times with a seed: for each stage how well its deals are won (Beta, from the deals that
ended there), for each open deal whether and in which month it is won, how many deals will be made (gamma,
from the last months, as uneven as these were), when they are won, and what they bring (from the deals won).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from crmbridge.metrics.arrays import Codes, Floats
from crmbridge.metrics.forecast.curves import MEMORY, Curve, Curves, area, by
from crmbridge.metrics.forecast.history import History, first_day, month_of

DRAWS: Final = 2000
RATE_MONTHS: Final = 6
"""Full months from which the pace of new deals is taken."""
_SINGLY: Final = 2_000
"""Open deals up to which each is drawn by itself; sums of more are drawn as normal with their moments."""
_AMOUNTS_SINGLY: Final = 200
"""Won deals of a month up to which each amount is drawn by itself."""


@dataclass(frozen=True)
class Drawn:
    """Revenue per draw and month, `open_deals` and `new_deals` (both DRAWS x months), of `months`."""

    months: Codes
    open_deals: Floats
    new_deals: Floats

    @property
    def total(self) -> Floats:
        return self.open_deals + self.new_deals


@dataclass(frozen=True)
class OpenDeals:
    """The open deals on a day: number, group (stage of the curve), and share won by each month's end.

    `chance` is the share won within `horizon` days.
    """

    deal: Codes
    group: Codes
    by_month: Floats
    chance: Floats
    known: Mapping[int, int]


def bounds(day: float, months: int) -> tuple[Codes, Floats]:
    """The calendar months from the day's own on, and the instants where they begin and end."""
    numbers = month_of(day) + np.arange(months)
    starts = np.array([first_day(int(number)) for number in (*numbers, numbers[-1] + 1)])
    return numbers, np.maximum(starts, day)


def standing(history: History, curves: Curves, day: float, months: int, horizon: int) -> OpenDeals:
    """The open deals on a day with what their stage and the time in it say."""
    deal = history.open_on(day)
    stage, since = history.stand_on(day)
    edges = bounds(day, months)[1] - day
    chosen = [
        curves.of(int(at), begun, age)
        for at, begun, age in zip(stage[deal], day - since[deal], day - history.created[deal], strict=True)
    ]
    group = np.array([at for at, _ in chosen], np.int64)
    places: dict[int, int] = {}
    shapes: list[Curve] = []
    for _, curve in chosen:
        if id(curve) not in places:
            places[id(curve)] = len(shapes)
            shapes.append(curve)
    place = np.array([places[id(curve)] for _, curve in chosen], np.int64)
    table = np.array([by(curve.value, edges) for curve in shapes]).reshape(len(shapes), months + 1)
    within = np.array([by(curve.value, np.array([float(horizon)]))[0] for curve in shapes])
    return OpenDeals(
        deal,
        group,
        table[place],
        within[place] if len(deal) else np.zeros(0),
        {stage: found[0].known for stage, found in curves.by_stage.items()},
    )


def simulate(history: History, curves: Curves, there: OpenDeals, day: float, months: int, seed: int) -> Drawn:
    """The draws as of a day. `there` may say other chances than the curves (see `metric`)."""
    draw = np.random.default_rng([seed, int(np.floor(day))])
    amounts = won_amounts(history, day)
    numbers, edges = bounds(day, months)
    factors = {
        group: _factors(draw, float(there.chance[there.group == group].mean()), there.known[group])
        for group in np.unique(there.group).tolist()
    }
    own = history.amount[there.deal]
    own = np.where(np.isfinite(own), own, amounts.mean())
    monthly = np.diff(there.by_month, axis=1)
    open_deals = np.zeros((DRAWS, months))
    for group, factor in factors.items():
        rows = there.group == group
        open_deals += _won(draw, own[rows], monthly[rows], factor)
    return Drawn(numbers, open_deals, _new_deals(draw, history, curves.new, amounts, day, edges))


def won_amounts(history: History, day: float) -> Floats:
    """The amounts of the deals won within MEMORY before the day; a zero where there are none."""
    found = history.amount[history.won_between(day - MEMORY, day)]
    found = found[np.isfinite(found)]
    return found if len(found) else np.zeros(1)


def _factors(draw: np.random.Generator, chance: float, known: int) -> Floats:
    """How much better or worse than its curve a stage may turn out, per draw: Beta over its chance."""
    chance = min(max(chance, 1e-6), 1.0 - 1e-6)
    drawn: Floats = draw.beta(chance * known + 0.5, (1.0 - chance) * known + 0.5, DRAWS)
    return drawn / chance


def _won(draw: np.random.Generator, amount: Floats, monthly: Floats, factor: Floats) -> Floats:
    """Revenue per draw and month of open deals with these chances per month (deals x months)."""
    months = monthly.shape[1]
    # The chances of a deal's months together stay below one, however well its stage turns out.
    most = monthly.sum(axis=1).max(initial=0.0)
    factor = np.minimum(factor, 1.0 / most if most > 0 else 1.0)
    if len(amount) > _SINGLY:
        mean = (amount[:, None] * monthly).sum(axis=0)
        square = (amount[:, None] ** 2 * monthly).sum(axis=0)
        quartic = (amount[:, None] ** 2 * monthly**2).sum(axis=0)
        variance = factor[:, None] * square - factor[:, None] ** 2 * quartic
        noise = draw.standard_normal((DRAWS, months))
        drawn: Floats = np.maximum(factor[:, None] * mean + np.sqrt(np.maximum(variance, 0.0)) * noise, 0.0)
        return drawn
    total = np.zeros((DRAWS, months))
    edges = np.cumsum(monthly, axis=1)
    every = np.arange(DRAWS)
    for value, reached in zip(amount.tolist(), edges, strict=True):
        month = np.searchsorted(reached, draw.random(DRAWS) / np.maximum(factor, 1e-12), side="right")
        won = month < months
        total[every[won], month[won]] += value
    return total


def _new_deals(
    draw: np.random.Generator, history: History, curve: Curve, amounts: Floats, day: float, edges: Floats
) -> Floats:
    """Revenue per draw and month of deals that are made after the day."""
    months = len(edges) - 1
    pace = _paces(draw, history, day, months)
    chance = float(curve.won[-1])
    factor = _factors(draw, chance, curve.known) if chance > 0 else np.zeros(DRAWS)
    # Deals made evenly over month j are won in month m by the double integral of the curve.
    ends, starts = edges[1:], edges[:-1]
    between = (
        area(curve.won, ends[:, None] - starts[None, :])
        - area(curve.won, ends[:, None] - ends[None, :])
        - area(curve.won, starts[:, None] - starts[None, :])
        + area(curve.won, starts[:, None] - ends[None, :])
    )
    expected = np.maximum(pace @ np.maximum(between, 0.0).T, 0.0) * factor[:, None]
    number = draw.poisson(expected)
    return _sums(draw, amounts, number)


def _paces(draw: np.random.Generator, history: History, day: float, months: int) -> Floats:
    """New deals per day, per draw and month: gamma around the last months' pace, as uneven as these were."""
    this = month_of(day)
    starts = np.array([first_day(month) for month in range(this - RATE_MONTHS, this + 1)])
    known = history.created[history.created < day]
    oldest = float(known.min()) if len(known) else day
    full = starts[:-1] >= oldest
    made = np.histogram(known, starts)[0][full].astype(np.float64)
    days = np.diff(starts)[full]
    if not len(made):  # less than a month is known
        made, days = np.array([float(len(known))]), np.array([max(day - oldest, 1.0)])
    pace = draw.gamma(made.sum() + 0.5, 1.0 / days.sum(), DRAWS)
    expected = made.sum() / days.sum() * days
    excess = 0.0
    if len(made) > 2 and made.any():
        excess = float((((made - expected) ** 2 - expected) / expected**2).mean())
    if not excess > 0.0:
        return np.repeat(pace[:, None], months, axis=1)
    return pace[:, None] * draw.gamma(1.0 / excess, excess, (DRAWS, months))


def _sums(draw: np.random.Generator, amounts: Floats, number: Codes) -> Floats:
    """Sums of so many amounts drawn from those won; of many, normal with their mean and variance."""
    many = number > _AMOUNTS_SINGLY
    sums = np.where(
        many,
        np.maximum(
            number * amounts.mean() + np.sqrt(number) * amounts.std() * draw.standard_normal(number.shape), 0
        ),
        0.0,
    )
    few = np.where(many, 0, number)
    drawn = draw.choice(amounts, int(few.sum()))
    totals = np.concatenate([[0.0], np.cumsum(drawn)])
    ends = np.cumsum(few.ravel())
    single = (totals[ends] - totals[ends - few.ravel()]).reshape(number.shape)
    return np.where(many, sums, single)
