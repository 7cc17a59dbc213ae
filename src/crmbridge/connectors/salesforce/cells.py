"""Cells become values: one rule per kind, for whole columns of text at once.

What the vector code reads exactly as the rule does, it reads; every other cell goes through the rule itself,
once for each distinct one. A cell that the rule refuses is null, and named with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Context, Decimal, InvalidOperation
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.connectors.salesforce.objects import Kind
from crmbridge.connectors.salesforce.schema import NUMBERS
from crmbridge.model.records import MONEY_DECIMALS, MONEY_DIGITS

MOMENT: Final = pa.timestamp("us", tz="UTC")
TYPES: Final[Mapping[Kind, pa.DataType]] = {
    "id": pa.string(),
    "text": pa.string(),
    "boolean": pa.bool_(),
    "count": pa.int64(),
    "money": pa.decimal128(MONEY_DIGITS, MONEY_DECIMALS),
    "moment": MOMENT,
    "date": pa.date32(),
    "day": MOMENT,
}
_PLAIN: Final[Mapping[Kind, str]] = {
    "id": r"^[0-9A-Za-z]{18}$",
    "boolean": r"^(true|false)$",
    "count": r"^[0-9]{1,18}$",
    "money": r"^-?[0-9]{1,20}(\.[0-9]{1,9})?$",
    "moment": r"^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{3})?(Z|\+0000)$",
    "date": r"^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$",
}
"""Cells that Arrow reads as the rule does; days after the 28th may be no days of their month."""
_SMALLEST: Final = Decimal(1).scaleb(-MONEY_DECIMALS)
_EXACT: Final = Context(prec=2 * MONEY_DIGITS)
"""The default context's 28 digits are fewer than an amount may have."""
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def id18(identifier: str) -> str:
    """The 18 characters of an id: 15 and, where only those are given, three that spell their capitals."""
    if len(identifier) != 15:
        return identifier
    suffix = ""
    for start in (0, 5, 10):
        bits = sum(
            1 << place for place, sign in enumerate(identifier[start : start + 5]) if "A" <= sign <= "Z"
        )
        suffix += _ALPHABET[bits]
    return identifier + suffix


def _id(cell: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z]{15}([0-9A-Za-z]{3})?", cell):
        raise ValueError(f"{cell[:40]!r} is not an id")
    return id18(cell)


def _boolean(cell: str) -> bool:
    folded = cell.lower()
    if folded not in ("true", "false"):
        raise ValueError(f"{cell[:40]!r} is neither true nor false")
    return folded == "true"


def _number(cell: str) -> Decimal:
    try:
        number = Decimal(cell)
    except InvalidOperation:
        raise ValueError(f"{cell[:40]!r} is not a number") from None
    if not number.is_finite() or number.adjusted() >= MONEY_DIGITS - MONEY_DECIMALS:
        raise ValueError(f"{cell[:40]!r} is out of range")
    return number


def _count(cell: str) -> int:
    number = _number(cell)
    if number != number.to_integral_value():
        raise ValueError(f"{cell[:40]!r} is not a whole number")
    if not 0 <= number <= 2**62:
        raise ValueError(f"{cell[:40]!r} is out of range")
    return int(number)


def _money(cell: str) -> Decimal:
    number = _number(cell)
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -MONEY_DECIMALS:
        return number.quantize(_SMALLEST, context=_EXACT)
    return number


def _moment(cell: str) -> datetime:
    moment = datetime.fromisoformat(cell)
    if moment.tzinfo is None:
        raise ValueError(f"{cell[:40]!r} has no zone")
    return moment.astimezone(UTC)


def _day(cell: str, zone: ZoneInfo) -> datetime:
    return datetime.combine(date.fromisoformat(cell[:10]), time(), zone).astimezone(UTC)


def _rule(kind: Kind, zone: ZoneInfo) -> Callable[[str], Any]:
    rules: dict[str, Callable[[str], Any]] = {
        "id": _id,
        "text": str,
        "boolean": _boolean,
        "count": _count,
        "money": _money,
        "moment": _moment,
        "date": date.fromisoformat,
        "day": partial(_day, zone=zone),
    }
    return rules[kind]


def convert(cells: pa.Array, kind: Kind, zone: ZoneInfo) -> tuple[pa.Array, dict[int, str]]:
    """A column's values, and the reasons for the cells that the rule refuses, by row."""
    if kind == "text":
        return cells, {}
    pattern = _PLAIN.get(kind)
    if pattern is None:  # days: few distinct ones
        return _by_rule(cells, kind, zone)
    plain = pc.match_substring_regex(cells, pattern)
    if pc.all(plain).as_py() is not False:  # nulls are neither
        return _cast(cells, kind), {}
    values = _cast(pc.if_else(plain, cells, pa.scalar(None, pa.string())), kind)
    odd = pc.fill_null(pc.invert(plain), False)
    rows = pc.indices_nonzero(odd).to_pylist()
    slow, wrong = _by_rule(cells.filter(odd), kind, zone)
    return pc.replace_with_mask(values, odd, slow), {rows[place]: why for place, why in wrong.items()}


def _cast(cells: pa.Array, kind: Kind) -> pa.Array:
    return cells if kind == "id" else cells.cast(TYPES[kind])


def _by_rule(cells: pa.Array, kind: Kind, zone: ZoneInfo) -> tuple[pa.Array, dict[int, str]]:
    rule = _rule(kind, zone)
    encoded = cells.dictionary_encode()
    values: list[Any] = []
    reasons: dict[int, str] = {}
    for place, cell in enumerate(encoded.dictionary.to_pylist()):
        try:
            values.append(rule(cell))
        except (ValueError, OverflowError) as error:
            values.append(None)
            reasons[place] = str(error)
    column = pa.array(values, TYPES[kind]).take(encoded.indices)
    wrong = {}
    if reasons:
        for row, place in enumerate(encoded.indices.to_pylist()):
            if place in reasons:
                wrong[row] = reasons[place]
    return column, wrong


def tagged(cells: pa.Array, kind: str) -> pa.Array:
    """Cells as an attribute's column (see `model.columns`), the same from REST and from Bulk API 2.0.

    `kind` is the describe's type of the field.
    """
    if kind == "boolean":
        texts = cells
    elif kind in NUMBERS:
        plain = pc.match_substring_regex(cells, r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$")
        texts = cells
        if pc.any(pc.invert(plain)).as_py():
            texts = pa.array([_short(cell) for cell in cells.to_pylist()], pa.string())
        # `12.0` and `12`, `0.50` and `0.5` are one number, whichever API spells it.
        if pc.any(pc.match_substring(texts, ".")).as_py():
            texts = pc.replace_substring_regex(texts, r"(\.[0-9]*[1-9])0+$|\.0+$", r"\1")
    elif kind == "datetime":
        texts = pc.binary_join_element_wise(
            '"', pc.replace_substring_regex(cells, r"(\.0+)?(\+0000|Z)$", "Z"), ""
        )
    else:
        texts = pc.binary_join_element_wise('"', cells, "")
    return pc.fill_null(texts, "null")


def _short(cell: str | None) -> str | None:
    if cell is None:
        return None
    try:
        number = Decimal(cell)
    except InvalidOperation:
        return '"' + cell
    if not number.is_finite():
        return '"' + cell
    return format(number, "f") if -16 < number.adjusted() < 25 else repr(float(number))
