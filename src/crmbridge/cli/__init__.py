"""The `crmbridge` command: parses, calls Bridge, prints. No logic."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from crmbridge import __version__, logs
from crmbridge.cli import learned, runs, serve, setup, store
from crmbridge.cli.shared import complain, given, say
from crmbridge.errors import CRMBridgeError

app = typer.Typer(
    name="crmbridge",
    help="Honest, explainable scores and sales efficiencies inside the CRM you already use.",
    epilog="Begin with `crmbridge demo`, or with `crmbridge init` and your own exports.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _module in (setup, runs, learned, store, serve):
    _module.add_to(app)


def _show_version(asked: bool) -> None:
    if asked:
        say(f"crmbridge {__version__}")
        raise typer.Exit


@app.callback()
def _before(
    config: Annotated[
        Path | None, typer.Option(help="The settings file; default CRMBRIDGE_CONFIG or ./crmbridge.toml.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log every step, instead of showing progress.")
    ] = False,
    log_format: Annotated[Literal["console", "json"], typer.Option(help="How log lines look.")] = "console",
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    given.config, given.verbose, given.json_lines = config, verbose, log_format == "json"
    logs.configure(verbose=verbose, json_lines=log_format == "json")


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. No bare traceback reaches an admin; CRMBRIDGE_DEBUG=1 shows it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A tick that a terminal or a log can't hold becomes a question mark, not an error.
            stream.reconfigure(errors="replace")
    try:
        app(arguments, prog_name="crmbridge", standalone_mode=True)
    except CRMBridgeError as error:
        _fail(str(error), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}.", 1)
    except Exception as error:  # noqa: BLE001 - the last line of defence: said, and the exit code is 1
        _fail(
            f"an error nobody foresaw: {error!r}. Please report it with the output of CRMBRIDGE_DEBUG=1.", 1
        )


def _fail(sentence: str, code: int) -> None:
    complain(f"crmbridge: {sentence}")
    if os.environ.get("CRMBRIDGE_DEBUG"):
        traceback.print_exc()
    sys.exit(code)
