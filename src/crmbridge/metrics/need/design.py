"""From raw inputs to the model's matrix.

A category becomes a column per level (seen at least 10 times, the 50 most frequent), one for `other` (rarer
levels, and levels never seen before) and one for `missing`. A number becomes

    z = asinh((x - median) / interquartile range)

(near the median a robust standard score; in the tails it grows like the logarithm, so no outlier dominates)
and a column for `missing`. Both kinds also cut a field into *groups* (levels, or quarters of the numbers) for
which the organisation's own rate can be said."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crmbridge.metrics.need.arrays import Codes, Floats, Ints
from crmbridge.metrics.need.columns import EMPTY, OTHER, Column
from crmbridge.metrics.need.rows import CodedRows, Layout

Unfit = Literal["empty", "constant", "varied", "rare", "seldom"]

Groups = npt.NDArray[np.int16]
AGE = "age"
RARE = 10
MOST_LEVELS = 50
SELDOM = 30
"""A number known in fewer cases, and in fewer than half of them, says nothing about the others."""
BLOCK = 16_384
AGE_DAYS = (0, 1, 7, 14, 30, 60, 90, 180, 365)
"""Lower bounds of the bands of age."""
_FURTHEST = 1e6
"""In interquartile ranges: beyond, a number counts as this far."""
_TAIL = 0.005
"""Share of the numbers on each side beyond which a number counts as the last one within."""


@dataclass(frozen=True)
class Field:
    """One field of the design. Its matrix columns are `levels` (or z), `other` (categories only), `missing`.

    `kind` "filled" is a category of one level, the empty string: whether there is any text. "bands" is a
    number cut at lower bounds, its `edges`, into `levels`. `median`, `scale`, the inner bounds of the groups
    (`edges`) and the ends of what was seen (`low`, `high`) are for numbers.
    """

    name: str
    kind: Literal["category", "number", "filled", "bands"]
    levels: tuple[str, ...] = ()
    median: float = 0.0
    scale: float = 1.0
    edges: tuple[float, ...] = ()
    low: float = 0.0
    high: float = 0.0

    @property
    def width(self) -> int:
        """Columns in the matrix."""
        return 2 if self.kind == "number" else len(self.levels) + 2

    @property
    def groups(self) -> int:
        """Groups: levels, other, missing; or the ranges between the edges, missing."""
        return len(self.edges) + 2 if self.kind == "number" else len(self.levels) + 2

    def as_json(self) -> dict[str, Any]:
        if self.kind != "number":
            found = {"name": self.name, "kind": self.kind, "levels": list(self.levels)}
            return found | ({"edges": list(self.edges)} if self.kind == "bands" else {})
        return {**asdict(self), "levels": [], "edges": list(self.edges)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Field:
        lists = {name: tuple(found[name]) for name in ("levels", "edges") if name in found}
        return cls(**{**found, **lists})


@dataclass(frozen=True)
class Encoded:
    """A field's values per case: `group` always, and `z` (0 where missing) for numbers."""

    group: Codes
    z: Floats | None = None


def plan_field(column: Column) -> Field | Unfit:
    """How a raw input enters the design, or why it does not."""
    if not column.present.any():
        return "empty"
    if column.name == AGE:
        return _plan_bands(column, AGE_DAYS)
    if column.is_number:
        return _plan_number(column)
    if column.is_varied:
        if column.present.all():
            return "varied"
        return Field(column.name, "filled", ("",))
    return _plan_category(column)


def _plan_number(column: Column) -> Field | Unfit:
    known = column.known_numbers()
    if len(known) < min(SELDOM, len(column) / 2):
        return "seldom"
    asked = [0.0, _TAIL, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0 - _TAIL, 1.0]
    low, first, few, least, median, most, many, last, high = (float(v) for v in np.quantile(known, asked))
    scale = _difference(most, least) or _difference(many, few) or _difference(high, low)
    if scale == 0.0 and len(known) == len(column):
        return "constant"
    edges = sorted({edge for edge in (least, median, most) if edge < high})
    if first == last:
        first, last = low, high
    return Field(column.name, "number", (), median, scale or 1.0, tuple(edges), first, last)


