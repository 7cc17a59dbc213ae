"""Rows as Salesforce gives them become a table of the common model: one decoder for REST and Bulk API 2.0.

Both arrive here as *cells*: a column of text per field of the query, null where nothing stands. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.connectors.base import SetAside
from crmbridge.connectors.salesforce.cells import convert, tagged
from crmbridge.connectors.salesforce.derive import DERIVED
from crmbridge.connectors.salesforce.objects import NEVER_ATTRIBUTES, SObject, Source
from crmbridge.connectors.salesforce.options import SalesforceOptions
from crmbridge.connectors.salesforce.schema import Schema
from crmbridge.model.columns import ABSENT, attribute_column, schema
from crmbridge.model.fields import CATALOGUE, FieldValue, fields_on, is_own_name

Cells = Mapping[str, pa.Array]
"""Columns of text by field, all of one length."""
REQUIRED: Final[Mapping[str, frozenset[str]]] = {
    "stage_change": frozenset({"id", "deal_id", "to_stage", "at"})
}
"""Fields without which the model takes no record; for the other objects it is the id alone."""


def unreadable(sobject: SObject, known: Schema) -> list[str]:
    """Fields that the user may not see and without which there are no records."""
    required = REQUIRED.get(sobject.becomes, frozenset({"id"}))
    return [
        each.column for each in sobject.sources if each.field in required and each.column not in known.types
    ]


_RAW: Final = 500


@dataclass(frozen=True)
class Decoded:
    """What a page held: records, ids of deleted rows, rows that do not fit, and our own fields' values."""

    records: pa.Table
    deleted: list[str] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    held: dict[str, Mapping[str, FieldValue]] = field(default_factory=dict)


def cells_of_rows(rows: Sequence[Mapping[str, Any]], columns: Iterable[str]) -> dict[str, pa.Array]:
    """JSON rows (numbers with a point as text) as cells."""
    return {
        name: pa.array(list(map(_text, (row.get(name) for row in rows))), pa.string()) for name in columns
    }


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def cells_of_table(table: pa.Table | pa.RecordBatch) -> dict[str, pa.Array]:
    """CSV columns, all text, as cells: an empty cell is null."""
    return {
        name: pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
        for name, column in zip(table.schema.names, table.columns, strict=True)
    }


