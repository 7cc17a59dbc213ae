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

from crmbridge.metrics.arrays import Codes, Floats, Mask
from crmbridge.metrics.forecast.history import History

REACH: Final = 400
"""Days a curve reaches: a year and a month."""
MEMORY: Final = 3 * 365.0
"""Days looked back for curves: older deals were sold by another team to another market."""
FEWEST_ENDED: Final = 20
"""Ended deals a curve needs; with fewer, the curve of all stages together is used."""
_QUANTILES: Final = (0.25, 0.5, 0.75, 0.9)
ANY: Final = -1


@dataclass(frozen=True)
class Curve:
    """Share won by each day 0 to REACH from the landmark on; `ended` deals it is known from."""

    landmark: float
    won: Floats
    ended: int


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
    whole = _landmarks(entered, left, history.closed[known], history.won[known], day)
    if not whole:
        return None
    deal = history.stay_deal
    begun = history.since < day
    by_stage = {ANY: whole}
    for stage in range(history.stages):
        rows = np.flatnonzero(begun & (history.stay_stage == stage))
        of = deal[rows]
        curves = _landmarks(
            history.since[rows], history.until[rows], history.closed[of], history.won[of], day
        )
        if curves:
            by_stage[stage] = curves
    return Curves(by_stage, whole[0])


def _landmarks(entered: Floats, left: Floats, closed: Floats, won: Mask, day: float) -> list[Curve]:
    """The curves from landmarks of the time in a stage; the first is 0, that of all who entered."""
    recent = entered >= day - MEMORY
    entered, left, closed, won = entered[recent], left[recent], closed[recent], won[recent]
    stayed = np.minimum(left, day) - entered
    longer = stayed[(left < day) & (stayed > 0)]
    marks = [0.0]
    if len(longer):
        marks += [float(mark) for mark in np.unique(np.floor(np.quantile(longer, _QUANTILES))) if mark > 0]
    curves = []
    for mark in marks:
        there = stayed >= mark
        origin = entered[there] + mark
        ended = closed[there] < day
        if int(ended.sum()) < FEWEST_ENDED:
            break
        time = np.where(ended, closed[there], day) - origin
        curves.append(Curve(mark, cumulative_incidence(time, ended, won[there]), int(ended.sum())))
    return curves


def cumulative_incidence(time: Floats, ended: Mask, won: Mask) -> Floats:
    """F(0) to F(REACH): the share won by each whole day; `time` is to the end, or to today where open."""
    day = np.minimum(np.floor(np.maximum(time, 0.0)), REACH + 1).astype(np.int64)
    size = REACH + 2
    at_risk = len(day) - np.concatenate([[0], np.cumsum(np.bincount(day, minlength=size))[:-1]])
    ends: Codes = np.bincount(day[ended], minlength=size)
    wins: Codes = np.bincount(day[ended & won], minlength=size)
    there = np.maximum(at_risk, 1)
    left = np.cumprod(1.0 - ends / there)
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
