"""Gathers a connection's report from the store: a few passes over the lake, small tables out of them.

Memory holds an id and some numbers of each open record; texts are read only for the records that are shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.model.fields import result_schema
from crmbridge.model.records import OBJECTS, ObjectName
from crmbridge.report.cards import card_of
from crmbridge.report.data import (
    BIN,
    BINS,
    DEALS,
    EFFICIENCIES,
    FUNNEL,
    GROUPS,
    LEADS,
    LEADS_STAGE,
    MONTHS,
    NO_STAGE,
    REJECTED,
    REPS,
    SET_ASIDE,
    STAGES,
    ReportData,
    Scores,
    Written,
)
from crmbridge.report.metric_tables import metric_tables
from crmbridge.report.reading import Reader
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger, Plan, Run

SHOWN: Final = 8
"""Deals, or leads, that are worth a person's time on one day."""
ROWS_SHOWN: Final = 20
"""Rows set aside, or refused, that the page lists; the counts are of all."""
MONTHS_SHOWN: Final = 13
"""A year, and the month a year before."""
RUNS_LOOKED_AT: Final = 200
GROUPINGS: Final = ("team", "deal_type", "channel")
SCORED: Final[tuple[ObjectName, ...]] = ("lead", "deal", "account")

_MOMENT: Final = pa.timestamp("us", tz="UTC")
_TEXTS: Final = ("score_low", "score_high", "score_trend", "reasons_up", "reasons_down")
_NO_ACTION: Final = {"next_action": None}


def collect(
    ledger: Ledger,
    lake: Lake,
    connection: str,
    *,
    moment: datetime,
    zone: ZoneInfo | None = None,
) -> ReportData:
    """The report of a connection as of `moment`; days are told in `zone` (UTC where it is not given)."""
    reader = Reader(ledger, lake, connection, moment)
    leads, lead_row = _leads(reader)
    deals = _deals(reader)
    stages = reader.listing("pipeline/deal/funnel", FUNNEL)
    counted = {name: reader.count(name) for name in OBJECTS}
    runs = tuple(ledger.runs(connection, limit=RUNS_LOOKED_AT))
    read_by = next((run for run in runs if _read_anything(run)), None)
    scores = [_scores("lead", leads), _scores("deal", deals), _scores("account", _scored(reader, "account"))]
    return ReportData(
        connection=connection,
        moment=moment,
        zone=zone or ZoneInfo("UTC"),
        records={name: number for name, number in counted.items() if number},
        scores=tuple(each for each in scores if each.scored or each.abstained),
        cards=tuple(
            card_of(stored.model) for name in SCORED if (stored := ledger.published(connection, "need", name))
        ),
        funnel=_funnel(stages, lead_row),
        figures=_figures(reader),
        stages=_stages(deals, stages["stage"].to_pylist()),
        **metric_tables(reader),
        deals=_best_deals(reader, deals),
        deals_open=deals.num_rows,
        leads=_best_leads(reader, leads),
        leads_open=leads.num_rows,
        reps=_reps(reader),
        team=_team(reader),
        groups=_groups(reader),
        months=_months(reader),
        set_aside=_set_aside(ledger, read_by),
        set_aside_counts=ledger.set_aside_counts(read_by.id) if read_by else {},
        read_by=read_by,
        written=_written(ledger, connection),
        runs=runs,
    )


# -- scores -------------------------------------------------------------------------------------------------


def _results(reader: Reader, metric: str, object_name: ObjectName, keys: Sequence[str]) -> pa.Table:
    return reader.table(f"result/{metric}/{object_name}", result_schema(object_name, keys))


def _scored(reader: Reader, object_name: ObjectName) -> pa.Table:
    return _results(reader, "need", object_name, ("score", "grade"))


def _scores(object_name: ObjectName, records: pa.Table) -> Scores:
    """Count the scores of the records by bin and grade."""
    scored = records.filter(records["score"].is_valid())
    low = pc.multiply(
        pc.min_element_wise(pc.floor(pc.divide(scored["score"], float(BIN))), 100 / BIN - 1), BIN
    )
    grouped = pa.table({"low": low.cast(pa.int64()), "grade": scored["grade"], "id": scored["id"]})
    counted = grouped.group_by(["low", "grade"]).aggregate([("id", "count")])
    bins = counted.rename_columns(["low", "grade", "records"]).sort_by("low").select(BINS.names).cast(BINS)
    by_grade = scored.group_by("grade").aggregate([("score", "mean")]).to_pylist()
    means = {row["grade"]: row["score_mean"] for row in by_grade}
    return Scores(object_name, scored.num_rows, records.num_rows - scored.num_rows, bins, means)


# -- leads --------------------------------------------------------------------------------------------------


