"""`store check` finds what is wrong with ledger and lake, names it, and is not fooled by what is well."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from crmbridge.errors import StoreError
from crmbridge.store.check import Finding, check
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger, PlanRow, tables
from tests.conftest import Clock
from tests.unit.lake_kit import START, Leads


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path}/crmbridge.db", clock=clock) as opened:
        yield opened


@pytest.fixture
def leads(ledger: Ledger, tmp_path: Path) -> Leads:
    """Two parts of leads and a plan, half of it sent."""
    lake = Lake(tmp_path / "lake", ledger)
    lake.claim()
    leads = Leads(lake)
    leads.append({"id": "1", "company": "A"}, {"id": "2", "company": "B"}, seen=0)
    leads.append({"id": "1", "company": "AA"}, seen=1, deleted=["2"])
    rows = [PlanRow("lead", str(number), {}, {"score": 1.0}, "new") for number in range(4)]
    plan = ledger.store_plan(leads.run, "acme", "write", START, rows, status="awaiting_approval", guards={})
    ledger.approve(plan.id, "person")
    ledger.record(plan.id, [(0, "sent", None, None), (1, "same", None, None)])
    return leads


def wrong(leads: Leads) -> dict[str, Finding]:
    return {found.name: found for found in check(leads.lake.ledger, leads.lake) if not found.holds}


def part(leads: Leads, number: int) -> Path:
    return leads.lake.root / "acme" / "lead" / f"part-{number:06d}.parquet"


def test_a_store_that_is_well_passes(leads: Leads) -> None:
    assert wrong(leads) == {}
    leads.lake.compact("acme", "lead", at_least=2)
    assert wrong(leads) == {}


def flip_a_bit(leads: Leads) -> None:
    content = bytearray(part(leads, 2).read_bytes())
    content[len(content) // 3] ^= 1
    part(leads, 2).write_bytes(content)


def swap_live(leads: Leads) -> None:
    with leads.lake.ledger._write() as db:
        db.execute(sa.update(tables.parts).where(tables.parts.c.number == 2).values(live=5))


def lose_a_state(leads: Leads) -> None:
    rows = tables.plan_rows
    with leads.lake.ledger._write() as db:
        db.execute(sa.update(rows).where(rows.c.position == 3).values(state="maybe"))


def end_too_early(leads: Leads) -> None:
    with leads.lake.ledger._write() as db:
        db.execute(sa.update(tables.plans).values(status="done"))


WRONGS: dict[str, tuple[Callable[[Leads], object], str, str]] = {
    "a part is gone": (lambda leads: part(leads, 1).unlink(), "parts of acme", "part-000001"),
    "a bit has flipped": (flip_a_bit, "parts of acme", "part-000002"),
    "a part is another one": (
        lambda leads: shutil.copy(part(leads, 1), part(leads, 2)),
        "parts of acme",
        "part-000002",
    ),
    "a stray": (
        lambda leads: shutil.copy(part(leads, 1), part(leads, 7)),
        "strays of acme",
        "acme/lead/part-000007.parquet",
    ),
    "a foreign file": (
        lambda leads: (leads.lake.root / "acme" / "notes.txt").write_text("x"),
        "foreign files",
        "acme/notes.txt",
    ),
    "a foreign connection": (
        lambda leads: shutil.copytree(leads.lake.root / "acme", leads.lake.root / "globex"),
        "foreign files",
        "globex/lead/part-000001.parquet",
    ),
    "figures that are not those of the records": (swap_live, "records of acme", "1 records are read, and 7"),
    "a row in no state": (lose_a_state, "plans of acme", "4 rows are planned, and 3"),
    "a plan that ended too early": (end_too_early, "plans of acme", "it is done, and 2 rows are pending"),
    "another ledger's lake": (
        lambda leads: (leads.lake.root / "crmbridge-ledger").write_text("0000"),
        "lake",
        "belongs to another ledger",
    ),
}


@pytest.mark.parametrize("case", WRONGS)
def test_what_is_wrong_is_named_with_what_to_do(leads: Leads, case: str) -> None:
    damage, name, said = WRONGS[case]
    damage(leads)
    found = wrong(leads)
    assert said in found[name].detail
    assert found[name].remedy
    assert found.keys() - {name} <= ({"records of acme"} if name == "parts of acme" else set())


def test_a_file_that_a_run_is_writing_is_no_stray(leads: Leads) -> None:
    shutil.copy(part(leads, 1), part(leads, 3))
    with leads.lake.ledger.lease("connection/acme"):
        assert wrong(leads) == {}
    assert wrong(leads).keys() == {"strays of acme"}


def test_a_lake_is_one_ledger_s_only(leads: Leads, tmp_path: Path, clock: Clock) -> None:
    leads.lake.claim()
    with Ledger.open(f"sqlite:///{tmp_path}/other.db", clock=clock) as other:
        with pytest.raises(StoreError, match=r"belongs to another ledger than sqlite:///.*other\.db"):
            Lake(leads.lake.root, other).claim()
        Lake(tmp_path / "elsewhere", other).claim()
