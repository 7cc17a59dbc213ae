"""Whatever breaks while a part is written: nothing is half to be seen, and doing it again completes it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from crmbridge.errors import StoreError
from crmbridge.store.lake import Appended, Lake, files
from crmbridge.store.ledger import Ledger, SetAsideRow
from tests.conftest import Clock
from tests.unit.lake_kit import START, Leads, leads

__all__ = ["leads"]

PAGE = ({"id": "1", "company": "A2"}, {"id": "3", "company": "C"})


class PowerCut(BaseException):
    """The process ends here."""


def failing(call: Callable[..., Any], error: BaseException, number: int = 1) -> Callable[..., Any]:
    """The call, which works until the given one and fails then, before it does anything."""
    calls = iter(range(1, number + 1))

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if next(calls, None) == number:
            raise error
        return call(*arguments, **named)

    return wrapped


def failing_after(call: Callable[..., Any], error: BaseException) -> Callable[..., Any]:
    """The call, which does all it does and fails then."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        call(*arguments, **named)
        raise error

    return wrapped


STEPS: dict[str, Callable[[pytest.MonkeyPatch, BaseException], None]] = {
    "opening": lambda patch, error: patch.setattr(
        pq.ParquetWriter, "__init__", failing(pq.ParquetWriter.__init__, error)
    ),
    "writing": lambda patch, error: patch.setattr(
        pq.ParquetWriter, "write_table", failing(pq.ParquetWriter.write_table, error)
    ),
    "written": lambda patch, error: patch.setattr(
        pq.ParquetWriter, "write_table", failing_after(pq.ParquetWriter.write_table, error)
    ),
    "syncing the file": lambda patch, error: patch.setattr(os, "fsync", failing(os.fsync, error)),
    "renaming": lambda patch, error: patch.setattr(os, "replace", failing(os.replace, error)),
    "renamed": lambda patch, error: patch.setattr(os, "replace", failing_after(os.replace, error)),
    "syncing the folder": lambda patch, error: patch.setattr(os, "fsync", failing(os.fsync, error, 2)),
    "registering": lambda patch, error: patch.setattr(Ledger, "register", failing(Ledger.register, error)),
}
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def append(leads: Leads) -> Appended:
    row = SetAsideRow("lead", "leads.csv:9", "bad date")
    return leads.append(*PAGE, seen=1, deleted=["2"], cursor={"page": 2}, set_aside=[row])


def state(leads: Leads) -> dict[str, Any]:
    ledger = leads.lake.ledger
    return {
        "scan": leads.scan("id", "company", "valid_from", at=9),
        "versions": leads.versions("id", "company", "valid_from", at=9),
        "count": leads.lake.live_count("acme", "lead"),
        "parts": ledger.parts("acme"),
        "cursor": ledger.cursor("acme", "lead"),
        "set aside": ledger.set_aside_rows(leads.run),
        "problems": leads.lake.check("acme"),
        "content": {name: (leads.lake.root / name).read_bytes() for name in leads.files()},
    }


@pytest.fixture
def before(leads: Leads) -> dict[str, Any]:
    leads.append({"id": "1", "company": "A"}, {"id": "2", "company": "B"}, seen=0, cursor={"page": 1})
    return state(leads)


@pytest.fixture
def undisturbed(tmp_path: Path, clock: Clock) -> dict[str, Any]:
    with Ledger.open(f"sqlite:///{tmp_path}/other.db", clock=clock) as ledger:
        leads = Leads(Lake(tmp_path / "other", ledger))
        leads.append({"id": "1", "company": "A"}, {"id": "2", "company": "B"}, seen=0, cursor={"page": 1})
        append(leads)
        return state(leads)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("same_process", [True, False])
