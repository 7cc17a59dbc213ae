"""What one cell means: the rules by which a cell becomes a value of the common model.

Both decoders apply these functions; the bulk one to each distinct cell. A cell is text (CSV) or a Parquet
value, never null. Each function returns the value, or raises ValueError with a reason an admin understands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from typing import Any, Final, Literal, get_args, get_type_hints
from zoneinfo import ZoneInfo

from pydantic import ConfigDict, TypeAdapter

from crmbridge.connectors.files.options import Stages
from crmbridge.model.records import RECORDS, Count, Id, Moment, Money, ObjectName, Scalar, Seconds

Convert = Callable[[Any], Any]
Kind = Literal["text", "id", "moment", "date", "money", "count", "seconds", "boolean", "choice"]

_KINDS: Final[tuple[tuple[Any, Kind], ...]] = (
    (Id, "id"),
    (Moment, "moment"),
    (Money, "money"),
    (Count, "count"),
    (Seconds, "seconds"),
    (date, "date"),
    (bool, "boolean"),
    (str, "text"),
)
_STRICT_NUMBERS: Final = ConfigDict(allow_inf_nan=False)
_TRUE: Final = frozenset({"true", "1", "yes", "y", "t"})
_FALSE: Final = frozenset({"false", "0", "no", "n", "f"})
_CLOCK: Final = r"(?:[01]\d|2[0-3]){0}[0-5]\d(?:{0}[0-5]\d{1})?"
_OFFSET: Final = r"(?: ?(?:Z|UTC|[+-]\d\d(?::?\d\d)?))?"
ISO: Final = re.compile(
    rf"\d{{4}}-\d\d-\d\d(?:[T ]{_CLOCK.format(':', r'(?:[.,][0-9]+)?')}{_OFFSET})?"
    rf"|\d{{8}}(?:T{_CLOCK.format('', '')}{_OFFSET})?",
    re.ASCII | re.IGNORECASE,
)
"""A date, or a date and a time to the minute or finer, with or without an offset; extended or basic form."""


@dataclass(frozen=True)
class FieldRule:
    """What the model says of one field: its kind, its words where it is a choice, whether null is refused."""

    kind: Kind
    words: tuple[str, ...]
    required: bool
    adapter: TypeAdapter[Any]
    """Checks values of this field exactly as the record does."""


@cache
def field_rules(object_name: ObjectName) -> Mapping[str, FieldRule]:
    """The rules of a record's own fields, in the model's order, read off the model."""
    record = RECORDS[object_name]
    hints = get_type_hints(record, include_extras=True)
    rules = {}
    for field in record.model_fields:
        if field == "attributes":
            continue
        hint = hints[field]
        required = type(None) not in get_args(hint)
        annotation = hint if required else next(part for part in get_args(hint) if part is not type(None))
        kind: Kind = next((kind for known, kind in _KINDS if annotation == known), "choice")
        words = get_args(annotation) if kind == "choice" else ()
        rules[field] = FieldRule(kind, words, required, TypeAdapter(hint, config=_STRICT_NUMBERS))
    return rules


def text_of(cell: Any) -> str:
    """A cell as text: what an id or a text field holds."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, (datetime, date, time)):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        # Whole numbers with gaps are stored as floating ones by many tools; 17.0 is the id 17.
        return str(int(cell))
    return str(cell)


def scalar_of(cell: Any) -> Scalar:
    """A cell as an attribute: JSON scalars as they are, everything else as text."""
    if isinstance(cell, float) and not math.isfinite(cell):
        return str(cell)
    return cell if isinstance(cell, (str, bool, int, float)) else text_of(cell)


def boolean(cell: Any) -> bool | None:
    """`true`, `1`, `yes`, `y`, `t` and their opposites, in any case; blank is null."""
    if isinstance(cell, bool):
        return cell
    word = text_of(cell).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    if not word:
        return None
    raise ValueError(f"{cell!r} is not true or false (also 1/0, yes/no, y/n, t/f)")


@dataclass(frozen=True)
class Number:
    """Numbers with the stated decimal mark; the other mark may group thousands. Blank is null."""

    decimal: Literal[".", ","]
    kind: Kind

    def __call__(self, cell: Any) -> Any:
        if isinstance(cell, bool) or not isinstance(cell, (str, int, float, Decimal)):
            raise ValueError(f"{text_of(cell)!r} is not a number")
        text = self.plain(cell) if isinstance(cell, str) else str(cell)
        if text is None:
            return None
        if self.kind == "seconds":
            return float(text)
        number = Decimal(text)
        if self.kind == "money":
            return number
        if not number.is_finite() or number != number.to_integral_value():
            raise ValueError(f"{text_of(cell)!r} is not a whole number")
        # A billion digits would follow from a short exponent: the model's bound is looked at first.
        if number.adjusted() > 20:
            raise ValueError(f"{text_of(cell)!r} is too large")
        return int(number)

    def plain(self, cell: str) -> str | None:
        """The number in Python's notation, None for a blank."""
        text = cell.strip()
        if not text:
            return None
        if not _NUMBER[self.decimal].fullmatch(text):
            raise ValueError(f"{cell!r} is not a number with the decimal mark {self.decimal!r}")
        if self.decimal == ",":
            return text.replace(".", "").replace(",", ".")
        return text.replace(",", "")


