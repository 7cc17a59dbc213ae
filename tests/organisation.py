"""A small organisation in exported files, for tests that run the whole job."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

MOMENT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

SETTINGS = """
[connections.acme]
connector = "files"
path = "exports"
timezone = "Europe/Berlin"
{extra}

[connections.acme.lead]
file = "leads.csv"
id = "Lead ID"
fields = {{ created_at = "Created", owner_id = "Owner", lead_source = "Source", is_converted = "Converted", \
converted_at = "Converted At", is_disqualified = "Lost", closed_at = "Closed At" }}

[connections.acme.activity]
file = "calls.csv"
id = "Call ID"
fields = {{ lead_id = "Lead", owner_id = "Owner", started_at = "Started", duration = "Seconds", \
outcome = "Result" }}
constants = {{ kind = "call" }}
outcomes = {{ Reached = "connected", Nobody = "no_answer" }}

[connections.acme.rep]
file = "reps.csv"
id = "Rep ID"
fields = {{ name = "Name" }}
"""


def write_organisation(folder: Path, *, leads: int = 240, seed: int = 5, extra: str = "") -> Path:
    """Write settings and exports; returns the settings file. Half of the leads are resolved."""
    exports = folder / "exports"
    exports.mkdir(parents=True, exist_ok=True)
    settings = folder / "crmbridge.toml"
    settings.write_text(SETTINGS.format(extra=extra), encoding="utf-8")
    draw = np.random.default_rng(seed)
    lead_rows, call_rows = [], []
    for number in range(leads):
        resolved = number < leads // 2
        age = int(draw.integers(120, 500)) if resolved else int(draw.integers(1, 60))
        created = MOMENT - timedelta(days=age)
        source = ["Referral", "Web", "Fair"][int(draw.integers(3))]
        won = resolved and draw.random() < {"Referral": 0.7, "Web": 0.3, "Fair": 0.1}[source]
        closed = created + timedelta(days=float(draw.integers(5, 80)))
        lead_rows.append(
            {
                "Lead ID": f"00Q{number:06d}",
                "Created": created.isoformat(),
                "Owner": f"rep-{number % 3}",
                "Source": source,
                "Budget": str(int(draw.integers(1, 50)) * 1000),
                "Converted": "true" if won else "false",
                "Converted At": closed.isoformat() if won else "",
                "Lost": "true" if resolved and not won else "false",
                "Closed At": closed.isoformat() if resolved else "",
            }
        )
        for call in range(int(draw.integers(0, 3))):
            call_rows.append(
                {
                    "Call ID": f"c{number}-{call}",
                    "Lead": f"00Q{number:06d}",
                    "Owner": f"rep-{number % 3}",
                    "Started": (created + timedelta(days=1 + call)).isoformat(),
                    "Seconds": str(int(draw.integers(20, 900))),
                    "Result": "Reached" if draw.random() < 0.4 else "Nobody",
                }
            )
    write_csv(exports / "leads.csv", lead_rows)
    write_csv(exports / "calls.csv", call_rows)
    write_csv(
        exports / "reps.csv",
        [{"Rep ID": f"rep-{n}", "Name": name} for n, name in enumerate(["Ada", "Bo", "Çelik"])],
    )
    return settings


def read_csv(path: Path) -> list[dict[str, Any]]:
    """All rows of a CSV file, as text."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as CSV with their keys as header."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
