"""Small lakes for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crmbridge.model.columns import schema
from crmbridge.store.lake import Appended, Lake
from crmbridge.store.ledger import Ledger
from tests.conftest import Clock

START = datetime(2026, 3, 1, tzinfo=UTC)
Row = Mapping[str, Any]


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def table(rows: Sequence[Row]) -> pa.Table:
    """Leads as a table: the model's columns that a row has in the model's types, all others as text."""
    own = schema("lead")
    names = ["id", *sorted({name for row in rows for name in row} - {"id"})]
    types = [own.field(name).type if name in own.names else pa.string() for name in names]
    columns = [
        pa.array([row.get(name) for row in rows], kind) for name, kind in zip(names, types, strict=True)
    ]
    return pa.table(columns, names=names)


class Leads:
    """The leads of one connection in a lake."""

    def __init__(self, lake: Lake, connection: str = "acme", object_name: str = "lead") -> None:
        self.lake, self.connection, self.object = lake, connection, object_name
        self.run = lake.ledger.start_run(connection, "pull", START).id

    def append(self, *rows: Row, seen: float, deleted: Sequence[str] = (), **more: Any) -> Appended:
        return self.lake.append(
            self.connection,
            self.object,
            table(rows),
            run=self.run,
            seen_at=day(seen),
            deleted=deleted,
            **more,
        )

    def scan(self, *columns: str, at: float) -> list[tuple[Any, ...]]:
        batches = self.lake.scan(self.connection, self.object, columns, at=day(at))
        return sorted(_tuples(batches), key=repr)

    def versions(self, *columns: str, at: float) -> list[tuple[Any, ...]]:
        batches = self.lake.versions(self.connection, self.object, columns, at=day(at))
        return sorted(_tuples(batches), key=repr)

    def again(self) -> Leads:
        """The same leads as another process sees them."""
        return Leads(Lake(self.lake.root, self.lake.ledger), self.connection, self.object)

    def files(self) -> list[str]:
        root = self.lake.root
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def _tuples(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
    for batch in batches:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


@pytest.fixture
def leads(tmp_path: Path, clock: Clock) -> Iterator[Leads]:
    with Ledger.open(f"sqlite:///{tmp_path}/crmbridge.db", clock=clock) as ledger:
        yield Leads(Lake(tmp_path / "lake", ledger))
