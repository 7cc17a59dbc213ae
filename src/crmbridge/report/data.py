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
from crmbridge.store.ledger import Counts, Plan, Run

BIN: Final = 5
"""Scores are counted in bins of this many points."""
LEADS_STAGE: Final = "All leads"
"""The name of the leads' row in the funnel, before the stages of the deals."""
NO_STAGE: Final = "No stage"

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
        ("variance", pa.float64()),
    ]
)
"""`variance` is that of what the deals bring: p (1 - p) amount^2, each won or lost on its own."""
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
_WON: Final = [(name, pa.float64()) for name in ("won", "won_amount", "follow_up_hours")]
REPS: Final = pa.schema([("id", pa.string()), ("name", pa.string()), *_RATES, *_BESIDE, *_WON])
GROUPS: Final = pa.schema([("name", pa.string()), *_RATES, *_BESIDE])
MONTHS: Final = pa.schema([("period", pa.string()), *_RATES])
SET_ASIDE: Final = pa.schema(
    [("object", pa.string()), ("place", pa.string()), ("reason", pa.string()), ("id", pa.string())]
)
REJECTED: Final = pa.schema(
    [("object", pa.string()), ("id", pa.string()), ("code", pa.string()), ("message", pa.string())]
)


def _schema(**columns: str) -> pa.Schema:
    """A schema in short: `text`, `count`, `number`, `truth`, `day`."""
    types = {
        "text": pa.string(),
        "count": pa.int64(),
        "number": pa.float64(),
        "truth": pa.bool_(),
        "day": pa.date32(),
    }
    return pa.schema([(name, types[kind]) for name, kind in columns.items()])


BOTTLENECKS: Final = _schema(
    stage="text",
    stays="count",
    best_days="number",
    typical_days="number",
    deal_days_lost="number",
    deal_days_lost_low="number",
    deal_days_lost_high="number",
    money_delayed="number",
    money_delayed_low="number",
    money_delayed_high="number",
    win_rate="number",
    is_bottleneck="truth",
    is_sure="truth",
)
NODES: Final = _schema(
    stage="text",
    place="count",
    kind="text",
    deals="count",
    visits="count",
    returned="count",
    open="count",
    median_days="number",
)
EDGES: Final = _schema(
    from_stage="text",
    to_stage="text",
    kind="text",
    moves="count",
    deals="count",
    share="number",
    median_days="number",
)
OWNERS: Final = _schema(
    owners="text", deals="count", won="count", lost="count", win_rate="number", median_days_to_close="number"
)
CHANGES: Final = _schema(
    change="text",
    subject="text",
    worth="number",
    worth_low="number",
    worth_high="number",
    unit="text",
    currency="text",
    evidence="text",
)
FORECAST: Final = _schema(
    month="text",
    p10="number",
    p50="number",
    p90="number",
    mean="number",
    from_open_deals="number",
    from_new_deals="number",
    won_so_far="number",
    currency="text",
)
BACKTEST: Final = _schema(
    month="text", months="count", p10="number", p50="number", p90="number", actual="number", naive="number"
)
VELOCITY: Final = _schema(
    until="text",
    open_deals="count",
    win_rate="number",
    mean_amount="number",
    days_to_win="number",
    per_day="number",
    currency="text",
)
SEGMENTS: Final = _schema(
    segment="text",
    customers="count",
    share="number",
    spent="number",
    share_of_spent="number",
    median_days_since_order="number",
    median_orders="number",
)
SLIPPING: Final = _schema(
    record_id="text",
    name="text",
    orders="count",
    spent="number",
    days_since_order="number",
    usual_days="number",
    pause_chance="number",
    value_12m="number",
    value_low="number",
    value_high="number",
    mean_order="number",
)
"""The customers who slip away, the largest first, with what the next 12 months are expected to bring."""
MOVEMENT: Final = _schema(from_segment="text", to_segment="text", customers="count", days="count")
MARKET: Final = _schema(
    dimension="text",
    group="text",
    closed="count",
    won="count",
    measure="text",
    value="number",
    low="number",
    high="number",
    others="number",
    p_value="number",
    q_value="number",
    stands_out="text",
)
QUARTERS: Final = _schema(
    quarter="text",
    closed="count",
    won="count",
    win_rate="number",
    win_rate_low="number",
    win_rate_high="number",
    won_value="number",
    mean_value="number",
    median_days="number",
)
MOVED: Final = _schema(
    quarter="text",
    before_quarter="text",
    dimension="text",
    measure="text",
    before="number",
    after="number",
    change="number",
    mix="number",
    within="number",
)
FIELDS: Final = _schema(field="text", filled="number", kept="truth", not_valid="count")
REPAIR: Final = _schema(
    field="text", missing="count", known="count", gain="number", low="number", high="number"
)


