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
from typing import Final, Literal

from pydantic import JsonValue

from crmbridge.errors import (
    CRMBridgeError,
    GuardError,
    NotFoundError,
    QuotaError,
    SettingsError,
    StoppedError,
)
from crmbridge.model.records import ObjectName
from crmbridge.store.ledger import Counts, Ledger, Plan, Run, RunKind, RunStatus
from crmbridge.sync.plan import make_plan, remember_held, require_writer
from crmbridge.sync.pull import held_table, refuse_another_org
from crmbridge.sync.pull import pull as pull_all
from crmbridge.sync.score import score as score_all
from crmbridge.sync.score import scored_records
from crmbridge.sync.session import Session
from crmbridge.sync.upkeep import keep_tidy
from crmbridge.writeback.apply import apply_plan
from crmbridge.writeback.guards import refuse_guarded
from crmbridge.writeback.undo import undo_rows
from crmbridge.writeback.values import Values
from crmbridge.writeback.verify import Verified, verify_plan

RUNS_LOOKED_THROUGH: Final = 1000

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
    slot: datetime | None = None,
    clock_behind: float = 0,
) -> Run:
    """One whole run, for the scheduled moment `slot` where it is for one. `clock_behind` says by how many
    seconds the clock is behind the moment, where it was set back and the moment therefore held.

    `approve`: "yes" approves for the person who said so, a function asks, None leaves the decision to the
    connection's `approval`. Guards stop an automatic run and "yes" (status `stopped`); a plan nobody approves
    is kept as `awaiting_approval`.
    """
    about: Summary = {"dry_run": True} if dry_run else {"full": True} if full else {}
    with _run(session, "sync", moment, about=about, slot=slot) as work:
        if clock_behind:
            work.summary["clock_behind"] = clock_behind
        refuse_another_org(session)
        _refuse_an_earlier_moment(session, moment)
        stored = session.ledger.plan_of_run(work.run)
        if not dry_run:
            _finish_what_was_begun(session, but=stored)
        guards: dict[str, str] = {}
        if stored is None:
            guards = pull_all(session, work.run, seen_at=moment, full=full)
            score_all(session, work.run, moment=moment)
            if session.writer is not None:
                stored = make_plan(
                    session, work.run, moment=moment, scored_at=moment, guards=guards, dry_run=dry_run
                )
        work.summary["scored"] = scored_records(session)
        if stored is not None:
            work.status = _decide_and_apply(session, work.run, stored, approve)
        elif guards:
            work.summary["guards"] = dict(guards)
            work.status = "stopped"
    return session.ledger.run(work.run)


def pull(session: Session, *, moment: datetime, full: bool = False) -> Run:
    """Pull alone. A guard that trips gives status `stopped`."""
    with _run(session, "pull", moment, about={"full": True} if full else {}) as work:
        refuse_another_org(session)
        _refuse_an_earlier_moment(session, moment)
        guards = pull_all(session, work.run, seen_at=moment, full=full)
        work.summary["guards"] = dict(guards)
        work.status = "stopped" if guards else "done"
    return session.ledger.run(work.run)


def score(session: Session, *, moment: datetime) -> Run:
    """Score alone, from what the lake holds as of the moment."""
    with _run(session, "score", moment) as work:
        _refuse_an_earlier_moment(session, moment)
        score_all(session, work.run, moment=moment)
        work.summary["scored"] = scored_records(session)
    return session.ledger.run(work.run)


def plan(session: Session, *, moment: datetime) -> Run:
    """Plan alone, from the results there are as of the moment."""
    with _run(session, "plan", moment) as work:
        refuse_another_org(session)
        stored = session.ledger.plan_of_run(work.run) or make_plan(
            session, work.run, moment=moment, scored_at=_last_scored(session, moment), guards={}
        )
        work.status = "awaiting_approval" if stored.status == "awaiting_approval" else "done"
    return session.ledger.run(work.run)


