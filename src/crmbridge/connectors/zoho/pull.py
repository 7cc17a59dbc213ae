"""Reading: Bulk Read for much, COQL by key for what has changed, lists where queries are not allowed.

A module's state is its cursor: `since` and `recent` (what was read of the last minutes, so that reading them
once more costs no new versions), `left_out` (fields that queries do not take), `deleted` (until when
deletions are known) and, while it is read for the first time by Bulk Read, `backfill` (the job and its page).
Moments are the CRM's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.connectors.base import Context, Cursor, Page
from crmbridge.connectors.zoho import cells, limits
from crmbridge.connectors.zoho.bulk import BulkRead
from crmbridge.connectors.zoho.client import Answer, Client, Refused
from crmbridge.connectors.zoho.lists import Lists
from crmbridge.connectors.zoho.mapping import Decoder, nothing
from crmbridge.connectors.zoho.objects import BULK_READ_NOT, Module
from crmbridge.model.records import ObjectName

OVERLAP: Final = timedelta(minutes=5)
"""Read once more at every pull: rows that were being written while the last one looked."""
RECENT: Final = 5_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
QUERY_FIELDS: Final = 500
BULK_FIELDS: Final = 200

ReadBy = Literal["auto", "query", "list"]
State = dict[str, Any]


@dataclass
class Source:
    """A module about to be read: the fields asked for, and how."""

    module: Module
    names: list[str]
    decoder: Decoder
    by_query: bool = True
    by_bulk: bool = True
    known: set[str] = field(default_factory=set)
    """The ids read in this run."""
    left_out: list[str] = field(default_factory=list)
    """Fields that queries were found not to take."""
    whole: bool = False
    """Whether this call has read all there is, in one piece."""


class Puller:
    """Reads modules as pages. `read_by` and `page_size` are for tests and benchmarks."""

    def __init__(
        self,
        client: Client,
        context: Context,
        *,
        page_size: int | None = None,
        read_by: ReadBy = "auto",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._context, self._read_by = client, context, read_by
        self._query_rows = page_size or limits.COQL_PAGE
        self._lists = Lists(client, page_size or limits.LIST_PAGE, log=context.log)
        self._bulk = BulkRead(client, context, sleep)

    def source(self, module: Module, names: list[str], decoder: Decoder, known: set[str]) -> Source:
        """How a module is to be read, as far as it is known beforehand."""
        return Source(
            module,
            names,
            decoder,
            by_query=self._read_by != "list" and len(names) < QUERY_FIELDS,
            by_bulk=self._read_by == "auto" and len(names) < BULK_FIELDS and module.name not in BULK_READ_NOT,
            known=known,
        )

    def pull(
        self, object_name: ObjectName, sources: Sequence[Source], cursor: Cursor | None
    ) -> Iterator[Page]:
        """The pages of all modules of an object; the cursor holds the state of each."""
        states: dict[str, Any] = dict(cursor or {})
        for source in sources:
            name = source.module.name
            for page, state in self._module(source, states.get(name)):
                states = {**states, name: state}
                yield replace(page, cursor=states)
        if cursor is None and all(source.whole for source in sources):
            yield Page(object_name, nothing(object_name), states, complete=True)

    def _module(self, source: Source, state: State | None) -> Iterator[tuple[Page, State]]:
        state = dict(state) if state else {}
        source.names = [name for name in source.names if name not in state.get("left_out", ())]
        hidden = self._converted_lead(source)
        if not state:
            yield from self._first(source, state, hidden)
        else:
            if "backfill" in state:
                yield from self._backfill(source, state, hidden)
            yield from self._deleted(source, state)
            yield from self._changes(source, state)
        if hidden is not None and source.by_query and not (_tells(source) and self._shows(source, hidden)):
            yield from self._converted(source, state)

    # -- for the first time --

    def _first(self, source: Source, state: State, hidden: str | None) -> Iterator[tuple[Page, State]]:
        """All there is: one query where that suffices, else Bulk Read, else page by page."""
        state |= {"since": _text(EPOCH), "recent": {}}
        answer = self._query(source, (EPOCH, None)) if source.by_query else None
        start = self._now(answer)
        state["deleted"] = _text(start)
        if answer is not None and not _more(answer, self._query_rows):
            source.whole = True
            page = self._page(source, cells.from_rows(answer.rows, source.names), state)
            yield page, self._settled(state, start)
            return
        if source.by_bulk:
            state["since"], state["backfill"] = _text(start), {"page": 1}
            yield from self._backfill(source, state, hidden)
            if "backfill" not in state:
                return
        yield from self._changes(source, state)

    def _backfill(self, source: Source, state: State, hidden: str | None) -> Iterator[tuple[Page, State]]:
        """Read by Bulk Read to the end. Where it is not allowed, the state is as if nothing had been read."""
        since, first = _moment(state["since"]), "job" not in state["backfill"]
        seen_hidden, jobs = hidden is None, 0
        try:
            for table, position in self._bulk.read(source.module.name, source.names, state["backfill"]):
                if table is None:
                    jobs += 1
                    state["backfill"] = position
                    yield Page(source.module.object, nothing(source.module.object), {}), dict(state)
                    continue
                seen_hidden = seen_hidden or hidden in table["id"].to_pylist()
                page = self._page(source, table, state)
                if position is None:
                    del state["backfill"]
                else:
                    state["backfill"] = position
                yield page, dict(state)
        except Refused as error:
            if not is_not_allowed(error):
                raise
            self._context.log("zoho.no_bulk_read", module=source.module.name, said=error.code)
            source.by_bulk = False
            state["since"] = _text(EPOCH)
            return
        state["since"] = _text(since)
        source.whole = first and jobs == 1 and seen_hidden
        if not seen_hidden:
            yield from self._converted(source, state)

    # -- what has changed --

    def _changes(self, source: Source, state: State) -> Iterator[tuple[Page, State]]:
        state.pop("backfill", None)
        begin = max(_moment(state["since"]) - OVERLAP, EPOCH)
        at: tuple[datetime, str | None] = (begin, None)
        while source.by_query:
            answer = self._query(source, at)
            if answer is None:
                break
            rows = answer.rows
            if rows:
                at = (_moment(rows[-1]["Modified_Time"]), str(rows[-1]["id"]))
                yield from self._news(source, rows, state, at[0])
            if not _more(answer, self._query_rows) or not rows:
                return
        self._lists.start(source.module.name, source.names)
        for rows in self._lists.changed(max(at[0], begin), converted="both"):
            last = max(_moment(row["Modified_Time"]) for row in rows)
            yield from self._news(source, rows, state, last)

    def _converted(self, source: Source, state: State) -> Iterator[tuple[Page, State]]:
        """Converted leads, which queries and jobs may not show."""
        source.whole = False
        begin = _moment(state["converted"]) - OVERLAP if "converted" in state else EPOCH
        self._lists.start(source.module.name, source.names)
        for rows in self._lists.changed(begin, converted="true"):
            state["converted"] = _text(max(_moment(row["Modified_Time"]) for row in rows))
            page = self._news(source, rows, state, _moment(state["since"]), converted=True)
            yield from page

    def _news(
        self,
        source: Source,
        rows: Sequence[Mapping[str, Any]],
        state: State,
        last: datetime,
        converted: bool | None = None,
    ) -> Iterator[tuple[Page, State]]:
        """The rows that the last pull has not seen, and the state after them."""
        recent = state["recent"]
        news = [row for row in rows if recent.get(row["id"]) != _text(_moment(row["Modified_Time"]))]
        if not news:
            return
        page = self._page(source, cells.from_rows(news, source.names), state, converted=converted)
        yield page, self._settled(state, max(last, _moment(state["since"])))

    def _deleted(self, source: Source, state: State) -> Iterator[tuple[Page, State]]:
        if not source.module.deletions:
            return
        found: list[str] = []
        number, until = 1, None
        headers = {"If-Modified-Since": _text(_moment(state["deleted"]) - OVERLAP)}
        while True:
            params = {"type": "all", "per_page": limits.LIST_PAGE, "page": number}
            try:
                answer = self._client.get(f"{source.module.name}/deleted", params, headers=headers)
            except Refused as error:
                if not is_not_allowed(error):
                    raise
                self._context.log("zoho.no_deletions", module=source.module.name, said=error.code)
                return
            until = until or self._now(answer)
            found += [str(row["id"]) for row in answer.rows if row.get("id")]
            if not answer.info.get("more_records") or not answer.rows:
                break
            number += 1
        if found:
            state["deleted"] = _text(until)
            yield Page(source.module.object, nothing(source.module.object), {}, found), dict(state)

    # -- requests --

    def _query(self, source: Source, at: tuple[datetime, str | None]) -> Answer | None:
        """The rows after a position, in order; None where queries of the module are not allowed."""
        while True:
            try:
                answer = self._client.query(_select(source, at, self._query_rows))
            except Refused as error:
                column = error.details.get("column_name") or error.details.get("api_name")
                if error.code in ("INVALID_QUERY", "INVALID_DATA") and column in source.names:
                    if column == "Modified_Time":
                        break
                    # Some fields can't be queried in some orgs: the others are.
                    self._context.log("zoho.not_queried", module=source.module.name, field=column)
                    source.names.remove(str(column))
                    source.left_out.append(str(column))
                elif self._query_rows > limits.COQL_SMALL_PAGE and _is_about_limit(error):
                    self._query_rows = limits.COQL_SMALL_PAGE
                elif is_not_allowed(error) or error.code in ("INVALID_QUERY", "SYNTAX_ERROR"):
                    self._context.log("zoho.no_queries", module=source.module.name, said=error.code)
                    break
                else:
                    raise
            else:
                return answer
        source.by_query = False
        return None

    def _converted_lead(self, source: Source) -> str | None:
        """A converted lead, to see by it whether queries and jobs show such; None where there is none."""
        if source.module.object != "lead" or not source.by_query:
            return None
        params = {"fields": "Last_Name,Modified_Time", "converted": "true", "per_page": 1}
        rows = self._client.get(source.module.name, params).rows
        return str(rows[0]["id"]) if rows else None

    def _shows(self, source: Source, identifier: str) -> bool:
        if identifier in source.known:
            return True
        select = f"select id from {source.module.name} where id = '{identifier}' limit 1"  # noqa: S608 - COQL
        return bool(self._client.query(select).rows)

    # -- helpers --

    def _page(self, source: Source, table: pa.Table, state: State, converted: bool | None = None) -> Page:
        decoded = source.decoder.decode(table, converted=converted)
        if source.left_out:
            state["left_out"] = sorted({*state.get("left_out", ()), *source.left_out})
        if table.num_rows:
            source.known.update(table["id"].to_pylist())
            self._remember(table, state)
        return Page(source.module.object, decoded.table, {}, (), decoded.set_aside, decoded.held)

    def _remember(self, table: pa.Table, state: State) -> None:
        """Keep in mind what is young enough to be read once more."""
        if "Modified_Time" not in table.column_names:
            return
        begin = self._context.clock() - 2 * OVERLAP
        moments = table["Modified_Time"].cast(pa.timestamp("s", "UTC"))
        late = table.select(["id", "Modified_Time"]).filter(pc.greater_equal(moments, begin))
        pairs = zip(late["id"].to_pylist(), late["Modified_Time"].to_pylist(), strict=True)
        young = {identifier: _text(_moment(text)) for identifier, text in pairs}
        state["recent"] = {**state["recent"], **young}

    def _settled(self, state: State, since: datetime) -> State:
        """The state once its page is stored: `recent` reaches back as far as is read once more."""
        state["since"] = _text(since)
        begin = _text(since - OVERLAP)
        recent = {id_: text for id_, text in state["recent"].items() if text >= begin}
        state["recent"] = recent if len(recent) <= RECENT else {}
        return dict(state)

    def _now(self, answer: Answer | None) -> datetime:
        """Now, by the CRM's clock where it is behind ours."""
        now = self._context.clock().astimezone(UTC)
        return min(now, answer.date) if answer is not None and answer.date else now


