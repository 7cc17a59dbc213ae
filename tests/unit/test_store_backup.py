"""A backup is of one instant, whatever runs meanwhile, and is restored into either database."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from errno import EXDEV
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crmbridge.errors import BusyError, SettingsError, StoreError
from crmbridge.store.backup import backup, restore
from crmbridge.store.check import check
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger, PlanRow, Snapshot, tables
from tests.conftest import Clock
from tests.postgresql import Server
from tests.unit.lake_kit import START, Leads


@pytest.fixture
def leads(ledger: Ledger, tmp_path: Path) -> Leads:
    """Something in every table that has numbers, JSON, moments, bytes or words."""
    lake = Lake(tmp_path / "lake", ledger)
    lake.claim()
    leads = Leads(lake)
    leads.append({"id": "1", "company": "Ä"}, {"id": "2"}, seen=0, cursor={"page": [1, None]})
    leads.append({"id": "1", "company": "B"}, seen=1, deleted=["2"])
    rows = [PlanRow("lead", "1", {"score": None}, {"score": 1.5, "grade": "A"}, "néw")]
    plan = ledger.store_plan(leads.run, "acme", "write", START, rows, status="awaiting_approval", guards={})
    ledger.approve(plan.id, "person")
    ledger.set_secret("acme", "token", b"\x00\xff cipher")
    ledger.finish_run(leads.run, "done", {"pulled": {"lead": 2}}, "no error \N{SNOWMAN}")
    return leads


def content(ledger: Ledger) -> dict[str, list[Any]]:
    """All that a ledger holds, but who holds leases and where copies are."""
    with ledger._read() as db:
        return {
            table.name: sorted(map(repr, db.execute(sa.select(table)).all()))
            for table in tables.metadata.sorted_tables
            if table.name not in ("leases", "copies")
        }


def target(where: str, tmp_path: Path, clock: Clock, request: pytest.FixtureRequest) -> Ledger:
    if where == "sqlite":
        return Ledger.open(f"sqlite:///{tmp_path}/restored.db", clock=clock)
    server: Server = request.getfixturevalue("postgresql")
    return Ledger.open(server.new_ledger(clock), clock=clock)


@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_what_is_restored_is_what_was_there_whichever_the_database(
    leads: Leads, tmp_path: Path, clock: Clock, where: str, request: pytest.FixtureRequest
) -> None:
    made = backup(leads.lake.ledger, leads.lake, tmp_path / "backup")
    assert (made.parts, made.linked) == (2, 2)
    with target(where, tmp_path, clock, request) as ledger:
        lake = Lake(tmp_path / "restored", ledger)
        assert restore(ledger, lake, tmp_path / "backup").rows == made.rows
        assert content(ledger) == content(leads.lake.ledger)
        assert [found for found in check(ledger, lake) if not found.holds] == []
        again = Leads(lake)
        assert again.run > leads.run, "numbers go on where they were"
        assert again.scan("id", "company", at=9) == leads.scan("id", "company", at=9)
        assert again.append({"id": "1", "company": "B"}, {"id": "3"}, seen=2).new == 1


def test_a_backup_holds_one_instant_while_a_run_and_compaction_go_on(
    leads: Leads, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts are merged away between the snapshot and their linking; later a run adds to all tables."""
    expected: dict[str, list[Any]] = {}
    linking, dumping = os.link, Snapshot.rows
    linked: list[Path] = []

    def link(source: Path, copy: Path) -> None:
        if not linked:
            leads.lake.compact("acme", "lead", at_least=2)
        linked.append(copy)
        linking(source, copy)

    def rows(snapshot: Snapshot, table: sa.Table) -> Iterator[list[dict[str, Any]]]:
        if not expected:
            expected.update(content(leads.lake.ledger))
            leads.append({"id": "9"}, seen=3, cursor={"page": 9})
            leads.lake.ledger.start_run("globex", "pull", START)
        yield from dumping(snapshot, table)

    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(Snapshot, "rows", rows)
    made = backup(leads.lake.ledger, leads.lake, tmp_path / "backup")
    assert len(linked) == 2, "the first was gone, and the snapshot was taken again"
    with Ledger.open(f"sqlite:///{tmp_path}/restored.db", clock=clock) as ledger:
        lake = Lake(tmp_path / "restored", ledger)
        restore(ledger, lake, tmp_path / "backup")
        assert content(ledger) == expected
        assert [found for found in check(ledger, lake) if not found.holds] == []
    assert made.parts == 1


