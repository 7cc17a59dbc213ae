"""Two years of a schedule at eight-hourly, with outages at random: each is told once, and its end once."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crmbridge.errors import GuardError, TransientError
from tests.conftest import Clock
from tests.memory_crm import MemoryCrm
from tests.unattended import Recorder, Unattended

OUTAGES = ("network", "scheduler", "guard")


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: what is tested here is no disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def unattended(folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, *, runs: int, seed: int) -> None:
    draw = random.Random(seed)
    job = Unattended(folder, clock, schedule="0 */8 * * *")
    clock.advance(hours=-4)  # eight o'clock, which is a slot
    job.look()
    outage: str | None = None
    left = 0
    whole = MemoryCrm.query

    def query(self: MemoryCrm, *arguments: Any) -> Any:
        if outage == "network":
            raise TransientError("the network is gone.")
        return whole(self, *arguments)

    monkeypatch.setattr(MemoryCrm, "query", query)
    expected: Counter[tuple[str, str]] = Counter()
    kinds = {"network": "failing", "scheduler": "did_not_run", "guard": "guard"}
    for number in range(runs):
        clock.advance(hours=8)
        if left:
            left -= 1
            if not left:
                outage = None
        elif draw.random() < 0.05:
            outage, left = draw.choice(OUTAGES), draw.randrange(1, 6)
            expected[kinds[outage], "raised"] += 1
            expected[kinds[outage], "cleared"] += 1
        job.crm.org_id = "another" if outage == "guard" else "org-1"
        if draw.random() < 0.3:
            job.crm.put("lead", f"l{draw.randrange(40)}", {"lead_source": f"s{number}"})
        late = 11 if outage == "scheduler" else 0
        clock.advance(minutes=late)
        with job.open() as bridge:
            bridge.look()  # somebody's command, or what the scheduler does first
            clock.advance(minutes=-late)
            if outage in ("network", "guard"):
                with pytest.raises((TransientError, GuardError)):
                    bridge.run_due("acme")
            elif outage is None:
                assert bridge.run_due("acme") is not None
    outage, job.crm.org_id = None, "org-1"
    clock.advance(hours=8)
    job.run()
    job.look()
    assert Counter(job.told) == +expected
    open_now: set[str] = set()
    for kind, state in job.told:
        assert (state == "raised") == (kind not in open_now), "begun and ended in turns"
        open_now ^= {kind}
    assert not open_now
    found = job.runs()
    slots = [run.slot for run in found]
    assert len(set(slots)) == len(slots)
    assert Counter(run.status for run in found).keys() <= {"done", "failed", "stopped"}
    for run in found:
        states = ("pending", "sent", "same", "rejected")
        assert sum(int(run.summary.get(state, 0)) for state in states) == run.summary.get("planned", 0)
    files = list((folder / "lake").rglob("*.parquet"))
    assert len(files) < 40, "the lake's files stay few"
    Recorder.told = []


def test_a_month_of_outages_is_told_outage_by_outage(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    unattended(folder, clock, monkeypatch, runs=30, seed=3)


@pytest.mark.long
def test_two_years_of_outages_are_told_outage_by_outage(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    unattended(folder, clock, monkeypatch, runs=3000, seed=4)
