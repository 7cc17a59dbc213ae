"""Next actions: each rule with its evidence, and the habits they rest on found again where they are
planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from crmbridge.metrics.advice import AdviceMetric
from crmbridge.metrics.advice.events import NEWEST, Events, read_history
from crmbridge.metrics.advice.learn import Learned
from crmbridge.metrics.advice.rates import Share, best
from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.model.fields import CATALOGUE
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model, Results
from crmbridge.writeback.rule import compare
from tests.unit.efficiency_kit import table

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 31, 10, tzinfo=UTC)
Rows = Sequence[Mapping[str, Any]]


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def frame(moment: datetime = NOW, **rows: Rows) -> Frame:
    tables: dict[ObjectName, pa.Table] = {name: table(name, found) for name, found in rows.items()}  # type: ignore[misc, arg-type]
    return Frame.of(tables, moment=moment, zone=BERLIN)


def advised(known: Frame, name: ObjectName = "lead", **settings: Any) -> tuple[Model, Results]:
    metric = AdviceMetric(MetricSettings(**settings))
    model = metric.fit(name, known)
    return model, metric.apply(name, known, model)


def actions(results: Results) -> dict[str, str]:
    return dict(zip(*(results.values[name].to_pylist() for name in ("id", "next_action")), strict=True))


def call(lead: str | None, days: float, outcome: str | None = "connected", **fields: Any) -> dict[str, Any]:
    given = {"id": f"{lead} {days}", "kind": "call", "lead_id": lead, "started_at": ago(days)}
    return given | {"outcome": outcome, "is_completed": True} | fields


# The rules


@pytest.mark.parametrize(
    ("activities", "action", "kind"),
    [
        ([], "Make the first call: never contacted in 20 days", "first_contact"),
        ([call("a", 19)], "Call: no contact for 19 days", "call"),
        (
            [call("a", 19, "held"), call("a", 2, "no_answer")],
            "Try again: last tried 2 days ago without an answer",
            "try_again",
        ),
        ([call("a", 2)], "Agree on the next step: in touch, last contact 2 days ago", "in_touch"),
        (
            [call("a", 19), call("a", -4, None, is_completed=False)],
            "Prepare: call planned in 4 days (2026-04-04)",
            "planned",
        ),
        (
            [call("a", 2), call("a", 3, None, kind="task", is_completed=False)],
            "Do what was promised: task due 3 days ago (2026-03-28) is still open",
            "overdue",
        ),
        (
            [call("a", 2, "no_show", kind="meeting")],
            "Offer a new date: the meeting 2 days ago was missed",
            "rebook",
        ),
        (
            [call("a", 2, None, kind="task")],
            "Make the first call: never contacted in 20 days",
            "first_contact",
        ),
    ],
)
def test_the_action_comes_with_its_own_numbers(activities: Rows, action: str, kind: str) -> None:
    other = call("b", 0.5)
    leads = [{"id": "a", "created_at": ago(20)}, {"id": "b", "created_at": ago(1)}]
    _, results = advised(frame(lead=leads, activity=[*activities, other]))
    assert actions(results)["a"] == action
    assert results.details is not None
    assert results.details["next_action_kind"].to_pylist()[0] == kind


def test_closed_leads_get_no_advice_and_a_lead_of_somebody_who_left_is_handed_over() -> None:
    leads = [
        {"id": "a", "created_at": ago(20), "owner_id": "gone"},
        {"id": "b", "created_at": ago(20), "owner_id": "here"},
        {"id": "c", "created_at": ago(20), "owner_id": "gone", "is_converted": True},
    ]
    reps = [{"id": "gone", "is_active": False}, {"id": "here", "is_active": True}, {"id": "new"}]
    _, results = advised(frame(lead=leads, rep=reps, activity=[call("b", 1)]))
    assert actions(results) == {
        "a": "Hand over: the owner is no longer active; never contacted",
        "b": "Agree on the next step: in touch, last contact 1 day ago",
    }


def test_a_deal_is_moved_on_redated_or_filled_in_and_its_contact_is_named() -> None:
    talk = {"lead_id": None, "is_completed": True, "outcome": "connected", "kind": "call"}
    deals = [
        {"id": "late", "stage": "Offer", "expected_close": date(2026, 3, 19), "amount": Decimal(5)},
        {"id": "stuck", "stage": "Offer", "expected_close": date(2026, 5, 1), "amount": Decimal(5)},
        {"id": "empty", "stage": "Offer", "expected_close": date(2026, 5, 1)},
        {"id": "fresh", "stage": "Offer", "expected_close": date(2026, 5, 1), "amount": Decimal(5)},
    ]
    deals = [{"created_at": ago(40), "contact_id": "C", **deal} for deal in deals]
    closed = [
        {"id": f"w{n}", "is_closed": True, "is_won": True, "amount": Decimal(n), "created_at": ago(60)}
        for n in range(1, 11)
    ]
    known = frame(
        deal=[*deals, *closed],
        contact=[{"id": "C", "first_name": "Eva", "last_name": "Lind", "title": "Buyer"}],
        activity=[
            {"id": f"{n}", "deal_id": deal["id"], "started_at": ago(3), **talk}
            for n, deal in enumerate(deals)
        ],
    )
    said = pa.table(
        {
            "id": ["late", "stuck", "empty", "fresh"],
            "days_in_stage": [40.0, 40.0, 2.0, 2.0],
            "typical_days": [11.2] * 4,
            "stuck": [True, True, False, False],
        }
    )
    known = replace(known, results=lambda metric, name, columns: said if metric == "pipeline" else None)
    _, results = advised(known, "deal")
    assert actions(results) == {
        "late": "Set a new close date: the expected one passed 12 days ago (2026-03-19)",
        "stuck": (
            "Move it on: 40 days in Offer, half of the deals leave it within 12 days; ask for the Buyer"
        ),
        "empty": "Fill in the amount: it is missing, 100 % of 10 closed deals had one",
        "fresh": "Agree on the next step: in touch, last contact 3 days ago; ask for the Buyer",
    }


def test_an_activity_filed_with_the_contact_alone_counts_for_all_its_open_deals() -> None:
    deals = [
        {"id": id, "contact_id": of, "created_at": ago(30)}
        for id, of in (("d1", "C"), ("d2", "C"), ("d3", None))
    ]
    activities = [
        call(None, 2, contact_id="C"),
        call(None, 3, contact_id="X"),
        call(None, 1, contact_id="K", deal_id="d1"),
    ]
    people = [
        {"id": "C", "last_name": "Lind", "title": "Buyer"},
        {"id": "K", "last_name": "Roy", "title": "Clerk"},
    ]
    _, results = advised(frame(deal=deals, activity=activities, contact=people), "deal")
    next_step = "Agree on the next step: in touch, last contact"
    assert actions(results) == {
        "d1": f"{next_step} 1 day ago; ask for the Clerk, who answered last",
        "d2": f"{next_step} 2 days ago; ask for the Buyer, who answered last",
        "d3": "Make the first call: never contacted in 30 days",
    }


def test_where_deals_closed_after_their_date_surely_are_won_less_often_the_date_comes_with_that() -> None:
    deals = [
        {
            "id": f"w{n}",
            "is_closed": True,
            "is_won": n % 10 == 0 if n < 100 else n % 2 == 0,
            "expected_close": date(2026, 2, 1),
            "created_at": ago(200),
            "closed_at": ago(40) if n < 100 else ago(80),
        }
        for n in range(200)
    ]
    late = {"id": "late", "created_at": ago(90), "expected_close": date(2026, 3, 30)}
    known = frame(deal=[*deals, late], activity=[call(None, 2, deal_id="late")])
    assert actions(advised(known, "deal")[1])["late"] == (
        "Set a new close date: the expected one passed 1 day ago (2026-03-30); 10 % of 100 deals closed "
        "after their date were won, 50 % of 100 of those closed by then"
    )


# What is planted is found


def organisation(
    seed: int, *, cold_after: int = 0, best_hour: int | None = None, leads: int = 600
) -> dict[str, list[dict[str, Any]]]:
    """Closed leads, contacted every few days; one that was quiet for more than `cold_after` never converts.
    Calls are answered in 25 %, from `best_hour` on (in Berlin) for an hour in 60 %."""
    draw = np.random.default_rng(seed)
    made, activities = [], []
    for n in range(leads):
        gaps = draw.integers(1, 19, size=int(draw.integers(2, 6)))
        gaps[draw.random(len(gaps)) < 0.6] //= 2
        created = ago(float(draw.integers(200, 700)))
        at, longest = created, 0
        for place, gap in enumerate(gaps):
            hour = int(draw.integers(8, 18))
            at = (at + timedelta(days=int(gap))).astimezone(BERLIN).replace(hour=hour, minute=30)
            longest = max(longest, int(gap) if place else 0)
            answered = draw.random() < (0.6 if hour == best_hour else 0.25)
            activities.append(
                {
                    "id": f"{n}/{place}",
                    "kind": "call",
                    "lead_id": f"L{n}",
                    "started_at": at.astimezone(UTC),
                    "outcome": "connected" if answered else "no_answer",
                    "is_completed": True,
                }
            )
        won = draw.random() < 0.6 and not (cold_after and longest > cold_after)
        end = (at + timedelta(hours=2)).astimezone(UTC)
        made.append(
            {
                "id": f"L{n}",
                "created_at": created,
                "closed_at": end,
                "is_converted": won,
                "is_disqualified": not won,
            }
        )
    return {"lead": made, "activity": activities}


def test_the_planted_day_after_which_leads_go_cold_is_found_and_a_slipping_lead_is_told() -> None:
    known = organisation(7, cold_after=9)
    leads = [*known["lead"], *({"id": id, "created_at": ago(30)} for id in ("slips", "talks"))]
    activities = [*known["activity"], call("slips", 14), call("talks", 5)]
    model, results = advised(frame(lead=leads, activity=activities))
    cold: Any = model.parameters["cold"]
    assert cold["days"] in (8, 9)
    assert cold["longer"]["hits"] / cold["longer"]["n"] < 0.12
    said = actions(results)
    assert said["slips"].startswith(
        f"Call: no contact for 14 days; of {cold['won']} converted leads 90 % were never quiet for over "
        f"{cold['days']} days; "
    )
    assert f"of {cold['longer']['n']} quiet for longer converted" in said["slips"]
    assert said["talks"].startswith("Agree on the next step: in touch, last contact 5 days ago")


@pytest.mark.parametrize("hour", [8, 10, 17])
def test_the_planted_best_hour_is_found_in_the_zone_with_its_rates(hour: int) -> None:
    known = organisation(11, best_hour=hour)
    model, results = advised(
        frame(lead=[*known["lead"], {"id": "new", "created_at": ago(3)}], activity=known["activity"])
    )
    found: Any = model.parameters["hours"]
    of_all = found[""]
    assert of_all["place"] == hour
    assert 0.5 < of_all["share"]["hits"] / of_all["share"]["n"] < 0.7
    assert f"best from {hour}:00 to {hour + 1}:00 (" in actions(results)["new"]
    assert f"of {of_all['share']['n']} calls answered" in actions(results)["new"]


def test_where_no_hour_is_better_none_is_said() -> None:
    """Of 200 organisations without a best hour or weekday, no more than one in twenty names one."""
    draw = np.random.default_rng(3)
    tries = draw.integers(20, 200, size=(200, 24))
    hits = draw.binomial(tries, 0.3)
    assert sum(best(n, x) is not None for n, x in zip(tries, hits, strict=True)) <= 10
    assert best(np.zeros(24, np.int64), np.zeros(24, np.int64)) is None


def test_an_industry_has_its_own_best_hour_where_it_surely_has_one() -> None:
    known = organisation(11, best_hour=10)
    other = organisation(12, best_hour=16)
    leads = [{**lead, "industry": "Retail"} for lead in known["lead"]]
    leads += [{**lead, "id": "x" + lead["id"], "industry": "Steel"} for lead in other["lead"]]
    calls = known["activity"] + [
        {**each, "id": "x" + each["id"], "lead_id": "x" + each["lead_id"]} for each in other["activity"]
    ]
    new = [{"id": name, "created_at": ago(3), "industry": name} for name in ("Retail", "Steel")]
    _, results = advised(frame(lead=[*leads, *new], activity=calls))
    said = actions(results)
    assert "best from 10:00 to 11:00" in said["Retail"]
    assert "calls in Retail answered" in said["Retail"]
    assert "best from 16:00 to 17:00" in said["Steel"]


def test_a_contact_that_answers_at_its_own_hour_is_called_then() -> None:
    activities = [
        call("a", days, "connected" if hour == 14 else "no_answer") | {"started_at": at, "id": f"{at}"}
        for days, hour in (
            (20, 14),
            (19, 8),
            (18, 14),
            (17, 9),
            (16, 14),
            (15, 8),
            (12, 14),
            (11, 9),
            (10, 14),
            (9, 8),
        )
        for at in [ago(days).astimezone(BERLIN).replace(hour=hour, minute=5).astimezone(UTC)]
    ]
    _, results = advised(frame(lead=[{"id": "a", "created_at": ago(30)}], activity=activities))
    assert actions(results)["a"] == (
        "Try again: last tried 9 days ago without an answer; best from 14:00 to 15:00: answered 5 of 5 calls "
        "then, 0 of 5 at other hours"
    )


def test_after_calls_without_an_answer_the_channel_that_is_answered_more_often_is_tried() -> None:
    leads, activities = [{"id": "new", "created_at": ago(20), "email": "a@b.example"}], []
    for n in range(60):
        leads.append({"id": f"L{n}", "created_at": ago(100), "is_disqualified": True, "closed_at": ago(50)})
        activities += [
            call(f"L{n}", 90 - k, "connected" if k == 3 and n < 6 else "no_answer", id=f"{n}/{k}")
            for k in range(4)
        ]
        activities.append(call(f"L{n}", 80, "replied" if n < 30 else "sent", kind="email", id=f"{n}/m"))
    activities += [call("new", 10 - k, "no_answer", id=f"new/{k}") for k in range(3)]
    model, results = advised(frame(lead=leads, activity=activities))
    assert model.parameters["after_streak"] == {"n": 60, "hits": 6}
    assert actions(results)["new"] == (
        "Write an e-mail: 3 calls in a row unanswered; after 3 such, 10 % of 60 next calls were answered, "
        "50 % of 60 e-mails"
    )


def test_after_a_silence_after_which_nobody_converts_the_lead_is_closed_out() -> None:
    leads, activities = [{"id": "old", "created_at": ago(400)}], [call("old", 300)]
    for n in range(400):
        won, quiet = n < 100, 5 if n < 100 else 120
        leads.append(
            {"id": f"L{n}", "created_at": ago(500), "closed_at": ago(490 - quiet)}
            | {"is_converted": won, "is_disqualified": not won}
        )
        activities.append(call(f"L{n}", 490))
    _, results = advised(frame(lead=leads, activity=activities))
    assert actions(results)["old"].startswith(
        "Close it out: no contact for 300 days; of 300 leads quiet for over "
    )


def test_who_is_contacted_soon_converts_more_often_and_the_new_lead_is_told() -> None:
    leads, activities = [{"id": "new", "created_at": ago(1)}], []
    for n in range(400):
        soon = n % 2 == 0
        won = n % (4 if soon else 20) == (0 if soon else 1)
        leads.append(
            {
                "id": f"L{n}",
                "created_at": ago(100),
                "closed_at": ago(40),
                "is_converted": won,
                "is_disqualified": not won,
            }
        )
        activities.append(call(f"L{n}", 100 - (1 / 24 if soon else 3)))
    model, results = advised(frame(lead=leads, activity=activities))
    response: Any = model.parameters["response"]
    assert (response["minutes"], response["quick"]["n"], response["late"]["n"]) == (60.0, 200, 200)
    assert actions(results)["new"] == (
        "Make the first call: never contacted in 1 day; leads contacted within 1 hour: 50 % of 200 "
        "converted, later ones 10 % of 200"
    )


# Edges


@pytest.mark.parametrize("name", ["lead", "deal"])
def test_of_nothing_nothing_is_said(name: ObjectName) -> None:
    _, results = advised(frame(), name)
    assert results.values.num_rows == 0
    _, results = advised(frame(lead=[{"id": "a"}], deal=[{"id": "a"}]), name)
    assert results.values["next_action"].to_pylist() == [None]


@pytest.mark.parametrize("name", ["lead", "deal"])
def test_odd_records_get_a_sentence_that_fits_and_no_number_that_is_none(name: ObjectName) -> None:
    link = f"{name}_id"
    odd: Rows = [
        {"id": "future", "created_at": ago(-30)},
        {"id": "undated"},
        {"id": "ancient", "created_at": datetime(1950, 1, 1, tzinfo=UTC)},
        {"id": "shut", "created_at": ago(5), "is_closed": True, "is_converted": True},
    ]
    activities = [
        {"id": "1", link: "future", "kind": "call", "started_at": ago(-40), "outcome": "connected"},
        {"id": "2", link: "undated", "kind": "call"},
        {"id": "3", link: "undated", "kind": "fax", "started_at": ago(1), "is_completed": False},
        {"id": "4", link: "ancient", "kind": "call", "started_at": datetime(1960, 1, 1, tzinfo=UTC)},
        {"id": "5", link: "shut", "kind": "call", "started_at": ago(3)},
        {"id": "6", link: "elsewhere", "kind": "call", "started_at": ago(3)},
    ]
    _, results = advised(frame(**{name: odd, "activity": activities}), name)
    said = actions(results)
    assert set(said) >= {"future", "undated", "ancient"}
    for text in said.values():
        assert text.startswith("Make the first call: never contacted") or ":" in text
        assert "nan" not in text.lower()
        assert len(text) <= (CATALOGUE["next_action"].length or 0)


def test_results_do_not_depend_on_the_order_of_the_activities() -> None:
    known = organisation(7, cold_after=9, leads=200)
    one = advised(frame(lead=known["lead"], activity=known["activity"]))
    other = advised(frame(lead=known["lead"][::-1], activity=known["activity"][::-1]))
    assert one[0].to_bytes() == other[0].to_bytes()
    assert actions(one[1]) == actions(other[1])


def test_of_an_open_record_only_the_newest_events_are_kept() -> None:
    activities = [call("a", days) for days in range(1, 40)]
    known = frame(lead=[{"id": "a", "created_at": ago(50)}], activity=activities)
    events: Events = read_history(known, "lead", 90, 0).events
    assert len(events.row) == NEWEST
    assert (
        events.at.max() == max(int(each["started_at"].timestamp()) // 60 for each in activities) * 60_000_000
    )


def test_what_is_learned_survives_being_stored() -> None:
    known = organisation(7, cold_after=9, best_hour=10)
    model, _ = advised(frame(**known))
    stored = Model.model_validate_json(model.to_bytes())
    assert Learned.from_json(stored.parameters) == Learned.from_json(model.parameters)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_same_advice_a_day_later_is_not_written_again(language: str) -> None:
    known = organisation(7, cold_after=9, best_hour=10)
    leads = [*known["lead"], *({"id": f"o{n}", "created_at": ago(60)} for n in range(4))]
    activities = [*known["activity"], call("o1", 20), call("o2", 2), call("o3", 3, "no_answer")]
    said = []
    for moment in (NOW, NOW + timedelta(days=1)):
        _, results = advised(frame(moment, lead=leads, activity=activities), language=language)
        said.append(results.values.select(["id", "next_action"]))
    assert said[0]["next_action"] != said[1]["next_action"]
    assert not compare(said[1], said[0], 1.0).write.any()


def test_a_share_knows_what_is_sure() -> None:
    assert Share(100, 50).surely_above(Share(100, 20))
    assert not Share(100, 50).surely_above(Share(100, 45))
    assert not Share(10, 10).surely_above(Share(100, 1))
    assert (Share(0, 0).low, Share(0, 0).high, Share(0, 0).rate) == (0.0, 1.0, 0.0)
