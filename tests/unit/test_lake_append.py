from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from crmbridge.errors import BusyError, StoreError
from crmbridge.model.columns import from_table, schema, to_table
from crmbridge.model.records import Lead
from crmbridge.store.lake import Appended, Lake, content
from crmbridge.store.ledger import SetAsideRow
from tests.unit.lake_kit import START, Leads, day, leads

__all__ = ["leads"]


def test_only_what_is_new_or_different_is_kept(leads: Leads) -> None:
    first = leads.append({"id": "1", "company": "A"}, {"id": "2", "company": "B"}, seen=0)
    assert first == Appended(new=2)
    again = leads.append({"id": "1", "company": "A"}, {"id": "2", "company": "B2"}, {"id": "3"}, seen=1)
    assert again == Appended(new=1, changed=1, unchanged=1)
    assert [part.rows for part in leads.lake.ledger.parts("acme", "lead")] == [2, 2]
    assert leads.scan("id", "company", at=0) == [("1", "A"), ("2", "B")]
    assert leads.scan("id", "company", at=1) == [("1", "A"), ("2", "B2"), ("3", None)]


def test_an_unchanged_page_writes_no_file_but_moves_the_cursor(leads: Leads) -> None:
    leads.append({"id": "1", "company": "A"}, seen=0, cursor={"page": 1})
    files = leads.files()
    assert leads.append({"id": "1", "company": "A"}, seen=1, cursor={"page": 2}) == Appended(unchanged=1)
    assert leads.append(seen=1, cursor={"page": 3}) == Appended()
    assert leads.files() == files
    assert leads.lake.ledger.cursor("acme", "lead") == {"page": 3}


def test_what_was_set_aside_is_kept_with_the_page(leads: Leads) -> None:
    row = SetAsideRow("lead", "leads.csv:2", "no id", raw=",x")
    leads.append(seen=0, set_aside=[row])
    leads.append({"id": "1"}, seen=0, set_aside=[row])
    assert leads.lake.ledger.set_aside_rows(leads.run) == [row]


def test_another_process_knows_the_latest_versions_too(leads: Leads) -> None:
    leads.append({"id": "1", "company": "A"}, {"id": "2"}, seen=0)
    other = leads.again()
    assert other.append({"id": "1", "company": "A"}, {"id": "2", "company": "B"}, seen=1) == Appended(
        changed=1, unchanged=1
    )
    assert leads.append({"id": "2", "company": "B"}, {"id": "3"}, seen=2) == Appended(new=1, unchanged=1)
    assert leads.scan("id", "company", at=2) == [("1", "A"), ("2", "B"), ("3", None)]


def test_a_deleted_record_leaves_a_tombstone_once(leads: Leads) -> None:
    leads.append({"id": "1", "company": "A"}, {"id": "2"}, seen=0)
    assert leads.append(seen=1, deleted=["1", "9", "1"]) == Appended(deleted=1)
    assert leads.append(seen=2, deleted=["1"]) == Appended()
    assert leads.scan("id", at=0.5) == [("1",), ("2",)]
    assert leads.scan("id", at=1) == [("2",)]
    assert (leads.lake.live_count("acme", "lead"), leads.lake.live_ids("acme", "lead").to_pylist()) == (
        1,
        ["2"],
    )


def test_a_deleted_record_can_come_back(leads: Leads) -> None:
    leads.append({"id": "1", "company": "A"}, seen=0)
    leads.append(seen=1, deleted=["1"])
    assert leads.append({"id": "1", "company": "A"}, seen=2) == Appended(changed=1)
    assert [len(leads.scan("id", at=moment)) for moment in (0, 1, 2)] == [1, 0, 1]
    assert leads.lake.live_count("acme", "lead") == 1


def test_a_record_that_comes_and_goes_within_one_page_ends_deleted(leads: Leads) -> None:
    assert leads.append({"id": "1"}, seen=0, deleted=["1"]) == Appended(new=1, deleted=1)
    assert leads.scan("id", at=5) == []
    assert leads.lake.live_count("acme", "lead") == 0
    assert [row["deleted"] for row in leads.lake.history("acme", "lead", "1")] == [False, True]


def test_an_id_twice_in_a_page_has_two_versions_if_they_differ(leads: Leads) -> None:
    found = leads.append(
        {"id": "1", "company": "A"},
        {"id": "2"},
        {"id": "1", "company": "B"},
        {"id": "1", "company": "B"},
        {"id": "1", "company": "A"},
        seen=0,
    )
    assert found == Appended(new=2, changed=2, unchanged=1)
    assert [row["company"] for row in leads.lake.history("acme", "lead", "1")] == ["A", "B", "A"]
    assert leads.scan("id", "company", at=0) == [("1", "A"), ("2", None)]
    assert leads.append({"id": "1", "company": "A"}, seen=1) == Appended(unchanged=1)


