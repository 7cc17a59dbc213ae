"""The rule: which records are written, and why.

A record is written whole or not at all. It is written when

- it holds nothing of ours yet and there is something to say,
- its score moves by the dead-band or more,
- its grade, `stuck`, segment or *kind* of next action changes,
- another number moves by 5 % or more of what is held,
- one of these turns from null to a value or back (a metric abstains, or no longer does).

Texts, day counters and stamps never cause a write alone; they go along with one. The kind of a next action is
what stands before its first colon: metrics write next actions as `Kind: evidence` ("Call: opened the offer
twice"), so that new evidence for the same advice writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.model.fields import CATALOGUE, STAMPS, FieldValue
from crmbridge.writeback.values import clean_text, in_one_piece, rounded, shown

Mask = npt.NDArray[np.bool_]

NUMBER_SHARE: Final = 0.05
"""A number other than the score is written from this relative change on."""
DAY_COUNTERS: Final = frozenset({"days_in_stage"})
KINDS: Final = ("grade", "next_action", "stuck", "segment")
"""Fields whose change of kind causes a write; of the next action only what stands before the colon counts."""
_COLON: Final = "[:：]"
"""As it is written in Latin and in Chinese script."""
REASONS_SHOWN: Final = 3


@dataclass(frozen=True)
class Comparison:
    """Row by row: whether it would be written, and whether it carries values of ours already.

    `reasons` has one text for each row that would be written.
    """

    write: Mask
    carrying: Mask
    reasons: pa.StringArray


def compare(after: pa.Table, before: pa.Table, dead_band: float) -> Comparison:
    """The rule, row by row, for what would be written and what is held (the same ids in the same order)."""
    carrying, speaking = _says_something(before), _says_something(after)
    causes = {key: _moved(key, after, before, dead_band) & carrying for key in _causing(after.column_names)}
    write = ~carrying & speaking
    for moved in causes.values():
        write = write | moved
    return Comparison(write, carrying, _reasons(after, before, write, causes))


def _causing(columns: Iterable[str]) -> list[str]:
    """The columns that can cause a write, in the order in which reasons name them."""
    present = set(columns)
    numbers = [
        key
        for key, field in CATALOGUE.items()
        if field.type == "number" and key != "score" and key not in DAY_COUNTERS
    ]
    return [key for key in ("score", *KINDS, *numbers) if key in present]


def _says_something(table: pa.Table) -> Mask:
    """Whether a row has any value beside stamps. An unchecked box says nothing: some CRMs can't clear it."""
    something: Mask = np.zeros(table.num_rows, dtype=bool)
    for name in table.column_names[1:]:
        if name in STAMPS:
            continue
        if something.all():
            break
        column = in_one_piece(table[name])
        if column.type == pa.float64():
            present = pc.is_valid(column)
        else:
            present = pc.fill_null(column if column.type == pa.bool_() else pc.not_equal(column, ""), False)
        something |= present.to_numpy(zero_copy_only=False)
    return something


def _moved(key: str, after: pa.Table, before: pa.Table, dead_band: float) -> Mask:
    new, old = in_one_piece(after[key]), in_one_piece(before[key])
    if key in KINDS:
        changed: Mask = pc.not_equal(_kind(key, new), _kind(key, old)).to_numpy(zero_copy_only=False)
        return changed
    decimals = CATALOGUE[key].decimals
    now, then = rounded(new, decimals), rounded(old, decimals)
    distance = np.round(np.abs(now - then), decimals)  # NaN where either is null
    # The factor keeps floating point from holding 105 - 100 for less than 5 % of 100.
    bound = dead_band if key == "score" else NUMBER_SHARE * np.abs(then) * (1 - 1e-9)
    far: Mask = (distance > 0) & (distance >= bound)
    appeared: Mask = np.isnan(now) != np.isnan(then)
    return far | appeared


def _kind(key: str, column: pa.Array) -> pa.Array:
    if column.type == pa.bool_():
        return pc.fill_null(column, False)
    if key == "next_action":
        column = pc.list_element(pc.split_pattern_regex(column, _COLON, max_splits=1), 0)
    return pc.fill_null(clean_text(column), "")


def _reasons(after: pa.Table, before: pa.Table, write: Mask, causes: dict[str, Mask]) -> pa.StringArray:
    """Up to three causes in words, and how many more there are, for each row that would be written."""
    rows = pa.array(write)
    after, before = (table.select(list(causes)).filter(rows) for table in (after, before))
    number = np.zeros(len(write[write]), dtype=np.int64)
    nothing = pa.repeat(pa.scalar(""), len(number))
    named = []
    for key, moved in causes.items():
        is_cause = moved[write]
        number += is_cause
        told = is_cause & (number <= REASONS_SHOWN)
        old, new = (_told(key, table[key].filter(pa.array(told))) for table in (before, after))
        lead = pa.array(np.where(number[told] > 1, ", ", ""), pa.string())
        texts = pc.binary_join_element_wise(lead, f"{key.replace('_', ' ')} ", old, " -> ", new, "")
        named.append(pc.replace_with_mask(nothing, pa.array(told), texts))
    reasons = pc.binary_join_element_wise(nothing, *named, "")
    if (number > REASONS_SHOWN).any():
        more = pc.binary_join_element_wise(
            reasons, " and ", pa.array(number - REASONS_SHOWN).cast(pa.string()), " more", ""
        )
        reasons = pc.if_else(pa.array(number > REASONS_SHOWN), more, reasons)
    has_score = after["score"].is_valid().combine_chunks() if "score" in after.column_names else False
    return pc.if_else(pa.array(number > 0), reasons, pc.if_else(has_score, "first score", "first values"))


def _told(key: str, column: pa.ChunkedArray) -> pa.Array:
    """Values in words, each distinct one put into words once."""
    values = in_one_piece(column).dictionary_encode(null_encoding="encode")
    return pa.array([_brief(key, value) for value in values.dictionary.to_pylist()], pa.string()).take(
        values.indices
    )


def _brief(key: str, value: FieldValue) -> str:
    if key == "next_action" and isinstance(value, str):
        value = re.split(_COLON, value, maxsplit=1)[0].strip()
    return shown(key, value)
