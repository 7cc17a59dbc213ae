"""The two decoders give the same records and the same reasons, whatever stands in the cells."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crmbridge.connectors.files import bulk, models
from crmbridge.connectors.files.decode import Decoded, decode
from crmbridge.connectors.files.mapping import FileMapping, map_columns
from crmbridge.connectors.files.options import ObjectOptions, Options
from crmbridge.connectors.files.parquet import plain
from crmbridge.connectors.files.rows import Rows
from crmbridge.model.records import ObjectName

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Monrovia",
    "Asia/Kathmandu",
)
SETTINGS: dict[ObjectName, dict[str, Any]] = {
    "lead": {
        "fields": {
            "created_at": "made",
            "annual_revenue": "money",
            "is_converted": "flag",
            "owner_id": "ref",
        },
        "replace": {"flag": {"ja": True, "nein": False}, "extra": {"x": "y"}},
    },
    "deal": {
        "fields": {"amount": "money", "expected_close": "made", "stage": "flag", "account_id": "ref"},
        "stages": {"won": ["1", "ja"], "lost": ["0", "nein"], "open": ["true", "x", ""]},
        "constants": {"currency": "EUR", "created_at": date(2014, 1, 1)},
    },
    "activity": {
        "fields": {
            "kind": "flag",
            "duration": "money",
            "outcome": "extra",
            "lead_id": "row",
            "started_at": "made",
        },
        "outcomes": {"x": "connected", "y": "no_answer"},
    },
    "stage_change": {"fields": {"deal_id": "ref", "to_stage": "extra", "at": "made", "rep_id": "ref"}},
    "account": {"fields": {"employees": "money", "name": "extra", "created_at": "made", "industry": "flag"}},
}
COLUMNS = ("id", "made", "money", "flag", "ref", "extra")

dates = st.datetimes()
date_texts = st.one_of(
    dates.map(lambda moment: moment.isoformat()),
    dates.map(lambda moment: moment.isoformat(" ", "minutes")),
    dates.map(lambda moment: moment.date().isoformat()),
    dates.map(lambda moment: moment.isoformat(timespec="milliseconds") + "+0000"),
    dates.map(lambda moment: moment.isoformat(timespec="seconds") + "Z"),
    dates.map(lambda moment: moment.isoformat(timespec="microseconds") + "-05:30"),
    dates.map(lambda moment: f"{moment.day:02}.{moment.month:02}.{moment.year:04}"),
    dates.map(lambda moment: f"{moment.day}.{moment.month}.{moment.year:04}"),
    st.sampled_from(
        [
            "31.02.2024",
            "2024-02-30",
            "2024-13-01",
            "20240229",
            "2024-03-31T02:30:00",
            "2024-10-27 02:30:00",
            "2024-11-03T01:30:00.5",
            "1972-01-07T00:30:00",
            "1986-01-01",
            "2024-01-01T24:00:00",
            "2024-1-1",
            "9999-12-31T23:59:59-01:00",
            "0001-01-01T00:00:00+01:00",
            "2024-01-01T00:00:60",
            " 2024-01-01 ",
            "today",
            "٢٠٢٤-٠١-٠١",
        ]
    ),
)
number_texts = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.decimals(-(10**12), 10**12, places=2).map(str),
    st.decimals(0, 10**9, places=2).map(lambda number: str(number).replace(".", ",")),
    st.integers(-(10**40), 10**40).map(str),
    st.floats().map(repr),
    st.sampled_from(
        [
            "1,234.50",
            "1.234,50",
            "1,23",
            "12,345",
            "007",
            "+5",
            "-0",
            ".5",
            "5.",
            "1e5",
            "1E-400",
            "1e9999",
            "99999999999999999999999999999.9999999999",
            "0.0000000005",
            "12345678901234567890.12345678915",
            "NaN",
            "€ 5",
            "١٢",
        ]
    ),
)
ids = st.one_of(
    st.sampled_from(
        ["0012", "1234567890123456789", "NA", "null", "", " ", "a,b", 'a"b', "\x00", "x" * 255, "x" * 256]
    ),
    st.text(max_size=8),
)
words = st.sampled_from(
    ["1", "0", "true", "FALSE", "ja", "nein", "Y", "n ", "x", "y", "call", "Email", "No Answer", "", " "]
)
cells = {
    "id": ids,
    "made": date_texts | st.sampled_from(["", " ", "x"]),
    "money": number_texts | st.sampled_from(["", " ", "x"]),
    "flag": words | st.text(max_size=3),
    "ref": ids,
    "extra": words | st.text(max_size=5),
}
texts = st.lists(
    st.fixed_dictionaries({name: st.none() | strategy for name, strategy in cells.items()}),
    min_size=1,
    max_size=12,
)


def mapping_of(
    object_name: ObjectName, zone: str = "UTC", columns: tuple[str, ...] = COLUMNS, **more: Any
) -> FileMapping:
    options = Options.model_validate(
        {"path": ".", object_name: {"file": "rows.csv", **SETTINGS[object_name], **more}}
    ).of(object_name)
    assert isinstance(options, ObjectOptions)
    return map_columns(object_name, options, columns, file="rows.csv", zone=ZoneInfo(zone))


def rows_of(table: pa.Table) -> Rows:
    numbers = np.arange(1, table.num_rows + 1)
    return Rows(table, numbers, numbers + 1, lambda row: str(table.slice(row, 1).to_pylist()))


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in COLUMNS})


def assert_same(bulk_way: Decoded, model_way: Decoded) -> None:
    assert bulk_way.unfit == model_way.unfit
    assert bulk_way.rows.tolist() == model_way.rows.tolist()
    assert bulk_way.table.schema.equals(model_way.table.schema)
    for name in bulk_way.table.column_names:
        assert bulk_way.table[name].to_pylist() == model_way.table[name].to_pylist(), name


@pytest.mark.parametrize("object_name", SETTINGS)
@settings(max_examples=30, deadline=None)
@given(rows=texts, zone=st.sampled_from(ZONES), decimal=st.sampled_from([".", ","]), german=st.booleans())
def test_both_decoders_agree_on_text(
    object_name: ObjectName, rows: list[dict[str, Any]], zone: str, decimal: str, german: bool
) -> None:
    more = {"date_format": ["%d.%m.%Y", "%Y-%m-%dT%H:%M:%S"]} if german else {}
    mapping = mapping_of(object_name, zone, decimal=decimal, **more)
    source = rows_of(table_of(rows))
    both = decode(source, mapping, "bulk"), decode(source, mapping, "models")
    assert_same(*both)
    assert len(both[0].unfit) + both[0].table.num_rows == len(rows)


typed: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats() | st.integers(0, 10**6).map(float),
    pa.bool_(): st.booleans(),
    pa.timestamp("us"): dates,
    pa.timestamp("us", "UTC"): dates.map(lambda moment: moment.replace(tzinfo=UTC)),
    pa.timestamp("s"): dates | st.integers(-(2**60), 2**60),
    pa.date32(): dates.map(lambda moment: moment.date()) | st.integers(-(2**31), 2**31 - 1),
    pa.time64("us"): dates.map(lambda moment: moment.time()),
    pa.decimal128(20, 4): st.decimals(-(10**9), 10**9, places=4),
    pa.string(): words | date_texts | number_texts,
    pa.null(): st.none(),
}


@pytest.mark.parametrize("object_name", SETTINGS)
@settings(max_examples=30, deadline=None)
@given(data=st.data(), zone=st.sampled_from(ZONES))
def test_both_decoders_agree_on_the_types_of_parquet(
    object_name: ObjectName, data: st.DataObject, zone: str
) -> None:
    count = data.draw(st.integers(1, 6))
    columns = {}
    for name in COLUMNS:
        kind = data.draw(st.sampled_from(list(typed)))
        values = data.draw(st.lists(st.none() | typed[kind], min_size=count, max_size=count))
        columns[name] = pa.array(values, kind)
    source = rows_of(pa.table({name: plain(pa.chunked_array([column])) for name, column in columns.items()}))
    mapping = mapping_of(object_name, zone)
    assert_same(decode(source, mapping, "bulk"), decode(source, mapping, "models"))


@settings(max_examples=60, deadline=None)
@given(cell=date_texts, zone=st.sampled_from(ZONES))
@example("2024-03-31T02:30:00", "Europe/Berlin")
@example("2024-10-27T02:30:00", "Europe/Berlin")
def test_a_row_is_read_alike_alone_and_among_others(cell: str, zone: str) -> None:
    mapping = mapping_of("account", zone)
    blank: dict[str, Any] = dict.fromkeys(COLUMNS)
    others = [{**blank, "id": str(k), "made": f"2024-03-{k:02}T10:00:00"} for k in range(1, 29)]
    row = {**blank, "id": "x", "made": cell}
    alone = decode(rows_of(table_of([row])), mapping)
    among = decode(rows_of(table_of([*others, row])), mapping)
    if alone.table.num_rows:
        assert among.table.slice(28).equals(alone.table)
    else:
        assert [unfit.reason for unfit in among.unfit] == [unfit.reason for unfit in alone.unfit]


def test_a_row_the_bulk_decoder_refuses_but_the_model_takes_keeps_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = rows_of(table_of([{**dict.fromkeys(COLUMNS), "id": str(k)} for k in range(6)]))
    mapping = mapping_of("account")
    expected = decode(rows, mapping, "models")
    whole = bulk.convert

    def doubting(*arguments: Any) -> Any:
        table, fits = whole(*arguments)
        fits[[1, 4]] = False
        return table, fits

    monkeypatch.setattr(bulk, "convert", doubting)
    assert_same(decode(rows, mapping, "bulk"), expected)


def test_refused_rows_do_not_cost_the_others_of_a_long_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "AT_ONCE", 7)
    table = table_of([{**dict.fromkeys(COLUMNS), "id": "x" * k, "ref": str(k)} for k in range(250, 280)])
    decoded = decode(rows_of(table), mapping_of("account"), "models")
    assert decoded.table.num_rows == 6
    assert [unfit.row for unfit in decoded.unfit] == list(range(6, 30))


def reasons(
    object_name: ObjectName,
    zone: str = "UTC",
    /,
    *,
    settings: dict[str, Any] | None = None,
    **cells: str | None,
) -> str:
    row = {**dict.fromkeys(COLUMNS), "id": "7", **cells}
    decoded = decode(rows_of(table_of([row])), mapping_of(object_name, zone, **(settings or {})))
    return "; ".join(unfit.reason for unfit in decoded.unfit)


def test_reasons_are_words_an_admin_understands() -> None:
    german = {"date_format": "%d.%m.%Y", "decimal": ","}
    assert (
        reasons("lead", made="31.02.2024", settings=german)
        == "created_at: '31.02.2024' is not a date of the form %d.%m.%Y"
    )
    assert (
        reasons("lead", made="31.02.2024")
        == "created_at: '31.02.2024' is not a date in ISO 8601; set date_format"
    )
    assert (
        reasons("lead", money="1,234.50", settings=german)
        == "annual_revenue: '1,234.50' is not a number with the decimal mark ','"
    )
    assert reasons("lead", id=None) == "id: id is empty"
    assert reasons("lead", id="") == "id: id is empty"
    assert (
        reasons("deal", flag="Stuck")
        == "stage: 'Stuck' is in none of stages.won, stages.lost and stages.open"
    )
    assert reasons("account", money="-3") == "employees: '-3': input should be greater than or equal to 0"
    assert reasons("activity", money="-3", flag="call") == "duration: '-3.0': a duration can't be negative"
    assert reasons("activity") == "kind: is missing"
    assert (
        reasons("activity", flag="fax")
        == "kind: 'fax' is none of call, meeting, email, task, note, other; say what it means in the settings"
    )
    assert reasons("lead", made="x", money="y").count(";") == 2


def value(
    object_name: ObjectName,
    field: str,
    zone: str = "UTC",
    /,
    *,
    settings: dict[str, Any] | None = None,
    **cells: str,
) -> Any:
    row = {**dict.fromkeys(COLUMNS), "id": "7", **cells}
    decoded = decode(rows_of(table_of([row])), mapping_of(object_name, zone, **(settings or {})))
    assert decoded.unfit == []
    return decoded.table[field][0].as_py()


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2024-07-01", "Europe/Berlin", "2024-06-30T22:00:00"),
        ("2024-07-01T12:00", "Europe/Berlin", "2024-07-01T10:00:00"),
        ("2024-07-01T12:00:00Z", "Europe/Berlin", "2024-07-01T12:00:00"),
        ("2024-07-01T12:00:00.000+0000", "Europe/Berlin", "2024-07-01T12:00:00"),
        ("2024-07-01 12:00:00.123456-05:30", "UTC", "2024-07-01T17:30:00.123456"),
        ("20240701T120000", "UTC", "2024-07-01T12:00:00"),
        ("20240701T1200Z", "Europe/Berlin", "2024-07-01T12:00:00"),
        ("2024-07-01 12:00:00 UTC", "Europe/Berlin", "2024-07-01T12:00:00"),
        ("2024-07-01 12:00:00 +0200", "UTC", "2024-07-01T10:00:00"),
        ("2024-07-01t12:00:00.5z", "UTC", "2024-07-01T12:00:00.500000"),
        ("2024-07-01T12:00:00,123456789+02", "UTC", "2024-07-01T10:00:00.123456"),
        # The clocks skip 02:30: read with the offset before the change. 02:30 comes twice: the first.
        ("2024-03-31T02:30:00", "Europe/Berlin", "2024-03-31T01:30:00"),
        ("2024-10-27T02:30:00", "Europe/Berlin", "2024-10-27T00:30:00"),
    ],
)  # fmt: skip
def test_moments_become_utc(text: str, zone: str, expected: str) -> None:
    moment = datetime.fromisoformat(expected).replace(tzinfo=UTC)
    assert value("account", "created_at", zone, made=text) == moment


def test_stated_forms_of_dates_and_numbers_are_read() -> None:
    american = {"date_format": ["%m/%d/%Y %I:%M %p", "%m/%d/%Y"]}
    assert value("account", "created_at", settings=american, made="3/1/2024 4:05 PM") == datetime(
        2024, 3, 1, 16, 5, tzinfo=UTC
    )
    assert value("account", "created_at", settings=american, made="12/31/2024") == datetime(
        2024, 12, 31, tzinfo=UTC
    )
    european = {"decimal": ","}
    assert value("lead", "annual_revenue", settings=european, money="1.234.567,89") == Decimal("1234567.89")
    assert value("lead", "annual_revenue", settings=european, money="1234,5") == Decimal("1234.5")
    assert value("lead", "annual_revenue", money="1,234,567.891") == Decimal("1234567.891")
    assert value("account", "employees", money="2,822.0") == 2822
    assert value("lead", "is_converted", flag="ja") is True
    assert value("deal", "expected_close", made="2024-07-01") == date(2024, 7, 1)


def test_a_stage_says_whether_a_deal_is_closed_and_won() -> None:
    for stage, closed, won in (("ja", True, True), ("nein", True, False), ("x", False, False)):
        assert value("deal", "is_closed", flag=stage) is closed
        assert value("deal", "is_won", flag=stage) is won
    assert value("deal", "is_won") is None
    anything = {"stages": {"won": ["ja"], "lost": []}}
    assert value("deal", "is_closed", settings=anything, flag="whatever") is False


def test_ids_stay_text_and_several_columns_may_make_one() -> None:
    for identity in ("1234567890123456789", "0012", "NA", "1e5"):
        assert value("account", "id", id=identity) == identity
    joined = {"id": ["id", "ref"]}
    assert value("account", "id", settings=joined, ref="9") == "7-9"
    assert reasons("account", settings=joined, ref=None) == "id: id or ref is empty"
    assert value("account", "id", settings={"id": "row"}, id="x") == "1"
