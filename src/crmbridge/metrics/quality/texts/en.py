"""English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LABELS: Final[Mapping[str, str]] = {
    "first_name": "first name",
    "last_name": "last name",
    "company": "company",
    "title": "title",
    "email": "e-mail",
    "phone": "phone",
    "industry": "industry",
    "employees": "employees",
    "country": "country",
    "lead_source": "lead source",
    "owner_id": "owner",
    "account_id": "account",
    "name": "name",
    "website": "website",
    "amount": "amount",
    "stage": "stage",
    "expected_close": "expected close",
    "created_at": "created date",
    "converted_at": "converted date",
    "closed_at": "closed date",
}
MISSING: Final = "Missing: "
WRONG: Final = "Not valid: "
QUIET: Final = ("Nothing happened for over ", " months")
SAME: Final = "Perhaps the same as "
COMMA: Final = ", "
END: Final = ". "


def verdict(records: int, score: float | None, surplus: int) -> str:
    if score is None:
        return "There are no records."
    text = f"{records:,} records, quality {score:.0f} of 100 on average"
    return text + (f"; {surplus:,} are probably there twice." if surplus else "; none is there twice.")
