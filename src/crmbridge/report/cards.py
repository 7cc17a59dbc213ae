"""A need model's card, as a report reads it: what it can do, how well, from what, what it may not use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model

FIGURES: Final = {
    "auc": "AUC",
    "log_loss": "log-loss",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
}
"""The figures of quality, in the order in which they are read."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 90 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CalibrationBin:
    """Records whose chance was put at about `predicted`, and the share that came true. All 0 to 1."""

    records: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True)
class Figure:
    """A figure of quality on the test: of the model, of one rate for all, and of the model in use before (the
    latter on outcomes new to both)."""

    name: str
    model: Estimate
    base_rate: Estimate | None = None
    previous: Estimate | None = None


@dataclass(frozen=True)
class Confusion:
    """Tested cases with this grade or a better one, and the others, by whether their outcome came."""

    grade: str
    bound: float
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    precision: Estimate | None
    recall: Estimate | None


@dataclass(frozen=True)
class Drift:
    """What has changed: `predicted` and `observed` share of the newest records, and the inputs' PSI."""

    shown: bool
    predicted: float
    observed: float
    difference: Estimate
    inputs: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Contest:
    """The model beside another score that the CRM holds, on the same outcomes: AUC, Brier score and lift of
    the best tenth, of the model and of the rival. `ahead` is `model`, `rival` or None where it can't be told.
    """

    rival: str
    records: int
    ahead: str | None
    auc: tuple[Estimate, Estimate] | None = None
    brier: tuple[Estimate | None, Estimate | None] = (None, None)
    lift: tuple[Estimate | None, Estimate | None] = (None, None)


@dataclass(frozen=True)
class Card:
    """What a person reads of a fitted need model. Shares and chances are 0 to 1.

    `level` is what is published: `full` (all inputs), `age` (the base rate of a record's age), `base` (one
    rate for all) or `none` (no scores). `auc` is that of all inputs: below `full` it says why they are not
    used. `lifts` by the best-scored share; `recalibrated` is intercept and slope. `blocked`, `dropped` give
    inputs by name with the reason why they are not used; `assumed` how many values of an input are only
    assumed to have been known in time.
    """

    object: ObjectName
    model: str
    provisional: bool
    level: str
    target: str
    verdict: tuple[str, ...]
    outcomes: int
    positives: int
    tested_on: int
    base_rate: Estimate | None = None
    auc: Estimate | None = None
    ece: Estimate | None = None
    lift: Estimate | None = None
    figures: tuple[Figure, ...] = ()
    lifts: tuple[tuple[float, Estimate], ...] = ()
    confusion: tuple[Confusion, ...] = ()
    drift: Drift | None = None
    recalibrated: tuple[Estimate, Estimate] | None = None
    previous: str | None = None
    arena: tuple[Contest, ...] = ()
    since: str | None = None
    until: str | None = None
    calibration: tuple[CalibrationBin, ...] = ()
    inputs: tuple[str, ...] = ()
    assumed: Mapping[str, int] = field(default_factory=dict)
    blocked: tuple[tuple[str, str], ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    excluded: tuple[str, ...] = ()
    included: tuple[str, ...] = ()

    @property
    def blind(self) -> bool:
        """Whether the inputs tell nothing about the outcome, although there was enough to learn from."""
        return self.level in ("base", "age") and not self.provisional


def card_of(model: Model) -> Card:
    """The card of a need model. Raises KeyError for a model of another metric."""
    card: Mapping[str, Any] = model.card
    outcomes, figures = card["outcomes"], card["metrics"] or {}
    lift = next(iter(card["lift"]), None)
    return Card(
        object=model.object,
        model=model.name,
        provisional=model.provisional,
        level=card["published"],
        target=card["target"],
        verdict=tuple(card["verdict"]),
        outcomes=outcomes["used_records"],
        positives=outcomes["used_positives"],
        tested_on=card["split"]["test"],
        base_rate=_estimate(card["base_rate"]),
        auc=_estimate(figures.get("auc_all_inputs")),
        ece=_estimate(figures.get("ece")),
        lift=_estimate(lift),
        figures=_figures(figures, (card["previous"] or {}).get("metrics") or {}),
        lifts=tuple((found["share"], _known(found)) for found in card["lift"]),
        confusion=tuple(_confusion(found) for found in card["confusion"]),
        drift=_drift(card["drift"]),
        recalibrated=_recalibrated(card["recalibration"]),
        previous=None if card["previous"] is None else card["previous"]["model"],
        since=outcomes["from"],
        until=outcomes["to"],
        calibration=tuple(
            CalibrationBin(found["n"], found["predicted"], found["observed"], found["low"], found["high"])
            for found in card["calibration"]
        ),
        arena=tuple(_contest(found) for found in card["arena"]),
        inputs=tuple(found["label"] for found in card["inputs"]),
        assumed={found["label"]: found["assumed"] for found in card["inputs"] if found["assumed"]},
        blocked=_reasons(card["blocked"]),
        dropped=_reasons(card["dropped"]),
        excluded=tuple(card["excluded"]),
        included=tuple(card["included"]),
    )


def _known(found: Mapping[str, float]) -> Estimate:
    return Estimate(found["value"], found["low"], found["high"])


def _estimate(found: Mapping[str, float] | None) -> Estimate | None:
    return None if found is None else _known(found)


def _figures(found: Mapping[str, Any], compared: Mapping[str, Any]) -> tuple[Figure, ...]:
    before = compared.get("previous", {})
    return tuple(
        Figure(
            FIGURES[key],
            _known(found[key]),
            _estimate(found.get(f"{key}_base_rate")),
            _estimate(before.get(key)),
        )
        for key in FIGURES
        if found.get(key) is not None
    )


def _confusion(found: Mapping[str, Any]) -> Confusion:
    return Confusion(
        found["grade"],
        found["from"],
        found["true_positives"],
        found["false_positives"],
        found["false_negatives"],
        found["true_negatives"],
        _estimate(found["precision"]),
        _estimate(found["recall"]),
    )


def _contest(found: Mapping[str, Any]) -> Contest:
    sides = found["model"], found["rival"]
    if None in sides:
        return Contest(found["label"], found["records"], found["ahead"])
    model, rival = sides
    return Contest(
        found["label"],
        found["records"],
        found["ahead"],
        (_known(model["auc"]), _known(rival["auc"])),
        (_estimate(model["brier"]), _estimate(rival["brier"])),
        (_estimate(next(iter(model["lift"]), None)), _estimate(next(iter(rival["lift"]), None))),
    )


def _drift(found: Mapping[str, Any] | None) -> Drift | None:
    if found is None:
        return None
    off = found["calibration"]
    inputs = tuple((each["label"], each["psi"]) for each in found["features"])
    return Drift(found["shown"], off["predicted"], off["observed"], _known(off["difference"]), inputs)


def _recalibrated(found: Mapping[str, Any] | None) -> tuple[Estimate, Estimate] | None:
    return None if found is None else (_known(found["intercept"]), _known(found["slope"]))


def _reasons(found: Sequence[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((row["label"], row["reason"]) for row in found)
