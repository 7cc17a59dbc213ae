"""Guards: each says why, with its figures, and lets ordinary runs pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from crmbridge.errors import GuardError, SettingsError
from crmbridge.store.ledger import Plan
from crmbridge.writeback.guards import Figures, GuardSettings, population_shift, refuse_guarded, tripped
from tests.unit.writeback_kit import NOW

NONE = np.zeros(0)


def figures(carrying: int, changing: int, held: Any = NONE, new: Any = NONE) -> Figures:
    return Figures("lead", carrying, changing, np.asarray(held, float), np.asarray(new, float))


def test_many_changes_stop_a_run_and_few_records_say_nothing() -> None:
    settings = GuardSettings()
    assert tripped([figures(100, 30)], settings) == {}
    assert tripped([figures(19, 19)], settings) == {}
    assert tripped([figures(100, 31)], settings) == {
        "max_changed": "31 of the 100 leads that carry values of ours (31%) would change; max_changed is 30%."
    }


def test_each_object_is_judged_by_itself() -> None:
    assert "max_changed" in tripped([figures(10_000, 0), figures(50, 40)], GuardSettings())


def test_a_shifted_distribution_stops_a_run() -> None:
    scores = np.random.default_rng(0).uniform(0, 50, 500)
    sentences = tripped([figures(500, 0, scores, scores + 20)], GuardSettings())
    assert list(sentences) == ["score_shift"]
    assert sentences["score_shift"].startswith("The scores of 500 leads shift by ")
    assert tripped([figures(99, 0, scores[:99], scores[:99] + 20)], GuardSettings()) == {}


def test_a_distribution_that_wobbles_does_not() -> None:
    rng = np.random.default_rng(0)
    for size in (100, 1_000, 100_000):
        scores = rng.beta(1, 8, size) * 100
        assert population_shift(scores, np.clip(scores + rng.normal(0, 2, size), 0, 100)) < 0.25


def test_scores_that_vanish_are_a_shift() -> None:
    scores = np.linspace(1, 99, 200)
    assert population_shift(scores, np.where(scores > 50, np.nan, scores)) > 0.25


@pytest.mark.parametrize("moved", [-3.0, 3.0])
def test_one_score_for_everybody_that_moves_is_a_shift(moved: float) -> None:
    scores = np.full(200, 12.0)
    assert population_shift(scores, scores) == 0
    assert population_shift(scores, scores + moved) > 0.25


def test_the_stability_index_is_that_of_the_formula() -> None:
    held = np.arange(1.0, 101.0)  # ten to each decile
    new = np.where(held <= 15, 1.0, held)  # five move from the second to the first
    p, q = 10.5 / 105.5, np.array([15.5, 5.5]) / 105.5  # eleven bins, half a record more in each
    assert population_shift(held, new) == pytest.approx(np.sum((q - p) * np.log(q / p)))


def plan(**guards: str) -> Plan:
    return Plan(7, 1, "acme", "write", NOW, NOW, "stopped", None, None, guards, None)


def test_a_guard_is_passed_by_its_name_only() -> None:
    stopped = plan(max_changed="Much.", score_shift="Far.")
    with pytest.raises(GuardError, match=r"Guard score_shift: Far\. .*--override score_shift") as raised:
        refuse_guarded(stopped, ["max_changed"])
    assert "Much" not in str(raised.value)
    refuse_guarded(stopped, ["max_changed", "score_shift"])
    refuse_guarded(plan())


def test_an_unknown_guard_is_wrong_usage() -> None:
    with pytest.raises(SettingsError, match="no guard 'max_change'"):
        refuse_guarded(plan(max_changed="Much."), ["max_change"])


def test_guard_settings_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValidationError):
        GuardSettings.model_validate({"max_change": 0.5})
    with pytest.raises(ValidationError):
        GuardSettings(max_changed=1.5)
