"""A model card as people read it: on a terminal and in the report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from crmbridge import display
from crmbridge.metrics.base import MetricSettings
from crmbridge.metrics.need import NeedMetric
from crmbridge.model.results import Model
from crmbridge.report.cards import card_of
from crmbridge.report.html import contests
from crmbridge.report.terminal import model_card
from crmbridge.report.words import ENGLISH
from crmbridge.store.ledger import StoredModel
from tests.unit.need_organisation import NOW, frame, leads
from tests.unit.test_need_arena import organisation_with_rival

FITTED = datetime(2026, 1, 1, tzinfo=UTC)


def _text(page: object) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(page)
    return capture.get()


def _stored(model: Model, status: str = "published") -> StoredModel:
    return StoredModel(model, status, FITTED, 7, "acme")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def with_rival() -> Model:
    return NeedMetric(MetricSettings()).fit("lead", organisation_with_rival("IqScore", knows=1.0))


def test_the_terminal_shows_every_figure_with_its_interval_beside_the_base_rate(with_rival: Model) -> None:
    text = _text(model_card(_stored(with_rival)))
    for heading in ("On the test", "Calibration", "Grades on the test", "What has changed", "Other scores"):
        assert heading in text, heading
    for figure in card_of(with_rival).figures:
        (line,) = [line for line in text.splitlines() if line.startswith(f"{figure.name}  ")]
        assert f"{figure.model.value:.3f} (90 %: {figure.model.low:.3f} to {figure.model.high:.3f})" in line
        if figure.base_rate is not None:
            assert f"{figure.base_rate.value:.3f}" in line
    for bound in ("A (70)", "B (40)", "C (20)"):
        assert bound in text


def test_a_rival_who_is_ahead_is_said_to_be_on_the_terminal_and_in_the_report(with_rival: Model) -> None:
    text = _text(model_card(_stored(with_rival)))
    (line,) = [line for line in text.splitlines() if line.startswith("IqScore")]
    assert line.rstrip().endswith("yes")
    ours, theirs = contests(ENGLISH, card_of(with_rival))
    assert (ours[0], ours[-1]) == ("crmbridge", "")
    assert (theirs[0], theirs[-1]) == ("IqScore", "yes")
    assert all("to" in cell for cell in theirs[2:5])


def test_a_rival_not_known_in_time_is_said_to_be_waited_for() -> None:
    frame_ = organisation_with_rival("IqScore", knows=1.0, first_pull=True, number=700)
    model = NeedMetric(MetricSettings()).fit("lead", frame_)
    assert "too few known in time so far" in _text(model_card(_stored(model)))
    assert contests(ENGLISH, card_of(model))[0][2] == "too few known in time so far"


def test_the_model_in_use_before_stands_beside_the_new_one() -> None:
    metric = NeedMetric(MetricSettings())
    rows = leads(1500)
    then = NOW - timedelta(days=150)
    known = [row for row in rows if row.created_at and row.created_at <= then - timedelta(days=61)]
    old = metric.fit("lead", frame({"lead": known}, moment=then))
    old = old.model_copy(update={"card": {**old.card, "fitted": {"moment": then.isoformat()}}})
    model = metric.refit("lead", frame({"lead": rows}), old)
    text = _text(model_card(_stored(model)))
    assert f"{old.name}, on outcomes since" in text
    (line,) = [line for line in text.splitlines() if line.startswith("AUC  ")]
    previous = card_of(model).figures[0].previous
    assert previous is not None
    assert f"{previous.value:.3f}" in line


def test_a_model_that_was_held_back_is_said_to_be_in_the_list(with_rival: Model) -> None:
    gate = {**with_rival.card["gate"], "publish": False}  # type: ignore[dict-item]
    held = with_rival.model_copy(update={"card": {**with_rival.card, "gate": gate}})
    stored = [_stored(held, "candidate"), _stored(with_rival)]
    assert [row["held_back"] for row in display.model_dicts(stored)] == [True, False]
    assert "candidate, held back" in _text(display.models(stored))
