"""When deals are won: cumulative incidence from a stage and the time spent in it, open deals censored.

Of the deals that reached day d of a stage, the share won within t days more (Aalen and Johansen 1978, with
lost as the competing end; open deals are at risk until today):

    F(t) = sum over u <= t of S(u - 1) * won(u) / at risk(u),    S(u) = prod (1 - ended(u) / at risk(u))

d is a *landmark*: the largest of the stage's landmarks that the deal has reached (van Houwelingen 2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from crmbridge.metrics.arrays import Floats, Mask
from crmbridge.metrics.forecast.history import History

REACH: Final = 400
"""Days a curve reaches: a year and a month."""
MEMORY: Final = 3 * 365.0
"""Days looked back for curves: older deals were sold by another team to another market."""
FEWEST_ENDED: Final = 20
"""Ended deals a curve needs; with fewer, the curve of all stages together is used."""
FEWEST_LATE: Final = 8
"""Known deals a curve from a later landmark needs: those that ended, and those watched for WATCHED days."""
WATCHED: Final = 90.0
_QUANTILES: Final = (0.25, 0.5, 0.75, 0.9)
ANY: Final = -1


@dataclass(frozen=True)
class Curve:
    """Share won by each day 0 to REACH from the landmark on, and how it is known: `ended` deals, and `known`
    ones, those that are still open after WATCHED days among them. `value` is the share of the money won: each
    deal counts with its amount.
    """

    landmark: float
    won: Floats
    value: Floats
    ended: int
    known: int


@dataclass(frozen=True)
class Curves:
    """The curves of each stage by growing landmark; of ANY stage, counted from creation; of new deals."""

    by_stage: dict[int, list[Curve]]
    new: Curve

    def of(self, stage: int, days: float, age: float) -> tuple[int, Curve]:
        """The curve of an open deal, and the stage it is taken from (ANY where its own has none)."""
        known = self.by_stage.get(stage)
        taken, reached = (ANY, age) if known is None else (stage, days)
        curves = self.by_stage[ANY] if known is None else known
        fitting = [curve for curve in curves if not curve.landmark > reached]  # NaN has reached everything
        return taken, (curves[0] if np.isnan(reached) else (fitting or curves[:1])[-1])


def learn(history: History, day: float) -> Curves | None:
    """The curves as of a day; None where fewer than FEWEST_ENDED deals had ended."""
    known = history.created < day
    entered, left = history.created[known], history.closed[known]
    amount = _weights(history.amount)
    whole = _landmarks(entered, left, history.closed[known], history.won[known], amount[known], day)
    if not whole:
        return None
    deal = history.stay_deal
    begun = history.since < day
    by_stage = {ANY: whole}
    for stage in range(history.stages):
        rows = np.flatnonzero(begun & (history.stay_stage == stage))
        of = deal[rows]
        curves = _landmarks(
            history.since[rows], history.until[rows], history.closed[of], history.won[of], amount[of], day
        )
        if curves:
            by_stage[stage] = curves
    return Curves(by_stage, whole[0])


def _landmarks(
    entered: Floats, left: Floats, closed: Floats, won: Mask, amount: Floats, day: float
) -> list[Curve]:
    """The curves from landmarks of the time in a stage; the first is 0, that of all who entered."""
    recent = entered >= day - MEMORY
    entered, left, closed = entered[recent], left[recent], closed[recent]
    won, amount = won[recent], amount[recent]
    stayed = np.minimum(left, day) - entered
    longer = stayed[(left < day) & (stayed > 0)]
    marks = [0.0]
    if len(longer):
        marks += [float(mark) for mark in np.unique(np.floor(np.quantile(longer, _QUANTILES))) if mark > 0]
        # Deals that nobody looks at any more wait for ever: they must not count as those of the last tenth.
        while 0 < marks[-1] < REACH:
            marks.append(2 * marks[-1])
    curves: list[Curve] = []
    for mark in marks:
        there = stayed >= mark
        ended = closed[there] < day
        time = np.where(ended, closed[there], day) - entered[there] - mark
        known = int((ended | (time >= WATCHED)).sum())
        if int(ended.sum()) < FEWEST_ENDED and (not curves or known < FEWEST_LATE):
            break
        share = cumulative_incidence(time, ended, won[there])
        value = cumulative_incidence(time, ended, won[there], amount[there])
        curves.append(Curve(mark, share, value, int(ended.sum()), known))
    return curves


def _weights(amount: Floats) -> Floats:
    """What each deal counts for in money: its amount, the mean of all where it has none."""
    given = np.isfinite(amount) & (amount > 0)
    return np.where(given, amount, amount[given].mean() if given.any() else 1.0)


def cumulative_incidence(time: Floats, ended: Mask, won: Mask, weight: Floats | None = None) -> Floats:
    """F(0) to F(REACH): the share won by each whole day; `time` is to the end, or to today where open.

    With a `weight` the share of the weight.
    """
    day = np.minimum(np.floor(np.maximum(time, 0.0)), REACH + 1).astype(np.int64)
    size = REACH + 2
    counted = np.ones(len(day)) if weight is None else weight / max(float(weight.max(initial=0.0)), 1e-300)
    # At risk on a day are those that leave then or later, summed from the end: no rounding at its zeros.
    at_risk = np.cumsum(np.bincount(day, counted, size)[::-1])[::-1]
    ends = np.bincount(day[ended], counted[ended], size)
    wins = np.bincount(day[ended & won], counted[ended & won], size)
    there = np.where(at_risk > 0, at_risk, 1.0)
    left = np.cumprod(np.clip(1.0 - ends / there, 0.0, 1.0))
    before = np.concatenate([[1.0], left[:-1]])
    share: Floats = np.cumsum(before * wins / there)[: REACH + 1]
    return share


def by(curve: Floats, days: Floats) -> Floats:
    """The share won before `days` more have passed: 0 before the first, the last known one after REACH."""
    place = np.clip(np.ceil(days).astype(np.int64), 0, REACH + 1)
    return np.concatenate([[0.0], curve])[place]


def area(curve: Floats, days: Floats) -> Floats:
    """The integral of `by` from 0 to `days`; 0 for days before."""
    steps = np.concatenate([[0.0], np.cumsum(curve)])
    whole = np.clip(np.floor(days), 0, REACH).astype(np.int64)
    rest = np.maximum(days, 0.0) - whole
    return steps[whole] + rest * curve[np.minimum(whole, REACH)]
