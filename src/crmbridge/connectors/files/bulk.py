"""The bulk decoder: whole columns straight to Arrow.

Each conversion follows the rules of `cells`: text and ids as they stand, the usual forms of moments and
numbers by vector code that takes only what it reads exactly as the rule does, and everything else by the rule
itself, once for each distinct cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.connectors.files import moments
from crmbridge.connectors.files.cells import Moments, Number, scalar_of, text_of
from crmbridge.connectors.files.mapping import FileMapping, Source
from crmbridge.model.columns import ABSENT, attribute_column, schema, tag

Flags = npt.NDArray[np.bool_]
LONGEST_ID: Final = 255

_PLAIN_NUMBER: Final = {
    ("money", "."): r"^-?[0-9]{1,20}(\.[0-9]{1,9})?$",
    ("money", ","): r"^-?[0-9]{1,20}(,[0-9]{1,9})?$",
    ("count", "."): r"^[0-9]{1,18}$",
    ("count", ","): r"^[0-9]{1,18}$",
    ("seconds", "."): r"^[0-9]{1,15}(\.[0-9]{1,15})?$",
    ("seconds", ","): r"^[0-9]{1,15}(,[0-9]{1,15})?$",
}


def convert(
    cells: pa.Table, ids: pa.Array, row_ids: pa.Array, mapping: FileMapping
) -> tuple[pa.Table, Flags]:
    """All rows as a table of `model.columns`, and which of them hold; the others' values mean nothing."""
    count = cells.num_rows
    own = schema(mapping.object)
    columns: dict[str, Any] = dict.fromkeys(mapping.row_fields, row_ids)
    columns["id"], fits = _ids(ids, required=True)
    for field, value in mapping.constants.items():
        columns[field] = pa.repeat(pa.scalar(value, own.field(field).type), count)
    for source in mapping.sources:
        columns[source.field], known = column(cells[source.column].combine_chunks(), source)
        fits &= known
    columns[ABSENT] = pa.repeat(pa.scalar(",".join(mapping.absent), pa.string()), count)
    for field in mapping.absent:
        columns[field] = pa.nulls(count, own.field(field).type)
    for name in mapping.attributes:
        columns[attribute_column(name)] = tagged(cells[name].combine_chunks())
    names = [*own.names, *map(attribute_column, mapping.attributes)]
    return pa.table([columns[name] for name in names], names=names), fits


def column(cells: pa.Array, source: Source) -> tuple[pa.Array, Flags]:
    """A field's values, and which of them hold."""
    rule, is_text = source.rule, pa.types.is_string(cells.type)
    if is_text and source.convert is text_of:
        return cells, _present(cells) if rule.required else np.ones(len(cells), bool)
    if is_text and rule.kind == "id":
        return _ids(cells, required=rule.required)
    layouts = _layouts(source.convert) if isinstance(source.convert, Moments) else ()
    if is_text and isinstance(source.convert, Moments) and layouts:
        values, known = _moments(cells, layouts, source.convert)
    elif is_text and isinstance(source.convert, Number):
        values, known = _numbers(cells, source.convert, source)
    elif isinstance(source.convert, Moments) and pa.types.is_timestamp(cells.type):
        values, known = _timestamps(cells, source.convert)
    else:
        return _by_distinct(cells, source)
    rest = np.flatnonzero(~known)
    if len(rest):
        slow, holds = _by_distinct(cells.take(pa.array(rest)), source)
        known[rest] = holds
        values = pc.replace_with_mask(values, pa.array(np.isin(np.arange(len(cells)), rest)), slow)
    return values, known


def _by_distinct(cells: pa.Array, source: Source) -> tuple[pa.Array, Flags]:
    """The rule, applied once to each distinct cell."""
    encoded = cells.dictionary_encode()
    values: list[Any] = []
    holds: list[bool] = []
    for cell in encoded.dictionary.to_pylist():
        try:
            value = source.rule.adapter.validate_python(source.convert(cell))
        except ValueError:
            values.append(None)
            holds.append(False)
        else:
            values.append(value)
            holds.append(value is not None or not source.rule.required)
    # One more for null: the place after the last distinct cell.
    places = pc.fill_null(encoded.indices, len(values)).to_numpy()
    known = np.array([*holds, not source.rule.required], bool)[places]
    return pa.array([*values, None], source.type).take(pa.array(places)), known


def _present(cells: pa.Array) -> Flags:
    present: Flags = cells.is_valid().to_numpy(zero_copy_only=False)
    return present


def _ids(cells: pa.Array, *, required: bool) -> tuple[pa.Array, Flags]:
    lengths = pc.fill_null(pc.utf8_length(cells), 0).to_numpy(zero_copy_only=False)
    fits = lengths <= LONGEST_ID
    if required:
        return cells, fits & (lengths > 0)
    empty = (lengths == 0) & _present(cells)
    if empty.any():
        cells = pc.if_else(pa.array(empty), pa.scalar(None, pa.string()), cells)
    return cells, fits


def _layouts(rule: Moments) -> Sequence[moments.Layout]:
    """The layouts that vector code may read in the rule's stead."""
    if not rule.formats:
        return moments.ISO_LAYOUTS
    # A cell of another format could be of the first too, in an unusual way: the rule tries them in order.
    first = moments.layout_of(rule.formats[0])
    return (first,) if first else ()


def _moments(cells: pa.Array, layouts: Sequence[moments.Layout], rule: Moments) -> tuple[pa.Array, Flags]:
    present = _present(cells)
    instants, read = moments.read(cells.drop_null(), layouts, rule.zone)
    values = np.zeros(len(cells), np.int64)
    known = np.zeros(len(cells), bool)
    values[present], known[present] = instants, read
    return pa.array(values, pa.timestamp("us", "UTC"), mask=~known), known


def _timestamps(cells: pa.Array, rule: Moments) -> tuple[pa.Array, Flags]:
    present = _present(cells)
    if cells.type.tz:
        return cells, present
    local = pc.fill_null(cells.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    values, known = moments.from_local(local, rule.zone)
    return pa.array(values, pa.timestamp("us", "UTC"), mask=~present), known & present


def _numbers(cells: pa.Array, rule: Number, source: Source) -> tuple[pa.Array, Flags]:
    plain = pc.match_substring_regex(cells, _PLAIN_NUMBER[rule.kind, rule.decimal])
    texts = pc.if_else(plain, cells, pa.scalar(None, pa.string()))
    if rule.decimal == ",":
        texts = pc.replace_substring(texts, ",", ".")
    return texts.cast(source.type), pc.fill_null(plain, False).to_numpy(zero_copy_only=False)


def tagged(cells: pa.Array) -> pa.Array:
    """Cells as an attribute's column: the tags of `model.columns`, null included."""
    if pa.types.is_string(cells.type):
        texts = pc.binary_join_element_wise('"', cells, "")
    elif pa.types.is_integer(cells.type) or pa.types.is_boolean(cells.type):
        texts = cells.cast(pa.string())
    else:
        texts = pa.array(
            [None if cell is None else tag(scalar_of(cell)) for cell in cells.to_pylist()], pa.string()
        )
    return pc.fill_null(texts, "null")
