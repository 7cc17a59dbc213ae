"""Stage history: what DealHistory's rows say of the changes of a deal's stage.

A row is written whenever a tracked field of a deal changes. Its Modified_Time is the moment from which it
holds; which stage was before it does not say: that is the stage of the deal's row before it. Rows that only
repeat the stage (the amount or the probability has changed) are no changes of stage.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

import pyarrow as pa

from crmbridge.connectors.zoho import cells
from crmbridge.connectors.zoho.client import Refused
from crmbridge.connectors.zoho.objects import FORMER
from crmbridge.connectors.zoho.queries import Queries
from crmbridge.connectors.zoho.source import Source

_DEAL, _STAGE, _MOMENT = "Potential_Name", "Stage", "Modified_Time"
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class _Row(NamedTuple):
    """One row of the history."""

    moment: datetime
    id: str
    deal: str
    stage: str | None


class StageHistory:
    """Follows deals through their stages. One instance serves one pull, and is given its rows in order."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._last: dict[str, tuple[_Row, str | None]] = {}
        """Of each deal the last row met, and the stage before it."""
        self._formers: dict[str, str | None] = {}
        """The stage before, by row, of deals that were looked up from their beginning."""

    def changes(self, source: Source, table: pa.Table) -> pa.Table:
        """The rows that are changes of stage, with the stage before each.

        Where the history is not read from its start, the earlier rows of these deals are asked for.
        """
        if not {_DEAL, _STAGE, _MOMENT} <= {*table.column_names}:
            return table
        rows = _rows(table)
        if source.by_query and not source.from_start:
            self._look_up(source, {row.deal for row in rows if row.deal})
        formers: dict[str, str | None] = {}
        for row in sorted(rows, key=_order):
            if row.deal:
                formers[row.id] = self._former(row)
        keep = [row.stage is None or row.stage != formers.get(row.id) for row in rows]
        former = pa.array([formers.get(row.id) for row in rows], pa.string())
        return table.append_column(FORMER, former).filter(pa.array(keep, pa.bool_()))

    def _former(self, row: _Row) -> str | None:
        if row.id in self._formers:
            return self._formers[row.id]
        known = self._last.get(row.deal)
        if known is not None and known[0].id == row.id:
            return known[1]  # read once more
        former = known[0].stage if known is not None else None
        self._last[row.deal] = (row, former)
        return former

    def _look_up(self, source: Source, deals: set[str]) -> None:
        """Learn the whole history of deals that are met for the first time."""
        columns = ("id", _DEAL, _STAGE, _MOMENT)
        try:
            found = list(
                self._queries.related(source.module.name, columns, _DEAL, sorted(deals - self._last.keys()))
            )
        except Refused as error:
            # The stage before stays unknown; that the stage has changed is known all the same.
            source.log("zoho.no_former_stages", module=source.module.name, said=error.code)
            return
        rows = _rows(cells.from_rows(found, columns)) if found else []
        self._formers |= {row.id: self._former(row) for row in sorted(rows, key=_order)}


def _rows(table: pa.Table) -> list[_Row]:
    columns = [table[name].to_pylist() for name in (_MOMENT, "id", _DEAL, _STAGE)]
    return [
        _Row(
            datetime.fromisoformat(moment).astimezone(UTC) if moment else _NEVER,
            identifier,
            deal or "",
            stage,
        )
        for moment, identifier, deal, stage in zip(*columns, strict=True)
    ]


def _order(row: _Row) -> tuple[datetime, int, str]:
    """By moment, and within a second as the ids were given."""
    return row.moment, len(row.id), row.id
