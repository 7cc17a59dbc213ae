"""The tables there are to export: records, a metric's results, its tables about the organisation, the ledger.

Every column has a plain type (text, number, bool, date, moment in UTC, exact decimal); what is nested
becomes JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic_core import to_json

from crmbridge.model.columns import ABSENT, ATTRIBUTE_PREFIX
from crmbridge.model.columns import schema as own_columns
from crmbridge.model.records import OBJECTS, ObjectName
from crmbridge.report import meanings
from crmbridge.report.meanings import Meaning
from crmbridge.store.lake import Lake
from crmbridge.store.lake.table import SYSTEM
from crmbridge.store.ledger import Ledger, PlanRow

_MOMENT: Final = pa.timestamp("us", tz="UTC")
_ALL: Final = 2**31 - 1
_CHUNK: Final = 10_000


@dataclass(frozen=True)
class Table:
    """One table to export: its name, columns, rows in batches of that schema, and what its columns mean."""

    name: str
    schema: pa.Schema
    batches: Callable[[], Iterable[pa.RecordBatch]]
    meaning: Callable[[str], Meaning]


def tables(ledger: Ledger, lake: Lake, connection: str, moment: datetime) -> Iterator[Table]:
    """Every table of the connection as of the moment, in a steady order."""
    present = {part.object for part in ledger.parts(connection)}
    for object_name in OBJECTS:
        if object_name in present:
            yield _records(lake, connection, object_name, moment)
    for name in sorted(present):
        kind, _, rest = name.partition("/")
        if kind in ("result", "table"):
            yield _derived(ledger, lake, connection, name, rest.replace("/", "_"), moment, kind == "table")
    results = sorted(name.split("/")[1:] for name in present if name.startswith("result/"))
    yield from _ledgers(ledger, connection, [(metric, cast(ObjectName, on)) for metric, on in results])


def _records(lake: Lake, connection: str, object_name: ObjectName, moment: datetime) -> Table:
    own = own_columns(object_name)
    names = [name for name in own.names if name != ABSENT]
    attributes = list(lake.attribute_names(connection, object_name))
    # A field of the CRM whose name is one of the model's own keeps the prefix that tells the two apart.
    taken = {name.lower() for name in names}
    shown = [name if name.lower() not in taken else ATTRIBUTE_PREFIX + name for name in attributes]
    schema = pa.schema([own.field(name) for name in names] + [(name, pa.string()) for name in shown])
    wanted = [*names, *(ATTRIBUTE_PREFIX + name for name in attributes)]

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in lake.scan(connection, object_name, wanted, at=moment):
            columns = [batch.column(at) for at in range(len(names))]
            columns += [_untagged(batch.column(at)) for at in range(len(names), len(wanted))]
            yield pa.record_batch(columns, schema=schema)

    return Table(object_name, schema, batches, partial(meanings.of_record, object_name))


def _untagged(cells: pa.Array) -> pa.Array:
    """Attributes as plain text: null where the CRM holds nothing or did not show the field."""
    known = pc.if_else(pc.equal(cells, "null"), pa.scalar(None, pa.string()), cells)
    return pc.if_else(pc.starts_with(known, '"'), pc.utf8_slice_codeunits(known, 1), known)


def _derived(
    ledger: Ledger, lake: Lake, connection: str, name: str, shown: str, moment: datetime, numbered: bool
) -> Table:
    """A metric's results or one of its tables; the number of a table's row is not worth exporting."""
    known: dict[str, pa.DataType] = {}
    for part in reversed(ledger.parts(connection, name)):
        for field in pq.read_schema(lake.root / part.path):
            if (
                field.name not in SYSTEM.names
                and field.name != ABSENT
                and not (numbered and field.name == "id")
            ):
                known.setdefault(field.name, field.type)
    schema = pa.schema([(column, _plain_type(type)) for column, type in known.items()])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in lake.scan(connection, name, list(known), at=moment):
            columns = [_plain(batch.column(at), field.type) for at, field in enumerate(schema)]
            yield pa.record_batch(columns, schema=schema)

    return Table(shown, schema, batches, meanings.of_result)


def _plain_type(own: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_nested(own) else own


def _plain(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_nested(column.type):
        return pa.array([None if cell is None else _json(cell) for cell in column.to_pylist()], pa.string())
    return column if column.type == wanted else pc.cast(column, wanted)


def _json(value: Any) -> str:
    return to_json(value).decode()


def _ledgers(ledger: Ledger, connection: str, results: Sequence[tuple[str, ObjectName]]) -> Iterator[Table]:
    """What ran, what was planned and what became of it. All of it: the ledger has no as-of."""

    def runs() -> Iterator[dict[str, Any]]:
        for run in ledger.runs(connection, limit=_ALL):
            yield {
                "run": run.id,
                "kind": run.kind,
                "moment": run.moment,
                "started_at": run.started_at,
                "finished_at": run.finished_at,
                "status": run.status,
                "attempts": run.attempts,
                "summary": _json(run.summary),
                "error": run.error,
            }

    def plans() -> Iterator[dict[str, Any]]:
        for plan in ledger.plans(connection, limit=_ALL):
            yield {
                "plan": plan.id,
                "run": plan.run,
                "kind": plan.kind,
                "moment": plan.moment,
                "created_at": plan.created_at,
                "status": plan.status,
                "approved_by": plan.approved_by,
                "guards": _json(plan.guards),
                "undoes": plan.undoes,
            }

    def rows() -> Iterator[dict[str, Any]]:
        for plan in ledger.plans(connection, limit=_ALL):
            for row in _plan_rows(ledger, plan.id):
                yield {
                    "plan": plan.id,
                    "position": row.position,
                    "object": row.object,
                    "id": row.id,
                    "state": row.state,
                    "attempts": row.attempts,
                    "before": _json(row.before),
                    "after": _json(row.after),
                    "reason": row.reason,
                    "code": row.code,
                    "message": row.message,
                }

    def models() -> Iterator[dict[str, Any]]:
        for metric, object_name in results:
            for stored in ledger.models(connection, metric, object_name):
                yield {
                    "model": stored.model.name,
                    "metric": metric,
                    "object": object_name,
                    "run": stored.run,
                    "created_at": stored.created_at,
                    "status": stored.status,
                    "provisional": stored.model.provisional,
                    "card": _json(stored.model.card),
                }

    yield _ledger("ledger_runs", _RUNS, runs)
    yield _ledger("ledger_plans", _PLANS, plans)
    yield _ledger("ledger_plan_rows", _PLAN_ROWS, rows)
    yield _ledger("ledger_models", _MODELS, models)


def _plan_rows(ledger: Ledger, plan: int) -> Iterator[PlanRow]:
    after = -1
    while chunk := ledger.plan_rows(plan, after=after, limit=_CHUNK):
        yield from chunk
        after = chunk[-1].position


def _ledger(name: str, schema: pa.Schema, rows: Callable[[], Iterator[dict[str, Any]]]) -> Table:
    def batches() -> Iterator[pa.RecordBatch]:
        chunk: list[dict[str, Any]] = []
        for row in rows():
            chunk.append(row)
            if len(chunk) == _CHUNK:
                yield pa.RecordBatch.from_pylist(chunk, schema)
                chunk = []
        if chunk:
            yield pa.RecordBatch.from_pylist(chunk, schema)

    return Table(name, schema, batches, meanings.of_ledger)


_RUNS: Final = pa.schema(
    [
        ("run", pa.int64()),
        ("kind", pa.string()),
        ("moment", _MOMENT),
        ("started_at", _MOMENT),
        ("finished_at", _MOMENT),
        ("status", pa.string()),
        ("attempts", pa.int64()),
        ("summary", pa.string()),
        ("error", pa.string()),
    ]
)
_PLANS: Final = pa.schema(
    [
        ("plan", pa.int64()),
        ("run", pa.int64()),
        ("kind", pa.string()),
        ("moment", _MOMENT),
        ("created_at", _MOMENT),
        ("status", pa.string()),
        ("approved_by", pa.string()),
        ("guards", pa.string()),
        ("undoes", pa.int64()),
    ]
)
_MODELS: Final = pa.schema(
    [
        ("model", pa.string()),
        ("metric", pa.string()),
        ("object", pa.string()),
        ("run", pa.int64()),
        ("created_at", _MOMENT),
        ("status", pa.string()),
        ("provisional", pa.bool_()),
        ("card", pa.string()),
    ]
)
_PLAN_ROWS: Final = pa.schema(
    [
        ("plan", pa.int64()),
        ("position", pa.int64()),
        ("object", pa.string()),
        ("id", pa.string()),
        ("state", pa.string()),
        ("attempts", pa.int64()),
        ("before", pa.string()),
        ("after", pa.string()),
        ("reason", pa.string()),
        ("code", pa.string()),
        ("message", pa.string()),
    ]
)
