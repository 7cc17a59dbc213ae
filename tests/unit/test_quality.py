"""Quality: what is missing, wrong, quiet or there twice, and what a repair would be worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import chi2_contingency

from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.quality import QualityMetric, checks
from crmbridge.metrics.quality.worth import worth
from crmbridge.model.columns import to_table
from crmbridge.model.records import Account, Activity, Contact, Deal, Lead, ObjectName
from crmbridge.model.results import Results
from tests.unit.customers_kit import NOW, UTC_ZONE


def frame(records: Mapping[Any, Sequence[Any]]) -> Frame:
    tables = {name: to_table(name, list(rows)) for name, rows in records.items()}
    return Frame.of(tables, moment=NOW, zone=UTC_ZONE)


def run(object_name: ObjectName, found: Frame, **settings: Any) -> tuple[Any, Results]:
    metric = QualityMetric(MetricSettings(**settings))
    model = metric.fit(object_name, found)
    return model.card, metric.apply(object_name, found, model)


def by_id(results: Results) -> dict[str, dict[str, Any]]:
    assert results.details is not None
    rows = zip(results.values.to_pylist(), results.details.to_pylist(), strict=True)
    return {values["id"]: {**values, **details} for values, details in rows}


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("ann@acme.com", True),
        ("ann.meyer+crm@mail.acme.co.uk", True),
        ("ännä@müller.de", True),
        (" ann@acme.com ", True),
        ("ann@acme", False),
        ("ann.acme.com", False),
        ("ann@@acme.com", False),
        ("ann@acme..com", False),
        (".ann@acme.com", False),
        ("ann@acme.c", False),
        ("ann@-acme.com", False),
        ("ann meyer@acme.com", False),
        ("ann@acme.com; bob@acme.com", False),
        ("n/a", False),
        (None, False),
    ],
)
def test_what_is_an_email(text: str | None, valid: bool) -> None:
    assert checks.valid_email(pa.array([text], pa.string())).tolist() == [valid]


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("+49 (0)30 / 123 45-67", True),
        ("030.1234567 ext. 12", True),
        ("(415) 555-2671 x9", True),
        ("1234567", True),
        ("123456", False),
        ("+1234567890123456", False),
        ("0000000000", False),
        ("11111111", False),
        ("call me", False),
        ("555-CALL-NOW", False),
        ("", False),
        (None, False),
    ],
)
def test_what_is_a_phone_number(text: str | None, valid: bool) -> None:
    assert checks.valid_phone(pa.array([text], pa.string())).tolist() == [valid]


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("https://www.acme.com/de?x=1", True),
        ("acme.co.uk", True),
        ("acme", False),
        ("http://", False),
        ("-", False),
    ],
)
def test_what_is_a_website(text: str, valid: bool) -> None:
    assert checks.valid_website(pa.array([text])).tolist() == [valid]


def contact(number: int, **fields: Any) -> Contact:
    whole = {
        "first_name": f"Ann{number}",
        "last_name": f"Meyer{number * 7}",
        "email": f"ann{number}@acme{number}.com",
        "phone": f"+49 30 {1_234_567 + number * 1001}",
        "account_id": f"A{number}",
        "title": "Buyer",
        "owner_id": "rep",
        "created_at": NOW - timedelta(days=30),
    }
    return Contact(id=f"C{number}", **(whole | fields))


def test_a_whole_record_has_100_and_each_fault_costs_its_points() -> None:
    rows = [
        *(contact(number) for number in range(20)),
        contact(20, title=None),
        contact(21, email="ann at acme"),
        contact(22, created_at=NOW - timedelta(days=400)),
        contact(23, first_name="Bob", last_name="Kunz", email="bob@x.com"),
        contact(24, first_name="Bob", last_name="Kunz", email="BOB@x.com"),
        contact(25, title="  ", phone="000", created_at=None),
    ]
    _, results = run("contact", frame({"contact": rows}))
    found = by_id(results)
    assert found["C0"]["data_quality"] == 100
    assert found["C0"]["data_issues"] is None
    assert found["C20"]["data_quality"] == pytest.approx(100 - 50 / 7, abs=0.01)
    assert found["C20"]["data_issues"] == "Missing: title."
    assert found["C21"]["data_quality"] == pytest.approx(100 - 25 / 3, abs=0.01)
    assert found["C21"]["data_issues"] == "Not valid: e-mail."
    assert found["C22"]["data_quality"] == 90
    assert found["C22"]["data_issues"] == "Nothing happened for over 13 months."
    assert found["C23"]["data_quality"] == found["C24"]["data_quality"] == 85
    assert found["C24"]["data_issues"] == "Perhaps the same as C23."
    assert found["C25"]["data_issues"] == "Missing: title. Not valid: phone."
    fields = {row["field"]: row for row in results.tables["quality_fields"].to_pylist()}
    assert fields["email"]["not_valid"] == fields["phone"]["not_valid"] == 1
    assert results.tables["duplicates"].to_pylist() == [{"id": "C23", "same_as": "C24"}]
    summary = {row["figure"]: row for row in results.tables["quality_summary"].to_pylist()}
    assert summary["duplicate_records"]["value"] == 1
    assert summary["records"]["value"] == 26
    assert "26 records" in summary["data_quality"]["text"]


def test_a_field_that_nobody_fills_is_not_missed() -> None:
    rows = [contact(number, title=None) for number in range(30)]
    card, results = run("contact", frame({"contact": rows}))
    assert "title" not in card["kept"]
    assert {row["data_quality"] for row in by_id(results).values()} == {100}


def test_an_activity_is_a_sign_of_life_and_a_changed_date_is_not() -> None:
    long_ago = NOW - timedelta(days=500)
    rows = [contact(number, created_at=long_ago, modified_at=NOW) for number in range(3)]
    calls = [Activity(id="1", kind="call", contact_id="C1", started_at=NOW - timedelta(days=5))]
    later = [Activity(id="2", kind="call", contact_id="C2", started_at=NOW + timedelta(days=5))]
    found = by_id(run("contact", frame({"contact": rows, "activity": calls + later}))[1])
    assert [found[f"C{n}"]["quiet_months"] for n in range(3)] == [16, None, 16]


def test_closed_deals_and_leads_are_not_called_quiet() -> None:
    old = NOW - timedelta(days=900)
    deals = [
        Deal(
            id="won", is_won=True, is_closed=True, created_at=old, closed_at=old + timedelta(days=9), amount=5
        ),
        Deal(id="open", created_at=old, amount=5),
    ]
    found = by_id(run("deal", frame({"deal": deals}))[1])
    assert found["won"]["quiet_months"] is None
    assert found["open"]["quiet_months"] == 30


def test_dates_and_amounts_that_can_not_be() -> None:
    made = NOW - timedelta(days=50)
    deals = [
        Deal(id=f"ok{n}", created_at=made, amount=1000 + n, expected_close=date(2026, 3, 1))
        for n in range(30)
    ]
    odd = [
        Deal(id="before", created_at=made, closed_at=made - timedelta(days=9), is_closed=True),
        Deal(id="future", created_at=NOW + timedelta(days=9)),
        Deal(id="negative", created_at=made, amount=-5),
        Deal(id="nothing won", created_at=made, amount=0, is_won=True, is_closed=True),
        Deal(id="typo", created_at=made, amount=5_000_000),
        Deal(id="past", created_at=made, expected_close=date(2020, 1, 1)),
        Deal(id="far", created_at=made, expected_close=date(2062, 1, 1)),
    ]
    found = by_id(run("deal", frame({"deal": [*deals, *odd]}))[1])
    assert {id: row["wrong_fields"] for id, row in found.items() if row["wrong_fields"]} == {
        "before": "closed_at",
        "future": "created_at",
        "negative": "amount",
        "nothing won": "amount",
        "typo": "amount",
        "past": "expected_close",
        "far": "expected_close",
    }


def leads(number: int, *, seed: int, effect: float) -> list[Lead]:
    draw = np.random.default_rng(seed)
    rows = []
    for n in range(number):
        source = ["Referral", "Web"][int(draw.integers(2))]
        won = draw.random() < 0.3 + (effect if source == "Referral" else -effect)
        closed = draw.random() < 0.8
        rows.append(
            Lead(
                id=f"L{n}",
                lead_source=source if draw.random() < 0.7 else None,
                country=["DE", "FR", "US"][int(draw.integers(3))] if draw.random() < 0.5 else None,
                is_converted=bool(closed and won),
                is_disqualified=bool(closed and not won),
            )
        )
    return rows


def test_a_repair_is_worth_what_the_filled_records_tell_and_no_more_is_claimed() -> None:
    rows = leads(3000, seed=12, effect=0.2)
    found = {each.field: each for each in worth(frame({"lead": rows}), "lead")}
    source = found["lead_source"]
    assert source.missing == sum(
        row.lead_source is None and not (row.is_converted or row.is_disqualified) for row in rows
    )
    # Two equal groups of 50 % and 10 %: the information is H(.3) - (H(.5) + H(.1)) / 2.
    entropy = lambda p: -(p * math.log(p) + (1 - p) * math.log(1 - p))  # noqa: E731
    truth = entropy(0.3) - (entropy(0.5) + entropy(0.1)) / 2
    assert source.gain == pytest.approx(truth, rel=0.2)
    assert source.low is not None
    assert source.high is not None
    assert source.low < truth < source.high
    assert found["country"].gain is None  # it says nothing about the outcome
    assert found["industry"].known == 0
    assert found["industry"].p_value is None


def test_the_test_behind_the_worth_is_the_g_test() -> None:
    from crmbridge.metrics.quality.worth import _information

    draw = np.random.default_rng(3)
    levels, good = draw.integers(0, 4, 300), draw.random(300) < 0.4
    table = np.zeros((4, 2))
    np.add.at(table, (levels, good.astype(int)), 1)
    known = chi2_contingency(table, lambda_="log-likelihood", correction=False)
    gain, _, p_value = _information(levels, good)
    assert p_value == pytest.approx(known.pvalue)
    assert gain == pytest.approx((known.statistic - 3) / 600)


@pytest.mark.parametrize("object_name", ["lead", "contact", "account", "deal"])
def test_without_records_and_with_empty_ones_nothing_breaks(object_name: ObjectName) -> None:
    makes = {"lead": Lead, "contact": Contact, "account": Account, "deal": Deal}
    for rows in ([], [makes[object_name](id="1")], [makes[object_name](id=str(n)) for n in range(40)]):
        card, results = run(object_name, frame({object_name: rows}))
        assert results.values.num_rows == len(rows)
        for row in by_id(results).values():
            assert 0 <= row["data_quality"] <= 100
        assert card["records"] == len(rows)


def test_issues_speak_the_connections_language_and_keep_within_the_field() -> None:
    from crmbridge.metrics.quality.texts import LANGUAGES

    for text in LANGUAGES.values():
        for object_name, names in checks.EXPECTED.items():
            assert set(names) | set(checks.DATES[object_name]) <= set(text.LABELS)
    rows = [contact(number) for number in range(20)] + [contact(20, title=None, email="x")]
    found = by_id(run("contact", frame({"contact": rows}), language="zh")[1])
    assert found["C20"]["data_issues"] == "缺失：职位。无效：电子邮件。"