def _leads(reader: Reader) -> tuple[pa.Table, dict[str, Any] | None]:
    """The open leads with their score, and the leads' row of the funnel."""
    columns = [("id", pa.string()), ("is_converted", pa.bool_()), ("is_disqualified", pa.bool_())]
    leads = reader.table("lead", pa.schema([*columns, ("closed_at", _MOMENT), ("created_at", _MOMENT)]))
    converted = leads["is_converted"].fill_null(False)
    closed = pc.less_equal(leads["closed_at"], pa.scalar(reader.moment, _MOMENT)).fill_null(False)
    lost = pc.and_(pc.or_(leads["is_disqualified"].fill_null(False), closed), pc.invert(converted))
    is_open = pc.invert(pc.or_(converted, lost))
    row = {
        "stage": LEADS_STAGE,
        "entered": leads.num_rows,
        "moved_on": pc.sum(converted).as_py(),
        "moved_back": 0,
        "lost": pc.sum(lost).as_py(),
        "still_open": pc.sum(is_open).as_py(),
        "median_days": None,
    }
    found = leads.filter(is_open).select(["id", "created_at"]).join(_scored(reader, "lead"), "id")
    return found, row if leads.num_rows else None


def _best_leads(reader: Reader, leads: pa.Table) -> pa.Table:
    """By chance; where it is the same, the newest first."""
    order = [("score", "descending"), ("created_at", "descending"), ("id", "ascending")]
    best = leads.filter(leads["score"].is_valid()).sort_by(order).slice(0, SHOWN).to_pylist()
    ids = [row["id"] for row in best]
    columns = ("id", "owner_id", "first_name", "last_name", "company")
    records = reader.rows("lead", pa.schema([(name, pa.string()) for name in columns]), ids)
    texts = reader.rows("result/need/lead", result_schema("lead", _TEXTS), ids)
    actions = reader.rows("result/advice/lead", result_schema("lead", ("next_action",)), ids)
    owners = reader.names("rep", {row["owner_id"] for row in records.values() if row["owner_id"]})
    rows = []
    for row in best:
        record = records[row["id"]]
        name = " ".join(part for part in (record["first_name"], record["last_name"]) if part)
        who = {"name": name or None, "company": record["company"], "owner": owners.get(record["owner_id"])}
        rows.append({**texts[row["id"]], **actions.get(row["id"], _NO_ACTION), **row, **who})
    return pa.Table.from_pylist(rows, LEADS)


# -- deals --------------------------------------------------------------------------------------------------


def _deals(reader: Reader) -> pa.Table:
    """The open deals with their score and their place in the pipeline.

    `expected` is chance x amount, `variance` that of what comes; null where one of the two is not known.
    """
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("stage", pa.string()),
            ("amount", pa.float64()),
            ("currency", pa.string()),
            ("is_closed", pa.bool_()),
            ("is_won", pa.bool_()),
            ("closed_at", _MOMENT),
        ]
    )
    deals = reader.table("deal", schema)
    dated = pc.less_equal(deals["closed_at"], pa.scalar(reader.moment, _MOMENT)).fill_null(False)
    closed = pc.or_(pc.coalesce(deals["is_closed"], dated), deals["is_won"].fill_null(False))
    found = deals.filter(pc.invert(closed)).select(["id", "stage", "amount", "currency"])
    found = found.join(_scored(reader, "deal"), "id")
    found = found.join(_results(reader, "pipeline", "deal", ("days_in_stage", "typical_days", "stuck")), "id")
    expected = pc.divide(pc.multiply(found["score"], found["amount"]), 100.0)
    failing = pc.subtract(1.0, pc.divide(found["score"], 100.0))
    variance = pc.multiply(pc.multiply(expected, found["amount"]), failing)
    stuck = found["stuck"].fill_null(False)
    found = found.drop_columns(["stuck"]).append_column("stuck", stuck)
    return found.append_column("expected", expected).append_column("variance", variance)


def _stages(deals: pa.Table, order: Sequence[str]) -> pa.Table:
    """Sums of the open deals by stage, currency and stuck or not, in the stages' order."""
    keys = ["stage", "currency", "stuck"]
    sums = [("id", "count"), ("amount", "sum"), ("expected", "sum"), ("variance", "sum")]
    names = [*keys, "deals", "amount", "expected", "variance"]
    grouped = deals.group_by(keys).aggregate(sums).rename_columns(names)
    place = {stage: number for number, stage in enumerate(order)}
    rows = [{**row, "stage": row["stage"] or NO_STAGE} for row in grouped.to_pylist()]
    rows.sort(key=lambda row: (row["stage"], row["currency"] or "", row["stuck"]))
    rows.sort(key=lambda row: place.get(row["stage"], len(place)))
    return pa.Table.from_pylist(rows, STAGES)


