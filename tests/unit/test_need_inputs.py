"""Inputs: what was known at the moment of a snapshot, and how it enters the matrix."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crmbridge.metrics.days import micros
from crmbridge.metrics.need.arrays import UNKNOWN
from crmbridge.metrics.need.columns import EMPTY, MOST_TEXTS, OTHER, Column, ColumnReader
from crmbridge.metrics.need.design import Design, Field, encode, plan_field
from crmbridge.metrics.need.ids import Lookup, keys_of, uniform
from crmbridge.metrics.need.snapshots import Cases, read_orders
from crmbridge.metrics.need.state import read_as_of, read_now
from crmbridge.metrics.need.windows import order_columns, read_contacts, read_stages
from crmbridge.model.columns import to_table
from crmbridge.model.records import Account, Activity, Lead, Order, StageChange
from tests.unit.need_organisation import BERLIN, NOW, frame, with_versions


def _cases(ids: list[str], moments: list[list[datetime]]) -> Cases:
    record = np.repeat(np.arange(len(ids)), [len(each) for each in moments])
    moment = np.array([micros(one) for each in moments for one in each], np.int64)
    nothing = np.zeros(len(record), np.int64)
    return Cases(
        pa.array(ids),
        record,
        moment,
        nothing,
        nothing,
        nothing,
        nothing.astype(float),
        np.zeros(len(record), bool),
    )


def _read(cells: Sequence[str | None], *, tagged: bool = True) -> Column:
    reader = ColumnReader("x", len(cells), tagged=tagged)
    reader.put(np.arange(len(cells)), pa.array(cells, pa.string()))
    return reader.finish()


# Numbers and texts


def test_a_number_given_as_a_number_or_as_text_is_the_same_input() -> None:
    plain, quoted = _read(["1", "2.5", "1e3", None]), _read(['"1', '" 2.5 ', '"1e3', "null"])
    for column in (plain, quoted):
        assert column.is_number
        assert column.numbers is not None
        assert column.numbers.tolist()[:3] == [1.0, 2.5, 1000.0]
        assert column.present.tolist() == [True, True, True, False]


def test_a_column_is_a_number_when_ninety_nine_of_a_hundred_values_spell_one() -> None:
    numbers: list[str | None] = [str(value) for value in range(198)]
    assert _read([*numbers, '"unknown', '"n/a']).is_number
    assert not _read([*numbers[:100], '"unknown', '"n/a']).is_number


def test_absent_null_and_empty_text_are_all_missing() -> None:
    column = _read([None, "null", '"', '"  ', '"null', "true"])
    assert column.present.tolist() == [False, False, False, False, True, True]
    assert column.levels == ("null", "true")


def test_numbers_too_large_to_hold_are_missing() -> None:
    column = _read(["1e999", "2", "3"])
    assert column.numbers is not None
    assert np.isnan(column.numbers[0])


def test_text_that_differs_on_nearly_every_record_is_used_only_by_whether_it_is_filled() -> None:
    column = _read([f'"name {row}' for row in range(200)] + [None] * 50)
    field = plan_field(column)
    assert not isinstance(field, str)
    assert field.kind == "filled"
    assert encode(field, column).group.tolist() == [0] * 200 + [2] * 50
    assert plan_field(_read([f'"name {row}' for row in range(200)])) == "varied"


def test_a_column_of_more_texts_than_can_be_compared_is_too_varied_in_any_cut() -> None:
    cells = pa.array([f'"{row % (MOST_TEXTS + 1)}x' for row in range(3 * MOST_TEXTS)])
    for size in (1000, 3 * MOST_TEXTS):
        reader = ColumnReader("x", len(cells), tagged=True)
        for start in range(0, len(cells), size):
            part = cells.slice(start, size)
            reader.put(np.arange(start, start + len(part)), part)
        assert reader.finish().is_varied


# Fields of the design


def test_rare_levels_are_pooled_and_levels_never_seen_join_them() -> None:
    column = _read(['"a'] * 30 + ['"b'] * 10 + ['"c'] * 9 + [None] * 2)
    field = plan_field(column)
    assert not isinstance(field, str)
    assert field.levels == ("a", "b")
    assert encode(field, column).group.tolist() == [0] * 30 + [1] * 10 + [2] * 9 + [3] * 2
    reader = ColumnReader("x", 4, tagged=True, known=field.levels)
    reader.put(np.arange(4), pa.array(['"b', '"new', None, '"a']))
    later = reader.finish()
    assert later.codes is not None
    assert later.codes.tolist() == [1, OTHER, EMPTY, 0]
    assert encode(field, later).group.tolist() == [1, 2, 3, 0]


def test_numbers_are_scaled_by_median_and_interquartile_range_and_tails_are_tamed() -> None:
    column = Column.of_numbers("x", np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.nan, 3e12]))
    field = plan_field(column)
    assert not isinstance(field, str)
    assert (field.median, field.scale) == (3.5, 2.5)
    z = encode(field, column).z
    assert z is not None
    assert z[2] == pytest.approx(np.arcsinh(-0.2))
    assert z[5] == 0.0
    assert z[6] < 15.0


@pytest.mark.parametrize(
    ("values", "scale"),
    [([5.0] * 90 + [9.0] * 10, 4.0), ([5.0] * 999 + [7.0], 2.0), ([0.0, 0.0, 1e-9, 1e-9], 1e-9)],
)
def test_a_number_that_hardly_varies_still_gets_a_scale(values: list[float], scale: float) -> None:
    field = plan_field(Column.of_numbers("x", np.array(values)))
    assert not isinstance(field, str)
    assert field.scale == pytest.approx(scale)


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (Column.of_numbers("x", np.full(20, 7.0)), "constant"),
        (Column.of_numbers("x", np.full(20, np.nan)), "empty"),
        (_read(['"same'] * 20), "constant"),
        (_read([None] * 20), "empty"),
        (_read([f'"{row}x' for row in range(20)]), "rare"),
    ],
)
def test_what_tells_nothing_is_dropped_with_its_reason(column: Column, why: str) -> None:
    assert plan_field(column) == why


def test_an_input_that_is_gone_is_missing_everywhere() -> None:
    column = _read(['"a'] * 30 + ['"b'] * 30)
    field = plan_field(column)
    assert not isinstance(field, str)
    matrix = Design((field,)).encode({}, 3)
    assert matrix.groups[0].tolist() == [3, 3, 3]


def test_ages_are_cut_into_bands_and_a_band_of_few_cases_joins_the_one_below() -> None:
    ages = np.repeat([0.0, 3.0, 10.0, 20.0, 400.0], [50, 40, 30, 9, 9])
    column = Column.of_numbers("age", np.append(ages, np.nan))
    field = plan_field(column)
    assert not isinstance(field, str)
    assert field.levels == ("0", "1-6", "7+")
    later = Column.of_numbers("age", np.array([0.0, 6.0, 7.0, 10_000.0, np.nan]))
    assert encode(field, later).group.tolist() == [0, 1, 2, 2, 4]
    assert Field.from_json(json.loads(json.dumps(field.as_json()))) == field


def test_a_number_beyond_what_was_seen_counts_as_the_furthest_seen() -> None:
    field = plan_field(Column.of_numbers("x", np.arange(1000.0)))
    assert not isinstance(field, str)
    z = encode(field, Column.of_numbers("x", np.array([-1e9, 999.0, 1e9]))).z
    assert z is not None
    assert z[2] == z[1]
    assert z[0] == pytest.approx(-z[1])
    assert Field.from_json(json.loads(json.dumps(field.as_json()))) == field


# State


def _lead(day: int, **fields: Any) -> Lead:
    return Lead(id="a", created_at=NOW - timedelta(days=100), attributes={"day": day}, **fields)


def _with_since(rows: list[Lead], since: list[datetime]) -> pa.Table:
    return to_table("lead", rows).append_column("valid_from", pa.array(since, pa.timestamp("us", tz="UTC")))


def test_fields_are_those_of_the_version_in_force_and_before_the_first_they_are_assumed() -> None:
    first, second = NOW - timedelta(days=60), NOW - timedelta(days=20)
    versions = _with_since([_lead(60), _lead(20)], [first, second])
    made = with_versions({"lead": to_table("lead", [_lead(20)])}, {"lead": versions})
    asked = [NOW - timedelta(days=days) for days in (90, 60, 30, 20, 1)]
    cases = _cases(["a"], [asked])
    state = read_as_of(made, "lead", cases.ids, cases.record, cases.moment, ["attributes.day"])
    assert state.columns["attributes.day"].numbers is not None
    assert state.columns["attributes.day"].numbers.tolist() == [60.0, 60.0, 60.0, 20.0, 20.0]
    assert state.assumed.tolist() == [True, False, False, False, False]


def test_a_first_version_seen_within_a_day_counts_as_the_state_at_creation() -> None:
    versions = _with_since([_lead(1)], [NOW - timedelta(days=100) + timedelta(hours=20)])
    made = with_versions({"lead": versions}, {"lead": versions})
    cases = _cases(["a"], [[NOW - timedelta(days=100)]])
    state = read_as_of(made, "lead", cases.ids, cases.record, cases.moment, ["attributes.day"])
    assert not state.assumed.any()


def test_versions_that_do_not_say_since_when_are_assumed() -> None:
    made = frame({"lead": [_lead(1)]})
    cases = _cases(["a"], [[NOW - timedelta(days=1)]])
    state = read_as_of(made, "lead", cases.ids, cases.record, cases.moment, ["attributes.day"])
    assert state.assumed.tolist() == [True]
    assert state.columns["attributes.day"].present.tolist() == [True]


def test_state_is_the_same_whatever_batches_it_comes_in() -> None:
    rows = [
        Lead(id=f"L{row}", country=("DE", "FR", None)[row % 3], attributes={"n": row}) for row in range(50)
    ]
    ids = pa.array(sorted(lead.id for lead in rows))
    whole = read_now(frame({"lead": rows}), "lead", ids, ["country", "attributes.n"])
    cut = read_now(frame({"lead": rows}, batch=7), "lead", ids, ["country", "attributes.n"])
    assert whole["attributes.n"].numbers is not None
    assert cut["attributes.n"].numbers is not None
    assert whole["attributes.n"].numbers.tolist() == cut["attributes.n"].numbers.tolist()


# Activities


def _activity(name: str, days: float, **fields: Any) -> Activity:
    return Activity(id=name, kind="call", lead_id="a", started_at=NOW - timedelta(days=days), **fields)


def test_only_what_happened_before_the_moment_and_within_the_window_counts() -> None:
    activities = [
        _activity("1", 200, outcome="connected", duration=60, direction="inbound"),
        _activity("2", 40, outcome="no_answer", duration=3600, direction="outbound"),
        _activity("3", 12, outcome="held", duration=1800, is_completed=True),
        _activity("4", -3, is_completed=False),
        _activity("5", 5, is_completed=False),
        Activity(id="6", kind="call", lead_id="other", started_at=NOW),
        Activity(id="7", kind="call", lead_id="a"),
    ]
    cases = _cases(["a", "b"], [[NOW - timedelta(days=30), NOW], [NOW]])
    found = read_contacts(frame({"activity": activities}), cases, "lead_id", 90)
    numbers = {name: column.numbers.tolist() for name, column in found.items()}  # type: ignore[union-attr]
    assert numbers["contacts"] == [1.0, 2.0, 0.0]
    assert numbers["reached"] == [0.0, 1.0, 0.0]
    assert numbers["missed"] == [1.0, 1.0, 0.0]
    assert numbers["contact_hours"] == [1.0, 1.5, 0.0]
    assert numbers["days_since_contact"][:2] == [10.0, 12.0]
    assert np.isnan(numbers["days_since_contact"][2])


def test_days_are_those_of_the_zone_so_that_a_second_run_on_the_day_sees_the_same() -> None:
    evening = datetime(2026, 1, 1, 22, 30, tzinfo=UTC)  # half past eleven in Berlin
    night = evening + timedelta(hours=1)  # the next day there
    activities = [Activity(id="1", kind="call", lead_id="a", started_at=evening)]
    cases = _cases(["a"], [[evening + timedelta(minutes=10), night, night + timedelta(hours=20)]])
    found = read_contacts(frame({"activity": activities}), cases, "lead_id", 90)
    since = found["days_since_contact"].numbers
    assert since is not None
    assert since.tolist() == [0.0, 1.0, 1.0]


# Stages


def test_the_stage_of_a_snapshot_is_the_one_of_its_moment_never_the_closing_one() -> None:
    at = [NOW - timedelta(days=days) for days in (50, 30, 10)]
    changes = [
        StageChange(id="1", deal_id="a", from_stage="New", to_stage="Offer", at=at[0]),
        StageChange(id="2", deal_id="a", from_stage="Offer", to_stage="Legal", at=at[1]),
        StageChange(id="3", deal_id="a", from_stage="Legal", to_stage="Won", at=at[2]),
    ]
    asked = [NOW - timedelta(days=days) for days in (55, 50, 40, 20, 11)]
    cases = _cases(["a", "b"], [asked, [NOW]])
    created = np.where(cases.record == 0, micros(NOW - timedelta(days=60)), UNKNOWN)
    current = Column.of_codes("stage", np.array([0, 0, 0, 0, 0, 1], np.int32), ("Won", "Qualified"))
    found = read_stages(frame({"stage_change": changes}), cases, current, created)
    codes = found["stage"].codes
    assert codes is not None
    levels = [found["stage"].levels[code] for code in codes]
    assert levels == ["New", "Offer", "Offer", "Legal", "Legal", "Qualified"]
    days = found["days_in_stage"].numbers
    assert days is not None
    assert days.tolist()[:5] == [5.0, 0.0, 10.0, 10.0, 19.0]
    assert np.isnan(days[5])
    number = found["stage_changes"].numbers
    assert number is not None
    assert number.tolist() == [0.0, 1.0, 1.0, 2.0, 2.0, 0.0]


# Orders


def test_orders_count_up_to_the_moment() -> None:
    orders = [
        Order(id=f"{days}", account_id="a", amount=100 + days, ordered_at=NOW - timedelta(days=days))
        for days in (500, 300, 100, 0)
    ]
    ids = pa.array(["a", "b"])
    placed = read_orders(frame({"order": orders, "account": [Account(id="a"), Account(id="b")]}), ids)
    record = np.array([0, 0, 1, -1])
    moment = np.array([micros(NOW), micros(NOW - timedelta(days=200)), micros(NOW), micros(NOW)])
    found = {
        name: column.numbers.tolist()  # type: ignore[union-attr]
        for name, column in order_columns(*placed, record, moment, BERLIN).items()
    }
    assert found["orders"][:3] == [3.0, 2.0, 0.0]
    assert np.isnan(found["orders"][3])
    assert found["orders_last_year"][:3] == [2.0, 2.0, 0.0]
    assert found["days_since_order"][:2] == [100.0, 100.0]
    assert found["days_between_orders"][:2] == [200.0, 200.0]
    assert found["overdue"][:2] == [0.5, 0.5]
    assert found["mean_order"][:2] == [400.0, 500.0]


# Ids


def test_ids_are_found_among_others_whatever_their_length() -> None:
    known = pa.array(["", "a", "b" * 8, "b" * 9, "ü", "0" * 255, "a\0"])
    asked = pa.array(["b" * 9, None, "a\0", "a", "", "c", "0" * 255, "0" * 254])
    assert Lookup(known).rows(asked).tolist() == [3, -1, 6, 1, 0, -1, 5, -1]
    assert Lookup(known).rows(asked.slice(2, 2)).tolist() == [6, 1]
    assert Lookup(pa.array([], pa.string())).rows(asked).tolist() == [-1] * 8


def test_chance_by_id_is_uniform_and_differs_by_seed_and_stream() -> None:
    ids = pa.array([f"{row:06d}" for row in range(20_000)])
    assert len(np.unique(keys_of(ids))) == 20_000
    first = uniform(ids, 0, 1)
    assert np.histogram(first, 10, (0, 1))[0] == pytest.approx(np.full(10, 2000), abs=200)
    for other in (uniform(ids, 1, 1), uniform(ids, 0, 2)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.03
