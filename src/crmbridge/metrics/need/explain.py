"""Exact reasons: what each field adds to the log-odds, and what the organisation's history says about it.

A field's contribution is the sum of b_j (x_j - mean_j) over its matrix columns. All contributions together
are the record's log-odds minus those of the base (a + b.mean): nothing is approximated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import Any, Final

import numpy as np
import pyarrow as pa

from crmbridge.metrics.need.arrays import Floats, Ints
from crmbridge.metrics.need.design import RARE, Field, Groups, Matrix
from crmbridge.model.records import ObjectName

STRONGEST: Final = 3
SLIGHT: Final = 0.05
"""Log-odds below which a contribution is no reason."""
_TEXT: Final = 1024
_LEVEL: Final = 60


@dataclass(frozen=True)
class GroupRates:
    """Per field: how many records were seen in each group, and the share of their cases whose outcome came.
    `of_all` is that share over all cases the field was judged by."""

    n: tuple[int, ...]
    share: tuple[float, ...]
    of_all: float

    def as_json(self) -> dict[str, Any]:
        return {"n": list(self.n), "share": list(self.share), "of_all": self.of_all}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> GroupRates:
        return cls(tuple(found["n"]), tuple(found["share"]), float(found["of_all"]))


def group_rates(field: Field, group: Groups, record: Ints, y: Floats, rows: Ints) -> GroupRates:
    """The rates over these cases, which are ordered by record."""
    seen, owner, truth = group[rows].astype(np.int64), record[rows], y[rows]
    hits = np.bincount(seen, truth, minlength=field.groups)
    cases = np.bincount(seen, minlength=field.groups)
    again = np.zeros(len(rows), np.bool_)
    for back in range(1, _most_cases(owner)):
        again[back:] |= (owner[back:] == owner[:-back]) & (seen[back:] == seen[:-back])
    records = np.bincount(seen[~again], minlength=field.groups)
    share = hits / np.maximum(cases, 1)
    return GroupRates(
        tuple(int(n) for n in records),
        tuple(float(value) for value in share),
        float(np.mean(truth)) if len(rows) else 0.0,
    )


def _most_cases(record: Ints) -> int:
    """The largest number of cases of one record, in cases ordered by record."""
    starts = np.flatnonzero(np.concatenate([[True], record[1:] != record[:-1]])) if len(record) else record
    return int(np.diff(np.append(starts, len(record))).max(initial=0))


def contributions(matrix: Matrix, theta: Floats, centre: Floats) -> list[Floats]:
    """Per field, every case's contribution to the log-odds."""
    found, dense = [], 1
    for field, offset, group in zip(matrix.design.fields, matrix.design.offsets, matrix.groups, strict=True):
        b = theta[offset : offset + field.width]
        mean = float(b @ centre[offset : offset + field.width])
        if field.kind == "number":
            found.append(b[0] * matrix.values[:, dense] + b[1] * (group == field.groups - 1) - mean)
            dense += 1
        else:
            found.append((b - mean)[group])
    return found


@dataclass(frozen=True)
class Phrases:
    """What to say of a field's groups when they raise, and when they lower the score."""

    up: tuple[str, ...]
    down: tuple[str, ...]


def phrases(
    field: Field,
    rates: GroupRates,
    object_name: ObjectName,
    text: ModuleType,
    window_days: int,
    names: Mapping[str, str],
) -> Phrases:
    """`names` gives levels that are ids a name to be read (the rep behind an owner's id)."""
    up, down = [], []
    for group, subject in enumerate(_subjects(field, text, window_days, names)):
        n, share = rates.n[group], rates.share[group]
        if n == 0:
            said = text.unseen(subject, object_name)
            up.append(said)
            down.append(said)
            continue
        if n < RARE:
            said = text.seldom(subject, object_name, n)
            up.append(said)
            down.append(said)
            continue
        rate = text.with_rate(subject, object_name, share, n, rates.of_all)
        beside = text.beside_others(subject, object_name, n)
        up.append(rate if share >= rates.of_all else beside)
        down.append(rate if share <= rates.of_all else beside)
    return Phrases(tuple(up), tuple(down))


