"""The main job's steps on a large organisation: records per second, CPU and peak memory of each.

    python -m benchmarks.run [--leads 1000000] [--activities 10000000] [--dir DIR]

Each step runs in a process of its own, so that its peak memory is its own. The same is done at a tenth of the
size; the last column is how much more CPU a record costs at full size (1.0 is linear).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crmbridge.bridge import Bridge
from crmbridge.connectors.base import Context
from crmbridge.connectors.files import FilesConnector
from crmbridge.demo.generate import generate
from crmbridge.model.fields import CORE

MOMENT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
CONNECTION = "demo"
MODEL_ROWS = 200_000
"""The decoder through models is measured on the first so many rows: it costs the same for each."""


def make(folder: Path, leads: int, activities: int) -> int:
    generate(
        folder, seed=7, moment=MOMENT, leads=leads, activities=activities, deals=leads // 2, orders=leads // 2
    )
    return leads + activities


def pull(folder: Path) -> int:
    with bridge(folder) as opened:
        pulled = opened.pull(CONNECTION, at=MOMENT).summary["pulled"]
    assert isinstance(pulled, dict)
    return sum(int(str(number)) for number in pulled.values())


def pull_models(folder: Path) -> int:
    """Decode through the models alone, without the store."""
    with bridge(folder) as opened:
        connection = opened.connection(CONNECTION)
        context = Context(
            connection=CONNECTION,
            options=connection.options,
            secret=lambda name: (_ for _ in ()).throw(KeyError(name)),
            clock=lambda: MOMENT,
            zone=connection.zone,
            fields=CORE,
        )
        records = 0
        for page in FilesConnector(context, decoder="models").pull("lead", None):
            records += page.records.num_rows if hasattr(page.records, "num_rows") else len(page.records)
            if records >= MODEL_ROWS:
                break
    return records


def score(folder: Path) -> int:
    with bridge(folder) as opened:
        opened.score(CONNECTION, at=MOMENT)
        return sum(opened.lake.live_count(CONNECTION, name) for name in ("lead", "deal", "account"))


def plan(folder: Path) -> int:
    with bridge(folder) as opened:
        planned = opened.plan(CONNECTION, at=MOMENT).summary["planned"]
    return int(str(planned))


def apply(folder: Path) -> int:
    with bridge(folder) as opened:
        stored = opened.ledger.plans(CONNECTION, 1)[0]
        return int(str(opened.apply(stored.id, override=tuple(stored.guards)).summary["sent"]))


STEPS: dict[str, Callable[[Path], int]] = {
    "pull": pull,
    "pull through models": pull_models,
    "fit and score": score,
    "plan": plan,
    "apply and verify": apply,
}


def bridge(folder: Path) -> Bridge:
    return Bridge.open(folder / "crmbridge.toml")


def measured(step: str, folder: Path) -> dict[str, Any]:
    """Run one step in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "--step", step, "--dir", str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run_step(step: str, folder: Path) -> None:
    began = time.perf_counter()
    records = STEPS[step](folder)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    out = {
        "records": records,
        "seconds": time.perf_counter() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }
    print(json.dumps(out))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--leads", type=int, default=1_000_000)
    parser.add_argument("--activities", type=int, default=10_000_000)
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        run_step(chosen.step, chosen.dir)
        return
    with tempfile.TemporaryDirectory(dir=chosen.dir) as scratch:
        sizes = {}
        for share in (10, 1):
            folder = Path(scratch) / str(share)
            began = time.perf_counter()
            made = make(folder, chosen.leads // share, chosen.activities // share)
            print(f"# made {made:,} leads and activities in {time.perf_counter() - began:.0f} s", flush=True)
            sizes[share] = {step: measured(step, folder) for step in STEPS}
        print(f"{'step':22}{'records':>12}{'records/s':>12}{'CPU s/100k':>12}{'s':>8}{'MiB':>8}{'linear':>8}")
        for step in STEPS:
            full, tenth = sizes[1][step], sizes[10][step]
            each = full["cpu"] / max(full["records"], 1)
            ratio = each / (tenth["cpu"] / max(tenth["records"], 1))
            print(
                f"{step:22}{full['records']:12,}{full['records'] / full['seconds']:12,.0f}"
                f"{each * 1e5:12.2f}{full['seconds']:8.1f}{full['peak_mib']:8.0f}{ratio:8.2f}"
            )


if __name__ == "__main__":
    main()
