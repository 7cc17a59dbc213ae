"""Connections of the `files` connector for tests: from settings as text, or from an example."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from pydantic import SecretStr

from crmbridge.connectors.base import Context, Cursor, Page, SetAside
from crmbridge.connectors.files import FilesConnector, Options
from crmbridge.connectors.files.decode import Decoder
from crmbridge.model.columns import from_table
from crmbridge.model.records import ObjectName, Record

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
COMMON = ("connector", "schedule", "timezone", "api_budget", "approval", "fields", "metrics", "guards")


def _no_secret(name: str) -> SecretStr:
    raise AssertionError(f"files has no secrets, but asked for {name}")


def connection(
    path: Path, settings: dict[str, Any] | str, *, zone: str = "UTC", decoder: Decoder = "bulk"
) -> FilesConnector:
    """A connector on the folder `path`; `settings` are its tables, as TOML or as a dictionary."""
    tables = tomllib.loads(settings) if isinstance(settings, str) else settings
    context = Context(
        connection="test",
        options=Options.model_validate({"path": path, **tables}),
        secret=_no_secret,
        clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        zone=ZoneInfo(zone),
    )
    return FilesConnector(context, decoder=decoder)


def example(name: str, path: Path, decoder: Decoder = "bulk") -> FilesConnector:
    """The connection of `examples/NAME.toml` on another folder."""
    table = tomllib.loads((EXAMPLES / f"{name}.toml").read_text(encoding="utf-8"))["connections"][name]
    settings = {key: value for key, value in table.items() if key not in (*COMMON, "path")}
    return connection(path, settings, zone=table["timezone"], decoder=decoder)


def pulled(connector: FilesConnector, object_name: ObjectName, cursor: Cursor | None = None) -> list[Page]:
    return list(connector.pull(object_name, cursor))


def table_of(pages: Iterable[Page]) -> pa.Table:
    tables = [page.records for page in pages]
    assert all(isinstance(table, pa.Table) for table in tables)
    return pa.concat_tables(tables, promote_options="default")


def records_of(pages: Iterable[Page]) -> list[Record]:
    return [record for page in pages for record in from_table(page.object, page.records)]


def aside_of(pages: Iterable[Page]) -> list[SetAside]:
    return [row for page in pages for row in page.set_aside]
