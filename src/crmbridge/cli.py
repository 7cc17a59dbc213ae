"""The `crmbridge` command: parses, calls Bridge, prints. No logic."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.prompt import Confirm

from crmbridge import display, logs
from crmbridge.bridge import Bridge, utc_now
from crmbridge.errors import CRMBridgeError, SettingsError

app = typer.Typer(
    name="crmbridge",
    help="Honest, explainable scores and sales efficiencies inside the CRM you already use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
secret_app = typer.Typer(help="Keep secrets where they belong.", no_args_is_help=True)
app.add_typer(secret_app, name="secret")

out = Console()
err = Console(stderr=True)

Name = Annotated[str, typer.Argument(help="The connection, as named in the settings.", metavar="NAME")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON with stable keys.")]
At = Annotated[str | None, typer.Option("--at", help="The moment, ISO 8601; default now.", metavar="MOMENT")]

EXIT = {"done": 0, "awaiting_approval": 0, "failed": 1, "stopped": 3, "partly": 4}
"""Exit codes by a run's status."""


@dataclass
class Globals:
    """What stands before the command."""

    config: Path | None = None


_globals = Globals()


@app.callback()
def _before(
    config: Annotated[
        Path | None, typer.Option(help="The settings file; default CRMBRIDGE_CONFIG or ./crmbridge.toml.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more in the log.")] = False,
    log_format: Annotated[Literal["console", "json"], typer.Option(help="How log lines look.")] = "console",
) -> None:
    _globals.config = config
    logs.configure(verbose=verbose, json_lines=log_format == "json")


def _bridge() -> Bridge:
    return Bridge.open(_globals.config, log=logs.log, progress=display.progress(err))


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(
            f"--at {text!r} is not a moment.", remedy="Use ISO 8601, such as 2026-03-31T08:00:00Z."
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _show(data: Any, as_json: bool, render: Callable[[Any], object]) -> None:
    if as_json:
        sys.stdout.write(json.dumps(display.plain(data), ensure_ascii=False, indent=2) + "\n")
    else:
        out.print(render(data))


@app.command()
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where the sample goes.")] = Path("crmbridge-demo"),
    seed: Annotated[int, typer.Option(help="Another seed makes another organisation.")] = 7,
) -> None:
    """Make a sample organisation, run the main job on it, write the report, say where to look."""
    from crmbridge.demo.run import run_demo

    result = run_demo(
        directory,
        seed=seed,
        clock=utc_now,
        log=logs.log,
        progress=display.progress(err),
        say=lambda text: out.print(text),
    )
    out.print(display.demo(result))


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The settings file to write.")] = Path("crmbridge.toml"),
    connector: Annotated[str | None, typer.Option(help="The connector; asked for if not given.")] = None,
    name: Annotated[str | None, typer.Option(help="The connection's name; asked for if not given.")] = None,
    folder: Annotated[str | None, typer.Option(help="For files: the folder of the exports.")] = None,
) -> None:
    """Write a commented crmbridge.toml, asking what it needs."""
    from crmbridge.init import write_settings
    from crmbridge.plugins import Plugins

    chosen = write_settings(
        path,
        plugins=Plugins.load(),
        connector=connector,
        name=name,
        folder=folder,
        ask=lambda question: str(typer.prompt(question)),
    )
    out.print(f"Wrote {path}. Look it through, then: crmbridge check {chosen}")


@app.command()
def plugins(as_json: Json = False) -> None:
    """What is installed, and what failed to load."""
    from crmbridge.plugins import Plugins

    _show(Plugins.load().infos, as_json, display.plugins)


@app.command()
def check(name: Name, as_json: Json = False) -> None:
    """Sign-in, permissions, limits, fields, one sample page."""
    with _bridge() as bridge:
        items = bridge.check(name)
    _show(items, as_json, display.checks)
    if any(item.state == "failed" for item in items):
        raise typer.Exit(1)


@app.command()
def install(
    name: Name,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    sign_in_as: Annotated[
        str | None, typer.Option("--as", help="Use this connection's rights.", metavar="ADMIN")
    ] = None,
    as_json: Json = False,
) -> None:
    """Create our fields in the CRM and what makes them visible."""
    with _bridge() as bridge:
        steps = bridge.install(name, dry_run=dry_run, sign_in_as=sign_in_as)
    _show(steps, as_json, display.steps)
    if any(step.state == "conflict" for step in steps):
        raise typer.Exit(1)


