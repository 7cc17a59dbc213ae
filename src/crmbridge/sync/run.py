"""One run of a connection, from `pull` to `verify`, and its steps alone. Everything is resumable.

A run that was killed is taken up again by a run of the same kind at the same moment: it keeps its number, its
plan and what was done. A plan that was approved and not finished is finished first, whoever comes next.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from crmbridge.errors import CRMBridgeError, GuardError, NotFoundError
from crmbridge.model.records import ObjectName
from crmbridge.store.ledger import Counts, Ledger, Plan, Run, RunKind, RunStatus
from crmbridge.sync.plan import make_plan, remember_held, require_writer
from crmbridge.sync.pull import held_table
from crmbridge.sync.pull import pull as pull_all
from crmbridge.sync.score import Scored
from crmbridge.sync.score import score as score_all
from crmbridge.sync.session import Session
from crmbridge.writeback.apply import apply_plan
from crmbridge.writeback.guards import refuse_guarded
from crmbridge.writeback.undo import undo_rows
from crmbridge.writeback.values import Values
from crmbridge.writeback.verify import Verified, verify_plan

Approve = Callable[[Plan, Counts], bool]
"""Asks a person: gets the stored plan and its counts, answers whether to write it."""
Summary = dict[str, JsonValue]


def sync(
    session: Session,
    *,
    moment: datetime,
    full: bool = False,
    dry_run: bool = False,
    approve: Approve | Literal["yes"] | None = None,
) -> Run:
    """One whole run.

    `approve`: "yes" approves for the person who said so, a function asks, None leaves the decision to the
    connection's `approval`. Guards stop an automatic run and "yes" (status `stopped`); a plan nobody approves
    is kept as `awaiting_approval`.
    """
    if not dry_run and session.writer is not None:
        _finish_what_was_begun(session, "sync", moment)
    with _run(session, "sync", moment) as work:
        stored = session.ledger.plan_of_run(work.run)
        if stored is None:
            guards = pull_all(session, work.run, seen_at=moment, full=full)
            work.scored(score_all(session, work.run, moment=moment))
            if session.writer is not None:
                stored = make_plan(session, work.run, moment=moment, guards=guards, dry_run=dry_run)
        if stored is not None:
            work.status = _decide_and_apply(session, work.run, stored, approve)
    _compact(session)
    return session.ledger.run(work.run)


def pull(session: Session, *, moment: datetime, full: bool = False) -> Run:
    """Pull alone. A guard that trips gives status `stopped`."""
    with _run(session, "pull", moment) as work:
        guards = pull_all(session, work.run, seen_at=moment, full=full)
        work.summary["guards"] = dict(guards)
        work.status = "stopped" if guards else "done"
    return session.ledger.run(work.run)


def score(session: Session, *, moment: datetime) -> Run:
    """Score alone, from what the lake holds as of the moment."""
    with _run(session, "score", moment) as work:
        work.scored(score_all(session, work.run, moment=moment))
    return session.ledger.run(work.run)


def plan(session: Session, *, moment: datetime) -> Run:
    """Plan alone, from the results there are as of the moment."""
    with _run(session, "plan", moment) as work:
        stored = session.ledger.plan_of_run(work.run) or make_plan(
            session, work.run, moment=moment, guards={}
        )
        work.status = "awaiting_approval" if stored.status == "awaiting_approval" else "done"
    return session.ledger.run(work.run)


def apply(session: Session, plan_id: int, *, override: Sequence[str] = ()) -> Run:
    """Write a stored plan; the caller's call is a person's approval. Raises GuardError, NotFoundError."""
    stored = session.ledger.plan(plan_id)
    if stored.status not in ("awaiting_approval", "stopped", "approved"):
        raise NotFoundError(
            f"plan {plan_id} is {stored.status.replace('_', ' ')} and can't be applied.",
            connection=session.name,
            remedy=f"Make a new one: crmbridge plan {session.name}.",
        )
    refuse_guarded(stored, override)
    with _run(session, "apply", stored.moment, stored) as work:
        if "shrunk" in stored.guards:
            # The person says that what is gone is gone: read once more and believe it.
            pull_all(session, work.run, seen_at=stored.moment, accept_shrunk=True)
        if stored.status != "approved":
            session.ledger.approve(plan_id, "person")
        work.status = _write(session, work.run, session.ledger.plan(plan_id), override)
    return session.ledger.run(work.run)


def verify(session: Session, run_id: int) -> Verified:
    """Read back what a run wrote. Raises NotFoundError where it wrote nothing."""
    return verify_plan(
        _plan_written_by(session, run_id).id, ledger=session.ledger, writer=require_writer(session)
    )


def undo(session: Session, run_id: int) -> Run:
    """Restore what a run's plan replaced, wherever the CRM still holds ours."""
    undone = _plan_written_by(session, run_id)
    _finish_what_was_begun(session, "undo", undone.moment, undoes=undone.run)
    with _run(session, "undo", undone.moment) as work:
        stored = session.ledger.plan_of_run(work.run)
        if stored is None:
            rows = undo_rows(undone.id, ledger=session.ledger)
            stored = session.ledger.store_plan(
                work.run,
                session.name,
                "undo",
                undone.moment,
                rows,
                status="awaiting_approval",
                guards={},
                undoes=undone.run,
            )
        if stored.status == "awaiting_approval":
            session.ledger.approve(stored.id, "person")
        work.summary["undoes"] = run_id
        work.status = _write(session, work.run, stored)
    return session.ledger.run(work.run)


def plan_of(ledger: Ledger, run: Run) -> Plan | None:
    """The plan a run made, or the one of another run that it applied."""
    made = ledger.plan_of_run(run.id)
    if made is not None:
        return made
    applied = run.summary.get("plan")
    return ledger.plan(applied) if isinstance(applied, int) else None


