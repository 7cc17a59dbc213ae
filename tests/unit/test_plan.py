"""Planning: what is written, what is left alone, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmbridge.errors import CRMBridgeError
from crmbridge.model.fields import FieldValue
from crmbridge.model.records import ObjectName
from crmbridge.store.ledger import PlanRow
from crmbridge.writeback.plan import Changes, changed_rows, plan_object, rows
from crmbridge.writeback.values import shorten
from tests.unit.writeback_kit import FIELDS, DictWriter, results

HELD: Mapping[str, FieldValue] = {
    "score": 41.2,
    "score_low": 30.0,
    "grade": "B",
    "reasons_up": "Source Web",
    "next_action": "Call: opened the offer twice",
    "scored_at": "2026-03-30T08:00:00Z",
    "model": "need-lead-1",
}


def planned(
    new: Mapping[str, FieldValue],
    held: Mapping[str, FieldValue] | None,
    *,
    object_name: ObjectName = "lead",
    fields: Sequence[str] = FIELDS,
    dead_band: float = 1.0,
) -> Changes:
    before = None if held is None else results({"1": held}, object_name, fields)
    return changed_rows(
        object_name, results({"1": new}, object_name, fields), before, fields=fields, dead_band=dead_band
    )


def read(changes: Changes) -> list[PlanRow]:
    """The rows of a plan, as the ledger gives them back."""
    return [
        PlanRow(row.object, row.id, json.loads(row.before), json.loads(row.after), row.reason)
        for row in rows([changes])
    ]


def test_a_record_that_holds_nothing_of_ours_is_written_whole() -> None:
    (row,) = read(planned(HELD, None))
    assert (row.object, row.id, row.reason) == ("lead", "1", "first score")
    assert dict(row.after) == dict(HELD)
    assert row.before == dict.fromkeys(HELD)


def test_nothing_changed_plans_nothing() -> None:
    assert len(planned(HELD, HELD)) == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"score": 55.8}, "score 41.20 -> 55.80"),
        ({"score": 42.2}, "score 41.20 -> 42.20"),
        ({"score": 40.2}, "score 41.20 -> 40.20"),
        ({"grade": "C"}, "grade B -> C"),
        ({"score_low": 31.5}, "score low 30.00 -> 31.50"),
        ({"next_action": "Email: opened the offer twice"}, "next action Call -> Email"),
        ({"next_action": None}, "next action Call -> none"),
        (
            {"score": None, "score_low": None, "grade": None},
            "score 41.20 -> none, grade B -> none, score low 30.00 -> none",
        ),
    ],
)
def test_what_causes_a_write_is_named(change: Mapping[str, FieldValue], reason: str) -> None:
    new = {**HELD, "model": "need-lead-2", **change}
    (row,) = read(planned(new, HELD))
    assert row.reason == reason
    assert dict(row.after) == new, "a record is written whole"
    assert dict(row.before) == dict(HELD)


@pytest.mark.parametrize(
    "change",
    [
        {"score": 42.19},
        {"score": 41.2049},
        {"score_low": 31.49},
        {"reasons_up": "Source Web, 300 employees"},
        {"next_action": "Call: opened the offer three times"},
        {"scored_at": "2026-03-31T08:00:00Z"},
        {"model": "need-lead-2"},
        {"reasons_up": None},
    ],
)
def test_what_does_not_cause_a_write_alone(change: Mapping[str, FieldValue]) -> None:
    assert len(planned({**HELD, **change}, HELD)) == 0


def test_deals_are_written_when_they_get_stuck_but_not_as_days_go_by() -> None:
    fields = ("score", "stuck", "days_in_stage", "typical_days", "expected_revenue")
    held: dict[str, FieldValue] = {
        "score": 50.0,
        "stuck": False,
        "days_in_stage": 10.0,
        "typical_days": 20.0,
        "expected_revenue": 0.0,
    }

    def reasons(**change: FieldValue) -> list[str]:
        return [
            row.reason for row in read(planned({**held, **change}, held, object_name="deal", fields=fields))
        ]

    assert reasons(days_in_stage=30.0) == []
    assert reasons(stuck=True) == ["stuck no -> yes"]
    assert reasons(stuck=None) == [], "several CRMs have check boxes that can't be empty"
    assert reasons(expected_revenue=0.01) == ["expected revenue 0.00 -> 0.01"]
    assert reasons(typical_days=20.9) == []
    assert reasons(typical_days=21.0) == ["typical days 20.0 -> 21.0"]


def test_a_changed_segment_is_written() -> None:
    (row,) = read(
        planned({"segment": "Loyal"}, {"segment": "New"}, object_name="account", fields=("segment",))
    )
    assert row.reason == "segment New -> Loyal"


def test_a_record_without_results_that_holds_nothing_is_left_alone() -> None:
    stamped: dict[str, FieldValue] = {"scored_at": "2026-03-31T08:00:00Z", "model": "need-lead-1"}
    assert len(planned(stamped, None)) == 0
    assert len(planned({"stuck": False}, {}, object_name="deal", fields=("stuck",))) == 0


def test_a_metric_that_abstains_says_so_on_a_record_that_holds_nothing() -> None:
    (row,) = read(planned({"reasons_up": "Too little history"}, None))
    assert row.reason == "first values"


def test_a_field_nobody_computed_is_neither_written_nor_cleared() -> None:
    new = results({"1": {"score": 60.0}}).select(["id", "score"])
    (row,) = read(changed_rows("lead", new, results({"1": HELD}), fields=FIELDS, dead_band=1))
    assert dict(row.after) == {"score": 60.0}


def test_fields_that_were_not_chosen_are_not_planned() -> None:
    (row,) = read(changed_rows("lead", results({"1": HELD}), None, fields=("score", "grade"), dead_band=1))
    assert dict(row.after) == {"score": 41.2, "grade": "B"}


def test_what_is_compared_is_what_would_be_written() -> None:
    new = {**HELD, "score": 41.204999, "reasons_up": "  Source Web \r\n", "next_action": ""}
    (row,) = read(planned(new, None))
    assert (row.after["score"], row.after["reasons_up"], row.after["next_action"]) == (
        41.2,
        "Source Web",
        None,
    )


def test_a_text_that_is_too_long_is_cut_at_a_word() -> None:
    (row,) = read(planned({**HELD, "next_action": "Call: " + "again and " * 40}, None))
    text = row.after["next_action"]
    assert isinstance(text, str)
    assert len(text) <= 255
    assert text.endswith(("again…", "and…"))


@given(st.text(max_size=60), st.integers(min_value=1, max_value=50))
def test_a_shortened_text_fits_and_is_a_beginning_of_the_whole(text: str, length: int) -> None:
    short = shorten(text, length)
    assert len(short) <= length
    assert short == text if len(text) <= length else text.startswith(short.removesuffix("…"))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_refused_by_name(number: float) -> None:
    with pytest.raises(CRMBridgeError, match=r"lead 1: score = (nan|-?inf)"):
        planned({**HELD, "score": number}, None)


def test_a_grade_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CRMBridgeError, match="lead 1: grade = 'E' is not one of A, B, C, D"):
        planned({**HELD, "grade": "E"}, None)


def test_two_results_for_one_record_are_refused() -> None:
    twice = pa.concat_tables([results({"1": HELD}), results({"1": HELD})])
    with pytest.raises(CRMBridgeError, match="lead 1: there are two results"):
        changed_rows("lead", twice, None, fields=FIELDS, dead_band=1)


def test_a_plan_is_made_against_what_the_crm_holds_now() -> None:
    writer = DictWriter({"1": HELD, "2": {**HELD, "score": 80.0}, "3": {}})
    new = results({"1": HELD, "2": HELD, "3": HELD, "4": HELD})
    changes = plan_object("lead", new, writer=writer, held=None, fields=FIELDS, dead_band=1)
    assert {row.id: row.reason for row in read(changes)} == {
        "2": "score 80.00 -> 41.20",
        "3": "first score",
    }
    assert changes.gone == 1, "record 4 is no longer in the CRM"


def test_only_candidates_are_read_again_where_reading_costs_calls() -> None:
    writer = DictWriter({"1": HELD, "2": HELD, "3": {**HELD, "score": 80.0}})
    writer.reads_are_free = False  # type: ignore[misc]
    known = results({"1": HELD, "2": {**HELD, "score": 80.0}, "3": {**HELD, "score": 70.0}})
    seen: list[pa.Table] = []
    changes = plan_object(
        "lead",
        results({"1": HELD, "2": HELD, "3": HELD}),
        writer=writer,
        held=known,
        fields=FIELDS,
        dead_band=1,
        on_read=seen.append,
    )
    assert writer.reads == [["2", "3"]]
    (row,) = read(changes)
    assert (row.id, row.before["score"], row.reason) == ("3", 80.0, "score 80.00 -> 41.20")
    assert seen[0].to_pydict()["score"] == [41.2, 80.0], "what was read is handed on, so that it is known"
    assert (changes.figures.carrying, changes.figures.changing) == (3, 1)


NUMBERS = st.none() | st.floats(min_value=0, max_value=100)
RECORDS = st.fixed_dictionaries(
    {
        "score": NUMBERS,
        "score_low": NUMBERS,
        "grade": st.sampled_from([None, "A", "B", "C", "D"]),
        "reasons_up": st.none() | st.text(max_size=20),
        "next_action": st.none() | st.text(alphabet="ab: ", max_size=6),
        "scored_at": st.just("2026-03-31T08:00:00Z"),
        "model": st.sampled_from(["m1", "m2"]),
    }
)
ORGANISATIONS = st.dictionaries(
    st.text(alphabet="0123456789NAx", min_size=1, max_size=8), RECORDS, max_size=8
)


@given(new=ORGANISATIONS, held=ORGANISATIONS, free=st.booleans(), remembers=st.booleans())
def test_a_second_run_on_unchanged_data_writes_nothing(
    new: dict[str, dict[str, FieldValue]],
    held: dict[str, dict[str, FieldValue]],
    free: bool,
    remembers: bool,
) -> None:
    writer = DictWriter({identifier: held.get(identifier, {}) for identifier in {**new, **held}})
    writer.reads_are_free = free  # type: ignore[misc]
    known = results(held) if remembers else results({})

    def plan() -> Changes:
        return plan_object("lead", results(new), writer=writer, held=known, fields=FIELDS, dead_band=1)

    for row in read(plan()):
        writer.held[row.id].update(row.after)
    assert len(plan()) == 0


def test_many_causes_are_not_all_told() -> None:
    fields = ("score", "grade", "expected_revenue", "typical_days", "data_quality")
    held: dict[str, FieldValue] = {**dict.fromkeys(fields, 10.0), "grade": "D"}
    new: dict[str, FieldValue] = {**dict.fromkeys(fields, 90.0), "grade": "A"}
    (row,) = read(planned(new, held, object_name="deal", fields=fields))
    assert row.reason == "score 10.00 -> 90.00, grade D -> A, typical days 10.0 -> 90.0 and 2 more"


@given(
    held=st.integers(min_value=0, max_value=10_000),
    moved=st.integers(min_value=-10_000, max_value=10_000),
    dead_band=st.integers(min_value=0, max_value=300),
)
def test_a_score_is_written_from_exactly_the_dead_band_on(held: int, moved: int, dead_band: int) -> None:
    changes = planned(
        {"score": (held + moved) / 100}, {"score": held / 100}, fields=("score",), dead_band=dead_band / 100
    )
    assert len(changes) == (moved != 0 and abs(moved) >= dead_band)