@app.command()
def uninstall(
    name: Name,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    sign_in_as: Annotated[
        str | None, typer.Option("--as", help="Use this connection's rights.", metavar="ADMIN")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what `install` created, and nothing else."""
    with _bridge() as bridge:
        steps = bridge.install(name, dry_run=True, sign_in_as=sign_in_as, remove=True)
        if not dry_run and any(step.state == "planned" for step in steps):
            if not yes:
                if not sys.stdin.isatty():
                    raise SettingsError(
                        "uninstall removes fields and their values.", remedy="Give --yes to confirm."
                    )
                out.print(display.steps(steps))
                if not Confirm.ask("Remove these?", console=out, default=False):
                    raise typer.Exit(1)
            steps = bridge.install(name, sign_in_as=sign_in_as, remove=True)
    _show(steps, as_json, display.steps)


@app.command()
def sync(
    name: Name,
    full: Annotated[bool, typer.Option("--full", help="Read everything again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan, and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Approve the plan; guards still stop it.")] = False,
    at: At = None,
    as_json: Json = False,
) -> None:
    """One run: pull, score, plan, apply, verify."""
    with _bridge() as bridge:
        ask = display.ask_approval(out, bridge.ledger) if sys.stdin.isatty() and not as_json else None
        run = bridge.sync(name, full=full, dry_run=dry_run, at=_moment(at), approve="yes" if yes else ask)
    _finish(run, as_json)


@app.command()
def pull(
    name: Name,
    full: Annotated[bool, typer.Option("--full", help="Read everything again.")] = False,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Read what changed in the CRM."""
    with _bridge() as bridge:
        run = bridge.pull(name, full=full, at=_moment(at))
    _finish(run, as_json)


@app.command()
def score(name: Name, at: At = None, as_json: Json = False) -> None:
    """Compute scores and efficiencies from what was pulled."""
    with _bridge() as bridge:
        run = bridge.score(name, at=_moment(at))
    _finish(run, as_json)


@app.command()
def plan(name: Name, at: At = None, as_json: Json = False) -> None:
    """Show what would be written, and store it as a plan."""
    with _bridge() as bridge:
        run = bridge.plan(name, at=_moment(at))
        stored = bridge.plan_of(run)
        if stored is None:
            _finish(run, as_json)
            return
        if as_json:
            display.write_plan_json(sys.stdout, bridge.ledger, stored)
        else:
            out.print(display.plan(bridge.ledger, stored))


@app.command()
def apply(
    plan_id: Annotated[int, typer.Argument(help="The plan's number.", metavar="PLAN")],
    override: Annotated[
        list[str] | None, typer.Option("--override", help="A guard to pass.", metavar="GUARD")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a plan: this is the approval."""
    with _bridge() as bridge:
        run = bridge.apply(plan_id, override=override or [])
    _finish(run, as_json)


@app.command()
def verify(run: Annotated[int, typer.Argument(metavar="RUN")], as_json: Json = False) -> None:
    """Read back what a run wrote and list what differs now."""
    with _bridge() as bridge:
        verification = bridge.verify(run)
    _show(verification, as_json, display.verification)


@app.command()
def undo(run: Annotated[int, typer.Argument(metavar="RUN")], as_json: Json = False) -> None:
    """Restore what stood there before a run, except what a person has changed since."""
    with _bridge() as bridge:
        undone = bridge.undo(run)
    _finish(undone, as_json)


@app.command()
def runs(
    name: Annotated[str | None, typer.Argument(metavar="NAME")] = None,
    limit: Annotated[int, typer.Option(help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """What ran."""
    with _bridge() as bridge:
        found = bridge.ledger.runs(name, limit)
    _show([display.run_dict(run) for run in found] if as_json else found, as_json, display.runs)


@app.command("run")
def show_run(run: Annotated[int, typer.Argument(metavar="RUN")], as_json: Json = False) -> None:
    """One run: its rows, what was set aside and why, API calls, time."""
    with _bridge() as bridge:
        details = display.run_details(bridge.ledger, bridge.ledger.run(run))
    _show(details, as_json, display.run_page)


@app.command()
def explain(
    name: Name,
    object_name: Annotated[str, typer.Argument(metavar="OBJECT")],
    record: Annotated[str, typer.Argument(metavar="ID")],
    at: At = None,
    as_json: Json = False,
) -> None:
    """One record's score, its reasons adding up, its history."""
    from crmbridge.report.terminal import explanation_page

    with _bridge() as bridge:
        explanation = bridge.explain(name, object_name, record, at=_moment(at))
    _show(explanation, as_json, explanation_page)


@app.command()
def model(
    name: Name,
    object_name: Annotated[str, typer.Argument(metavar="OBJECT")],
    metric: Annotated[str, typer.Option(help="Which metric's model.")] = "need",
    publish: Annotated[
        str | None, typer.Option(help="Make this stored model the one that scores.", metavar="MODEL")
    ] = None,
    revert: Annotated[bool, typer.Option("--revert", help="Go back to the model published before.")] = False,
    as_json: Json = False,
) -> None:
    """The model card: what the model knows, how good it is, what it may not use."""
    from crmbridge.report.terminal import model_card

    with _bridge() as bridge:
        if publish:
            bridge.publish(name, publish)
        if revert:
            bridge.revert(name, object_name, metric=metric)
        stored = bridge.model(name, object_name, metric=metric)
    _show(stored, as_json, model_card)


@app.command()
def report(
    name: Name,
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file.")] = Path("report.html"),
    at: At = None,
) -> None:
    """Write the HTML report: one file, no network."""
    with _bridge() as bridge:
        path = bridge.report(name, output, at=_moment(at))
    out.print(f"Wrote {path}")


@app.command()
def export(
    name: Name,
    to: Annotated[Path, typer.Option("--to", help="The folder.", metavar="DIR")],
    formats: Annotated[str, typer.Option("--format", help="parquet, csv, or both.")] = "parquet,csv",
    at: At = None,
    as_json: Json = False,
) -> None:
    """Write the tables for Python, R, Tableau, Power BI."""
    with _bridge() as bridge:
        paths = bridge.export(name, to, [part.strip() for part in formats.split(",")], at=_moment(at))
    _show([str(path) for path in paths], as_json, lambda found: f"Wrote {len(found)} files to {to}")


@app.command()
def forget(
    name: Name,
    object_name: Annotated[str, typer.Argument(metavar="OBJECT")],
    record: Annotated[str, typer.Argument(metavar="ID")],
    as_json: Json = False,
) -> None:
    """Erase one person or record from lake and ledger."""
    with _bridge() as bridge:
        erased = bridge.forget(name, object_name, record)
    _show({"erased": erased}, as_json, lambda data: f"Erased in {data['erased']} places.")


@secret_app.command("set")
def set_secret(
    name: Name,
    secret: Annotated[str, typer.Argument(metavar="SECRET")],
    store: Annotated[Literal["keyring", "ledger"], typer.Option(help="Where it is kept.")] = "keyring",
) -> None:
    """Keep a secret; it is read from a prompt or from standard input, never from the command line."""
    value = typer.prompt(secret, hide_input=True) if sys.stdin.isatty() else sys.stdin.readline().strip()
    if not value:
        raise SettingsError("nothing was given.")
    with _bridge() as bridge:
        bridge.set_secret(name, secret, SecretStr(value), store=store)
    out.print(f"Kept {secret} of {name} in the {store}.")


@secret_app.command("new-key")
def new_key() -> None:
    """Print a fresh key for the ledger's encrypted store."""
    from crmbridge.secrets import KEY_VARIABLE, new_key

    sys.stdout.write(new_key() + "\n")
    err.print(f"Keep it as {KEY_VARIABLE} in the environment; without it the stored secrets can't be read.")


def _finish(run: Any, as_json: bool) -> None:
    _show(display.run_dict(run) if as_json else run, as_json, display.run_line)
    code = EXIT[run.status]
    if code:
        raise typer.Exit(code)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. No bare traceback reaches an admin; CRMBRIDGE_DEBUG=1 shows it."""
    try:
        app(arguments, prog_name="crmbridge", standalone_mode=True)
    except CRMBridgeError as error:
        err.print(f"crmbridge: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        _debug()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last line of defence: said, and the exit code is 1
        err.print(
            f"crmbridge: an error nobody foresaw: {error!r}. Please report it with the output of "
            "CRMBRIDGE_DEBUG=1.",
            style="red",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        _debug()
        sys.exit(1)


def _debug() -> None:
    if os.environ.get("CRMBRIDGE_DEBUG"):
        traceback.print_exc()
