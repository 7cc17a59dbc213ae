"""The sample organisation: reproducible, believable, and true to what it says is planted."""

from __future__ import annotations

import csv
import tomllib
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crmbridge.demo import planted
from crmbridge.demo.exports import FILES
from crmbridge.demo.generate import generate
from crmbridge.demo.planted import Truth
from crmbridge.model.records import RECORDS

NOW = datetime(2026, 3, 31, 8, tzinfo=UTC)
Row = dict[str, str]
Rows = dict[str, list[Row]]


def read(directory: Path, truth: Truth) -> Rows:
    """All good rows, by object."""
    rows: Rows = {}
    for name, file in FILES.items():
        with (directory / "crm" / file).open(encoding="utf-8", newline="") as stream:
            rows[name] = list(csv.DictReader(stream))[: truth.counts[name]]
    return rows


@pytest.fixture(scope="module")
def organisation(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth, Rows]:
    directory = tmp_path_factory.mktemp("demo")
    truth = generate(directory, seed=7, moment=NOW)
    return directory, truth, read(directory, truth)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_the_same_seed_and_moment_give_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    sizes = {"leads": 60, "deals": 40, "activities": 500, "orders": 30, "reps": 3}
    names = ("one", "same", "other")
    for name, seed in zip(names, (1, 1, 2), strict=True):
        generate(tmp_path / name, seed=seed, moment=NOW, **sizes)
    for file in FILES.values():
        one, same, other = ((tmp_path / name / "crm" / file).read_bytes() for name in names)
        assert one == same
        assert one != other


def test_there_are_as_many_records_as_asked_for(organisation: tuple[Path, Truth, Rows]) -> None:
    _, truth, rows = organisation
    wanted = {"lead": 4000, "deal": 2500, "activity": 40_000, "order": 3000, "rep": 12}
    assert {name: truth.counts[name] for name in wanted} == wanted  # type: ignore[index]
    for name, found in rows.items():
        key = next(iter(found[0]))
        assert len({row[key] for row in found}) == truth.counts[name] == len(found)  # type: ignore[index]


def test_every_reference_leads_to_a_record(organisation: tuple[Path, Truth, Rows]) -> None:
    _, _, rows = organisation
    ids = {row[key] for found in rows.values() for key in [next(iter(found[0]))] for row in found} | {""}
    for found in rows.values():
        for column in found[0]:
            if column.endswith(" ID"):
                assert {row[column] for row in found} <= ids, column


def test_nothing_happens_after_the_moment_or_before_the_creation(
    organisation: tuple[Path, Truth, Rows],
) -> None:
    _, _, rows = organisation
    for found in rows.values():
        dates = [c for c in found[0] if c.endswith("Date") or c in ("Start", "End")]
        for row in found:
            known = [at(row[column]) for column in dates if row[column]]
            assert max(known) <= NOW
            if row.get("Created Date"):
                assert min(known) >= at(row["Created Date"])


def test_the_rates_are_those_of_a_believable_team(organisation: tuple[Path, Truth, Rows]) -> None:
    _, truth, rows = organisation
    leads, deals = rows["lead"], rows["deal"]
    converted = sum(row["Converted"] == "true" for row in leads)
    closed = sum(bool(row["Closed Date"]) for row in leads)
    assert 0.12 <= converted / len(leads) <= 0.18
    assert 700 <= len(leads) - closed <= 1100
    stages = Counter(row["Stage"] for row in deals)
    won, lost = stages["Closed Won"], stages["Closed Lost"]
    assert 0.25 <= won / (won + lost) <= 0.35
    assert 300 <= len(deals) - won - lost <= 500
    assert truth.lead_auc is not None
    assert truth.deal_auc is not None
    assert 0.75 <= truth.lead_auc <= 0.85
    assert 0.73 <= truth.deal_auc <= 0.85