class Decoder:
    """Decodes rows of one Salesforce object by its schema and the connection's settings."""

    def __init__(
        self,
        sobject: SObject,
        known: Schema,
        options: SalesforceOptions,
        *,
        zone: ZoneInfo,
        keys: tuple[str, ...],
    ) -> None:
        self.sobject, self.known, self.options, self.zone = sobject, known, options, zone
        self._keys = [each.key for each in fields_on(sobject.becomes, keys)]
        self._derive: Callable[..., Mapping[str, pa.Array]] | None = DERIVED.get(sobject.name)
        sources = sobject.sources
        if sobject.becomes == "order" and options.fulfilled in known.types:
            kind = "day" if known.types[options.fulfilled] == "date" else "moment"
            sources = (*sources, Source("fulfilled_at", options.fulfilled, kind))  # type: ignore[arg-type]
        self._sources = [each for each in sources if each.column in known.types]
        mapped = {each.column for each in self._sources} - set(sobject.also)
        self._attributes = [
            name
            for name in known.types
            if name not in mapped and name not in NEVER_ATTRIBUTES and not is_own_name(name)
        ]

    def decode(self, cells: Cells) -> Decoded:
        """One page."""
        deleted: list[str] = []
        if self.known.is_deleted_shown:
            gone = pc.fill_null(pc.equal(pc.ascii_lower(cells["IsDeleted"]), "true"), False)
            if pc.any(gone).as_py():
                deleted = cells["Id"].filter(gone).to_pylist()
                kept = pc.invert(gone)
                cells = {name: column.filter(kept) for name, column in cells.items()}
        if not len(cells["Id"]):
            return Decoded(self.nothing(), deleted)
        columns, wrong = self._columns(cells)
        table = pa.table(columns)
        held = self._held(cells)
        aside = []
        if wrong:
            for row, reason in sorted(wrong.items()):
                identifier = cells["Id"][row].as_py()
                raw = {name: column[row].as_py() for name, column in cells.items()}
                shown = ", ".join(f"{name}={value}" for name, value in raw.items() if value is not None)
                place = f"{self.sobject.name} {identifier}"
                aside.append(SetAside(self.sobject.becomes, place, reason, identifier, shown[:_RAW]))
                held.pop(identifier, None)
            fits = np.ones(table.num_rows, bool)
            fits[list(wrong)] = False
            table = table.filter(pa.array(fits))
        return Decoded(table, deleted, aside, held)

    def nothing(self) -> pa.Table:
        """No records, in the columns they would have."""
        own = schema(self.sobject.becomes)
        names = [attribute_column(name) for name in self._attributes]
        return pa.table(
            {
                **{field.name: pa.array([], field.type) for field in own},
                **{name: pa.array([], pa.string()) for name in names},
            }
        )

    def _columns(self, cells: Cells) -> tuple[dict[str, pa.Array], dict[int, str]]:
        own = schema(self.sobject.becomes)
        found: dict[str, pa.Array] = {}
        wrong: dict[int, str] = {}
        required = REQUIRED.get(self.sobject.becomes, frozenset({"id"}))
        for source in self._sources:
            found[source.field], reasons = convert(cells[source.column], source.kind, self.zone)
            for row, reason in reasons.items():
                wrong[row] = "; ".join(filter(None, (wrong.get(row), f"{source.column}: {reason}")))
            if source.field in required and found[source.field].null_count:
                for row in pc.indices_nonzero(found[source.field].is_null()).to_pylist():
                    wrong.setdefault(row, f"{source.column}: is missing")
        if self._derive is not None:
            found.update(self._derive(cells, found, self.options, self.zone))
        count = len(cells["Id"])
        absent = ",".join(sorted(name for name in own.names[:-1] if name not in found))
        columns = {
            each.name: found[each.name] if each.name in found else pa.nulls(count, each.type)
            for each in own
            if each.name != ABSENT
        }
        columns[ABSENT] = pa.repeat(pa.scalar(absent, pa.string()), count)
        for name in self._attributes:
            columns[attribute_column(name)] = tagged(cells[name], self.known.types[name])
        return columns, wrong

    def _held(self, cells: Cells) -> dict[str, Mapping[str, FieldValue]]:
        """Our own fields as they are now; a field that is not there holds nothing."""
        if not self._keys:
            return {}
        count = len(cells["Id"])
        columns = []
        for key in self._keys:
            name = self.known.own.get(key)
            column = cells[name] if name else pa.nulls(count, pa.string())
            columns.append(own_values(key, column))
        rows = zip(*columns, strict=True)
        ids = cells["Id"].to_pylist()
        return {
            identifier: dict(zip(self._keys, row, strict=True))
            for identifier, row in zip(ids, rows, strict=True)
        }


def own_values(key: str, cells: pa.Array) -> list[FieldValue]:
    """The values of one of our fields, from cells. A number that can't be read is None: somebody changed the
    field's type, which `check` tells.
    """
    if cells.null_count == len(cells):
        return [None] * len(cells)
    kind = CATALOGUE[key].type
    if kind == "number":
        return [_float(cell) for cell in cells.to_pylist()]
    if kind == "boolean":
        return [cell.lower() == "true" if cell else None for cell in cells.to_pylist()]
    if kind == "datetime":
        cells = pc.replace_substring_regex(cells, r"(\.0+)?(\+0000|Z)$", "Z")
    values: list[FieldValue] = cells.to_pylist()
    return values


def _float(cell: str | None) -> float | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        return None
