"""A model's card in plain words: what the model can do, how well, from what, and what it may not use."""

from __future__ import annotations

from dataclasses import dataclass

from crmbridge.model.records import ObjectName


@dataclass(frozen=True)
class Estimate:
    """A figure with its 90 % interval, where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class CalibrationBin:
    """Records whose chance was put at about `predicted`, and the share that came true. All 0 to 1."""

    records: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True)
class Card:
    """What a person reads of a fitted model. Shares and chances are 0 to 1.

    `blocked` and `assumed` give inputs with the reason why they are not used, or only with care.
    """

    metric: str
    object: ObjectName
    model: str
    provisional: bool
    verdict: str
    outcomes: int
    positives: int
    auc: Estimate | None = None
    brier: Estimate | None = None
    ece: Estimate | None = None
    lift: Estimate | None = None
    since: str | None = None
    until: str | None = None
    calibration: tuple[CalibrationBin, ...] = ()
    blocked: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def base_rate(self) -> float | None:
        """The share of the outcomes that came true."""
        return self.positives / self.outcomes if self.outcomes else None
