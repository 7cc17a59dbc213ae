"""What makes a field valid. Plain rules on whole columns: no look-up, no network, the same everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.arrays import UNKNOWN_MOMENT, Mask, moments, numbers, truths
from crmbridge.metrics.days import DAY, micros
from crmbridge.model.records import ObjectName

EXPECTED: Final[Mapping[ObjectName, tuple[str, ...]]] = {
    "lead": (
        "first_name",
        "last_name",
        "company",
        "title",
        "email",
        "phone",
        "industry",
        "employees",
        "country",
        "lead_source",
        "owner_id",
    ),
    "contact": ("first_name", "last_name", "account_id", "email", "phone", "title", "owner_id"),
    "account": ("name", "industry", "employees", "country", "website", "owner_id"),
    "deal": ("name", "account_id", "amount", "stage", "expected_close", "lead_source", "owner_id"),
}
"""Fields that are missed where they are empty, provided that the organisation fills them at all."""
DATES: Final[Mapping[ObjectName, tuple[str, ...]]] = {
    "lead": ("created_at", "converted_at", "closed_at"),
    "contact": ("created_at",),
    "account": ("created_at",),
    "deal": ("created_at", "closed_at"),
}
UNUSUAL: Final = 1000.0
"""An amount of so many times the median is taken for a slip of the keyboard."""
FURTHEST: Final = 3653
"""Days a close may be expected ahead: ten years."""

_DOMAIN: Final = r"([\p{L}\p{N}_]([\p{L}\p{N}_-]*[\p{L}\p{N}_])?\.)+\p{L}[\p{L}\p{N}-]*\p{L}"
_EMAIL: Final = rf"^[^@\s,;<>\"()]{{1,64}}@{_DOMAIN}$"
_PHONE: Final = r"^\+?[\d\s().\-/]+((ext|extension|x|#)[.:\s]*\d{1,6})?$"
_WEBSITE: Final = rf"^(https?://)?{_DOMAIN}(:\d+)?([/?#]\S*)?$"


@dataclass(frozen=True)
class Found:
    """Row by row and by field: what is filled, and what is wrong (only what is filled can be)."""

    filled: Mapping[str, Mask]
    wrong: Mapping[str, Mask]


def columns(object_name: ObjectName) -> tuple[str, ...]:
    """The columns that `check` reads."""
    own = dict.fromkeys((*EXPECTED[object_name], *DATES[object_name]))
    if object_name == "deal":
        own |= dict.fromkeys(("is_won", "is_closed"))
    return tuple(own)


def check(
    object_name: ObjectName, column: Mapping[str, pa.Array], moment: datetime, usual_amount: float | None
) -> Found:
    """Check the columns of `columns`. `usual_amount` is the median amount of deals, None where not known."""
    filled = {name: is_filled(column[name]) for name in EXPECTED[object_name]}
    wrong: dict[str, Mask] = {}
    for name, valid in _TEXTS.items():
        if name in filled:
            wrong[name] = filled[name] & ~valid(column[name])
    if "employees" in filled:
        wrong["employees"] = truths(pc.less_equal(column["employees"], 0), unknown=False)
    at = {name: moments(column[name]) for name in DATES[object_name]}
    for name, moments_ in at.items():
        known = moments_ != UNKNOWN_MOMENT
        bad = known & (moments_ > micros(moment) + DAY)
        if name != "created_at":
            both = known & (at["created_at"] != UNKNOWN_MOMENT)
            # A date without a time may stand for any time of its day.
            bad |= both & (moments_ < np.where(both, at["created_at"], 0) - DAY)
        wrong[name] = bad
    if object_name == "deal":
        wrong |= _deal(column, filled, at["created_at"], usual_amount)
    return Found(filled, wrong)


def is_filled(column: pa.Array) -> Mask:
    """Neither null nor blank."""
    if pa.types.is_string(column.type):
        return truths(pc.not_equal(pc.utf8_trim_whitespace(column), ""), unknown=False)
    return truths(column.is_valid(), unknown=False)


def valid_email(column: pa.Array) -> Mask:
    """One @, nothing but letters, digits and hyphens in the parts of the domain, a top domain of letters."""
    text = pc.utf8_trim_whitespace(column)
    looks = truths(pc.match_substring_regex(text, _EMAIL), unknown=False)
    dots = truths(pc.match_substring_regex(text, r"^\.|\.@|\.\."), unknown=False)
    return looks & ~dots


def valid_phone(column: pa.Array) -> Mask:
    """7 to 15 digits (E.164), signs that people put between them, an extension; not one digit throughout."""
    text = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    looks = truths(pc.match_substring_regex(text, _PHONE), unknown=False)
    digits = pc.replace_substring_regex(pc.replace_substring_regex(text, r"(ext|x|#).*$", ""), r"\D", "")
    number = pc.fill_null(pc.utf8_length(digits), 0).to_numpy(zero_copy_only=False)
    first = pc.utf8_slice_codeunits(digits, 0, 1)
    same = truths(pc.equal(pc.utf8_length(pc.utf8_trim(digits, "0")), 0), unknown=False)
    for digit in "123456789":
        alone = pc.and_(pc.equal(first, digit), pc.equal(pc.utf8_length(pc.utf8_trim(digits, digit)), 0))
        same |= truths(alone, unknown=False)
    valid: Mask = looks & (number >= 7) & (number <= 15) & ~same
    return valid


def valid_website(column: pa.Array) -> Mask:
    """A host with a top domain, with or without http(s) and a path."""
    text = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    return truths(pc.match_substring_regex(text, _WEBSITE), unknown=False)


_TEXTS: Final[Mapping[str, Callable[[pa.Array], Mask]]] = {
    "email": valid_email,
    "phone": valid_phone,
    "website": valid_website,
}


def _deal(
    column: Mapping[str, pa.Array],
    filled: Mapping[str, Mask],
    created: np.ndarray,
    usual_amount: float | None,
) -> dict[str, Mask]:
    amount = numbers(column["amount"])
    won = truths(column["is_won"], unknown=False)
    bad = (amount < 0) | (won & (amount == 0))
    if usual_amount is not None and usual_amount > 0:
        bad |= amount > UNUSUAL * usual_amount
    expected = pc.fill_null(column["expected_close"].cast(pa.int32()), 0).to_numpy().astype(np.int64)
    since = created // DAY
    known = filled["expected_close"] & (created != UNKNOWN_MOMENT)
    late = known & ((expected < since - 1) | (expected > since + FURTHEST))
    return {"amount": bad, "expected_close": late}
