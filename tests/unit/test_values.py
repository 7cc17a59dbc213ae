"""Values: what counts as equal, and that what is written is what is compared."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmbridge.model.fields import CATALOGUE, FieldValue
from crmbridge.writeback.values import differing, equal, holds, shown, table_of, written_table


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("score", 41.2, 41.2),
        ("score", 41.2, 41.204),
        ("score", 41, 41.0),
        ("score", 0.0, -0.0),
        ("days_in_stage", 12.0, 12.4),
        ("grade", None, ""),
        ("reasons_up", "two\nlines ", "two\r\nlines"),
        ("scored_at", "2026-03-31T08:00:00Z", "2026-03-31T08:00:00.000+0000"),
        ("scored_at", "2026-03-31T08:00:00Z", "2026-03-31T10:00:00+02:00"),
        ("stuck", None, False),
    ],
)
def test_the_same_to_a_reader_of_the_crm(key: str, one: FieldValue, other: FieldValue) -> None:
    assert equal(key, one, other)
    assert equal(key, other, one)
    assert holds({key: one}, {key: other})


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("score", 41.2, 41.21),
        ("score", 0.0, None),
        ("p_alive", 0.0001, 0.0002),
        ("grade", "A", "a"),
        ("reasons_up", "a  b", "a b"),
        ("scored_at", "2026-03-31T08:00:00Z", "2026-03-31T08:00:01Z"),
        ("scored_at", "2026-03-31T08:00:00Z", "yesterday"),
        ("stuck", True, None),
    ],
)
def test_not_the_same(key: str, one: FieldValue, other: FieldValue) -> None:
    assert not equal(key, one, other)
    assert not equal(key, other, one)
    assert differing({key: one}, {key: other}) == [key]


def test_an_absent_key_is_none() -> None:
    assert differing({"score": None, "grade": "A"}, {}) == ["grade"]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("score", 41.2, "41.20"), ("days_in_stage", 3.0, "3"), ("stuck", True, "yes"), ("grade", None, "none")],
)
def test_values_are_shown_as_the_crm_would(key: str, value: FieldValue, words: str) -> None:
    assert shown(key, value) == words


@given(
    number=st.floats(min_value=-1e12, max_value=1e12),
    key=st.sampled_from([key for key, field in CATALOGUE.items() if field.type == "number"]),
)
def test_a_written_number_stays_what_it_is(number: float, key: str) -> None:
    object_name = CATALOGUE[key].on[0]
    table = table_of(object_name, (key,), [("1", {key: number})])
    written = written_table(object_name, table, (key,))
    again = written_table(object_name, written, (key,))
    assert written.equals(again)
    value = written[key][0].as_py()
    assert equal(key, value, float(f"{value:.{CATALOGUE[key].decimals}f}")), "also when the CRM rounds it"
    assert abs(value - number) <= 0.5 * 10.0 ** -CATALOGUE[key].decimals + 1e-9 * abs(number)


@given(st.none() | st.text(max_size=400))
def test_a_written_text_stays_what_it_is(text: str | None) -> None:
    table = table_of("lead", ("next_action",), [("1", {"next_action": text})])
    written = written_table("lead", table, ("next_action",))
    assert written.equals(written_table("lead", written, ("next_action",)))
    value = written["next_action"][0].as_py()
    assert value is None or 0 < len(value) <= CATALOGUE["next_action"].length
    if text is None or len(text.strip()) <= CATALOGUE["next_action"].length:
        assert equal("next_action", text, value)


def test_a_value_of_the_wrong_type_is_the_writers_fault_and_named() -> None:
    with pytest.raises(TypeError, match=r"a value of lead\.score is not a double"):
        table_of("lead", ("score",), [("1", {"score": "41.2"})])


def test_a_table_of_nobody_has_the_columns() -> None:
    table = table_of("lead", ("score", "grade"), [])
    assert table.column_names == ["id", "score", "grade"]
    assert table.schema.field("score").type == pa.float64()
