"""Duplicates: planted pairs are found, and others are left alone."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crmbridge.metrics.base import Frame
from crmbridge.metrics.quality.duplicates import Duplicates, duplicates
from crmbridge.model.columns import to_table
from crmbridge.model.records import Account, Contact, Deal, Lead
from tests.unit.customers_kit import NOW, UTC_ZONE

VOWELS, CONSONANTS = "aeiou", "bdfghklmnprstvwz"


def names(draw: np.random.Generator, number: int, syllables: tuple[int, int]) -> list[str]:
    """Made-up names; some are alike, as real ones are (Jan, Jana; Meier, Meyer)."""
    found: set[str] = set()
    while len(found) < number:
        word = "".join(
            CONSONANTS[draw.integers(16)] + VOWELS[draw.integers(5)] for _ in range(draw.integers(*syllables))
        )
        found.add((word + ("n" if draw.random() < 0.3 else "")).capitalize())
    return sorted(found)


def typo(draw: np.random.Generator, text: str) -> str:
    """One slip: a letter left out, doubled, changed or two turned round."""
    at = int(draw.integers(1, max(len(text) - 1, 2)))
    kind = draw.integers(4)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    if kind == 2:
        return text[:at] + "e" + text[at + 1 :]
    return text[: at - 1] + text[at] + text[at - 1] + text[at + 1 :]


def entered_again(draw: np.random.Generator, row: dict[str, Any]) -> dict[str, Any]:
    """The same person as somebody else would type it: two or three things differ."""
    again = dict(row)
    changes = draw.choice(7, size=draw.integers(2, 4), replace=False)
    lost = 0
    for change in changes:
        if change == 0:
            again["first_name"] = typo(draw, row["first_name"])
        elif change == 1:
            again["last_name"] = typo(draw, row["last_name"])
        elif change == 2:
            again["first_name"], again["last_name"] = row["first_name"].upper(), row["last_name"].lower()
        elif change == 3 and lost < 1:
            again["email"], lost = None, lost + 1
        elif change == 4:
            again["phone"] = "0" + row["phone"][3:].replace(" ", "-")
        elif change == 5 and lost < 1:
            again["phone"], lost = None, lost + 1
        elif change == 6:
            again["email"] = again["email"] and again["email"].upper()
    return again


def contacts(number: int, *, seed: int, share: float = 0.03) -> tuple[Frame, set[tuple[str, str]]]:
    """Contacts at accounts of one to a dozen people, and the pairs that are the same person."""
    draw = np.random.default_rng(seed)
    first, last = names(draw, 300, (2, 4)), names(draw, 2000, (2, 5))
    rows: list[dict[str, Any]] = []
    taken: dict[str, int] = {}
    for place in range(number - int(number * share)):
        one, other = first[draw.integers(300)], last[int(2000 * draw.random() ** 2)]
        account = place // int(draw.integers(1, 13))
        email = f"{one[0]}.{other}".lower()
        mailbox = f"{email}@firm{account % 40_000}.example"
        taken[mailbox] = taken.get(mailbox, 0) + 1
        if taken[mailbox] > 1:  # nobody shares a mailbox: the next one gets a number
            mailbox = f"{email}{taken[mailbox]}@firm{account % 40_000}.example"
        rows.append(
            {
                "first_name": one,
                "last_name": other,
                "email": mailbox if draw.random() < 0.9 else None,
                "phone": f"+49 {draw.integers(30, 990)} {draw.integers(100_000, 9_999_999)}",
                "account_id": f"A{account % 40_000}",
            }
        )
    planted = set()
    for source in draw.choice(len(rows), size=int(number * share), replace=False):
        planted.add((f"C{source:07d}", f"C{len(rows):07d}"))
        rows.append(entered_again(draw, rows[source]))
    table = pa.table(
        {"id": [f"C{place:07d}" for place in range(len(rows))]}
        | {key: pa.array([row[key] for row in rows], pa.string()) for key in rows[0]}
    )
    return Frame.of({"contact": table}, moment=NOW, zone=UTC_ZONE), planted


def found_pairs(found: Duplicates) -> set[tuple[str, str]]:
    ids = found.ids.to_pylist()
    return {(ids[a], ids[b]) for a, b in zip(found.first.tolist(), found.second.tolist(), strict=True)}


def assert_found(number: int, seed: int) -> None:
    frame, planted = contacts(number, seed=seed)
    found = found_pairs(duplicates(frame, "contact"))
    assert len(found & planted) >= 0.95 * len(planted)
    assert len(found & planted) >= 0.99 * len(found)


def test_planted_pairs_are_found_and_hardly_any_others() -> None:
    assert_found(4000, seed=1)


@pytest.mark.slow
def test_on_100_000_contacts_it_takes_less_than_a_minute_and_grows_in_proportion() -> None:
    seconds = []
    for number in (25_000, 100_000):
        frame, planted = contacts(number, seed=2)
        began = time.process_time()
        found = found_pairs(duplicates(frame, "contact"))
        seconds.append(time.process_time() - began)
        assert len(found & planted) >= 0.95 * len(planted)
        assert len(found & planted) >= 0.99 * len(found)
    assert seconds[1] < 60
    assert seconds[1] < 4 * seconds[0] * 2


def people(*rows: tuple[str | None, str | None, str | None, str | None, str | None]) -> Frame:
    keys = ("first_name", "last_name", "email", "phone", "account_id")
    records = [Contact(id=f"C{n}", **dict(zip(keys, row, strict=True))) for n, row in enumerate(rows)]
    return Frame.of({"contact": to_table("contact", records)}, moment=NOW, zone=UTC_ZONE)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("Ann", "Meyer", "a@x.com", None, None), ("ANN", "Meyer", "A@X.com", None, None), True),
        (("Ann", "Meyer", "info@x.com", None, None), ("Bob", "Kunz", "info@x.com", None, None), False),
        (("Ann", "Meyer", None, None, None), ("Ann", "Meyer", None, None, None), False),
        (("Ann", "Meyer", None, None, "1"), ("Ann", "Meyer", None, None, "1"), True),
        (("Ann", "Meyer", None, None, "1"), ("Ann", "Meyer", None, None, "2"), False),
        (("Jan", "Meyer", None, None, "1"), ("Jana", "Meyer", None, None, "1"), False),
        (("Zoë", "Müller", None, "+49 30 123456", None), ("Zoe", "Muller", None, "030/123456", None), True),
        (("Ann", "Meyer", None, "+49 30 123456", None), ("Meyer", "Ann", None, "030-123456 x12", None), True),
        (("Ann", "Meyer", None, "+49 30 123456", None), ("Tom", "Kunz", None, "030123456", None), False),
        (("Ann", "Meyer", "a+crm@x.com", None, None), ("Ann", "Meyer", "a@x.com", None, None), True),
        ((None, None, "a@x.com", None, None), ("Ann", "Meyer", "a@x.com", None, None), True),
        ((None, None, None, None, None), (None, None, None, None, None), False),
        (
            ("Ann", "Meyer", "a.m@x.com", "+49 30 123456", "1"),
            ("Ann", "Meyer", "ann9@y.com", "+49 40 987654", "1"),
            False,
        ),
    ],
)
def test_two_people_are_the_same_or_not(one: Any, other: Any, same: bool) -> None:
    assert bool(found_pairs(duplicates(people(one, other), "contact"))) is same


def test_three_records_of_one_person_are_one_group() -> None:
    rows = [("Ann", "Meyer", "a@x.com", "123456789", "1")] * 3 + [("Bob", "Kunz", "b@x.com", None, "1")]
    found = duplicates(people(*rows), "contact")
    assert found.is_duplicate.tolist() == [True, True, True, False]
    assert found.surplus == 2
    assert found.partner().tolist() == [1, 0, 0, -1]


def test_companies_and_deals_are_told_apart_by_their_own_marks() -> None:
    accounts = [
        Account(id="1", name="Acme Holding GmbH", country="Germany", website="https://www.acme.com/de"),
        Account(id="2", name="ACME", country="Germany"),
        Account(id="3", name="Acme", country="France", website="acme.fr"),
        Account(id="4", name="Zenith Ltd", website="zenith.co.uk"),
        Account(id="5", name="Zenith Energy North Ltd", website="zenith.com"),
        Account(id="6", name="Zenith Energy South Ltd", website="zenith.com"),
    ]
    deals = [
        Deal(id="1", name="Renewal 2026", account_id="A", amount=500, created_at=NOW),
        Deal(id="2", name="renewal  2026", account_id="A", amount=500, created_at=NOW),
        Deal(id="3", name="Renewal 2026", account_id="A", amount=900, created_at=NOW),
        Deal(id="4", name="Renewal 2026", account_id="B", amount=500, created_at=NOW),
    ]
    leads = [
        Lead(id="1", first_name="Ann", last_name="Meyer", company="Acme GmbH"),
        Lead(id="2", first_name="Ann", last_name="Meyer", company="Acme"),
        Lead(id="3", first_name="Ann", last_name="Meyer", company="Zenith"),
    ]
    tables = {
        "account": to_table("account", accounts),
        "deal": to_table("deal", deals),
        "lead": to_table("lead", leads),
    }
    found = Frame.of(tables, moment=NOW, zone=UTC_ZONE)  # type: ignore[arg-type]
    for name in ("account", "deal", "lead"):
        assert found_pairs(duplicates(found, name)) == {("1", "2")}, name  # type: ignore[arg-type]


def test_no_records_have_no_duplicates() -> None:
    for name in ("lead", "contact", "account", "deal"):
        found = duplicates(Frame.of({}, moment=NOW, zone=UTC_ZONE), name)  # type: ignore[arg-type]
        assert (len(found.first), found.surplus, len(found.partner())) == (0, 0, 0)
