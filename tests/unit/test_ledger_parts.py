from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from crmbridge.errors import StoreError
from crmbridge.store.ledger import Ledger, Part, PartsState, SetAsideRow

MOMENT = datetime(2026, 3, 31, 8, tzinfo=UTC)


@pytest.fixture
def run(ledger: Ledger) -> int:
    return ledger.start_run("acme", "pull", MOMENT).id


def part(number: int, run: int, object_name: str = "lead") -> Part:
    return Part(
        connection="acme",
        object=object_name,
        number=number,
        path=f"acme/{object_name}/part-{number:06d}.parquet",
        rows=10,
        updates=3,
        tombstones=1,
        live=6,
        first_seq=number * 10,
        last_seq=number * 10 + 9,
        oldest=MOMENT,
        newest=MOMENT,
        bytes=2**40,
        run=run,
    )


def row(number: int, reason: str = "bad date") -> SetAsideRow:
    return SetAsideRow("lead", f"leads.csv:{number}", reason, id=str(number), raw="a,b")


def test_a_part_its_cursor_and_what_was_set_aside_begin_to_exist_together(ledger: Ledger, run: int) -> None:
    assert ledger.cursor("acme", "lead") is None
    ledger.register(
        "acme", "lead", run, part=part(1, run), cursor={"page": "x", "n": [1]}, set_aside=[row(1)]
    )
    assert ledger.parts("acme") == ledger.parts("acme", "lead") == [part(1, run)]
    assert ledger.cursor("acme", "lead") == {"page": "x", "n": [1]}
    with pytest.raises(StoreError):
        ledger.register("acme", "lead", run, part=part(1, run), cursor={"page": "y"}, set_aside=[row(2)])
    assert ledger.cursor("acme", "lead") == {"page": "x", "n": [1]}
    assert ledger.set_aside_rows(run) == [row(1)]


def test_the_state_of_an_object_s_parts_is_summed(ledger: Ledger, run: int) -> None:
    assert ledger.parts_state("acme", "lead") == PartsState(0, 0, 0, 0, 0)
    for number in (1, 2):
        ledger.register("acme", "lead", run, part=part(number, run), cursor=None, set_aside=[])
    ledger.register("acme", "deal", run, part=part(7, run, "deal"), cursor=None, set_aside=[])
    assert ledger.parts_state("acme", "lead") == PartsState(
        count=2, last_id=2, last_number=2, last_seq=29, live=12
    )


def test_parts_come_in_the_order_of_their_versions(ledger: Ledger, run: int) -> None:
    later = replace(part(1, run), first_seq=50, last_seq=59)
    for one in (later, part(2, run)):
        ledger.register("acme", "lead", run, part=one, cursor=None, set_aside=[])
    assert ledger.parts("acme", "lead") == [part(2, run), later]


def test_parts_are_replaced_all_at_once(ledger: Ledger, run: int) -> None:
    for number in (1, 2, 3):
        ledger.register("acme", "lead", run, part=part(number, run), cursor=None, set_aside=[])
    with pytest.raises(StoreError):
        ledger.replace_parts("acme", [part(1, run), part(2, run)], [part(4, run), part(3, run)])
    assert [one.number for one in ledger.parts("acme")] == [1, 2, 3]
    ledger.replace_parts("acme", [part(1, run), part(2, run)], [part(4, run)])
    assert [one.number for one in ledger.parts("acme")] == [3, 4]


def test_a_row_set_aside_counts_once_per_run(ledger: Ledger, run: int) -> None:
    ledger.set_aside(run, [row(1), row(2), row(1)])
    ledger.set_aside(run, [row(2), row(3), row(3, "no id")])
    ledger.set_aside(run, [])
    assert ledger.set_aside_rows(run) == [row(1), row(2), row(3), row(3, "no id")]
    assert ledger.set_aside_rows(run, limit=2, offset=1) == [row(2), row(3)]
    other = ledger.start_run("globex", "pull", MOMENT).id
    ledger.set_aside(other, [row(1), replace(row(1), object="deal")])
    assert ledger.set_aside_counts(run) == {"lead": 4}
    assert ledger.set_aside_counts(other) == {"deal": 1, "lead": 1}


def test_any_row_can_be_set_aside_whatever_it_holds(ledger: Ledger, run: int) -> None:
    wild = SetAsideRow("lead", "p" * 9000, "not \ud800 text", id=None, raw="\0\x01binary\ud800")
    ledger.set_aside(run, [wild, wild])
    (kept,) = ledger.set_aside_rows(run)
    assert kept == SetAsideRow("lead", "p" * 9000, "not \ufffd text", id=None, raw="\ufffd\x01binary\ufffd")


def test_a_changed_set_of_parts_is_known_by_its_state_even_if_a_number_is_used_again(
    ledger: Ledger, run: int
) -> None:
    ledger.register("acme", "lead", run, part=part(1, run), cursor=None, set_aside=[])
    before = ledger.parts_state("acme", "lead")
    ledger.replace_parts("acme", [part(1, run)], [])
    id = ledger.register("acme", "lead", run, part=part(1, run), cursor=None, set_aside=[])
    after = ledger.parts_state("acme", "lead")
    assert (after.last_id, after.last_number) == (id, before.last_number)
    assert after != before
