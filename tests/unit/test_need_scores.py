"""Scores: what is learned, how sure it is, why, and what to do next."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crmbridge.metrics.base import MetricSettings
from crmbridge.metrics.need import NeedMetric
from crmbridge.metrics.need.logistic import probability
from crmbridge.model.columns import to_table
from crmbridge.model.fields import result_schema
from crmbridge.model.records import Account, Deal, Lead, Order, Rep, StageChange
from crmbridge.model.results import Model, Results
from tests.unit.need_organisation import NOW, SOURCES, calls, chance, frame, leads, with_versions


def _fit(records: Any, object_name: Any = "lead", **settings: Any) -> tuple[Model, Results]:
    made, metric = frame(records), NeedMetric(MetricSettings(**settings))
    model = metric.fit(object_name, made)
    return model, metric.apply(object_name, made, model)


@pytest.fixture(scope="module")
def organisation() -> dict[Any, Any]:
    rows = leads(3000)
    return {"lead": rows, "activity": calls(rows)}


@pytest.fixture(scope="module")
def fitted(organisation: dict[Any, Any]) -> tuple[Model, Results]:
    return _fit(organisation)


def _truth(lead: Lead) -> float:
    return chance(str(lead.lead_source), float(str(lead.attributes["budget"])))


def _names(model: Model) -> list[str]:
    card: Any = model.card
    return [row["name"] for row in card["inputs"]]


def _values(results: Results) -> dict[str, list[Any]]:
    return dict(results.values.to_pydict())


def test_results_have_the_catalogues_columns_and_only_open_records(
    organisation: dict[Any, Any], fitted: tuple[Model, Results]
) -> None:
    values = fitted[1].values
    assert values.schema == result_schema("lead", NeedMetric.produces)
    still_open = {lead.id for lead in organisation["lead"] if not (lead.is_converted or lead.is_disqualified)}
    assert set(values["id"].to_pylist()) == still_open


def test_scores_are_near_the_true_chances(
    organisation: dict[Any, Any], fitted: tuple[Model, Results]
) -> None:
    """The truth: each lead is decided within 60 days by its source and budget alone."""
    by_id = {lead.id: lead for lead in organisation["lead"]}
    values = _values(fitted[1])
    truth = np.array([_truth(by_id[i]) for i in values["id"]])
    score = np.array(values["score"]) / 100.0
    assert np.corrcoef(truth, score)[0, 1] > 0.9
    assert np.mean(np.abs(truth - score)) < 0.06


def test_the_card_tells_of_a_useful_model(fitted: tuple[Model, Results]) -> None:
    card: Any = fitted[0].card
    assert card["verdict"][0].startswith("Useful")
    assert (card["published"], card["split"]["kind"]) == ("full", "time")
    assert card["metrics"]["auc"]["low"] > 0.6
    assert card["metrics"]["gain_of_inputs"]["low"] > 0
    assert card["metrics"]["log_loss"]["value"] < card["metrics"]["log_loss_base_rate"]["value"]
    assert card["metrics"]["ece"]["low"] < 0.05
    assert not fitted[0].provisional
    assert sum(found["n"] for found in card["calibration"]) == sum(card["scores"])
    assert [found["share"] for found in card["lift"]] == [0.1, 0.3]


def test_contributions_add_up_to_the_log_odds(fitted: tuple[Model, Results]) -> None:
    details = fitted[1].details
    assert details is not None
    total = sum(
        np.asarray(details[name]) for name in details.column_names if name.startswith("contribution.")
    )
    logit = np.asarray(details["logit"])
    assert np.max(np.abs(np.asarray(details["base_logit"]) + total - logit)) < 1e-9
    assert np.asarray(fitted[1].values["score"]) == pytest.approx(100 * probability(logit), abs=0.005)


def test_reasons_give_the_organisations_own_rate_and_number(
    organisation: dict[Any, Any], fitted: tuple[Model, Results]
) -> None:
    model, results = fitted
    values = _values(results)
    by_id = {lead.id: lead for lead in organisation["lead"]}
    card: Any = model.card
    used = [
        lead
        for lead in organisation["lead"]
        if lead.created_at <= NOW - timedelta(days=90) and lead.lead_source == "Referral"
    ]
    share = sum(bool(lead.is_converted) for lead in used) / len(used)
    expected = f"Lead source Referral: {100 * share:.0f} % of {len(used)} such leads convert"
    for id_, up in zip(values["id"], values["reasons_up"], strict=True):
        if by_id[id_].lead_source == "Referral":
            assert expected in up
            assert f"{100 * card['base_rate']['value']:.0f} % of all" in up


def test_reasons_are_the_strongest_three_each_way_strongest_first(fitted: tuple[Model, Results]) -> None:
    model, results = fitted
    details = results.details
    assert details is not None
    names = [name for name in details.column_names if name.startswith("contribution.")]
    given = np.column_stack([np.asarray(details[name]) for name in names])
    card: Any = model.card
    labels = {f"contribution.{used['name']}": used["label"].split(" ")[0] for used in card["inputs"]}
    for row, up in enumerate(results.values["reasons_up"].to_pylist()):
        strongest = [place for place in np.argsort(-given[row])[:3] if given[row, place] >= 0.05]
        said = [] if up is None else up.split("; ")
        assert len(said) == len(strongest)
        for reason, place in zip(said, strongest, strict=True):
            assert labels[names[place]].lower() in reason.lower() or "contacted" in reason
        assert up is None or len(up) <= 1024


def test_an_owner_is_called_by_name() -> None:
    rows = [
        lead.model_copy(update={"owner_id": "005A" if lead.lead_source == "Referral" else "005B"})
        for lead in leads(1500)
    ]
    reps = [Rep(id="005A", name="Ada Best"), Rep(id="005B", name="Bob Rest")]
    _, results = _fit({"lead": rows, "rep": reps}, exclude=("lead_source",))
    said = " ".join(filter(None, results.values["reasons_up"].to_pylist()))
    assert "Owner Ada Best" in said
    assert "005A" not in said


def test_intervals_hold_the_score_and_grades_follow_the_bounds(organisation: dict[Any, Any]) -> None:
    _, results = _fit(organisation, grades=(60.0, 30.0, 15.0))
    values = _values(results)
    for score, low, high, grade in zip(
        values["score"], values["score_low"], values["score_high"], values["grade"], strict=True
    ):
        assert 0.0 <= low <= score <= high <= 100.0
        assert grade == ("A" if score >= 60 else "B" if score >= 30 else "C" if score >= 15 else "D")
    assert set(values["score_trend"]) == {"new"}


def test_excluded_inputs_are_not_used(organisation: dict[Any, Any]) -> None:
    model, results = _fit(organisation, exclude=("budget", "lead_source"))
    card: Any = model.card
    assert set(card["excluded"]) == {"attributes.budget", "lead_source"}
    assert results.details is not None
    assert "contribution.attributes.budget" not in results.details.column_names


# The same whatever the data's order and cut


def test_the_same_records_in_any_order_and_cut_give_the_same_bytes(organisation: dict[Any, Any]) -> None:
    metric = NeedMetric(MetricSettings())
    shuffled = {name: rows[::-1] for name, rows in organisation.items()}
    whole = metric.fit("lead", frame(organisation))
    for records, batch in ((organisation, 97), (shuffled, None), (shuffled, 1001)):
        assert metric.fit("lead", frame(records, batch=batch)).to_bytes() == whole.to_bytes()


def test_another_seed_gives_another_model_of_the_same_kind(organisation: dict[Any, Any]) -> None:
    first, second = _fit(organisation)[0], _fit(organisation, seed=1)[0]
    assert first.name != second.name
    assert _names(first) == _names(second)


def test_model_and_card_are_plain_finite_json(fitted: tuple[Model, Results]) -> None:
    text = fitted[0].to_bytes()
    assert b"NaN" not in text
    assert b"Infinity" not in text
    again = Model.model_validate(json.loads(text))
    assert again.to_bytes() == text


def test_a_score_depends_on_its_record_alone(organisation: dict[Any, Any]) -> None:
    metric = NeedMetric(MetricSettings())
    model = metric.fit("lead", frame(organisation))
    whole = metric.apply("lead", frame(organisation), model)
    some = whole.values["id"].to_pylist()[::7]
    kept = [lead for lead in organisation["lead"] if lead.id in set(some)]
    part = metric.apply("lead", frame({**organisation, "lead": kept}), model)
    assert (
        part.values.to_pylist() == whole.values.take(pa.array(np.arange(0, len(whole.values), 7))).to_pylist()
    )


# Little data


def test_without_any_outcome_there_is_no_score_and_the_reason_says_so() -> None:
    rows = [Lead(id=str(row), created_at=NOW - timedelta(days=row)) for row in range(5)]
    model, results = _fit({"lead": rows})
    card: Any = model.card
    assert model.provisional
    assert "no scores" in card["verdict"][0]
    for row in results.values.to_pylist():
        assert (row["score"], row["score_low"], row["grade"], row["score_trend"]) == (None,) * 4
        assert row["reasons_up"].startswith("No score yet")


def test_few_outcomes_give_everybody_the_base_rate_drawn_to_the_prior() -> None:
    rows = leads(1200)
    decided = [lead for lead in rows if lead.is_disqualified][:30] + [
        lead for lead in rows if lead.is_converted
    ][:5]
    still_open = [lead for lead in rows if not (lead.is_converted or lead.is_disqualified)][:20]
    model, results = _fit({"lead": decided + still_open})
    card: Any = model.card
    assert model.provisional
    assert "Too few outcomes: 5 leads that convert and 30" in card["verdict"][0]
    (score,) = set(results.values["score"].to_pylist())
    cases, positives = card["outcomes"]["cases"], card["outcomes"]["case_positives"]
    assert 10.0 < score < 100 * positives / cases
    low, high = results.values["score_low"][0].as_py(), results.values["score_high"][0].as_py()
    assert high - low > 10


def test_ten_and_ten_outcomes_give_a_provisional_model_that_already_ranks() -> None:
    rows = leads(900, seed=3)
    won = [lead for lead in rows if lead.is_converted][:14]
    lost = [lead for lead in rows if lead.is_disqualified][:20]
    still_open = [lead for lead in rows if not (lead.is_converted or lead.is_disqualified)]
    model, results = _fit({"lead": [*won, *lost, *still_open]})
    card: Any = model.card
    assert model.provisional
    assert card["published"] == "full"
    assert any("Provisional" in said for said in card["verdict"])
    by_id = {lead.id: lead for lead in still_open}
    values = _values(results)
    truth = [_truth(by_id[i]) for i in values["id"]]
    assert np.corrcoef(truth, values["score"])[0, 1] > 0.3
    assert np.mean(np.array(values["score_high"]) - np.array(values["score_low"])) > 15


def test_noise_gives_the_base_rate_to_all_and_says_so() -> None:
    """In ten organisations of pure noise; by chance one or another may look predictable."""
    honest = 0
    for seed in range(10):
        chances = np.random.default_rng(seed)
        rows = []
        for lead in leads(1500, seed=seed):
            noise = {
                "lead_source": SOURCES[int(chances.integers(3))],
                "attributes": {"budget": chances.normal()},
            }
            rows.append(lead.model_copy(update=noise))
        model, results = _fit({"lead": rows})
        card: Any = model.card
        if card["published"] == "base":
            honest += 1
            assert "can't be predicted" in card["verdict"][0]
            assert len(set(results.values["score"].to_pylist())) == 1
            assert results.values["reasons_up"].null_count == results.values.num_rows
    assert honest >= 8


# Deals and accounts


def _deals(number: int) -> dict[Any, Any]:
    """Deals of accounts: the account's industry and the stage reached decide."""
    chances = np.random.default_rng(8)
    accounts = [
        Account(id=f"A{row}", industry=("Software", "Retail")[row % 2], created_at=NOW - timedelta(days=2000))
        for row in range(60)
    ]
    deals, changes = [], []
    for row in range(number):
        account = int(chances.integers(60))
        created = NOW - timedelta(days=float(chances.uniform(0, 1200)))
        won = bool(chances.uniform() < (0.7 if account % 2 == 0 else 0.25))
        end = created + timedelta(days=float(chances.uniform(5, 100)))
        closed = end <= NOW
        deals.append(
            Deal(
                id=f"D{row:05d}",
                created_at=created,
                account_id=f"A{account}",
                stage=("Won" if won else "Lost") if closed else "Offer",
                is_closed=closed,
                is_won=closed and won,
                closed_at=end if closed else None,
            )
        )
        changes.append(StageChange(id=f"{row}a", deal_id=f"D{row:05d}", to_stage="New", at=created))
        offered = created + (end - created) / 2
        if offered <= NOW:
            changes.append(
                StageChange(
                    id=f"{row}b", deal_id=f"D{row:05d}", from_stage="New", to_stage="Offer", at=offered
                )
            )
        if closed:
            changes.append(
                StageChange(
                    id=f"{row}c",
                    deal_id=f"D{row:05d}",
                    from_stage="Offer",
                    to_stage="Won" if won else "Lost",
                    at=end,
                )
            )
    return {"deal": deals, "account": accounts, "stage_change": changes}


