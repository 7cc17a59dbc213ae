from __future__ import annotations

import pyarrow as pa
import pytest

from crmbridge.errors import StoreError
from crmbridge.store.lake import Appended, Lake
from tests.unit.lake_kit import Leads, day, leads

__all__ = ["leads"]


def fill(leads: Leads, parts: int, rows: int = 3) -> None:
    for part in range(parts):
        leads.append(*({"id": f"{part}-{row}", "company": "A"} for row in range(rows)), seen=part)


def sizes(leads: Leads) -> list[int]:
    return [part.rows for part in leads.lake.ledger.parts("acme", "lead")]


def test_few_parts_are_left_alone(leads: Leads) -> None:
    fill(leads, 7)
    files = leads.files()
    assert leads.lake.compact("acme", "lead") == 0
    assert leads.files() == files
    fill(leads, 8)
    assert leads.lake.compact("acme", "lead") == 7
    assert len(leads.files()) == 1


def test_merged_parts_are_no_larger_than_wanted_and_large_ones_are_not_touched(leads: Leads) -> None:
    fill(leads, 5)
    leads.append(*({"id": str(row)} for row in range(20)), seen=5)
    leads.append({"id": "last"}, seen=6)
    assert leads.lake.compact("acme", "lead", at_least=2, small=10, largest=7) == 2
    assert sizes(leads) == [6, 6, 3, 20, 1]
    assert leads.lake.check("acme") == []
    assert leads.lake.compact("acme", "lead", at_least=4, small=10, largest=7) == 0


def test_a_merged_part_counts_what_its_parts_counted(leads: Leads) -> None:
    leads.append({"id": "1", "company": "A", "attributes.a": '"1'}, {"id": "2"}, seen=0)
    leads.append({"id": "1", "company": "B", "attributes.b": '"1'}, seen=3, deleted=["2"])
    before = leads.lake.ledger.parts("acme", "lead")
    leads.lake.compact("acme", "lead", at_least=2)
    (merged,) = leads.lake.ledger.parts("acme", "lead")
    for name in ("rows", "updates", "tombstones", "live"):
        assert getattr(merged, name) == sum(getattr(part, name) for part in before)
    assert (merged.number, merged.first_seq, merged.last_seq) == (3, 1, 4)
    assert (merged.oldest, merged.newest) == (before[0].oldest, before[1].newest)


def test_appending_goes_on_after_compaction_here_and_elsewhere(leads: Leads) -> None:
    other = Leads(Lake(leads.lake.root, leads.lake.ledger))
    fill(leads, 4)
    fill(other, 4)
    leads.lake.compact("acme", "lead", at_least=2)
    for one in (leads, other):
        assert one.append({"id": "0-0", "company": "A"}, seen=9) == Appended(unchanged=1)
    assert leads.append({"id": "0-0", "company": "B"}, seen=9) == Appended(changed=1)
    assert other.append({"id": "0-0", "company": "B"}, seen=9) == Appended(unchanged=1)
    assert leads.scan("company", at=9).count(("B",)) == 1


def test_a_stream_that_is_being_read_says_so_if_its_parts_are_merged_away(leads: Leads) -> None:
    fill(leads, 3)
    stream = leads.lake.scan("acme", "lead", ["id"], at=leads.lake.ledger.parts("acme")[-1].newest)
    next(stream)
    leads.lake.compact("acme", "lead", at_least=2)
    with pytest.raises(Exception, match=r"gone.*Run again if another process was compacting"):
        list(stream)


def test_forgetting_leaves_nothing_of_the_record_in_any_file(leads: Leads) -> None:
    secret = "jane.doe@example.com"
    leads.append({"id": "1", "email": secret}, {"id": "2", "email": "b"}, seen=0)
    leads.append({"id": "1", "email": secret, "company": "A"}, seen=1)
    leads.append({"id": "2", "email": "c"}, seen=2, deleted=["1"])
    result = Leads(leads.lake, "acme", "result/need/lead")
    result.append({"id": "1", "reasons_up": secret}, {"id": "2", "reasons_up": "x"}, seen=2)
    deals = Leads(leads.lake, "acme", "deal")
    deals.append({"id": "1", "name": "not a lead"}, seen=2)

    assert leads.lake.forget("acme", "lead", "1") == 4
    assert leads.lake.history("acme", "lead", "1") == []
    assert leads.scan("id", "email", at=9) == [("2", "c")]
    assert leads.scan("id", "email", at=0) == [("2", "b")]
    assert result.scan("id", at=9) == [("2",)]
    assert deals.scan("id", at=9) == [("1",)]
    assert leads.lake.live_count("acme", "lead") == 1
    assert leads.lake.check("acme") == []
    assert sorted(part.path for part in leads.lake.ledger.parts("acme")) == leads.files()
    assert all(secret.encode() not in (leads.lake.root / name).read_bytes() for name in leads.files())
    assert leads.lake.forget("acme", "lead", "1") == 0


def test_a_forgotten_record_that_comes_again_is_new(leads: Leads) -> None:
    other = leads.again()
    for one in (leads, other):
        one.append({"id": "1", "company": "A"}, {"id": "2"}, seen=0)
    leads.lake.forget("acme", "lead", "1")
    assert other.append({"id": "1", "company": "A"}, seen=1) == Appended(new=1)
    assert leads.scan("id", "valid_from", at=1)[0][0] == "1"
    assert leads.lake.live_count("acme", "lead") == 2


def test_a_lake_whose_last_record_was_forgotten_starts_over(leads: Leads) -> None:
    other = leads.again()
    leads.append({"id": "1"}, seen=0)
    other.append({"id": "1"}, seen=0)
    leads.lake.forget("acme", "lead", "1")
    assert (leads.files(), leads.lake.live_count("acme", "lead")) == ([], 0)
    assert leads.append({"id": "2"}, seen=0) == Appended(new=1)
    assert other.append({"id": "1"}, {"id": "2"}, seen=0) == Appended(new=1, unchanged=1)


def test_parts_whose_columns_changed_their_type_are_not_merged(leads: Leads) -> None:
    def append(number: int, values: pa.Array) -> None:
        rows = pa.table({"id": ["1", "2"], "detail": values})
        leads.lake.append("acme", "result/lead", rows, run=leads.run, seen_at=day(number))

    for number, values in enumerate(([1, 2], [1.5, 2.5], ["a", "b"], ["c", "d"])):
        append(number, pa.array(values))
    result = Leads(leads.lake, "acme", "result/lead")
    before = result.scan("id", "detail", at=9)
    assert leads.lake.compact("acme", "result/lead", at_least=2) == 2
    assert result.scan("id", "detail", at=9) == before == [("1", "c"), ("2", "d")]
    assert result.scan("id", "detail", at=1) == [("1", "1.5"), ("2", "2.5")]
    append(5, pa.array([1.5, None]))
    with pytest.raises(
        StoreError, match=r"detail in acme/result/lead/part-\d+\.parquet is of the type string"
    ):
        result.scan("id", "detail", at=3)
