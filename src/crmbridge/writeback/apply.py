"""Applying a plan: each record is read, judged, written and accounted for; a kill at any instant loses
nothing.

Before a batch is sent, the ledger knows that it is about to be (`begin_attempt`); after it, what became of
each record. A record found in flight was sent by an attempt whose answer nobody has: it is read, and what the
CRM holds decides. Writes are atomic per record at every vendor; should a record hold some values of before
and some of after all the same, then they are our own and it is written again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Final, cast

from crmbridge.errors import AuthError, CRMBridgeError, QuotaError, SettingsError, TransientError
from crmbridge.model.fields import STAMPS
from crmbridge.model.records import ObjectName
from crmbridge.store.ledger import Counts, Ledger, Plan, PlanRow, RowState
from crmbridge.writeback.base import Change, Outcome, Writer
from crmbridge.writeback.guards import refuse_guarded
from crmbridge.writeback.values import Values, differing, equal, holds, shown

GONE: Final = "gone"
CHANGED: Final = "changed_since_plan"
BY_PERSON: Final = "changed_by_person"
LATER: Final = "written_since"
"""An undo leaves a record as it is: a person changed a field of ours since, or a later run wrote it (its
stamps
are not those of the run undone)."""
UNANSWERED: Final = "unanswered"
REFUSED_BATCHES: Final = 5
"""So many whole batches in a row refused for now, and none taken: the CRM takes no writes at the moment."""

Sent = Callable[[ObjectName, Sequence[tuple[str, Values]]], None]
Progress = Callable[[int, int], None]
Entry = tuple[int, RowState, str | None, str | None]
"""One line for the ledger: position, state, code, message."""


def apply_plan(
    plan_id: int,
    *,
    ledger: Ledger,
    writer: Writer,
    override: Sequence[str] = (),
    on_sent: Sent = lambda object_name, sent: None,
    on_progress: Progress = lambda settled, planned: None,
    max_attempts: int = 5,
) -> Counts:
    """Write the pending rows of an approved plan and close it. Applying a finished plan again does nothing.

    `on_sent(object, [(id, values)])` is told what the CRM is known to hold, just before the ledger notes it:
    after a kill between the two it is told again, so it must bear that. What the CRM refuses for now is tried
    again in later rounds, at most `max_attempts` times in all and in smaller batches where a whole batch was
    refused; then it is rejected with the CRM's own words.

    Raises GuardError for a guard that is not overridden and SettingsError for a plan that is not approved
    (nothing was sent). AuthError, QuotaError and TransientError come through: what was recorded stays, the
    other rows stay pending, and applying the plan again goes on from there.
    """
    plan = ledger.plan(plan_id)
    if plan.status == "done":
        return ledger.counts(plan_id)
    refuse_guarded(plan, override)
    _refuse_unapproved(plan)
    before = ledger.counts(plan_id)
    settled = before.planned - before.pending
    work = _Work(plan, ledger, writer, on_sent)
    size = writer.batch_size
    for attempt in range(1, max_attempts + 1):
        halve, refused_in_a_row, taken = False, 0, False
        for batch in batches(ledger, plan_id, "pending", size):
            refused = work.batch(batch, give_up=attempt == max_attempts)
            settled += len(batch) - (refused if attempt < max_attempts else 0)
            on_progress(settled, before.planned)
            if refused < len(batch):
                taken, refused_in_a_row = True, 0
                continue
            halve, refused_in_a_row = True, refused_in_a_row + 1
            if attempt == 1 and not taken and refused_in_a_row >= REFUSED_BATCHES:
                raise TransientError(
                    f"the CRM takes no writes now: it refused {refused_in_a_row} whole batches in a row.",
                    connection=plan.connection,
                    said=work.said,
                    remedy="Nothing is lost; the next run goes on with the plan.",
                )
        if settled == before.planned:
            break
        size = max(1, size // 2) if halve else size
    ledger.close_plan(plan_id)
    return ledger.counts(plan_id)


def _refuse_unapproved(plan: Plan) -> None:
    if plan.status == "approved":
        return
    why = {
        "superseded": "a later plan has taken its place",
        "dry_run": "it was only to be looked at",
    }.get(plan.status, "it is not approved")
    raise SettingsError(
        f"plan {plan.id} can't be applied: {why}.",
        connection=plan.connection,
        remedy=f"Make a new one with: crmbridge plan {plan.connection}."
        if plan.status in ("superseded", "dry_run")
        else f"Approve it with: crmbridge apply {plan.id}.",
    )


def batches(ledger: Ledger, plan_id: int, state: RowState, size: int) -> Iterator[list[PlanRow]]:
    """The plan's rows of one state, each once, in position order; a batch is of one object.

    Rows of records that were forgotten since have no id any more, and are left out.
    """
    after = -1
    while found := ledger.plan_rows(plan_id, state=state, after=after, limit=size):
        batch = list(takewhile(lambda row: row.object == found[0].object, found))
        after = batch[-1].position
        known = [row for row in batch if row.id]
        if known:
            yield known


def chosen(row: PlanRow, writer: Writer) -> PlanRow:
    """The row without the fields that the settings have dropped since: they are neither read nor written."""
    keys = writer.context.fields
    if all(key in keys for key in row.after):
        return row
    before, after = (
        {key: values[key] for key in values if key in keys} for values in (row.before, row.after)
    )
    return row._replace(before=before, after=after)


class _Work:
    """One application of one plan. `said` is what the CRM last gave as the reason for refusing something."""

    def __init__(self, plan: Plan, ledger: Ledger, writer: Writer, on_sent: Sent) -> None:
        self.plan, self.ledger, self.writer, self.on_sent = plan, ledger, writer, on_sent
        self.said: str | None = None

    def batch(self, rows: Sequence[PlanRow], *, give_up: bool) -> int:
        """Take a batch as far as it goes now; returns how many of its rows the CRM refused for now."""
        object_name = cast(ObjectName, rows[0].object)
        rows = [chosen(row, self.writer) for row in rows]
        settled, to_send = self._judge(rows, self._read(object_name, rows))
        self._record(object_name, rows, settled)
        if not to_send:
            return 0
        outcomes = self._send(object_name, to_send)
        answered = [row for row in to_send if outcomes[row.id].state != "unknown"]
        self._record(object_name, answered, [self._entry(row, outcomes[row.id], give_up) for row in answered])
        refused = sum(outcomes[row.id].state == "retry" for row in answered)
        flying = [row._replace(in_flight=True) for row in to_send if outcomes[row.id].state == "unknown"]
        if flying:
            settled, unsent = self._judge(flying, self._read(object_name, flying))
            retries = [self._entry(row, outcomes[row.id], give_up) for row in unsent]
            self._record(object_name, flying, settled + retries)
            refused += len(unsent)
        return refused

    def _entry(self, row: PlanRow, outcome: Outcome, give_up: bool) -> Entry:
        if outcome.state == "sent" or outcome.state == "rejected":
            return row.position, outcome.state, outcome.code, outcome.message
        code, message = outcome.code, outcome.message
        if outcome.state == "unknown":
            code, message = code or UNANSWERED, message or "the answer was lost, and the values are not there"
        self.said = message or code or self.said
        return row.position, "rejected" if give_up else "pending", code, message

    def _read(self, object_name: ObjectName, rows: Sequence[PlanRow]) -> Mapping[str, Values]:
        return self.writer.read(object_name, [row.id for row in rows])

    def _judge(
        self, rows: Sequence[PlanRow], held: Mapping[str, Values]
    ) -> tuple[list[Entry], list[PlanRow]]:
        """What is settled without writing, and the rows that are still to be written."""
        settled: list[Entry] = []
        to_send = []
        for row in rows:
            now = held.get(row.id)
            if now is None:
                settled.append((row.position, "rejected", GONE, "the record is no longer in the CRM"))
            elif holds(now, row.after):
                settled.append((row.position, "sent" if row.in_flight else "same", None, None))
            elif others := _others(row, now):
                settled.append((row.position, "rejected", self._changed(others), _in_words(row, now, others)))
            else:
                to_send.append(row)
        return settled, to_send

    def _changed(self, keys: Sequence[str]) -> str:
        if self.plan.kind == "write":
            return CHANGED
        return LATER if STAMPS.intersection(keys) else BY_PERSON

    def _send(self, object_name: ObjectName, rows: Sequence[PlanRow]) -> dict[str, Outcome]:
        """Write, and give every row an outcome: one the writer said nothing about is unknown."""
        changes = [Change(object_name, row.id, row.after) for row in rows]
        self.ledger.begin_attempt(self.plan.id, [row.position for row in rows])
        try:
            answers = self.writer.write(object_name, changes)
        except (AuthError, QuotaError):
            # Raised only before anything was sent: these rows are not in flight.
            self.ledger.record(self.plan.id, [(row.position, "pending", None, None) for row in rows])
            raise
        outcomes = {row.id: Outcome(row.id, "unknown") for row in rows}
        answered: set[str] = set()
        for answer in answers:
            if answer.id not in outcomes or answer.id in answered:
                raise CRMBridgeError(
                    f"the writer {self.writer.name!r} answered "
                    + ("twice" if answer.id in answered else "for a record that it was not given")
                    + "; what it wrote is read back by the next run.",
                    record=f"{object_name} {answer.id}",
                    remedy="This is a fault of the plugin that brings the writer: tell its authors.",
                )
            answered.add(answer.id)
            outcomes[answer.id] = answer
        return outcomes

    def _record(self, object_name: ObjectName, rows: Sequence[PlanRow], entries: Sequence[Entry]) -> None:
        if not entries:
            return
        held = {position for position, state, _, _ in entries if state in ("sent", "same")}
        sent = [(row.id, row.after) for row in rows if row.position in held]
        if sent:
            self.on_sent(object_name, sent)
        self.ledger.record(self.plan.id, entries)


def _others(row: PlanRow, now: Values) -> list[str]:
    """The keys that hold neither what was planned from nor, for a row in flight, what was sent."""
    former = {key: row.before.get(key) for key in row.after}
    return [
        key
        for key in differing(former, now)
        if not (row.in_flight and equal(key, row.after[key], now.get(key)))
    ]


def _in_words(row: PlanRow, now: Values, keys: Sequence[str]) -> str:
    return "; ".join(
        f"{key.replace('_', ' ')} was {shown(key, row.before.get(key))}, is {shown(key, now.get(key))} now"
        for key in keys
    )
