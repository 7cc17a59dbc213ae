"""Reading: Bulk Read for much, COQL by key for what has changed, lists where queries are not allowed.

A module's state is its cursor: `since` and `recent` (what was read of the last minutes, so that reading them
once more costs no new versions), `left_out` (fields that queries do not take), `deleted` (until when
deletions are known) and, while it is read for the first time by Bulk Read, `backfill` (the job and its page).
Moments are the CRM's own.

Once a week everything is read anew, in the same way as for the first time: what Zoho's list of deletions does
not tell (merged records, old deletions) is found by it, and what changes without a record's Modified_Time
(formulas, rollups).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.connectors.base import Context, Cursor, Page
from crmbridge.connectors.zoho import cells, limits
from crmbridge.connectors.zoho.bulk import BulkRead
from crmbridge.connectors.zoho.client import Answer, Client, Refused, is_hidden, is_not_allowed
from crmbridge.connectors.zoho.history import StageHistory
from crmbridge.connectors.zoho.ids import IdSet
from crmbridge.connectors.zoho.lists import LIMITS, Lists, moment_of
from crmbridge.connectors.zoho.mapping import Decoder, nothing
from crmbridge.connectors.zoho.objects import BULK_READ_NOT, HISTORIES, Module
from crmbridge.connectors.zoho.queries import Place, Queries
from crmbridge.connectors.zoho.source import Source
from crmbridge.model.records import ObjectName

OVERLAP: Final = timedelta(minutes=5)
"""Read once more at every pull: rows that were being written while the last one looked."""
RECENT: Final = 5_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
QUERY_FIELDS: Final = 500
FULL_EVERY: Final = timedelta(days=7)
_FULL: Final = "$full"
"""Beside the modules' states: when everything was last begun to be read."""
BULK_FIELDS: Final = 200
_SHOWN: Final = "shows_converted"
"""In the state of leads: queries were seen to show converted ones."""

