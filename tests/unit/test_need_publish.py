"""What may be published: calibrated, put right by the newest outcomes, and no worse than what is in use."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from crmbridge.metrics.base import MetricSettings
from crmbridge.metrics.need import NeedMetric
from crmbridge.metrics.need import tested as tests_of
from crmbridge.metrics.need.arrays import Floats
from crmbridge.metrics.need.calibrate import calibration_error, cross_fitted, recalibration
from crmbridge.metrics.need.evaluate import lift
from crmbridge.metrics.need.logistic import probability
from crmbridge.metrics.need.publish import decide, is_calibrated
from crmbridge.model.records import Lead
from crmbridge.model.results import Model
from tests.unit.need_organisation import NOW, SOURCES, frame, leads

LIMIT = MetricSettings().max_calibration_error
MAVEN = 6711 // 5
"""Records in the newest fifth of 6,711 resolved deals."""


def _outcomes(chance: Floats, chances: np.random.Generator) -> Floats:
    return (chances.uniform(size=len(chance)) < chance).astype(np.float64)


def _tested(full: Floats, y: Floats, kind: Any = "time") -> tests_of.Tested:
    rows = np.arange(len(y))
    base = np.full(len(y), float(np.log(y.mean() / (1.0 - y.mean()))))
    zeros, nobody = np.zeros(len(y), np.int64), np.zeros(len(y), np.bool_)
    return tests_of.Tested(
        kind, None, 0, 4 * len(y), y, rows, zeros, nobody, base, None, full, rows, rows % 2
    )


# Calibration


def test_a_perfectly_calibrated_model_is_published_and_one_that_is_off_by_eight_points_is_not() -> None:
    """100 organisations of maven's size: 63 % are won, and the chances differ."""
    chances = np.random.default_rng(20261124)
    right, off = [], []
    for _ in range(100):
        p = probability(chances.normal(0.6, 0.5, MAVEN))
        record = np.arange(MAVEN)
        right.append(is_calibrated(calibration_error(p, _outcomes(p, chances), record), LIMIT))
        wrong = _outcomes(np.clip(p - 0.08, 0.0, 1.0), chances)
        off.append(is_calibrated(calibration_error(p, wrong, record), LIMIT))
    assert sum(right) >= 95
    assert sum(off) < 5


def test_snapshots_of_one_record_do_not_make_its_outcome_count_twice() -> None:
    chances = np.random.default_rng(3)
    p = probability(chances.normal(0.0, 1.0, 400))
    y = _outcomes(p, chances)
    once = calibration_error(p, y, np.arange(400))
    twice = calibration_error(np.repeat(p, 2), np.repeat(y, 2), np.repeat(np.arange(400), 2))
    assert twice.error == pytest.approx(once.error, rel=0.05)
    assert twice.value == pytest.approx(once.value, abs=0.01)


def test_chance_alone_makes_no_calibration_error() -> None:
    """Over 200 samples of 500 the plain ECE of a perfect model is near .04; the corrected one near .01."""
    chances = np.random.default_rng(4)
    found = []
    for _ in range(200):
        p = probability(chances.normal(-1.0, 1.0, 500))
        found.append(calibration_error(p, _outcomes(p, chances), np.arange(500)).value)
    assert float(np.mean(found)) < 0.015


def test_a_level_that_is_shown_to_be_miscalibrated_gives_way_to_the_base_rate() -> None:
    """Off as no intercept and slope can put right: the middle says too much, both ends too little."""
    chances = np.random.default_rng(5)
    logit = chances.normal(0.0, 1.5, 3000)
    p = probability(logit)
    y = _outcomes(np.clip(p + 0.12 * np.sign(np.abs(logit) - 1.0), 0.0, 1.0), chances)
    decision = decide(_tested(logit, y), 1500, 1500, LIMIT)
    assert decision.level == "base"
    assert [level for level, _ in decision.miscalibrated] == ["full"]
    assert decide(_tested(logit, y), 1500, 1500, 0.5).level == "full"


# Recalibration


