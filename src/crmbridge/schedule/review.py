"""From what a connection's runs came to, and what its settings say, to what is wrong with it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from crmbridge.model.records import ObjectName
from crmbridge.schedule.due import CLOCK_SLACK, Missed
from crmbridge.store.ledger import Condition, ConditionKind, Run, Seen, StoredModel


def of_runs(runs: Iterable[Run]) -> Iterator[Seen]:
    """What runs that have ended say, in their order. What was only to be looked at says nothing."""
    for run in runs:
        if run.summary.get("dry_run") or run.finished_at is None:
            continue
        if run.kind == "sync":
            yield from _of_sync(run, run.finished_at)
        elif run.kind == "apply" and run.status in ("done", "partly"):
            yield Seen("guard", run.finished_at, None)


def _of_sync(run: Run, at: datetime) -> Iterator[Seen]:
    guards = run.summary.get("guards")

    def wrong(kind: ConditionKind, what: str, remedy: str) -> Seen:
        return Seen(kind, at, Condition(run.connection, kind, run.started_at, what, remedy))

    if run.status == "failed":
        yield wrong(
            "failing",
            f"Run {run.id} failed: {run.error}",
            f"Do what it says; `crmbridge check {run.connection}` looks at everything a run needs. "
            "The next run goes on from where this one got to.",
        )
    elif run.status == "stopped" and run.summary.get("stopped_by") == "budget":
        yield wrong(
            "budget",
            f"Run {run.id} stopped at a checkpoint: {run.error}",
            f"Nothing is lost, later runs go on. If it happens again, run less often, or raise api_budget of "
            f"{run.connection}; `crmbridge check {run.connection}` shows the forecast.",
        )
    elif run.status == "stopped" or guards:
        sentences = "; ".join(str(each) for each in guards.values()) if isinstance(guards, Mapping) else ""
        plan = run.summary.get("plan")
        overrides = "".join(f" --override {name}" for name in guards) if isinstance(guards, Mapping) else ""
        remedy = (
            f"Look at it with `crmbridge run {run.id}`; if it is right: crmbridge apply {plan}{overrides}"
            if plan
            else f"Look at it with `crmbridge run {run.id}`; nothing was written."
        )
        yield Seen("failing", at, None)
        yield wrong("guard", f"Run {run.id} was stopped: {run.error or sentences}", remedy)
    elif run.status in ("done", "partly", "awaiting_approval"):
        for kind in ("failing", "guard", "budget"):
            yield Seen(kind, at, None)
        yield _of_clock(run, at)


def _of_clock(run: Run, at: datetime) -> Seen:
    behind = run.summary.get("clock_behind")
    if not isinstance(behind, int | float) or behind <= CLOCK_SLACK.total_seconds():
        return Seen("clock", at, None)
    what = (
        f"This machine's clock is {timedelta(seconds=round(behind))} behind the latest moment the lake "
        f"knows, so run {run.id} was as of that moment."
    )
    return Seen(
        "clock",
        at,
        Condition(
            run.connection,
            "clock",
            run.started_at,
            what,
            "Set the clock; runs are as of the present again once it has caught up.",
        ),
    )


def of_slots(connection: str, missed: Missed | None, cut_off: Run | None, now: datetime) -> Seen:
    """Whether scheduled runs happen: slots nobody took up, or a run cut off that nobody goes on with."""
    remedy = (
        "Look whether `crmbridge serve` runs and reaches the ledger; the next run makes up for what was "
        "missed."
    )
    if cut_off is not None and cut_off.slot is not None:
        what = (
            f"Run {cut_off.id}, due at {cut_off.slot:%Y-%m-%d %H:%M:%S} UTC, was cut off and nobody has gone "
            "on with it."
        )
        return Seen("did_not_run", now, Condition(connection, "did_not_run", cut_off.slot, what, remedy))
    if missed is None:
        return Seen("did_not_run", now, None)
    more = f", nor did {missed.number - 1:,} after it" if missed.number > 1 else ""
    what = f"The run due at {missed.slot:%Y-%m-%d %H:%M:%S} UTC did not happen{more}."
    return Seen("did_not_run", now, Condition(connection, "did_not_run", missed.slot, what, remedy))


def of_secrets(connection: str, expires: Mapping[str, date], now: datetime, days: int) -> Seen:
    """Whether a secret whose end the settings name is about to expire, or has."""
    near = {name: end for name, end in expires.items() if _start(end) - now <= timedelta(days=days)}
    if not near:
        return Seen("expiry", now, None)
    end = min(near.values())
    names = ", ".join(f"{name} on {near[name]}" for name in sorted(near))
    return Seen(
        "expiry",
        now,
        Condition(
            connection,
            "expiry",
            min(now, _start(end)),
            f"Expiring: {names}. From then on the CRM refuses to sign in.",
            f"Make a new one at the CRM, keep it with `crmbridge secret set {connection} NAME`, and change "
            "the date under `expires`.",
        ),
    )


def of_models(connection: str, newest: Mapping[ObjectName, StoredModel], now: datetime) -> Seen:
    """Whether the card of a newest model says that the newest records are unlike those learned from."""
    for name, stored in sorted(newest.items()):
        drift: Any = stored.model.card.get("drift")
        if not isinstance(drift, Mapping) or not drift.get("shown"):
            continue
        what = f"The newest {name}s are unlike those that the model {stored.model.name} was learned from"
        labels = {each["name"]: each["label"] for each in drift["features"]}
        if drift["moved"]:
            what += f", in {', '.join(labels[each] for each in drift['moved'])}"
        found = drift["calibration"]
        what += f": {found['predicted']:.0%} were predicted, {found['observed']:.0%} came."
        remedy = (
            f"Look at `crmbridge model {connection} {name}`, and at what has changed in the CRM or the "
            "market; models are refitted weekly."
        )
        return Seen("drift", now, Condition(connection, "drift", stored.created_at, what, remedy))
    return Seen("drift", now, None)


def _start(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