def _compact(session: Session) -> None:
    """Keep the lake's files few. After the run is finished, so that a resumed run leaves the same files."""
    for name in sorted({part.object for part in session.ledger.parts(session.name)}):
        session.lake.compact(session.name, name)


def _plan_written_by(session: Session, run_id: int) -> Plan:
    stored = plan_of(session.ledger, session.ledger.run(run_id))
    if stored is None:
        raise NotFoundError(f"run {run_id} wrote nothing.", connection=session.name)
    return stored


def _decide_and_apply(
    session: Session, run_id: int, stored: Plan, approve: Approve | Literal["yes"] | None
) -> RunStatus:
    """Approve by person or policy, then write; or leave the plan for later."""
    if stored.status == "approved":
        return _write(session, run_id, stored)
    if stored.status != "awaiting_approval":
        return "done"
    automatic = session.connection.settings.approval == "auto" and session.ledger.auto_allowed(session.name)
    if stored.guards:
        return "stopped" if approve == "yes" or automatic else "awaiting_approval"
    if approve == "yes":
        by: Literal["person", "policy"] = "person"
    elif automatic:
        by = "policy"
    elif callable(approve) and approve(stored, session.ledger.counts(stored.id)):
        by = "person"
    else:
        return "awaiting_approval"
    session.ledger.approve(stored.id, by)
    return _write(session, run_id, session.ledger.plan(stored.id))


def _write(session: Session, run_id: int, stored: Plan, override: Sequence[str] = ()) -> RunStatus:
    """Apply an approved plan to its end, and read back what was sent."""
    writer = require_writer(session)

    def remember(object_name: ObjectName, sent: Sequence[tuple[str, Values]]) -> None:
        if not writer.reads_are_free:
            table = held_table(object_name, dict(sent), session.connection.settings.fields)
            remember_held(session, run_id, object_name, table)

    counts = apply_plan(
        stored.id,
        ledger=session.ledger,
        writer=writer,
        override=override,
        on_sent=remember,
        on_progress=lambda settled, planned: session.progress("apply", settled, planned),
    )
    found = verify_plan(
        stored.id,
        ledger=session.ledger,
        writer=writer,
        on_progress=lambda read: session.progress("verify", read, counts.sent),
    )
    session.log(
        "verified", run=run_id, read=found.read, differing=len(found.differences), gone=len(found.gone)
    )
    return "partly" if counts.rejected or not found.holds else "done"


def _finish_what_was_begun(
    session: Session, kind: RunKind, moment: datetime, undoes: int | None = None
) -> None:
    """Finish an approved plan that a killed run left, unless the coming run is that run again."""
    left = session.ledger.unfinished_plan(session.name)
    if left is None:
        return
    owner = session.ledger.run(left.run)
    is_ours = owner.kind == kind and owner.moment == moment and left.undoes == undoes
    if owner.status == "running" and is_ours:
        return
    session.log("finishing a plan left unfinished", plan=left.id, run=left.run)
    status = _write(session, left.run, left, tuple(left.guards))
    summary = {**owner.summary, **_counts(session, left)}
    session.ledger.finish_run(left.run, status, summary)


@dataclass
class _Work:
    """A run under way: its number, what it found out, and how it ends."""

    run: int
    status: RunStatus = "done"
    summary: Summary = field(default_factory=dict)

    def scored(self, found: Sequence[Scored]) -> None:
        self.summary["scored"] = sum(each.results.values.num_rows for each in found)


@contextmanager
def _run(session: Session, kind: RunKind, moment: datetime, plan: Plan | None = None) -> Iterator[_Work]:
    """Start or take up a run and finish it with its summary; an error is written down and goes on up."""
    work = _Work(session.ledger.start_run(session.name, kind, moment).id)
    began = time.monotonic()
    session.log("run started", run=work.run, connection=session.name, kind=kind)

    def finish(status: RunStatus, error: str | None = None) -> None:
        calls: Summary = {
            "api_calls": session.context.calls.total,
            "calls_by_kind": dict(session.context.calls.by_kind),
            "seconds": round(time.monotonic() - began, 3),
        }
        stored = plan or session.ledger.plan_of_run(work.run)
        summary = {**_read(session, work.run), **work.summary, **_counts(session, stored), **calls}
        session.ledger.finish_run(work.run, status, summary, error)
        session.log("run finished", run=work.run, status=status, seconds=calls["seconds"])

    try:
        yield work
    except GuardError as error:
        finish("stopped", str(error))
        raise
    except CRMBridgeError as error:
        finish("failed", str(error))
        raise
    except Exception as error:
        finish("failed", f"an error nobody foresaw: {error!r}")
        raise
    finish(work.status)


def _read(session: Session, run_id: int) -> Summary:
    """What the run stored, per object, from the ledger: so a resumed run counts all of itself."""
    pulled: Counter[str] = Counter(dict.fromkeys(session.connector.objects(), 0))
    deleted = pulled.copy()
    for part in session.ledger.parts(session.name):
        if part.run == run_id and part.object in pulled:
            pulled[part.object] += part.rows - part.tombstones
            deleted[part.object] += part.tombstones
    aside = session.ledger.set_aside_counts(run_id)
    return {"pulled": dict(pulled), "deleted": dict(deleted), "set_aside": dict(aside)}


def _counts(session: Session, stored: Plan | None) -> Summary:
    if stored is None:
        return {}
    counts = session.ledger.counts(stored.id)
    return {
        "plan": stored.id,
        "guards": dict(stored.guards),
        "planned": counts.planned,
        "pending": counts.pending,
        "sent": counts.sent,
        "same": counts.same,
        "rejected": counts.rejected,
        "retried": counts.retried,
    }