def test_recalibration_finds_intercept_and_slope_and_leaves_alone_what_is_right() -> None:
    chances = np.random.default_rng(6)
    logit = chances.normal(-0.5, 1.0, 4000)
    found = recalibration(logit, _outcomes(probability(-0.6 + 0.5 * logit), chances), 1.0)
    assert found.shown
    assert found.a == pytest.approx(-0.6, abs=4 * found.covariance[0] ** 0.5)
    assert found.b == pytest.approx(0.5, abs=4 * found.covariance[2] ** 0.5)
    right = [recalibration(logit, _outcomes(probability(logit), chances), 1.0).shown for _ in range(100)]
    assert sum(right) <= 5


def test_a_rate_for_all_is_put_right_by_its_intercept() -> None:
    y = np.array([1.0] * 30 + [0.0] * 170)
    found = recalibration(np.full(200, 0.0), y, 1.0)
    assert found.b == 1.0
    assert probability(np.array([found.a]))[0] == pytest.approx(0.15, abs=0.01)


def test_a_recalibrated_model_is_judged_by_outcomes_that_did_not_put_it_right() -> None:
    chances = np.random.default_rng(7)
    logit = chances.normal(0.0, 0.3, 200)
    y = _outcomes(probability(logit), chances)
    half = np.arange(200) % 2
    before = cross_fitted(logit, y, half, 1.0)
    changed = y.copy()
    changed[half == 0] = 1.0 - changed[half == 0]
    after = cross_fitted(logit, changed, half, 1.0)
    assert after[half == 0].tolist() == before[half == 0].tolist()
    assert after[half == 1].tolist() != before[half == 1].tolist()


def _drifting(number: int, rate_after: float) -> list[Lead]:
    """From a year ago on only a share of the leads that would have converted does."""
    chances = np.random.default_rng(8)
    found = []
    for lead in leads(number):
        assert lead.created_at is not None
        lost = lead.created_at > NOW - timedelta(days=300) and chances.uniform() > rate_after
        if lost and lead.is_converted:
            lead = lead.model_copy(
                update={"is_converted": False, "is_disqualified": True, "converted_at": None}
            )
        found.append(lead)
    return found


def test_where_the_chances_have_changed_scores_are_recalibrated_and_the_card_says_so() -> None:
    metric, rows = NeedMetric(MetricSettings()), _drifting(3000, 0.4)
    made = frame({"lead": rows})
    model = metric.fit("lead", made)
    card: Any = model.card
    assert card["drift"]["shown"]
    assert card["drift"]["calibration"]["predicted"] > card["drift"]["calibration"]["observed"] + 0.05
    assert card["recalibration"]["intercept"]["high"] < 0.0
    assert any("have changed" in sentence for sentence in card["verdict"])
    assert card["metrics"]["ece"]["low"] < LIMIT
    results = metric.apply("lead", made, model)
    truth = np.mean([bool(lead.is_converted) for lead in rows if lead.closed_at and lead.created_at
                     and lead.created_at > NOW - timedelta(days=250)])  # fmt: skip
    assert np.mean(results.values["score"].to_numpy()) / 100 == pytest.approx(truth, abs=0.05)
    assert results.details is not None
    details = results.details.to_pydict()
    for row in range(results.values.num_rows):
        total = details["base_logit"][row] + sum(
            values[row] for name, values in details.items() if name.startswith("contribution.")
        )
        assert total == pytest.approx(details["logit"][row], abs=1e-9)


def test_where_nothing_has_changed_nothing_is_recalibrated() -> None:
    card: Any = NeedMetric(MetricSettings()).fit("lead", frame({"lead": leads(2000)})).card
    assert card["recalibration"] is None
    assert not card["drift"]["shown"]
    assert not any("changed" in sentence for sentence in card["verdict"])


def test_an_input_whose_values_have_changed_is_named() -> None:
    chances = np.random.default_rng(9)
    rows = []
    for lead in leads(2000):
        assert lead.created_at is not None
        late = lead.created_at > NOW - timedelta(days=300)
        channel = (
            ("chat" if chances.uniform() < 0.9 else "fax") if late else SOURCES[int(chances.integers(3))]
        )
        rows.append(lead.model_copy(update={"attributes": {**lead.attributes, "channel": channel}}))
    card: Any = NeedMetric(MetricSettings()).fit("lead", frame({"lead": rows})).card
    assert card["drift"]["moved"] == ["attributes.channel"]
    assert card["drift"]["features"][0]["name"] == "attributes.channel"
    assert any("channel" in sentence for sentence in card["verdict"])


# Against the model in use


