"""A sync that is killed at any instant, and run again, leaves what an undisturbed one leaves."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.organisation import MOMENT, write_organisation

INSTANTS = 25
VOLATILE = {
    "started_at",
    "finished_at",
    "created_at",
    "updated_at",
    "approved_at",
    "bound_at",
    "attempts",
    "served",
}
UNCOMPARED = {
    *("leases", "alembic_version", "sqlite_sequence", "identity", "upkeep"),
    *("watches", "conditions", "alerts"),  # what a process has looked at, and what it told
}
TOKEN = re.compile(r"(part-\d+)-\w+")
"""A part's name carries the token of the lease under which it was written: another one after a kill."""


def command(settings: Path) -> list[str]:
    at = MOMENT.isoformat()
    start = "import sys; from crmbridge.cli import main; main(sys.argv[1:])"
    return [
        sys.executable,
        "-c",
        start,
        "--config",
        str(settings),
        "sync",
        "acme",
        "--yes",
        "--at",
        at,
        "--json",
    ]


def organisation(folder: Path) -> Path:
    return write_organisation(folder, leads=1500)


def ledger_rows(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of the ledger without what may differ: timestamps, attempts, durations."""
    db = sqlite3.connect(folder / "crmbridge.db")
    db.row_factory = sqlite3.Row
    names = [row["name"] for row in db.execute("select name from sqlite_master where type = 'table'")]
    tables = {}
    for name in sorted(set(names) - UNCOMPARED):
        rows = [dict(row) for row in db.execute(f'select * from "{name}"')]
        for row in rows:
            for key in VOLATILE & set(row):
                del row[key]
            if "path" in row:
                row["path"] = TOKEN.sub(r"\1", row["path"])
            if "summary" in row:
                row["summary"] = {
                    k: v for k, v in json.loads(row["summary"]).items() if k not in ("seconds", "retried")
                }
        tables[name] = sorted(rows, key=repr)
    db.close()
    return tables


def lake_rows(folder: Path) -> dict[str, list[dict[str, Any]]]:
    root = folder / "lake"
    return {
        TOKEN.sub(r"\1", str(path.relative_to(root))): pq.read_table(path).to_pylist()
        for path in sorted(root.rglob("*.parquet"))
    }


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "exports" / "scores").glob("*"))}


def assert_sums_hold(folder: Path) -> None:
    """Every planned row is in exactly one state, and none is done twice, whenever one looks."""
    path = folder / "crmbridge.db"
    if not path.exists():
        return
    db = sqlite3.connect(path)
    try:
        tables = {name for (name,) in db.execute("select name from sqlite_master where type = 'table'")}
        if "plan_rows" not in tables:
            return
        planned = dict(db.execute("select plan, count(*) from plan_rows group by plan"))
        states = "state in ('pending', 'sent', 'same', 'rejected')"
        assert (
            dict(db.execute(f"select plan, count(*) from plan_rows where {states} group by plan")) == planned
        )
        twice = "select object, id from plan_rows group by plan, object, id having count(*) > 1"
        assert db.execute(twice).fetchall() == []
        left = "select count(*) from plans join plan_rows on plan = plans.id where status = 'done'"
        assert db.execute(f"{left} and state = 'pending'").fetchone() == (0,)
    finally:
        db.close()


def is_finished(folder: Path) -> bool:
    """Whether the kill came too late: the run had written down its end."""
    path = folder / "crmbridge.db"
    if not path.exists():
        return False
    with closing(sqlite3.connect(path)) as db:
        try:
            return db.execute("select status from runs").fetchall() == [("done",)]
        except sqlite3.OperationalError:
            return False


@pytest.mark.slow
def test_a_killed_sync_run_again_ends_like_an_undisturbed_one(tmp_path):
    template = tmp_path / "template"
    organisation(template)
    folder = tmp_path / "organisation"  # always the same: the ledger knows where it is
    settings = folder / "crmbridge.toml"
    shutil.copytree(template, folder)
    began = time.monotonic()
    subprocess.run(command(settings), check=True, capture_output=True)
    lasted = time.monotonic() - began
    expected = ledger_rows(folder), lake_rows(folder), outputs(folder)
    assert expected[2]

    killed = 0
    for share in np.random.default_rng(25).random(10 * INSTANTS):
        if killed == INSTANTS:
            break
        shutil.rmtree(folder)
        shutil.copytree(template, folder)
        process = subprocess.Popen(command(settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=share * lasted)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
            assert_sums_hold(folder)
            if not is_finished(folder):
                again = subprocess.run(command(settings), check=False, capture_output=True, text=True)
                assert again.returncode == 0, again.stderr
        assert_sums_hold(folder)
        found = ledger_rows(folder), lake_rows(folder), outputs(folder)
        for name, table in expected[0].items():
            assert found[0][name] == table, f"{name} after a kill at {share:.3f} of the run"
        assert found[1] == expected[1], f"the lake after a kill at {share:.3f} of the run"
        assert found[2] == expected[2], f"the output after a kill at {share:.3f} of the run"
    assert killed == INSTANTS


def test_of_two_processes_that_sync_one_connection_at_once_one_runs_and_one_says_so(tmp_path):
    settings = write_organisation(tmp_path)
    first = subprocess.Popen(command(settings), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while not stopped_with_the_lease(first, tmp_path / "crmbridge.db"):
            assert first.poll() is None, "the first run ended without ever holding the lease"
        second = subprocess.run(command(settings), check=False, capture_output=True, text=True)
    finally:
        first.send_signal(signal.SIGCONT)
    _, complaint = first.communicate()
    assert first.returncode == 0, complaint
    assert second.returncode == 3
    assert "acme" in second.stderr


def stopped_with_the_lease(process: subprocess.Popen[str], path: Path) -> bool:
    """Stop the process and say whether it holds the lease and no transaction; if not, let it go on."""
    process.send_signal(signal.SIGSTOP)
    if path.exists():
        with closing(sqlite3.connect(path, timeout=0)) as db:
            try:
                db.execute("begin immediate")
                if db.execute("select count(*) from leases where pid is not null").fetchone() != (0,):
                    return True
            except sqlite3.OperationalError:
                pass  # in a transaction, or no table yet
    process.send_signal(signal.SIGCONT)
    return False
