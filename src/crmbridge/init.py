"""`crmbridge init`: a commented settings file from a few answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Final

from crmbridge.errors import SettingsError
from crmbridge.plugins import Plugins

_HEAD: Final = Template("""\
# crmbridge: see docs/settings.md for every setting. Secrets never stand in this file.

[store]
ledger = "sqlite:///crmbridge.db"      # or postgresql+psycopg://user@host/database
lake = "lake"

[connections.$name]
connector = "$connector"
timezone = "UTC"                        # the zone days are counted in, and of times without one
approval = "manual"                     # "auto" works once a person has applied one plan
# fields = ["score", "grade", "reasons_up", "reasons_down", "next_action", "scored_at", "model"]
""")

_FILES: Final = Template("""\
path = "$folder"                        # the folder of the exports; scores go to $folder/scores

# One table per object: lead, contact, account, deal, stage_change, activity, order, rep.
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

[connections.$name.guards]
max_changed = 0.3                       # an automatic run stops when more of our records would change
dead_band = 1.0                         # points a score must move to be written
""")


def write_settings(
    path: Path,
    *,
    plugins: Plugins,
    connector: str | None,
    name: str | None,
    folder: str | None,
    ask: Callable[[str], str],
) -> str:
    """Write the file and return the connection's name. An existing file is never overwritten."""
    if path.exists():
        raise SettingsError(f"{path} is already there.", remedy="Edit it, or name another file.")
    kind = connector or ask(f"Connector ({', '.join(sorted(plugins.connectors))})")
    found = plugins.connector(kind)
    chosen = name or ask("A name for this connection")
    text = _HEAD.substitute(name=chosen, connector=kind)
    if kind == "files":
        text += _FILES.substitute(name=chosen, folder=folder or ask("The folder of the exports"))
    else:
        required = {key: field for key, field in found.Options.model_fields.items() if field.is_required()}
        text += "".join(f'{key} = "{ask(field.description or key)}"\n' for key, field in required.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + _TAIL.substitute(name=chosen), encoding="utf-8")
    return chosen
