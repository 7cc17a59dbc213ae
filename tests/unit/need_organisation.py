"""A small organisation with a known truth, for the tests of Need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from crmbridge.metrics.base import Frame
from crmbridge.model.columns import to_table
from crmbridge.model.records import Activity, Lead, ObjectName

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
SOURCES = ("Referral", "Web", "Cold call")
EFFECTS = {"Referral": 1.2, "Web": 0.0, "Cold call": -1.0}


def chance(source: str, budget: float) -> float:
    """The true chance that such a lead converts."""
    return float(1.0 / (1.0 + np.exp(1.5 - EFFECTS[source] - 0.8 * budget)))


def leads(
    number: int,
    *,
    seed: int = 1,
    until: datetime = NOW,
    days: int = 900,
    extra: Mapping[str, Any] | None = None,
) -> list[Lead]:
    """Leads over `days` days, each decided within 60 days of creation by its true chance."""
    chances = np.random.default_rng(seed)
    found = []
    for row in range(number):
        source = SOURCES[int(chances.integers(3))]
        budget = float(chances.normal())
        created = until - timedelta(days=float(chances.uniform(0, days)))
        end = created + timedelta(days=float(chances.uniform(0.5, 60)))
        won = bool(chances.uniform() < chance(source, budget))
        decided = end <= until
        found.append(
            Lead(
                id=f"L{row:06d}",
                created_at=created,
                lead_source=source,
                is_converted=decided and won,
                converted_at=end if decided and won else None,
                is_disqualified=decided and not won,
                closed_at=end if decided else None,
                attributes={"budget": round(budget, 3), **(extra or {})},
            )
        )
    return found


def calls(of: Sequence[Lead], *, seed: int = 2, until: datetime = NOW) -> list[Activity]:
    """Up to five calls to each lead between its creation and its end."""
    chances = np.random.default_rng(seed)
    found = []
    for lead in of:
        assert lead.created_at is not None
        last = lead.closed_at or until
        for number in range(int(chances.integers(6))):
            started = lead.created_at + (last - lead.created_at) * float(chances.uniform())
            found.append(
                Activity(
                    id=f"A{lead.id}{number}",
                    kind="call",
                    direction="outbound",
                    lead_id=lead.id,
                    started_at=started,
                    duration=float(chances.integers(30, 600)),
                    outcome="connected" if chances.uniform() < 0.4 else "no_answer",
                    is_completed=True,
                )
            )
    return found


def frame(
    records: Mapping[ObjectName, Sequence[Any]], *, moment: datetime = NOW, batch: int | None = None
) -> Frame:
    """A frame of records; `batch` cuts what it yields into batches of so many rows."""
    made = Frame.of(
        {name: to_table(name, rows) for name, rows in records.items()}, moment=moment, zone=BERLIN
    )
    if batch is None:
        return made

    def cut(scan: Any) -> Any:
        def scanned(name: ObjectName, columns: Sequence[str]) -> Any:
            for part in scan(name, columns):
                for start in range(0, part.num_rows, batch):
                    yield part.slice(start, batch)

        return scanned

    return Frame(moment, BERLIN, cut(made.scan), cut(made.versions), made.attribute_names)


def with_versions(tables: Mapping[ObjectName, pa.Table], versions: Mapping[ObjectName, pa.Table]) -> Frame:
    """A frame whose records have had other versions before."""
    now = Frame.of(tables, moment=NOW, zone=BERLIN)
    then = Frame.of({**tables, **versions}, moment=NOW, zone=BERLIN)
    return Frame(NOW, BERLIN, now.scan, then.scan, now.attribute_names)
