"""Raw inputs: a record's fields as numbers and as texts, decided by the text itself.

A number may reach us as a JSON number or as text; both mean the same. So a column keeps, per row, the number
its text spells (NaN where it spells none) and a code for the text (-1 where there is none), until it is
decided whether the column is a number, a date or a category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.need.arrays import Codes, Flags, Floats, Ints

MOST_TEXTS = 10_000
"""A text column with more different values than this is too varied to compare records by."""
SINCE = "days_since."
"""Before the name of a date: as an input it is the days since then."""
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}.*)?$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
EMPTY, OTHER = -1, -2
"""Codes: no value; a value that is none of the known levels."""


@dataclass(frozen=True)
class Column:
    """One raw input, one row per record or case.

    `present` says whether there is a value. `numbers` (NaN where a value spells none) and `codes` (places in
    `levels`, or EMPTY, or OTHER) are None where they were not kept. `is_number`: at least 99 of 100 values
    spell a number; `is_date`: a date, and then `numbers` are days since 1970-01-01. `is_varied`: nearly every
    record has a text of its own (names, addresses, free text).
    """

    name: str
    present: Flags
    numbers: Floats | None = None
    codes: Codes | None = None
    levels: tuple[str, ...] = ()
    is_number: bool = False
    is_varied: bool = False
    is_date: bool = False

    @classmethod
    def of_numbers(cls, name: str, numbers: Floats) -> Column:
        present = np.isfinite(numbers)
        return cls(name, present, numbers=np.where(present, numbers, np.nan), is_number=True)

    @classmethod
    def of_codes(cls, name: str, codes: Codes, levels: tuple[str, ...]) -> Column:
        return cls(name, codes != EMPTY, codes=codes, levels=levels)

    def __len__(self) -> int:
        return len(self.present)

    def known_numbers(self) -> Floats:
        """The numbers there are."""
        return np.zeros(0) if self.numbers is None else self.numbers[np.isfinite(self.numbers)]

    def level_counts(self) -> Ints:
        """How often each level is seen."""
        codes = np.zeros(0, np.int32) if self.codes is None else self.codes
        return np.bincount(codes[codes >= 0], minlength=len(self.levels))

    def take(self, rows: Ints) -> Column:
        """The column with these rows."""
        return replace(
            self,
            present=self.present[rows],
            numbers=None if self.numbers is None else self.numbers[rows],
            codes=None if self.codes is None else self.codes[rows],
        )

    def without(self, where: Flags) -> Column:
        """The column emptied in these rows."""
        return replace(
            self,
            present=self.present & ~where,
            numbers=None if self.numbers is None else np.where(where, np.nan, self.numbers),
            codes=None if self.codes is None else np.where(where, np.int32(EMPTY), self.codes),
        )


class ColumnReader:
    """Fills a `Column` from batches that come in any order.

    `known` are the levels of a fitted model: then texts outside them become OTHER and nothing is learned.
    """

    def __init__(self, name: str, rows: int, *, tagged: bool, known: Sequence[str] | None = None) -> None:
        self._name = name
        self._tagged = tagged
        self._present = np.zeros(rows, np.bool_)
        self._numbers: Floats | None = None
        self._dates: Floats | None = None
        self._codes: Codes | None = np.full(rows, EMPTY, np.int32)
        self._learns = known is None
        self._places: dict[str, int] = {text: place for place, text in enumerate(known or ())}
        self._filled = self._numeric = self._dated = 0

    def put(self, rows: Ints, values: pa.Array) -> None:
        """Set these rows. Tagged text is the cell form of attributes (`model.columns`)."""
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.string())
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            self._put_texts(rows, values)
        else:
            numbers = _as_floats(values)
            present = np.isfinite(numbers)
            self._put(rows, present, np.where(present, numbers, np.nan))

    def finish(self) -> Column:
        """The column; rows that were never put are empty."""
        is_number = self._filled > 0 and self._numeric >= 0.99 * self._filled
        is_date = self._filled > 0 and self._dated >= 0.99 * self._filled
        if is_date and self._dates is not None:
            return replace(Column.of_numbers(self._name, self._dates), is_date=True)
        levels = len(self._places)
        is_varied = self._filled > 0 and not is_number
        is_varied &= self._codes is None or (self._filled > 100 and levels > 0.5 * self._filled)
        return Column(
            self._name,
            self._present,
            self._numbers,
            self._codes,
            tuple(self._places),
            is_number,
            is_varied and self._learns,
        )

    def _put(self, rows: Ints, present: Flags, numbers: Floats, place: Ints | None = None) -> None:
        """`numbers` are those of the rows, or with `place` those of the different texts."""
        self._present[rows] = present
        self._filled += int(present.sum())
        if not bool(np.isfinite(numbers).any()):
            return
        if place is not None:
            numbers = numbers[place]
        self._numeric += int(np.isfinite(numbers).sum())
        if self._numbers is None:
            self._numbers = np.full(len(self._present), np.nan)
        self._numbers[rows] = numbers

    def _put_texts(self, rows: Ints, values: pa.Array) -> None:
        encoded = values.dictionary_encode()
        place = np.asarray(encoded.indices.fill_null(len(encoded.dictionary)))
        texts = self._untagged(encoded.dictionary)
        present = np.append(np.asarray(texts.is_valid()), False)[place]
        self._put(rows, present, np.append(_spelled_numbers(texts), np.nan), place)
        self._put_dates(rows, np.append(_spelled_dates(texts), np.nan)[place])
        if self._codes is not None and self._learns and pc.count_distinct(texts).as_py() > MOST_TEXTS:
            self._codes, self._places = None, {}
        if self._codes is not None:
            self._codes[rows] = np.append(self._coded(texts), EMPTY)[place]
            if self._learns and len(self._places) > MOST_TEXTS:
                self._codes, self._places = None, {}

    def _put_dates(self, rows: Ints, days: Floats) -> None:
        dated = int(np.isfinite(days).sum())
        if dated and self._dates is None:
            self._dates = np.full(len(self._present), np.nan)
        if self._dates is not None:
            self._dates[rows] = days
            self._dated += dated

    def _untagged(self, cells: pa.Array) -> pa.Array:
        if self._tagged:
            texts = pc.starts_with(cells, '"')
            cells = pc.if_else(pc.or_(texts, pc.not_equal(cells, "null")), cells, None)
            cells = pc.if_else(texts, pc.utf8_slice_codeunits(cells, 1), cells)
        cells = pc.utf8_trim_whitespace(cells)
        return pc.if_else(pc.equal(cells, ""), None, cells)

    def _coded(self, texts: pa.Array) -> Codes:
        places, learns = self._places, self._learns
        found = np.empty(len(texts), np.int32)
        for row, text in enumerate(texts.to_pylist()):
            if text is None:
                found[row] = EMPTY
            elif learns:
                found[row] = places.setdefault(text, len(places))
            else:
                found[row] = places.get(text, OTHER)
        return found


def _as_floats(values: pa.Array) -> Floats:
    if pa.types.is_date32(values.type):
        values = values.cast(pa.int32())
    elif pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    return np.asarray(values.cast(pa.float64(), safe=False).fill_null(float("nan")))


def _spelled_numbers(texts: pa.Array) -> Floats:
    spells = pc.fill_null(pc.match_substring_regex(texts, _NUMBER), False)
    numbers = np.asarray(pc.if_else(spells, texts, None).cast(pa.float64()).fill_null(float("nan")))
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _spelled_dates(texts: pa.Array) -> Floats:
    """Days since 1970-01-01 of ISO dates, with or without a time, as written; NaN for other texts."""
    spells = pc.fill_null(pc.match_substring_regex(texts, _DATE), False)
    found = np.full(len(texts), np.nan)
    if pc.any(spells).as_py():
        days = pc.utf8_slice_codeunits(texts.filter(spells), 0, 10)
        parsed = pc.strptime(days, format="%Y-%m-%d", unit="s", error_is_null=True)
        seconds = parsed.cast(pa.int64()).cast(pa.float64()).fill_null(float("nan"))
        found[np.asarray(spells)] = np.asarray(seconds) / 86_400.0
    return found
