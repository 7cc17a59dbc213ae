"""Commands about what was learned: one record, the model, the report, the exports; and forgetting."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crmbridge import display
from crmbridge.cli.shared import At, Json, Name, Object, RecordId, bridge, moment, out, say, show, write_json
from crmbridge.errors import SettingsError
from crmbridge.report.terminal import explanation_page, model_card


def explain(name: Name, object_name: Object, record: RecordId, at: At = None, as_json: Json = False) -> None:
    """One record's score, its reasons adding up, its history."""
    with bridge() as opened:
        explanation = opened.explain(name, object_name, record, at=moment(at))
    show(explanation, as_json, explanation_page)


def model(
    name: Name,
    object_name: Object,
    metric: Annotated[str, typer.Option(help="Which metric's model.")] = "need",
    publish: Annotated[
        str | None, typer.Option(help="Make this stored model the one that scores.", metavar="MODEL")
    ] = None,
    revert: Annotated[bool, typer.Option("--revert", help="Go back to the model published before.")] = False,
    as_json: Json = False,
) -> None:
    """The model card: what the model knows, how good it is, what it may not use; and all models stored."""
    if publish and revert:
        raise SettingsError("give --publish or --revert, not both.")
    with bridge() as opened:
        if publish:
            opened.publish(name, object_name, publish, metric=metric)
        if revert:
            opened.revert(name, object_name, metric=metric)
        card = opened.model(name, object_name, metric=metric)
        stored = opened.models(name, object_name, metric=metric)
    if as_json:
        write_json({"name": card.model.name, **display.plain(card), "models": display.model_dicts(stored)})
    else:
        out().print(model_card(card), display.models(stored))


def report(
    name: Name,
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file.", metavar="FILE")] = Path(
        "report.html"
    ),
    language: Annotated[
        str | None, typer.Option(help="en or zh; else the connection's.", metavar="LANGUAGE")
    ] = None,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Without the names of people, companies, deals and teams.")
    ] = False,
    at: At = None,
) -> None:
    """Write the HTML report: one file, no network."""
    with bridge() as opened:
        path = opened.report(name, output, at=moment(at), language=language, anonymous=anonymous)
    say(f"Wrote {path}")


def export(
    name: Name,
    to: Annotated[Path, typer.Option("--to", help="The folder.", metavar="DIR")],
    formats: Annotated[str, typer.Option("--format", help="parquet, csv, or both.")] = "parquet,csv",
    at: At = None,
    as_json: Json = False,
) -> None:
    """Write the tables for Python, R, Tableau, Power BI."""
    with bridge() as opened:
        paths = opened.export(name, to, [part.strip() for part in formats.split(",")], at=moment(at))
    if as_json:
        write_json([str(path) for path in paths])
    else:
        say(f"Wrote {len(paths)} files to {to}")


def forget(name: Name, object_name: Object, record: RecordId, as_json: Json = False) -> None:
    """Erase one person or record from lake and ledger."""
    with bridge() as opened:
        erased = opened.forget(name, object_name, record)
        copies = opened.copies(name)
    if as_json:
        write_json({"erased": erased, "copies": copies})
    else:
        say(
            f"Erased {object_name} {record} in {erased:,} places. While the CRM still has it, a later pull "
            "may bring it back."
        )
        for copy in copies:
            say(f"Not touched, for you to delete: the {copy.kind} of {copy.made_at:%Y-%m-%d} in {copy.place}")


def add_to(app: typer.Typer) -> None:
    """Put these commands on the command line."""
    for command in (explain, model, report, export, forget):
        app.command()(command)
