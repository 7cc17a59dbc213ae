"""The API budget: what runs will need, from what they needed, against the connection's share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Final

from crmbridge.store.ledger import Run
from crmbridge.timetable import Timetable

HISTORY: Final = 30
"""The forecast looks back over so many runs."""
DAY: Final = timedelta(days=1)
_ENDED: Final = ("done", "partly", "awaiting_approval")


@dataclass(frozen=True)
class Forecast:
    """Calls of one run and of a day, and what may be used.

    `calls_a_run` is the median of the last runs, `calls_a_busy_run` what nine of ten stay below;
    `daily_limit` the vendor's, for all integrations together, once a run has heard it; `share` the calls a
    day that this connection may make of it. None is: not known yet.
    """

    connection: str
    runs_known: int
    calls_a_run: int | None
    calls_a_busy_run: int | None
    runs_a_day: int | None
    calls_a_day: int | None
    spent_today: int
    daily_limit: int | None
    share: int | None

    @property
    def uses_an_api(self) -> bool:
        """Whether there is anything to plan: files have no limit."""
        return bool(self.daily_limit or self.spent_today or self.calls_a_run)

    @property
    def is_short(self) -> bool:
        """Whether the runs of a day will need more than the share."""
        return self.share is not None and self.calls_a_day is not None and self.calls_a_day > self.share

    @property
    def sentence(self) -> str:
        """The forecast in words."""
        if self.calls_a_run is None:
            return f"{self.spent_today:,} calls in the last 24 hours; no run to forecast from yet"
        parts = [f"about {self.calls_a_run:,} calls a run (busy: {self.calls_a_busy_run:,})"]
        if self.calls_a_day is not None:
            parts.append(f"{self.calls_a_day:,} a day in {self.runs_a_day:,} runs")
        parts.append(f"{self.spent_today:,} in the last 24 hours")
        if self.share is not None:
            parts.append(f"share {self.share:,} of {self.daily_limit:,} a day")
        return ", ".join(parts)


def forecast(
    connection: str,
    runs: Sequence[Run],
    *,
    timetable: Timetable | None,
    spent_today: int,
    api_budget: float,
    now: datetime,
    daily_limit: int | None = None,
) -> Forecast:
    """What the connection's runs will need; `runs` are its last ones, newest first.

    The vendor's daily limit is `daily_limit`, or what the last run that heard it has noted.
    """
    syncs = [
        run for run in runs if run.kind == "sync" and run.status in _ENDED and not run.summary.get("dry_run")
    ][:HISTORY]
    calls = sorted(run.api_calls for run in syncs)
    a_run = round(median(calls)) if calls else None
    a_day = sum(1 for _ in timetable.slots(now, now + DAY)) if timetable else None
    limits = (daily_limit, *(run.summary.get("daily_limit") for run in runs))
    limit = next((each for each in limits if isinstance(each, int)), None)
    return Forecast(
        connection=connection,
        runs_known=len(syncs),
        calls_a_run=a_run,
        calls_a_busy_run=calls[math.ceil(0.9 * len(calls)) - 1] if calls else None,
        runs_a_day=a_day,
        calls_a_day=None if a_run is None or a_day is None else a_run * a_day,
        spent_today=spent_today,
        daily_limit=limit,
        share=None if limit is None else int(limit * api_budget),
    )
