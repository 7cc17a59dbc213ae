from __future__ import annotations

from datetime import UTC, datetime

import pytest

from crmbridge.errors import NotFoundError
from crmbridge.model.results import Model
from crmbridge.store.ledger import Ledger, StoredModel
from tests.conftest import Clock


def model(number: int, metric: str = "need") -> Model:
    return Model(
        metric=metric, object="lead", parameters={"a": number / 3}, card={"n": number, "text": "Grüße"}
    )


@pytest.fixture
def run(ledger: Ledger) -> int:
    return ledger.start_run("acme", "score", datetime(2026, 3, 31, tzinfo=UTC)).id


def published(ledger: Ledger) -> str | None:
    found = ledger.published("acme", "need", "lead")
    return None if found is None else found.model.name


def test_a_model_comes_back_as_it_was(ledger: Ledger, run: int, clock: Clock) -> None:
    ledger.store_model(run, "acme", model(1), "candidate")
    (stored,) = ledger.models("acme", "need", "lead")
    assert stored == StoredModel(model(1), "candidate", clock.moment, run, "acme")
    assert stored.model.name == model(1).name
    assert published(ledger) is None


def test_publishing_retires_the_former_model(ledger: Ledger, run: int) -> None:
    ledger.store_model(run, "acme", model(1), "published")
    ledger.store_model(run, "acme", model(2), "candidate")
    ledger.store_model(run, "acme", model(3, "value"), "published")
    assert published(ledger) == model(1).name
    assert ledger.publish("acme", model(2).name).status == "published"
    assert [(stored.model, stored.status) for stored in ledger.models("acme", "need", "lead")] == [
        (model(2), "published"),
        (model(1), "retired"),
    ]
    value = ledger.published("acme", "value", "lead")
    assert value is not None
    assert value.model == model(3, "value")


def test_the_same_model_again_changes_nothing(ledger: Ledger, run: int) -> None:
    ledger.store_model(run, "acme", model(1), "published")
    ledger.store_model(run, "acme", model(1), "published")
    ledger.store_model(run, "acme", model(1), "candidate")
    assert len(ledger.models("acme", "need", "lead")) == 1
    assert published(ledger) == model(1).name
    with pytest.raises(NotFoundError):
        ledger.revert("acme", "need", "lead")


def test_a_retired_model_that_is_fitted_again_can_be_published_again(ledger: Ledger, run: int) -> None:
    for number in (1, 2, 1):
        ledger.store_model(run, "acme", model(number), "published")
    assert published(ledger) == model(1).name
    assert ledger.revert("acme", "need", "lead").model == model(2)


def test_reverting_goes_back_step_by_step(ledger: Ledger, run: int) -> None:
    for number in (1, 2, 3):
        ledger.store_model(run, "acme", model(number), "published")
    ledger.store_model(run, "acme", model(4), "candidate")
    assert ledger.revert("acme", "need", "lead").model == model(2)
    assert ledger.revert("acme", "need", "lead").model == model(1)
    assert published(ledger) == model(1).name
    with pytest.raises(NotFoundError, match="before the one in use"):
        ledger.revert("acme", "need", "lead")
    ledger.publish("acme", model(4).name)
    assert ledger.revert("acme", "need", "lead").model == model(1)


def test_a_connection_s_models_are_its_own(ledger: Ledger, run: int) -> None:
    ledger.store_model(run, "acme", model(1), "published")
    ledger.store_model(run, "globex", model(1), "candidate")
    assert ledger.published("globex", "need", "lead") is None
    with pytest.raises(NotFoundError, match="globex"):
        ledger.publish("globex", model(2).name)