def test_a_deal_is_scored_by_its_account_and_its_stage_never_by_how_it_ended() -> None:
    records = _deals(2500)
    model, results = _fit(records, "deal")
    card: Any = model.card
    used = {row["name"] for row in card["inputs"]}
    assert {"account.industry", "stage", "age"} <= used
    fields: Any = model.parameters["fields"]
    (stage,) = (field for field in fields if field["name"] == "stage")
    assert set(stage["levels"]) == {"New", "Offer"}
    values = _values(results)
    industry = {deal.id: int(deal.account_id[1:]) % 2 for deal in records["deal"]}
    software = np.mean([s for i, s in zip(values["id"], values["score"], strict=True) if industry[i] == 0])
    retail = np.mean([s for i, s in zip(values["id"], values["score"], strict=True) if industry[i] == 1])
    assert software > retail + 20
    assert card["metrics"]["auc"]["value"] < 0.85


def test_an_account_that_orders_often_is_likelier_to_order_again() -> None:
    chances = np.random.default_rng(9)
    accounts, orders = [], []
    for row in range(400):
        accounts.append(Account(id=f"A{row:03d}", created_at=NOW - timedelta(days=2000)))
        rate = float(chances.choice([0.2, 4.0]))
        ago = 1500.0
        while (ago := ago - float(chances.exponential(365.0 / rate))) > 0:
            orders.append(
                Order(id=f"{row}-{ago:.3f}", account_id=f"A{row:03d}", ordered_at=NOW - timedelta(days=ago))
            )
    accounts.append(Account(id="never"))
    model, results = _fit({"account": accounts, "order": orders}, "account")
    card: Any = model.card
    assert card["split"]["kind"] == "period"
    assert card["published"] == "full"
    values = _values(results)
    assert "never" not in values["id"]
    assert "next_action" not in results.values.column_names
    number = {i: sum(order.account_id == i for order in orders) for i in values["id"]}
    often = [s for i, s in zip(values["id"], values["score"], strict=True) if number[i] > 8]
    seldom = [s for i, s in zip(values["id"], values["score"], strict=True) if number[i] < 3]
    assert np.mean(often) > 80
    assert np.mean(seldom) < 60


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_number_that_says_nothing_is_drawn_to_nothing_on_whichever_side_its_tail_is(sign: float) -> None:
    chances = np.random.default_rng(11)
    rows = [
        lead.model_copy(update={"attributes": {"x": round(sign * float(np.exp(chances.normal())), 4)}})
        for lead in leads(1500)
    ]
    model, _ = _fit({"lead": rows})
    card: Any = model.card
    (scale,) = [row["scale"] for row in card["inputs"] if row["name"] == "attributes.x"]
    assert scale < 0.7  # one coefficient tells little of its scale: it stays above half