def _best_deals(reader: Reader, deals: pa.Table) -> pa.Table:
    """By chance x amount, counted double where a deal is stuck."""
    weight = pc.if_else(deals["stuck"], 2.0, 1.0)
    urgent = deals.append_column("urgency", pc.multiply(deals["expected"], weight))
    order = [("urgency", "descending"), ("score", "descending"), ("id", "ascending")]
    best = urgent.sort_by(order).slice(0, SHOWN).to_pylist()
    ids = [row["id"] for row in best]
    columns = ("id", "owner_id", "account_id", "name")
    records = reader.rows("deal", pa.schema([(name, pa.string()) for name in columns]), ids)
    texts = reader.rows("result/need/deal", result_schema("deal", _TEXTS), ids)
    actions = reader.rows("result/advice/deal", result_schema("deal", ("next_action",)), ids)
    owners = reader.names("rep", {row["owner_id"] for row in records.values() if row["owner_id"]})
    accounts = reader.names("account", {row["account_id"] for row in records.values() if row["account_id"]})
    rows = []
    for row in best:
        record = records[row["id"]]
        who = {"account": accounts.get(record["account_id"]), "owner": owners.get(record["owner_id"])}
        said = {**texts.get(row["id"], {}), **actions.get(row["id"], _NO_ACTION)}
        rows.append({**said, **row, **who, "name": record["name"]})
    return pa.Table.from_pylist(rows, DEALS)


def _funnel(stages: pa.Table, leads: dict[str, Any] | None) -> pa.Table:
    return pa.Table.from_pylist([*([leads] if leads else []), *stages.to_pylist()], FUNNEL)


def _figures(reader: Reader) -> dict[str, float | None]:
    schema = pa.schema([("figure", pa.string()), ("stage", pa.string()), ("value", pa.float64())])
    rows = reader.table("table/pipeline/deal/deal_summary", schema).to_pylist()
    return {row["figure"]: row["value"] for row in rows if row["stage"] is None}


# -- reps ---------------------------------------------------------------------------------------------------


def _reps(reader: Reader) -> pa.Table:
    """Every rep with any efficiency, by name."""
    own = pa.schema([column for column in REPS if column.name != "name"])
    rows = [
        row
        for row in reader.table("result/efficiency/rep", own).to_pylist()
        if any(row[key] is not None for key in EFFICIENCIES)
    ]
    names = reader.names("rep", {row["id"] for row in rows})
    named = [{**row, "name": names[row["id"]]} for row in rows]
    return pa.Table.from_pylist(sorted(named, key=lambda row: (row["name"], row["id"])), REPS)


def _groups(reader: Reader) -> dict[str, pa.Table]:
    """The teams, deal types and channels, where there are any."""
    found = {
        grouping: reader.table(f"table/efficiency/rep/efficiency_by_{grouping}", GROUPS)
        for grouping in GROUPINGS
    }
    return {grouping: rows for grouping, rows in found.items() if rows.num_rows}


def _team(reader: Reader) -> dict[str, float]:
    """The organisation's own rates over the window."""
    schema = pa.schema([("period", pa.string()), *((key, pa.float64()) for key in EFFICIENCIES)])
    for row in reader.table("table/efficiency/rep/efficiency_total", schema).to_pylist():
        if row["period"] == "window":
            return {key: row[key] for key in EFFICIENCIES if row[key] is not None}
    return {}


def _months(reader: Reader) -> pa.Table:
    """The organisation's own rates of the last months, oldest first."""
    rows = reader.table("table/efficiency/rep/efficiency_by_period", MONTHS)
    return rows.sort_by("period").slice(max(0, rows.num_rows - MONTHS_SHOWN))


# -- the ledger ---------------------------------------------------------------------------------------------


def _read_anything(run: Run) -> bool:
    counts = [run.summary.get(key) for key in ("pulled", "deleted", "set_aside")]
    return any(number for count in counts if isinstance(count, dict) for number in count.values())


def _set_aside(ledger: Ledger, run: Run | None) -> pa.Table:
    rows = ledger.set_aside_rows(run.id, limit=ROWS_SHOWN, offset=0) if run else []
    return pa.Table.from_pylist(
        [{name: getattr(row, name) for name in SET_ASIDE.names} for row in rows], SET_ASIDE
    )


def _written(ledger: Ledger, connection: str) -> Written | None:
    quiet = 0
    undone: dict[int, int] = {}
    for plan in ledger.plans(connection, limit=RUNS_LOOKED_AT):
        if plan.kind != "write":
            if plan.undoes is not None:
                undone.setdefault(plan.undoes, plan.run)
            continue
        counts = ledger.counts(plan.id)
        if not counts.planned:
            quiet += 1
            continue
        codes: Counter[str] = Counter()
        shown: list[dict[str, Any]] = []
        for row in _rejected(ledger, plan):
            codes[row["code"] or "no code"] += 1
            if len(shown) < ROWS_SHOWN:
                shown.append(row)
        rejected = pa.Table.from_pylist(shown, REJECTED)
        return Written(plan, counts, rejected, dict(codes.most_common()), quiet, undone.get(plan.run))
    return None


def _rejected(ledger: Ledger, plan: Plan) -> Iterator[dict[str, Any]]:
    after = -1
    while rows := ledger.plan_rows(plan.id, state="rejected", after=after):
        for row in rows:
            yield {name: getattr(row, name) for name in REJECTED.names}
        after = rows[-1].position