def test_leads_convert_as_often_as_their_planted_chance_says(
    organisation: tuple[Path, Truth, Rows],
) -> None:
    """The chances are computed again from the exported columns alone, and compared with what came."""
    _, truth, rows = organisation
    effects = truth.lead_coefficients
    acts: dict[str, list[datetime]] = defaultdict(list)
    for row in rows["activity"]:
        if row["Lead ID"]:
            acts[row["Lead ID"]].append(at(row["Start"]))
    chances, outcomes = [], []
    waiting = "ln(1 + hours to the first activity), of 168 where there is none"
    for row in rows["lead"]:
        created = at(row["Created Date"])
        if created > NOW - timedelta(days=100):
            continue  # not yet decided
        early = [t for t in acts[row["Lead ID"]] if t <= created + timedelta(days=7)]
        hours = min((min(early) - created).total_seconds() / 3600, 168) if early else 168.0
        log_odds = truth.lead_intercept
        log_odds += effects[f"Lead Source = {row['Lead Source']}"] + effects[f"Industry = {row['Industry']}"]
        if row["Employees"]:
            log_odds += effects["ln(Employees / 60), 0 where unknown"] * np.log(int(row["Employees"]) / 60)
        log_odds += effects["Annual Budget Approved = true"] * (row["Annual Budget Approved"] == "true")
        log_odds += effects["activities in the first 7 days, at most 5"] * min(len(early), 5)
        log_odds += effects[waiting] * np.log1p(hours)
        chances.append(1 / (1 + np.exp(-log_odds)))
        outcomes.append(row["Converted"] == "true")
    chance, outcome = np.array(chances), np.array(outcomes)
    order = np.argsort(chance)
    for fifth in np.array_split(order, 5):
        expected = chance[fifth].sum()
        deviation = np.sqrt((chance[fifth] * (1 - chance[fifth])).sum())
        assert abs(outcome[fifth].sum() - expected) <= 3.5 * deviation


def test_reps_are_as_efficient_as_planted(organisation: tuple[Path, Truth, Rows]) -> None:
    _, truth, rows = organisation
    outcomes: Counter[str] = Counter()
    hours: dict[str, float] = defaultdict(float)
    for row in rows["activity"]:
        if row["Type"] == "Meeting" and row["End"]:
            seconds = (at(row["End"]) - at(row["Start"])).total_seconds()
        elif row["Type"] == "Call" and row["Duration (s)"]:
            seconds = float(row["Duration (s)"])
        else:
            continue
        hours[row["Owner ID"]] += seconds / 3600
        outcomes[row["Owner ID"]] += row["Outcome"] in ("Connected", "Held")
    rates = {rep: outcomes[rep] / hours[rep] for rep in truth.communication_efficiency}
    for rep, rate in truth.communication_efficiency.items():
        assert rates[rep] == pytest.approx(rate, rel=0.15)
    assert max(rates.values()) > 1.5 * min(rates.values())


def test_the_bottleneck_is_where_deals_stay_longest(organisation: tuple[Path, Truth, Rows]) -> None:
    _, truth, rows = organisation
    stays: dict[str, list[float]] = defaultdict(list)
    for one, following in pairwise(rows["stage_change"]):
        if one["Opportunity ID"] == following["Opportunity ID"]:
            assert one["To Stage"] == following["From Stage"]
            days = (at(following["Changed Date"]) - at(one["Changed Date"])).total_seconds() / 86_400
            stays[one["To Stage"]].append(days)
    means = {stage: float(np.mean(days)) for stage, days in stays.items()}
    assert max(means, key=means.__getitem__) == truth.bottleneck
    assert means[truth.bottleneck] > 2 * sorted(means.values())[-2]
    last = {row["Opportunity ID"]: row["To Stage"] for row in rows["stage_change"]}
    assert last == {row["Opportunity ID"]: row["Stage"] for row in rows["deal"]}
    order = {stage: n for n, stage in enumerate(planted.STAGES)}
    backward = sum(
        order[row["To Stage"]] < order[row["From Stage"]]
        for row in rows["stage_change"]
        if row["From Stage"] and row["To Stage"] in order
    )
    assert backward > 20


def test_leaks_are_filled_only_when_the_outcome_is_known(organisation: tuple[Path, Truth, Rows]) -> None:
    _, truth, rows = organisation
    for name, columns in truth.leaks.items():
        for column in columns:
            filled = [row for row in rows[name] if row[column]]
            assert filled
            assert all(row["Closed Date"] for row in filled)