def apply(session: Session, plan_id: int, *, override: Sequence[str] = ()) -> Run:
    """Write a stored plan; the caller's call is a person's approval. Raises GuardError, NotFoundError."""
    stored = session.ledger.plan(plan_id)
    about: Summary = {"plan": plan_id}
    if stored.status not in ("awaiting_approval", "stopped", "approved") and not _was_cut_off(session, about):
        raise NotFoundError(
            f"plan {plan_id} is {stored.status.replace('_', ' ')} and can't be applied.",
            connection=session.name,
            remedy=f"Make a new one: crmbridge plan {session.name}.",
        )
    to_approve = stored.status in ("awaiting_approval", "stopped")
    if to_approve:
        refuse_guarded(stored, override)
    with _run(session, "apply", stored.moment, about=about) as work:
        refuse_another_org(session)
        _finish_what_was_begun(session, but=stored)
        if to_approve and "shrunk" in stored.guards:
            # The person says that what is gone is gone: read once more and believe it, as of now, because the
            # lake may know more by now than it did when the plan was made.
            seen_at = max(session.now(), stored.moment, session.ledger.newest(session.name) or stored.moment)
            pull_all(session, work.run, seen_at=seen_at, accept_shrunk=True)
        if to_approve:
            stored = session.ledger.approve(plan_id, "person")
        work.status = _write(session, work.run, stored)
    return session.ledger.run(work.run)


def verify(session: Session, run_id: int) -> Verified:
    """Read back what a run wrote. Raises NotFoundError where it wrote nothing."""
    refuse_another_org(session)
    return verify_plan(
        _plan_written_by(session, run_id).id, ledger=session.ledger, writer=require_writer(session)
    )


def undo(session: Session, run_id: int) -> Run:
    """Restore what a run's plan replaced, wherever the CRM still holds ours."""
    undone = _plan_written_by(session, run_id)
    with _run(session, "undo", undone.moment, about={"undoes": run_id}) as work:
        refuse_another_org(session)
        stored = session.ledger.plan_of_run(work.run)
        _finish_what_was_begun(session, but=stored)
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
            stored = session.ledger.approve(stored.id, "person")
        work.status = _write(session, work.run, stored)
    return session.ledger.run(work.run)


def plan_of(ledger: Ledger, run: Run) -> Plan | None:
    """The plan a run made, or the one of another run that it applied."""
    made = ledger.plan_of_run(run.id)
    if made is not None:
        return made
    applied = run.summary.get("plan")
    return ledger.plan(applied) if isinstance(applied, int) else None


def _was_cut_off(session: Session, about: Summary) -> bool:
    """Whether the last run was killed while it did this: its work may be done, and only its end missing."""
    last = session.ledger.runs(session.name, limit=1)
    return bool(last) and last[0].status == "running" and last[0].summary == about


def _last_scored(session: Session, moment: datetime) -> datetime:
    """The moment up to this one for which results were last computed."""
    runs = session.ledger.runs(session.name, limit=RUNS_LOOKED_THROUGH)
    return max(
        (run.moment for run in runs if "scored" in run.summary and run.moment <= moment), default=moment
    )


def _refuse_an_earlier_moment(session: Session, moment: datetime) -> None:
    """Raise SettingsError where the lake knows a later moment: what was known as of then would change."""
    newest = session.ledger.newest(session.name)
    if newest is not None and moment < newest:
        raise SettingsError(
            f"the lake knows this connection as of {newest:%Y-%m-%d %H:%M:%S} UTC already, so no run can be "
            f"as of {moment:%Y-%m-%d %H:%M:%S} UTC.",
            connection=session.name,
            remedy="Leave --at out, or give a later moment; without --at, look at this machine's clock. "
            "`report`, `export` and `explain` show the past.",
        )


def _plan_written_by(session: Session, run_id: int) -> Plan:
    stored = plan_of(session.ledger, session.ledger.run(run_id))
    if stored is None:
        raise NotFoundError(f"run {run_id} wrote nothing.", connection=session.name)
    if stored.status == "done" and stored.emptied_at is not None:
        raise NotFoundError(
            f"the rows of plan {stored.id}, which run {run_id} wrote, were removed on "
            f"{stored.emptied_at:%Y-%m-%d}: nothing tells any more what was written and what was before.",
            connection=session.name,
            remedy="A backup from before that day has them. `keep_rows_days` under [store] says how long "
            "rows are kept.",
        )
    return stored


