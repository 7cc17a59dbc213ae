"""What the tests of write-back share: a clock, a ledger with plans, a writer over a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from pydantic import BaseModel

from crmbridge.connectors.base import CheckItem, Context
from crmbridge.model.fields import FieldValue, fields_on, result_schema
from crmbridge.model.records import ObjectName
from crmbridge.store.ledger import Ledger, Plan, PlanRow
from crmbridge.writeback.base import Change, InstallStep, Outcome, Writer

NOW = datetime(2026, 3, 31, 8, tzinfo=UTC)
FIELDS = ("score", "score_low", "grade", "reasons_up", "next_action", "scored_at", "model", "stuck")

Hook = Callable[[ObjectName, Sequence[Change]], Sequence[Outcome] | None]


def now() -> datetime:
    return NOW


class _NoOptions(BaseModel):
    pass


def context(fields: Sequence[str] = FIELDS, **more: Any) -> Context:
    def secret(name: str) -> Any:
        raise AssertionError(f"nobody needs the secret {name}")

    options = more.pop("options", _NoOptions())
    return Context("acme", options, secret, now, ZoneInfo("Europe/Berlin"), tuple(fields), **more)


class DictWriter(Writer):
    """A CRM that is a dictionary. `hook` may answer a write in its stead, or raise."""

    name = "dictionary"
    objects = ("lead", "deal", "account", "rep")
    batch_size = 4
    reads_are_free = True

    def __init__(self, held: Mapping[str, Mapping[str, FieldValue]], fields: Sequence[str] = FIELDS) -> None:
        super().__init__(context(fields))
        self.held = {identifier: dict(values) for identifier, values in held.items()}
        self.writes: list[list[str]] = []
        self.reads: list[list[str]] = []
        self.hook: Hook | None = None

    def install(self, *, dry_run: bool) -> Iterator[InstallStep]:
        yield from ()

    def uninstall(self, *, dry_run: bool) -> Iterator[InstallStep]:
        yield from ()

    def check(self) -> Iterator[CheckItem]:
        yield from ()

    def read(self, object_name: ObjectName, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        self.reads.append(list(ids))
        keys = [each.key for each in fields_on(object_name, self.context.fields)]
        return {
            identifier: {key: self.held[identifier].get(key) for key in keys}
            for identifier in ids
            if identifier in self.held
        }

    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        assert len(changes) <= self.batch_size
        self.writes.append([change.id for change in changes])
        answer = self.hook(object_name, changes) if self.hook else None
        return self.take(changes) if answer is None else answer

    def take(self, changes: Sequence[Change]) -> list[Outcome]:
        for change in changes:
            self.held[change.id].update(change.values)
        return [Outcome(change.id, "sent") for change in changes]


def results(
    rows: Mapping[str, Mapping[str, FieldValue]],
    object_name: ObjectName = "lead",
    fields: Sequence[str] = FIELDS,
) -> pa.Table:
    """Values by id as a table of `result_schema`."""
    schema = result_schema(object_name, fields)
    columns = [pa.array(list(rows), pa.string())]
    columns += [
        pa.array([values.get(column.name) for values in rows.values()], column.type)
        for column in schema
        if column.name != "id"
    ]
    return pa.table(columns, schema=schema)


@dataclass
class Stored:
    """A ledger with plans in it."""

    ledger: Ledger
    moment: datetime = NOW
    runs: list[int] = field(default_factory=list)

    def plan(
        self,
        rows: Sequence[PlanRow],
        *,
        approve: bool = True,
        kind: Any = "write",
        guards: Mapping[str, str] | None = None,
        undoes: int | None = None,
        status: Any = "awaiting_approval",
    ) -> Plan:
        run = self.ledger.start_run("acme", "sync" if kind == "write" else "undo", self.moment, resume=False)
        plan = self.ledger.store_plan(
            run.id, "acme", kind, self.moment, rows, status=status, guards=guards or {}, undoes=undoes
        )
        return self.ledger.approve(plan.id, "person") if approve else plan

    def states(self, plan: Plan) -> dict[str, str]:
        return {row.id: row.state for row in self.ledger.plan_rows(plan.id)}

    def codes(self, plan: Plan) -> dict[str, str | None]:
        return {row.id: row.code for row in self.ledger.plan_rows(plan.id)}
