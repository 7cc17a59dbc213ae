"""The main job's steps on a large organisation: records per second, CPU and peak memory of each.

    python -m benchmarks.run [--quick] [--leads 1000000] [--activities 10000000] [--dir DIR]

Each step runs in a process of its own, so that its peak memory is its own; its CPU is counted from after the
imports. The same is done at a tenth of the size: `linear` is how much more CPU a record costs at full size.

Aims, on 2 cores, for each 100,000 records: pull 2.5 s of CPU, pull through models 6 s, fit and score of leads
with 30 inputs 2 s, plan 2 s; for each step a peak below 2,048 MiB and cost that grows linearly.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.steps import STEPS, Step, make

PEAK_MIB: Final = 2048
LINEAR: Final = 1.25
"""A record may cost so much more in ten times as many: caches miss more often, and clocks are not exact."""
QUICK: Final = (20_000, 200_000)


@dataclass(frozen=True)
class Measured:
    """One step at one size. `cpu` and `seconds` (wall) are those of its work, `peak_mib` of its process."""

    records: int
    seconds: float
    cpu: float
    peak_mib: float

    @property
    def per_100k(self) -> float:
        """CPU seconds per 100,000 records."""
        return self.cpu / max(self.records, 1) * 1e5


def measure(step: Step, folder: Path) -> Measured:
    """Run a step in this process."""
    cpu, began = time.process_time(), time.perf_counter()
    records = step.run(folder)
    return Measured(
        records=records,
        seconds=time.perf_counter() - began,
        cpu=time.process_time() - cpu,
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def table(full: Mapping[str, Measured], tenth: Mapping[str, Measured]) -> str:
    """The figures of all steps beside the aims, and whether these hold."""
    heads = f"{'records':>12}{'records/s':>11}{'s':>8}{'CPU s/100k':>12}{'aim':>6}{'MiB':>7}{'linear':>8}"
    lines = [f"{'step':22}{heads}  holds"]
    for step in STEPS:
        found = full[step.name]
        linear = found.per_100k / max(tenth[step.name].per_100k, 1e-9)
        failed = [
            name
            for name, missed in (
                ("CPU", step.aim is not None and found.per_100k > step.aim),
                ("memory", found.peak_mib >= PEAK_MIB),
                ("linear", linear > LINEAR),
            )
            if missed
        ]
        aim = "-" if step.aim is None else f"{step.aim:.1f}"
        lines.append(
            f"{step.name:22}{found.records:12,}{found.records / found.seconds:11,.0f}{found.seconds:8.1f}"
            f"{found.per_100k:12.2f}{aim:>6}{found.peak_mib:7.0f}{linear:8.2f}"
            f"  {'no: ' + ', '.join(failed) if failed else 'yes'}"
        )
    return "\n".join([*lines, f"aims: CPU as above, memory < {PEAK_MIB:,} MiB, linear <= {LINEAR}"])


def _all_steps(folder: Path, leads: int, activities: int) -> dict[str, Measured]:
    _alone("make", folder, "--leads", str(leads), "--activities", str(activities))
    found = {}
    for step in STEPS:
        if step.prepare is not None:
            _alone(f"prepare {step.name}", folder)
        found[step.name] = Measured(**json.loads(_alone(step.name, folder)))
        print(f"# {leads:,} leads: {step.name}: {found[step.name].cpu:.1f} s of CPU", flush=True)
    return found


def _alone(work: str, folder: Path, *more: str) -> str:
    """Do one piece of work in a process of its own; returns what it prints."""
    command = [sys.executable, "-m", "benchmarks.run", "--work", work, "--dir", str(folder), *more]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _work(name: str, folder: Path, leads: int, activities: int) -> None:
    if name == "make":
        make(folder, leads, activities)
        return
    step = next(step for step in STEPS if step.name == name.removeprefix("prepare "))
    if step.name == name:
        print(json.dumps(asdict(measure(step, folder))))
    elif step.prepare is not None:
        step.prepare(folder)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--leads", type=int, default=1_000_000)
    parser.add_argument("--activities", type=int, default=10_000_000)
    parser.add_argument("--quick", action="store_true", help="a minute's look instead: 20,000 leads")
    parser.add_argument("--dir", type=Path, help="where to work; default: the system's temporary folder")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.work:
        _work(chosen.work, chosen.dir, chosen.leads, chosen.activities)
        return
    leads, activities = QUICK if chosen.quick else (chosen.leads, chosen.activities)
    with tempfile.TemporaryDirectory(dir=chosen.dir) as scratch:
        tenth = _all_steps(Path(scratch) / "tenth", leads // 10, activities // 10)
        full = _all_steps(Path(scratch) / "full", leads, activities)
    print(table(full, tenth))


if __name__ == "__main__":
    main()
