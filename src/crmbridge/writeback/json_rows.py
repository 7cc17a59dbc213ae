"""Rows of a table as JSON texts, made in columns: a plan of a million records has two million of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pydantic_core import to_json

_ESCAPED: Final = r'["\\\x00-\x1f\x7f]'
"""What a JSON text may not hold as it is (and DEL, which need not be told apart)."""
_WHOLE: Final = r"^-?[0-9]+$"


def json_rows(keys: Sequence[str], columns: Sequence[pa.Array]) -> pa.Array:
    """One compact JSON object a row, of the keys in their order; nulls, NaN and infinities are `null`.

    `columns` are numbers, booleans or texts. It reads back as each row's dict, numbers as
    floats.
    """
    length = len(columns[0]) if columns else 0
    pieces: list[pa.Array | str] = ["{"]
    for number, (key, column) in enumerate(zip(keys, columns, strict=True)):
        pieces += [f"{',' if number else ''}{to_json(key).decode()}:", _values(column)]
    pieces = [
        pa.repeat(pa.scalar(each), length) if isinstance(each, str) else each for each in (*pieces, "}")
    ]
    return pc.binary_join_element_wise(*pieces, "")


def _values(column: pa.Array) -> pa.Array:
    if pa.types.is_boolean(column.type):
        texts = pc.if_else(column, "true", "false")
    elif pa.types.is_floating(column.type):
        texts = column.cast(pa.string())
        texts = pc.if_else(
            pc.match_substring_regex(texts, _WHOLE), pc.binary_join_element_wise(texts, ".0", ""), texts
        )
        texts = pc.if_else(pc.is_finite(column), texts, "null")
    else:
        texts = pc.binary_join_element_wise('"', column, '"', "")
        escaped = pc.fill_null(pc.match_substring_regex(column, _ESCAPED), False)
        if pc.any(escaped).as_py():
            spelt = [to_json(value).decode() for value in column.filter(escaped).to_pylist()]
            texts = pc.replace_with_mask(texts, escaped, pa.array(spelt, pa.string()))
    return pc.fill_null(texts, "null")
