"""Commands about the store itself: is it whole, a copy of it, and back from a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crmbridge import display
from crmbridge.cli.shared import Json, bridge, leave, say, show, write_json

Folder = Annotated[Path, typer.Argument(help="The backup's folder.", metavar="DIR")]


def check(as_json: Json = False) -> None:
    """Whether ledger and lake agree: parts, hashes, strays, sums of plans; exit code 1 where not."""
    with bridge() as opened:
        items = opened.check_store()
    show(items, as_json, display.checks)
    leave(any(item.state == "failed" for item in items))


def backup(directory: Folder, as_json: Json = False) -> None:
    """Copy ledger and lake as they are at one instant; runs may go on."""
    with bridge() as opened:
        made = opened.backup(directory)
    if as_json:
        write_json(made)
    else:
        say(f"Wrote {made.place}: {made.rows:,} rows and {made.parts:,} parts ({made.bytes / 1e6:,.1f} MB).")
        if made.linked:
            say("Its parts are linked: they are lost with this disk. Copy the folder to another one.")


def restore(
    directory: Folder,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Lose what ledger and lake hold now.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring ledger and lake back to what they were; stop `crmbridge serve` before."""
    with bridge() as opened:
        made = opened.restore(directory, overwrite=overwrite)
    if as_json:
        write_json(made)
    else:
        say(f"Restored {made.rows:,} rows and {made.parts:,} parts of {made.made_at:%Y-%m-%d %H:%M:%S} UTC.")


def add_to(app: typer.Typer) -> None:
    """Put these commands on the command line."""
    group = typer.Typer(no_args_is_help=True)
    for command in (check, backup, restore):
        group.command()(command)
    app.add_typer(group, name="store", help="The ledger and the lake: checked, copied, brought back.")
