"""What a report is made of: small tables and cards, gathered once, so that drawing needs no store.

Every number a page shows stands in here. Scores are percent (0 to 100), shares are 0 to 1, times are days or
hours as named, money is in the table's own `currency`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import pyarrow as pa

from crmbridge.model.records import ObjectName
from crmbridge.report.cards import Card
from crmbridge.report.sections import Section
from crmbridge.store.ledger import Counts, Plan, Run

BIN: Final = 5
"""Scores are counted in bins of this many points."""
LEADS_STAGE: Final = "All leads"
"""The name of the leads' row in the funnel, before the stages of the deals."""

BINS: Final = pa.schema([("low", pa.int64()), ("grade", pa.string()), ("records", pa.int64())])
FUNNEL: Final = pa.schema(
    [
        ("stage", pa.string()),
        ("entered", pa.int64()),
        ("moved_on", pa.int64()),
        ("moved_back", pa.int64()),
        ("lost", pa.int64()),
        ("still_open", pa.int64()),
        ("median_days", pa.float64()),
    ]
)
STAGES: Final = pa.schema(
    [
        ("stage", pa.string()),
        ("currency", pa.string()),
        ("stuck", pa.bool_()),
        ("deals", pa.int64()),
        ("amount", pa.float64()),
        ("expected", pa.float64()),
    ]
)
DEALS: Final = pa.schema(
    [
        ("id", pa.string()),
        ("name", pa.string()),
        ("account", pa.string()),
        ("owner", pa.string()),
        ("stage", pa.string()),
        ("amount", pa.float64()),
        ("currency", pa.string()),
        ("expected", pa.float64()),
        ("score", pa.float64()),
        ("score_low", pa.float64()),
        ("score_high", pa.float64()),
        ("grade", pa.string()),
        ("score_trend", pa.string()),
        ("days_in_stage", pa.float64()),
        ("typical_days", pa.float64()),
        ("stuck", pa.bool_()),
        ("reasons_up", pa.string()),
        ("reasons_down", pa.string()),
        ("next_action", pa.string()),
    ]
)
LEADS: Final = pa.schema(
    [
        ("id", pa.string()),
        ("name", pa.string()),
        ("company", pa.string()),
        ("owner", pa.string()),
        ("created_at", pa.timestamp("us", tz="UTC")),
        ("score", pa.float64()),
        ("score_low", pa.float64()),
        ("score_high", pa.float64()),
        ("grade", pa.string()),
        ("score_trend", pa.string()),
        ("reasons_up", pa.string()),
        ("reasons_down", pa.string()),
        ("next_action", pa.string()),
    ]
)
EFFICIENCIES: Final = ("communication_efficiency", "follow_up_efficiency", "order_efficiency")
TRENDS: Final = {key: f"{key.removesuffix('_efficiency')}_trend" for key in EFFICIENCIES}
"""The column that says where an efficiency has been going: rising, falling, unclear."""
COVERAGES: Final = dict(
    zip(EFFICIENCIES, ("time_coverage", "follow_up_coverage", "order_coverage"), strict=True)
)
"""The column that says of what share of its events an efficiency knows the time."""
_RATES: Final = [(f"{key}{end}", pa.float64()) for key in EFFICIENCIES for end in ("", "_low", "_high")]
_BESIDE: Final = [
    *((name, pa.string()) for name in TRENDS.values()),
    *((name, pa.float64()) for name in COVERAGES.values()),
]
REPS: Final = pa.schema([("id", pa.string()), ("name", pa.string()), *_RATES, *_BESIDE])
GROUPS: Final = pa.schema([("name", pa.string()), *_RATES, *_BESIDE])
MONTHS: Final = pa.schema([("period", pa.string()), *_RATES])
SET_ASIDE: Final = pa.schema(
    [("object", pa.string()), ("place", pa.string()), ("reason", pa.string()), ("id", pa.string())]
)
REJECTED: Final = pa.schema(
    [("object", pa.string()), ("id", pa.string()), ("code", pa.string()), ("message", pa.string())]
)


@dataclass(frozen=True)
class Scores:
    """How the scores of one object's open records spread.

    `bins` counts them by `BIN` points and grade, `means` gives the mean score of each grade that occurs.
    """

    object: ObjectName
    scored: int
    abstained: int
    bins: pa.Table
    means: Mapping[str, float]

    @property
    def grades(self) -> dict[str, int]:
        """Records by grade, A to D; a grade nobody has is 0."""
        found = dict.fromkeys("ABCD", 0)
        for row in self.bins.to_pylist():
            found[row["grade"]] += row["records"]
        return found


@dataclass(frozen=True)
class Written:
    """The newest plan that had anything in it.

    `codes` counts the rows the CRM refused by its own code, `rejected` shows the first of them; `quiet` runs
    since then found nothing to write; `undone_by` is the run that took it back.
    """

    plan: Plan
    counts: Counts
    rejected: pa.Table
    codes: Mapping[str, int]
    quiet: int = 0
    undone_by: int | None = None


@dataclass(frozen=True)
class ReportData:
    """One connection as of `moment`; days and times are told in `zone`.

    `records` counts the live records of each object. `funnel` tells of leads, then of deals stage by stage
    (entered = moved_on + moved_back + lost + still_open), `figures` of closed deals (see the metric
    `pipeline`, table `deal_summary`). `funnel`, `stages` and `reps` are as wide as the
    organisation; `groups` has the same figures as `reps` per team, deal type and channel, `months` the
    organisation's efficiencies of the last months (`2026-03`); `deals` and `leads` hold the few worth a
    person's time today, best first; `deals_open` and `leads_open` say out of how many. `team` maps an
    efficiency's key to the organisation's own rate. `set_aside` belongs to
    `read_by`, the newest run that read anything. `sections` are the pages of tables on customers, the market
    and data quality.
    """

    connection: str
    moment: datetime
    zone: ZoneInfo
    records: Mapping[str, int]
    scores: tuple[Scores, ...] = ()
    cards: tuple[Card, ...] = ()
    funnel: pa.Table = field(default_factory=FUNNEL.empty_table)
    figures: Mapping[str, float | None] = field(default_factory=dict)
    stages: pa.Table = field(default_factory=STAGES.empty_table)
    deals: pa.Table = field(default_factory=DEALS.empty_table)
    deals_open: int = 0
    leads: pa.Table = field(default_factory=LEADS.empty_table)
    leads_open: int = 0
    reps: pa.Table = field(default_factory=REPS.empty_table)
    team: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, pa.Table] = field(default_factory=dict)
    months: pa.Table = field(default_factory=MONTHS.empty_table)
    sections: tuple[Section, ...] = ()
    set_aside: pa.Table = field(default_factory=SET_ASIDE.empty_table)
    set_aside_counts: Mapping[str, int] = field(default_factory=dict)
    read_by: Run | None = None
    written: Written | None = None
    runs: tuple[Run, ...] = ()

    @property
    def scored(self) -> int:
        """Records that carry a score."""
        return sum(scores.scored for scores in self.scores)
