"""What is gathered for the report is what the store holds as of the moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from crmbridge.report.collect import collect
from crmbridge.report.data import ReportData
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger
from tests.unit.report_store import DEALS, MOMENT, NAME, SEEN, filled


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, Lake]]:
    folder: Path = tmp_path_factory.mktemp("store")
    with filled(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def data(store: tuple[Ledger, Lake]) -> ReportData:
    return collect(*store, NAME, moment=MOMENT)


def test_records_are_counted_as_they_are_live(data: ReportData) -> None:
    assert data.records == {"lead": 6, "deal": 5, "account": 1, "rep": 3}


def test_only_open_records_count_for_the_spread_of_scores(data: ReportData) -> None:
    leads, deals = data.scores
    assert (leads.object, leads.scored, leads.abstained) == ("lead", 3, 1)
    assert leads.grades == {"A": 1, "B": 1, "C": 0, "D": 1}
    assert leads.bins.to_pylist() == [
        {"low": 0, "grade": "D", "records": 1},
        {"low": 40, "grade": "B", "records": 1},
        {"low": 80, "grade": "A", "records": 1},
    ]
    assert leads.means == {"A": 81.25, "B": 42.0, "D": 3.5}
    assert (deals.object, deals.scored, deals.abstained) == ("deal", 4, 0)
    assert data.scored == 7


def test_leads_to_call_come_by_score_and_converted_ones_are_left_out(data: ReportData) -> None:
    assert data.leads["id"].to_pylist() == ["L1", "L2", "L3"]
    assert data.leads_open == 4
    first = data.leads.to_pylist()[0]
    assert first["name"] == "Zoë Last"
    assert first["owner"] == "Ana Example"
    assert first["reasons_up"] == "up of L1"
    assert (first["score"], first["score_low"], first["score_high"]) == (81.25, 76.25, 86.25)


def test_deals_come_by_chance_times_amount_counted_double_where_stuck(data: ReportData) -> None:
    # 2 x 50 % of 8000 before 60 % of 10000, before 80 % of 500.50; a deal without an amount comes last.
    assert data.deals["id"].to_pylist() == ["D2", "D1", "D3", "D4"]
    assert data.deals["expected"].to_pylist() == [
        pytest.approx(4000.0),
        pytest.approx(6000.0),
        pytest.approx(400.4),
        None,
    ]
    assert data.deals["account"].to_pylist() == [None, "Account One", None, None]
    assert data.deals_open == 4


def test_money_in_stages_is_summed_per_currency_in_the_order_of_the_stages(data: ReportData) -> None:
    rows = [tuple(row.values())[:-1] for row in data.stages.to_pylist()]
    assert rows == [
        ("Proposal", "EUR", False, 1, pytest.approx(10000.0), pytest.approx(6000.0)),
        ("Proposal", "EUR", True, 1, pytest.approx(8000.0), pytest.approx(4000.0)),
        ("Negotiation", "EUR", False, 1, None, None),
        ("Negotiation", "USD", False, 1, pytest.approx(500.5), pytest.approx(400.4)),
    ]
    assert sum(row[3] for row in rows) == sum(stage != "Won" for stage, *_ in DEALS.values())


def test_what_the_deals_of_a_stage_bring_is_spread_as_if_each_were_won_or_lost_on_its_own(
    data: ReportData,
) -> None:
    # 60 % of 10000 and 50 % of 8000: p (1 - p) amount^2.
    assert data.stages["variance"].to_pylist()[:2] == [pytest.approx(0.24 * 1e8), pytest.approx(0.25 * 64e6)]


def test_the_funnel_begins_with_the_leads_and_its_rows_add_up(data: ReportData) -> None:
    rows = data.funnel.to_pylist()
    assert [row["stage"] for row in rows] == ["All leads", "Proposal", "Negotiation"]
    assert (rows[0]["entered"], rows[0]["moved_on"], rows[0]["lost"], rows[0]["still_open"]) == (6, 1, 1, 4)
    for row in rows:
        assert row["entered"] == row["moved_on"] + row["moved_back"] + row["lost"] + row["still_open"]


def test_reps_without_any_measured_time_are_left_out_and_a_nameless_one_has_its_id(data: ReportData) -> None:
    assert data.reps["name"].to_pylist() == ["Ana Example", "R2"]
    assert data.team == {"communication_efficiency": 1.75}


def test_groups_are_those_that_were_measured(data: ReportData) -> None:
    assert {name: rows["name"].to_pylist() for name, rows in data.groups.items()} == {"team": ["Inside"]}


def test_a_run_that_read_nothing_does_not_hide_what_was_set_aside_and_written_before(
    data: ReportData,
) -> None:
    assert data.set_aside_counts == {"lead": 1}
    assert data.set_aside["place"].to_pylist() == ["leads.csv:17"]
    assert data.read_by is not None
    assert data.read_by.status == "partly"
    assert data.written is not None
    assert data.written.quiet == 1
    assert (data.written.counts.planned, data.written.counts.sent, data.written.counts.rejected) == (6, 5, 1)
    assert data.written.codes == {"LOCKED": 1}
    assert data.written.rejected["message"].to_pylist() == ["entity is locked"]


def test_before_the_first_pull_nothing_was_known(store: tuple[Ledger, Lake]) -> None:
    before = collect(*store, NAME, moment=SEEN - timedelta(days=100))
    assert before.records == {}
    assert before.scores == ()
    assert before.deals.num_rows == 0
