"""The conformance suite on exported files: CSV and Parquet, read and written."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crmbridge.connectors.base import Connector
from crmbridge.connectors.files import FilesConnector, Options
from crmbridge.model.fields import CATALOGUE, FieldValue, fields_on, hubspot_name
from crmbridge.model.records import ObjectName, Record
from crmbridge.testing import ConnectorConformance, Subject, WriterConformance, context
from crmbridge.writeback.base import Writer
from crmbridge.writeback.files import FilesWriter

Row = dict[str, str]


class FilesSubject(Subject):
    """A folder with one CSV file per object, edited by hand as it were."""

    needs_install = False
    knows_gone = False
    faults = frozenset({"conflict", "bad_record"})

    def __init__(self, folder: Path, output: str = "csv") -> None:
        self.folder, self.output = folder, output
        folder.mkdir()

    def connector(self, *, page_size: int | None = None) -> Connector:
        return FilesConnector(context(self.options()))

    def writer(self) -> Writer:
        return FilesWriter(context(self.options(), fields=self.writes))

    def options(self) -> Options:
        tables = {path.stem: {"file": path.name} for path in sorted(self.folder.glob("*.csv"))}
        return Options.model_validate({"path": str(self.folder), "output": self.output, **tables})

    def seed(self, records: Sequence[Record]) -> Sequence[str]:
        for record in records:
            shown = record.model_dump(exclude_unset=True)
            row = {**shown, **shown.pop("attributes", {})}
            self._change(
                record.object_name, lambda rows, row=row: [*rows, {name: _cell(row[name]) for name in row}]
            )
        return [record.id for record in records]

    def update(self, object_name: ObjectName, identifier: str, field: str, value: str) -> None:
        self._change(
            object_name,
            lambda rows: [{**row, field: value} if row["id"] == identifier else row for row in rows],
        )

    def delete(self, object_name: ObjectName, identifier: str) -> None:
        self._change(object_name, lambda rows: [row for row in rows if row["id"] != identifier])

    def held(self, object_name: ObjectName, identifier: str) -> Mapping[str, FieldValue]:
        row = self._scores(object_name).get(identifier, {})
        return {
            each.key: _value(each.key, row.get(hubspot_name(each.key)))
            for each in fields_on(object_name, self.writes)
        }

    def edit(self, object_name: ObjectName, identifier: str, key: str, value: FieldValue) -> None:
        path = self.folder / "scores" / f"{object_name}.{self.output}"
        rows = self._scores(object_name)
        row = rows.setdefault(identifier, {"id": identifier})
        if self.output == "csv":
            row[hubspot_name(key)] = "" if value is None else str(value)
            _write_csv(path, list(rows.values()))
        else:
            row[hubspot_name(key)] = value
            schema = pq.read_schema(path) if path.exists() else None
            names = dict.fromkeys(name for each in rows.values() for name in each)
            table = {name: [each.get(name) for each in rows.values()] for name in names}
            pq.write_table(pa.table(table, schema=schema), path)

    def fault(self, name: str, identifier: str = "") -> None:
        if name == "conflict":
            (self.folder / "scores").write_text("not a folder")
        else:
            self._change("lead", lambda rows: [*rows, {"id": "bad", "employees": "a few"}])

    def _change(self, object_name: ObjectName, change: Callable[[list[Row]], list[Row]]) -> None:
        path = self.folder / f"{object_name}.csv"
        rows = change(_read_csv(path))
        _write_csv(path, rows, ["id", *(_read_header(path) or [])])

    def _scores(self, object_name: ObjectName) -> dict[str, dict[str, Any]]:
        path = self.folder / "scores" / f"{object_name}.{self.output}"
        if not path.exists():
            return {}
        rows = _read_csv(path) if self.output == "csv" else pq.read_table(path).to_pylist()
        return {row["id"]: row for row in rows}


class TestCsv(ConnectorConformance, WriterConformance):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        return FilesSubject(tmp_path / "exports")


class TestParquetOutput(WriterConformance):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        return FilesSubject(tmp_path / "exports", "parquet")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _value(key: str, cell: Any) -> FieldValue:
    if cell is None or cell == "":
        return None
    if isinstance(cell, datetime):
        return cell.isoformat()
    kind = CATALOGUE[key].type
    if kind == "number":
        return float(cell)
    return str(cell).lower() == "true" if kind == "boolean" else str(cell)


def _read_csv(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _read_header(path: Path) -> list[str] | None:
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))


def _write_csv(path: Path, rows: Sequence[Row], first: Sequence[str] = ("id",)) -> None:
    names = dict.fromkeys([*first, *(name for row in rows for name in row)])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(names), restval="")
        writer.writeheader()
        writer.writerows(rows)
