"""Figures of all records of an object: how good they are, field by field, and who is there twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.quality.duplicates import Duplicates
from crmbridge.model.results import Model

SHOWN: Final = 10_000
"""Pairs of duplicates that are listed."""


def summary(table: pa.Table, twins: Duplicates, kept: Sequence[str], text: ModuleType) -> pa.Table:
    records = table.num_rows
    score = table["data_quality"].to_numpy() if records else np.zeros(0)
    stale = table["data_issues"].is_valid().to_numpy() if records else np.zeros(0, bool)
    mean = float(score.mean()) if records else None
    rows: list[dict[str, Any]] = [
        {"figure": "records", "value": float(records), "text": None},
        {"figure": "data_quality", "value": mean, "text": text.verdict(records, mean, twins.surplus)},
        {"figure": "with_issues", "value": float(stale.sum()), "text": None},
        {"figure": "duplicate_records", "value": float(twins.surplus), "text": None},
        {"figure": "fields_kept", "value": float(len(kept)), "text": None},
    ]
    return pa.Table.from_pylist(rows, _SUMMARY)


def fields(model: Model, table: pa.Table) -> pa.Table:
    """Per field: the share filled, whether it is kept, and how many records hold something not valid."""
    wrong: dict[str, int] = {}
    if table.num_rows:
        counted = pc.value_counts(table["wrong_fields"].combine_chunks())
        for row in counted.to_pylist():
            for name in filter(None, row["values"].split(",")):
                wrong[name] = wrong.get(name, 0) + row["counts"]
    filled = cast("Mapping[str, float]", model.card["filled"])
    kept = set(cast("Sequence[str]", model.card["kept"]))
    rows = [
        {"field": name, "filled": share, "kept": name in kept, "not_valid": wrong.get(name, 0)}
        for name, share in filled.items()
    ]
    rows += [
        {"field": name, "filled": None, "kept": True, "not_valid": number}
        for name, number in sorted(wrong.items())
        if name not in filled
    ]
    return pa.Table.from_pylist(rows, _FIELDS)


def pairs(twins: Duplicates) -> pa.Table:
    first, second = twins.first[:SHOWN], twins.second[:SHOWN]
    return pa.table(
        {"id": twins.ids.take(pa.array(first)), "same_as": twins.ids.take(pa.array(second))}, schema=_PAIRS
    )


_SUMMARY: Final = pa.schema([("figure", pa.string()), ("value", pa.float64()), ("text", pa.string())])
_FIELDS: Final = pa.schema(
    [("field", pa.string()), ("filled", pa.float64()), ("kept", pa.bool_()), ("not_valid", pa.int64())]
)
REPAIR: Final = pa.schema(
    [
        ("field", pa.string()),
        ("missing", pa.int64()),
        ("known", pa.int64()),
        ("gain", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("p_value", pa.float64()),
    ]
)
_PAIRS: Final = pa.schema([("id", pa.string()), ("same_as", pa.string())])
