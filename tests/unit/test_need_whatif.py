"""What if: the one change that would raise a score most, and that a person can make."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import ModuleType
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.need import NeedMetric
from crmbridge.metrics.need.columns import EMPTY, Column
from crmbridge.metrics.need.design import Design, Field, Matrix
from crmbridge.metrics.need.explain import GroupRates
from crmbridge.metrics.need.texts import en, zh
from crmbridge.metrics.need.whatif import best_changes, next_stages
from crmbridge.model.columns import to_table
from crmbridge.model.records import StageChange
from tests.unit.need_organisation import NOW, frame, leads

ROWS = 60
STAGES = ("Discovery", "Proposal", "Negotiation")
FOLLOWING = {"Discovery": "Proposal", "Proposal": "Negotiation"}


def number(name: str) -> Field:
    return Field(name, "number", (), 2.0, 1.5, (1.0, 2.0, 5.0), 0.0, 40.0)


DESIGN = Design(
    (
        Field("age", "bands", ("0-6", "7+"), edges=(0.0, 7.0)),
        number("contacts"),
        number("days_since_contact"),
        Field("industry", "category", ("Retail",)),
        Field("phone", "filled", ("",)),
        Field("attributes.Budget", "category", ("high", "low")),
        number("attributes.Seats"),
        Field("stage", "category", STAGES),
    )
)
SEEN = {"filled": (10, 0, 12)}
"""Records in each group of a kind of field; 10, 11, 12, ... where it is not said."""
RATES = [
    GroupRates(SEEN.get(field.kind, tuple(range(10, 10 + field.groups))), (0.5,) * field.groups, 0.5)
    for field in DESIGN.fields
]


def columns(seed: int) -> dict[str, Column]:
    rng = np.random.default_rng(seed)

    def numbers(name: str) -> Column:
        drawn = np.round(rng.gamma(1, 6, ROWS))
        return Column.of_numbers(name, np.where(rng.random(ROWS) < 0.3, np.nan, drawn))

    def codes(name: str, levels: tuple[str, ...]) -> Column:
        return Column.of_codes(name, rng.integers(EMPTY, len(levels), ROWS).astype(np.int32), levels)

    found = [
        *(numbers(name) for name in ("age", "contacts", "days_since_contact", "attributes.Seats")),
        codes("industry", ("Retail",)),
        codes("phone", ("",)),
        codes("attributes.Budget", ("high", "low")),
        codes("stage", STAGES),
    ]
    return {column.name: column for column in found}


def changed(known: dict[str, Column], seed: int, theta: np.ndarray) -> tuple[np.ndarray, list[str | None]]:
    """By brute force: the highest log-odds after any allowed change, each record encoded anew."""

    def logit(name: str, column: Column) -> np.ndarray:
        return DESIGN.encode(known | {name: column}, ROWS).logit(theta)

    options: list[tuple[str, np.ndarray]] = []
    contacts, since = known["contacts"].numbers, known["days_since_contact"].numbers
    assert contacts is not None
    assert since is not None
    options.append(("contacts", logit("contacts", Column.of_numbers("contacts", contacts + 1))))
    options.append(
        ("days_since_contact", logit("days_since_contact", Column.of_numbers("x", np.zeros(ROWS))))
    )
    full = np.zeros(ROWS, np.int32)
    options.append(("phone", logit("phone", Column.of_codes("phone", full, ("",)))))
    for name, field in (("attributes.Budget", DESIGN.fields[5]), ("attributes.Seats", DESIGN.fields[6])):
        missing = ~known[name].present
        if field.kind == "number":
            filled = logit(name, Column.of_numbers(name, np.full(ROWS, field.median)))
        else:
            share = np.array([10.0, 11.0, 12.0]) / 33.0
            levels = ("high", "low", "a rare one")
            each = [logit(name, Column.of_codes(name, full + place, levels)) for place in range(3)]
            filled = share @ np.array(each)
        options.append((name, np.where(missing, filled, -np.inf)))
    stage = known["stage"].codes
    assert stage is not None
    onward = np.array([1, 2, EMPTY, EMPTY], np.int32)[stage]
    moved = logit("stage", Column.of_codes("stage", onward, STAGES))
    options.append(("stage", np.where(onward == EMPTY, -np.inf, moved)))
    now = DESIGN.encode(known, ROWS).logit(theta)
    table = np.array([values for _, values in options])
    best = table.max(axis=0)
    worth = best - now > 0.05
    names = [
        options[int(place)][0] if ok else None for place, ok in zip(table.argmax(axis=0), worth, strict=True)
    ]
    return np.where(worth, best, np.nan), names


@pytest.mark.parametrize("seed", range(8))
def test_the_best_change_is_that_of_trying_every_one(seed: int) -> None:
    theta = np.random.default_rng(100 + seed).normal(0, 1, DESIGN.width)
    known = columns(seed)
    matrix: Matrix = DESIGN.encode(known, ROWS)
    found = best_changes(matrix, theta, matrix.logit(theta), known, RATES, FOLLOWING, en, 90)
    best, names = changed(known, seed, theta)
    assert found["what_if_input"].to_pylist() == names
    expected = [None if np.isnan(logit) else round(100 / (1 + np.exp(-logit)), 2) for logit in best]
    assert found["what_if_score"].to_pylist() == [
        None if score is None else pytest.approx(score, abs=0.011) for score in expected
    ]
    assert [said is None for said in found["what_if"].to_pylist()] == [name is None for name in names]


def test_the_change_is_said_with_what_is_and_what_would_be() -> None:
    theta = np.zeros(DESIGN.width)
    offset = dict(zip((field.name for field in DESIGN.fields), DESIGN.offsets, strict=True))
    known = columns(1) | {
        "days_since_contact": Column.of_numbers("days_since_contact", np.full(ROWS, 30.0)),
        "stage": Column.of_codes("stage", np.zeros(ROWS, np.int32), STAGES),
    }
    matrix = DESIGN.encode(known, ROWS)

    def said_in(text: ModuleType) -> set[str | None]:
        found = best_changes(matrix, theta, matrix.logit(theta), known, RATES, FOLLOWING, text, 90)
        return set(found["what_if"].to_pylist())

    theta[offset["days_since_contact"]] = -1.0
    assert said_in(en) == {"Days since the last contact: 30 → 0"}
    assert said_in(zh) == {"距上次联系的天数：30 → 0"}
    theta[:] = 0.0
    theta[offset["stage"] + 1] = 1.0
    assert said_in(en) == {"Stage: Discovery → Proposal"}
    assert said_in(zh) == {"阶段：Discovery → Proposal"}


def test_a_lead_whose_gap_is_filled_gets_the_score_that_was_foretold() -> None:
    rng = np.random.default_rng(5)
    past = []
    for lead in leads(1500, seed=9):
        has = bool(rng.random() < (0.8 if lead.is_converted else 0.4))
        past.append(lead.model_copy(update={"phone": f"+49 {lead.id}" if has else None}))
    metric = NeedMetric(MetricSettings())
    model = metric.fit("lead", frame({"lead": past}))
    assert model.card["published"] == "full"
    results = metric.apply("lead", frame({"lead": past}), model)
    assert results.details is not None
    rows = [
        row | {"score": score}
        for row, score in zip(results.details.to_pylist(), results.values["score"].to_pylist(), strict=True)
        if row["what_if_input"] == "phone"
    ]
    assert rows
    assert {row["what_if"] for row in rows} == {"Phone: fill it in"}
    filled = {row["id"] for row in rows}
    later = [
        lead.model_copy(update={"phone": f"+49 {lead.id}"}) if lead.id in filled else lead for lead in past
    ]
    again = metric.apply("lead", frame({"lead": later}), model).values.to_pylist()
    scores = {row["id"]: row["score"] for row in again}
    for row in rows:
        assert row["what_if_score"] == pytest.approx(scores[row["id"]], abs=0.011)
        assert row["what_if_score"] > row["score"]


def test_nothing_that_nobody_can_change_is_proposed() -> None:
    past = [
        lead.model_copy(update={"industry": "Retail" if lead.is_converted or n % 3 == 0 else None})
        for n, lead in enumerate(leads(800, seed=3))
    ]
    metric = NeedMetric(MetricSettings(include=("industry",)))
    known = frame({"lead": past})
    results = metric.apply("lead", known, metric.fit("lead", known))
    assert results.details is not None
    assert "contribution.industry" in results.details.column_names
    assert set(results.details["what_if_input"].to_pylist()) <= {None, "attributes.budget"}


def test_the_next_stage_is_where_deals_usually_go_and_never_a_stage_the_model_does_not_know() -> None:
    moves = [
        *[("Discovery", "Proposal")] * 3,
        *[("Discovery", "Won")] * 9,
        *[("Discovery", "Negotiation")] * 2,
        *[("Proposal", "Discovery")] * 2,
        *[("Proposal", "Negotiation")] * 2,
        ("Negotiation", "Negotiation"),
        (None, "Discovery"),
    ]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    changes = [
        StageChange(id=str(n), deal_id="d", from_stage=source, to_stage=target, at=at)
        for n, (source, target) in enumerate(moves)
    ]
    known = Frame.of({"stage_change": to_table("stage_change", changes)}, moment=NOW, zone=ZoneInfo("UTC"))
    assert next_stages(known, DESIGN) == {"Discovery": "Proposal", "Proposal": "Discovery"}
    cut = replace(known, scan=lambda name, wanted: iter(_one_by_one(known, wanted)))
    assert next_stages(cut, DESIGN) == next_stages(known, DESIGN)
    assert next_stages(known, Design(DESIGN.fields[:-1])) == {}


def _one_by_one(known: Frame, wanted: object) -> list[pa.RecordBatch]:
    return known.table("stage_change", list(wanted)).to_batches(max_chunksize=1)  # type: ignore[call-overload]