def _as_of(rows: list[Lead], then: datetime) -> list[Lead]:
    """The leads as they were known at a past moment."""
    found = []
    for lead in rows:
        assert lead.created_at is not None
        if lead.created_at > then:
            continue
        if lead.closed_at is not None and lead.closed_at > then:
            nothing = {"is_converted": False, "is_disqualified": False, "converted_at": None}
            lead = lead.model_copy(update={**nothing, "closed_at": None})
        found.append(lead)
    return found


def _stamped(model: Model, moment: Any) -> Model:
    return model.model_copy(update={"card": {**model.card, "fitted": {"moment": moment.isoformat()}}})


def test_a_new_model_is_compared_with_the_one_in_use_on_outcomes_new_to_both() -> None:
    metric, rows = NeedMetric(MetricSettings()), leads(2500)
    then = NOW - timedelta(days=60)
    old = _stamped(metric.fit("lead", frame({"lead": _as_of(rows, then)}, moment=then)), then)
    card: Any = metric.refit("lead", frame({"lead": rows}), old).card
    assert card["previous"]["model"] == old.name
    # Only leads whose first whole horizon passed in the last 60 days.
    assert 100 <= card["previous"]["records"] < 200
    for side in ("previous", "new"):
        assert set(card["previous"]["metrics"][side]) == {"auc", "log_loss", "brier", "ece"}
    assert card["gate"]["publish"]
    assert metric.fit("lead", frame({"lead": rows})).card["previous"] is None


def test_a_new_model_that_is_shown_to_be_worse_is_held_back_and_says_so() -> None:
    """An admin's new field is all noise, but the old model still knows what the new one may not use."""
    rows = leads(2500)
    then = NOW - timedelta(days=100)
    known = frame({"lead": _as_of(rows, then)}, moment=then)
    old = _stamped(NeedMetric(MetricSettings()).fit("lead", known), then)
    blind = NeedMetric(MetricSettings(exclude=("budget", "lead_source")))
    card: Any = blind.refit("lead", frame({"lead": rows}), old).card
    assert card["previous"]["worse"]
    assert card["gate"]["publish"] is False
    assert any(old.name in sentence for sentence in card["verdict"])


def test_too_few_new_outcomes_are_no_reason_to_hold_a_model_back() -> None:
    metric, rows = NeedMetric(MetricSettings()), leads(1500)
    then = NOW - timedelta(days=7)
    old = _stamped(metric.fit("lead", frame({"lead": _as_of(rows, then)}, moment=then)), then)
    blind = NeedMetric(MetricSettings(exclude=("budget", "lead_source")))
    card: Any = blind.refit("lead", frame({"lead": rows}), old).card
    assert card["previous"]["records"] < 20
    assert card["previous"]["gain"] is None
    assert card["gate"]["publish"]


# Grades and lift


def test_grades_count_what_came_above_and_below_each_bound() -> None:
    card: Any = NeedMetric(MetricSettings()).fit("lead", frame({"lead": leads(2000)})).card
    assert [(row["grade"], row["from"]) for row in card["confusion"]] == [("A", 70), ("B", 40), ("C", 20)]
    cases = sum(found["n"] for found in card["calibration"])
    for row in card["confusion"]:
        counts = [
            row[f"{truth}_{side}"] for truth in ("true", "false") for side in ("positives", "negatives")
        ]
        assert sum(counts) == cases
        if row["true_positives"] + row["false_positives"]:
            share = row["true_positives"] / (row["true_positives"] + row["false_positives"])
            assert row["precision"]["value"] == pytest.approx(share)
            assert row["precision"]["low"] <= share <= row["precision"]["high"]
    recalls = [row["recall"]["value"] for row in card["confusion"]]
    assert recalls == sorted(recalls)


def test_the_lift_on_later_outcomes_lies_in_its_interval_nine_times_in_ten() -> None:
    """200 organisations without drift; as many more outcomes come later, twice over."""
    chances = np.random.default_rng(20261125)
    for part in (0.1, 0.3):
        held = 0
        for _ in range(200):
            p, later = (probability(chances.normal(-1.2, 1.0, size)) for size in (500, 1000))
            told = lift(p, _outcomes(p, chances), np.arange(500), part)
            came = lift(later, _outcomes(later, chances), np.arange(1000), part)
            assert told is not None
            assert came is not None
            held += told["low"] <= came["value"] <= told["high"]
        assert 170 <= held <= 190
