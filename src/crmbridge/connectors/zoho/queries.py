"""Queries: COQL by key, in the order of change.

Source: https://www.zoho.com/crm/developer/docs/api/v8/COQL-Overview.html and COQL-Limitations.html: 2,000
rows a query (older orgs: 200), 500 columns, 100 values after `in`. What a query does not take is found out by
asking: Zoho names the column, or says only that it can't read the query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from crmbridge.connectors.zoho import limits
from crmbridge.connectors.zoho.client import Answer, Client, Refused, is_not_allowed
from crmbridge.connectors.zoho.source import Source

VALUES: Final = 100
"""Values that one `in` takes."""
_UNREADABLE: Final = frozenset({"INVALID_QUERY", "SYNTAX_ERROR", "LIMIT_EXCEEDED"})
_OF_A_COLUMN: Final = frozenset({"INVALID_QUERY", "INVALID_DATA"})

Place = tuple[datetime, str | None]
"""The moment and id after which a query goes on; with None, that moment is included."""


class Queries:
    """The queries of one run. `rows` is how many a query may give, which some orgs lower."""

    def __init__(self, client: Client, rows: int, *, log: Callable[..., None]) -> None:
        self._client, self._log = client, log
        self.rows = rows
        self._refused: set[str] = set()
        """Names beginning with $ that queries of this org do not take."""

    def page(self, source: Source, at: Place) -> Answer | None:
        """The rows after a place, in order; None where queries of the module are not allowed. Fields that
        can't be queried are left out from then on.
        """
        if known := [name for name in source.names if name in self._refused]:
            source.leave_out(known)
        while source.by_query:
            try:
                return self._client.query(_select(source, at, self.rows))
            except Refused as error:
                if not self._adapted(source, error):
                    if not is_not_allowed(error) and error.code not in _UNREADABLE:
                        raise
                    self._log("zoho.no_queries", module=source.module.name, said=error.code)
                    source.by_query = False
        return None

    def has_more(self, answer: Answer) -> bool:
        """Whether the query has rows beyond those of the answer."""
        more = answer.info.get("more_records")
        return bool(more) if more is not None else len(answer.rows) >= self.rows

    def exists(self, module: str, identifier: str) -> bool:
        """Whether queries show a record."""
        select = f"select id from {module} where id = '{identifier}' limit 1"  # noqa: S608 - COQL
        return bool(self._client.query(select).rows)

    def related(
        self, module: str, columns: Sequence[str], to: str, ids: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """The rows of a module whose lookup `to` is one of `ids`, by id. Raises Refused."""
        for begin in range(0, len(ids), VALUES):
            values = ", ".join(f"'{each}'" for each in ids[begin : begin + VALUES])
            after = ""
            while True:
                where = f"({to} in ({values}) and id > '{after}')" if after else f"{to} in ({values})"
                answer = self._client.query(
                    f"select {', '.join(columns)} from {module} where {where} "  # noqa: S608 - COQL
                    f"order by id asc limit {self.rows}"
                )
                yield from answer.rows
                if not answer.rows or not self.has_more(answer):
                    break
                after = str(answer.rows[-1]["id"])

    def _adapted(self, source: Source, error: Refused) -> bool:
        """Ask for less where the refusal says, or lets guess, what was too much."""
        column = error.details.get("column_name") or error.details.get("api_name")
        if error.code in _OF_A_COLUMN and column in source.names and column != "Modified_Time":
            return self._left_out(source, [str(column)])
        marked = [name for name in source.names if name.startswith("$")]
        if error.code in _UNREADABLE and marked:
            return self._left_out(source, marked)
        if self.rows > limits.COQL_SMALL_PAGE and _is_about_limit(error):
            self.rows = limits.COQL_SMALL_PAGE
            return True
        return False

    def _left_out(self, source: Source, names: list[str]) -> bool:
        self._refused.update(name for name in names if name.startswith("$"))
        self._log("zoho.not_queried", module=source.module.name, fields=", ".join(names))
        source.leave_out(names)
        return True


def _select(source: Source, at: Place, limit: int) -> str:
    moment, after = f"{at[0].astimezone(UTC):%Y-%m-%dT%H:%M:%S}+00:00", at[1]
    where = f"Modified_Time >= '{moment}'"
    if after is not None:
        where = f"({where} and (Modified_Time > '{moment}' or id > '{after}'))"
    columns = ", ".join(["id", *(name for name in source.names if name != "id")])
    return (
        f"select {columns} from {source.module.name} where {where} "  # noqa: S608 - COQL, names from metadata
        f"order by Modified_Time asc, id asc limit {limit}"
    )


def _is_about_limit(error: Refused) -> bool:
    return error.code == "LIMIT_EXCEEDED" or "limit" in error.message.lower() or "limit" in error.details
