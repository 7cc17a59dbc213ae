"""Snapshots: what a score is learned from is what could be known, at ages at which scores are asked for."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from crmbridge.metrics.days import DAY, micros
from crmbridge.metrics.need.arrays import NEVER, UNKNOWN, Flags, Floats
from crmbridge.metrics.need.outcomes import Outcomes, read_outcomes
from crmbridge.metrics.need.snapshots import ENOUGH, Training, account_cases, open_cases, training_cases
from crmbridge.model.records import Account, Deal, Lead, Order, StageChange
from tests.unit.need_organisation import NOW, frame, leads

_NOTHING = frame({})


def _outcomes(created: Floats, lived: Floats, won: Flags) -> Outcomes:
    """Records created and ended so many days before now (a record that would end later is open)."""
    now = micros(NOW)
    start = now - (created * DAY).astype(np.int64)
    end = start + (lived * DAY).astype(np.int64)
    closed = end <= now
    ids = pa.array([f"R{row:07d}" for row in range(len(created))])
    return Outcomes(ids, start, np.where(closed, end, NEVER), closed, won & closed)


def _population(number: int) -> Training:
    """Records that are won at 50 % and then live 60 days on average; the lost ones live 15."""
    chances = np.random.default_rng(5)
    won = chances.uniform(size=number) < 0.5
    lived = chances.exponential(np.where(won, 60.0, 15.0))
    outcomes = _outcomes(chances.uniform(0, 1500, number), lived, won)
    return training_cases(outcomes, _NOTHING, 180, seed=0)


def test_among_the_records_seen_at_an_age_as_many_are_won_as_of_all_that_reach_it() -> None:
    cases = _population(60_000).cases
    for low, high in ((0, 0), (1, 10), (20, 40), (60, 90)):
        at = (cases.age >= low) & (cases.age <= high)
        age = cases.age[at].astype(np.float64)
        reach = np.exp(-age / 60) / (np.exp(-age / 60) + np.exp(-age / 15))
        expected = float(np.mean(reach * (1 - np.exp(-180 / 60)) ** 1))
        error = 4 * np.sqrt(0.25 / at.sum())
        assert cases.y[at].mean() == pytest.approx(expected, abs=error)


def test_no_snapshot_is_taken_before_the_record_was_created_or_after_it_ended() -> None:
    outcomes = read_outcomes(frame({"lead": leads(2000)}), "lead")
    cases = training_cases(outcomes, frame({}), 90, seed=3).cases
    assert (cases.moment >= outcomes.created[cases.record]).all()
    assert (cases.moment <= outcomes.end[cases.record]).all()
    assert (cases.moment <= micros(NOW)).all()
    later = cases.age > 0
    assert later.any()
    assert (cases.moment < outcomes.end[cases.record])[later].all()


def test_the_outcome_counts_only_within_the_horizon() -> None:
    created = 400.0 - np.arange(6.0)
    lived = np.array([10.0, 89.0, 91.0, 300.0, 5.0, 1000.0])
    won = np.array([True, True, True, True, False, False])
    cases = training_cases(_outcomes(created, lived, won), _NOTHING, 90, seed=0).cases
    arrival = {int(r): float(y) for r, y, a in zip(cases.record, cases.y, cases.age, strict=True) if a == 0}
    assert arrival == {0: 1.0, 1: 1.0, 2: 0.0, 3: 0.0, 4: 0.0, 5: 0.0}


def test_an_open_record_is_a_negative_once_its_horizon_has_passed_and_not_before() -> None:
    created = np.array([100.0, 80.0, 50.0])
    training = training_cases(
        _outcomes(created, np.array([999.0, 999.0, 10.0]), np.array([False, False, True])),
        _NOTHING,
        90,
        seed=0,
    )
    seen = set(training.cases.record.tolist())
    assert 0 in seen
    assert 1 not in seen


def test_with_enough_outcomes_only_whole_horizons_are_used_for_slow_outcomes_would_be_missing() -> None:
    training = _population(4 * ENOUGH)
    assert training.whole_horizon
    assert (training.cases.moment <= micros(NOW - timedelta(days=180))).all()
    assert training.left_out["horizon_not_passed"] > 0
    few = _population(60)
    assert not few.whole_horizon


def test_draws_are_the_same_again_differ_by_seed_and_not_by_the_order_of_records() -> None:
    rows = leads(400)
    first = training_cases(read_outcomes(frame({"lead": rows}), "lead"), frame({}), 90, seed=0).cases
    again = training_cases(read_outcomes(frame({"lead": rows[::-1]}), "lead"), frame({}), 90, seed=0).cases
    other = training_cases(read_outcomes(frame({"lead": rows}), "lead"), frame({}), 90, seed=1).cases
    assert first.moment.tolist() == again.moment.tolist()
    assert first.moment.tolist() != other.moment.tolist()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"created_at": None}, "created_unknown"),
        ({"created_at": NOW - timedelta(days=700)}, "created_alike"),
        ({"closed_at": None, "converted_at": None}, "closing_unknown"),
    ],
)
def test_without_dates_every_decided_record_is_one_case_as_it_stands_and_the_reason_is_said(
    change: dict[str, object], why: str
) -> None:
    rows = [lead.model_copy(update=change) for lead in leads(200)]
    training = training_cases(read_outcomes(frame({"lead": rows}), "lead"), frame({}), 90, seed=0)
    horizon = NOW - timedelta(days=90)
    decided = [
        lead
        for lead in rows
        if lead.is_converted
        or lead.is_disqualified
        or (lead.created_at is not None and lead.created_at <= horizon)
    ]
    assert (training.mode, training.why) == ("as_it_stands", why)
    assert len(training.cases) == len(decided)
    assert training.cases.y.sum() == sum(bool(lead.is_converted) for lead in rows)


def test_an_export_that_only_says_who_converted_learns_from_the_others_after_the_horizon() -> None:
    rows = [
        Lead(id=f"L{number}", created_at=NOW - timedelta(days=100), is_converted=number < 30)
        for number in range(200)
    ]
    training = training_cases(read_outcomes(frame({"lead": rows}), "lead"), frame({}), 90, seed=0)
    assert (len(training.cases), training.cases.y.sum()) == (200, 30)


def test_open_records_are_asked_about_once_and_closed_ones_not_at_all() -> None:
    rows = leads(500)
    still_open = sorted(lead.id for lead in rows if not (lead.is_converted or lead.is_disqualified))
    cases = open_cases(read_outcomes(frame({"lead": rows}), "lead"), frame({}))
    assert cases.ids.to_pylist() == still_open
    assert set(cases.moment.tolist()) == {micros(NOW)}


def test_a_deal_has_ended_when_it_reached_the_closing_stage_even_if_its_closing_date_is_later() -> None:
    created, closed = NOW - timedelta(days=50), NOW - timedelta(days=10)
    deals = [
        Deal(id="a", created_at=created, stage="Won", is_closed=True, is_won=True, closed_at=closed),
        Deal(id="b", created_at=created, stage="Offer", is_closed=False, is_won=False),
    ]
    changes = [
        StageChange(id="1", deal_id="a", from_stage="New", to_stage="Offer", at=closed - timedelta(days=9)),
        StageChange(id="2", deal_id="a", from_stage="Offer", to_stage="Won", at=closed - timedelta(days=3)),
    ]
    outcomes = read_outcomes(frame({"deal": deals, "stage_change": changes}), "deal")
    assert outcomes.end.tolist() == [micros(closed - timedelta(days=3)), NEVER]


def test_a_closed_record_without_a_date_is_left_out_and_counted() -> None:
    rows = leads(60)
    closed = next(lead for lead in rows if lead.is_disqualified)
    undated = closed.model_copy(update={"id": "X", "closed_at": None})
    outcomes = read_outcomes(frame({"lead": [*rows, undated]}), "lead")
    training = training_cases(outcomes, frame({}), 90, seed=0)
    assert outcomes.end[outcomes.ids.to_pylist().index("X")] == UNKNOWN
    assert training.left_out["undated"] == 1


def test_records_left_open_teach_only_the_age_where_others_are_closed() -> None:
    """Who closes records and who lets them lie would otherwise pass for who wins."""
    many = [Lead.model_validate(lead.model_dump()) for lead in leads(1000)]
    left = [
        Lead(id=f"Z{row}", created_at=NOW - timedelta(days=300 + row), lead_source="Web") for row in range(50)
    ]
    training = training_cases(read_outcomes(frame({"lead": [*many, *left]}), "lead"), frame({}), 90, seed=0)
    assert training.undecided.sum() >= 50
    nobody_closes = [lead for lead in many if not lead.is_disqualified]
    training = training_cases(
        read_outcomes(frame({"lead": [*nobody_closes, *left]}), "lead"), frame({}), 90, seed=0
    )
    assert not training.undecided.any()


def test_an_account_is_seen_at_whole_horizons_behind_now_once_it_has_ordered() -> None:
    accounts = [Account(id="early"), Account(id="late"), Account(id="never")]
    days = {"early": (800, 500, 100), "late": (200,)}
    orders = [
        Order(id=f"{name}{ago}", account_id=name, ordered_at=NOW - timedelta(days=ago))
        for name, agos in days.items()
        for ago in agos
    ]
    made = frame({"account": accounts, "order": orders})
    training, current = account_cases(made, pa.array(["early", "late", "never"]), 365)
    found = [
        (made_of, (micros(NOW) - moment) // DAY, y)
        for made_of, moment, y in zip(
            training.cases.record.tolist(), training.cases.moment.tolist(), training.cases.y, strict=True
        )
    ]
    assert found == [(0, 730, 1.0), (0, 365, 1.0)]
    assert current.ids.to_pylist() == ["early", "late"]
