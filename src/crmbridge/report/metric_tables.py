"""The metrics' tables about the organisation, as the report needs them."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.model.records import ObjectName
from crmbridge.report.data import (
    BACKTEST,
    BOTTLENECKS,
    CHANGES,
    EDGES,
    FIELDS,
    FORECAST,
    MARKET,
    MOVED,
    MOVEMENT,
    NODES,
    OWNERS,
    QUARTERS,
    REPAIR,
    SEGMENTS,
    SLIPPING,
    VELOCITY,
    Quality,
)
from crmbridge.report.reading import Reader

TABLES: Final = {
    "bottlenecks": ("pipeline/deal/bottlenecks", BOTTLENECKS),
    "nodes": ("pipeline/deal/process_nodes", NODES),
    "edges": ("pipeline/deal/process_edges", EDGES),
    "owners": ("pipeline/deal/owners", OWNERS),
    "changes": ("advice/deal/changes", CHANGES),
    "forecast": ("forecast/deal/forecast", FORECAST),
    "backtest": ("forecast/deal/forecast_backtest", BACKTEST),
    "velocity": ("forecast/deal/velocity", VELOCITY),
    "segments": ("segments/account/segments", SEGMENTS),
    "movement": ("segments/account/movement", MOVEMENT),
    "market": ("market/deal/market", MARKET),
    "quarters": ("market/deal/quarters", QUARTERS),
    "moved": ("market/deal/moved", MOVED),
}
"""The report's tables that are shown as the metric made them: the same names are exported, with _ for /."""
CHECKED: Final[tuple[ObjectName, ...]] = ("lead", "contact", "account", "deal")
_OUTLOOK: Final = ("value_12m", "value_low", "value_high", "mean_order")


def metric_tables(reader: Reader) -> dict[str, Any]:
    """These tables by the name they have in the report's data; empty where a metric has not run."""
    found: dict[str, Any] = {name: reader.listing(path, schema) for name, (path, schema) in TABLES.items()}
    return found | {
        "slipping": _slipping(reader),
        "values": reader.figures("value/account/value_summary"),
        "orders_currency": _orders_currency(reader),
        "quality": tuple(each for name in CHECKED if (each := _quality(reader, name)) is not None),
    }


def _slipping(reader: Reader) -> pa.Table:
    own = pa.schema([column for column in SLIPPING if column.name not in _OUTLOOK])
    rows = reader.listing("segments/account/slipping", own).to_pylist()
    schema = pa.schema([("id", pa.string()), *((name, pa.float64()) for name in _OUTLOOK)])
    known = reader.rows("result/value/account", schema, [row["record_id"] for row in rows])
    return pa.Table.from_pylist([{**known.get(row["record_id"], {}), **row} for row in rows], SLIPPING)


def _orders_currency(reader: Reader) -> str | None:
    """The currency of the customers' values: the one most orders are in, as their metrics count."""
    stored = reader.ledger.published(reader.connection, "value", "account")
    currency = stored.model.card.get("currency") if stored else None
    return currency if isinstance(currency, str) else None


def _quality(reader: Reader, object_name: ObjectName) -> Quality | None:
    path = f"quality/{object_name}"
    summary = reader.figures(f"{path}/quality_summary")
    if not summary.get("records"):
        return None
    fields = reader.listing(f"{path}/quality_fields", FIELDS)
    repair = reader.listing(f"{path}/repair", REPAIR)
    return Quality(object_name, summary, fields, repair.filter(pc.is_valid(repair["gain"])))