def _decide_and_apply(
    session: Session, run_id: int, stored: Plan, approve: Approve | Literal["yes"] | None
) -> RunStatus:
    """Approve by person or policy, then write; or leave the plan for later."""
    counts = session.ledger.counts(stored.id)
    if stored.status == "approved" or (stored.status == "done" and counts.planned):
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
    elif callable(approve) and approve(stored, counts):
        by = "person"
    else:
        return "awaiting_approval"
    return _write(session, run_id, session.ledger.approve(stored.id, by))


def _write(session: Session, run_id: int, stored: Plan) -> RunStatus:
    """Apply a plan to its end, and read back what was sent. Whoever approved it passed its guards."""
    writer = require_writer(session)

    def remember(object_name: ObjectName, sent: Sequence[tuple[str, Values]]) -> None:
        if not writer.reads_are_free:
            table = held_table(object_name, dict(sent), session.connection.settings.fields)
            remember_held(session, run_id, object_name, table)

    counts = apply_plan(
        stored.id,
        ledger=session.ledger,
        writer=writer,
        override=tuple(stored.guards),
        on_sent=remember,
        on_progress=lambda settled, planned: session.tell("apply", settled, planned),
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


def _finish_what_was_begun(session: Session, *, but: Plan | None) -> None:
    """Finish a plan that was approved and not written to its end, unless the run at hand does that itself."""
    left = session.ledger.unfinished_plan(session.name)
    if left is None or (but is not None and left.id == but.id):
        return
    session.log("finishing a plan left unfinished", plan=left.id, run=left.run)
    status = _write(session, left.run, left)
    owner = session.ledger.run(left.run)
    summary = {**_read(session, left.run), **owner.summary, **_counts(session, left)}
    session.ledger.finish_run(left.run, status, summary)


@dataclass
class _Work:
    """A run under way: its number, what it found out, and how it ends."""

    run: int
    status: RunStatus = "done"
    summary: Summary = field(default_factory=dict)


@contextmanager
def _run(
    session: Session,
    kind: RunKind,
    moment: datetime,
    about: Summary | None = None,
    slot: datetime | None = None,
) -> Iterator[_Work]:
    """Start or take up a run and finish it with its summary; an error is written down and goes on up.

    A run that was asked to stop is not finished: whoever takes it up finds it as after a kill, with its calls
    counted. One that has used up its share of the API has stopped, and is for the next run to go on with.

    Then comes the store's upkeep.
    """
    started = session.ledger.start_run(session.name, kind, moment, about=about, slot=slot)
    work = _Work(started.id, summary=dict(about or {}))
    began = time.monotonic()
    session.log("run started", run=work.run, connection=session.name, kind=kind)

    def finish(status: RunStatus, error: str | None = None) -> None:
        calls: Summary = {
            "api_calls": session.ledger.add_calls(work.run, session.context.calls.new()),
            "calls_by_kind": dict(session.context.calls.by_kind),
            "seconds": round(time.monotonic() - began, 3),
        }
        if session.context.calls.daily_limit is not None:
            calls["daily_limit"] = session.context.calls.daily_limit
        stored = plan_of(session.ledger, session.ledger.run(work.run))
        summary = {**_read(session, work.run), **work.summary, **_counts(session, stored), **calls}
        session.ledger.finish_run(work.run, status, summary, error)
        session.log("run finished", run=work.run, status=status, seconds=calls["seconds"])

    try:
        session.lake.claim()
        yield work
    except StoppedError:
        session.ledger.add_calls(work.run, session.context.calls.new())
        session.log("run stopped", run=work.run)
        raise
    except GuardError as error:
        finish("stopped", str(error))
        raise
    except QuotaError as error:
        work.summary["stopped_by"] = "budget"
        finish("stopped", str(error))
        raise
    except CRMBridgeError as error:
        finish("failed", str(error))
        raise
    except Exception as error:
        finish("failed", f"an error nobody foresaw: {error!r}")
        raise
    finish(work.status)
    keep_tidy(session, moment)


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