@dataclass(frozen=True)
class Quality:
    """How good the records of an object are: `summary` by figure (see the metric `quality`), its fields, what
    a repair would be worth at most (nats an open record).
    """

    object: ObjectName
    summary: Mapping[str, float]
    fields: pa.Table
    repair: pa.Table


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
    """One connection (None: it is not to be named) as of `moment`; days and times are told in `zone`.

    `records` counts the live records of each object. `funnel` tells of leads, then of deals stage by stage
    (entered = moved_on + moved_back + lost + still_open), `figures` of closed deals (see the metric
    `pipeline`, table `deal_summary`). `funnel`, `stages` and `reps` are as wide as the
    organisation; `groups` has the same figures as `reps` per team, deal type and channel, `months` the
    organisation's efficiencies of the last months (`2026-03`); `bottlenecks` to `moved` are tables of the
    metrics `pipeline`, `forecast`, `segments` and `market` as they stand, `values` sums over the customers
    (`value`); `deals` and `leads` hold the few worth a
    person's time today, best first; `deals_open` and `leads_open` say out of how many. `team` maps an
    efficiency's key to the organisation's own rate. `set_aside` belongs to
    `read_by`, the newest run that read anything.
    """

    connection: str | None
    moment: datetime
    zone: ZoneInfo
    records: Mapping[str, int]
    scores: tuple[Scores, ...] = ()
    cards: tuple[Card, ...] = ()
    funnel: pa.Table = field(default_factory=FUNNEL.empty_table)
    figures: Mapping[str, float | None] = field(default_factory=dict)
    stages: pa.Table = field(default_factory=STAGES.empty_table)
    bottlenecks: pa.Table = field(default_factory=BOTTLENECKS.empty_table)
    nodes: pa.Table = field(default_factory=NODES.empty_table)
    edges: pa.Table = field(default_factory=EDGES.empty_table)
    owners: pa.Table = field(default_factory=OWNERS.empty_table)
    changes: pa.Table = field(default_factory=CHANGES.empty_table)
    forecast: pa.Table = field(default_factory=FORECAST.empty_table)
    backtest: pa.Table = field(default_factory=BACKTEST.empty_table)
    velocity: pa.Table = field(default_factory=VELOCITY.empty_table)
    segments: pa.Table = field(default_factory=SEGMENTS.empty_table)
    slipping: pa.Table = field(default_factory=SLIPPING.empty_table)
    movement: pa.Table = field(default_factory=MOVEMENT.empty_table)
    values: Mapping[str, float] = field(default_factory=dict)
    orders_currency: str | None = None
    market: pa.Table = field(default_factory=MARKET.empty_table)
    quarters: pa.Table = field(default_factory=QUARTERS.empty_table)
    moved: pa.Table = field(default_factory=MOVED.empty_table)
    quality: tuple[Quality, ...] = ()
    deals: pa.Table = field(default_factory=DEALS.empty_table)
    deals_open: int = 0
    leads: pa.Table = field(default_factory=LEADS.empty_table)
    leads_open: int = 0
    reps: pa.Table = field(default_factory=REPS.empty_table)
    team: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, pa.Table] = field(default_factory=dict)
    months: pa.Table = field(default_factory=MONTHS.empty_table)
    set_aside: pa.Table = field(default_factory=SET_ASIDE.empty_table)
    set_aside_counts: Mapping[str, int] = field(default_factory=dict)
    read_by: Run | None = None
    written: Written | None = None
    runs: tuple[Run, ...] = ()

    @property
    def scored(self) -> int:
        """Records that carry a score."""
        return sum(scores.scored for scores in self.scores)
