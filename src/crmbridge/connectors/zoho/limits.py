"""Credits and concurrency: what the editions allow and what calls cost.

Source: https://www.zoho.com/crm/developer/docs/api/v8/api-limits.html. Zoho counts credits in a rolling
window of 24 hours per org, and simultaneous calls per org and app.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

RECORDS_A_CREDIT: Final = 10
LIST_PAGE: Final = 200
COQL_PAGE: Final = 2_000
COQL_SMALL_PAGE: Final = 200
JOB_PAGE: Final = 200_000
BULK_READ_CREDITS: Final = 50
BULK_WRITE_CREDITS: Final = 500
BULK_WRITE_FROM: Final = 5_000
"""Rows above which a Bulk Write job costs less than calls of 100."""
BULK_WRITE_ROWS: Final = 25_000
WRITE_PAGE: Final = 100
SUB_POOL: Final = 10
"""Simultaneous COQL queries and writes of more than 10 records, in every edition."""


@dataclass(frozen=True)
class Edition:
    """Credits a day: `base + users * each`, at most `cap`; and simultaneous calls."""

    base: int
    each: int
    cap: int | None
    calls: int

    def credits(self, users: int) -> int:
        """Credits in 24 hours for that many user licences."""
        found = self.base + self.each * users
        return found if self.cap is None else min(found, self.cap)


FREE: Final = Edition(5_000, 0, 5_000, 5)
STANDARD: Final = Edition(50_000, 250, 100_000, 10)
PROFESSIONAL: Final = Edition(50_000, 500, 3_000_000, 15)
ENTERPRISE: Final = Edition(50_000, 1_000, 5_000_000, 20)
ULTIMATE: Final = Edition(50_000, 2_000, None, 25)


def edition_of(paid_type: str | None) -> Edition:
    """The edition by `/org`'s `license_details.paid_type` or `trial_type`; unknown ones count as Free."""
    name = (paid_type or "").lower()
    for part, edition in (
        ("ultimate", ULTIMATE),
        ("crmplus", ULTIMATE),
        ("enterprise", ENTERPRISE),
        ("zohoone", ENTERPRISE),
        ("professional", PROFESSIONAL),
        ("standard", STANDARD),
        ("starter", STANDARD),
    ):
        if part in name:
            return edition
    return FREE


def query_credits(rows: int) -> int:
    """What a COQL query that returned that many rows costs."""
    return 1 if rows <= 200 else 2 if rows <= 1_000 else 3


def write_credits(records: int) -> int:
    """What one PUT of that many records costs."""
    return max(1, ceil(records / RECORDS_A_CREDIT))


def job_credits(polls: int = 3) -> int:
    """What one Bulk Read job costs: its making, looks at it, its download."""
    return BULK_READ_CREDITS + polls + 1


def write_forecast(records: int) -> int:
    """Credits to write that many records by PUT; reading them before and after costs one for each 50."""
    whole, rest = divmod(records, WRITE_PAGE)
    return whole * write_credits(WRITE_PAGE) + (write_credits(rest) if rest else 0)