# Fields as of the moment


def test_what_a_field_was_before_decides_not_what_it_became() -> None:
    """Every converted lead is rated 5 afterwards; before, the rating said nothing."""
    chances = np.random.default_rng(10)
    now, before = [], []
    for lead in leads(1500, seed=6):
        early = int(chances.integers(1, 6))
        late = 5 if lead.is_converted else 1 if lead.is_disqualified else early
        now.append(lead.model_copy(update={"attributes": {"rating": late}}))
        before.append(
            lead.model_copy(
                update={
                    "attributes": {"rating": early},
                    "is_converted": False,
                    "is_disqualified": False,
                    "converted_at": None,
                    "closed_at": None,
                }
            )
        )
    since = pa.array(
        [lead.created_at for lead in before] + [lead.closed_at or NOW - timedelta(minutes=1) for lead in now],
        pa.timestamp("us", tz="UTC"),
    )
    versions = to_table("lead", [*before, *now]).append_column("valid_from", since)
    tables: Any = {"lead": to_table("lead", now)}
    card: Any = (
        NeedMetric(MetricSettings(exclude=("lead_source",), include=("rating",)))
        .fit("lead", with_versions(tables, {"lead": versions}))
        .card
    )
    assert card["metrics"]["auc_all_inputs"]["low"] < 0.55
    assert {row["name"]: row["assumed"] for row in card["inputs"]}["attributes.rating"] == 0
