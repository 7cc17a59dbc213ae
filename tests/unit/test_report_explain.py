"""Explanations and model cards, from a model that was really fitted and results that were really stored."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic_core import to_json
from rich.console import Console, RenderableType

from crmbridge.errors import NotFoundError
from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.efficiency import EfficiencyMetric
from crmbridge.metrics.need import NeedMetric
from crmbridge.model.columns import to_table
from crmbridge.model.records import Lead
from crmbridge.model.results import Model
from crmbridge.report.cards import card_of
from crmbridge.report.explain import explain
from crmbridge.report.terminal import explanation_page, model_card
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger, StoredModel

MOMENT = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)
NAME = "acme"
NOTES = ("budget", "timing")
POINTS = 0.5
"""What every score has risen by since 40 days ago."""


def _leads() -> list[Lead]:
    """Referrals convert often, others seldom; `Closing note` is filled at closing only: a leak."""
    chance = random.Random(7)
    leads = []
    for number in range(1200):
        referred, region = chance.random() < 0.3, chance.choice(["North", "South"])
        created = MOMENT - timedelta(days=chance.uniform(1, 700))
        closed = created + timedelta(days=chance.uniform(2, 60))
        done, won = closed < MOMENT, chance.random() < (0.6 if referred else 0.08)
        reachable = chance.random() < (0.9 if won else 0.4)
        leads.append(
            Lead(
                id=f"L{number}",
                created_at=created,
                modified_at=min(closed, MOMENT),
                company=f"Company [bold]{number}",
                lead_source="Referral" if referred else "Web",
                phone=f"+49 {number}" if reachable else None,
                is_converted=done and won,
                converted_at=closed if done and won else None,
                is_disqualified=done and not won,
                closed_at=closed if done else None,
                attributes={"Region": region, "Closing note": chance.choice(NOTES) if done else None},
            )
        )
    return leads


@dataclass(frozen=True)
class Store:
    ledger: Ledger
    lake: Lake
    model: Model


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder: Path = tmp_path_factory.mktemp("store")
    table = to_table("lead", _leads())
    frame = Frame.of({"lead": table}, moment=MOMENT, zone=ZoneInfo("UTC"))
    metric = NeedMetric(MetricSettings())
    model = metric.fit("lead", frame)
    results = metric.apply("lead", frame, model)
    assert results.details is not None
    rows = results.values
    for name in results.details.column_names[1:]:
        rows = rows.append_column(name, results.details[name])
    with Ledger.open(f"sqlite:///{folder / 'ledger.db'}", clock=lambda: MOMENT) as ledger:
        lake = Lake(folder / "lake", ledger)
        with ledger.lease(f"connection/{NAME}"):
            run = ledger.start_run(NAME, "sync", MOMENT).id
            lake.append(NAME, "lead", table, run=run, seen_at=MOMENT)
            lower = pc.subtract(rows["score"], POINTS)
            earlier = rows.set_column(rows.column_names.index("score"), "score", lower)
            lake.append(NAME, "result/need/lead", earlier, run=run, seen_at=MOMENT - timedelta(days=40))
            lake.append(NAME, "result/need/lead", rows, run=run, seen_at=MOMENT)
            lake.append(NAME, "lead", table.slice(0, 0), run=run, seen_at=MOMENT, deleted=["L0"])
            ledger.store_model(run, NAME, model, "published")
        yield Store(ledger, lake, model)


def _open_lead(store: Store) -> str:
    batch = next(store.lake.scan(NAME, "result/need/lead", ["id", "score"], at=MOMENT))
    return next(row["id"] for row in batch.to_pylist() if row["score"] is not None)


def _shown(page: RenderableType) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(page)
    return console.export_text()


def test_the_change_that_would_raise_the_score_most_is_shown_with_both_scores(store: Store) -> None:
    batch = next(store.lake.scan(NAME, "result/need/lead", ["id", "what_if_input"], at=MOMENT))
    id = next(row["id"] for row in batch.to_pylist() if row["what_if_input"] == "phone")
    found = explain(store.ledger, store.lake, NAME, "lead", id, moment=MOMENT)
    what = found.what_if
    assert what is not None
    assert (what.input, what.label, what.change) == ("phone", "Phone", "Phone: fill it in")
    assert what.before == found.score
    assert what.after > what.before
    line = f"{what.change}: the score would go from {what.before:.2f} to {what.after:.2f}"
    assert line in _shown(explanation_page(found))
    assert json.loads(to_json(found))["what_if"]["after"] == what.after


def test_the_trend_is_shown_with_the_score_it_compares_with(store: Store) -> None:
    found = explain(store.ledger, store.lake, NAME, "lead", _open_lead(store), moment=MOMENT)
    assert found.score is not None
    assert found.month_ago is not None
    assert found.month_ago.score == pytest.approx(found.score - POINTS)
    assert f"({found.score - POINTS:.2f} a month ago)" in _shown(explanation_page(found))


def test_contributions_add_up_to_the_score(store: Store) -> None:
    found = explain(store.ledger, store.lake, NAME, "lead", _open_lead(store), moment=MOMENT)
    assert found.score is not None
    assert found.base_log_odds is not None
    assert found.contributions
    total = found.base_log_odds + sum(each.log_odds for each in found.contributions)
    assert 100 / (1 + math.exp(-total)) == pytest.approx(found.score, abs=0.005)
    assert found.adds_up
    assert found.difference == pytest.approx(0, abs=1e-9)
    assert [abs(each.log_odds) for each in found.contributions] == sorted(
        (abs(each.log_odds) for each in found.contributions), reverse=True
    )
    source = next(each for each in found.contributions if each.input == "lead_source")
    assert (source.label, source.value) == ("Lead source", found.values["lead_source"])
    assert source.odds == pytest.approx(math.exp(source.log_odds))
    region = next(each for each in found.contributions if each.input == "attributes.Region")
    assert region.value == found.values["Region"]


def test_a_result_that_does_not_add_up_is_told(store: Store) -> None:
    id = _open_lead(store)
    row = next(row for row in store.lake.history(NAME, "result/need/lead", id) if not row["deleted"])
    broken = pa.Table.from_pylist(
        [
            {name: value for name, value in row.items() if name not in ("valid_from", "seen_at", "deleted")}
            | {"logit": 9.0}
        ]
    )
    later = MOMENT + timedelta(days=1)
    with store.ledger.lease(f"connection/{NAME}"):
        run = store.ledger.start_run(NAME, "score", later).id
        store.lake.append(NAME, "result/need/lead", broken, run=run, seen_at=later)
    found = explain(store.ledger, store.lake, NAME, "lead", id, moment=later)
    assert found.adds_up is False
    assert "misses it by" in _shown(explanation_page(found))
    assert [each.since for each in found.history][-2:] == [MOMENT, later]
    before = explain(store.ledger, store.lake, NAME, "lead", id, moment=MOMENT)
    assert before.adds_up
    assert before.history[-1].since == MOMENT


def test_a_closed_lead_has_no_score_and_says_why(store: Store) -> None:
    scored = {
        row
        for batch in store.lake.scan(NAME, "result/need/lead", ["id"], at=MOMENT)
        for row in batch["id"].to_pylist()
    }
    closed = next(f"L{number}" for number in range(1, 1200) if f"L{number}" not in scored)
    found = explain(store.ledger, store.lake, NAME, "lead", closed, moment=MOMENT)
    assert found.score is None
    assert found.why_not is not None
    assert "Only open leads are scored" in _shown(explanation_page(found))
    assert found.values["Closing note"] in NOTES


def test_an_unknown_and_a_deleted_record_are_told_apart(store: Store) -> None:
    with pytest.raises(NotFoundError, match="there is no lead nobody") as unknown:
        explain(store.ledger, store.lake, NAME, "lead", "nobody", moment=MOMENT)
    assert "crmbridge sync acme" in str(unknown.value)
    with pytest.raises(NotFoundError, match="lead L0 was deleted"):
        explain(store.ledger, store.lake, NAME, "lead", "L0", moment=MOMENT)


def test_an_explanation_is_plain_json_and_markup_in_names_is_text(store: Store) -> None:
    found = explain(store.ledger, store.lake, NAME, "lead", _open_lead(store), moment=MOMENT)
    data = json.loads(to_json(found))
    assert data["score"] == found.score
    assert data["contributions"][0]["input"] == found.contributions[0].input
    page = _shown(explanation_page(found))
    assert "Company [bold]" in page
    assert "adds up" in page
    assert f"{found.score:.2f}" in page


def test_a_card_gives_the_models_own_figures(store: Store) -> None:
    card, own = card_of(store.model), store.model.card
    assert card.model == store.model.name
    assert list(card.verdict) == own["verdict"]
    assert card.auc is not None
    assert card.auc.value == own["metrics"]["auc_all_inputs"]["value"]  # type: ignore[index, call-overload]
    assert sum(found.records for found in card.calibration) > 0
    assert [name for name, _ in card.blocked] == ["Closing note"]
    page = _shown(model_card(StoredModel(store.model, "published", MOMENT, 1, NAME)))
    assert "Closing note" in page
    assert f"{card.auc.value:.3f}" in page
    assert card.verdict[0][:60] in page


def test_a_model_that_learned_nothing_has_a_card_too() -> None:
    frame = Frame.of({"lead": to_table("lead", [])}, moment=MOMENT, zone=ZoneInfo("UTC"))
    model = NeedMetric(MetricSettings()).fit("lead", frame)
    card = card_of(model)
    assert (card.level, card.outcomes, card.auc, card.calibration) == ("none", 0, None, ())
    assert _shown(model_card(StoredModel(model, "published", MOMENT, 1, NAME)))


def test_the_card_of_another_metric_is_shown_as_it_stands() -> None:
    frame = Frame.of({}, moment=MOMENT, zone=ZoneInfo("UTC"))
    model = EfficiencyMetric(MetricSettings()).fit("rep", frame)
    page = _shown(model_card(StoredModel(model, "published", MOMENT, 1, NAME)))
    assert "window_days" in page
