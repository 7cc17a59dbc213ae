"""From raw inputs to the model's matrix.

A category becomes a column per level (seen at least 10 times, the 50 most frequent), one for `other` (rarer
levels, and levels never seen before) and one for `missing`. A number becomes

    z = asinh((x - median) / interquartile range)

(near the median a robust standard score; in the tails it grows like the logarithm, so no outlier dominates)
and a column for `missing`. Both kinds also cut a field into *groups* (levels, or quarters of the numbers) for
which the organisation's own rate can be said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from crmbridge.metrics.need.arrays import Codes, Flags, Floats, Ints
from crmbridge.metrics.need.columns import EMPTY, OTHER, Column

Unfit = Literal["empty", "constant", "varied", "rare"]

AGE = "age"
RARE = 10
MOST_LEVELS = 50
BLOCK = 32_768
_FURTHEST = 1e6
"""In interquartile ranges: beyond, a number counts as this far."""


@dataclass(frozen=True)
class Field:
    """One field of the design. Its matrix columns are `levels` (or z), `other` (categories only), `missing`.

    `kind` "filled" is a category of one level, the empty string: whether there is any text.
    `median`, `scale` and `edges` (inner bounds of the groups) are for numbers.
    """

    name: str
    kind: Literal["category", "number", "filled"]
    levels: tuple[str, ...] = ()
    median: float = 0.0
    scale: float = 1.0
    edges: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Columns in the matrix."""
        return 2 if self.kind == "number" else len(self.levels) + 2

    @property
    def groups(self) -> int:
        """Groups: levels, other, missing; or the ranges between the edges, missing."""
        return len(self.edges) + 2 if self.kind == "number" else len(self.levels) + 2

    def as_json(self) -> dict[str, Any]:
        if self.kind == "number":
            return {
                "name": self.name,
                "kind": self.kind,
                "median": self.median,
                "scale": self.scale,
                "edges": list(self.edges),
            }
        return {"name": self.name, "kind": self.kind, "levels": list(self.levels)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Field:
        return cls(
            found["name"],
            found["kind"],
            tuple(found.get("levels", ())),
            float(found.get("median", 0.0)),
            float(found.get("scale", 1.0)),
            tuple(found.get("edges", ())),
        )


@dataclass(frozen=True)
class Encoded:
    """A field's values per case: `group` always, and `z` (0 where missing) for numbers."""

    group: Codes
    z: Floats | None = None


def plan_field(column: Column) -> Field | Unfit:
    """How a raw input enters the design, or why it does not: "empty", "constant", "varied" or "rare"."""
    if column.filled == 0:
        return "empty"
    if column.is_number:
        return _plan_number(column)
    if column.too_varied:
        if column.present.all():
            return "varied"
        return Field(column.name, "filled", ("",))
    return _plan_category(column)


def _plan_number(column: Column) -> Field | Unfit:
    known = column.known_numbers()
    low, least, median, most, high = (float(v) for v in np.quantile(known, [0.0, 0.25, 0.5, 0.75, 1.0]))
    scale = _difference(most, least) or _difference(*(float(v) for v in np.quantile(known, [0.95, 0.05])))
    scale = scale or _difference(high, low)
    if scale == 0.0 and len(known) == len(column):
        return "constant"
    edges = sorted({edge for edge in (least, median, most) if low < edge})
    return Field(column.name, "number", (), median, scale or 1.0, tuple(edges))


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
            distance = (value / 2.0 - field.median / 2.0) / field.scale * 2.0
        return Encoded(group, np.arcsinh(np.clip(distance, -_FURTHEST, _FURTHEST)))
    missing_group, other_group = field.groups - 1, field.groups - 2
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

    @property
    def offsets(self) -> list[int]:
        """The first matrix column of each field."""
        widths = np.cumsum([1, *(field.width for field in self.fields)])
        return [int(offset) for offset in widths[:-1]]

    @property
    def width(self) -> int:
        return 1 + sum(field.width for field in self.fields)

    def encode(self, columns: Mapping[str, Column], rows: int, undecided: Flags | None = None) -> Matrix:
        """The matrix of these inputs; a field that is not among them is missing everywhere."""
        nothing = np.zeros(rows, np.bool_)
        return Matrix(
            self,
            [encode(field, columns.get(field.name, Column(field.name, nothing))) for field in self.fields],
            rows,
            nothing if undecided is None else undecided,
        )


@dataclass(frozen=True)
class Matrix:
    """The design matrix, kept as codes and filled block by block.

    `undecided` cases have their age, and are average in everything else.
    """

    design: Design
    encoded: Sequence[Encoded]
    rows: int
    undecided: Flags

    def block(self, rows: Ints | slice) -> Floats:
        """The dense rows asked for: (rows, design.width) float64."""
        size = len(range(*rows.indices(self.rows))) if isinstance(rows, slice) else len(rows)
        x = np.zeros((size, self.design.width))
        x[:, 0] = 1.0
        every = np.arange(size)
        for field, offset, encoded in zip(self.design.fields, self.design.offsets, self.encoded, strict=True):
            group = encoded.group[rows]
            if encoded.z is None:
                x[every, offset + group] = 1.0
            else:
                missing = group == field.groups - 1
                x[:, offset] = encoded.z[rows]
                x[:, offset + 1] = missing
        return x

    def blocks(
        self, rows: Ints | None = None, centre: Floats | None = None
    ) -> Iterator[tuple[Ints | slice, Floats]]:
        """The rows (all of them where None), some at a time, in order, with their dense form.

        With a `centre` (the means of the columns) undecided cases are put there in all but their age.
        """
        kept = self._kept()
        total = self.rows if rows is None else len(rows)
        for start in range(0, total, BLOCK):
            chosen = slice(start, min(start + BLOCK, total)) if rows is None else rows[start : start + BLOCK]
            x = self.block(chosen)
            if centre is not None and self.undecided[chosen].any():
                x[self.undecided[chosen]] = np.where(kept, x[self.undecided[chosen]], centre)
            yield chosen, x

    def _kept(self) -> Flags:
        """The matrix columns that hold for undecided cases, too."""
        kept = np.zeros(self.design.width, np.bool_)
        kept[0] = True
        for field, offset in zip(self.design.fields, self.design.offsets, strict=True):
            kept[offset : offset + field.width] = field.name == AGE
        return kept

    def means(self, every: Ints) -> Floats:
        """The mean of every matrix column over the rows: of the decided ones, except the age."""
        means = np.zeros(self.design.width)
        means[0] = 1.0
        decided = every[~self.undecided[every]]
        for field, offset, encoded in zip(self.design.fields, self.design.offsets, self.encoded, strict=True):
            rows = every if field.name == AGE else decided
            counts = np.bincount(encoded.group[rows], minlength=field.groups) / max(len(rows), 1)
            if encoded.z is None:
                means[offset : offset + field.width] = counts
            else:
                means[offset] = float(np.sum(encoded.z[rows])) / max(len(rows), 1)
                means[offset + 1] = counts[-1]
        return means
