"""Exports: the lake's and the ledger's tables as Parquet and CSV, for Python, R, Tableau and Power BI.

Files are named after what they hold and keep their names: `lead`, `deal` ... (records), `need_lead` (a
metric's results), `efficiency_rep_ranking` (a metric's table about the organisation), `ledger_runs`,
`ledger_plans`, `ledger_plan_rows`, `ledger_models`. `schema.json` says of each column its type, unit and
meaning; it is written last, so where it stands, the export is whole.

CSV is UTF-8 with a header; texts are quoted, null is empty and unquoted. A text cell that a spreadsheet
would run as a formula gets an apostrophe in front, except in ids and where it is a plain number or a phone
number. Parquet holds every text as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from crmbridge.errors import SettingsError
from crmbridge.report import spreadsheet
from crmbridge.report.files import replacing
from crmbridge.report.tables import Table, tables
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger

Format = Literal["parquet", "csv"]
FORMATS: Final[tuple[str, ...]] = get_args(Format)
VERSION: Final = "1"
"""Of the names of files and columns; it changes where one goes or means something else."""


def export(
    ledger: Ledger, lake: Lake, connection: str, directory: Path, formats: Sequence[str], *, moment: datetime
) -> list[Path]:
    """Write every table of the connection as of `moment` to `directory`; returns the files, schema.json last.

    Files are written beside their place and moved there whole, a batch at a time in memory. Raises
    SettingsError for an unknown format.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        raise SettingsError(
            f"{', '.join(unknown) or 'nothing'} is not a format to export to.",
            remedy=f"Choose among {', '.join(FORMATS)}.",
        )
    directory.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    described = []
    for table in tables(ledger, lake, connection, moment):
        files = {format: directory / f"{table.name}.{format}" for format in FORMATS if format in formats}
        rows = _write(table, files)
        paths += files.values()
        described.append(_described(table, [path.name for path in files.values()], rows))
    content = {
        "version": VERSION,
        "connection": connection,
        "moment": moment.isoformat(),
        "csv": {"encoding": "UTF-8", "null": "empty, unquoted", "formula_guard": spreadsheet.GUARD},
        "tables": described,
    }
    schema = directory / "schema.json"
    with replacing(schema) as path:
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return [*paths, schema]


def _write(table: Table, files: Mapping[str, Path]) -> int:
    """Write one table in every format in one pass; returns the number of rows."""
    rows = 0
    with ExitStack() as stack:
        writers: list[Callable[[pa.RecordBatch], None]] = []
        if "parquet" in files:
            path = stack.enter_context(replacing(files["parquet"]))
            parquet = stack.enter_context(pq.ParquetWriter(path, table.schema, compression="zstd"))
            writers.append(parquet.write_batch)
        if "csv" in files:
            path = stack.enter_context(replacing(files["csv"]))
            text = stack.enter_context(pyarrow.csv.CSVWriter(path, spreadsheet.schema(table.schema)))
            writers.append(lambda batch: text.write_batch(spreadsheet.cells(batch)))
        for batch in table.batches():
            rows += batch.num_rows
            for write in writers:
                write(batch)
    return rows


def _described(table: Table, files: Sequence[str], rows: int) -> dict[str, Any]:
    columns = []
    for field in table.schema:
        meaning = table.meaning(field.name)
        columns.append(
            {"name": field.name, "type": str(field.type), "unit": meaning.unit, "meaning": meaning.meaning}
        )
    return {"name": table.name, "files": list(files), "rows": rows, "columns": columns}