def _subjects(field: Field, text: ModuleType, window_days: int, names: Mapping[str, str]) -> list[str]:
    name = field.name
    if field.kind == "number":
        bounds = [None, *field.edges, None]
        ranges = [text.between(name, window_days, low, high) for low, high in pairwise(bounds)]
        return [*ranges, text.missing(name, window_days)]
    if field.kind == "filled":
        levels = [text.filled(name, window_days)]
    else:
        levels = [text.level(name, window_days, short(names.get(level, level))) for level in field.levels]
    return [*levels, text.other(name, window_days), text.missing(name, window_days)]


def short(level: str) -> str:
    """A level in one line of few characters."""
    level = " ".join(level.split())
    return level if len(level) <= _LEVEL else level[: _LEVEL - 1] + "…"


def reasons(
    given: Sequence[Floats], groups: Sequence[Groups], said: Sequence[Phrases], rows: int, joint: str
) -> tuple[pa.Array, pa.Array]:
    """The strongest three up and down of every record, in words, strongest first, with `joint` in between;
    null where there is none.
    """
    if not given or rows == 0:
        return pa.nulls(rows, pa.string()), pa.nulls(rows, pa.string())
    offsets = np.cumsum([0, *(len(each.up) for each in said)])
    up_texts = [phrase for each in said for phrase in each.up]
    down_texts = [phrase for each in said for phrase in each.down]
    up_places, down_places = [], []
    step = 65_536
    for start in range(0, rows, step):
        part = slice(start, min(start + step, rows))
        values = np.column_stack([each[part] for each in given])
        places = np.column_stack(
            [offset + each[part] for offset, each in zip(offsets[:-1], groups, strict=True)]
        )
        up_places.append(_strongest(values, places))
        down_places.append(_strongest(-values, places))
    return _joined(np.vstack(up_places), up_texts, joint), _joined(np.vstack(down_places), down_texts, joint)


def _strongest(values: Floats, places: Ints) -> Ints:
    """Per row, the places of the largest three values above SLIGHT, largest first; -1 beyond."""
    keep = min(STRONGEST, values.shape[1])
    top = np.argpartition(-values, keep - 1, axis=1)[:, :keep] if keep < values.shape[1] else None
    if top is None:
        top = np.broadcast_to(np.arange(keep), (len(values), keep))
    # Equal contributions keep the fields' order, whatever the partition did.
    top = np.sort(top, axis=1)
    chosen = np.take_along_axis(values, top, axis=1)
    order = np.argsort(-chosen, axis=1, kind="stable")
    top, chosen = np.take_along_axis(top, order, axis=1), np.take_along_axis(chosen, order, axis=1)
    found = np.full((len(values), STRONGEST), -1, np.int64)
    found[:, :keep] = np.where(chosen >= SLIGHT, np.take_along_axis(places, top, axis=1), -1)
    return found


def _joined(places: Ints, texts: Sequence[str], joint: str) -> pa.Array:
    """One text per row of places; equal rows are joined once."""
    size = len(texts) + 1
    packed = ((places[:, 0] + 1) * size + places[:, 1] + 1) * size + places[:, 2] + 1
    unique, back = np.unique(packed, return_inverse=True)
    said: list[str | None] = []
    for key in unique.tolist():
        parts = []
        for power in (size * size, size, 1):
            place = key // power % size
            if place:
                parts.append(texts[place - 1])
        said.append(_within(parts, joint) or None)
    return pa.array(said, pa.string()).take(pa.array(back))


def _within(parts: Sequence[str], joint: str) -> str:
    """The parts in one text: those at the end go where it would be longer than the field."""
    said = joint.join(parts)
    while len(said) > _TEXT and len(parts) > 1:
        parts = parts[:-1]
        said = joint.join(parts)
    return said if len(said) <= _TEXT else said[: _TEXT - 1] + "…"
