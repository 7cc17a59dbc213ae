"""What a run does with a connector and a writer, in miniature, with a ledger and a lake of the test's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from crmbridge.connectors.base import Cursor, Page, SetAside
from crmbridge.model.columns import from_table, to_table
from crmbridge.model.fields import FieldValue, fields_on, result_schema
from crmbridge.model.records import ObjectName, Record
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Counts, Ledger, Plan, PlanRow, PlanText
from crmbridge.testing.subject import CONNECTION, Clock, Subject
from crmbridge.writeback.apply import apply_plan
from crmbridge.writeback.base import Writer
from crmbridge.writeback.plan import plan_object, rows
from crmbridge.writeback.undo import undo_rows
from crmbridge.writeback.values import Values, table_of

DEAD_BAND = 1.0


@dataclass
class Pulled:
    """What the pages of a pull said together: the last word on each record."""

    records: dict[str, Record] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    set_aside: list[SetAside] = field(default_factory=list)
    held: dict[str, Mapping[str, FieldValue]] = field(default_factory=dict)
    pages: list[Page] = field(default_factory=list)
    complete: bool = False

    @property
    def cursor(self) -> Cursor | None:
        return self.pages[-1].cursor if self.pages else None


def pulled(pages: Iterable[Page]) -> Pulled:
    """Gather pages, as models."""
    found = Pulled()
    for page in pages:
        for record in models(page):
            found.records[record.id] = record
            found.deleted.discard(record.id)
        for identifier in page.deleted:
            found.records.pop(identifier, None)
            found.deleted.add(identifier)
        found.set_aside += page.set_aside
        found.held |= page.held
        found.pages.append(page)
        found.complete = page.complete
    return found


def models(page: Page) -> list[Record]:
    """The records of a page, however it was decoded."""
    if isinstance(page.records, pa.Table):
        return from_table(page.object, page.records)
    return list(page.records)


class Trial:
    """One connection's runs on a subject."""

    def __init__(self, subject: Subject, ledger: Ledger, lake: Lake, clock: Clock) -> None:
        self.subject, self.ledger, self.lake, self.clock = subject, ledger, lake, clock

    @classmethod
    @contextmanager
    def of(cls, subject: Subject, folder: Path) -> Iterator[Trial]:
        """A trial whose ledger and lake are in a folder."""
        clock = Clock()
        with Ledger.open(f"sqlite:///{folder / 'ledger.db'}", clock=clock) as ledger:
            yield cls(subject, ledger, Lake(folder / "lake", ledger), clock)

    def pull(self, object_name: ObjectName) -> tuple[int, int, int]:
        """Pull into the lake from where the last pull ended: how many records were new, changed, deleted."""
        run = self.ledger.start_run(CONNECTION, "pull", self.clock(), resume=False)
        connector = self.subject.connector()
        found = pulled(connector.pull(object_name, self.ledger.cursor(CONNECTION, object_name)))
        connector.close()
        gone = set(found.deleted)
        if found.complete:
            seen = found.records.keys() | {row.id for row in found.set_aside}
            gone |= set(self.lake.live_ids(CONNECTION, object_name).to_pylist()) - seen
        if found.held:
            keys = tuple(next(iter(found.held.values())))
            self._hold(object_name, run.id, table_of(object_name, keys, found.held.items()))
        appended = self.lake.append(
            CONNECTION,
            object_name,
            to_table(object_name, list(found.records.values())),
            run=run.id,
            seen_at=self.clock(),
            cursor=found.cursor,
            deleted=sorted(gone),
        )
        self.ledger.finish_run(run.id, "done", {})
        return appended.new, appended.changed, appended.deleted

    def plan(self, object_name: ObjectName, results: Mapping[str, Values]) -> Plan:
        """Plan what a metric might have said, against what the CRM holds now."""
        run = self.ledger.start_run(CONNECTION, "plan", self.clock(), resume=False)
        writer = self.subject.writer()
        keys = tuple(each.key for each in fields_on(object_name, self.subject.writes))
        changes = plan_object(
            object_name,
            table_of(object_name, keys, results.items()),
            writer=writer,
            held=None if writer.reads_are_free else self._held(object_name, keys),
            fields=keys,
            dead_band=DEAD_BAND,
            on_read=lambda table: self._hold(object_name, run.id, table),
        )
        writer.close()
        return self._store(run.id, rows([changes]), "write")

    def apply(self, plan: Plan, writer: Writer | None = None) -> Counts:
        """Approve the plan and apply it, with a new writer of the subject's or with one given."""
        if plan.status != "done":
            self.ledger.approve(plan.id, "person")
        used = writer or self.subject.writer()

        def hold(object_name: ObjectName, sent: Sequence[tuple[str, Values]]) -> None:
            self._hold(object_name, plan.run, table_of(object_name, tuple(sent[0][1]), sent))

        counts = apply_plan(plan.id, ledger=self.ledger, writer=used, on_sent=hold)
        used.close()
        return counts

    def write(self, object_name: ObjectName, results: Mapping[str, Values]) -> Plan:
        """Plan and apply."""
        plan = self.plan(object_name, results)
        self.apply(plan)
        return plan

    def undo(self, plan: Plan) -> Plan:
        """Plan and apply the undo of a plan."""
        run = self.ledger.start_run(CONNECTION, "undo", self.clock(), resume=False)
        undo = self._store(run.id, undo_rows(plan.id, ledger=self.ledger), "undo", undoes=plan.run)
        self.apply(undo)
        return undo

    def rows(self, plan: Plan) -> dict[str, PlanRow]:
        """The plan's rows by id."""
        return {row.id: row for row in self.ledger.plan_rows(plan.id, limit=100_000)}

    def _store(
        self, run: int, planned: Iterable[PlanRow | PlanText], kind: str, undoes: int | None = None
    ) -> Plan:
        return self.ledger.store_plan(
            run,
            CONNECTION,
            "undo" if kind == "undo" else "write",
            self.clock(),
            list(planned),
            status="awaiting_approval",
            guards={},
            undoes=undoes,
        )

    def _held(self, object_name: ObjectName, keys: Sequence[str]) -> pa.Table | None:
        schema = result_schema(object_name, keys)
        batches = self.lake.scan(CONNECTION, f"held/{object_name}", schema.names, at=self.clock())
        found = [pa.Table.from_batches([batch]).cast(schema) for batch in batches]
        return pa.concat_tables(found) if found else None

    def _hold(self, object_name: ObjectName, run: int, table: pa.Table) -> None:
        self.lake.append(CONNECTION, f"held/{object_name}", table, run=run, seen_at=self.clock())