def _select(source: Source, at: tuple[datetime, str | None], limit: int) -> str:
    moment, after = _text(at[0]), at[1]
    where = f"Modified_Time >= '{moment}'"
    if after is not None:
        where = f"({where} and (Modified_Time > '{moment}' or id > '{after}'))"
    columns = ", ".join(["id", *(name for name in source.names if name != "id")])
    return (
        f"select {columns} from {source.module.name} where {where} "  # noqa: S608 - COQL, names from metadata
        f"order by Modified_Time asc, id asc limit {limit}"
    )


def _tells(source: Source) -> bool:
    """Whether a lead's row says that it was converted."""
    return not {"Converted__s", "$converted", "Converted_Date_Time"}.isdisjoint(source.names)


def _more(answer: Answer, limit: int) -> bool:
    more = answer.info.get("more_records")
    return bool(more) if more is not None else len(answer.rows) >= limit


_NOT_ALLOWED: Final = frozenset(
    {
        "OAUTH_SCOPE_MISMATCH",
        "NO_PERMISSION",
        "INVALID_MODULE",
        "NOT_SUPPORTED",
        "NOT_SUPPORTED_FEATURE",
        "MODULE_NOT_SUPPORTED",
        "FEATURE_NOT_ENABLED",
        "FEATURE_NOT_SUPPORTED",
        "INVALID_URL_PATTERN",
        "INVALID_REQUEST_METHOD",
        "AUTHORIZATION_FAILED",
        "RESOURCE_NOT_FOUND",
    }
)


def is_not_allowed(error: Refused) -> bool:
    """Whether this way of reading is closed, while another may be open."""
    return error.code in _NOT_ALLOWED


def _is_about_limit(error: Refused) -> bool:
    return error.code == "LIMIT_EXCEEDED" or "limit" in error.message.lower() or "limit" in error.details


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}+00:00"