ReadBy = Literal["auto", "query", "list"]
State = dict[str, Any]


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
        self._queries = Queries(client, page_size or limits.COQL_PAGE, log=context.log)
        self._histories = StageHistory(self._queries)
        self._lists = Lists(client, page_size or limits.LIST_PAGE, log=context.log)
        self._bulk = BulkRead(client, context, sleep)

    def source(self, module: Module, names: list[str], decoder: Decoder, known: IdSet) -> Source:
        """How a module is to be read, as far as it is known beforehand."""
        return Source(
            module,
            names,
            decoder,
            by_query=self._read_by != "list" and len(names) < QUERY_FIELDS,
            by_bulk=self._read_by == "auto" and len(names) < BULK_FIELDS and module.name not in BULK_READ_NOT,
            known=known,
            log=self._context.log,
        )

    def pull(
        self, object_name: ObjectName, sources: Sequence[Source], cursor: Cursor | None
    ) -> Iterator[Page]:
        """The pages of all modules of an object; the cursor holds the state of each."""
        states: dict[str, Any] = dict(cursor or {})
        now = self._context.clock()
        full = not cursor or self._is_due(states, now)
        if full:
            states = {_FULL: _text(now)}
        for source in sources:
            name = source.module.name
            try:
                for page, state in self._module(source, states.get(name)):
                    states = {**states, name: state}
                    yield replace(page, cursor=states)
            except Refused as error:
                if not is_hidden(error, name):
                    raise
                source.whole = False
                self._context.log("zoho.module_not_shown", module=name, said=error.code)
        if full and all(source.whole for source in sources):
            yield Page(object_name, nothing(object_name), states, complete=True)

    def _is_due(self, states: Mapping[str, Any], now: datetime) -> bool:
        """Whether it is time to read everything anew; what was begun is first read to its end."""
        if any("backfill" in state for name, state in states.items() if name != _FULL):
            return False
        return _FULL not in states or now - _moment(states[_FULL]) >= FULL_EVERY

    def _module(self, source: Source, state: State | None) -> Iterator[tuple[Page, State]]:
        state = dict(state) if state else {}
        source.names = [name for name in source.names if name not in state.get("left_out", ())]
        hidden = None if state.get(_SHOWN) else self._converted_lead(source)
        if not state:
            yield from self._first(source, state, hidden)
        else:
            if "backfill" in state:
                yield from self._backfill(source, state, hidden)
            yield from self._deleted(source, state)
            yield from self._changes(source, state)
        if hidden is None or not source.by_query:
            return
        if source.tells_conversion and self._shows(source, hidden):
            state[_SHOWN] = True
            yield Page(source.module.object, nothing(source.module.object), {}), dict(state)
        else:
            yield from self._converted(source, state)

    # -- for the first time --

    def _first(self, source: Source, state: State, hidden: str | None) -> Iterator[tuple[Page, State]]:
        """All there is: one query where that suffices, else Bulk Read, else page by page."""
        state |= {"since": _text(EPOCH), "recent": {}}
        source.from_start = True
        answer = self._queries.page(source, (EPOCH, None))
        start = self._now(answer)
        state["deleted"] = _text(start)
        if answer is not None and not self._queries.has_more(answer):
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
        source.read_by_job = True
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
            # This module, one of its fields or this token is not open to jobs: queries and lists are.
            self._context.log("zoho.no_bulk_read", module=source.module.name, said=error.said[:200])
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
        at: Place = (begin, None)
        while (answer := self._queries.page(source, at)) is not None:
            rows = answer.rows
            if rows:
                at = (_moment(rows[-1]["Modified_Time"]), str(rows[-1]["id"]))
                yield from self._news(source, rows, state, at[0])
            if not self._queries.has_more(answer) or not rows:
                source.whole = source.from_start
                return
        self._lists.start(source.module.name, source.names)
        for rows in self._lists.changed(max(at[0], begin), converted="both"):
            yield from self._news(source, rows, state, max(map(moment_of, rows)))
        source.whole = source.from_start and self._lists.exact

    def _converted(self, source: Source, state: State) -> Iterator[tuple[Page, State]]:
        """Converted leads, which queries and jobs may not show."""
        begin = _moment(state["converted"]) - OVERLAP if "converted" in state else EPOCH
        self._lists.start(source.module.name, source.names)
        for rows in self._lists.changed(begin, converted="true"):
            state["converted"] = _text(max(map(moment_of, rows)))
            yield from self._news(source, rows, state, _moment(state["since"]), converted=True)
        source.whole = source.whole and begin == EPOCH and self._lists.exact

    def _news(
        self,
        source: Source,
        rows: Sequence[Mapping[str, Any]],
        state: State,
        last: datetime,
        converted: bool | None = None,
    ) -> Iterator[tuple[Page, State]]:
        """The rows that the last pull has not seen, and the state after them."""
        table = cells.from_rows(rows, source.names)
        recent = state["recent"]
        if recent:
            ids = table["id"].to_pylist()
            old = [place for place, identifier in enumerate(ids) if identifier in recent]
            marks = _marks(table.take(pa.array(old, pa.int64()))) if old else {}
            new = [marks.get(identifier) != recent.get(identifier, "") for identifier in ids]
            table = table.filter(pa.array(new, pa.bool_()))
        if table.num_rows:
            page = self._page(source, table, state, converted=converted)
            yield page, self._settled(state, max(last, _moment(state["since"])))

    def _deleted(self, source: Source, state: State) -> Iterator[tuple[Page, State]]:
        if not source.module.deletions:
            return
        found: list[str] = []
        until: datetime | None = None
        headers = {"If-Modified-Since": _text(_moment(state["deleted"]) - OVERLAP)}
        number, token = 1, None
        while True:
            params: dict[str, Any] = {"type": "all", "per_page": limits.LIST_PAGE}
            params |= {"page_token": token} if token else {"page": number}
            try:
                answer = self._client.get(f"{source.module.name}/deleted", params, headers=headers)
            except Refused as error:
                if not is_not_allowed(error) and error.code not in LIMITS:
                    raise
                # What is not told now is found when everything is read anew.
                self._context.log("zoho.no_deletions", module=source.module.name, said=error.code)
                until = None
                break
            until = until or self._now(answer)
            found += [str(row["id"]) for row in answer.rows if row.get("id")]
            if not answer.info.get("more_records") or not answer.rows:
                break
            number, token = number + 1, answer.info.get("next_page_token")
        if found:
            if until is not None:
                state["deleted"] = _text(until)
            yield Page(source.module.object, nothing(source.module.object), {}, found), dict(state)

    # -- requests --

    def _converted_lead(self, source: Source) -> str | None:
        """A converted lead, to see by it whether queries and jobs show such; None where there is none."""
        if source.module.object != "lead" or not source.by_query:
            return None
        params = {"fields": "Last_Name,Modified_Time", "converted": "true", "per_page": 1}
        rows = self._client.get(source.module.name, params).rows
        return str(rows[0]["id"]) if rows else None

    def _shows(self, source: Source, identifier: str) -> bool:
        """Whether queries show a converted lead; that a job did says nothing of them."""
        seen = identifier in source.known and not source.read_by_job
        return seen or self._queries.exists(source.module.name, identifier)

    # -- helpers --

    def _page(self, source: Source, table: pa.Table, state: State, converted: bool | None = None) -> Page:
        if table.num_rows:
            source.known.update(table["id"].to_pylist())
            self._remember(table, state)
            if source.module.name in HISTORIES:
                table = self._histories.changes(source, table)
        decoded = source.decoder.decode(table, converted=converted)
        if source.left_out:
            state["left_out"] = sorted({*state.get("left_out", ()), *source.left_out})
        return Page(source.module.object, decoded.table, {}, (), decoded.set_aside, decoded.held)

    def _remember(self, table: pa.Table, state: State) -> None:
        """Keep in mind what is young enough to be read once more."""
        if "Modified_Time" not in table.column_names:
            return
        begin = self._context.clock() - 2 * OVERLAP
        late = table.filter(_is_since(table["Modified_Time"], begin))
        if late.num_rows <= RECENT:
            state["recent"] = {**state["recent"], **_marks(late)}

    def _settled(self, state: State, since: datetime) -> State:
        """The state once its page is stored: `recent` reaches back as far as is read once more."""
        state["since"] = _text(since)
        begin = _text(since - OVERLAP)
        recent = {id_: text for id_, text in state["recent"].items() if text >= begin}
        state["recent"] = recent if len(recent) <= RECENT else {}
        return dict(state)

    def _now(self, answer: Answer | None) -> datetime:
        """Now, by the CRM's clock where it is behind ours."""
        now, said = self._context.clock().astimezone(UTC), answer.date if answer else self._client.date
        return min(now, said) if said else now


def _is_since(texts: pa.ChunkedArray, begin: datetime) -> pa.ChunkedArray:
    try:
        moments = texts.cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:
        moments = pa.chunked_array([[_moment(text) if text else None for text in texts.to_pylist()]])
    return pc.fill_null(pc.greater_equal(moments, pa.scalar(begin, pa.timestamp("us", "UTC"))), False)


def _marks(table: pa.Table) -> dict[str, str]:
    """What a row is known by when it is met once more: its moment, and a digest of all its values, for
    moments are told to the second alone.
    """
    found = {}
    for row in table.to_pylist():
        said = sorted((name, cell) for name, cell in row.items() if cell is not None)
        digest = blake2b(repr(said).encode(), digest_size=8).hexdigest()
        found[row["id"]] = f"{_text(_moment(row['Modified_Time']))} {digest}"
    return found


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}+00:00"
