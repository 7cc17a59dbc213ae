"""Commands that run something, take it back, or look back at what ran."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from crmbridge import display
from crmbridge.cli.shared import At, Json, Name, RunId, bridge, finish, leave, moment, out, show, write_json

Full = Annotated[bool, typer.Option("--full", help="Read everything again.")]


def sync(
    name: Name,
    full: Full = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Approve the plan; guards still stop it.")] = False,
    at: At = None,
    as_json: Json = False,
) -> None:
    """One run: pull, score, plan, apply, verify."""
    with bridge() as opened:
        ask = None
        if sys.stdin.isatty() and not as_json:
            ask = display.Approval(out(), opened.ledger)
        run = opened.sync(name, full=full, dry_run=dry_run, at=moment(at), approve="yes" if yes else ask)
        plan = opened.plan_of(run)
        if plan and plan.status != "done" and not as_json and not (ask and ask.asked):
            out().print(display.plan(opened.ledger, plan))
    finish(run, as_json)


def pull(name: Name, full: Full = False, at: At = None, as_json: Json = False) -> None:
    """Read what changed in the CRM."""
    with bridge() as opened:
        run = opened.pull(name, full=full, at=moment(at))
    finish(run, as_json)


def score(name: Name, at: At = None, as_json: Json = False) -> None:
    """Compute scores and efficiencies from what was pulled."""
    with bridge() as opened:
        run = opened.score(name, at=moment(at))
    finish(run, as_json)


def plan(name: Name, at: At = None, as_json: Json = False) -> None:
    """Show what would be written, and store it as a plan."""
    with bridge() as opened:
        run = opened.plan(name, at=moment(at))
        stored = opened.plan_of(run)
        forecast = opened.forecast(name)
        if stored and as_json:
            display.write_plan_json(sys.stdout, opened.ledger, stored, forecast)
            return
        if stored:
            out().print(display.plan(opened.ledger, stored), display.forecasts([forecast]))
    finish(run, as_json)


def apply(
    plan_id: Annotated[int, typer.Argument(help="The plan's number.", metavar="PLAN")],
    override: Annotated[
        list[str] | None,
        typer.Option("--override", help="A guard to pass; may be given several times.", metavar="GUARD"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a plan: this is the approval."""
    with bridge() as opened:
        run = opened.apply(plan_id, override=override or [])
    finish(run, as_json)


def verify(run: RunId, as_json: Json = False) -> None:
    """Read back what a run wrote and list what differs now; exit code 4 where something does."""
    with bridge() as opened:
        found = opened.verify(run)
    show(found, as_json, display.verification)
    leave(0 if found.holds else 4)


def undo(run: RunId, as_json: Json = False) -> None:
    """Restore what stood there before a run; what a person has changed since is left, and listed."""
    with bridge() as opened:
        undone = opened.undo(run)
        kept = opened.kept(undone)
    if kept and not as_json:
        out().print(display.kept(kept))
    finish(undone, as_json, kept=kept)


def runs(
    name: Annotated[
        str | None, typer.Argument(help="Only this connection's.", metavar="NAME", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1)] = 20,
    as_json: Json = False,
) -> None:
    """What ran."""
    with bridge() as opened:
        found = opened.runs(name, limit)
        forecasts = [opened.forecast(each) for each in opened.settings.names if name in (None, each)]
    if as_json:
        write_json([display.run_dict(run) for run in found])
    else:
        out().print(display.runs(found), display.forecasts(forecasts))


def show_run(run: RunId, as_json: Json = False) -> None:
    """One run: its rows, what was set aside and why, API calls, time."""
    with bridge() as opened:
        details = display.run_details(opened.ledger, opened.ledger.run(run))
    show(details, as_json, display.run_page)


def add_to(app: typer.Typer) -> None:
    """Put these commands on the command line."""
    for command in (sync, pull, score, plan, apply, verify, undo, runs):
        app.command()(command)
    app.command("run")(show_run)
