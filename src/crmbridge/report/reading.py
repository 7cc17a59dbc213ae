"""Reading the lake as of one moment, a connection at a time, in the types asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger


@dataclass(frozen=True)
class Reader:
    """The lake of one connection as it was known at `moment`."""

    ledger: Ledger
    lake: Lake
    connection: str
    moment: datetime

    def table(self, object_name: str, schema: pa.Schema) -> pa.Table:
        """The live rows in these columns; none where the lake has no such object."""
        batches = self.lake.scan(self.connection, object_name, schema.names, at=self.moment)
        return pa.Table.from_batches([batch.cast(schema) for batch in batches], schema)

    def listing(self, name: str, schema: pa.Schema) -> pa.Table:
        """A metric's table about the organisation (`pipeline/deal/funnel`), in its own order."""
        found = self.table(f"table/{name}", pa.schema([("id", pa.string()), *schema]))
        order = pc.sort_indices(found["id"].cast(pa.int64()))
        return found.take(order).select(schema.names)

    def figures(self, name: str) -> dict[str, float]:
        """A table of figures of the whole: name and value."""
        schema = pa.schema([("figure", pa.string()), ("value", pa.float64())])
        rows = self.listing(name, schema).to_pylist()
        return {row["figure"]: row["value"] for row in rows if row["value"] is not None}

    def rows(self, object_name: str, schema: pa.Schema, ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """The rows of these ids, by id. Everything else is passed over batch by batch."""
        wanted = pa.array(sorted(set(ids)), pa.string())
        if not len(wanted):
            return {}
        found: dict[str, dict[str, Any]] = {}
        for batch in self.lake.scan(self.connection, object_name, schema.names, at=self.moment):
            rows = batch.filter(pc.is_in(batch.column("id"), value_set=wanted)).cast(schema).to_pylist()
            found |= {row["id"]: row for row in rows}
        return found

    def count(self, object_name: str) -> int:
        """The number of live records."""
        parts = self.ledger.parts(self.connection, object_name)
        if all(part.newest <= self.moment for part in parts):
            return sum(part.live for part in parts)
        batches = self.lake.scan(self.connection, object_name, ["id"], at=self.moment)
        return sum(batch.num_rows for batch in batches)

    def names(self, object_name: str, ids: Collection[str]) -> Mapping[str, str]:
        """The names of these records, by id; the id where there is none."""
        schema = pa.schema([("id", pa.string()), ("name", pa.string())])
        found = self.rows(object_name, schema, ids)
        return {id: (found.get(id) or {}).get("name") or id for id in ids}
