"""Commands before the first run: the sample, the settings, plugins, the check, our fields, secrets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import SecretStr
from rich.prompt import Confirm

from crmbridge import display, logs
from crmbridge.bridge import utc_now
from crmbridge.cli.shared import Json, Name, bridge, leave, out, progress, say, show
from crmbridge.errors import SettingsError
from crmbridge.plugins import Plugins
from crmbridge.secrets import KEY_VARIABLE, new_key

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
SignInAs = Annotated[
    str | None,
    typer.Option("--as", help="Sign in with the rights of this connection to the same CRM.", metavar="ADMIN"),
]


def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where the sample goes.")] = Path("crmbridge-demo"),
    seed: Annotated[int, typer.Option(help="Another seed makes another organisation.")] = 7,
) -> None:
    """Make a sample organisation, run the main job on it, write the report, say where to look."""
    from crmbridge.demo.run import run_demo

    steps = progress()
    try:
        result = run_demo(directory, seed=seed, clock=utc_now, log=logs.log, progress=steps, say=say)
    finally:
        steps.close()
    out().print(display.demo(result))


def init(
    path: Annotated[Path, typer.Argument(help="The settings file to write.", metavar="PATH")] = Path(
        "crmbridge.toml"
    ),
    connector: Annotated[str | None, typer.Option(help="The connector; asked for if not given.")] = None,
    name: Annotated[str | None, typer.Option(help="The connection's name; asked for if not given.")] = None,
    folder: Annotated[
        str | None, typer.Option(help="For files: the folder of the exports; asked for if not given.")
    ] = None,
) -> None:
    """Write a commented crmbridge.toml, asking what it needs; for files, from the columns found there."""
    from crmbridge.init import write_settings

    written = write_settings(
        path, plugins=Plugins.load(), connector=connector, name=name, folder=folder, ask=_ask
    )
    for line in written.said:
        say(line)
    say(f"Wrote {path}. Look it through, then: crmbridge{_config(path)} check {written.connection}")


def _ask(question: str, default: str | None) -> str:
    try:
        return str(typer.prompt(question, default=default, err=True))
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        raise SettingsError(
            f"there is no answer to: {question}.", remedy="Give it as an option; see `crmbridge init --help`."
        ) from None


def _config(path: Path) -> str:
    return "" if path == Path("crmbridge.toml") else f" --config {path}"


def plugins(as_json: Json = False) -> None:
    """What is installed, and what failed to load."""
    show(Plugins.load().infos, as_json, display.plugins)


def new_plugin(
    name: Annotated[str, typer.Argument(help="The connector's name, such as my_crm.", metavar="NAME")],
    directory: Annotated[Path, typer.Option("--dir", help="The folder it goes into.")] = Path("."),
) -> None:
    """Make a distribution with a connector and a writer of your own that pass the conformance suite."""
    from crmbridge.init.plugins import new_plugin as make

    made = make(name, directory, plugins=Plugins.load())
    say(f"Made {made}. Now: cd {made} && pip install -e '.[testing]' && pytest")
    say("Then make the stand-in in tests behave like your CRM; docs/plugins.md goes through it.")


def check(name: Name, as_json: Json = False) -> None:
    """Sign-in, permissions, limits, fields, one sample page; exit code 1 on a failure."""
    with bridge() as opened:
        items = opened.check(name)
    show(items, as_json, display.checks)
    leave(any(item.state == "failed" for item in items))


def install(name: Name, dry_run: DryRun = False, sign_in_as: SignInAs = None, as_json: Json = False) -> None:
    """Create our fields in the CRM and what makes them visible."""
    with bridge() as opened:
        steps = opened.install(name, dry_run=dry_run, sign_in_as=sign_in_as)
    show(steps, as_json, display.steps)
    leave(any(step.state == "conflict" for step in steps))


def uninstall(
    name: Name,
    dry_run: DryRun = False,
    sign_in_as: SignInAs = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what `install` created, with all values in it, and nothing else."""
    with bridge() as opened:
        steps = opened.install(name, dry_run=True, sign_in_as=sign_in_as, remove=True)
        if not dry_run and any(step.state == "planned" for step in steps):
            if not yes:
                if as_json or not sys.stdin.isatty():
                    raise SettingsError(
                        "uninstall removes fields and their values.", remedy="Give --yes to confirm."
                    )
                out().print(display.steps(steps))
                if not Confirm.ask("Remove these?", console=out(), default=False):
                    say("Nothing was removed.")
                    raise typer.Exit(1)
            steps = opened.install(name, sign_in_as=sign_in_as, remove=True)
    show(steps, as_json, display.steps)
    leave(any(step.state == "conflict" for step in steps))


def set_secret(
    name: Name,
    secret: Annotated[str, typer.Argument(help="Which one, such as client_secret.", metavar="SECRET")],
    store: Annotated[Literal["keyring", "ledger"], typer.Option(help="Where it is kept.")] = "keyring",
) -> None:
    """Keep a secret; it is read from a prompt or from standard input, never from the command line."""
    with bridge() as opened:
        opened.check_secret(name, secret)
        typed = sys.stdin.isatty()
        value = typer.prompt(secret, hide_input=True, err=True) if typed else sys.stdin.readline().strip()
        if not value:
            raise SettingsError(
                "no secret was given.", remedy="Type it at the prompt, or send it to standard input."
            )
        opened.set_secret(name, secret, SecretStr(value), store=store)
    say(f"Kept {secret} of {name} in the {store}.")


def print_new_key() -> None:
    """Print a fresh key for the ledger's encrypted store."""
    sys.stdout.write(new_key() + "\n")
    keep = f"Keep it as {KEY_VARIABLE} in the environment; without it the stored secrets can't be read."
    typer.echo(keep, err=True)


def add_to(app: typer.Typer) -> None:
    """Put these commands on the command line."""
    for command in (demo, init, plugins, check, install, uninstall):
        app.command()(command)
    secret = typer.Typer(no_args_is_help=True)
    secret.command("set")(set_secret)
    secret.command("new-key")(print_new_key)
    app.add_typer(secret, name="secret", help="Keep secrets where they belong.")
    plugin = typer.Typer(no_args_is_help=True)
    plugin.command("new")(new_plugin)
    plugin.callback()(lambda: None)
    app.add_typer(plugin, name="plugin", help="Make a connector of your own.")