def test_a_first_version_holds_since_it_was_modified_if_that_is_known(leads: Leads) -> None:
    leads.append(
        {"id": "known", "modified_at": day(-3)},
        {"id": "unknown", "modified_at": None},
        {"id": "future", "modified_at": day(8)},
        seen=0,
    )
    assert leads.scan("id", "valid_from", at=0) == [
        ("future", day(0)),
        ("known", day(-3)),
        ("unknown", day(0)),
    ]
    assert leads.scan("id", at=-2) == [("known",)]


def test_a_later_version_holds_since_it_was_modified_if_that_is_after_the_one_before(leads: Leads) -> None:
    leads.append({"id": "1", "company": "A", "modified_at": day(-3)}, seen=0)
    leads.append({"id": "1", "company": "B", "modified_at": day(0.5)}, seen=1)
    leads.append({"id": "1", "company": "C", "modified_at": day(0.5)}, seen=2)
    leads.append({"id": "1", "company": "D", "modified_at": day(-9)}, seen=3)
    held_since = [row["valid_from"] for row in leads.lake.history("acme", "lead", "1")]
    assert held_since == [day(-3), day(0.5), day(2), day(3)]
    assert leads.scan("company", at=0.4) == [("A",)]
    assert leads.scan("company", at=0.5) == [("B",)]


def test_versions_never_go_back_in_time_if_the_clock_does(leads: Leads) -> None:
    leads.append({"id": "1", "company": "A"}, seen=5)
    leads.append({"id": "1", "company": "B"}, seen=4)
    leads.append(seen=3, deleted=["1"])
    assert [row["valid_from"] for row in leads.lake.history("acme", "lead", "1")] == [day(5)] * 3
    assert leads.scan("id", at=5) == []


def test_the_modification_time_and_stamps_are_kept_but_are_no_content(leads: Leads) -> None:
    leads.append({"id": "1", "score": "5", "scored_at": "monday", "modified_at": day(0)}, seen=0)
    same = leads.append(
        {"id": "1", "score": "5", "scored_at": "tuesday", "modified_at": day(1)}, seen=1, stamps=["scored_at"]
    )
    assert same == Appended(changed=1)
    same = leads.append(
        {"id": "1", "score": "5", "scored_at": "friday", "modified_at": day(2)}, seen=2, stamps=["scored_at"]
    )
    assert same == Appended(unchanged=1)
    assert leads.scan("scored_at", at=2) == [("tuesday",)]


def test_pages_cut_elsewhere_or_with_other_columns_make_the_same_content(leads: Leads) -> None:
    rows = [
        {"id": "1", "company": "A", "attributes.x": '"1', "attributes.y": None},
        {"id": "2", "company": "B", "attributes.x": None, "attributes.y": '"2'},
        {"id": "3", "company": None, "attributes.x": None, "attributes.y": None},
    ]
    leads.append(*rows, seen=0)
    for row in rows:
        assert leads.append({name: row[name] for name in reversed(row)}, seen=1) == Appended(unchanged=1)
        shown = {name: value for name, value in row.items() if value is not None}
        assert leads.append(shown, seen=1) == Appended(unchanged=1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"attributes.x": None}, {"attributes.x": "null"}),
        ({"attributes.x": '"'}, {"attributes.x": None}),
        ({"attributes.x": "1"}, {"attributes.x": '"1'}),
        ({"attributes.x": '"1'}, {"attributes.y": '"1'}),
        ({"attributes.x": '"1', "attributes.y": '"2'}, {"attributes.x": '"1\x1eattributes.y\x1f"2'}),
        ({"attributes.x": "\x1b0"}, {"attributes.x": "\x1b"}),
        ({"attributes.x": "\x1e"}, {"attributes.x": "\x1b1"}),
        ({"absent": ""}, {"absent": "company"}),
        ({"company": None, "absent": ""}, {"company": "", "absent": ""}),
        ({"is_converted": True}, {"is_converted": False}),
        ({"employees": 1}, {"employees": 11}),
        ({"annual_revenue": Decimal("1.000000001")}, {"annual_revenue": Decimal("1.000000002")}),
        ({"created_at": START}, {"created_at": START + timedelta(microseconds=1)}),
    ],
)
def test_any_difference_in_content_is_seen(
    leads: Leads, before: dict[str, object], after: dict[str, object]
) -> None:
    leads.append({"id": "1", **before}, seen=0)
    assert leads.append({"id": "1", **before}, seen=1) == Appended(unchanged=1)
    assert leads.append({"id": "1", **after}, seen=2) == Appended(changed=1)


