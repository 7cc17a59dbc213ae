"""The model card: what the model knows, how good it is, and what it may not use, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, Final

import numpy as np

from crmbridge.metrics.need.arena import Rival
from crmbridge.metrics.need.arrays import Flags, Floats, Ints, distinct
from crmbridge.metrics.need.calibrate import calibration, calibration_error
from crmbridge.metrics.need.design import Design
from crmbridge.metrics.need.evaluate import (
    Estimate,
    auc,
    brier,
    lift,
    mean_log_loss,
    share,
    wilson,
)
from crmbridge.metrics.need.logistic import probability
from crmbridge.metrics.need.publish import NEEDED, NEEDED_TO_TEST, Decision
from crmbridge.metrics.need.snapshots import Training
from crmbridge.metrics.need.tested import Tested
from crmbridge.model.records import ObjectName

LIFT_SHARES: Final = (0.1, 0.3)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Inventory:
    """What became of every input, for the card: rows of JSON; and the other scores that were found."""

    used: list[dict[str, Any]] = field(default_factory=list)
    blocked: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    included: list[str] = field(default_factory=list)
    rivals: list[Rival] = field(default_factory=list)

    def learned(self, design: Design, scales: Floats) -> None:
        """Add the scales of the fields that the published model uses."""
        scale = {field.name: value for field, value in zip(design.fields, scales.tolist(), strict=True)}
        self.used = [{**row, "scale": scale.get(row["name"])} for row in self.used]


def metrics(tested: Tested, shown: Floats, grades: Sequence[float]) -> dict[str, Any]:
    """How good the published model (`shown`, log-odds per tested case) and its rivals are on the test, each
    figure with its interval."""
    p = probability(shown)
    y, group = tested.y, tested.group
    figures: dict[str, Estimate | None] = {
        "auc": auc(shown, y, group),
        "auc_all_inputs": auc(tested.full, y, group),
        "auc_at_same_age": tested.auc_at_same_age,
        "log_loss": mean_log_loss(shown, y, group),
        "log_loss_all_inputs": mean_log_loss(tested.full, y, group),
        "log_loss_base_rate": mean_log_loss(tested.base, y, group),
        "gain_of_inputs": tested.gain_of_inputs,
        "gain_of_age": tested.gain_of_age,
        "brier": brier(shown, y, group),
        "brier_base_rate": brier(tested.base, y, group),
        "ece": calibration_error(p, y, group),
        "ece_base_rate": calibration_error(probability(tested.base), y, group),
    }
    return {
        "metrics": {name: None if found is None else found.as_json() for name, found in figures.items()},
        "calibration": [found.as_json() for found in calibration(p, y)],
        "lift": [found for part in LIFT_SHARES if (found := lift(p, y, group, part)) is not None],
        "confusion": [
            _confusion(grade, bound, p, y, group) for grade, bound in zip("ABC", grades, strict=True)
        ],
        "scores": np.histogram(p, bins=10, range=(0.0, 1.0))[0].tolist(),
    }


def _confusion(grade: str, bound: float, p: Floats, y: Floats, group: Ints) -> dict[str, Any]:
    """What came of the tested cases with this grade or a better one, and of the others."""
    above, came = np.round(100.0 * p, 2) >= bound, y == 1.0
    return {
        "grade": grade,
        "from": float(bound),
        "true_positives": int((above & came).sum()),
        "false_positives": int((above & ~came).sum()),
        "false_negatives": int((~above & came).sum()),
        "true_negatives": int((~above & ~came).sum()),
        "precision": share(above, y, group),
        "recall": share(came, above.astype(np.float64), group),
    }


def outcome_counts(training: Training) -> dict[str, Any]:
    """What there is to learn from, in records and in cases."""
    cases = training.cases
    positive = _any_positive(training)
    moments = cases.moment if len(cases) and training.mode == "moments" else None
    return {
        "closed": training.closed,
        "positives": training.positives,
        "used_records": training.records,
        "used_positives": int(positive.sum()),
        "used_negatives": training.records - int(positive.sum()),
        "cases": len(cases),
        "case_positives": int(cases.y.sum()),
        "left_out": dict(training.left_out),
        "undecided": distinct(cases.record[training.undecided]),
        "only_whole_horizons": training.whole_horizon,
        "from": None if moments is None else iso(int(moments.min())),
        "to": None if moments is None else iso(int(moments.max())),
    }


def base_rate(training: Training) -> dict[str, float] | None:
    """The share of records, as of their first case, whose outcome came; None before there is any."""
    first = first_cases(training)
    if len(first) == 0:
        return None
    hits = float(training.cases.y[first].sum())
    low, high = wilson(hits, len(first))
    return {"value": hits / len(first), "low": low, "high": high}


def first_cases(training: Training) -> Ints:
    """The first case of each record."""
    record = training.cases.record
    return np.flatnonzero(np.concatenate([[True], record[1:] != record[:-1]])) if len(record) else record


def _any_positive(training: Training) -> Flags:
    positive = np.zeros(len(training.cases.ids), np.bool_)
    positive[training.cases.record[training.cases.y == 1.0]] = True
    return positive


def verdicts(
    text: ModuleType,
    object_name: ObjectName,
    training: Training,
    tested: Tested | None,
    decision: Decision,
    changed: Mapping[str, Any] | None,
) -> list[str]:
    """In plain words whether the model is of use, and what has changed (`drift` of the card)."""
    counts, level = outcome_counts(training), decision.level
    said = []
    if level == "none":
        said.append(text.verdict_none(object_name))
    elif min(counts["used_positives"], counts["used_negatives"]) < NEEDED:
        said.append(text.verdict_few(object_name, counts["used_positives"], counts["used_negatives"], NEEDED))
    elif tested is None or (tested.records < NEEDED_TO_TEST and level == "full"):
        said.append(text.verdict_provisional(0 if tested is None else tested.records, NEEDED_TO_TEST))
    elif level == "full":
        area = auc(decision.shown, tested.y, tested.group)
        top = lift(probability(decision.shown), tested.y, tested.group, LIFT_SHARES[0])
        said.append(
            text.verdict_useful(_auc(text, area), "" if top is None else text.verdict_lift(top["value"]))
        )
    elif decision.miscalibrated:
        error = decision.miscalibrated[0][1]
        said.append(text.verdict_miscalibrated(error.value, error.low, error.high))
    else:
        where = {"time": text.TEST_NEWEST, "period": text.TEST_LAST, "folds": text.TEST_FOLDS}[tested.kind]
        say = text.verdict_noise_but_age if level == "age" else text.verdict_noise
        said.append(say(where, _auc(text, tested.auc_at_same_age)))
    if changed is not None:
        off = changed["calibration"]
        if off["shown"]:
            said.append(
                text.verdict_drift(off["predicted"], off["observed"], decision.recalibration is not None)
            )
        if changed["moved"]:
            moved = [each["label"] for each in changed["features"] if each["name"] in changed["moved"]]
            said.append(text.verdict_shift(moved))
    why = training.why or (tested.refused if tested is not None else None)
    if why is not None:
        refused = text.REFUSED[why]
        said.append(text.verdict_no_time(refused) if training.why else text.verdict_folds(refused))
    return said


def _auc(text: ModuleType, found: Estimate | None) -> str:
    return str(text.AUC_UNKNOWN if found is None else text.auc(found.value, found.low, found.high))


def split_json(text: ModuleType, tested: Tested | None, training: Training) -> dict[str, Any]:
    """How the test was split off, and why not in time where it was not."""
    why = training.why or (tested.refused if tested is not None else None)
    refused = None if why is None else text.REFUSED[why]
    if tested is None:
        return {
            "kind": "none",
            "refused": refused,
            "cut": None,
            "train": 0,
            "test": 0,
            "test_positives": 0,
        }
    return {
        "kind": tested.kind,
        "refused": refused,
        "cut": None if tested.cut is None else iso(tested.cut),
        "train": tested.trained_on,
        "test": tested.records,
        "test_positives": distinct(tested.group[tested.y == 1.0]),
    }


def iso(moment: int) -> str:
    """A moment in microseconds as ISO 8601 in UTC, to the second."""
    return (_EPOCH + timedelta(microseconds=moment)).strftime("%Y-%m-%dT%H:%M:%SZ")
