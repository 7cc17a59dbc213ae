"""Two schedulers on one PostgreSQL ledger, either killed again and again: nothing twice, nothing lost."""

from __future__ import annotations

import math
import random
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from crmbridge.bridge import Bridge, utc_now
from crmbridge.plugins import Plugins
from crmbridge.store.ledger import Run
from tests.conftest import Clock
from tests.integration.test_serve import START, Serving
from tests.postgresql import Server

CONNECTION = """
[connections.c{number}]
connector = "files"
path = "c{number}"
schedule = "every {seconds} seconds"

[connections.c{number}.rep]
file = "reps.csv"
id = "Id"
fields = {{ name = "Name" }}
"""
SMALL = "from crmbridge import plugins; del plugins.BUILT_IN['metrics']; " + START
"""Runs as small as can be: what is tested is who makes them."""
CONNECTIONS, SECONDS = 20, 4
RUNS = 500
KILL_AFTER = (4.0, 9.0)
"""Seconds between two kills: a process has begun, and is in the middle of something."""


@pytest.fixture
def settings(tmp_path: Path, postgresql: Server, clock: Clock) -> Iterator[Path]:
    url = postgresql.new_ledger(clock)
    path = tmp_path / "crmbridge.toml"
    connections = "".join(CONNECTION.format(number=n, seconds=SECONDS) for n in range(CONNECTIONS))
    path.write_text(f'[store]\nledger = "{url}"\n{connections}', encoding="utf-8")
    for number in range(CONNECTIONS):
        (tmp_path / f"c{number}").mkdir()
        (tmp_path / f"c{number}" / "reps.csv").write_text("Id,Name\n1,A\n2,B\n", encoding="utf-8")
    yield path
    postgresql.drop(url)


def ended(url: str) -> int:
    with psycopg.connect(url.replace("+psycopg", "")) as db:
        found = db.execute("select count(*) from runs where status <> 'running'").fetchone()
    assert found is not None
    return int(found[0])


def by_connection(settings: Path) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = defaultdict(list)
    with Bridge.open(settings) as bridge:
        for run in bridge.ledger.runs(None, 10_000)[::-1]:
            found[run.connection].append(run)
    return found


def slow_enough(settings: Path) -> timedelta:
    """Set a period in which this machine, as busy as it is, makes all runs in half of the time."""
    plugins = Plugins.load(found=[])
    plugins.metrics = {}
    with Bridge.open(settings, plugins=plugins) as bridge:
        for name in bridge.settings.names[:5]:
            bridge.sync(name)
        began = time.monotonic()
        for name in bridge.settings.names[:5]:
            bridge.sync(name)
        seconds = (time.monotonic() - began) / 5
    period = max(SECONDS, math.ceil(CONNECTIONS * seconds))
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace(f"every {SECONDS} seconds", f"every {period} seconds"), encoding="utf-8")
    return timedelta(seconds=period)


@pytest.mark.long
def test_two_schedulers_that_are_killed_at_random_run_every_slot_once(settings: Path) -> None:
    draw = random.Random(20261124)
    period = slow_enough(settings)
    with Bridge.open(settings) as bridge:
        url = bridge.settings.ledger_url
    serving = [Serving(settings, SMALL), Serving(settings, SMALL)]
    kills = 0
    try:
        while ended(url) < RUNS:
            time.sleep(draw.uniform(*KILL_AFTER))  # the processes work by the real clock
            victim = draw.randrange(2)
            serving[victim].process.send_signal(signal.SIGKILL)
            assert serving[victim].end() == -signal.SIGKILL
            kills += 1
            serving[victim] = Serving(settings, SMALL)
        stopped = utc_now()
        for each in serving:
            each.process.send_signal(signal.SIGTERM)
        assert [each.end() for each in serving] == [0, 0]
    finally:
        for each in serving:
            each.process.kill()
    with Bridge.open(settings) as bridge:
        for name in bridge.settings.names:  # what a stop has left at a checkpoint is gone on with
            while bridge.is_due(name):
                assert bridge.run_due(name) is not None
    print(f"period {period.seconds} s, {kills} kills")
    assert kills >= 5
    taken_up = 0
    for name, all_runs in by_connection(settings).items():
        runs = [run for run in all_runs if run.slot is not None]
        slots = [run.slot for run in runs]
        assert len(set(slots)) == len(slots), f"{name}: a slot ran twice"
        assert slots == sorted(slots, key=str), f"{name}: slots out of order"
        assert {run.status for run in runs} <= {"done", "awaiting_approval"}, name
        taken_up += sum(run.attempts > 1 for run in runs)
        for former, later in pairwise(runs):
            assert former.finished_at is not None
            assert former.slot is not None
            assert later.slot is not None
            assert later.started_at >= former.finished_at, f"{name}: two runs at once"
            if later.slot <= stopped:
                assert later.slot - former.slot <= 2 * period, f"{name}: missed from {former.slot}"
    assert taken_up > 0, "no kill hit a run"


@pytest.mark.slow
def test_a_database_that_restarts_under_serve_loses_no_run_and_ready_says_the_truth(settings: Path) -> None:
    with Bridge.open(settings) as bridge:
        url = bridge.settings.ledger_url
    serving = Serving(settings)
    try:
        serving.event("run finished")
        name = url.rpartition("/")[2]
        server = url.rpartition("/")[0].replace("+psycopg", "")
        with psycopg.connect(f"{server}/postgres", autocommit=True) as db:
            db.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            db.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            serving.until(lambda line: line["level"] == "warning")
            with pytest.raises(OSError, match="503"):
                serving.get("/health/ready")
            with pytest.raises(OSError, match="503"):
                serving.get("/metrics")
            assert serving.get("/health/live")
            db.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        for _ in range(CONNECTIONS):
            serving.event("run finished")
        assert serving.get("/health/ready")
        assert serving.stop() == 0
    finally:
        serving.process.kill()
    with Bridge.open(settings) as bridge:
        for each in bridge.settings.names:
            while bridge.is_due(each):
                assert bridge.run_due(each) is not None
    for name, runs in by_connection(settings).items():
        assert len({run.slot for run in runs}) == len(runs), name
        assert runs[-1].status in ("done", "awaiting_approval"), name
        assert all(run.status != "running" for run in runs), name


@pytest.mark.slow
def test_serve_idle_takes_next_to_nothing(tmp_path: Path) -> None:
    import psutil

    (tmp_path / "c0").mkdir()
    (tmp_path / "c0" / "reps.csv").write_text("Id,Name\n1,A\n2,B\n", encoding="utf-8")
    path = tmp_path / "crmbridge.toml"
    path.write_text(CONNECTION.format(number=0, seconds=3).replace("every 3 seconds", "@daily"), "utf-8")
    with Bridge.open(path) as bridge:
        bridge.sync("c0")
    serving = Serving(path)
    try:
        process = psutil.Process(serving.process.pid)
        serving.event("serving")
        time.sleep(3)  # its start is not what is measured
        before, began = process.cpu_times(), time.monotonic()
        time.sleep(35)  # more than two looks
        after, took = process.cpu_times(), time.monotonic() - began
        used = after.user + after.system - before.user - before.system
        private = process.memory_full_info().uss
        assert serving.stop() == 0
    finally:
        serving.process.kill()
    print(f"{used / took:.2%} of a core, {private / 2**20:.0f} MiB")
    assert used / took < 0.01
    assert private < 150 * 2**20
