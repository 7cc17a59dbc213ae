"""`crmbridge demo`: a sample organisation, the main job on it, and the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from crmbridge import config
from crmbridge.bridge import Bridge
from crmbridge.demo.generate import generate
from crmbridge.errors import SettingsError
from crmbridge.report.explain import Explanation
from crmbridge.store.ledger import Run

CONNECTION: Final = "demo"
SETTINGS: Final = config.FILE_NAME


@dataclass(frozen=True)
class DemoResult:
    """What the demo did: two runs (the second must write nothing), one lead explained, the report's place."""

    directory: Path
    first: Run
    second: Run
    lead: Explanation | None
    report: Path


def run_demo(
    directory: Path,
    *,
    seed: int,
    clock: Callable[[], datetime],
    log: Callable[..., None],
    progress: Callable[[str, int, int | None], None],
    say: Callable[[str], None],
) -> DemoResult:
    """Make the organisation unless it is there already, sync it twice, explain its best lead, write the
    report.
    """
    settings = directory / SETTINGS
    if settings.exists():
        say(f"Using the organisation already in {directory}.")
    elif directory.exists() and any(directory.iterdir()):
        raise SettingsError(
            f"{directory} is not empty and holds no sample.", remedy="Name another folder with --dir."
        )
    else:
        say(f"Making a sample organisation in {directory} ...")
        generate(directory, seed=seed, moment=clock())
    with Bridge.open(settings, clock=clock, log=log, progress=progress) as bridge:
        say("First run: pull, score, plan, write, verify ...")
        first = bridge.sync(CONNECTION, approve="yes")
        say("Second run, nothing having changed ...")
        second = bridge.sync(CONNECTION, approve="yes")
        report = bridge.report(CONNECTION, directory / "report.html")
        best = _best_lead(bridge, clock())
        lead = bridge.explain(CONNECTION, "lead", best) if best else None
    return DemoResult(directory, first, second, lead, report)


def _best_lead(bridge: Bridge, moment: datetime) -> str | None:
    best: tuple[float, str] | None = None
    for batch in bridge.lake.scan(CONNECTION, "result/need/lead", ["id", "score"], at=moment):
        for record, score in zip(batch["id"].to_pylist(), batch["score"].to_pylist(), strict=True):
            if score is not None and (best is None or (score, record) > best):
                best = (score, record)
    return best[1] if best else None
