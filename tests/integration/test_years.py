"""What an installation keeps over years, what it lets go, and that a forgotten person is nowhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from crmbridge.errors import NotFoundError, SettingsError, StoreError
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger
from tests.integration.many_runs import Installation
from tests.integration.test_many_runs_crm import Crm, installed, organisation
from tests.memory_crm import ORGS

pytestmark = pytest.mark.slow

HOLD = "[store]\nlegal_hold = true\n\n"


@pytest.fixture
def crm() -> Iterator[Crm]:
    yield organisation()
    ORGS.clear()


@pytest.fixture
def job(tmp_path: Path, crm: Crm) -> Installation:
    return installed(tmp_path, crm)


def hold(job: Installation) -> None:
    job.settings.write_text(HOLD + job.settings.read_text(encoding="utf-8"), encoding="utf-8")


def wrong(job: Installation) -> list[str]:
    return [item.detail for item in job.do(lambda bridge: bridge.check_store()) if item.state != "ok"]


def test_after_400_days_rows_are_gone_counts_are_not_and_undo_says_why(job: Installation, crm: Crm) -> None:
    crm.faults.append("reject:L04")
    first = job.sync()
    counts = job.counts(first.summary["plan"])
    assert (counts.planned, counts.rejected) == (counts.sent + 1, 1)
    crm.faults.clear()
    job.clock.advance(days=399)
    job.sync()
    assert job.counts(first.summary["plan"]) == counts
    rows = job.look(lambda ledger, lake: ledger.plan_rows(int(str(first.summary["plan"]))))
    assert len(rows) == counts.planned
    job.clock.advance(days=8)
    job.sync()
    assert job.counts(first.summary["plan"]) == counts
    assert job.look(lambda ledger, lake: ledger.plan_rows(int(str(first.summary["plan"])))) == []
    for command in (job.undo, lambda run: job.do(lambda bridge: bridge.verify(run))):
        with pytest.raises(NotFoundError, match=r"rows of plan 1.*were removed on 20\d\d-.*keep_rows_days"):
            command(first.id)
    assert wrong(job) == []


def test_under_a_legal_hold_nothing_goes_and_forgetting_is_refused(job: Installation, crm: Crm) -> None:
    hold(job)
    first = job.sync()
    job.clock.advance(days=1000)
    waiting = job.sync(approve=None)
    later = job.sync(approve=None)
    job.clock.advance(days=8)
    job.sync()
    for run in (first, waiting, later):
        plan: Any = run.summary["plan"]
        kept = job.look(lambda ledger, lake, plan=plan: len(ledger.plan_rows(plan)))
        assert kept == job.counts(plan).planned
    with pytest.raises(SettingsError, match="legal hold"):
        job.do(lambda bridge: bridge.forget("acme", "lead", "L04"))


@pytest.mark.slow
def test_upkeep_that_finds_the_disk_full_leaves_the_run_done_and_the_next_makes_it_good(
    job: Installation, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **named: Any) -> int:
        raise StoreError("The lake can't write: No space left on device.", remedy="Free space on the disk.")

    for number in range(8):
        crm.put("lead", "L00", {"Budget": str(number)})
        job.clock.advance(hours=1)
        with monkeypatch.context() as patch:
            patch.setattr(Lake, "compact", full)
            assert job.sync().status == "done"
    parts = job.look(lambda ledger, lake: len(ledger.parts("acme", "lead")))
    job.clock.advance(hours=1)
    assert job.sync().status == "done"
    assert job.look(lambda ledger, lake: len(ledger.parts("acme", "lead"))) < parts
    assert wrong(job) == []


def test_another_ledger_on_the_same_lake_is_refused(job: Installation, tmp_path: Path, crm: Crm) -> None:
    job.sync()
    settings = tmp_path / "other.toml"
    settings.write_text('[store]\nledger = "sqlite:///other.db"\n\n' + job.settings.read_text())
    other = Installation(settings, job.clock)
    job.clock.advance(hours=1)
    with pytest.raises(StoreError, match="belongs to another ledger"):
        other.sync()
    assert job.sync().status == "done"
    assert wrong(job) == []


CANARY = "canary-4711"


def everything(job: Installation) -> Iterator[tuple[str, str]]:
    """Every place of the store with all that is in it: files as they are, tables unpacked."""
    folder = job.settings.parent
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != job.settings and "copies" not in path.parts:
            yield str(path), path.read_bytes().decode("latin-1")
            if path.suffix == ".parquet":
                yield f"{path} unpacked", str(pq.read_table(path).to_pylist())
    with closing(sqlite3.connect(folder / "crmbridge.db")) as db:
        for (name,) in db.execute("select name from sqlite_master where type = 'table'").fetchall():
            yield name, str(db.execute(f'select * from "{name}"').fetchall())


def test_a_forgotten_person_is_in_no_file_and_no_table(job: Installation, crm: Crm) -> None:
    person = {"Name": CANARY, "email": f"{CANARY}@example.com", "phone": f"+49 {CANARY}"}
    crm.put("lead", CANARY, {**crm.rows["lead"]["L00"].fields, "id": CANARY, **person})
    job.sync(approve=None)  # superseded later: its rows are deleted, in unused pages of the file
    job.clock.advance(hours=1)
    job.sync()
    crm.put("lead", CANARY, {"created_at": "no moment"})  # is set aside
    job.clock.advance(days=1)
    job.sync()
    crm.put("lead", CANARY, {"created_at": crm.now, "Budget": "1", "Name": f"{CANARY} again"})
    job.clock.advance(days=1)
    job.sync(dry_run=True)
    job.sync()
    copies = job.settings.parent / "copies"
    job.do(lambda bridge: bridge.backup(copies / "backup"))
    job.do(lambda bridge: bridge.export("acme", copies / "export", ["csv"]))
    assert sum(CANARY in text for _, text in everything(job)) > 3, "the test looks where the person is"

    job.do(lambda bridge: bridge.forget("acme", "lead", CANARY))
    assert [place for place, text in everything(job) if CANARY in text] == []
    named = {copy.kind: copy.place for copy in job.do(lambda bridge: bridge.copies("acme"))}
    assert named == {"backup": str(copies / "backup"), "export": str(copies / "export")}
    assert wrong(job) == []
    crm.delete("lead", CANARY)
    job.clock.advance(days=1)
    assert job.sync().status == "done"


@pytest.mark.slow
def test_results_do_not_grow_by_a_version_a_day_for_ever(job: Installation, crm: Crm) -> None:
    def results(ledger: Ledger, lake: Lake) -> int:
        return sum(part.rows for part in ledger.parts("acme") if part.object == "result/need/lead")

    sizes = []
    for _ in range(40):  # every ten days, with a change: each run gives new results
        crm.put("lead", "L00", {"Budget": str(len(sizes))})
        job.clock.advance(days=5)
        job.sync()
        job.clock.advance(days=5, hours=1)
        job.sync()
        sizes.append(job.look(results))
    grown = sizes[-1] - sizes[19]
    assert sizes[-1] > 0
    assert grown <= (sizes[19] - sizes[9]) * 1.1
    months = 200 / 30
    assert grown <= 14 * months * 2
    assert job.do(lambda bridge: bridge.ledger.upkeep_done("acme")) > job.clock() - timedelta(days=8)