def test_on_another_disk_parts_are_copied(
    leads: Leads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: Path, copy: Path) -> None:
        raise OSError(EXDEV, "another disk")

    monkeypatch.setattr(os, "link", refused)
    made = backup(leads.lake.ledger, leads.lake, tmp_path / "backup")
    assert (made.parts, made.linked) == (2, 0)
    first = leads.lake.ledger.parts("acme")[0].path
    copy = tmp_path / "backup" / "lake" / first
    assert copy.read_bytes() == (leads.lake.root / first).read_bytes()
    assert not copy.samefile(leads.lake.root / first)


def test_nothing_is_overwritten_unless_told_to(leads: Leads, tmp_path: Path) -> None:
    ledger, lake = leads.lake.ledger, leads.lake
    backup(ledger, lake, tmp_path / "backup")
    with pytest.raises(SettingsError, match="is not an empty folder"):
        backup(ledger, lake, tmp_path / "backup")
    before = content(ledger)
    leads.append({"id": "7"}, seen=4)
    with pytest.raises(SettingsError, match="lake is not empty"):
        restore(ledger, lake, tmp_path / "backup")
    assert leads.scan("id", at=9) == [("1",), ("7",)]
    with ledger.lease("connection/acme"), pytest.raises(BusyError):
        restore(ledger, lake, tmp_path / "backup", overwrite=True)
    restore(ledger, lake, tmp_path / "backup", overwrite=True)
    assert content(ledger) == before
    assert leads.again().scan("id", at=9) == [("1",)]
    ledger.legal_hold = True
    with pytest.raises(SettingsError, match="legal hold"):
        restore(ledger, lake, tmp_path / "backup", overwrite=True)


@pytest.mark.parametrize("damage", ["part", "missing", "manifest"])
def test_a_damaged_backup_is_refused_before_anything_is_touched(
    leads: Leads, tmp_path: Path, clock: Clock, damage: str
) -> None:
    made = Path(backup(leads.lake.ledger, leads.lake, tmp_path / "backup").place)
    part = made / "lake" / leads.lake.ledger.parts("acme")[0].path
    copy = part.with_name("copy")
    shutil.copy(part, copy)
    copy.write_bytes(copy.read_bytes()[:-9] + b"#" * 9)
    if damage == "part":
        copy.replace(part)
    else:
        (part if damage == "missing" else made / "backup.json").unlink()
    with Ledger.open(f"sqlite:///{tmp_path}/restored.db", clock=clock) as ledger:
        lake = Lake(tmp_path / "restored", ledger)
        with pytest.raises((StoreError, SettingsError), match=r"damaged|not a whole backup"):
            restore(ledger, lake, made)
        assert ledger.is_empty()
        assert not lake.root.exists()


def test_a_backup_of_an_older_schema_is_brought_up_to_date(
    leads: Leads, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Path(backup(leads.lake.ledger, leads.lake, tmp_path / "backup").place)
    manifest = made / "backup.json"
    manifest.write_text(manifest.read_text().replace('"0003"', '"0002"'))
    for name in ("copies", "identity", "upkeep"):
        (made / "ledger" / f"{name}.parquet").unlink()
    with Ledger.open(f"sqlite:///{tmp_path}/restored.db", clock=clock) as ledger:
        lake = Lake(tmp_path / "restored", ledger)
        restore(ledger, lake, made)
        assert ledger.parts("acme")[0].digest is None, "the older schema had no place for it"
        assert Leads(lake).scan("id", "company", at=9) == [("1", "B")]
    manifest.write_text(manifest.read_text().replace('"0002"', '"9999"'))
    with (
        Ledger.open(f"sqlite:///{tmp_path}/newer.db", clock=clock) as ledger,
        pytest.raises(StoreError, match="newer crmbridge"),
    ):
        restore(ledger, Lake(tmp_path / "newer", ledger), made)
