"""Guards: what stops an automatic run before anything is written, each with one sentence and its figures.

Two are judged here from a plan's figures; `shrunk` and `wrong_org` are seen while pulling and come with the
plan. A person gets past a guard by name: `crmbridge apply PLAN --override GUARD`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from crmbridge.errors import GuardError, SettingsError
from crmbridge.model.records import ObjectName
from crmbridge.store.ledger import Plan

GUARDS: Final = ("max_changed", "score_shift", "shrunk", "wrong_org")

CHANGED_FROM: Final = 20
"""Fewer records that carry our values say nothing about a share."""
SHIFT_FROM: Final = 100
"""Fewer scored records say nothing about a distribution."""


class GuardSettings(BaseModel):
    """`[connections.NAME.guards]`.

    `max_changed`: the share of the records already carrying our values that a run may change without a
    person. `dead_band`: points by which a score must move to be written. `max_shift`: the population
    stability index between held and new scores above which the distribution counts as shifted (0.25 is the
    usual bound).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    max_changed: float = Field(default=0.3, ge=0, le=1)
    dead_band: float = Field(default=1.0, ge=0, le=100)
    max_shift: float = Field(default=0.25, ge=0)


@dataclass(frozen=True)
class Figures:
    """What the guards look at, for one object.

    `carrying` records hold values of ours, `changing` of them would change. `held_scores` are the scores
    held, `new_scores` those of the same records now (NaN where the metric abstains now).
    """

    object: ObjectName
    carrying: int
    changing: int
    held_scores: npt.NDArray[np.float64]
    new_scores: npt.NDArray[np.float64]


def tripped(figures: Iterable[Figures], settings: GuardSettings) -> dict[str, str]:
    """The guards that the figures trip, each with one sentence that says why."""
    changed, shifted = [], []
    for each in figures:
        if each.carrying >= CHANGED_FROM and each.changing > settings.max_changed * each.carrying:
            changed.append(
                f"{each.changing:,} of the {each.carrying:,} {each.object}s that carry values of ours "
                f"({each.changing / each.carrying:.0%}) would change"
            )
        if len(each.held_scores) >= SHIFT_FROM:
            shift = population_shift(each.held_scores, each.new_scores)
            if shift > settings.max_shift:
                shifted.append(
                    f"the scores of {len(each.held_scores):,} {each.object}s shift by {shift:.2f}, "
                    f"from a median of {np.median(each.held_scores):.1f} to {_median(each.new_scores)}"
                )
    sentences = {}
    if changed:
        sentences["max_changed"] = f"{_joined(changed)}; max_changed is {settings.max_changed:.0%}."
    if shifted:
        sentences["score_shift"] = f"{_joined(shifted)}; max_shift is {settings.max_shift:.2f}."
    return sentences


def population_shift(held: npt.NDArray[np.float64], new: npt.NDArray[np.float64]) -> float:
    """Population stability index of the new scores against those held: 0 for the same distribution.

    PSI = sum over bins of (q - p) ln(q / p), with p and q the shares of held and new scores. The bins are the
    deciles of the held scores and "no score" (NaN); where a tenth or more of them is at the minimum, what
    falls below it is a bin too. Every bin gets half a record more, so that an empty one counts as rare, not
    infinite.
    """
    edges = np.unique(np.quantile(held, np.linspace(0.1, 0.9, 9)))
    if edges[0] == held.min():
        edges = np.insert(edges, 0, np.nextafter(edges[0], -np.inf))
    shares = []
    for scores in (held, new):
        present = scores[~np.isnan(scores)]
        counts = np.bincount(np.searchsorted(edges, present), minlength=len(edges) + 1)
        smoothed = np.append(counts, len(scores) - len(present)) + 0.5
        shares.append(smoothed / smoothed.sum())
    p, q = shares
    return float(np.sum((q - p) * np.log(q / p)))


def refuse_guarded(plan: Plan, override: Sequence[str] = ()) -> None:
    """Raise GuardError for a guard of the plan that is not overridden, SettingsError for one that is none."""
    for name in override:
        if name not in GUARDS:
            raise SettingsError(f"there is no guard {name!r}.", remedy=f"The guards are {', '.join(GUARDS)}.")
    left = {name: why for name, why in plan.guards.items() if name not in override}
    if left:
        reasons = " ".join(f"Guard {name}: {why}" for name, why in left.items())
        flags = " ".join(f"--override {name}" for name in left)
        raise GuardError(
            f"plan {plan.id} is stopped, nothing was written. {reasons}",
            connection=plan.connection,
            remedy=f"Look at the plan; if it is right: crmbridge apply {plan.id} {flags}.",
        )


def _median(scores: npt.NDArray[np.float64]) -> str:
    present = scores[~np.isnan(scores)]
    return f"{np.median(present):.1f}" if len(present) else "no score at all"


def _joined(sentences: Sequence[str]) -> str:
    text = "; ".join(sentences)
    return text[0].upper() + text[1:]