def test_bad_rows_stand_where_the_truth_says(organisation: tuple[Path, Truth, Rows]) -> None:
    directory, truth, _ = organisation
    assert {bad.wrong for bad in truth.bad_rows} == {"date", "missing id", "id twice", "kind", "number"}
    for bad in truth.bad_rows:
        with (directory / "crm" / bad.file).open(encoding="utf-8", newline="") as stream:
            lines = list(csv.reader(stream))
        row = dict(zip(lines[0], lines[bad.line - 1], strict=True))
        key = lines[0][0]
        wrong: dict[str, Any] = {
            "date": lambda row=row: row["Created Date"] == "2025-02-30",
            "missing id": lambda row=row, key=key: row[key] == "",
            "id twice": lambda row=row, lines=lines: sum(line[0] == row[lines[0][0]] for line in lines) == 2,
            "kind": lambda row=row: row["Type"] == "Carrier pigeon",
            "number": lambda row=row: row["Amount"] == "12O.50",
        }
        assert wrong[bad.wrong]()


def test_stale_deals_are_open_and_nobody_works_on_them_for_long(
    organisation: tuple[Path, Truth, Rows],
) -> None:
    _, truth, rows = organisation
    deals = {row["Opportunity ID"]: row for row in rows["deal"]}
    assert len(truth.stale_deals) > 50
    assert not any(deals[id]["Closed Date"] for id in truth.stale_deals)


def test_the_settings_map_columns_that_exist_to_fields_of_the_model(
    organisation: tuple[Path, Truth, Rows],
) -> None:
    directory, _, rows = organisation
    connection = tomllib.loads((directory / "crmbridge.toml").read_text(encoding="utf-8"))["connections"][
        "demo"
    ]
    assert connection["timezone"] == "Europe/Berlin"
    for name, record in RECORDS.items():
        options = connection[name]
        assert options["file"] == FILES[name]
        assert options["id"] in rows[name][0]
        assert set(options["fields"].values()) <= set(rows[name][0])
        assert set(options["fields"]) <= set(record.model_fields)
    assert set(connection["activity"]["outcomes"]) == {row["Outcome"] for row in rows["activity"]} - {""}


@pytest.mark.parametrize(
    "sizes",
    [
        {"leads": 0, "deals": 0, "activities": 0, "orders": 0, "reps": 1},
        {"leads": 1, "deals": 1, "activities": 1, "orders": 1, "reps": 1},
        {"leads": 0, "deals": 30, "activities": 10, "orders": 500, "reps": 2},
        {"leads": 300, "deals": 0, "activities": 50, "orders": 10, "reps": 2},
    ],
)
def test_any_size_works(tmp_path: Path, sizes: dict[str, int]) -> None:
    truth = generate(tmp_path, seed=3, moment=NOW, **sizes)
    rows = read(tmp_path, truth)
    assert len(rows["lead"]) == sizes["leads"]
    assert len(rows["deal"]) == sizes["deals"]
    assert len(rows["rep"]) == sizes["reps"]


def test_several_blocks_make_one_organisation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = {"leads": 40, "deals": 30, "activities": 400, "orders": 30}
    monkeypatch.setattr("crmbridge.demo.generate._BLOCK", blocks)
    truth = generate(tmp_path, seed=3, moment=NOW, leads=150, deals=100, activities=1500, orders=100, reps=4)
    rows = read(tmp_path, truth)
    assert [row["Lead ID"] for row in rows["lead"]] == [f"L{n:07d}" for n in range(1, 151)]
    assert len({row["Activity ID"] for row in rows["activity"]}) == 1500
    deals = {row["Opportunity ID"]: row for row in rows["deal"]}
    for row in rows["lead"]:
        if row["Converted Opportunity ID"]:
            assert deals[row["Converted Opportunity ID"]]["Lead ID"] == row["Lead ID"]


def test_a_naive_moment_and_impossible_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="aware"):
        generate(tmp_path, seed=1, moment=NOW.replace(tzinfo=None))
    with pytest.raises(ValueError, match="rep"):
        generate(tmp_path, seed=1, moment=NOW, reps=0)