def test_zero_is_zero_whatever_its_sign_and_no_number_is_nothing(leads: Leads) -> None:
    def scores(*values: float | None) -> pa.Table:
        return pa.table({"id": [str(n) for n in range(len(values))], "score": pa.array(values, pa.float64())})

    def append(*values: float | None) -> Appended:
        return leads.lake.append("acme", "result/lead", scores(*values), run=leads.run, seen_at=START)

    append(0.0, None, 1e300, 0.1)
    assert append(-0.0, None, 1e300, 0.1) == Appended(unchanged=4)
    assert append(1e-300, 0.0, 1e299, 0.1 + 2e-17) == Appended(changed=4)


def test_attributes_that_differ_only_by_case_or_have_odd_names_survive(leads: Leads) -> None:
    names = [
        "Name",
        "name",
        "NAME",
        "na.me",
        "na",
        'quo"te',
        "日本",
        " ",
        "a\x1fb",
        "key",
        "deleted",
        "valid_from",
    ]
    row = {f"attributes.{name}": f'"{number}' for number, name in enumerate(names)}
    leads.append({"id": "1", **row}, seen=0)
    assert leads.scan(*row, at=0) == [tuple(row.values())]
    assert leads.lake.attribute_names("acme", "lead") == sorted(names)
    (version,) = leads.lake.history("acme", "lead", "1")
    assert {name: version[name] for name in row} == row
    leads.append({"id": "2"}, seen=0)
    assert leads.lake.compact("acme", "lead", at_least=2) == 1
    assert leads.scan("id", *row, at=0) == [("1", *row.values()), ("2", *[None] * len(row))]
    assert leads.again().append({"id": "1", **row}, seen=1) == Appended(unchanged=1)


def test_records_come_back_as_the_models_they_were(leads: Leads) -> None:
    records = [
        Lead(
            id="0019",
            created_at=START,
            annual_revenue=Decimal("12.5"),
            employees=2**62,
            attributes={"A": 1.5},
        ),
        Lead(id="NA", company="", is_converted=False, attributes={"A": None, "B": "NA", "C": True}),
        Lead(id="ünï", company=None, modified_at=datetime(1900, 1, 1, tzinfo=UTC), attributes={"A": ""}),
    ]
    leads.lake.append("acme", "lead", to_table("lead", records), run=leads.run, seen_at=START)
    names = [*schema("lead").names, "attributes.A", "attributes.B", "attributes.C"]
    batches = list(leads.lake.scan("acme", "lead", names, at=START))
    assert all(
        batch.schema.field(name).type == schema("lead").field(name).type
        for batch in batches
        for name in schema("lead").names
    )
    assert from_table("lead", pa.Table.from_batches(batches)) == records


