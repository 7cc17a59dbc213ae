"""Rows become records: in bulk, or through the model. A test holds both equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.connectors.files import bulk, models
from crmbridge.connectors.files.cells import text_of
from crmbridge.connectors.files.mapping import FileMapping
from crmbridge.connectors.files.rows import Rows

Decoder = Literal["bulk", "models"]


@dataclass(frozen=True)
class Unfit:
    """A row that is no record: its place among the rows, why, and its id where it has one."""

    row: int
    reason: str
    id: str | None


@dataclass(frozen=True)
class Decoded:
    """The records of some rows as a table of `model.columns`, their places among the rows, and the rest."""

    table: pa.Table
    rows: npt.NDArray[np.int64]
    unfit: list[Unfit]


def decode(rows: Rows, mapping: FileMapping, decoder: Decoder = "bulk") -> Decoded:
    """Turn rows into records by a mapping.

    The bulk decoder hands a row that it can't convert to the model, which gives the record or the reason.
    """
    cells = _replaced(rows.table, mapping)
    row_ids = pc.binary_join_element_wise(mapping.row_prefix, pa.array(rows.numbers).cast(pa.string()), "")
    ids = _ids(cells, mapping) if mapping.ids else row_ids
    if decoder == "models":
        table, kept, reasons = models.convert(cells, ids, row_ids, mapping)
        return Decoded(table, np.array(kept, np.int64), _unfit(ids, reasons))
    table, fits = bulk.convert(cells, ids, row_ids, mapping)
    if fits.all():
        return Decoded(table, np.arange(table.num_rows), [])
    rest = pa.array(np.flatnonzero(~fits))
    late, kept, reasons = models.convert(cells.take(rest), ids.take(rest), row_ids.take(rest), mapping)
    places = rest.to_numpy()
    whole = pa.concat_tables([table.filter(pa.array(fits)), late])
    order = np.concatenate([np.flatnonzero(fits), places[kept]])
    by_row = np.argsort(order, kind="stable")
    return Decoded(
        whole.take(pa.array(by_row)) if kept else whole,
        order[by_row],
        _unfit(ids, {int(places[place]): reason for place, reason in reasons.items()}),
    )


def _unfit(ids: pa.Array, reasons: dict[int, str]) -> list[Unfit]:
    return [Unfit(row, reasons[row], ids[row].as_py() or None) for row in sorted(reasons)]


def _replaced(table: pa.Table, mapping: FileMapping) -> pa.Table:
    """The table with the settings' other words for its cells; a column with such words becomes text."""
    for name, words in mapping.replace.items():
        encoded = texts(table[name].combine_chunks()).dictionary_encode()
        others = [words.get(text, text) for text in encoded.dictionary.to_pylist()]
        replaced = pa.array(others, pa.string()).take(encoded.indices)
        table = table.set_column(table.column_names.index(name), name, replaced)
    return table


def _ids(cells: pa.Table, mapping: FileMapping) -> pa.Array:
    """The id of each row; null where a part of it is null or empty."""
    parts = []
    for name in mapping.ids:
        part = texts(cells[name].combine_chunks())
        parts.append(pc.if_else(pc.equal(part, ""), pa.scalar(None, pa.string()), part))
    return pc.binary_join_element_wise(*parts, "-") if len(parts) > 1 else parts[0]


def texts(cells: pa.Array) -> pa.Array:
    """A column as text, by the rule of `cells.text_of`."""
    if pa.types.is_string(cells.type):
        return cells
    if pa.types.is_integer(cells.type):
        return cells.cast(pa.string())
    return pa.array([None if cell is None else text_of(cell) for cell in cells.to_pylist()], pa.string())
