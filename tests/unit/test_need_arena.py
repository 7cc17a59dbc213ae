"""The score arena: another score is graded on what it said in time, is never an input, and may win."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.need import NeedMetric
from crmbridge.metrics.need.arena import is_rival
from crmbridge.model.columns import to_table
from crmbridge.report.cards import card_of
from tests.unit.need_organisation import chance, leads, with_versions


def organisation_with_rival(
    name: str, *, knows: float, points: float = 100.0, first_pull: bool = False, number: int = 1500
) -> Frame:
    """Leads with a rival score under the name. It knows the true chance with a weight, else guesses; when a
    lead is closed it is set to what became of it. After a `first_pull` only that state is known.
    """
    chances = np.random.default_rng(12)
    now, versions, stamps = [], [], []
    for lead in leads(number):
        truth = chance(str(lead.lead_source), float(str(lead.attributes["budget"])))
        said = round(points * (knows * truth + (1.0 - knows) * float(chances.uniform())), 4)
        # The model may not see what the budget says.
        before = lead.model_copy(
            update={
                "attributes": {name: said},
                "is_converted": False,
                "is_disqualified": False,
                "converted_at": None,
                "closed_at": None,
            }
        )
        after = lead.model_copy(update={"attributes": {name: points * bool(lead.is_converted)}})
        closed = lead.closed_at is not None
        now.append(after if closed else before)
        if not first_pull or not closed:
            versions.append(before)
            stamps.append(lead.created_at)
        if closed:
            versions.append(after)
            stamps.append(lead.closed_at)
    since = pa.array(stamps, pa.timestamp("us", tz="UTC"))
    return with_versions(
        {"lead": to_table("lead", now)},
        {"lead": to_table("lead", versions).append_column("valid_from", since)},
    )


def _card(frame: Frame, **settings: Any) -> Any:
    return NeedMetric(MetricSettings(**settings)).fit("lead", frame).card


def test_a_rival_that_knows_more_is_ahead_and_one_that_guesses_is_behind() -> None:
    (row,) = _card(organisation_with_rival("hs_predictivecontactscore_v2", knows=1.0))["arena"]
    assert row["ahead"] == "rival"
    assert row["difference"]["high"] < 0.0
    assert row["rival"]["auc"]["value"] > row["model"]["auc"]["value"]
    # It says the true chance in percent.
    assert row["rival"]["brier"]["value"] < row["model"]["brier"]["value"]
    assert [each["share"] for each in row["rival"]["lift"]] == [0.1, 0.3]
    (row,) = _card(organisation_with_rival("hs_predictivecontactscore_v2", knows=0.0))["arena"]
    assert row["ahead"] == "model"
    assert 0.4 < row["rival"]["auc"]["value"] < 0.6


def test_a_rival_is_graded_on_what_it_said_in_time_not_on_what_it_was_set_to_afterwards() -> None:
    (row,) = _card(organisation_with_rival("probability", knows=0.0))["arena"]
    assert row["rival"]["auc"]["value"] < 0.6
    (row,) = _card(organisation_with_rival("probability", knows=0.0, first_pull=True))["arena"]
    assert (row["records"], row["rival"], row["ahead"]) == (0, None, None)


def test_a_rival_is_never_an_input_nor_called_a_leak_even_if_the_settings_include_it() -> None:
    frame = organisation_with_rival("msdyn_predictivescore", knows=1.0)
    for settings in ({}, {"include": ("msdyn_predictivescore",)}):
        card = _card(frame, **settings)
        assert "attributes.msdyn_predictivescore" not in {row["name"] for row in card["inputs"]}
        assert (card["blocked"], card["included"]) == ([], [])
        assert [row["name"] for row in card["arena"]] == ["attributes.msdyn_predictivescore"]


def test_a_hand_made_score_is_a_rival_if_the_settings_say_so_and_its_points_are_no_chances() -> None:
    frame = organisation_with_rival("hot_or_not", knows=1.0, points=500.0)
    assert _card(frame)["arena"] == []
    (row,) = _card(frame, rivals=("hot_or_not",))["arena"]
    assert row["rival"]["brier"] is None
    assert row["rival"]["auc"]["value"] > 0.6
    assert row["ahead"] == "rival"


@pytest.mark.parametrize(
    "name",
    ["IqScore", "hs_predictivecontactscore_v2", "Zia_Score", "msdyn_predictivescore", "probability", "Score"],
)
def test_the_vendors_own_scores_are_known_by_name(name: str) -> None:
    assert is_rival(f"attributes.{name}", ())


def test_ordinary_fields_are_no_rivals() -> None:
    for name in ("attributes.credit_score", "attributes.Budget", "amount", "attributes.game_score"):
        assert not is_rival(name, ())


def test_the_arena_is_a_table_of_the_results_and_part_of_the_card_people_read() -> None:
    metric = NeedMetric(MetricSettings())
    frame = organisation_with_rival("IqScore", knows=1.0)
    model = metric.fit("lead", frame)
    rows = metric.apply("lead", frame, model).tables["arena"].to_pylist()
    assert [(row["contestant"], row["is_ahead"]) for row in rows] == [("model", False), ("rival", True)]
    assert all(row["auc_low"] < row["auc"] < row["auc_high"] for row in rows)
    assert rows[1]["lift_10"] > 1.0
    (contest,) = card_of(model).arena
    assert (contest.rival, contest.ahead, contest.records) == ("IqScore", "rival", rows[0]["records"])
