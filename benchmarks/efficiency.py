"""E, R and O over many activities, beside polars doing the same sums from the same files.

    python -m benchmarks.efficiency [--activities 50000000] [--dir DIR]

Each runs in a process of its own; CPU and time are counted from after the imports. polars sums up what the
metric sums up: per rep, account, deal and channel in this window and the one before, per month, and the hours
of each deal from its first communication on. The metric makes rates with intervals, trends and rankings of
those of reps, teams, deal types and channels besides. That both have the same sums is checked.

Aim, on 2 cores: at most twice the CPU of polars, and a peak below 2,048 MiB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crmbridge.metrics.base import Frame, MetricSettings, column_type
from crmbridge.metrics.days import DAY, HOUR, micros, window_start
from crmbridge.metrics.efficiency import EfficiencyMetric
from crmbridge.metrics.efficiency.tally import COMMUNICATIONS, LONGEST, POSITIVE
from crmbridge.model.columns import schema
from crmbridge.model.records import ObjectName

MOMENT: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)
ZONE: Final = ZoneInfo("Europe/Berlin")
WINDOW: Final = 90
REPS: Final = 200
PER_ACCOUNT, PER_DEAL, PER_ORDER = 500, 100, 50
"""Activities."""
PART: Final = 1_000_000
RATIO, PEAK_MIB = 2.0, 2048
KINDS: Final = ("call", "meeting", "email", "task", "note")
OUTCOMES: Final = ("connected", "no_answer", "voicemail", "held", "replied", "sent")
CHECKED: Final = (
    "communications",
    "successes",
    "communication_hours",
    "won",
    "follow_up_hours",
    "processing_days",
)


def make(folder: Path, activities: int) -> None:
    """The organisation as Parquet files, as the lake has them: three years, a third of it unmeasured."""
    draw = np.random.default_rng(7)
    now = micros(MOMENT)
    n_accounts, n_deals, n_orders = (activities // per for per in (PER_ACCOUNT, PER_DEAL, PER_ORDER))

    def ids(prefix: str, drawn: Any, missing: float = 0.0) -> pa.Array:
        known = pa.array(np.char.add(prefix, np.char.zfill(drawn.astype(str), 9)), pa.string())
        return pa.array(known.to_pylist(), mask=draw.random(len(drawn)) < missing) if missing else known

    def pool(prefix: str, number: int) -> pa.Array:
        return ids(prefix, np.arange(number))

    def pick(values: pa.Array, rows: int, missing: float = 0.0) -> pa.Array:
        place = draw.integers(0, len(values), rows)
        return values.take(pa.array(place, mask=draw.random(rows) < missing))

    def moments(past: Any) -> pa.Array:
        return pa.array(now - past.astype(np.int64)).cast(pa.timestamp("us", tz="UTC"))

    def write(object_name: ObjectName, columns: dict[str, pa.Array], part: int = 0) -> None:
        rows = len(next(iter(columns.values())))
        table = pa.table(
            {
                field.name: columns.get(field.name, pa.nulls(rows, field.type)).cast(field.type)
                for field in schema(object_name)
            }
        )
        pq.write_table(table, folder / f"{object_name}-{part:04d}.parquet", compression="zstd")

    reps, accounts, deals = pool("005", REPS), pool("001", n_accounts), pool("006", n_deals)
    roles = pa.array(["Inside", "Field", "Key accounts"])
    write("rep", {"id": reps, "role": pick(roles, REPS)})
    write("account", {"id": accounts})
    closed = draw.random(n_deals) < 0.8
    write(
        "deal",
        {
            "id": deals,
            "account_id": pick(accounts, n_deals),
            "owner_id": pick(reps, n_deals),
            "type": pick(pa.array(["New", "Existing", "Renewal"]), n_deals, 0.1),
            "is_closed": pa.array(closed),
            "is_won": pa.array(closed & (draw.random(n_deals) < 0.3)),
            "closed_at": moments(draw.random(n_deals) * 900 * DAY),
        },
    )
    ordered = draw.random(n_orders) * 900 * DAY
    write(
        "order",
        {
            "id": pool("801", n_orders),
            "account_id": pick(accounts, n_orders),
            "owner_id": pick(reps, n_orders),
            "deal_id": pick(deals, n_orders, 0.5),
            "ordered_at": moments(ordered),
            "fulfilled_at": moments(ordered - draw.exponential(6, n_orders) * DAY),
        },
    )
    kinds, outcomes = pa.array(KINDS), pa.array(OUTCOMES)
    for part, begin in enumerate(range(0, activities, PART)):
        rows = min(PART, activities - begin)
        began = draw.random(rows) * 1095 * DAY
        write(
            "activity",
            {
                "id": ids("00T", np.arange(begin, begin + rows)),
                "kind": pick(kinds, rows),
                "owner_id": pick(reps, rows),
                "account_id": pick(accounts, rows, 0.4),
                "deal_id": pick(deals, rows, 0.3),
                "started_at": moments(began),
                "created_at": moments(began + HOUR),
                "ended_at": moments(began - draw.exponential(0.5, rows) * HOUR),
                "duration": pa.array(draw.exponential(600, rows), mask=draw.random(rows) < 0.33),
                "outcome": pick(outcomes, rows, 0.2),
                "is_completed": pa.array(draw.random(rows) < 0.97),
            },
            part,
        )


def with_metric(folder: Path) -> dict[str, float]:
    """The metric on the files, for reps, with all that is told along with them; its sums."""

    def scan(object_name: ObjectName, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        types = pa.schema([pa.field(name, column_type(object_name, name)) for name in columns])
        for path in sorted(folder.glob(f"{object_name}-*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches(1 << 20, columns=list(columns)):
                yield batch.select(columns).cast(types)

    frame = Frame(moment=MOMENT, zone=ZONE, scan=scan, versions=scan, attribute_names=lambda _: ())
    metric = EfficiencyMetric(MetricSettings(window_days=WINDOW))
    results = metric.apply("rep", frame, metric.fit("rep", frame))
    window = results.tables["efficiency_total"].to_pylist()[0]
    return {name: float(window[name]) for name in CHECKED}


def with_polars(folder: Path) -> dict[str, float]:
    """The same sums by polars, in its streaming engine, each file read as few times as it finds possible."""
    import polars as pl

    start, before = (window_start(MOMENT, ZONE, days) for days in (WINDOW, 2 * WINDOW))
    seconds = pl.col("duration")
    spanned = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds() / 1e6
    seconds = pl.when((pl.col("kind") == "meeting") & seconds.is_null()).then(spanned).otherwise(seconds)
    deals = pl.scan_parquet(folder / "deal-*.parquet")
    done = (
        pl.scan_parquet(folder / "activity-*.parquet")
        .with_columns(at=pl.coalesce("started_at", "created_at"), seconds=seconds)
        .filter(pl.col("is_completed").fill_null(True) & (pl.col("at") <= MOMENT))
        .with_columns(hours=pl.when(pl.col("seconds").is_between(0, LONGEST)).then(pl.col("seconds") / 3600))
    )
    of_deal = deals.select(deal_id="id", deal_account="account_id")
    spoken = (
        done.filter(pl.col("kind").is_in(COMMUNICATIONS))
        .join(of_deal, on="deal_id", how="left")
        .with_columns(account_id=pl.coalesce("account_id", "deal_account"))
    )
    measured = pl.col("hours").is_not_null()
    sums = [
        pl.len().alias("communications"),
        measured.sum().alias("measured"),
        pl.col("outcome").is_not_null().sum().alias("outcomes_known"),
        (pl.col("outcome").is_in(POSITIVE) & measured).sum().alias("successes"),
        pl.col("hours").sum().alias("communication_hours"),
    ]
    recent = spoken.filter(pl.col("at") >= before).with_columns(now=pl.col("at") >= start)
    groups = [recent.group_by(key, "now").agg(sums) for key in ("owner_id", "account_id", "deal_id", "kind")]
    month = pl.col("at").dt.convert_time_zone(str(ZONE)).dt.truncate("1mo")
    groups.append(spoken.group_by(month).agg(sums))
    first = spoken.group_by("deal_id").agg(first=pl.col("at").min())
    spent = (
        done.filter(measured)
        .join(first, on="deal_id")
        .filter(pl.col("at") >= pl.col("first"))
        .group_by("deal_id")
        .agg(follow_up_hours=pl.col("hours").sum())
    )
    closed = (
        deals.filter(pl.col("is_closed") & (pl.col("closed_at") >= start) & (pl.col("closed_at") <= MOMENT))
        .join(spent, left_on="id", right_on="deal_id", how="left")
        .group_by("owner_id")
        .agg(won=pl.col("is_won").sum(), follow_up_hours=pl.col("follow_up_hours").sum())
    )
    wall = [
        pl.col(name).dt.convert_time_zone(str(ZONE)).dt.replace_time_zone(None)
        for name in ("ordered_at", "fulfilled_at")
    ]
    fulfilled = (
        pl.scan_parquet(folder / "order-*.parquet")
        .filter((pl.col("fulfilled_at") >= start) & (pl.col("fulfilled_at") <= MOMENT))
        .filter(pl.col("fulfilled_at") >= pl.col("ordered_at"))
        .group_by("owner_id")
        .agg(orders=pl.len(), processing_days=((wall[1] - wall[0]).dt.total_microseconds() / DAY).sum())
    )
    found = pl.collect_all([*groups, closed, fulfilled], engine="streaming")
    window = found[0].filter("now")
    tables = dict.fromkeys(CHECKED[:3], window) | dict.fromkeys(CHECKED[3:5], found[-2])
    tables[CHECKED[5]] = found[-1]
    return {name: float(table[name].sum()) for name, table in tables.items()}


WORK: Final[dict[str, Callable[[Path], dict[str, float]]]] = {"crmbridge": with_metric, "polars": with_polars}


def same(own: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether both have the same sums."""
    return all(np.isclose(own[name], other[name], rtol=1e-9) for name in CHECKED)


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Do one's work in this process."""
    if name == "polars":
        import polars  # noqa: F401 - its import is not its work
    cpu, began = time.process_time(), time.perf_counter()
    sums = WORK[name](folder)
    return {
        "cpu": time.process_time() - cpu,
        "seconds": time.perf_counter() - began,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "sums": sums,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--activities", type=int, default=50_000_000)
    parser.add_argument("--dir", type=Path, help="where to work; default: the system's temporary folder")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.work == "make":
        make(chosen.dir, chosen.activities)
        return
    if chosen.work:
        print(json.dumps(measure(chosen.work, chosen.dir)))
        return
    with tempfile.TemporaryDirectory(dir=chosen.dir) as scratch:
        _alone("make", scratch, "--activities", str(chosen.activities))
        found = {name: json.loads(_alone(name, scratch)) for name in WORK}
    print(f"{chosen.activities:,} activities")
    for name, each in found.items():
        figures = f"CPU {each['cpu']:7.1f} s   time {each['seconds']:7.1f} s   peak {each['mib']:6.0f} MiB"
        print(f"{name:12} {figures}")
    own, other = found["crmbridge"], found["polars"]
    assert same(own["sums"], other["sums"])
    ratio = own["cpu"] / other["cpu"]
    holds = "yes" if ratio <= RATIO and own["mib"] < PEAK_MIB else "no"
    print(f"ratio of CPU {ratio:.2f} (aim {RATIO:.1f}, peak below {PEAK_MIB:,} MiB): {holds}")


def _alone(work: str, folder: str, *more: str) -> str:
    command = [sys.executable, "-m", "benchmarks.efficiency", "--work", work, "--dir", folder, *more]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