def _number_pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    mark, group = re.escape(decimal), re.escape(thousands)
    return re.compile(
        rf"[+-]?(?:(?:\d+|\d{{1,3}}(?:{group}\d{{3}})+)(?:{mark}\d*)?|{mark}\d+)(?:[eE][+-]?\d{{1,4}})?",
        re.ASCII,
    )


_NUMBER: Final = {".": _number_pattern(".", ","), ",": _number_pattern(",", ".")}


@dataclass(frozen=True)
class Moments:
    """Dates and times in the stated formats (ISO 8601 without any), in UTC. Blank is null.

    What carries no offset is read in `zone`, a date alone as its midnight. A time that the clocks skip is
    read with the offset before the change, one that comes twice is the first (PEP 495, fold=0).
    """

    zone: ZoneInfo
    formats: tuple[str, ...] = ()

    def __call__(self, cell: Any) -> datetime | None:
        read = self.read(cell)
        if read is None:
            return None
        try:
            return (read if read.tzinfo else read.replace(tzinfo=self.zone)).astimezone(UTC)
        except OverflowError:
            raise ValueError(f"{text_of(cell)!r} is outside the years 1 to 9999") from None

    def read(self, cell: Any) -> datetime | None:
        """The date and time as it stands in the cell, aware only where the cell has an offset."""
        if isinstance(cell, datetime):
            return cell
        if isinstance(cell, date):
            return datetime.combine(cell, time())
        text = text_of(cell).strip()
        if not text:
            return None
        for one in self.formats:
            try:
                return datetime.strptime(text, one)  # noqa: DTZ007 - the zone is added by the caller
            except ValueError:
                continue
        if not self.formats and ISO.fullmatch(text):
            day, time_of_day = text[:8], text[8:].upper().replace("UTC", "Z").replace(",", ".")
            try:
                return datetime.fromisoformat(day + time_of_day[:3] + time_of_day[3:].replace(" ", ""))
            except ValueError:
                pass  # a day that no month has
        stated = (
            f"of the form {' or '.join(self.formats)}" if self.formats else "in ISO 8601; set date_format"
        )
        raise ValueError(f"{text_of(cell)!r} is not a date {stated}")


@dataclass(frozen=True)
class Day:
    """Dates without a time: the day that stands in the cell, or the zone's day of a moment with an offset."""

    moments: Moments

    def __call__(self, cell: Any) -> date | None:
        read = self.moments.read(cell)
        if read is None:
            return None
        try:
            return (read.astimezone(self.moments.zone) if read.tzinfo else read).date()
        except OverflowError:
            raise ValueError(f"{text_of(cell)!r} is outside the years 1 to 9999") from None


@dataclass(frozen=True)
class Choice:
    """One of the model's words, or a word of the CRM's own that the settings translate. Blank is null."""

    words: Sequence[str]
    translated: Mapping[str, str]

    def __call__(self, cell: Any) -> str | None:
        text = text_of(cell)
        if text in self.translated:
            return self.translated[text]
        word = text.strip().lower().replace(" ", "_").replace("-", "_")
        if word in self.words:
            return word
        if not word:
            return None
        raise ValueError(f"{text!r} is none of {', '.join(self.words)}; say what it means in the settings")


def identifier(cell: Any) -> str | None:
    """An id as text, untouched; the empty text is no id."""
    return text_of(cell) or None


@dataclass(frozen=True)
class Stage:
    """What a deal's stage says: the stage itself, whether it is closed, whether it is won."""

    stages: Stages
    says: Literal["stage", "is_closed", "is_won"]

    def __call__(self, cell: Any) -> str | bool:
        stage = text_of(cell)
        won, lost = stage in self.stages.won, stage in self.stages.lost
        known = won or lost or self.stages.open is None or stage in self.stages.open
        if self.says == "stage":
            if not known:
                raise ValueError(f"{stage!r} is in none of stages.won, stages.lost and stages.open")
            return stage
        return won if self.says == "is_won" else won or lost


def converter(
    rule: FieldRule, *, moments: Moments, decimal: Literal[".", ","], words: Mapping[str, str]
) -> Convert:
    """The function that turns a cell into a value of the rule's kind."""
    match rule.kind:
        case "text":
            return text_of
        case "id":
            return identifier
        case "moment":
            return moments
        case "date":
            return Day(moments)
        case "boolean":
            return boolean
        case "choice":
            return Choice(rule.words, words)
        case "money" | "count" | "seconds":
            return Number(decimal, rule.kind)
