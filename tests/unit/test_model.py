"""The common model and its columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crmbridge.model.columns import from_table, schema, tag, to_table, untag
from crmbridge.model.fields import CATALOGUE, fields_on, hubspot_name, is_own_name, salesforce_name
from crmbridge.model.records import OBJECTS, Deal, Lead, page_adapter

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
)


def test_an_id_is_text_and_stays_as_it_is():
    leads = page_adapter("lead").validate_python([{"id": "1234567890123456789"}, {"id": "007"}, {"id": "NA"}])
    assert to_table("lead", leads)["id"].to_pylist() == ["1234567890123456789", "007", "NA"]


def test_a_number_is_not_an_id():
    with pytest.raises(ValidationError):
        Lead(id=17)  # type: ignore[arg-type]


def test_a_page_with_a_bad_row_names_the_row():
    with pytest.raises(ValidationError) as caught:
        page_adapter("lead").validate_python([{"id": "1"}, {"id": "2", "created_at": "yesterday"}])
    assert caught.value.errors()[0]["loc"][0] == 1


def test_moments_become_utc_and_naive_ones_are_refused():
    east = datetime(2026, 3, 29, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert Lead(id="1", created_at=east).created_at == datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
    with pytest.raises(ValidationError):
        Lead(id="1", created_at=datetime(2026, 3, 29))  # noqa: DTZ001


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1" + "0" * 29])
def test_money_that_no_column_can_hold_is_refused(amount):
    with pytest.raises(ValidationError):
        Deal(id="1", amount=amount)


def test_money_with_more_digits_than_decimals_own_precision_is_rounded_or_refused():
    exact = Decimal("12345678901234567890.123456789")
    assert Deal(id="1", amount="12345678901234567890.1234567891").amount == exact
    assert Deal(id="1", amount="1E-999999999").amount == 0
    with pytest.raises(ValidationError):
        Deal(id="1", amount="9" * 29 + ".9999999999")


def test_money_is_rounded_to_nine_decimals():
    assert Deal(id="1", amount="0.30000000000000004").amount == Decimal("0.300000000")


def test_absent_null_and_empty_are_three_things():
    leads = [
        Lead(id="1", attributes={}),
        Lead(id="2", industry=None, attributes={"note": None}),
        Lead(id="3", industry="", attributes={"note": ""}),
    ]
    back = from_table("lead", to_table("lead", leads))
    assert ["industry" in lead.model_fields_set for lead in back] == [False, True, True]
    assert [lead.attributes.get("note", "absent") for lead in back] == ["absent", None, ""]


@given(scalars)
def test_an_attribute_comes_back_with_its_type(value):
    back = untag(tag(value))
    assert back == value
    assert type(back) is type(value)


@given(st.lists(st.dictionaries(st.text(min_size=1, max_size=8), scalars, max_size=4), max_size=5))
def test_columns_hold_all_that_the_records_hold(attributes):
    leads = [Lead(id=str(row), attributes=values) for row, values in enumerate(attributes)]
    assert from_table("lead", to_table("lead", leads)) == leads


@pytest.mark.parametrize("object_name", OBJECTS)
def test_every_object_has_columns_and_an_empty_table(object_name):
    table = to_table(object_name, [])
    assert table.schema.names == schema(object_name).names
    assert table.num_rows == 0


def test_names_at_the_vendors_follow_from_the_key():
    assert salesforce_name("score_low") == "CRMBridge_Score_Low__c"
    assert hubspot_name("score_low") == "crmbridge_score_low"


@pytest.mark.parametrize(
    "name",
    [
        "CRMBridge_Score__c",
        "ns__CRMBridge_Score__c",
        "crmbridge_score",
        "x_crmbridge_score",
        "CRMBridge Score",
    ],
)
def test_our_own_fields_are_known_by_name(name):
    assert is_own_name(name)


def test_a_foreign_field_is_not_taken_for_ours():
    assert not is_own_name("Score__c")
    assert not is_own_name("our_crmbridge_notes")


def test_the_catalogue_keeps_to_objects_that_carry_a_field():
    assert "next_action" not in [field.key for field in fields_on("account", CATALOGUE)]
    with pytest.raises(KeyError):
        fields_on("lead", ["Amount"])
