"""A small organisation in a real ledger and lake, as a sync would have left it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from crmbridge.model.columns import to_table
from crmbridge.model.fields import result_schema
from crmbridge.model.records import Account, Deal, Lead, Record, Rep
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger, PlanRow, SetAsideRow

MOMENT = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)
SEEN = MOMENT - timedelta(hours=1)
NAME = "acme"
FORMULA = '=HYPERLINK("http://evil")'

SCORED_LEADS = {"L1": 81.25, "L2": 42.0, "L3": 3.5, "L4": 100.0, "L5": None, "L6": 55.0}
CONVERTED, DISQUALIFIED = "L4", "L6"
DEALS = {
    # id: stage, amount, currency, score, days in stage, typical days, stuck
    "D1": ("Proposal", "10000", "EUR", 60.0, 12.0, 17.0, False),
    "D2": ("Proposal", "8000", "EUR", 50.0, 60.0, 17.0, True),
    "D3": ("Negotiation", "500.5", "USD", 80.0, 3.0, 11.0, False),
    "D4": ("Negotiation", None, "EUR", 90.0, None, 11.0, None),
    "D5": ("Won", "7000", "EUR", None, None, None, None),
}
REPS = {"R1": "Ana Example", "R2": None, "R3": "Never Measured"}


def _records() -> dict[str, list[Record]]:
    leads = [
        Lead(
            id=id,
            created_at=SEEN - timedelta(days=20),
            owner_id="R1",
            first_name="Zoë" if id == "L1" else None,
            last_name=FORMULA if id == "L2" else "Last" if id == "L1" else None,
            company=f"Company {id}",
            phone="+49 30 1234",
            is_converted=id == CONVERTED,
            is_disqualified=id == DISQUALIFIED,
            attributes={"Region": "North", "Employees in IT": 12, "VIP": True, "Note": None, "name": "own"},
        )
        for id in SCORED_LEADS
    ]
    deals = [
        Deal(
            id=id,
            created_at=SEEN - timedelta(days=60),
            owner_id="R2",
            account_id="A1" if id == "D1" else None,
            name=f"Deal {id}",
            stage=stage,
            amount=None if amount is None else Decimal(amount),
            currency=currency,
            is_closed=stage == "Won",
            is_won=stage == "Won",
            expected_close=date(2026, 5, 1),
        )
        for id, (stage, amount, currency, *_) in DEALS.items()
    ]
    return {
        "rep": [Rep(id=id, name=name, is_active=True) for id, name in REPS.items()],
        "account": [Account(id="A1", name="Account One")],
        "lead": list(leads),
        "deal": list(deals),
    }


def _grade(score: float | None) -> str | None:
    return (
        None if score is None else "A" if score >= 70 else "B" if score >= 40 else "C" if score >= 20 else "D"
    )


def _need(object_name: str, scores: dict[str, float | None]) -> pa.Table:
    keys = (
        "score",
        "score_low",
        "score_high",
        "grade",
        "score_trend",
        "reasons_up",
        "reasons_down",
    )
    rows = [
        {
            "id": id,
            "score": score,
            "score_low": None if score is None else max(0.0, score - 5),
            "score_high": None if score is None else min(100.0, score + 5),
            "grade": _grade(score),
            "score_trend": None if score is None else "steady",
            "reasons_up": f"up of {id}",
            "reasons_down": f"down of {id}",
        }
        for id, score in scores.items()
    ]
    schema = result_schema(object_name, keys)  # type: ignore[arg-type]
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)


def _advice(object_name: str, ids: Iterable[str]) -> pa.Table:
    schema = result_schema(object_name, ("next_action",))  # type: ignore[arg-type]
    return pa.Table.from_pylist([{"id": id, "next_action": f"call {id}"} for id in ids], schema)


def _pipeline() -> pa.Table:
    rows = [
        {"id": id, "days_in_stage": days, "typical_days": typical, "stuck": stuck}
        for id, (*_, days, typical, stuck) in DEALS.items()
    ]
    return pa.Table.from_pylist(rows, result_schema("deal", ("days_in_stage", "typical_days", "stuck")))


def _funnel() -> pa.Table:
    names = ("stage", "entered", "moved_on", "moved_back", "lost", "still_open", "median_days")
    rows = [("Proposal", 5, 3, 0, 0, 2, 17.0), ("Negotiation", 3, 1, 0, 0, 2, 11.0)]
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return pa.table({"id": ["0", "1"], **{name: list(column) for name, column in columns.items()}})


def _efficiency() -> pa.Table:
    keys = [
        f"{kind}_efficiency{end}"
        for kind in ("communication", "follow_up", "order")
        for end in ("", "_low", "_high")
    ]
    schema = result_schema("rep", [*keys, "time_coverage"])
    measured = {
        "communication_efficiency": 2.0,
        "communication_efficiency_low": 1.5,
        "communication_efficiency_high": 2.6,
    }
    rows = [{"id": "R1", **measured, "time_coverage": 0.8}, {"id": "R2", **measured}, {"id": "R3"}]
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)


@contextmanager
def filled(folder: Path) -> Iterator[tuple[Ledger, Lake]]:
    """The organisation's store: two runs, of which the first wrote and the second found nothing to write."""
    with Ledger.open(f"sqlite:///{folder / 'ledger.db'}", clock=lambda: MOMENT) as ledger:
        lake = Lake(folder / "lake", ledger)
        with ledger.lease(f"connection/{NAME}"):
            run = ledger.start_run(NAME, "sync", MOMENT).id
            aside = SetAsideRow("lead", "leads.csv:17", "created_at: not a date", "L17", "L17;31.02.2026")
            for object_name, records in _records().items():
                table = to_table(records[0].object_name, records)
                rows = [aside] if object_name == "lead" else []
                lake.append(NAME, object_name, table, run=run, seen_at=SEEN, set_aside=rows)
            deal_scores = {id: score for id, (_, _, _, score, *_) in DEALS.items()}
            total = pa.table({"id": ["0"], "period": ["window"], "communication_efficiency": [1.75]})
            teams = pa.table({"id": ["0"], "name": ["Inside"], "communication_efficiency": [1.8]})
            figures = pa.table(
                {
                    "id": ["0", "1"],
                    "figure": ["won", "open"],
                    "stage": [None, "Proposal"],
                    "value": [1.0, 2.0],
                }
            )
            for name, table in {
                "result/need/lead": _need("lead", SCORED_LEADS),
                "result/need/deal": _need("deal", deal_scores),
                "result/advice/lead": _advice("lead", SCORED_LEADS),
                "result/advice/deal": _advice("deal", deal_scores),
                "result/pipeline/deal": _pipeline(),
                "result/efficiency/rep": _efficiency(),
                "table/pipeline/deal/funnel": _funnel(),
                "table/pipeline/deal/deal_summary": figures,
                "table/efficiency/rep/efficiency_total": total,
                "table/efficiency/rep/efficiency_by_team": teams,
            }.items():
                lake.append(NAME, name, table, run=run, seen_at=MOMENT)
            rows = [
                PlanRow("lead", id, {"score": None}, {"score": score}, "new score")
                for id, score in SCORED_LEADS.items()
            ]
            plan = ledger.store_plan(
                run, NAME, "write", MOMENT, rows, status="awaiting_approval", guards={}, undoes=None
            )
            ledger.approve(plan.id, "person")
            ledger.begin_attempt(plan.id, range(len(rows)))
            ledger.record(plan.id, [(i, "sent", None, None) for i in range(len(rows) - 1)])
            ledger.record(plan.id, [(len(rows) - 1, "rejected", "LOCKED", "entity is locked")])
            ledger.close_plan(plan.id)
            ledger.finish_run(run, "partly", {"pulled": {"lead": 6}, "set_aside": {"lead": 1}})
            later = MOMENT + timedelta(hours=1)
            quiet = ledger.start_run(NAME, "sync", later).id
            ledger.store_plan(quiet, NAME, "write", later, [], status="done", guards={}, undoes=None)
            ledger.finish_run(quiet, "done", {"pulled": {"lead": 0}, "set_aside": {}})
        yield ledger, lake
