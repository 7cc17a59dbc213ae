"""What may be published: how much a model may know, and whether it may replace the one in use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from crmbridge.metrics.need.arrays import Floats, Ints, distinct
from crmbridge.metrics.need.calibrate import (
    Recalibration,
    calibration_error,
    cross_fitted,
    recalibration,
)
from crmbridge.metrics.need.evaluate import Estimate, auc, brier, gain, mean_log_loss
from crmbridge.metrics.need.logistic import probability
from crmbridge.metrics.need.tested import Level, Tested

NEEDED: Final = 10
"""Records of each outcome from which on inputs are used."""
NEEDED_TO_TEST: Final = 200
"""Tested records from which on it is told whether the model is of use, and whether it is calibrated."""
NEEDED_TO_COMPARE: Final = 20
"""Records with new outcomes from which on a model is compared with the one in use."""


@dataclass(frozen=True)
class Decision:
    """The level, whether it is provisional, and what puts it right (None where nothing does or need be).

    `shown` are the predictions (log-odds, per tested case) by which the model is judged: recalibrated where
    the model is, by other outcomes than their own. `miscalibrated` names the levels that were refused for it.
    """

    level: Level
    provisional: bool
    recalibration: Recalibration | None = None
    shown: Floats = field(default_factory=lambda: np.zeros(0))
    miscalibrated: tuple[tuple[Level, Estimate], ...] = ()


def decide(tested: Tested | None, positives: int, negatives: int, limit: float) -> Decision:
    """What may be published, of so many records of each outcome to learn from.

    A level whose calibration error is shown to be `limit` or more (by its lower 90 % bound) gives way to a
    lower one. One rate for all is the last: recalibrated, it is the rate of the newest outcomes.
    """
    if positives + negatives == 0:
        return Decision("none", True)
    if tested is None:
        return Decision("base" if min(positives, negatives) < NEEDED else "full", True)
    few = tested.records < NEEDED_TO_TEST or min(positives, negatives) < NEEDED
    best: Level = "base" if min(positives, negatives) < NEEDED else _most_useful(tested, few)
    refused: list[tuple[Level, Estimate]] = []
    for level in _down_from(best, tested):
        found, shown = _put_right(tested, tested.published(level))
        if few or level == "base":
            return Decision(level, few, found, shown, tuple(refused))
        error = calibration_error(probability(shown), tested.y, tested.group)
        if is_calibrated(error, limit):
            return Decision(level, few, found, shown, tuple(refused))
        refused.append((level, error))
    raise AssertionError("the base rate is always left")


def is_calibrated(error: Estimate, limit: float) -> bool:
    """Whether a bias-corrected calibration error is not shown to be `limit` or more."""
    return error.least < limit


def _most_useful(tested: Tested, few: bool) -> Level:
    gained, ranks = tested.gain_of_inputs, tested.auc_at_same_age
    if gained is not None and few and gained.high > 0.0:
        return "full"
    # With few good outcomes the ranking shows earlier than the log-loss that there is something to see.
    ranks_surely = ranks is not None and ranks.surely_above(0.5)
    if gained is not None and gained.value > 0.0 and (gained.surely_above(0.0) or ranks_surely):
        return "full"
    of_age = tested.gain_of_age
    return "age" if of_age is not None and of_age.surely_above(0.0) else "base"


def _down_from(level: Level, tested: Tested) -> Iterator[Level]:
    order: tuple[Level, ...] = ("full", "age", "base")
    for lower in order[order.index(level) :]:
        if lower != "age" or tested.age is not None:
            yield lower


def _put_right(tested: Tested, logit: Floats) -> tuple[Recalibration | None, Floats]:
    """Recalibration by the newest outcomes, where they show that it is needed, and the predictions then."""
    if tested.kind == "folds" or tested.records < NEEDED_TO_TEST:
        return None, logit
    weight = tested.records / len(tested.y)
    found = recalibration(logit, tested.y, weight)
    if not found.shown:
        return None, logit
    return found, cross_fitted(logit, tested.y, tested.half, weight)


@dataclass(frozen=True)
class Comparison:
    """The model in use and the new one on outcomes that neither had seen. `records` had them."""

    name: str
    records: int
    figures: dict[str, Any] | None
    gain: Estimate | None

    @property
    def worse(self) -> bool:
        """Whether the new model is shown to be worse: even the upper end of what it gains is a loss."""
        return self.gain is not None and self.gain.high < 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "records": self.records,
            "metrics": self.figures,
            "gain": None if self.gain is None else self.gain.as_json(),
            "worse": self.worse,
        }


def enough_to_compare(y: Floats, group: Ints) -> bool:
    """Whether there are enough new outcomes, of both kinds. `group` is ordered."""
    return distinct(group) >= NEEDED_TO_COMPARE and 0.0 < float(y.mean()) < 1.0


def compare(name: str, old: Floats, new: Floats, y: Floats, group: Ints) -> Comparison:
    """`old`, `new`: what the model in use and the new one predict (log-odds) of enough new outcomes."""
    figures = {"previous": _figures(old, y, group), "new": _figures(new, y, group)}
    return Comparison(name, distinct(group), figures, gain(new, old, y, group))


def _figures(logit: Floats, y: Floats, group: Ints) -> dict[str, Any]:
    found = {
        "auc": auc(logit, y, group),
        "log_loss": mean_log_loss(logit, y, group),
        "brier": brier(logit, y, group),
        "ece": calibration_error(probability(logit), y, group),
    }
    return {key: None if each is None else each.as_json() for key, each in found.items()}
