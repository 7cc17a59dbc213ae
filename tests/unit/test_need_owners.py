"""Inputs from beside the record: how its owner has fared so far, and what is filed with its contacts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crmbridge.metrics.base import MetricSettings
from crmbridge.metrics.days import micros
from crmbridge.metrics.need import NeedMetric
from crmbridge.metrics.need.links import ContactLinks, is_linked_in_time
from crmbridge.metrics.need.outcomes import read_outcomes
from crmbridge.metrics.need.owners import OwnersRecord
from crmbridge.metrics.need.snapshots import open_cases
from crmbridge.metrics.need.windows import read_contacts
from crmbridge.model.records import Account, Activity, Contact, Deal, Lead
from tests.unit.need_organisation import NOW, frame, leads


def _ended(id_: str, owner: str | None, ago: int, won: bool) -> Lead:
    end = NOW - timedelta(days=ago)
    return Lead(
        id=id_,
        owner_id=owner,
        created_at=end - timedelta(days=10),
        is_converted=won,
        is_disqualified=not won,
        converted_at=end if won else None,
        closed_at=end,
    )


def test_an_owners_record_counts_what_had_ended_before_the_moment_and_nothing_later() -> None:
    rows = [_ended("1", "ann", 90, True), _ended("2", "ann", 60, False), _ended("3", "ann", 30, True)]
    rows += [_ended("4", "bob", 80, False), Lead(id="5", owner_id="ann", created_at=NOW)]
    made = frame({"lead": rows})
    record = OwnersRecord(made, "lead", read_outcomes(made, "lead"))
    asked = [("ann", 91), ("ann", 90), ("ann", 89), ("ann", 59), ("bob", 59), ("eve", 59), (None, 59)]
    owners = pa.array([owner for owner, _ in asked], pa.string())
    moments = np.array([micros(NOW - timedelta(days=ago)) for _, ago in asked])
    found = record.as_of(owners, moments).numbers
    assert found is not None
    # Drawn towards the share of all that had ended by then, by five outcomes.
    expected = [np.nan, np.nan, 100.0, 100 * (1 + 5 / 3) / 7, 100 * (0 + 5 / 3) / 6, np.nan, np.nan]
    assert found == pytest.approx(expected, nan_ok=True)


def test_a_lead_of_a_rep_who_wins_more_often_is_scored_higher_whatever_the_ids_of_owners_look_like() -> None:
    chances = np.random.default_rng(3)
    rows = []
    for lead in leads(1500):
        owner = int(chances.integers(8))
        if lead.is_converted and owner < 4 and chances.uniform() < 0.8:
            lead = lead.model_copy(
                update={"is_converted": False, "is_disqualified": True, "converted_at": None}
            )
        # Ids of digits in an order that has nothing to do with how well the reps do.
        rows.append(lead.model_copy(update={"owner_id": str((owner * 5) % 8 + 100)}))
    metric, made = NeedMetric(MetricSettings()), frame({"lead": rows})
    model = metric.fit("lead", made)
    card: Any = model.card
    kinds = {row["name"]: row["kind"] for row in card["inputs"]}
    assert kinds["owner_id"] == "category"
    assert kinds["owner_record"] == "number"
    values = metric.apply("lead", made, model).values.to_pydict()
    owner_of = {lead.id: str(lead.owner_id) for lead in rows}
    worse = {str((owner * 5) % 8 + 100) for owner in range(4)}
    low = [s for i, s in zip(values["id"], values["score"], strict=True) if owner_of[i] in worse]
    high = [s for i, s in zip(values["id"], values["score"], strict=True) if owner_of[i] not in worse]
    assert np.mean(high) > np.mean(low) + 10


def test_an_activity_filed_with_the_contact_alone_counts_for_all_its_open_deals_and_its_account() -> None:
    call = {"kind": "call", "outcome": "connected", "is_completed": True, "duration": 3600.0}
    records: Any = {
        "account": [Account(id="A", created_at=NOW - timedelta(days=400))],
        "contact": [Contact(id="C", account_id="A")],
        "deal": [
            Deal(id=id_, contact_id=contact, account_id="A", created_at=NOW - timedelta(days=30))
            for id_, contact in (("d1", "C"), ("d2", "C"), ("d3", None))
        ],
        "activity": [
            Activity(id="1", contact_id="C", started_at=NOW - timedelta(days=2), **call),
            Activity(id="2", contact_id="C", deal_id="d1", started_at=NOW - timedelta(days=3), **call),
            Activity(id="3", contact_id="X", started_at=NOW - timedelta(days=4), **call),
        ],
    }
    made = frame(records)
    cases = open_cases(read_outcomes(made, "deal"), made)
    through = ContactLinks(made, "deal", cases.ids)
    since = read_contacts(made, cases, "deal_id", 90, through)["days_since_contact"].numbers
    assert since is not None
    assert cases.ids.to_pylist() == ["d1", "d2", "d3"]
    assert since[:2].tolist() == [2.0, 2.0]
    assert np.isnan(since[2])
    positions, rows = ContactLinks(made, "account", pa.array(["A"])).rows(pa.array(["X", None, "C"]))
    assert (positions.tolist(), rows.tolist()) == ([2], [0])


def test_contacts_that_are_linked_at_closing_would_give_the_outcome_away_and_are_not_followed() -> None:
    closed = np.arange(200) < 100
    assert is_linked_in_time(np.arange(200) % 2 == 0, closed)
    assert not is_linked_in_time(closed, closed)
    assert is_linked_in_time(closed[:30], closed[:30])
