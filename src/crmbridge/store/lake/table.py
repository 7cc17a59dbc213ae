"""Where the versions of one object lie, and what columns they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast

import pyarrow as pa

from crmbridge.model import columns
from crmbridge.model.fields import CATALOGUE
from crmbridge.model.records import RECORDS, ObjectName
from crmbridge.store.lake import files
from crmbridge.store.ledger import Ledger, Part

MOMENT: Final = pa.timestamp("us", tz="UTC")
SYSTEM: Final = pa.schema(
    [
        pa.field("key", pa.int64(), nullable=False),
        pa.field("hash", pa.binary(16), nullable=False),
        pa.field("valid_from", MOMENT, nullable=False),
        pa.field("seen_at", MOMENT, nullable=False),
        pa.field("deleted", pa.bool_(), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("replaces", pa.int64()),
    ]
)
"""The lake's own columns; see the package's description."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Table:
    """One object of one connection. `object` is an object of the model, or a derived table: "result/lead"."""

    root: Path
    ledger: Ledger
    connection: str
    object: str

    def parts(self) -> list[Part]:
        """The registered parts, in the order of their versions."""
        return self.ledger.parts(self.connection, self.object)

    def path(self, part: Part) -> Path:
        return self.root / part.path

    def new_path(self, number: int) -> str:
        """Where a part that is written now lies: under the lease held, if any."""
        token = self.ledger.fencing_token(self.connection)
        return files.part_path(self.connection, self.object, number, token)

    def own_schema(self) -> pa.Schema:
        """The columns that the model gives the object; none for a derived table."""
        return columns.schema(cast(ObjectName, self.object)) if self.object in RECORDS else pa.schema([])

    def schema(self, names: Sequence[str]) -> pa.Schema:
        """The types of the columns asked for: the lake's, the model's, or the newest part's that has them."""
        own, parts = self.own_schema(), self.parts()
        return pa.schema([pa.field(name, self._type(name, own, parts)) for name in names])

    def _type(self, name: str, own: pa.Schema, parts: Sequence[Part]) -> pa.DataType:
        for schema in (SYSTEM, own):
            if name in schema.names:
                return schema.field(name).type
        if self.object in RECORDS or name == "id":
            return pa.string()  # attributes are texts
        for part in reversed(parts):
            schema = files.read_schema(self.path(part))
            if name in schema.names:
                return schema.field(name).type
        return CATALOGUE[name].arrow_type if name in CATALOGUE else pa.null()


def microseconds(moment: datetime) -> int:
    """An aware moment as Arrow counts it."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(number: int) -> datetime:
    """The inverse of `microseconds`."""
    return _EPOCH + timedelta(microseconds=number)
