"""Dates and times in bulk: the common fixed layouts read as whole columns, by the rule of `cells.Moments`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_DIGITS: Final = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}
_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND
_YEARS: Final = range(1900, 9999)
"""Before them zones keep local mean times, after them UTC may be out of range: the rule reads those."""
_FIRST_DAY: Final = (date(_YEARS.start, 1, 1) - date(1970, 1, 1)).days
_END_DAY: Final = (date(_YEARS.stop, 1, 1) - date(1970, 1, 1)).days


@dataclass(frozen=True)
class Layout:
    """Where the parts of a moment stand in a text of fixed width.

    `parts` are (place, digits, directive); `marks` are (place, the characters allowed there). A sign at the
    offset's place is a mark; `offset` is the place of that sign.
    """

    width: int
    parts: tuple[tuple[int, int, str], ...]
    marks: tuple[tuple[int, str], ...]
    offset: int | None = None
    is_utc: bool = False


def _iso_layouts() -> Iterator[Layout]:
    """The extended ISO 8601 forms that CRMs export."""
    day = ((0, 4, "Y"), (5, 2, "m"), (8, 2, "d"))
    clock = ((11, 2, "H"), (14, 2, "M"), (17, 2, "S"))
    dashes, colons = ((4, "-"), (7, "-")), ((10, "Tt "), (13, ":"), (16, ":"))
    yield Layout(10, day, dashes)
    yield Layout(16, day + clock[:2], dashes + colons[:2])
    for fraction in (0, 3, 6):
        end = 19 + (fraction and fraction + 1)
        parts = day + clock + (((20, fraction, "f"),) if fraction else ())
        marks = dashes + colons + (((19, "."),) if fraction else ())
        yield Layout(end, parts, marks)
        yield Layout(end + 1, parts, (*marks, (end, "Zz")), is_utc=True)
        sign = (*marks, (end, "+-"))
        yield Layout(end + 5, (*parts, (end + 1, 2, "oh"), (end + 3, 2, "om")), sign, offset=end)
        yield Layout(
            end + 6, (*parts, (end + 1, 2, "oh"), (end + 4, 2, "om")), (*sign, (end + 3, ":")), offset=end
        )


ISO_LAYOUTS: Final = tuple(_iso_layouts())


def layout_of(form: str) -> Layout | None:
    """The layout of a strptime format whose parts are zero-padded numbers; None for any other format."""
    parts: list[tuple[int, int, str]] = []
    marks: list[tuple[int, str]] = []
    place = 0
    for directive, literal in re.findall(r"%(.)|([^%])", form):
        if literal:
            if not literal.isascii():
                return None
            marks.append((place, literal))
            place += 1
        elif directive in _DIGITS:
            parts.append((place, _DIGITS[directive], directive))
            place += _DIGITS[directive]
        else:
            return None
    names = [name for _, _, name in parts]
    return Layout(place, tuple(parts), tuple(marks)) if len(set(names)) == len(names) else None


def read(texts: pa.StringArray, layouts: Sequence[Layout], zone: ZoneInfo) -> tuple[Integers, Flags]:
    """Microseconds since 1970 in UTC for the texts (no nulls) of one of the layouts, and which those are.

    A text that is of a layout but no moment (30 February) is not among them: the rule says why.
    """
    count = len(texts)
    moments, known = np.zeros(count, np.int64), np.zeros(count, bool)
    if not count:
        return moments, known
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + count + 1]
    characters = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    widths = np.diff(offsets)
    for layout in layouts:
        chosen = np.flatnonzero((widths == layout.width) & ~known)
        if not len(chosen):
            continue
        if len(chosen) == count:
            square = characters[offsets[0] : offsets[-1]].reshape(count, layout.width)
        else:
            square = characters[offsets[:-1][chosen][:, None] + np.arange(layout.width)]
        values, valid = _moments(square, layout, zone)
        moments[chosen[valid]] = values[valid]
        known[chosen[valid]] = True
    return moments, known


def from_local(local: Integers, zone: ZoneInfo) -> tuple[Integers, Flags]:
    """Local microseconds in UTC, and which of them are within the years that are read in bulk."""
    days = local // _DAY
    known = (days >= _FIRST_DAY) & (days < _END_DAY)
    return local - _offsets(days, local, known, zone), known


def _moments(square: npt.NDArray[np.uint8], layout: Layout, zone: ZoneInfo) -> tuple[Integers, Flags]:
    valid = np.ones(len(square), bool)
    for place, allowed in layout.marks:
        column = square[:, place]
        valid &= (
            np.isin(column, np.frombuffer(allowed.encode(), np.uint8))
            if len(allowed) > 1
            else column == ord(allowed)
        )
    value: dict[str, Integers] = {}
    for place, digits, name in layout.parts:
        number = np.zeros(len(square), np.int64)
        for digit in range(place, place + digits):
            code = square[:, digit] - np.uint8(ord("0"))
            valid &= code <= 9
            number = number * 10 + code
        value[name] = number * 10 ** (6 - digits) if name == "f" else number
    nothing = np.zeros(len(square), np.int64)
    hour, minute, second = (value.get(name, nothing) for name in "HMS")
    year, month, day = value["Y"], value["m"], value["d"]
    valid &= (year >= _YEARS.start) & (year < _YEARS.stop) & (month >= 1) & (month <= 12) & (day >= 1)
    valid &= (hour < 24) & (minute < 60) & (second < 60)
    months = (np.where(valid, year - 1970, 0) * 12 + np.where(valid, month - 1, 0)).astype("M8[M]")
    first = months.astype("M8[D]")
    valid &= day <= ((months + 1).astype("M8[D]") - first).astype(np.int64)
    days = first.astype(np.int64) + np.where(valid, day - 1, 0)
    local = days * _DAY + ((hour * 60 + minute) * 60 + second) * _SECOND + value.get("f", nothing)
    if layout.is_utc:
        return local, valid
    if layout.offset is not None:
        valid &= (value["oh"] < 24) & (value["om"] < 60)
        minutes = value["oh"] * 60 + value["om"]
        sign = np.where(square[:, layout.offset] == ord("-"), -1, 1)
        return local - sign * minutes * 60 * _SECOND, valid
    return local - _offsets(days, local, valid, zone), valid


def _offsets(days: Integers, local: Integers, valid: Flags, zone: ZoneInfo) -> Integers:
    """The zone's offset in microseconds at each local moment; on a day of change, moment by moment."""
    shift = np.zeros(len(days), np.int64)
    each, place = np.unique(days[valid], return_inverse=True)
    dawn = [_offset(int(day) * _DAY, zone) for day in each]
    dusk = [_offset(int(day + 1) * _DAY - 1, zone) for day in each]
    shift[valid] = np.array(dawn, np.int64)[place]
    changes = np.zeros(len(days), bool)
    changes[valid] = (np.array(dawn) != np.array(dusk))[place]
    for row in np.flatnonzero(changes).tolist():
        shift[row] = _offset(int(local[row]), zone)
    return shift


_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - local time, whose zone is what is asked for


def _offset(local: int, zone: ZoneInfo) -> int:
    moment = (_EPOCH + timedelta(microseconds=local)).replace(tzinfo=zone)
    difference = moment.utcoffset() or timedelta()
    return difference // timedelta(microseconds=1)