@pytest.mark.parametrize("error", [PowerCut(), FULL], ids=["power cut", "disk full"])
def test_a_page_is_there_whole_or_not_at_all(
    leads: Leads,
    before: dict[str, Any],
    undisturbed: dict[str, Any],
    step: str,
    same_process: bool,
    error: BaseException,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        STEPS[step](patch, error)
        with pytest.raises((PowerCut, StoreError, OSError)):
            append(leads)
    now = state(leads)
    known = {name: now["content"][name] for name in before["content"]}
    assert {**now, "content": known} == before
    if not same_process:
        leads = leads.again()
    assert append(leads) == Appended(new=1, changed=1, deleted=1)
    assert state(leads) == undisturbed
    assert leads.lake.clean("acme") == 0


@pytest.mark.parametrize("step", [step for step in STEPS if step != "registering"])
def test_a_full_disk_is_reported_with_the_way_out(
    leads: Leads, before: dict[str, Any], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    STEPS[step](monkeypatch, FULL)
    with pytest.raises(StoreError, match=r"The lake can't write .*part-000002.*Free space"):
        append(leads)


def test_a_page_that_was_registered_before_the_process_ended_is_not_kept_twice(
    leads: Leads, before: dict[str, Any], undisturbed: dict[str, Any]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "register", failing_after(Ledger.register, PowerCut()))
        with pytest.raises(PowerCut):
            append(leads)
    assert state(leads) == undisturbed
    for again in (leads, leads.again()):
        assert append(again) == Appended(unchanged=2)
    assert state(leads) == undisturbed


def test_what_a_power_cut_left_is_cleaned_and_nothing_else(leads: Leads, before: dict[str, Any]) -> None:
    folder = leads.lake.root / "acme" / "lead"
    Leads(leads.lake, "globex").append({"id": "1"}, seen=0)
    for name in ("part-000002.parquet", "part-000009.parquet.unfinished", "notes.txt", "part-x.parquet"):
        (folder / name).write_bytes(b"left behind")
    assert leads.lake.clean("acme") == 2
    assert leads.files() == [
        "acme/lead/notes.txt",
        "acme/lead/part-000001.parquet",
        "acme/lead/part-x.parquet",
        "globex/lead/part-000001.parquet",
    ]


def test_parts_that_no_registered_one_was_before_are_not_what_a_kill_left(leads: Leads) -> None:
    folder = leads.lake.root / "acme" / "lead"
    folder.mkdir(parents=True)
    (folder / "part-000001.parquet").write_bytes(b"the very first part, cut off before it was registered")
    assert leads.lake.clean("acme") == 1
    for number in (1, 2):
        (folder / f"part-{number:06d}.parquet").write_bytes(b"of another ledger")
    with pytest.raises(StoreError, match=r"2 parts in .* that the ledger knows nothing of"):
        leads.lake.clean("acme")
    assert len(leads.files()) == 2


def test_nothing_is_cleaned_where_registered_parts_are_gone(leads: Leads, before: dict[str, Any]) -> None:
    folder = leads.lake.root / "acme" / "lead"
    (folder / "part-000001.parquet").rename(folder / "part-000007.parquet")
    with pytest.raises(StoreError, match="1 of the 1 parts of the lake are gone"):
        leads.lake.clean("acme")
    assert leads.files() == ["acme/lead/part-000007.parquet"]


UPKEEP: dict[str, Callable[[Leads], int]] = {
    "compact": lambda leads: leads.lake.compact("acme", "lead", at_least=2),
    "forget": lambda leads: leads.lake.forget("acme", "lead", "2"),
}


@pytest.mark.parametrize("work", UPKEEP)
@pytest.mark.parametrize("step", ["writing", "renaming", "syncing the folder", "replacing", "removing"])
def test_upkeep_that_is_cut_off_changes_nothing_or_all(
    leads: Leads, before: dict[str, Any], work: str, step: str
) -> None:
    append(leads)
    told = state(leads)
    with pytest.MonkeyPatch.context() as patch:
        if step == "replacing":
            patch.setattr(Ledger, "replace_parts", failing(Ledger.replace_parts, PowerCut()))
        elif step == "removing":
            patch.setattr(Path, "unlink", failing(Path.unlink, PowerCut()))
        else:
            STEPS[step](patch, PowerCut())
        with pytest.raises(PowerCut):
            UPKEEP[work](leads)
    done = step == "removing"
    now = state(leads)
    for name in ("scan", "count", "cursor", "problems"):
        assert now[name] == told[name]
    assert (now["parts"] == told["parts"]) == (not done)
    again = leads.again()
    assert (UPKEEP[work](again) > 0) == (not done)
    again.lake.clean("acme")
    assert sorted(part.path for part in leads.lake.ledger.parts("acme")) == leads.files()
    assert state(again)["scan"] == told["scan"]
    assert again.lake.check("acme") == []
    assert again.append(*PAGE, seen=2) == Appended(unchanged=2)


def test_a_part_that_is_gone_or_damaged_is_named(leads: Leads, before: dict[str, Any]) -> None:
    append(leads)
    first, second = (leads.lake.root / part.path for part in leads.lake.ledger.parts("acme"))
    first.unlink()
    with pytest.raises(StoreError, match=r"part of the lake is gone: .*part-000001"):
        leads.scan("id", at=9)
    second.write_bytes(second.read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"part of the lake is damaged: .*part-000002.*from a backup"):
        leads.scan("id", at=9)
    gone, damaged = leads.lake.check("acme")
    assert "part-000001.parquet" in gone
    assert "part-000002.parquet" in damaged


def test_a_part_that_is_not_as_it_was_registered_is_named(leads: Leads, before: dict[str, Any]) -> None:
    append(leads)
    first, second = (leads.lake.root / part.path for part in leads.lake.ledger.parts("acme"))
    second.write_bytes(first.read_bytes())
    (problem,) = leads.lake.check("acme")
    assert "part-000002.parquet has 2 rows" in problem
    assert "registered were 3" in problem


def test_a_part_is_on_the_disk_under_its_name_before_it_is_registered(
    leads: Leads, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            done.append(name)
            return call(*arguments, **named)

        return wrapped

    leads.append({"id": "1"}, seen=0)
    monkeypatch.setattr(os, "fsync", noted("sync the file", os.fsync))
    monkeypatch.setattr(os, "replace", noted("rename", os.replace))
    monkeypatch.setattr(files, "sync_folder", noted("sync the folder", lambda folder: None))
    monkeypatch.setattr(Ledger, "register", noted("register", Ledger.register))
    leads.append({"id": "2"}, seen=0)
    assert done == ["sync the file", "rename", "sync the folder", "register"]
    assert leads.scan("id", at=0) == [("1",), ("2",)]
    assert leads.lake.ledger.run(leads.run).moment == START