def _plan_bands(column: Column, bounds: Sequence[int]) -> Field | Unfit:
    """Bands of at least RARE cases: a smaller one joins the one below it, the lowest the one above."""
    known = column.known_numbers()
    counts = np.bincount(band(known, np.array(bounds)), minlength=len(bounds))
    kept: list[float] = []
    held = 0
    for bound, count in zip(bounds, counts.tolist(), strict=True):
        if not kept or (held >= RARE and count >= RARE):
            kept.append(float(bound))
            held = 0
        held += count
    if len(kept) == 1 and len(known) == len(column):
        return "constant"
    ends = (*(int(bound) for bound in kept[1:]), None)
    names = [
        f"{int(low)}+" if end is None else str(int(low)) if end == low + 1 else f"{int(low)}-{end - 1}"
        for low, end in zip(kept, ends, strict=True)
    ]
    return Field(column.name, "bands", tuple(names), edges=tuple(kept))


def band(values: Floats, bounds: Floats | Ints) -> Ints:
    """The band of each value by the lower bounds; what is below all of them is in the first."""
    return np.maximum(np.searchsorted(bounds, values, side="right") - 1, 0)


def _difference(high: float, low: float) -> float:
    # Halves first: the difference of two finite numbers need not be finite.
    difference = min(2.0 * (high / 2.0 - low / 2.0), 1e300)
    return difference if difference > 0.0 else 0.0


def _plan_category(column: Column) -> Field | Unfit:
    counts = column.level_counts()
    seen = np.flatnonzero(counts)
    if len(seen) <= 1 and bool(column.present.all()):
        return "constant"
    ranked = sorted(
        (place for place in seen.tolist() if counts[place] >= RARE),
        key=lambda place: (-int(counts[place]), column.levels[place]),
    )
    levels = tuple(column.levels[place] for place in ranked[:MOST_LEVELS])
    if not levels and bool(column.present.all()):
        return "rare"
    return Field(column.name, "category", levels)


def encode(field: Field, column: Column) -> Encoded:
    """A column in the field's terms; a level it does not know counts as `other`."""
    if field.kind == "number":
        numbers = column.numbers if column.numbers is not None else np.full(len(column), np.nan)
        missing = ~np.isfinite(numbers)
        value = np.where(missing, field.median, numbers)
        group = np.searchsorted(np.array(field.edges), value, side="left").astype(np.int32)
        group[missing] = field.groups - 1
        with np.errstate(over="ignore"):
            distance = (np.clip(value, field.low, field.high) / 2.0 - field.median / 2.0) / field.scale * 2.0
        return Encoded(group, np.arcsinh(np.clip(distance, -_FURTHEST, _FURTHEST)))
    missing_group, other_group = field.groups - 1, field.groups - 2
    if field.kind == "bands":
        known = np.zeros(len(column)) if column.numbers is None else np.nan_to_num(column.numbers)
        return Encoded(
            np.where(column.present, band(known, np.array(field.edges)), missing_group).astype(np.int32)
        )
    if field.kind == "filled":
        return Encoded(np.where(column.present, 0, missing_group).astype(np.int32))
    if column.codes is None:
        return Encoded(np.where(column.present, other_group, missing_group).astype(np.int32))
    places = {level: place for place, level in enumerate(field.levels)}
    table = np.empty(len(column.levels) + 2, np.int32)
    table[: len(column.levels)] = [places.get(level, other_group) for level in column.levels]
    # Negative codes count from the end, where there is room for both.
    table[OTHER], table[EMPTY] = other_group, missing_group
    return Encoded(table[column.codes])


