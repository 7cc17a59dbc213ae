"""The calls that read records: list, batch read, search, associations, owners.

developers.hubspot.com/docs/api-reference/latest/crm/using-object-apis, .../search-the-crm,
.../associations/guide. Pages end where there is no next `after`, never where one is short or empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from crmbridge.connectors.hubspot.answers import ABSENT, Json, Refused, context_of, errors_of, listed
from crmbridge.connectors.hubspot.client import Client
from crmbridge.connectors.hubspot.moments import EPOCH, milliseconds, moment
from crmbridge.connectors.hubspot.objects import MERGED, HubSpotObject, Link
from crmbridge.errors import TransientError

PAGE: Final = 100
HISTORY_PAGE: Final = 50
SEARCH_PAGE: Final = 200
SEARCH_CAP: Final = 10_000
ASSOCIATIONS: Final = 1_000
URL_LENGTH: Final = 5_000
"""Names of properties longer than this in all are asked for in a body instead of the URL."""


@dataclass(frozen=True)
class Hit:
    """A record found by search: its id, and when it was changed, in milliseconds since 1970."""

    id: str
    stamp: int


@dataclass(frozen=True)
class Found:
    """What a search gave. `total` is all there are; `is_capped` where the search shows no more of them.
    `last` are the hits of the last page.
    """

    hits: tuple[Hit, ...]
    last: tuple[Hit, ...]
    total: int
    is_capped: bool


class Reader:
    """Reads records of one portal. `page` is how many a list gives at a time."""

    def __init__(self, client: Client, *, page: int = PAGE) -> None:
        self.client = client
        self._page = page
        self._links: dict[tuple[str, str], bool] = {}
        """Whether associations between two types can be read, where it is known."""
        self._silent_links: set[tuple[str, str]] = set()
        """Types between which an answer without a word means that there are none."""

    def listed(
        self,
        kind: HubSpotObject,
        properties: Sequence[str],
        *,
        after: str | None = None,
        history: Sequence[str] = (),
        archived: bool = False,
    ) -> Iterator[tuple[list[Json], str | None]]:
        """Pages of all records of a type, and where each is followed by the next. `properties` must fit into
        a URL.
        """
        query = [("limit", str(min(self._page, HISTORY_PAGE if history else PAGE)))]
        query += [("properties", ",".join(properties))] if properties else []
        query += [("propertiesWithHistory", ",".join(history))] if history else []
        query += [("archived", "true")] if archived else []
        path = self.client.paths.objects.format(kind.name)
        for body in self._pages(path, query, after):
            yield _results(body), _next(body)

    def _pages(self, path: str, query: list[tuple[str, str]], after: str | None) -> Iterator[Json]:
        seen = {after}
        while True:
            body = self.client.get(path, query + ([("after", after)] if after else []), check=_has_records)
            yield body
            after = _next(body)
            if after is None:
                return
            if after in seen:
                raise self._loops(path)
            seen.add(after)

    def batch(
        self,
        kind: HubSpotObject,
        ids: Sequence[str],
        properties: Sequence[str],
        history: Sequence[str] = (),
    ) -> list[Json]:
        """These records, those that are gone left out. A merged id may give the record it was merged into."""
        size = min(self._page, HISTORY_PAGE if history else PAGE)
        pieces = [ids[start : start + size] for start in range(0, len(ids), size)]
        found = self.client.each(lambda piece: self._batch(kind, piece, properties, history), pieces)
        return [record for records in found for record in records]

    def _batch(
        self, kind: HubSpotObject, ids: Sequence[str], properties: Sequence[str], history: Sequence[str]
    ) -> list[Json]:
        body: Json = {
            "inputs": [{"id": identifier} for identifier in ids],
            "properties": list(dict.fromkeys([*properties, MERGED])),
        }
        if history:
            body["propertiesWithHistory"] = list(history)

        former: set[str] = set()

        def accounted(answer: Json) -> str | None:
            """Results and errors must account for every id; a merged one is accounted for by another. Where
            the same ids are left out twice beside others that are not, they are gone.
            """
            if (complaint := _has_records(answer)) is not None:
                return complaint
            told = {each for error in errors_of(answer) for each in context_of(error, "ids", "id")}
            unlisted = max(_int(answer.get("numErrors")) - len(told), 0)
            merged = {former for raw in _results(answer) for former in merged_ids(raw)}
            strangers = {str(raw["id"]) for raw in _results(answer)} - set(ids)
            present = {str(raw["id"]) for raw in _results(answer)} | merged
            left_out = set(ids) - told - present
            missing = len(left_out) - len(strangers) - unlisted
            if missing <= 0 or (present and left_out == former):
                return None
            former.clear()
            former.update(left_out)
            return f"{missing} of {len(ids)} records were left unanswered"

        path = f"{self.client.paths.objects.format(kind.name)}/batch/read"
        return _results(self.client.post(path, body, check=accounted).body)

    def readable(self, kind: HubSpotObject, properties: Sequence[str]) -> list[str]:
        """The properties without those that HubSpot refuses to show, found by halving; all of them where it
        refuses the records as such.
        """
        if self._shows(kind, ()) is not None:
            return list(properties)
        return self._shown(kind, sorted(properties))

    def _shown(self, kind: HubSpotObject, properties: list[str]) -> list[str]:
        if not properties:
            return []
        if fits_url(properties):
            error = self._shows(kind, properties)
            if error is None:
                return properties
            named = {
                name for each in errors_of(error.body) for name in context_of(each, "propertyName", "name")
            }
            if not named.isdisjoint(properties):
                return self._shown(kind, [name for name in properties if name not in named])
            if len(properties) == 1:
                return []
        middle = len(properties) // 2
        return self._shown(kind, properties[:middle]) + self._shown(kind, properties[middle:])

    def _shows(self, kind: HubSpotObject, properties: Sequence[str]) -> Refused | None:
        """None where a record is shown with these properties, else the refusal."""
        try:
            next(self.listed(kind, properties))
        except Refused as error:
            return error
        return None

    def count(self, kind: HubSpotObject) -> int:
        """How many records there are, by the search index."""
        body: Json = {"filterGroups": [], "properties": [kind.stamp], "limit": 1}
        path = f"{self.client.paths.objects.format(kind.name)}/search"
        return _int(self.client.post(path, body, search=True, check=_has_records).body.get("total"))

    def search(self, kind: HubSpotObject, filters: Sequence[tuple[str, str, str]], sort: str) -> Found:
        """Ids of the records that pass all filters (property, operator, value), by `sort` ascending, as far
        as a search goes.
        """
        body: Json = {
            "filterGroups": [
                {
                    "filters": [
                        {"propertyName": name, "operator": operator, "value": value}
                        for name, operator, value in filters
                    ]
                }
            ],
            "sorts": [{"propertyName": sort, "direction": "ASCENDING"}],
            "properties": [kind.stamp],
            "limit": SEARCH_PAGE,
        }
        path = f"{self.client.paths.objects.format(kind.name)}/search"
        hits: dict[str, Hit] = {}
        seen: set[str] = set()
        last: list[Hit] = []
        total = shown = 0
        while True:
            answer = self.client.post(path, body, search=True, check=_has_records).body
            total = max(total, _int(answer.get("total")))
            page = [Hit(str(raw["id"]), _stamp(raw, kind.stamp)) for raw in _results(answer)]
            last = page or last
            shown += len(page)
            hits.update((hit.id, hit) for hit in page)
            after = _next(answer)
            if after is None:  # at the cap some answers name no next page, though there are more records
                is_capped = shown >= SEARCH_CAP and total > shown
                return Found(tuple(hits.values()), tuple(last), total, is_capped)
            if after in seen:
                raise self._loops(path)
            seen.add(after)
            if after.isdigit() and int(after) >= SEARCH_CAP:
                return Found(tuple(hits.values()), tuple(last), total, is_capped=True)
            body["after"] = after

    def links(
        self, kind: HubSpotObject, ids: Sequence[str], links: Sequence[Link]
    ) -> dict[str, dict[str, str]]:
        """The ids that records are associated with, by record and field."""
        found: dict[str, dict[str, str]] = {identifier: {} for identifier in ids}
        for link in links:
            for identifier, others in self._associated(kind, link, ids).items():
                if identifier in found:
                    found[identifier][link.field] = _chosen(others, link.primary)
        return found

    def _associated(self, kind: HubSpotObject, link: Link, ids: Sequence[str]) -> dict[str, list[Json]]:
        if not self._links.get((kind.name, link.to), True):
            return {}
        path = self.client.paths.associations.format(kind.name, link.to)
        found: dict[str, list[Json]] = {}
        inputs = [{"id": identifier} for identifier in ids]
        asked: set[tuple[str, str]] = set()
        try:
            while inputs:
                pieces = [inputs[at : at + ASSOCIATIONS] for at in range(0, len(inputs), ASSOCIATIONS)]
                inputs = []
                for body in self.client.each(partial(self._linked, kind, link, path), pieces):
                    for result in _results(body):
                        identifier = str((result.get("from") or {}).get("id"))
                        found.setdefault(identifier, []).extend(result.get("to") or ())
                        after = _next(result)
                        if after is not None and (identifier, after) not in asked:
                            asked.add((identifier, after))
                            inputs.append({"id": identifier, "after": after})
                    self._links[kind.name, link.to] = True
        except Refused as error:
            if (kind.name, link.to) in self._links or error.status not in ABSENT:
                raise
            # The portal or the key has no such objects: there is nothing to be linked with.
            self.client.context.log(
                "hubspot.no_associations", object=kind.name, to=link.to, code=error.code, scopes=error.scopes
            )
            self._links[kind.name, link.to] = False
            return {}
        return {identifier: others for identifier, others in found.items() if others}

    def _linked(self, kind: HubSpotObject, link: Link, path: str, inputs: Sequence[Json]) -> Json:
        pair = (kind.name, link.to)
        is_repeated = False

        def accounted(answer: Json) -> str | None:
            nonlocal is_repeated
            if (complaint := listed(answer)) is not None:
                return complaint
            # Ids without any association come as errors, not all of which are listed. Who says nothing of
            # them twice is believed from then on.
            silent = not _results(answer) and not errors_of(answer) and not _int(answer.get("numErrors"))
            if not silent or pair in self._silent_links:
                return None
            if is_repeated:
                self._silent_links.add(pair)
                return None
            is_repeated = True
            return f"{len(inputs)} records were left unanswered"

        return self.client.post(path, {"inputs": list(inputs)}, check=accounted).body

    def owners(self) -> list[Json]:
        """All owners, archived ones too; one that is both is live."""
        found: dict[str, Json] = {}
        for archived in ("true", "false"):
            for body in self._pages(
                self.client.paths.owners, [("limit", "100"), ("archived", archived)], None
            ):
                found.update((str(raw["id"]), raw) for raw in _results(body))
        return list(found.values())

    def _loops(self, path: str) -> TransientError:
        return TransientError(
            f"the pages of {path} go in a circle.",
            connection=self.client.context.connection,
            remedy="Nothing is lost; the next run goes on from here.",
        )


def merged_ids(raw: Json) -> list[str]:
    """Ids of the records that were merged into this one."""
    text = (raw.get("properties") or {}).get(MERGED) or ""
    return [each for each in str(text).split(";") if each and each != str(raw["id"])]


def fits_url(properties: Sequence[str]) -> bool:
    """Whether the names can be asked for in a URL."""
    return sum(map(len, properties)) + len(properties) <= URL_LENGTH


def _has_records(body: Json) -> str | None:
    if (complaint := listed(body)) is not None:
        return complaint
    return None if all(each.get("id") for each in body["results"]) else "a record without an id"


def _results(body: Json) -> list[Json]:
    found: list[Json] = body["results"]
    return found


def _next(body: Json) -> str | None:
    after = ((body.get("paging") or {}).get("next") or {}).get("after")
    return None if after is None or after == "" else str(after)


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _stamp(raw: Json, name: str) -> int:
    try:
        at = moment((raw.get("properties") or {}).get(name) or raw.get("updatedAt"))
    except ValueError:
        at = None
    return milliseconds(at or EPOCH)


def _chosen(others: Sequence[Json], primary: int | None) -> str:
    """The id of the primary association, else of the oldest record; pairs may come twice."""
    if len(others) == 1:
        return str(others[0].get("toObjectId"))

    def rank(other: Json) -> tuple[bool, int, str]:
        types = {each.get("typeId") for each in other.get("associationTypes") or ()}
        identifier = str(other.get("toObjectId"))
        return primary not in types, len(identifier), identifier

    return str(min(others, key=rank).get("toObjectId"))
