from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from crmbridge.errors import BusyError, StoreError
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger, leases, tables
from tests.conftest import Clock

NAME = "connection/acme"

HOLD = """
import sys
from datetime import UTC, datetime
from crmbridge.store.ledger import Ledger
ledger = Ledger.open(sys.argv[1], clock=lambda: datetime.now(UTC))
with ledger.lease("connection/acme") as token:
    print(token, flush=True)
    sys.stdin.read()
"""


class Holder:
    """Another process that holds the lease until it is killed or told to go."""

    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.token = int(self.process.stdout.readline())

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate()


def change(ledger: Ledger, **values: object) -> None:
    with ledger._write() as db:
        db.execute(sa.update(tables.leases).values(**values))


def test_a_lease_is_held_by_one_and_then_given_back(ledger: Ledger, clock: Clock) -> None:
    with ledger.lease(NAME) as first:
        ledger.assert_held(NAME, first)
        with (
            pytest.raises(BusyError, match=rf"process {os.getpid()} on .+ since 2026-11-24 12:00:00 UTC"),
            ledger.lease(NAME),
        ):
            pass
        with ledger.lease("connection/globex"):
            pass
    with pytest.raises(BusyError, match="lost"):
        ledger.assert_held(NAME, first)
    with ledger.lease(NAME) as second:
        assert second > first


def test_a_lease_that_could_not_be_given_back_does_not_lock_its_own_process_out(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise StoreError("the disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_release", full)
        with pytest.raises(StoreError), ledger.lease(NAME) as left_over:
            pass
    with ledger.lease(NAME) as token:
        assert token > left_over


def test_a_lease_is_given_back_when_the_work_fails(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError), ledger.lease(NAME):
        raise RuntimeError
    with ledger.lease(NAME):
        pass


def test_another_process_is_respected_while_it_lives_and_replaced_at_once_when_it_was_killed(
    ledger: Ledger, ledger_url: str
) -> None:
    with Holder(ledger_url) as holder:
        with pytest.raises(BusyError, match=f"process {holder.process.pid} "), ledger.lease(NAME):
            pass
        os.kill(holder.process.pid, signal.SIGKILL)
        os.waitid(
            os.P_PID, holder.process.pid, os.WEXITED | os.WNOWAIT
        )  # dead, and still in the process table
        with ledger.lease(NAME) as token:
            assert token == holder.token + 1


def test_a_silent_but_living_process_on_this_machine_keeps_its_lease(
    ledger: Ledger, ledger_url: str, clock: Clock
) -> None:
    with Holder(ledger_url):
        clock.advance(days=400)
        with pytest.raises(BusyError), ledger.lease(NAME):
            pass


def test_a_process_number_used_again_is_not_taken_for_the_holder(ledger: Ledger) -> None:
    with ledger.lease(NAME):
        change(ledger, process_start="1")
        with ledger.lease(NAME):
            pass


def test_a_holder_on_another_machine_counts_as_dead_after_a_minute_without_a_heartbeat(
    ledger: Ledger, clock: Clock
) -> None:
    with ledger.lease(NAME) as token:
        change(ledger, machine="another boot", host="elsewhere")
        clock.advance(seconds=59)
        with pytest.raises(BusyError, match="on elsewhere"), ledger.lease(NAME):
            pass
        clock.advance(seconds=1)
        with ledger.lease(NAME) as taken:
            assert taken == token + 1


def test_where_the_system_tells_nothing_about_processes_heartbeats_decide(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_machine", lambda: None)
    with ledger.lease(NAME):
        with pytest.raises(BusyError), ledger.lease(NAME):
            pass
        clock.advance(seconds=60)
        with ledger.lease(NAME):
            pass


def test_heartbeats_go_out_while_the_work_lasts(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    beaten = threading.Event()
    renew = ledger._renew

    def noted(name: str, token: int) -> bool:
        renewed = renew(name, token)
        beaten.set()
        return renewed

    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.001)
    monkeypatch.setattr(ledger, "_renew", noted)
    with ledger.lease(NAME):
        clock.advance(minutes=5)
        beaten.clear()
        assert beaten.wait(30)
        change(ledger, machine="another boot")
        with pytest.raises(BusyError), ledger.lease(NAME):
            pass


def test_a_holder_that_was_replaced_can_not_write_for_the_connection_any_more(
    ledger: Ledger, ledger_url: str, clock: Clock
) -> None:
    run = ledger.start_run("acme", "sync", clock.moment)
    with Ledger.open(ledger_url, clock=clock) as frozen, frozen.lease(NAME) as token:
        frozen.finish_run(run.id, "running", {"by": "the holder"})
        change(ledger, machine="another boot")
        clock.advance(minutes=2)
        with ledger.lease(NAME):
            with pytest.raises(BusyError, match="lost to another process"):
                frozen.finish_run(run.id, "done", {"by": "the former holder"})
            with pytest.raises(BusyError, match="lost to another process"):
                frozen.register("acme", "lead", run.id, part=None, cursor={"page": 2}, set_aside=[])
            with pytest.raises(BusyError, match="lost to another process"):
                frozen.assert_held(NAME, token)
            ledger.finish_run(run.id, "done", {"by": "the new holder"})
    assert ledger.run(run.id).summary == {"by": "the new holder"}
    assert ledger.cursor("acme", "lead") is None


def test_processes_starting_at_once_get_the_lease_one_at_a_time(ledger: Ledger) -> None:
    won: list[int] = []
    barrier = threading.Barrier(8)
    leave = threading.Barrier(8)

    def contend() -> None:
        barrier.wait()
        try:
            with ledger.lease(NAME) as token:
                won.append(token)
                leave.wait()
        except BusyError:
            leave.wait()

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_the_process_table_is_read_right() -> None:
    own = Path("/proc/self/stat")
    if not own.exists():
        pytest.skip("no /proc here")
    assert leases._process_start(os.getpid()) == own.read_text().rpartition(")")[2].split()[19]
    assert leases._process_start(2**22 + 1) is None


def test_who_was_replaced_while_silent_can_not_touch_the_files_of_its_successor(
    ledger: Ledger, ledger_url: str, clock: Clock, tmp_path: Path
) -> None:
    def rows(*ids: str) -> pa.Table:
        return pa.table({"id": list(ids)})

    def keep(lake: Lake, *ids: str) -> None:
        lake.append("acme", "held/lead", rows(*ids), run=run.id, seen_at=clock())

    def held(lake: Lake) -> set[str]:
        return set(lake.live_ids("acme", "held/lead").to_pylist())

    run = ledger.start_run("acme", "sync", clock.moment)
    with Ledger.open(ledger_url, clock=clock) as frozen, frozen.lease(NAME):
        silent = Lake(tmp_path / "lake", frozen)
        keep(silent, "a")
        change(ledger, machine="another boot")
        clock.advance(minutes=2)
        with ledger.lease(NAME):
            lake = Lake(tmp_path / "lake", ledger)
            whole = Ledger.register

            def slow(self: Ledger, *arguments: object, **more: object) -> object:
                """When the successor has written its file, and not registered it, the silent one wakes up."""
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(Ledger, "register", whole)
                    with pytest.raises(BusyError):
                        keep(silent, "b")
                silent.clean("acme")
                return whole(self, *arguments, **more)  # type: ignore[arg-type]

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Ledger, "register", slow)
                keep(lake, "c")
            assert lake.check("acme") == []
            assert held(lake) == {"a", "c"}
            lake.clean("acme")
            assert len(list((tmp_path / "lake").rglob("*.parquet"))) == 2
