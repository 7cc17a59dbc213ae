"""`crmbridge init`: a commented settings file from a few answers, and for files from what lies there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from crmbridge.config import check_name
from crmbridge.errors import SettingsError
from crmbridge.init.exports import propose, quoted
from crmbridge.plugins import Plugins
from crmbridge.secrets import variable

_HEAD: Final = Template("""\
# crmbridge: see docs/settings.md for every setting. Secrets never stand in this file.

[store]
ledger = "sqlite:///crmbridge.db"      # or postgresql+psycopg://user@host/database
lake = "lake"

[connections.$name]
connector = $connector
timezone = "UTC"                        # the zone days are counted in, and of times without one
approval = "manual"                     # "auto" works once a person has applied one plan
# fields = ["score", "grade", "reasons_up", "reasons_down", "next_action", "scored_at", "model"]
""")

_PATH: Final = Template("""\
path = $folder     # the folder of the exports; scores go to its folder scores

# One table per object: lead, contact, account, deal, stage_change, activity, order, rep.
""")

_EXAMPLE: Final = Template("""\
# These are examples: put in the names of your files and columns.
[connections.$name.lead]
file = "leads.csv"
id = "Lead ID"                          # a column, several, or "row"
# date_format = "%d.%m.%Y"              # default: ISO 8601
# decimal = ","                         # default: "."

[connections.$name.lead.fields]         # crmbridge's field = the file's column; all others become attributes
created_at = "Created Date"
owner_id = "Owner ID"
lead_source = "Lead Source"
is_converted = "Converted"
converted_at = "Converted Date"
""")

_TAIL: Final = Template("""\

[connections.$name.metrics]
window_days = 90
horizon_days = { lead = 90, deal = 180, account = 365 }
grades = [70, 40, 20]                   # A from 70, B from 40, C from 20, else D
exclude = []                            # inputs never used
include = []                            # inputs used although they look like leaks
language = "en"                         # or "zh": of reasons and next actions

[connections.$name.guards]
max_changed = 0.3                       # an automatic run stops when more of our records would change
dead_band = 1.0                         # points a score must move to be written
""")

Ask = Callable[[str, str | None], str]
"""Asks a person a question, with the answer that is taken where none is given."""


@dataclass(frozen=True)
class Written:
    """The connection's name, and what a person should be told about the settings."""

    connection: str
    said: list[str]


def write_settings(
    path: Path,
    *,
    plugins: Plugins,
    connector: str | None,
    name: str | None,
    folder: str | None,
    ask: Ask,
) -> Written:
    """Write the file. An existing one is never overwritten. Raises SettingsError."""
    if path.exists():
        raise SettingsError(f"{path} is already there.", remedy="Edit it, or name another file.")
    known = sorted(plugins.connectors)
    kind = connector or ask(f"Connector ({', '.join(known)})", known[0] if len(known) == 1 else None)
    found = plugins.connector(kind)
    chosen = name or ask("A name for this connection", None)
    check_name(chosen, (), path)
    text = _HEAD.substitute(name=chosen, connector=quoted(kind))
    said: list[str] = []
    if kind == "files":
        more, said = _files(path, chosen, folder or ask("The folder of the exports", None))
        text += more
    else:
        for key, field in found.Options.model_fields.items():
            if field.is_required():
                text += f"{key} = {quoted(ask(field.description or key, None))}\n"
        text += "".join(f"# the secret {one}: in {variable(chosen, one)}\n" for one in found.secrets)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + _TAIL.substitute(name=chosen), encoding="utf-8")
    return Written(chosen, said)


def _files(path: Path, connection: str, answer: str) -> tuple[str, list[str]]:
    folder = Path(answer).expanduser()
    # The answer counts from where the person is, the setting from where the settings file is.
    stored = folder if folder.is_absolute() else Path(os.path.relpath(folder, path.parent))
    text = _PATH.substitute(folder=quoted(stored.as_posix()))
    tables, said = propose(folder, connection) if folder.is_dir() else ("", [f"There is no folder {folder}."])
    if not tables:
        said.append("No export was found there, so the tables are examples to be filled in.")
    return text + (tables or _EXAMPLE.substitute(name=connection)), said
