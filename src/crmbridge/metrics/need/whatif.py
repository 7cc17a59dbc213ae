"""What if: the change of one input that would raise a record's score most, of those a person can make.

| input | the change |
|---|---|
| contacts, reached | one more in the window |
| days_since_contact | a contact today |
| stage | on to the stage that deals usually go to from here |
| contact details, the amount, attributes | filled in where empty, like such records on average |

The score goes from P(z) to P(z + b.(x' - x)), all other inputs as they are. It says how records fared that
differ in this alone; that the change itself brings it about is for the reader to judge. Never changed: what
nobody can act on (industry, size, country, source, age, past orders) and what the other side decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Final

import numpy as np
import pyarrow as pa

from crmbridge.metrics.base import Frame
from crmbridge.metrics.need.arrays import Floats, Ints
from crmbridge.metrics.need.columns import Column
from crmbridge.metrics.need.design import Design, Field, Groups, Matrix, encode
from crmbridge.metrics.need.explain import SLIGHT, GroupRates, short
from crmbridge.metrics.need.logistic import probability
from crmbridge.model.columns import ATTRIBUTE_PREFIX

ONE_MORE: Final = ("contacts", "reached")
TODAY: Final = "days_since_contact"
STAGE: Final = "stage"
FILLED: Final = ("email", "phone", "title", "company", "website", "amount")
"""Fields of the model whose gap can be filled; with every attribute of the CRM."""
COLUMNS: Final = ("what_if", "what_if_input", "what_if_score")
"""The details this adds: the change in words, the input's name, the score after it in percent."""


def next_stages(frame: Frame, design: Design) -> dict[str, str]:
    """To which of the design's stages deals most often go from each; of equals the first by name."""
    stages = {stage for field in design.fields if field.name == STAGE for stage in field.levels}
    if not stages:
        return {}
    counted: dict[tuple[str, str], int] = {}
    for batch in frame.scan("stage_change", ["from_stage", "to_stage"]):
        moves = pa.Table.from_batches([batch]).group_by(["from_stage", "to_stage"])
        for row in moves.aggregate([([], "count_all")]).to_pylist():
            moved = (row["from_stage"], row["to_stage"])
            counted[moved] = counted.get(moved, 0) + row["count_all"]
    found: dict[str, str] = {}
    for (source, target), _ in sorted(counted.items(), key=lambda item: (-item[1], item[0][1] or "")):
        if source in stages and target in stages and source != target:
            found.setdefault(source, target)
    return found


@dataclass(frozen=True)
class _Change:
    """A change of one input in every record: what it adds to the log-odds (-inf: there is none to make), and
    which of the texts says it.
    """

    gain: Floats
    place: Ints
    texts: Sequence[str]


def best_changes(
    matrix: Matrix,
    theta: Floats,
    logit: Floats,
    columns: Mapping[str, Column],
    rates: Sequence[GroupRates],
    following: Mapping[str, str],
    text: ModuleType,
    window_days: int,
) -> dict[str, pa.Array]:
    """Per record the change that raises its score most (see COLUMNS); null where none raises it noticeably.

    `rates` belong to the design's fields; `following` is what `next_stages` found.
    """
    best = np.full(len(matrix), SLIGHT)
    said, name = np.full(len(matrix), -1), np.full(len(matrix), -1)
    texts: list[str] = []
    design = matrix.design
    for number, (field, offset, group) in enumerate(
        zip(design.fields, design.offsets, matrix.groups, strict=True)
    ):
        b = theta[offset : offset + field.width]
        change = _change(field, b, group, columns, rates[number], following, text, window_days)
        if change is None:
            continue
        better = change.gain > best
        best[better] = change.gain[better]
        name[better] = number
        said[better] = change.place[better] + len(texts)
        texts += change.texts
    none = said < 0
    names = pa.array([field.name for field in design.fields], pa.string())
    after = np.round(100.0 * probability(logit + best), 2)
    return {
        "what_if": pa.array(texts, pa.string()).take(pa.array(said, mask=none)),
        "what_if_input": names.take(pa.array(name, mask=none)),
        "what_if_score": pa.array(after, mask=none),
    }


def _change(
    field: Field,
    b: Floats,
    group: Groups,
    columns: Mapping[str, Column],
    rates: GroupRates,
    following: Mapping[str, str],
    text: ModuleType,
    window_days: int,
) -> _Change | None:
    column = columns.get(field.name)
    if field.kind == "number" and column is not None and field.name in (*ONE_MORE, TODAY):
        return _other_number(field, b, column, text, window_days)
    if field.name == STAGE:
        return _next_stage(field, b, group, following, text, window_days)
    if field.name in FILLED or field.name.startswith(ATTRIBUTE_PREFIX):
        missing = group == field.groups - 1
        gain = np.where(missing, _filled(field, b, rates), -np.inf)
        return _Change(gain, np.zeros(len(group), np.int64), [text.if_filled(field.name, window_days)])
    return None


def _other_number(field: Field, b: Floats, column: Column, text: ModuleType, window_days: int) -> _Change:
    before = np.full(len(column), np.nan) if column.numbers is None else column.numbers
    after = np.zeros(len(before)) if field.name == TODAY else before + 1.0
    old, new = (_number_effect(field, b, numbers) for numbers in (before, after))
    gain = np.where(np.isfinite(after) & (after != before), new - old, -np.inf)
    values, place = np.unique(before, return_inverse=True)
    texts = [
        text.if_number(
            field.name,
            window_days,
            None if np.isnan(value) else float(value),
            0.0 if field.name == TODAY else float(value) + 1.0,
        )
        for value in values
    ]
    return _Change(gain, place.reshape(-1), texts)


def _number_effect(field: Field, b: Floats, numbers: Floats) -> Floats:
    encoded = encode(field, Column.of_numbers(field.name, numbers))
    z = np.zeros(len(numbers)) if encoded.z is None else encoded.z
    effect: Floats = np.where(encoded.group == field.groups - 1, b[1], b[0] * z)
    return effect


def _next_stage(
    field: Field, b: Floats, group: Groups, following: Mapping[str, str], text: ModuleType, window_days: int
) -> _Change:
    gains, texts = np.full(field.groups, -np.inf), [""] * field.groups
    for place, stage in enumerate(field.levels):
        target = following.get(stage)
        if target in field.levels:
            gains[place] = b[field.levels.index(target)] - b[place]
            texts[place] = text.if_level(field.name, window_days, short(stage), short(target))
    return _Change(gains[group], group.astype(np.int64), texts)


def _filled(field: Field, b: Floats, rates: GroupRates) -> float:
    """What filling the gap adds: the mean effect of those that have it, against that of the gap."""
    if field.kind == "number":
        return float(-b[1])  # at the median
    seen = np.array(rates.n[:-1], np.float64)
    mean = float(b[:-1] @ seen / seen.sum()) if seen.any() else 0.0
    return mean - float(b[-1])
