"""The scheduler's process with an installation that is not real: timers, the clock, looks, reload, stop."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crmbridge import config
from crmbridge.errors import BusyError, CRMBridgeError, StoppedError, StoreError, TransientError
from crmbridge.schedule.ending import Ending
from crmbridge.schedule.service import Service, Slots
from crmbridge.timetable import parse

SETTINGS = """
[connections.{name}]
connector = "files"
path = "."
schedule = "{schedule}"
"""
WAIT = 30.0


class World:
    """An installation whose runs are noted, a clock, and a service on them."""

    def __init__(self, folder: Path, **schedules: str) -> None:
        self.folder = folder
        self.write(**schedules)
        self.due: list[str] = []
        self.runs: list[str] = []
        self.ran = threading.Event()
        self.action: Callable[[], None] = lambda: None
        self.lines: list[str] = []
        self.looks = 0
        self.looked = threading.Event()
        self.jumped = 0.0
        self.service = Service(
            self,
            ending=Ending(),
            log=lambda event, **values: self.lines.append(event),
            clock=lambda: datetime.now(UTC) + timedelta(seconds=self.jumped),
            draw=lambda: 0.0,
        )

    def write(self, **schedules: str) -> None:
        path = self.folder / "crmbridge.toml"
        path.write_text("".join(SETTINGS.format(name=n, schedule=s) for n, s in schedules.items()))
        self.settings = config.load(path)

    def is_due(self, name: str) -> bool:
        return name in self.due

    def run_due(self, name: str) -> Any:
        if name not in self.due:
            return None
        self.due.remove(name)
        self.runs.append(name)
        self.ran.set()
        self.action()
        return object()

    def look(self) -> None:
        self.looks += 1
        self.looked.set()

    def timers(self) -> dict[str, datetime]:
        return {job.id: job.next_run_time for job in self.service._scheduler.get_jobs()}


@pytest.fixture
def world(tmp_path: Path) -> Any:
    made = World(tmp_path, acme="0 0 1 1 *", globex="0 0 1 1 *")
    made.service.start()
    yield made
    if not made.service.stopping:
        made.service.end()
        made.service.watch()


def test_a_timer_begins_what_is_due(tmp_path: Path) -> None:
    world = World(tmp_path, acme="every second")
    world.due = ["acme", "acme"]
    world.service.start()
    assert world.ran.wait(WAIT)
    world.service.end()
    world.service.watch()
    assert world.runs == ["acme", "acme"], "what became due meanwhile is made at once"


def test_what_no_timer_has_said_is_begun_at_the_next_look(world: World) -> None:
    world.service.look()
    assert world.runs == []
    world.due = ["acme"]
    world.service.look()
    assert world.ran.wait(WAIT)
    assert (world.runs, world.looks) == (["acme"], 2)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BusyError("it is busy."), "another process is at it"),
        (StoppedError("stopped."), "stopped at a checkpoint"),
        (TransientError("no network."), "run failed"),
    ],
)
def test_whatever_a_run_ends_with_the_next_one_is_begun(
    world: World, error: CRMBridgeError, said: str
) -> None:
    def fail() -> None:
        raise error

    world.action = fail
    world.due = ["acme"]
    world.service.run("acme")
    assert said in world.lines
    world.action = lambda: None
    world.due = ["acme"]
    world.service.run("acme")
    assert world.runs == ["acme", "acme"]


def test_a_ledger_that_is_away_is_said_and_looked_for_again(world: World, monkeypatch: Any) -> None:
    world.service.look()
    assert world.service.is_alive

    def gone(name: str) -> bool:
        raise StoreError("The ledger can't be used.")

    with monkeypatch.context() as patch:
        patch.setattr(world, "is_due", gone)
        world.service.look()
    assert "could not look" in world.lines
    world.due = ["acme"]
    world.service.look()
    assert world.ran.wait(WAIT)


def test_timers_are_set_anew_when_the_clock_jumps(world: World) -> None:
    before = world.timers()
    world.service._scheduler.modify_job("acme", next_run_time=before["acme"] + timedelta(hours=1))
    world.service.look()
    assert world.timers()["acme"] != before["acme"]
    world.jumped = -3600
    world.service.look()
    assert "clock has jumped" in world.lines
    assert world.timers() == before


def test_new_settings_move_add_and_take_away_timers(world: World) -> None:
    world.service.reload(lambda: world.write(acme="0 0 2 1 *", initech="0 0 1 1 *"))
    watching = threading.Thread(target=world.service.watch)
    watching.start()
    assert world.looked.wait(WAIT)
    timers = world.timers()
    world.service.end()
    watching.join()
    assert set(timers) == {"acme", "initech"}
    assert timers["acme"].day == 2


def test_after_a_stop_no_run_begins(world: World) -> None:
    world.service.end()
    world.due = ["acme"]
    world.service.run("acme")
    world.service.watch()
    assert world.runs == []


def test_jitter_is_at_most_a_tenth_of_the_period() -> None:
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    late = Slots(parse("every 20 seconds", UTC), 10, lambda: 1.0).get_next_fire_time(None, now)
    assert late - now == timedelta(seconds=22)
    late = Slots(parse("every 10 minutes", UTC), 10, lambda: 0.5).get_next_fire_time(None, now)
    assert late - now == timedelta(minutes=10, seconds=5)


STUBBORN = """
import sys, threading
from pathlib import Path
from crmbridge.cli.serve import _listen
from tests.unit.test_service import World
world = World(Path(sys.argv[1]), acme="0 0 1 1 *")
world.due = ["acme"]
def stuck():
    print("stuck", flush=True)
    threading.Event().wait()
world.action = stuck
world.service._log = lambda event, **values: print(event, flush=True)
_listen(world.service, world)
world.service.start()
world.service.watch()
"""


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert process.stdout is not None
    try:
        lines = iter(process.stdout.readline, "")
        assert "stuck\n" in lines
        process.send_signal(signal.SIGTERM)
        assert any("stopping" in line for line in lines)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