@dataclass(frozen=True)
class Design:
    """The fields in order. Matrix columns: 1, then each field's."""

    fields: tuple[Field, ...]

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """The first matrix column of each field."""
        widths = np.cumsum([1, *(field.width for field in self.fields)])
        return tuple(int(offset) for offset in widths[:-1])

    @property
    def width(self) -> int:
        return 1 + sum(field.width for field in self.fields)

    @cached_property
    def field_of_column(self) -> Ints:
        """The place of each matrix column's field; -1 for the 1."""
        return np.repeat(np.arange(-1, len(self.fields)), [1, *(field.width for field in self.fields)])

    @cached_property
    def layout(self) -> Layout:
        """Dense are the 1 and every z; a number's only level is `missing`."""
        numbers = [
            (field.kind == "number", offset) for field, offset in zip(self.fields, self.offsets, strict=True)
        ]
        return Layout(
            self.width,
            (0, *(offset for is_number, offset in numbers if is_number)),
            tuple(offset + is_number for is_number, offset in numbers),
            tuple(field.width - (field.kind == "number") for field in self.fields),
        )

    def encode(self, columns: Mapping[str, Column], rows: int) -> Matrix:
        """The matrix of these inputs; a field that is not among them is missing everywhere."""
        nothing = np.zeros(rows, np.bool_)
        layout = self.layout
        groups = []
        index = np.empty((rows, len(self.fields)), np.int32)
        values = np.ones((rows, len(layout.dense)))
        dense = 1
        for place, (field, offset) in enumerate(zip(self.fields, layout.offsets, strict=True)):
            encoded = encode(field, columns.get(field.name, Column(field.name, nothing)))
            groups.append(encoded.group.astype(np.int16))
            if encoded.z is None:
                index[:, place] = offset + encoded.group
            else:
                index[:, place] = np.where(encoded.group == field.groups - 1, offset, self.width)
                values[:, dense] = encoded.z
                dense += 1
        return Matrix(self, groups, index, values)


@dataclass(frozen=True)
class Matrix:
    """The design matrix in coded form (see `rows.CodedRows`), and each field's group per case."""

    design: Design
    groups: Sequence[Groups]
    index: Codes
    values: Floats

    def __len__(self) -> int:
        return len(self.values)

    def parts(self, chosen: Ints | None = None, y: Floats | None = None) -> Iterator[CodedRows]:
        """The rows (all of them where None), some at a time, in order, with their outcomes (0 where None)."""
        total = len(self) if chosen is None else len(chosen)
        for start in range(0, total, BLOCK):
            part = slice(start, start + BLOCK)
            rows = part if chosen is None else chosen[part]
            values = self.values[rows]
            outcome = np.zeros(len(values)) if y is None else y[rows]
            yield CodedRows(self.design.layout, self.index[rows], values, outcome)

    def logit(self, theta: Floats, chosen: Ints | None = None) -> Floats:
        """The log-odds of the rows."""
        return np.concatenate([np.zeros(0), *(part.logit(theta) for part in self.parts(chosen))])

    def means(self, chosen: Ints) -> Floats:
        """The mean of every matrix column over the rows."""
        total = np.zeros(self.design.width)
        for part in self.parts(chosen):
            total += part.project(np.ones(len(part.y)))
        return total / max(len(chosen), 1)

    def narrowed(self, names: Collection[str]) -> Matrix:
        """The matrix of these fields alone."""
        kept = [place for place, field in enumerate(self.design.fields) if field.name in names]
        design = Design(tuple(self.design.fields[place] for place in kept))
        dense = [0, *(self.design.layout.dense.index(at) for at in self._dense_of(kept))]
        index = np.empty((len(self), len(kept)), np.int32)
        for place, old in enumerate(kept):
            shift = design.layout.offsets[place] - self.design.layout.offsets[old]
            column = self.index[:, old]
            index[:, place] = np.where(column == self.design.width, design.width, column + shift)
        return Matrix(design, [self.groups[place] for place in kept], index, self.values[:, dense])

    def _dense_of(self, kept: Sequence[int]) -> list[int]:
        return [self.design.offsets[place] for place in kept if self.design.fields[place].kind == "number"]