def test_tables_of_other_arrow_types_are_kept_in_the_model_s(leads: Leads) -> None:
    odd = pa.table(
        {
            "id": pa.array(["1", "2"]).dictionary_encode(),
            "company": pa.array(["A", None], pa.large_string()),
            "created_at": pa.array([START, START], pa.timestamp("s", tz="Europe/Berlin")),
            "attributes.x": pa.array(['"1', None], pa.string_view()),
        }
    )
    leads.lake.append("acme", "lead", odd, run=leads.run, seen_at=START)
    same = leads.append(
        {"id": "1", "company": "A", "created_at": START, "attributes.x": '"1'},
        {"id": "2", "created_at": START},
        seen=1,
    )
    assert same == Appended(unchanged=2)
    assert leads.scan("id", "created_at", at=0) == [("1", START), ("2", START)]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (pa.table({"company": ["A"]}), "need an id"),
        (pa.table({"id": pa.array([None], pa.string())}), "no id"),
        (pa.table({"id": ["1"], "seq": [1]}), "the lake's own"),
    ],
)
def test_a_table_that_is_no_table_of_records_is_a_mistake(leads: Leads, wrong: pa.Table, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        leads.lake.append("acme", "lead", wrong, run=leads.run, seen_at=START)
    assert leads.files() == []


@pytest.mark.parametrize("name", ["..", "a/../b", "", "a//b", "a\\b"])
def test_no_name_leads_out_of_the_lake(leads: Leads, name: str) -> None:
    with pytest.raises(ValueError, match="name of a folder"):
        leads.lake.append("acme", name, pa.table({"id": ["1"]}), run=leads.run, seen_at=START)


def test_connections_and_objects_are_kept_apart(leads: Leads) -> None:
    other = Leads(leads.lake, "globex")
    held = Leads(leads.lake, "acme", "held/lead")
    leads.append({"id": "1", "company": "A"}, seen=0)
    other.append({"id": "1", "company": "G"}, seen=0)
    held.append({"id": "1", "score": "5"}, seen=0)
    assert leads.scan("company", at=0) == [("A",)]
    assert other.scan("company", at=0) == [("G",)]
    assert held.scan("score", at=0) == [("5",)]
    assert leads.files() == [
        "acme/held/lead/part-000001.parquet",
        "acme/lead/part-000001.parquet",
        "globex/lead/part-000001.parquet",
    ]


def test_who_lost_the_lease_appends_nothing(leads: Leads) -> None:
    ledger = leads.lake.ledger
    with ledger.lease("connection/acme"):
        leads.append({"id": "1"}, seen=0)
        ledger._held["connection/acme"] = 999
        with pytest.raises(BusyError):
            leads.append({"id": "2"}, seen=0)
    assert leads.scan("id", at=0) == [("1",)]


@pytest.mark.slow
def test_many_records_keep_apart_and_in_place(leads: Leads) -> None:
    """Enough for several slices of hashing, row groups and growths of the index."""
    number = 300_000
    ids = pa.array([str(n) for n in range(number)])

    def page(value: str) -> pa.Table:
        return pa.table({"id": ids, "company": pa.array([f"{value}{n % 7}" for n in range(number)])})

    def append(table: pa.Table, at: int) -> Appended:
        return leads.lake.append("acme", "lead", table, run=leads.run, seen_at=day(at))

    assert append(page("a").slice(0, number - 1), 0) == Appended(new=number - 1)
    assert append(page("a"), 1) == Appended(new=1, unchanged=number - 1)
    changed = pa.concat_tables([page("a").slice(0, 5), page("b").slice(5, 100_000)])
    assert append(changed, 2) == Appended(changed=100_000, unchanged=5)
    batches = list(leads.lake.scan("acme", "lead", ["id", "company"], at=day(2)))
    assert max(batch.num_rows for batch in batches) <= 2**17
    found = pa.Table.from_batches(batches)
    assert found.num_rows == number == leads.lake.live_count("acme", "lead")
    expected = {str(n): f"{'b' if 5 <= n < 100_005 else 'a'}{n % 7}" for n in range(number)}
    assert dict(zip(found["id"].to_pylist(), found["company"].to_pylist(), strict=True)) == expected


def test_a_lake_on_a_path_that_is_a_file_is_reported(leads: Leads) -> None:
    leads.lake.root.write_text("not a folder")
    with pytest.raises(StoreError, match=r"The lake can't write .*part-000001"):
        leads.append({"id": "1"}, seen=0)


def test_an_empty_lake_answers(leads: Leads) -> None:
    lake = Lake(leads.lake.root, leads.lake.ledger)
    assert leads.scan("id", at=0) == []
    assert lake.live_count("acme", "lead") == 0
    assert lake.live_ids("acme", "lead").to_pylist() == []
    assert lake.attribute_names("acme", "lead") == []
    assert lake.history("acme", "lead", "1") == []
    assert lake.compact("acme", "lead") == 0
    assert lake.clean("acme") == 0
    assert lake.forget("acme", "lead", "1") == 0
    assert lake.check("acme") == []


def test_what_is_kept_in_memory_is_given_up_for_other_objects_and_read_again(leads: Leads) -> None:
    others = [Leads(leads.lake, "acme", name) for name in ("deal", "account", "contact")]
    for one in (leads, *others):
        assert one.append({"id": "1"}, seen=0) == Appended(new=1)
    for one in (leads, *others):
        assert one.append({"id": "1"}, {"id": "2"}, seen=1) == Appended(new=1, unchanged=1)


def test_content_numbers_are_those_of_the_rows_in_a_slice() -> None:
    rows = pa.table({"id": [str(n) for n in range(9)]})
    hashes = content.digests(rows)
    numbers = content.content_numbers(hashes).tolist()
    assert content.content_numbers(hashes.slice(2, 3)).tolist() == numbers[2:5]
    assert content.content_numbers(content.digests(rows.slice(2, 3))).tolist() == numbers[2:5]
    assert content.keys(rows["id"].slice(2, 3)).tolist() == content.keys(rows["id"]).tolist()[2:5]


@pytest.mark.slow
def test_the_index_is_read_right_from_parts_of_any_size(leads: Leads) -> None:
    rows = pa.table({"id": pa.array([str(n) for n in range(400_000)])})
    for start in range(0, 400_000, 100_000):
        part = rows.slice(start, 100_000)
        leads.lake.append("acme", "lead", part, run=leads.run, seen_at=START)
    assert leads.lake.compact("acme", "lead", at_least=2) == 3
    again = leads.again()
    assert again.lake.append("acme", "lead", rows, run=leads.run, seen_at=START) == Appended(
        unchanged=400_000
    )
