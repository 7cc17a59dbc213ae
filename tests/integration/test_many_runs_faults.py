"""A disk that is full, folders that can't be written: the run fails in words, the next one makes it good."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crmbridge.errors import CRMBridgeError, StoreError
from tests.conftest import Clock
from tests.integration.many_runs import Installation
from tests.organisation import MOMENT, write_organisation

START = MOMENT + timedelta(minutes=10)


def installed(folder: Path, leads: int = 30) -> Installation:
    return Installation(write_organisation(folder, leads=leads), Clock(START))


@contextmanager
def full_at(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The disk takes nothing from the given time on that something is brought onto it."""
    synced = os.fsync
    calls: list[int] = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > number >= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        synced(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        yield calls


def left_behind(job: Installation) -> list[str]:
    return [
        path.name
        for folder in (job.exports, job.settings.parent / "lake")
        for path in folder.rglob("*")
        if path.suffix in (".partial", ".unfinished")
    ]


def state(job: Installation) -> tuple[Any, ...]:
    """What the lake and the scores files hold."""
    names = ("lead", "activity", "rep", "result/need/lead")
    records = [job.records(name, ["id", "score"] if "/" in name else None) for name in names]
    written = {path.name: path.read_text() for path in sorted((job.exports / "scores").glob("*"))}
    return records, written, job.look(lambda ledger, lake: lake.check("acme"))


@pytest.mark.slow
@pytest.mark.parametrize("commands", [["sync"], ["pull", "score", "plan", "apply"]], ids=" ".join)
@pytest.mark.parametrize("every", [7, 1])
def test_a_disk_that_fills_up_at_any_instant_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: list[str], every: int
) -> None:
    def run_all(job: Installation) -> None:
        plan: Any = None
        for command in commands:
            run = job.apply(plan) if command == "apply" else getattr(job, command)()
            plan = run.summary.get("plan")

    whole = installed(tmp_path / "whole")
    with full_at(-1, monkeypatch) as calls:
        run_all(whole)
    assert len(calls) > 10
    for number in range(0, len(calls), every):
        job = installed(tmp_path / f"full-{number}")
        with full_at(number, monkeypatch), pytest.raises(StoreError, match="No space left") as failed:
            run_all(job)
        assert "pace" in str(failed.value.remedy)
        assert job.runs()[0].status == "failed"
        assert failed.value.what in str(job.runs()[0].error)
        assert left_behind(job) == []
        assert job.look(lambda ledger, lake: lake.check("acme")) == []
        if number % 2:
            run_all(job) if job.runs()[0].kind != "apply" else job.sync()
        else:
            job.sync()
        assert state(job) == state(whole), f"full at {number}"


def pages(job: Installation) -> int:
    with closing(sqlite3.connect(job.settings.parent / "crmbridge.db")) as db:
        return int(db.execute("pragma page_count").fetchone()[0])


@contextmanager
def ledger_limited_to(number: int) -> Iterator[None]:
    """No ledger's file can have more than so many pages."""

    def limit(connection: Any, record: Any) -> None:
        connection.execute(f"pragma max_page_count = {number}")

    sa.event.listen(sa.Engine, "connect", limit)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "connect", limit)


def test_a_ledger_that_can_not_grow_fails_the_run_in_words_and_the_next_goes_on(tmp_path: Path) -> None:
    whole = installed(tmp_path / "whole", leads=200)
    whole.runs()  # the ledger is there, and empty
    first = pages(whole)
    whole.sync()
    limits = range(first, pages(whole), 3)
    assert len(limits) > 2
    for number in limits:
        job = installed(tmp_path / f"full-{number}", leads=200)
        job.runs()
        with ledger_limited_to(number), pytest.raises(StoreError, match="is full") as failed:
            job.sync()
        assert "Free space" in str(failed.value.remedy)
        assert left_behind(job) == []
        run = job.sync()
        assert run.status == "done"
        assert run.summary["pending"] == 0
        assert state(job) == state(whole)


@pytest.mark.parametrize(
    ("place", "command"),
    [
        ("lake", Installation.sync),
        ("exports/scores", Installation.sync),
        ("exports/scores/lead.csv/folder", Installation.sync),
    ],
)
def test_what_stands_in_the_way_is_named_and_once_it_is_gone_the_job_goes_on(
    tmp_path: Path, place: str, command: Callable[[Installation], Any]
) -> None:
    job = installed(tmp_path)
    obstacle = job.settings.parent / place
    if obstacle.name == "folder":
        obstacle.mkdir(parents=True)
    else:
        obstacle.write_text("somebody's file")
    with pytest.raises(CRMBridgeError) as failed:
        command(job)
    assert str(job.settings.parent / place.removesuffix("/folder")) in str(failed.value)
    assert failed.value.remedy
    assert job.runs()[0].status == "failed"
    if obstacle.is_dir():
        obstacle.rmdir()
        obstacle.parent.rmdir()
    else:
        obstacle.unlink()
    assert command(job).status == "done"
