"""The report's sections of tables: what they show of plain rows, and when they are left out."""

from __future__ import annotations

from typing import Any

from crmbridge.report import sections
from crmbridge.report.sections import Section

SEGMENT: dict[str, Any] = {
    "segment": "Best customers",
    "customers": 12,
    "share": 0.4,
    "median_orders": 9.0,
    "median_days_since_order": 14.0,
    "spent": 12_000.0,
    "share_of_spent": 0.75,
}
SLIPPING: dict[str, Any] = {
    "record_id": "A1",
    "name": None,
    "orders": 8,
    "spent": None,
    "usual_days": 30.4,
    "days_since_order": 120.0,
    "pause_chance": 0.0123,
}
STANDS_OUT: dict[str, Any] = {
    "dimension": "industry",
    "group": "Energy",
    "closed": 40,
    "measure": "win_rate",
    "value": 0.55,
    "low": 0.42,
    "high": 0.67,
    "others": 0.3,
    "p_value": 0.001,
    "stands_out": "above",
}
MOVED: dict[str, Any] = {
    "quarter": "2026-Q2",
    "before_quarter": "2026-Q1",
    "dimension": "industry",
    "measure": "win_rate",
    "before": 0.5,
    "after": 0.65,
    "change": 0.15,
    "mix": 0.15,
    "within": 0.0,
}


def table(section: Section | None, caption: str) -> tuple[tuple[str, ...], ...]:
    assert section is not None
    (found,) = (each for each in section.tables if each.caption.startswith(caption))
    assert all(len(row) == len(found.head) for row in found.rows)
    return found.rows


def test_customers_show_their_groups_who_slips_away_and_who_moved() -> None:
    moves = [
        {"from_segment": "A", "to_segment": "A", "customers": 50, "days": 90},
        {"from_segment": "A", "to_segment": "B", "customers": 3, "days": 90},
        {"from_segment": "B", "to_segment": "A", "customers": 7, "days": 90},
    ]
    figures = {"customers": 30.0, "orders_12m": 44.2, "value_12m": 5_000.0}
    found = sections.customers([SEGMENT], moves, [SLIPPING] * 40, figures, ["Said."])
    assert found is not None
    assert found.sentences[0] == "44 orders are expected of them in the next 12 months, worth 5\u00a0k."
    assert found.sentences[1] == "Said."
    assert table(found, "Groups") == (
        ("Best customers", "12", "40\u00a0%", "9", "14", "12\u00a0k", "75\u00a0%"),
    )
    slipping = table(found, "Customers slipping away")
    assert len(slipping) == sections.SHOWN
    assert slipping[0] == ("A1", "8", "", "30 days", "120 days", "1.2\u00a0%")
    assert table(found, "Who moved between groups in the last 90 days") == (("B", "A", "7"), ("A", "B", "3"))


def test_the_market_shows_only_what_holds_and_splits_the_change() -> None:
    chance = {**STANDS_OUT, "group": "Retail", "stands_out": None}
    unbounded = {**STANDS_OUT, "measure": "growth", "value": 1.0, "low": 0.2, "high": None, "others": -0.1}
    won = {
        **MOVED,
        "measure": "won_value",
        "dimension": "win rate",
        "mix": None,
        "within": None,
        "change": -9_000.0,
    }
    found = sections.market([chance, STANDS_OUT, unbounded], [MOVED, won], ["Said."])
    assert [row[0] for row in table(found, "What stands out")] == ["Industry: Energy"] * 2
    assert table(found, "What stands out")[0][2:5] == (
        "55.0\u00a0%",
        "42.0\u00a0% to 67.0\u00a0%",
        "30.0\u00a0%",
    )
    assert table(found, "What stands out")[1][3] == "20\u00a0% to any"
    rows = table(found, "What moved from 2026-Q1 to 2026-Q2")
    assert rows[0] == (
        "Win rate",
        "Industry",
        "50.0\u00a0%",
        "65.0\u00a0%",
        "+15.0 points",
        "+15.0 points",
        "0.0 points",
    )
    assert rows[1][4:] == ("\u22129\u00a0k", "", "")


def test_data_quality_shows_faults_first_and_what_is_sure_to_be_worth_a_repair() -> None:
    summary = [
        {"figure": "records", "value": 100.0},
        {"figure": "data_quality", "value": 88.25},
        {"figure": "with_issues", "value": 40.0},
        {"figure": "duplicate_records", "value": 3.0},
    ]
    fields = [
        {"field": "email", "filled": 0.9, "kept": True, "not_valid": 4},
        {"field": "phone", "filled": 0.5, "kept": True, "not_valid": 0},
        {"field": "title", "filled": 0.01, "kept": False, "not_valid": 0},
        {"field": "owner_id", "filled": 1.0, "kept": True, "not_valid": 0},
    ]
    repair = [
        {"field": "country", "missing": 30, "gain": None, "low": None, "high": None},
        {"field": "lead_source", "missing": 30, "gain": 0.021, "low": 0.01, "high": 0.032},
    ]
    found = sections.quality({"lead": summary, "deal": []}, {"lead": fields}, {"lead": repair})
    assert table(found, "Records") == (("Leads", "100", "88.2", "40", "3"),)
    assert [row[0] for row in table(found, "Fields")] == ["Lead: phone", "Lead: email"]
    assert table(found, "What filling it") == (("Lead: lead source", "30", "0.021", "0.010–0.032"),)


def test_what_there_is_nothing_to_say_of_is_left_out() -> None:
    assert sections.customers([], [], [], {}, ["Said."]) is None
    assert sections.market([], [], ["Said."]) is None
    assert sections.quality({"lead": []}, {}, {}) is None
    nothing_holds = sections.market([{**STANDS_OUT, "stands_out": None}], [], ["None holds."])
    assert nothing_holds is not None
    assert nothing_holds.tables == ()
