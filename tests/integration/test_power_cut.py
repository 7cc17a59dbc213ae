"""The power fails at every sync, rename and removal of a run; what was not synced is lost, nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crmbridge.store.ledger import Ledger
from tests.conftest import Clock
from tests.integration.many_runs import Installation
from tests.organisation import MOMENT, write_organisation
from tests.power import Disk, PowerCut

pytestmark = pytest.mark.slow

START = MOMENT + timedelta(minutes=10)


def test_sqlite_syncs_every_transaction(tmp_path: Path, clock: Clock) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/crmbridge.db", clock=clock) as ledger, ledger._read() as db:
        assert db.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert db.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def state(job: Installation) -> tuple[Any, ...]:
    names = ("lead", "activity", "rep", "result/need/lead")
    records = [job.records(name, ["id", "score"] if "/" in name else None) for name in names]
    written = {path.name: path.read_text() for path in sorted((job.exports / "scores").glob("*"))}
    return records, written


def syncs(folder: Path, cut_at: int) -> tuple[Installation, Disk]:
    """A run whose power fails at an instant, on a disk that then has only what was synced.

    The ledger is SQLite's: what it has committed it has synced itself (`synchronous = FULL`), and its files
    are taken as they are. The lake is ours.
    """
    job = Installation(write_organisation(folder, leads=30), Clock(START))
    for _ in range(7):  # the next run has enough small parts to be merged
        job.pull()
        job.clock.advance(hours=1)
        with open(job.exports / "calls.csv", "a") as calls:
            calls.write("\n")
    disk = Disk(folder / "lake")
    for path in sorted(disk.root.rglob("*")):
        if path.is_file():
            disk.names[str(path.relative_to(disk.root))] = path.stat().st_ino
            disk.content[path.stat().st_ino] = path.read_bytes()
    disk.cut_at = cut_at
    try:
        with disk.watched():
            job.sync()
    except PowerCut:
        disk.lose_what_was_not_synced()
    disk.close()
    return job, disk


@pytest.mark.parametrize("every", [20, 1])
def test_after_a_power_cut_at_any_instant_the_store_is_whole_and_the_run_is_finished(
    tmp_path: Path, every: int
) -> None:
    whole, disk = syncs(tmp_path / "whole", -1)
    assert disk.instants > 20
    expected = state(whole)
    for instant in range(0, disk.instants, every):
        job, _ = syncs(tmp_path / f"cut-{instant}", instant)
        found = {item.name: item for item in job.do(lambda bridge: bridge.check_store())}
        wrong = [item.detail for name, item in found.items() if item.state != "ok" and "strays" not in name]
        assert wrong == [], f"cut at {instant}"
        with closing(sqlite3.connect(job.settings.parent / "crmbridge.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        run = job.sync()
        assert (run.status, run.summary["pending"]) == ("done", 0)
        assert state(job) == expected, f"cut at {instant}"
        again = [item for item in job.do(lambda bridge: bridge.check_store()) if item.state != "ok"]
        assert again == [], f"cut at {instant}"


def test_a_disk_that_loses_names_and_bytes_is_noticed(tmp_path: Path) -> None:
    """The model of the disk has teeth: what is not synced is lost."""
    disk = Disk(tmp_path)
    with disk.watched(), open(tmp_path / "file", "wb") as file:
        file.write(b"never synced")
    disk.lose_what_was_not_synced()
    assert list(tmp_path.iterdir()) == []
