"""Records and values that the suite puts into a CRM: ordinary ones, and those that find bugs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from crmbridge.model.fields import Field, FieldValue, fields_on
from crmbridge.model.records import RECORDS, Account, Contact, Deal, Lead, ObjectName, Record

CREATED: Final = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)


def leads(number: int, *, first: int = 0, attribute: str | None = None) -> list[Lead]:
    """Ordinary leads, each different in each field."""
    return [
        Lead(
            id=f"10{place:04}",
            created_at=CREATED + timedelta(hours=place),
            first_name=f"First {place}",
            last_name=f"Last {place}",
            company=f"Company {place}",
            email=f"person{place}@example.com",
            status="Open",
            attributes={attribute: f"code {place}"} if attribute else {},
        )
        for place in range(first, first + number)
    ]


def records(object_name: ObjectName, number: int) -> list[Record]:
    """Ordinary records of any object that carries fields of ours."""
    if object_name == "lead":
        return list(leads(number))
    made: list[Record] = []
    for place in range(number):
        common = {"id": f"30{place:04}", "created_at": CREATED + timedelta(hours=place)}
        if object_name == "deal":
            made.append(Deal(**common, name=f"Deal {place}", amount=Decimal(100 + place), stage="Open"))
        elif object_name == "account":
            made.append(Account(**common, name=f"Company {place}", country="DE"))
        elif object_name == "contact":
            made.append(Contact(**common, last_name=f"Last {place}", email=f"person{place}@example.com"))
        else:
            made.append(RECORDS[object_name].model_validate({**common, "name": f"Name {place}"}))
    return made


AWKWARD_IDS: Final = (
    "9223372036854775807",
    "1000000000000000001",
    "007",
    "0x1F",
    "NA",
    "null",
    "1e5",
    "true",
    "-",
)
"""Ids that are text and nothing else: 19 digits, leading zeros, words that readers take for something else.
"""

AWKWARD_TEXTS: Final = (
    "Müller & Söhne ΑΩ 株式会社",
    'She said "yes", then; no',
    "two\nlines, and\ta tab",
    "🙂 beyond the basic plane",
    "=1+2",
    "NA",
    "null",
    "0012",
    "1.50",
    "2026-02-30",
    "x" * 200,
)

AWKWARD_MOMENTS: Final = (
    datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC),  # clocks in Europe go forward at 01:00 UTC
    datetime(2026, 3, 29, 1, 0, 0, tzinfo=UTC),
    datetime(2025, 10, 26, 0, 30, 0, tzinfo=UTC),  # twice the same wall clock in Europe
    datetime(2025, 10, 26, 1, 30, 0, tzinfo=UTC),
    datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC),
    datetime(2025, 12, 31, 23, 30, 0, tzinfo=UTC),
)

AWKWARD_AMOUNTS: Final = (
    Decimal("0"),
    Decimal("0.1"),
    Decimal("1234567.89"),
    Decimal("9007199254740993"),  # no double holds it
)


def awkward_leads(attribute: str | None) -> list[Lead]:
    """Leads that go through every awkward value; as many as the longest list has."""
    number = max(map(len, (AWKWARD_IDS, AWKWARD_TEXTS, AWKWARD_MOMENTS, AWKWARD_AMOUNTS)))
    found = []
    for place in range(number):
        text = AWKWARD_TEXTS[place % len(AWKWARD_TEXTS)]
        found.append(
            Lead(
                id=AWKWARD_IDS[place] if place < len(AWKWARD_IDS) else f"20{place:04}",
                created_at=AWKWARD_MOMENTS[place % len(AWKWARD_MOMENTS)],
                last_name=f"Last {place}",
                company=text,
                annual_revenue=AWKWARD_AMOUNTS[place % len(AWKWARD_AMOUNTS)],
                employees=(None, 0, 1, 250_000)[place % 4],
                status="Open",
                attributes={attribute: text} if attribute else {},
            )
        )
    return found


def values(object_name: ObjectName, keys: tuple[str, ...], turn: int = 0) -> dict[str, FieldValue]:
    """A value for each of the fields; another one in each turn, far enough to be written again."""
    return {field.key: _value(field, turn) for field in fields_on(object_name, keys)}


def extremes(object_name: ObjectName, keys: tuple[str, ...]) -> list[Mapping[str, FieldValue]]:
    """Values at the edges of each field's type, whole records of them."""
    chosen = fields_on(object_name, keys)
    return [
        {field.key: _lowest(field) for field in chosen},
        {field.key: _highest(field) for field in chosen},
        {
            field.key: "Grün: „ja“, 100 %\nnext line 🙂" if field.type == "text" else _lowest(field)
            for field in chosen
        },
    ]


def _value(field: Field, turn: int) -> FieldValue:
    if field.type == "number":
        return round(10.5 + 20 * turn, field.decimals)
    if field.type == "boolean":
        return turn % 2 == 0
    if field.type == "choice":
        return field.choices[turn % len(field.choices)]
    if field.type == "datetime":
        return f"2026-03-{10 + turn:02}T08:00:00Z"
    return f"Kind {turn}: because of this, {turn}"


def _lowest(field: Field) -> FieldValue:
    if field.type == "number":
        return 0.0
    if field.type == "boolean":
        return False
    if field.type == "choice":
        return field.choices[0]
    return "2026-03-29T01:00:00Z" if field.type == "datetime" else "x"


def _highest(field: Field) -> FieldValue:
    if field.type == "number":
        return round(100 - 0.1**field.decimals, field.decimals)
    if field.type == "boolean":
        return True
    if field.type == "choice":
        return field.choices[-1]
    return (
        "2027-12-31T23:59:59Z"
        if field.type == "datetime"
        else ("long " * field.length)[: field.length - 1] + "."
    )
