"""Reading a model: a pass by id over what was written since the last pass, and what is gone by comparing ids.

`write_date` is the start of the transaction that wrote, is shown to the second and kept to the microsecond,
and rows appear when their transaction ends. So a pass is ordered by id, which neither ties nor moves; what is
written while it runs is the next one's; and each pass reads some minutes of the last one once more. What is
the same as then, by its content, is not passed on.

The state of a model is its cursor: `next` (since when the next pass reads), `ids` (those known, packed) and
`recent` (digests of what was written in the minutes that are read once more); and in the middle of a pass
also `since`, `start`, `after` and `made` (ids that came up while it ran).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic_core import to_json

from crmbridge_odoo.client import Client, Row
from crmbridge_odoo.ids import missing, pack, unpack

PAGE: Final = 1_000
IDS: Final = 100_000
"""Ids in one call."""
RECENT: Final = 5_000
"""Digests kept; where more was written, it is read and passed on once more."""
_UNSTABLE: Final = ("write_date", "__last_update")

State = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A model as one object's records: which of its records, and which of their fields.

    `also` is a further reason to read a record again, given since when and until when. `prepare` adds to the
    rows what follows from other records; what it adds counts as content.
    """

    model: str
    domain: Sequence[Any]
    names: Sequence[str]
    also: Callable[[str, str], Sequence[Any]] | None = None
    prepare: Callable[[list[Row], str], None] | None = None


@dataclass(frozen=True)
class Batch:
    """Rows that are news, ids that are gone, and the state after them. `last` ends the pass."""

    rows: list[Row]
    deleted: list[int]
    state: State
    last: bool


class Reader:
    """Reads sources. `page` is how many records a call brings."""

    def __init__(self, client: Client, *, overlap: timedelta, page: int = PAGE) -> None:
        self._client, self._overlap, self._page = client, overlap, page

    def read(self, source: Source, state: Mapping[str, Any] | None) -> Iterator[Batch]:
        """One pass, or the rest of one. At least one batch comes. Raises `Fault` and what the client does."""
        state = dict(state or {})
        if "start" not in state:
            known = state.get("ids") or pack(self._ids(source))
            start = text(self._client.now())
            state = {
                "since": state.get("next"),
                "start": start,
                "after": 0,
                "ids": known,
                "recent": state.get("recent") or {},
                "young": {},
                "made": [],
            }
        since, start = state["since"], str(state["start"])
        begin = text(moment(start) - self._overlap)
        before = unpack(state["ids"])
        newest = int(before[-1]) if len(before) else 0
        recent, young, made = state["recent"], dict(state["young"]), list(state["made"])
        while True:
            rows = self._rows(source, since, start, int(state["after"]))
            news = []
            for row in rows:
                digest = _digest(row)
                if str(row["write_date"])[:19] >= begin:
                    young[str(row["id"])] = digest
                if recent.get(str(row["id"])) != digest:
                    news.append(row)
                if row["id"] > newest:
                    made.append(row["id"])
            if len(rows) < self._page:
                break
            state = {**state, "after": rows[-1]["id"], "young": _few(young), "made": made}
            yield Batch(news, [], state, last=False)
        live = self._ids(source)
        gone = missing(before, live) + missing(unpack(pack(made)), live)
        after = {"next": begin, "ids": pack(live), "recent": _few(young)}
        yield Batch(news, gone, after, last=True)

    def _rows(self, source: Source, since: str | None, start: str, after: int) -> list[Row]:
        domain = [*source.domain, ["id", ">", after]]
        if since is not None:
            changed: list[Any] = [["write_date", ">=", since]]
            if source.also is not None:
                changed = ["|", *changed, *source.also(since, start)]
            domain += changed
        names = list(dict.fromkeys(["write_date", *source.names]))
        rows = self._client.search_read(source.model, domain, names, limit=self._page)
        if source.prepare is not None and rows:
            source.prepare(rows, start)
        return rows

    def _ids(self, source: Source) -> list[int]:
        found: list[int] = []
        while True:
            domain = [*source.domain, ["id", ">", found[-1] if found else 0]]
            ids = self._client.search(source.model, domain, limit=IDS)
            found += ids
            if len(ids) < IDS:
                return found


def _digest(row: Row) -> str:
    stable = {name: value for name, value in row.items() if name not in _UNSTABLE}
    return hashlib.blake2b(to_json(stable), digest_size=8).hexdigest()


def _few(young: dict[str, str]) -> dict[str, str]:
    return young if len(young) <= RECENT else {}


def moment(value: str) -> datetime:
    """Odoo's `2026-03-31 08:00:00`, which is in UTC. Raises ValueError."""
    return datetime.fromisoformat(value).replace(tzinfo=UTC)


def text(at: datetime) -> str:
    """A moment as Odoo writes it."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
