"""The report without names: of people, companies, deals, teams and of the connection, for outsiders.

Names and ids become numbers (`Rep 3`). Texts that may hold a name and can't be read by rules are left out:
reasons, the evidence after a next action, what the CRM said of a refusal, why a record was set aside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from crmbridge.report.data import ReportData
from crmbridge.report.words import Words

_LEFT_OUT: Final = ("reasons_up", "reasons_down", "company", "account", "message", "reason", "place")
_PEOPLE_OF_MARKET: Final = ("team",)


def anonymous(words: Words, data: ReportData) -> ReportData:
    """The same numbers without any name."""
    reps: dict[str, str] = {}

    def rep(name: str) -> str:
        return reps.setdefault(name, words.text("Rep {n}", n=len(reps) + 1))

    for row in data.reps.to_pylist():
        rep(row["name"])

    def numbered(text: str) -> Callable[[int], str]:
        return lambda place: words.text(text, n=place + 1)

    def listed(table: pa.Table, called: Callable[[int], str]) -> pa.Table:
        rows = [
            _without(row)
            | {"id": called(place), "name": called(place)}
            | ({"owner": rep(row["owner"])} if row.get("owner") else {})
            for place, row in enumerate(table.to_pylist())
        ]
        return _table(rows, table.schema)

    def teams(table: pa.Table, key: str, of: Mapping[str, str]) -> pa.Table:
        rows = [row | {key: of.get(row[key], row[key])} for row in table.to_pylist()]
        return _table(rows, table.schema)

    team = data.groups.get("team")
    met = [] if team is None else team["name"].to_pylist()
    met += [row["group"] for row in data.market.to_pylist() if row["dimension"] in _PEOPLE_OF_MARKET]
    aliases = {name: words.text("Team {n}", n=place + 1) for place, name in enumerate(dict.fromkeys(met))}
    market = [
        row | ({"group": aliases[row["group"]]} if row["dimension"] in _PEOPLE_OF_MARKET else {})
        for row in data.market.to_pylist()
    ]
    written = data.written
    if written is not None:
        written = replace(written, rejected=written.rejected.schema.empty_table())
    slipping = [
        row | {"name": words.text("Customer {n}", n=place + 1), "record_id": str(place + 1)}
        for place, row in enumerate(data.slipping.to_pylist())
    ]
    advised = [
        row | {"evidence": None} | ({"subject": rep(row["subject"])} if row["change"] == "follow_up" else {})
        for row in data.changes.to_pylist()
    ]
    return replace(
        data,
        connection=None,
        changes=_table(advised, data.changes.schema),
        deals=listed(data.deals, numbered("Deal {n}")),
        leads=listed(data.leads, numbered("Lead {n}")),
        reps=_table(
            [row | {"id": rep(row["name"]), "name": rep(row["name"])} for row in data.reps.to_pylist()],
            data.reps.schema,
        ),
        groups={
            name: teams(table, "name", aliases) if name == "team" else table
            for name, table in data.groups.items()
        },
        market=_table(market, data.market.schema),
        slipping=_table(slipping, data.slipping.schema),
        set_aside=data.set_aside.schema.empty_table(),
        written=written,
    )


def _without(row: dict[str, Any]) -> dict[str, Any]:
    """A deal or lead without the texts that may hold names; of the next action its kind stays."""
    kept = row | {name: None for name in _LEFT_OUT if name in row}
    action = kept.get("next_action")
    return kept | ({"next_action": action.replace("：", ":").split(":")[0]} if action else {})


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema)
