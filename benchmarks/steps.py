"""The steps that are measured, each on the organisation in a folder, and what it is aimed at.

A step with `prepare` needs something made first that is not part of its work; that is done before, in a
process of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from pydantic import SecretStr

from crmbridge.bridge import Bridge
from crmbridge.connectors.base import Context
from crmbridge.connectors.files import FilesConnector
from crmbridge.connectors.files import Options as FilesOptions
from crmbridge.demo.generate import generate
from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.need import NeedMetric
from crmbridge.metrics.need.inputs import FIELDS
from crmbridge.model.columns import attribute_column, schema
from crmbridge.model.fields import CORE, hubspot_name, result_schema
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger
from crmbridge.writeback.files import FilesWriter
from crmbridge.writeback.plan import plan_object, rows

MOMENT: Final = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DEMO: Final = "demo"
MODEL_ROWS: Final = 200_000
"""The decoder through models is measured on the first so many rows: it costs the same for each."""
INPUTS: Final = 30
WIDE: Final = "wide"
"""The connection whose leads have 30 inputs and nothing else."""
SLICE: Final = 250_000


@dataclass(frozen=True)
class Step:
    """`run` works on a folder and returns how many records it dealt with; `aim` is in CPU s per 100,000."""

    name: str
    run: Callable[[Path], int]
    aim: float | None = None
    prepare: Callable[[Path], None] | None = None


def make(folder: Path, leads: int, activities: int) -> None:
    """A sample organisation that writes the core fields."""
    generate(
        folder, seed=7, moment=MOMENT, leads=leads, activities=activities, deals=leads // 2, orders=leads // 2
    )
    settings = folder / "crmbridge.toml"
    core, found = re.subn(
        r"(?s)\nfields = \[\n.*?\n\]\n", "\n", settings.read_text(encoding="utf-8"), count=1
    )
    assert found, "the demo's settings choose their fields in another way now"
    settings.write_text(core, encoding="utf-8")


def pull(folder: Path) -> int:
    with bridge(folder) as opened:
        pulled = opened.pull(DEMO, at=MOMENT).summary["pulled"]
    assert isinstance(pulled, dict)
    return sum(int(str(number)) for number in pulled.values())


def pull_models(folder: Path) -> int:
    """Decode through the models alone, without the store."""
    with bridge(folder) as opened:
        options = opened.connection(DEMO).options
    assert isinstance(options, FilesOptions)
    records = 0
    for page in FilesConnector(_context(options), decoder="models").pull("lead", None):
        records += len(page.records)
        if records >= MODEL_ROWS:
            break
    return records


def score(folder: Path) -> int:
    """All metrics on all objects, fitted and stored."""
    with bridge(folder) as opened:
        return int(str(opened.score(DEMO, at=MOMENT).summary["scored"]))


def widen(folder: Path) -> None:
    """Give the leads as many attributes as makes 30 inputs with their own fields and their age.

    What the attributes say is drawn: it costs as much to learn that they mean nothing. Half are numbers, half
    choices of eight; one in ten is empty.
    """
    draw = np.random.default_rng(7)
    names = [name for name in schema("lead").names if name != "absent"]
    with _store(folder) as (ledger, lake):
        run = ledger.start_run(WIDE, "pull", MOMENT).id
        leads = pa.Table.from_batches(list(lake.scan(DEMO, "lead", names, at=MOMENT)))
        for start in range(0, leads.num_rows, SLICE):
            part = leads.slice(start, SLICE)
            for number in range(INPUTS - len(FIELDS["lead"]) - 1):
                if number % 2:
                    drawn = np.round(draw.lognormal(3, 1, part.num_rows), 2).astype(str)
                else:
                    drawn = np.char.add('"Choice ', draw.integers(1, 9, part.num_rows).astype(str))
                cells = pa.array(drawn, pa.string(), mask=draw.random(part.num_rows) < 0.1)
                part = part.append_column(attribute_column(f"Attribute {number + 1}"), cells)
            lake.append(WIDE, "lead", part, run=run, seen_at=MOMENT)


def score_leads(folder: Path) -> int:
    """Need on leads with 30 inputs: it is fitted on the closed ones and scores the open ones."""
    with _store(folder) as (_, lake):
        frame = Frame(
            moment=MOMENT,
            zone=ZoneInfo("Europe/Berlin"),
            scan=partial(lake.scan, WIDE, at=MOMENT),
            versions=partial(lake.versions, WIDE, at=MOMENT),
            attribute_names=partial(lake.attribute_names, WIDE),
        )
        need = NeedMetric(MetricSettings())
        need.apply("lead", frame, need.fit("lead", frame))
        return lake.live_count(WIDE, "lead")


def plan(folder: Path) -> int:
    with bridge(folder) as opened:
        return int(str(opened.plan(DEMO, at=MOMENT).summary["planned"]))


def move_scores(folder: Path) -> None:
    """New results for as many leads as there are, and a scores file that holds other values for all of them.

    The texts are those of the organisation's own leads.
    """
    place = folder / "changed"
    (place / "scores").mkdir(parents=True)
    with _store(folder) as (_, lake):
        keys = [name for name in result_schema("lead", CORE).names if name not in ("scored_at", "model")]
        known = pa.Table.from_batches(list(lake.scan(DEMO, "result/need/lead", keys, at=MOMENT)))
        count = lake.live_count(DEMO, "lead")
    new = known.take(pa.array(np.arange(count) % known.num_rows))
    ids = pa.array(np.char.add("L", np.arange(count).astype(str)), pa.string())
    new = new.set_column(0, "id", ids)
    stamp = {"scored_at": "2026-11-24T12:00:00Z", "model": "need-lead-0a1b2c3d"}
    for name, value in stamp.items():
        new = new.append_column(name, pa.repeat(pa.scalar(value), count))
    new = new.select(result_schema("lead", CORE).names)
    pq.write_table(new, place / "results.parquet")
    scores = new["score"].to_numpy()
    held = new.set_column(1, "score", pa.array(np.round(np.where(scores < 50, scores + 5, scores - 5), 2)))
    held = held.rename_columns(["id", *map(hubspot_name, new.column_names[1:])])
    pa_csv.write_csv(held, place / "scores" / "lead.csv")


def plan_changed(folder: Path) -> int:
    """Compare results with what is held, all of it different, and store the plan."""
    place = folder / "changed"
    writer = FilesWriter(_context(FilesOptions(path=place)))
    with Ledger.open(f"sqlite:///{place / 'crmbridge.db'}", clock=lambda: MOMENT) as ledger:
        run = ledger.start_run(DEMO, "plan", MOMENT).id
        results = pq.ParquetFile(place / "results.parquet").read()
        found = plan_object("lead", results, writer=writer, held=None, fields=CORE, dead_band=1.0)
        stored = ledger.store_plan(
            run, DEMO, "write", MOMENT, rows([found]), status="awaiting_approval", guards={}
        )
        return ledger.counts(stored.id).planned


def apply(folder: Path) -> int:
    with bridge(folder) as opened:
        stored = opened.ledger.plans(DEMO, 1)[0]
        return int(str(opened.apply(stored.id, override=tuple(stored.guards)).summary["sent"]))


STEPS: Final = (
    Step("pull", pull, aim=2.5),
    Step("pull through models", pull_models, aim=6.0),
    Step("fit and score", score),
    Step(f"fit and score x {INPUTS}", score_leads, aim=2.0, prepare=widen),
    Step("plan", plan),
    Step("plan, all changed", plan_changed, aim=2.0, prepare=move_scores),
    Step("apply and verify", apply),
)


def bridge(folder: Path) -> Bridge:
    return Bridge.open(folder / "crmbridge.toml", clock=lambda: MOMENT)


@contextmanager
def _store(folder: Path) -> Iterator[tuple[Ledger, Lake]]:
    with bridge(folder) as opened:
        yield opened.ledger, opened.lake


def _context(options: FilesOptions) -> Context:
    return Context(
        connection=DEMO,
        options=options,
        secret=_no_secret,
        clock=lambda: MOMENT,
        zone=ZoneInfo("Europe/Berlin"),
        fields=CORE,
    )


def _no_secret(name: str) -> SecretStr:
    raise KeyError(name)
