"""Gathers the sections on customers, market and data quality from the tables their metrics left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import pyarrow as pa

from crmbridge.model.records import ObjectName
from crmbridge.report import sections
from crmbridge.report.reading import Reader
from crmbridge.report.sections import Section

_TEXT, _NUMBER, _COUNT = pa.string(), pa.float64(), pa.int64()
_QUALITY: Final[tuple[ObjectName, ...]] = ("lead", "contact", "account", "deal")
_TABLES: Final[Mapping[str, Mapping[str, pa.DataType]]] = {
    "segments": {
        "segment": _TEXT,
        "customers": _COUNT,
        "share": _NUMBER,
        "spent": _NUMBER,
        "share_of_spent": _NUMBER,
        "median_days_since_order": _NUMBER,
        "median_orders": _NUMBER,
    },
    "movement": {"from_segment": _TEXT, "to_segment": _TEXT, "customers": _COUNT, "days": _COUNT},
    "slipping": {
        "record_id": _TEXT,
        "name": _TEXT,
        "orders": _COUNT,
        "spent": _NUMBER,
        "usual_days": _NUMBER,
        "days_since_order": _NUMBER,
        "pause_chance": _NUMBER,
    },
    "value_summary": {"figure": _TEXT, "value": _NUMBER},
    "market": {
        "dimension": _TEXT,
        "group": _TEXT,
        "closed": _COUNT,
        "measure": _TEXT,
        "value": _NUMBER,
        "low": _NUMBER,
        "high": _NUMBER,
        "others": _NUMBER,
        "p_value": _NUMBER,
        "stands_out": _TEXT,
    },
    "moved": {
        "quarter": _TEXT,
        "before_quarter": _TEXT,
        "dimension": _TEXT,
        "measure": _TEXT,
        "before": _NUMBER,
        "after": _NUMBER,
        "change": _NUMBER,
        "mix": _NUMBER,
        "within": _NUMBER,
    },
    "quality_summary": {"figure": _TEXT, "value": _NUMBER},
    "quality_fields": {"field": _TEXT, "filled": _NUMBER, "kept": pa.bool_(), "not_valid": _COUNT},
    "repair": {"field": _TEXT, "missing": _COUNT, "gain": _NUMBER, "low": _NUMBER, "high": _NUMBER},
}


def further(reader: Reader) -> tuple[Section, ...]:
    """The sections there is something to say in."""
    found = (
        sections.customers(
            _rows(reader, "segments", "account", "segments"),
            _rows(reader, "segments", "account", "movement"),
            _rows(reader, "segments", "account", "slipping"),
            {row["figure"]: row["value"] for row in _rows(reader, "value", "account", "value_summary")},
            [*_verdict(reader, "segments", "account"), *_verdict(reader, "value", "account")],
        ),
        sections.market(
            _rows(reader, "market", "deal", "market"),
            _rows(reader, "market", "deal", "moved"),
            _verdict(reader, "market", "deal"),
        ),
        sections.quality(
            _of_each(reader, "quality_summary"),
            _of_each(reader, "quality_fields"),
            _of_each(reader, "repair"),
        ),
    )
    return tuple(section for section in found if section is not None)


def _of_each(reader: Reader, table: str) -> dict[str, Sequence[dict[str, Any]]]:
    """The quality metric's table of every object."""
    return {name: _rows(reader, "quality", name, table) for name in _QUALITY}


def _rows(reader: Reader, metric: str, object_name: ObjectName, table: str) -> Sequence[dict[str, Any]]:
    """The rows of a metric's table, in its own order."""
    schema = pa.schema([("id", pa.string()), *_TABLES[table].items()])
    rows = reader.table(f"table/{metric}/{object_name}/{table}", schema).to_pylist()
    return sorted(rows, key=lambda row: int(row["id"]))


def _verdict(reader: Reader, metric: str, object_name: ObjectName) -> list[str]:
    stored = reader.ledger.published(reader.connection, metric, object_name)
    return [] if stored is None else list(cast("Sequence[str]", stored.model.card["verdict"]))
