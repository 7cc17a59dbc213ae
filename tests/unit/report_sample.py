"""A hand-made organisation for the tests of the report: small, with awkward names, every section filled."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa

from crmbridge.report.cards import CalibrationBin, Card, Estimate
from crmbridge.report.data import (
    BACKTEST,
    BINS,
    BOTTLENECKS,
    CHANGES,
    COVERAGES,
    DEALS,
    EDGES,
    FIELDS,
    FORECAST,
    FUNNEL,
    GROUPS,
    LEADS,
    MARKET,
    MONTHS,
    MOVED,
    MOVEMENT,
    NODES,
    QUARTERS,
    REJECTED,
    REPAIR,
    REPS,
    SEGMENTS,
    SET_ASIDE,
    SLIPPING,
    STAGES,
    TRENDS,
    VELOCITY,
    Quality,
    ReportData,
    Scores,
    Written,
)
from crmbridge.store.ledger import Counts, Plan, Run

MOMENT = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)
REPS_NAMED = ("Ana", "Ben", "Cho", "Dee", "Eva", "Fay", "Gus", "Hal", "Ida", "Jon", "Kim", "Lou")
MEANS = {"A": 81.6, "B": 52.3, "C": 28.9, "D": 7.4}
AWKWARD = ("<script>alert(1)</script>", 'O\'Brien & "Sons"', "شركة النور", "株式会社 🎉")


def _table(schema: pa.Schema, rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)


def sample() -> ReportData:
    deals = [
        {
            "id": f"00{i}",
            "name": name,
            "account": AWKWARD[(i + 1) % 4],
            "owner": f"Rep {i}",
            "stage": ("Proposal", "Negotiation")[i % 2],
            "amount": 120_000.0 / (i + 1),
            "currency": "EUR",
            "expected": 120_000.0 / (i + 1) * 0.61,
            "score": 61.0,
            "score_low": 52.5,
            "score_high": 68.25,
            "grade": "B",
            "score_trend": "falling",
            "days_in_stage": 41.0,
            "typical_days": 17.0,
            "stuck": i % 2 == 0,
            "reasons_up": "three meetings in the last 30 days: 58 % of 212 such deals are won, 41 % of all",
            "reasons_down": "no activity for 19 days: 22 % of 340 such deals are won",
            "next_action": "Call the buyer: nobody has spoken with them for 19 days",
        }
        for i, name in enumerate((*AWKWARD, "Kessler AG renewal", "Nordwind expansion"))
    ]
    leads = [
        {
            "id": f"L{i}",
            "name": name,
            "company": AWKWARD[(i + 2) % 4],
            "owner": f"Rep {i}",
            "score": 82.0 - 3 * i,
            "score_low": 75.0 - 3 * i,
            "score_high": 88.0 - 3 * i,
            "grade": "A",
            "score_trend": "new",
            "reasons_up": "came from a referral: 31 % of 412 such leads convert, 12 % of all",
            "reasons_down": "no phone number: 4 % of 900 such leads convert",
            "next_action": "Call today: they replied yesterday",
        }
        for i, name in enumerate(AWKWARD)
    ]
    reps = []
    for i in range(12):
        row: dict = {
            "won": 10.0,
            "won_amount": 120_000.0,
            "follow_up_hours": 200.0,
            "id": f"R{i}",
            "name": f"{REPS_NAMED[i]} Example",
        }
        for factor, key in (
            (1.0, "communication_efficiency"),
            (0.03, "follow_up_efficiency"),
            (0.1, "order_efficiency"),
        ):
            rate = factor * (1.5 + ((i * 7) % 12) * 0.15)
            row |= {key: rate, f"{key}_low": rate * 0.82, f"{key}_high": rate * 1.2}
            row |= {TRENDS[key]: ("rising", "falling", "unclear")[i % 3], COVERAGES[key]: 0.8}
        reps.append(row)
    bins = []
    for low in range(0, 100, 5):
        grade = "A" if low >= 70 else "B" if low >= 40 else "C" if low >= 20 else "D"
        bins.append({"low": low, "grade": grade, "records": int(900 * 0.93**low) + 4})
    return ReportData(
        connection="acme",
        moment=MOMENT,
        zone=ZoneInfo("Europe/Berlin"),
        records={"rep": 12, "account": 610, "lead": 4000, "deal": 2500, "activity": 40_012, "order": 3001},
        scores=(
            Scores("lead", sum(row["records"] for row in bins), 12, _table(BINS, bins), MEANS),
            Scores("deal", sum(row["records"] for row in bins), 0, _table(BINS, bins), MEANS),
        ),
        cards=(
            Card(
                object="lead",
                model="need-lead-3f9c2a1b",
                provisional=False,
                level="full",
                target="the lead converts within 90 days",
                verdict=("Useful: on the newest outcomes the model ranks better than the base rate.",),
                outcomes=3120,
                positives=391,
                tested_on=624,
                base_rate=Estimate(0.125, 0.115, 0.136),
                auc=Estimate(0.78, 0.74, 0.82),
                ece=Estimate(0.012, 0.008, 0.021),
                lift=Estimate(3.6, 2.9, 4.4),
                calibration=tuple(
                    CalibrationBin(62, p, p * 0.96 + 0.01, max(0.0, p - 0.07), min(1.0, p + 0.07))
                    for p in (0.02, 0.06, 0.11, 0.18, 0.27, 0.41, 0.63)
                ),
                inputs=("Lead source", "Industry"),
                assumed={"Industry": 120},
                blocked=(("Closing reason", "filled on 98 % of the closed leads, on 0 % of the open ones"),),
            ),
            Card(
                object="deal",
                model="need-deal-00c2a1b0",
                provisional=False,
                level="base",
                target="the deal is won within 180 days",
                verdict=("The outcome can't be predicted from these columns.",),
                outcomes=1900,
                positives=790,
                tested_on=380,
                auc=Estimate(0.51, 0.47, 0.55),
            ),
        ),
        funnel=_table(
            FUNNEL,
            [
                {
                    "stage": stage,
                    "entered": on + back + lost + still,
                    "moved_on": on,
                    "moved_back": back,
                    "lost": lost,
                    "still_open": still,
                    "median_days": days,
                }
                for stage, on, back, lost, still, days in (
                    ("All leads", 480, 0, 1650, 1870, None),
                    ("Qualified", 1510, 0, 380, 83, 9.5),
                    ("Proposal", 980, 41, 406, 83, 17.0),
                    ("Negotiation", 731, 12, 154, 83, 11.0),
                )
            ],
        ),
        figures={"won": 731.0, "lost": 940.0, "win_rate": 731 / 1671},
        stages=_table(
            STAGES,
            [
                {
                    "stage": stage,
                    "currency": "EUR",
                    "stuck": stuck,
                    "deals": n,
                    "amount": n * 21_000.0,
                    "expected": n * 21_000.0 * p,
                    "variance": n * 21_000.0**2 * p * (1 - p),
                }
                for stage, p in (("Qualified", 0.2), ("Proposal", 0.45), ("Negotiation", 0.7))
                for stuck, n in ((False, 60), (True, 23))
            ],
        ),
        changes=_changes(),
        **_process(),
        **_outlook(),
        **_customers(),
        **_market(),
        quality=(
            Quality(
                "lead",
                {"records": 4000.0, "data_quality": 93.5, "with_issues": 812.0, "duplicate_records": 17.0},
                _table(
                    FIELDS,
                    [
                        {"field": "phone", "filled": 0.69, "kept": True, "not_valid": 3},
                        {"field": "title", "filled": 0.01, "kept": False, "not_valid": 0},
                    ],
                ),
                _table(
                    REPAIR,
                    [
                        {
                            "field": "phone",
                            "missing": 353,
                            "known": 900,
                            "gain": 0.019,
                            "low": 0.011,
                            "high": 0.026,
                        }
                    ],
                ),
            ),
        ),
        deals=_table(DEALS, deals),
        deals_open=249,
        leads=_table(LEADS, leads),
        leads_open=1870,
        reps=_table(REPS, reps),
        team={"communication_efficiency": 2.2, "follow_up_efficiency": 0.066, "order_efficiency": 0.22},
        groups={
            "team": _table(GROUPS, [row | {"name": name} for name, row in zip(AWKWARD, reps, strict=False)])
        },
        months=_table(
            MONTHS,
            [
                {"period": f"{2025 + m // 12}-{m % 12 + 1:02d}"}
                | {
                    f"{key}{end}": scale * (1.6 + 0.05 * m) * factor
                    for key, scale in (
                        ("communication_efficiency", 1.0),
                        ("follow_up_efficiency", 0.03),
                        ("order_efficiency", 0.1),
                    )
                    for end, factor in (("", 1.0), ("_low", 0.85), ("_high", 1.17))
                }
                for m in range(2, 15)
            ],
        ),
        set_aside=_table(
            SET_ASIDE,
            [
                {
                    "object": "lead",
                    "place": "leads.csv:17",
                    "reason": "created_at: '31.02.2026' is not a date",
                    "id": "L17",
                }
            ],
        ),
        set_aside_counts={"lead": 1},
        written=Written(
            Plan(7, 9, "acme", "write", MOMENT, MOMENT, "done", "person", MOMENT, {}, None),
            Counts(4000, 0, 3990, 8, 2, 1),
            _table(
                REJECTED,
                [
                    {
                        "object": "lead",
                        "id": "L3",
                        "code": "LOCKED",
                        "message": "entity is locked for editing",
                    },
                    {
                        "object": "lead",
                        "id": "L9",
                        "code": "changed_since_plan",
                        "message": "a person changed it",
                    },
                ],
            ),
            {"LOCKED": 1, "changed_since_plan": 1},
            quiet=2,
        ),
        runs=(Run(9, "acme", "sync", MOMENT, MOMENT, MOMENT, "done", 1, {}, None),),
    )


def _changes() -> pa.Table:
    rows = (
        ("bottleneck", "Proposal", 270_000.0, "money", "EUR", "Half of the deals need 17 days."),
        ("follow_up", "Ana Example", 150_000.0, "money", "EUR", "Ana Example wins 0.045 deals an hour."),
        ("channel", "call", 90.0, "outcomes", None, "90 outcomes."),
    )
    return _table(
        CHANGES,
        [
            {
                "change": change,
                "subject": subject,
                "worth": worth,
                "worth_low": worth * 0.8,
                "worth_high": worth * 1.2,
                "unit": unit,
                "currency": currency,
                "evidence": evidence,
            }
            for change, subject, worth, unit, currency, evidence in rows
        ],
    )


def _process() -> dict:
    stages = ("Qualified", "Proposal", "Negotiation")
    lost_days = {"Qualified": (900.0, 800.0, 1000.0), "Proposal": (5400.0, 4700.0, 6100.0)}
    return {
        "bottlenecks": _table(
            BOTTLENECKS,
            [
                {
                    "stage": stage,
                    "stays": 400,
                    "best_days": 6.5,
                    "typical_days": 17.0,
                    "deal_days_lost": middle,
                    "deal_days_lost_low": low,
                    "deal_days_lost_high": high,
                    "money_delayed": middle * 50,
                    "money_delayed_low": low * 50,
                    "money_delayed_high": high * 50,
                    "win_rate": 0.4,
                    "is_bottleneck": stage == "Proposal",
                    "is_sure": stage == "Proposal",
                }
                for stage, (middle, low, high) in lost_days.items()
            ],
        ),
        "nodes": _table(
            NODES,
            [
                {
                    "stage": stage,
                    "place": place + 1,
                    "kind": "stage",
                    "deals": 1900 - 500 * place,
                    "visits": 2000 - 500 * place,
                    "returned": 41 * (place == 0),
                    "open": 83,
                    "median_days": 9.5,
                }
                for place, stage in enumerate(stages)
            ]
            + [
                {"stage": "Won", "kind": "won", "deals": 731, "visits": 731, "returned": 0, "open": 0},
                {"stage": "Lost", "kind": "lost", "deals": 940, "visits": 940, "returned": 0, "open": 0},
            ],
        ),
        "edges": _table(
            EDGES,
            [
                {
                    "from_stage": start,
                    "to_stage": end,
                    "kind": kind,
                    "moves": moves,
                    "deals": moves,
                    "share": 0.5,
                    "median_days": days,
                }
                for start, end, kind, moves, days in (
                    ("Qualified", "Proposal", "forward", 1400, 9.5),
                    ("Proposal", "Negotiation", "forward", 900, 17.0),
                    ("Negotiation", "Won", "end", 731, 11.0),
                    ("Qualified", "Negotiation", "skip", 60, 4.0),
                    ("Proposal", "Qualified", "back", 41, 21.0),
                    ("Proposal", "Lost", "end", 406, 30.0),
                )
            ],
        ),
    }


def _outlook() -> dict:
    months = [f"{2026 + m // 12}-{m % 12 + 1:02d}" for m in range(2, 14)]
    past = [f"{2025 + m // 12}-{m % 12 + 1:02d}" for m in range(2, 14)]
    return {
        "forecast": _table(
            FORECAST,
            [
                {
                    "month": month,
                    "p10": 210_000.0 + m,
                    "p50": 300_000.0,
                    "p90": 410_000.0,
                    "mean": 305_000.0,
                    "from_open_deals": 200_000.0,
                    "from_new_deals": 105_000.0,
                    "won_so_far": 120_000.0 if m == 0 else 0.0,
                    "currency": "EUR",
                }
                for m, month in enumerate(months)
            ],
        ),
        "backtest": _table(
            BACKTEST,
            [
                {
                    "month": month,
                    "months": length,
                    "p10": 180_000.0,
                    "p50": 250_000.0,
                    "p90": 330_000.0,
                    "actual": 400_000.0 if m == 3 else 240_000.0,
                    "naive": 260_000.0,
                }
                for m, month in enumerate(past)
                for length in (1, 3)
            ],
        ),
        "velocity": _table(
            VELOCITY,
            [
                {
                    "until": until,
                    "open_deals": 240,
                    "win_rate": 0.4,
                    "mean_amount": 20_000.0,
                    "days_to_win": 60.0,
                    "per_day": 32_000.0 * factor,
                    "currency": "EUR",
                }
                for until, factor in (("2026-01-01", 0.9), ("2026-03-31", 1.0))
            ],
        ),
    }


def _customers() -> dict:
    return {
        "segments": _table(
            SEGMENTS,
            [
                {
                    "segment": segment,
                    "customers": customers,
                    "share": customers / 300,
                    "spent": spent,
                    "share_of_spent": spent / 3e6,
                    "median_days_since_order": 26.0,
                    "median_orders": 9.0,
                }
                for segment, customers, spent in (("Best customers", 100, 2e6), ("Slipping away", 200, 1e6))
            ],
        ),
        "slipping": _table(
            SLIPPING,
            [
                {
                    "record_id": f"A{i}",
                    "name": name,
                    "orders": 12,
                    "spent": 90_000.0,
                    "days_since_order": 300.0,
                    "usual_days": 36.5,
                    "pause_chance": 0.01,
                    "value_12m": 5_000.0,
                    "value_low": 0.0,
                    "value_high": 9_000.0,
                    "mean_order": 7_500.0,
                }
                for i, name in enumerate(AWKWARD)
            ],
        ),
        "movement": _table(
            MOVEMENT,
            [{"from_segment": "Best customers", "to_segment": "Slipping away", "customers": 12, "days": 90}],
        ),
        "values": {"customers": 300.0, "value_12m": 1.2e6},
        "orders_currency": "EUR",
    }


def _market() -> dict:
    return {
        "market": _table(
            MARKET,
            [
                {
                    "dimension": dimension,
                    "group": group,
                    "closed": 141,
                    "won": 42,
                    "measure": "win_rate",
                    "value": rate,
                    "low": rate - 0.06,
                    "high": rate + 0.06,
                    "others": 0.28,
                    "p_value": 0.01,
                    "q_value": 0.02,
                    "stands_out": stands,
                }
                for dimension, group, rate, stands in (
                    ("industry", "Machines", 0.5, "above"),
                    ("team", AWKWARD[1], 0.3, None),
                )
            ],
        ),
        "quarters": _table(
            QUARTERS,
            [
                {
                    "quarter": quarter,
                    "closed": 200,
                    "won": 60,
                    "win_rate": rate,
                    "win_rate_low": rate - 0.05,
                    "win_rate_high": rate + 0.05,
                    "won_value": 9e5,
                    "mean_value": 15_000.0,
                    "median_days": 90.0,
                }
                for quarter, rate in (("2025-Q3", 0.30), ("2025-Q4", 0.27))
            ],
        ),
        "moved": _table(
            MOVED,
            [
                {
                    "quarter": "2025-Q4",
                    "before_quarter": "2025-Q3",
                    "dimension": "industry",
                    "measure": "win_rate",
                    "before": 0.30,
                    "after": 0.27,
                    "change": -0.03,
                    "mix": -0.02,
                    "within": -0.01,
                }
            ],
        ),
    }
