"""The main job on a PostgreSQL ledger: one whole cycle, and two processes at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from crmbridge.errors import BusyError
from tests.conftest import Clock
from tests.integration.many_runs import Installation
from tests.organisation import MOMENT, read_csv, write_csv, write_organisation
from tests.postgresql import Server

START = MOMENT + timedelta(minutes=10)


@pytest.fixture
def url(postgresql: Server, clock: Clock) -> Iterator[str]:
    made = postgresql.new_ledger(clock)
    yield made
    postgresql.drop(made)


@pytest.fixture
def job(tmp_path: Path, url: str) -> Installation:
    settings = write_organisation(tmp_path, leads=60)
    settings.write_text(
        f'[store]\nledger = "{url}"\n' + settings.read_text(encoding="utf-8"), encoding="utf-8"
    )
    return Installation(settings, Clock(START))


def scores(job: Installation) -> dict[str, str]:
    return {row["id"]: row["crmbridge_score"] for row in read_csv(job.exports / "scores" / "lead.csv")}


def test_a_whole_cycle_ends_as_on_sqlite(job: Installation, tmp_path: Path) -> None:
    other = Installation(write_organisation(tmp_path / "sqlite", leads=60), Clock(START))
    summaries = []
    for each in (job, other):
        first = each.sync(approve=None)
        assert first.status == "awaiting_approval"
        applied = each.apply(first.summary["plan"])
        assert (applied.status, applied.summary["sent"]) == ("done", first.summary["planned"])
        assert each.sync().summary["planned"] == 0
        leads = read_csv(each.exports / "leads.csv")
        leads[-1]["Source"] = "Fair" if leads[-1]["Source"] != "Fair" else "Referral"
        write_csv(each.exports / "leads.csv", leads[1:])
        each.clock.advance(hours=1)
        run = each.sync()
        assert (run.summary["pulled"], run.summary["deleted"]) == (
            {"rep": 0, "lead": 1, "activity": 0},
            {"rep": 0, "lead": 1, "activity": 0},
        )
        written = scores(each)
        path = each.exports / "scores" / "lead.csv"
        rows = read_csv(path)
        rows[0]["crmbridge_grade"] = "A" if rows[0]["crmbridge_grade"] != "A" else "B"
        write_csv(path, rows)
        undone = each.undo(first.id)
        assert (undone.status, undone.summary["planned"]) == ("partly", first.summary["planned"])
        kept = {identifier: score for identifier, score in scores(each).items() if score}
        assert rows[0]["id"] in kept
        assert all(written[identifier] == score for identifier, score in kept.items())
        assert [found.status for found in each.runs()] == ["partly", run.status, "done", "done", first.status]
        counted = [{**found.summary, "seconds": 0} for found in each.runs()]
        summaries.append(
            (counted, kept, each.records("lead"), each.records("result/need/lead", ["id", "score"]))
        )
    assert summaries[0] == summaries[1]


def test_of_two_processes_at_once_one_runs_and_one_is_told_who_does(job: Installation, url: str) -> None:
    start = "import sys; from crmbridge.cli import main; main(sys.argv[1:])"
    arguments = ["--config", str(job.settings), "sync", "acme", "--yes", "--at", START.isoformat()]
    command = [sys.executable, "-c", start, *arguments]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        with closing(psycopg.connect(url.replace("+psycopg", ""), autocommit=True)) as db:
            held = "select count(*) from leases where pid is not null"
            while db.execute(held).fetchone() == (0,):
                assert first.poll() is None, "the first run ended without ever holding the lease"
        os.kill(first.pid, signal.SIGSTOP)
        second = subprocess.run(command, check=False, capture_output=True, text=True)
        with pytest.raises(BusyError, match=f"process {first.pid}"):
            job.sync()
    finally:
        os.kill(first.pid, signal.SIGCONT)
    _, complaint = first.communicate()
    assert first.returncode == 0, complaint
    assert second.returncode == 3, second.stderr
    assert str(first.pid) in second.stderr


def test_a_killed_run_is_taken_up_by_another_process(job: Installation, url: str) -> None:
    start = "import sys; from crmbridge.cli import main; main(sys.argv[1:])"
    arguments = ["--config", str(job.settings), "sync", "acme", "--yes", "--at", START.isoformat()]
    process = subprocess.Popen([sys.executable, "-c", start, *arguments], stdout=subprocess.DEVNULL)
    with closing(psycopg.connect(url.replace("+psycopg", ""), autocommit=True)) as db:
        while db.execute("select count(*) from parts").fetchone() == (0,):
            assert process.poll() is None, "the run ended without a part"
    process.kill()
    process.wait()
    run = job.sync()
    assert (run.status, run.attempts, run.summary["pulled"]["lead"]) == ("done", 2, 60)
    assert run.summary["sent"] == run.summary["planned"] > 0
