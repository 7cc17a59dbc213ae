"""What Salesforce's rows become: both APIs' spellings, and the cases that are easy to get wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmbridge.connectors.salesforce import SalesforceOptions
from crmbridge.connectors.salesforce.cells import _by_rule, convert, id18, tagged
from crmbridge.connectors.salesforce.decode import Decoded, Decoder, cells_of_rows, cells_of_table
from crmbridge.connectors.salesforce.objects import SOBJECTS, Kind
from crmbridge.connectors.salesforce.schema import Schema
from crmbridge.model.columns import from_table
from tests.shared_data import shared
from tests.vendors.salesforce.org import digest

BERLIN = ZoneInfo("Europe/Berlin")
OPTIONS = SalesforceOptions(
    instance_url="https://acme.my.salesforce.com",
    client_id="x",
    outcomes={"Reached": "connected"},
    disqualified=("Unqualified",),
)
LEAD, DEAL, PERSON = "00Q000000000001EAA", "006000000000001EAA", "003000000000001EAA"


def decoder(name: str, options: SalesforceOptions = OPTIONS) -> Decoder:
    (sobject,) = [each for each in SOBJECTS if each.name == name]
    fields = digest()["objects"][name]["fields"]
    listed = fields if isinstance(fields, list) else [{"name": key, **each} for key, each in fields.items()]
    types = {each["name"]: each.get("type", "string") for each in listed if each.get("type") != "address"}
    schema = Schema(name, types, {}, True, {})
    return Decoder(sobject, schema, options, zone=BERLIN, keys=())


def decode(name: str, *rows: Mapping[str, Any]) -> Decoded:
    one = decoder(name)
    prefix = digest()["objects"][name]["keyPrefix"]
    made = {"CreatedDate": "2026-05-01T07:25:37.000+0000", "SystemModstamp": "2026-05-01T07:25:37.000+0000"}
    whole = [
        {"Id": f"{prefix}{place:012}AAA", "IsDeleted": False, **made, **row} for place, row in enumerate(rows)
    ]
    return one.decode(cells_of_rows(whole, one.known.columns))


def records(name: str, *rows: Mapping[str, Any]) -> list[Any]:
    found = decode(name, *rows)
    assert not found.set_aside, found.set_aside
    (sobject,) = [each for each in SOBJECTS if each.name == name]
    return from_table(sobject.becomes, found.records)


def record(name: str, **row: Any) -> Any:
    return records(name, row)[0]


def test_both_spellings_of_a_moment_are_one():
    for text in ("2026-05-01T07:25:37.000+0000", "2026-05-01T07:25:37.000Z", "2026-05-01T09:25:37+02:00"):
        assert record("Lead", CreatedDate=text).created_at == datetime(2026, 5, 1, 7, 25, 37, tzinfo=UTC)
    assert tagged(pa.array(["2026-05-01T07:25:37.000+0000"]), "datetime").equals(
        tagged(pa.array(["2026-05-01T07:25:37.000Z"]), "datetime")
    )


def test_zero_and_nothing_are_kept_apart():
    zero, nothing = records("Opportunity", {"Amount": "0.0"}, {"Amount": None})
    assert (zero.amount, nothing.amount) == (Decimal(0), None)


def test_no_digit_of_an_amount_is_lost():
    body = b'{"AnnualRevenue": 9007199254740993.0, "NumberOfEmployees": 12}'
    row = json.loads(body, parse_float=str)
    assert record("Lead", **row).annual_revenue == Decimal("9007199254740993")
    for digits in ("10000000000000000000.5", "12345678901234567890.123456789"):
        assert record("Lead", AnnualRevenue=digits).annual_revenue == Decimal(digits)
    assert record("Lead", AnnualRevenue="1.5E7").annual_revenue == Decimal(15_000_000)


def test_numbers_are_the_same_attribute_however_they_are_spelt():
    for cells in (["12", "0.5"], ["12.0", "0.50"], ["12.000", "0.5"]):
        assert tagged(pa.array(cells), "double").to_pylist() == ["12", "0.5"]
    assert tagged(pa.array(["1.5E7", None]), "double").to_pylist() == ["15000000", "null"]


def test_a_lead_is_converted_on_a_day_of_the_zone_and_not_before_it_was_made():
    lead = record(
        "Lead",
        IsConverted=True,
        ConvertedDate="2026-05-03",
        ConvertedOpportunityId=DEAL,
        ConvertedContactId=PERSON,
    )
    assert lead.converted_at == datetime(2026, 5, 2, 22, tzinfo=UTC)
    assert (lead.converted_deal_id, lead.converted_contact_id) == (DEAL, PERSON)
    same_day = record("Lead", IsConverted=True, ConvertedDate="2026-05-01")
    assert same_day.converted_at == same_day.created_at


def test_the_settings_say_which_status_disqualifies():
    first, second, third = records("Lead", {"Status": "Unqualified"}, {"Status": "Open"}, {"Status": None})
    assert (first.is_disqualified, second.is_disqualified, third.is_disqualified) == (True, False, None)


def test_a_deal_was_closed_when_its_stage_last_changed_else_on_its_close_date():
    changed, by_date, is_open = records(
        "Opportunity",
        {"IsClosed": True, "CloseDate": "2026-06-01", "LastStageChangeDate": "2026-05-20T10:00:00.000+0000"},
        {"IsClosed": True, "CloseDate": "2026-06-01"},
        {"IsClosed": False, "CloseDate": "2026-06-01"},
    )
    assert changed.closed_at == datetime(2026, 5, 20, 10, tzinfo=UTC)
    assert by_date.closed_at == datetime(2026, 5, 31, 22, tzinfo=UTC)
    assert (is_open.closed_at, is_open.expected_close) == (None, date(2026, 6, 1))


def test_two_changes_of_stage_in_one_second_and_one_back_are_all_there():
    at = "2026-05-01T07:25:37.000+0000"
    rows = [{"OpportunityId": DEAL, "StageName": stage, "CreatedDate": at} for stage in ("B", "C", "B")]
    found = records("OpportunityHistory", *rows)
    assert [each.to_stage for each in found] == ["B", "C", "B"]
    assert len({each.id for each in found}) == 3


def test_a_stage_change_without_its_deal_is_set_aside_with_the_reason():
    found = decode("OpportunityHistory", {"StageName": "B"}, {"StageName": "C", "OpportunityId": DEAL})
    assert found.records.num_rows == 1
    assert [row.reason for row in found.set_aside] == ["OpportunityId: is missing"]


def test_who_and_what_are_told_by_their_prefix():
    lead, person, other = records(
        "Task", {"WhoId": LEAD}, {"WhoId": PERSON, "WhatId": DEAL}, {"WhatId": "500000000000001AAA"}
    )
    assert (lead.lead_id, lead.contact_id) == (LEAD, None)
    assert (person.contact_id, person.deal_id) == (PERSON, DEAL)
    assert (other.deal_id, other.account_id) == (None, None)
    assert other.attributes["WhatId"] == "500000000000001AAA"


@pytest.mark.parametrize(("seconds", "expected"), [(0, 0.0), (None, None), (-5, None), (90, 90.0)])
def test_only_a_time_that_was_measured_is_a_duration(seconds, expected):
    call = record("Task", TaskSubtype="Call", CallDurationInSeconds=seconds)
    assert (call.kind, call.duration) == ("call", expected)


def test_a_finished_call_began_its_duration_before_its_end():
    call = record(
        "Task",
        TaskSubtype="Call",
        CallType="Outbound",
        CallDisposition="Reached",
        CallDurationInSeconds=600,
        CompletedDateTime="2026-05-01T10:00:00.000+0000",
        IsClosed=True,
    )
    assert call.started_at == datetime(2026, 5, 1, 9, 50, tzinfo=UTC)
    assert (call.outcome, call.direction, call.is_completed) == ("connected", "outbound", True)


def test_a_task_that_is_due_stands_on_its_day_and_an_unknown_kind_is_other():
    due, odd = records("Task", {"ActivityDate": "2026-05-04"}, {"TaskSubtype": "Cadence"})
    assert (due.kind, due.started_at) == ("task", datetime(2026, 5, 3, 22, tzinfo=UTC))
    assert (odd.kind, odd.outcome) == ("other", None)


def test_an_all_day_event_stays_on_its_day_and_measures_no_time():
    event = record(
        "Event",
        IsAllDayEvent=True,
        ActivityDate="2026-05-04",
        StartDateTime="2026-05-04T00:00:00.000+0000",
        DurationInMinutes=1440,
    )
    assert event.started_at is not None
    assert event.started_at.astimezone(BERLIN).date() == date(2026, 5, 4)
    assert event.duration is None


def test_an_event_may_have_only_its_end_and_last_more_than_a_day():
    only_end, long = records(
        "Event", {"EndDateTime": "2026-05-04T10:00:00.000+0000"}, {"DurationInMinutes": 3000}
    )
    assert (only_end.started_at, only_end.ended_at) == (None, datetime(2026, 5, 4, 10, tzinfo=UTC))
    assert long.duration == 180_000


def test_a_queue_may_own_a_lead_and_a_currency_goes_with_an_amount():
    assert record("Lead", OwnerId="00G000000000001EAA").owner_id == "00G000000000001EAA"
    assert record("Opportunity", Amount="5.0", CurrencyIsoCode="CHF").currency == "CHF"


def test_texts_arrive_as_they_are():
    text = ' "quoted", 🙂\r\nsecond line  '
    lead = record("Lead", Company=text, Street="one\r\ntwo ", LeadSource="never heard of")
    assert (lead.company, lead.attributes["Street"], lead.lead_source) == (
        text,
        "one\r\ntwo ",
        "never heard of",
    )


def test_an_order_is_fulfilled_when_the_settings_say():
    order = record("Order", EffectiveDate="2026-05-04", ActivatedDate="2026-05-06T10:00:00.000+0000")
    assert order.ordered_at == datetime(2026, 5, 3, 22, tzinfo=UTC)
    assert order.fulfilled_at == datetime(2026, 5, 6, 10, tzinfo=UTC)
    one = decoder("Order", OPTIONS.model_copy(update={"fulfilled": "EndDate"}))
    cells = cells_of_rows([{"Id": "801000000000001AAA", "EndDate": "2026-05-08"}], one.known.columns)
    (other,) = from_table("order", one.decode(cells).records)
    assert other.fulfilled_at == datetime(2026, 5, 7, 22, tzinfo=UTC)


def test_fifteen_characters_are_completed_as_salesforce_does():
    assert id18("001A000001LkFrF") == "001A000001LkFrFIAV"
    assert id18("001A000001LkFrFIAV") == "001A000001LkFrFIAV"
    assert record("Contact", AccountId="001A000001LkFrF").account_id == "001A000001LkFrFIAV"


def test_what_the_user_may_not_see_is_absent_and_not_null():
    one = decoder("Lead")
    hidden = {name: kind for name, kind in one.known.types.items() if name != "Phone"}
    less = Decoder(one.sobject, Schema("Lead", hidden, {}, True, {}), OPTIONS, zone=BERLIN, keys=())
    cells = cells_of_rows([{"Id": LEAD, "LastName": "x"}], less.known.columns)
    (lead,) = from_table("lead", less.decode(cells).records)
    assert "phone" not in lead.model_fields_set
    assert "email" in lead.model_fields_set


def test_stamps_of_our_own_writes_are_no_attributes():
    assert not {"LastModifiedDate", "LastModifiedById", "SystemModstamp"} & set(record("Lead").attributes)


def test_a_recorded_answer_of_a_real_org_is_read():
    text = shared("vendors/salesforce/amp_labs/read-list-leads.json").read_text("utf-8")
    rows = json.loads(text, parse_float=str)["records"]
    rows = [{**row, "Id": row["attributes"]["url"].rpartition("/")[2]} for row in rows]
    one = decoder("Lead")
    found = one.decode(cells_of_rows(rows, one.known.columns))
    assert found.records.num_rows == len(rows) > 0
    assert not found.set_aside


def test_an_empty_cell_of_a_csv_is_null_and_na_is_a_text():
    cells = cells_of_table(pa.table({"Company": ["", "#N/A", " "]}))
    assert cells["Company"].to_pylist() == [None, "#N/A", " "]


CELLS = st.one_of(
    st.none(),
    st.sampled_from(
        [
            "true",
            "False",
            "12",
            "12.0",
            "-3.5",
            "1.5E7",
            "NaN",
            "2026-02-30",
            "2026-05-01",
            "2024-02-29",
            "2026-05-01T07:25:37.000+0000",
            "2026-05-01T07:25:37.000Z",
            "2026-02-30T07:25:37.000Z",
            "2026-05-31T23:59:59Z",
            "001A000001LkFrF",
            "001A000001LkFrFIAV",
            "x",
            "0" * 40,
            "9" * 40,
        ]
    ),
    st.text(max_size=12),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2999, 1, 1)).map(  # noqa: DTZ001
        lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    ),
)


@pytest.mark.parametrize("kind", ["id", "boolean", "count", "money", "moment", "date", "day"])
@given(cells=st.lists(CELLS, max_size=12))
@settings(max_examples=60, deadline=None)
def test_whole_columns_are_read_as_the_rule_reads_each_cell(kind: Kind, cells: list[str | None]):
    column = pa.array(cells, pa.string())
    fast, wrong = convert(column, kind, BERLIN)
    slow, refused = _by_rule(column, kind, BERLIN)
    assert wrong == refused
    assert fast.equals(slow)
