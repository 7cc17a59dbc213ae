"""The score arena: other scores that the CRM holds, graded beside this model on the same outcomes.

A rival's score is what its field held at the moment of the prediction, by the lake's versions; where it was
not known then, it is not graded, for a score that goes on changing after the outcome is none. It is never an
input: whoever uses it cannot judge it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from crmbridge.metrics.need.arrays import Flags, Floats, distinct
from crmbridge.metrics.need.columns import Column
from crmbridge.metrics.need.evaluate import auc, auc_difference, estimate, lift
from crmbridge.metrics.need.logistic import probability
from crmbridge.metrics.need.tested import Tested
from crmbridge.model.columns import ATTRIBUTE_PREFIX

KNOWN: Final = {
    # Salesforce: Einstein scores of opportunities and leads, and the chance that goes with a stage
    *("iqscore", "scoreintelligencescore", "einsteinscore", "einsteinleadscore", "einsteinopportunityscore"),
    *("probability", "opportunityprobability"),
    # HubSpot: predictive scores, the manual one, and the chance that goes with a stage
    *("hspredictivecontactscore", "hspredictivecontactscorev2", "hspredictivescoringtier", "hubspotscore"),
    *("hslikelihoodtoclose", "hsdealscore", "hsdealstageprobability", "hsforecastprobability"),
    # Zoho: Zia's prediction, and the scoring rules' points
    *("ziascore", "ziaprediction", "ziapredictionscore", "score", "positivescore", "negativescore"),
    *("touchpointscore", "touchpointpositivescore", "touchpointnegativescore"),
    # Dynamics
    *("msdynpredictivescore", "msdynscore", "msdynleadscore", "msdynopportunityscore", "closeprobability"),
    *("msdynleadgrade", "msdynopportunitygrade", "msdynleadscoretrend", "msdynopportunityscoretrend"),
    # Odoo
    *("automatedprobability",),
}
"""Names of the vendors' own scores, in small letters without signs."""
FEWEST: Final = 20
"""Records with an outcome and a score known in time, below which nothing is said."""
_SHARES: Final = (0.1, 0.3)
_SCHEMA: Final = pa.schema(
    [
        ("rival", pa.string()),
        ("contestant", pa.string()),
        ("records", pa.int64()),
        *(
            (name + end, pa.float64())
            for name in ("auc", "brier", *(f"lift_{part * 100:.0f}" for part in _SHARES))
            for end in ("", "_low", "_high")
        ),
        ("is_ahead", pa.bool_()),
    ]
)


def is_rival(name: str, rivals: Collection[str]) -> bool:
    """Whether the field holds another score: by its name, or because the settings say so."""
    own = name.removeprefix(ATTRIBUTE_PREFIX)
    if own in rivals or ATTRIBUTE_PREFIX + own in rivals:
        return True
    plain = re.sub(r"[^a-z0-9]", "", own.lower().removesuffix("__c"))
    return name.startswith(ATTRIBUTE_PREFIX) and plain in KNOWN


@dataclass(frozen=True)
class Rival:
    """A rival's score per training case, and where it is known to have been there in time."""

    label: str
    column: Column
    in_time: Flags


def arena(rivals: Sequence[Rival], tested: Tested | None, shown: Floats) -> list[dict[str, Any]]:
    """One row per rival. `shown`: what the model says of each tested case, in log-odds.

    `ahead` is `model` or `rival` where the 90 % interval of the difference of the AUCs leaves no doubt. Brier
    takes a score of 0 to 1, or 0 to 100, for the chance it looks like; there is none for other points.
    """
    return [_graded(rival, tested, shown) for rival in rivals]


def arena_table(card: Mapping[str, Any]) -> pa.Table:
    """The arena of a card as a table: a row per rival and contestant, intervals beside the figures."""
    rows = []
    for found in card.get("arena", ()):
        for contestant in ("model", "rival"):
            figures = found[contestant] or {"auc": None, "brier": None, "lift": []}
            lifts = {round(each["share"], 3): each for each in figures["lift"]}
            row = {"rival": found["name"], "contestant": contestant, "records": found["records"]}
            for name, figure in (
                ("auc", figures["auc"]),
                ("brier", figures["brier"]),
                *((f"lift_{part * 100:.0f}", lifts.get(part)) for part in _SHARES),
            ):
                for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
                    row[name + end] = None if figure is None else figure[key]
            row["is_ahead"] = None if found["ahead"] is None else found["ahead"] == contestant
            rows.append(row)
    return pa.Table.from_pylist(rows, _SCHEMA)


def _graded(rival: Rival, tested: Tested | None, shown: Floats) -> dict[str, Any]:
    row: dict[str, Any] = {"name": rival.column.name, "label": rival.label, "records": 0, "ahead": None}
    empty = {"positives": 0, "model": None, "rival": None, "difference": None}
    if tested is None or rival.column.numbers is None:
        return row | empty
    points = rival.column.numbers[tested.rows]
    rows = np.flatnonzero(rival.in_time[tested.rows] & np.isfinite(points) & ~tested.undecided)
    y, group = tested.y[rows], tested.group[rows]
    row["records"] = distinct(group)
    if row["records"] < FEWEST or not 0.0 < float(y.mean()) < 1.0:
        return row | empty
    row["positives"] = distinct(group[y == 1.0])
    chance = _chance(rival.column.known_numbers(), points[rows])
    ours, theirs = probability(shown[rows]), points[rows]
    difference = auc_difference(shown[rows], theirs, y, group)
    if difference is not None and difference.low > 0.0:
        row["ahead"] = "model"
    elif difference is not None and difference.high < 0.0:
        row["ahead"] = "rival"
    return row | {
        "model": _figures(shown[rows], ours, y, group),
        "rival": _figures(theirs, chance, y, group),
        "difference": None if difference is None else difference.as_json(),
    }


def _chance(known: Floats, points: Floats) -> Floats | None:
    """Points as chances; None where their range is not that of chances. `known`: all points there are."""
    low, high = float(known.min()), float(known.max())
    if low < 0.0 or high > 100.0:
        return None
    return points if high <= 1.0 else points / 100.0


def _figures(score: Floats, chance: Floats | None, y: Floats, group: np.ndarray) -> dict[str, Any]:
    area = auc(score, y, group)
    brier = None
    if chance is not None:
        off = (chance - y) ** 2
        brier = estimate(float(off.mean()), (off - off.mean()) / len(y), group, low=0.0, high=1.0).as_json()
    return {
        "auc": None if area is None else area.as_json(),
        "brier": brier,
        "lift": [found for part in _SHARES if (found := lift(score, y, group, part)) is not None],
    }
