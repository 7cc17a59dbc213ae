"""Lists: `GET /{module}`, page by page in the order of change, for what can't be queried.

Source: https://www.zoho.com/crm/developer/docs/api/v8/get-records.html. At most 50 fields a call, so that a
wide module is read in several lists side by side, joined by id; 2,000 records by page number and 100,000 by
page token, after which the list begins again behind the last moment seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from crmbridge.connectors.zoho.client import Answer, Client, Refused
from crmbridge.connectors.zoho.ids import IdSet
from crmbridge.errors import TransientError

FIELDS: Final = 50
IDS: Final = 50
"""Ids in one call: the parameter takes 1,024 characters."""
PAGES_AT_ONCE: Final = 5
"""Pages decoded together: columns of 200 rows cost more than they hold."""
STALLED: Final = 3
"""Times a list is begun again without getting any further."""
LIMITS: Final = frozenset({"PAGINATION_LIMIT_EXCEEDED", "DISCRETE_PAGINATION_LIMIT_EXCEEDED"})
"""A list has more pages than Zoho shows."""
_BEGIN_AGAIN: Final = LIMITS | {"EXPIRED_VALUE", "TOKEN_BOUND_DATA_MISMATCH"}
LOOKS: Final = 3
"""Times a list that moved is looked through."""
Row = dict[str, Any]


def moment_of(row: Row) -> datetime:
    """When a row was last changed."""
    return datetime.fromisoformat(row["Modified_Time"]).astimezone(UTC)


class Lists:
    """The lists of one module at a time; `start` names it and its fields."""

    def __init__(self, client: Client, page_size: int, *, log: Callable[..., None]) -> None:
        self._client, self._page_size, self._log = client, page_size, log
        self._module = ""
        self._parts: list[tuple[str, ...]] = []
        self._pages = 0
        self.exact = False
        """Whether the last list is known to have had every row."""

    def start(self, module: str, names: Sequence[str]) -> None:
        """Read this module and these fields from now on."""
        others = [name for name in names if name != "Modified_Time" and not name.startswith("$")]
        size = FIELDS - 1
        self._module = module
        self._parts = [
            ("Modified_Time", *others[begin : begin + size]) for begin in range(0, max(len(others), 1), size)
        ]

    def changed(self, since: datetime, *, converted: str) -> Iterator[list[Row]]:
        """Rows changed since a moment, that moment included, in pages by the order of change.

        A row that changes or goes while a list is read shifts those behind it, and one may fall into the
        gap between two pages. Where that can have happened, the ids are looked through once more.
        """
        self.exact, seen = True, IdSet()
        parts, look = self._parts, 0
        while True:
            begun, self._pages, last = self._client.date, 0, since
            for rows in self._whole(since, converted):
                last = max(last, max(map(moment_of, rows)))
                missed = [row for row in rows if str(row["id"]) not in seen] if look else rows
                seen.update(str(row["id"]) for row in rows)
                if look and missed:
                    self._parts = parts
                    missed = self._completed([str(row["id"]) for row in missed], converted)
                    self._parts = [parts[0][:1]]
                if missed:
                    yield missed
            look += 1
            self.exact = self._pages <= 1 or not self._has_moved(begun, last)
            if self.exact or look == LOOKS:
                self._parts = parts
                return
            self._log("zoho.list_moved", module=self._module)
            self._parts = [parts[0][:1]]

    def _has_moved(self, begun: datetime | None, last: datetime) -> bool:
        """Whether records changed or went while the list was read."""
        if begun is None or last >= begun:
            return True
        headers = {"If-Modified-Since": f"{begun.astimezone(UTC):%Y-%m-%dT%H:%M:%S}+00:00"}
        try:
            params = {"type": "all", "per_page": 1, "page": 1}
            return bool(self._client.get(f"{self._module}/deleted", params, headers=headers).rows)
        except Refused:
            return True

    def _whole(self, since: datetime, converted: str) -> Iterator[list[Row]]:
        """One list, begun again behind the last moment seen where Zoho ends it."""
        begin, stalled = since, 0
        while True:
            last = yield from self._once(begin, converted)
            if last is None:
                return
            stalled = 0 if last > begin else stalled + 1
            if stalled == STALLED:
                raise TransientError(
                    f"the list of {self._module} does not get beyond {begin:%Y-%m-%d %H:%M:%S} UTC: its "
                    "page tokens do not hold, or more than 100,000 records changed in that second.",
                    remedy="Give the token the scope ZohoCRM.coql.READ: queries have no such limit.",
                )
            self._log("zoho.list_begins_again", module=self._module)
            begin = last

    def _once(self, since: datetime, converted: str) -> Any:
        """One list to its end or limit; returns the last moment seen where it has to begin again."""
        halves: dict[str, tuple[int, Row]] = {}
        tokens: list[str | None] = [None] * len(self._parts)
        number, last = 1, since
        gathered: list[Row] = []
        while True:
            try:
                answers = [
                    self._answer(part, token, number, since, converted)
                    for part, token in zip(self._parts, tokens, strict=True)
                ]
            except Refused as error:
                if error.code not in _BEGIN_AGAIN:
                    raise
                if gathered:
                    yield gathered
                return last
            self._pages += 1
            rows = self._joined(halves, answers)
            more = any(answer.info.get("more_records") for answer in answers)
            if not more and halves:
                rows += self._completed(list(halves), converted)
            if rows:
                last = max(map(moment_of, rows))
                gathered += rows
            if gathered and (not more or number % PAGES_AT_ONCE == 0):
                yield gathered
                gathered = []
            if not more:
                return None
            tokens = [answer.info.get("next_page_token") for answer in answers]
            number += 1

    def _answer(
        self, part: Sequence[str], token: str | None, number: int, since: datetime, converted: str
    ) -> Answer:
        params = self._params(part, converted) | {"sort_by": "Modified_Time", "sort_order": "asc"}
        params |= {"page_token": token} if token else {"page": number}
        # A second earlier: whether the moment itself is included is not written anywhere.
        moment = since.astimezone(UTC) - timedelta(seconds=1)
        epoch = datetime(1970, 1, 2, tzinfo=UTC)
        headers = {"If-Modified-Since": f"{moment:%Y-%m-%dT%H:%M:%S}+00:00"} if moment > epoch else None
        return self._client.get(self._module, params, headers=headers)

    def _params(self, part: Sequence[str], converted: str) -> dict[str, Any]:
        params: dict[str, Any] = {"fields": ",".join(part), "per_page": self._page_size}
        if self._module == "Leads":
            params["converted"] = converted
        return params

    def _joined(self, halves: dict[str, tuple[int, Row]], answers: Sequence[Answer]) -> list[Row]:
        """Rows of which all parts are there; the others wait in `halves`."""
        ready = []
        for answer in answers:
            for row in answer.rows:
                count, known = halves.pop(str(row["id"]), (0, {}))
                whole = {**known, **row}
                if count + 1 == len(self._parts):
                    ready.append(whole)
                else:
                    halves[str(row["id"])] = (count + 1, whole)
        return ready

    def _completed(self, ids: Sequence[str], converted: str) -> list[Row]:
        """Rows that changed their place between two parts of a page, read whole."""
        found: dict[str, Row] = {}
        for begin in range(0, len(ids), IDS):
            for part in self._parts:
                params = self._params(part, converted) | {"ids": ",".join(ids[begin : begin + IDS])}
                for row in self._client.get(self._module, params).rows:
                    found[str(row["id"])] = {**found.get(str(row["id"]), {}), **row}
        return list(found.values())
