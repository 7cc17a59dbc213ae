"""What has changed in one type of object since a state, in blocks.

All records are listed once; later, search finds what was changed. Its index runs behind and shows at most
10,000 records at a time, so each pull looks back, and goes on from the last moment a full search showed.
Where more records than that carry one millisecond, they are paged by id. Archived records are found by
listing them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from pydantic import JsonValue

from crmbridge.connectors.hubspot.answers import ABSENT, Json, Refused
from crmbridge.connectors.hubspot.moments import milliseconds, moment
from crmbridge.connectors.hubspot.objects import HubSpotObject
from crmbridge.connectors.hubspot.reading import (
    ASSOCIATIONS,
    HISTORY_PAGE,
    PAGE,
    Found,
    Hit,
    Reader,
    fits_url,
    merged_ids,
)

BLOCK: Final = 1_000
"""Records in a block: as many as one call reads associations for."""
RECONCILED: Final = 0.1
"""Share of the calls left for today that reading one type of object again may take."""
EARLIEST: Final = 1_000
"""HubSpot's search fails at the first moment of 1970."""


@dataclass(frozen=True)
class State:
    """Where a type of object stands; moments are milliseconds since 1970.

    `after` is where the list goes on, None once it is through. All changes up to `since` are known, and all
    archived records up to `archived`; they were listed at `looked`. All records were read last at `whole`.
    """

    after: str | None
    since: int
    archived: int
    looked: int
    whole: int

    def stored(self) -> dict[str, JsonValue]:
        return asdict(self)

    @classmethod
    def read(cls, stored: Mapping[str, JsonValue]) -> State:
        after = stored.get("after")
        numbers = {name: int(str(stored[name])) for name in ("since", "archived", "looked", "whole")}
        return cls(None if after is None else str(after), **numbers)


@dataclass(frozen=True)
class Block:
    """Records, ids that are gone, and the state once they are stored. `is_all` on the last block: since the
    state was None the blocks were all records there are.
    """

    records: Sequence[Json]
    deleted: Sequence[str]
    state: State
    is_all: bool = False


class Feed:
    """Blocks of one type of object. `asked` are the properties, `history` those whose former values come too.

    `overlap`, `deletions` and `reconcile` are in milliseconds: how far to look back, how rarely to list what
    was archived, and how rarely to read all records again (0: never): a new association and a record brought
    back leave no stamp that a search could find.
    """

    def __init__(
        self,
        reader: Reader,
        kind: HubSpotObject,
        asked: Sequence[str],
        *,
        history: Sequence[str] = (),
        overlap: int,
        deletions: int,
        reconcile: int = 0,
        block: int = BLOCK,
    ) -> None:
        self.reader, self.kind, self.history = reader, kind, history
        self.asked = list(asked)
        self.overlap, self.deletions, self.reconcile = overlap, deletions, reconcile
        self.block = block
        self._in_url = fits_url(self.asked)
        self._is_asked_less = False

    def blocks(self, state: State | None, now: int) -> Iterator[Block]:
        """What has changed since the state. `now` must not be later than HubSpot's own time."""
        if state is None or state.after is not None:
            yield from self._all(state or State(None, now, now, now, now), is_fresh=state is None)
        elif self.reconcile and now - state.whole >= self.reconcile:
            if self._is_cheap():
                deleted, state = self._deleted(state, now)
                yield Block((), deleted, state)
                yield from self._all(replace(state, since=now, whole=now), is_fresh=True)
            else:
                yield from self._changed(replace(state, whole=now), now, back=self.reconcile)
        else:
            yield from self._changed(state, now)

    def _is_cheap(self) -> bool:
        """Whether reading all records takes a small share of the calls that are left for today."""
        left = self.reader.client.share.left
        if left is None:
            return True
        calls = full_read(self.kind, self.reader.count(self.kind), self.asked)
        if calls > RECONCILED * left:
            self.reader.client.context.log("hubspot.reconcile_too_dear", object=self.kind.name, calls=calls)
            return False
        return True

    # All records

    def _all(self, state: State, *, is_fresh: bool) -> Iterator[Block]:
        gathered: list[Json] = []
        for records, after in self._listed(state.after):
            gathered += records
            state = replace(state, after=after)
            if len(gathered) >= self.block and after is not None:
                yield self._block(gathered, state)
                gathered = []
        yield replace(self._block(gathered, state), is_all=is_fresh)

    def _listed(self, after: str | None) -> Iterator[tuple[list[Json], str | None]]:
        """Pages of the list; their records are read by id where the names are too long for a URL."""
        if self._in_url:
            try:
                for records, following in self.reader.listed(
                    self.kind, self.asked, after=after, history=self.history
                ):
                    yield records, following
                    after = following
                return
            except Refused as error:
                if error.status == 414:
                    self._in_url = False
                elif not self._asks_less(error):
                    raise
                # From the page that was refused.
                yield from self._listed(after)
                return
        for records, following in self.reader.listed(self.kind, (), after=after):
            yield self._read([str(raw["id"]) for raw in records]), following

    # Changes

    def _asks_less(self, error: Refused) -> bool:
        """Whether some of the properties were to blame for the refusal; they are not asked for again."""
        if self._is_asked_less or error.status not in ABSENT:
            return False
        self._is_asked_less = True
        asked = self.reader.readable(self.kind, self.asked)
        refused = sorted(set(self.asked) - set(asked))
        self.asked = asked
        if refused:
            context = self.reader.client.context
            context.log("hubspot.properties_refused", object=self.kind.name, properties=refused)
        return bool(refused)

    def _changed(self, state: State, now: int, *, back: int = 0) -> Iterator[Block]:
        start = state
        lower = max(state.since - max(self.overlap, back), EARLIEST)
        newest = state.since
        known: set[Hit] = set()
        while True:
            found = self.reader.search(self.kind, [(self.kind.stamp, "GTE", str(lower))], self.kind.stamp)
            hits, is_whole = found.hits, True
            following = _bound(found, lower) if found.is_capped else None
            if found.is_capped and following is None:
                hits, is_whole = self._of_one_moment(lower)
                following = lower + 1
            new = [hit for hit in hits if hit not in known]
            known.update(new)
            newest = max([newest, *(hit.stamp for hit in new)])
            yield from self._blocks_of([hit.id for hit in new], state)
            if not is_whole:
                # The search did not show all records of a moment: the list does.
                self.reader.client.context.log("hubspot.search_incomplete", object=self.kind.name)
                yield from self._all(replace(state, since=now, whole=now), is_fresh=False)
                return
            if following is None:
                break
            lower = following
            known = {hit for hit in known if hit.stamp >= lower}
            state = replace(state, since=max(state.since, lower))
            yield Block((), (), state)
        state = replace(state, since=newest)
        deleted, state = self._deleted(state, now)
        if deleted or state != start:
            yield Block((), deleted, state)

    def _of_one_moment(self, stamp: int) -> tuple[tuple[Hit, ...], bool]:
        """All records that were changed in this millisecond, and whether they are all.

        HubSpot orders ids as numbers or as texts; either way the last one is where the next search begins.
        """
        filters = [(self.kind.stamp, "EQ", str(stamp))]
        hits: dict[str, Hit] = {}
        last: str | None = None
        total = 0
        while True:
            beyond = [("hs_object_id", "GT", last)] if last is not None else []
            found = self.reader.search(self.kind, filters + beyond, "hs_object_id")
            total = max(total, found.total)
            before = len(hits)
            hits.update((hit.id, hit) for hit in found.hits)
            if not found.is_capped or not found.last or len(hits) == before:
                return tuple(hits.values()), len(hits) >= total
            last = found.last[-1].id

    def _deleted(self, state: State, now: int) -> tuple[list[str], State]:
        """Ids of the records archived since, where it is time to look."""
        if self.deletions and now - state.looked < self.deletions:
            return [], state
        deleted, archived = self._archived(state.archived)
        return deleted, replace(state, archived=archived, looked=now if self.deletions else state.looked)

    def _archived(self, since: int) -> tuple[list[str], int]:
        """Ids of the records archived since, and the moment of the last of all."""
        found: list[str] = []
        newest = since
        for records, _ in self.reader.listed(self.kind, (), archived=True):
            for raw in records:
                stamp = _stamp(raw.get("archivedAt"))
                if stamp is None or stamp >= since - self.overlap:
                    found.append(str(raw["id"]))
                newest = max(newest, stamp or 0)
        return found, newest

    # Blocks

    def _blocks_of(self, ids: Sequence[str], state: State) -> Iterator[Block]:
        for start in range(0, len(ids), self.block):
            piece = ids[start : start + self.block]
            records = self._read(piece)
            present = {str(raw["id"]) for raw in records}
            moved = [identifier for identifier in piece if identifier not in present]
            # An id that gave another record was merged into it; one that gave none is archived, or will be
            # found by the next pull.
            merged = {former for raw in records for former in merged_ids(raw)}
            yield self._block(records, state, [identifier for identifier in moved if identifier in merged])

    def _read(self, ids: Sequence[str]) -> list[Json]:
        try:
            records = self.reader.batch(self.kind, ids, self.asked, self.history)
        except Refused as error:
            if not self._asks_less(error):
                raise
            records = self.reader.batch(self.kind, ids, self.asked, self.history)
        return list({str(raw["id"]): raw for raw in records}.values())

    def _block(self, records: Sequence[Json], state: State, deleted: Sequence[str] = ()) -> Block:
        merged = (former for raw in records for former in merged_ids(raw))
        return Block(list(records), list(dict.fromkeys([*deleted, *merged])), state)


def full_read(kind: HubSpotObject, records: int, asked: Sequence[str]) -> int:
    """Calls it takes to read so many records anew: their list, where the names of the properties are too
    many for a URL their reading, too, and each type of association.
    """
    page = HISTORY_PAGE if kind.history else PAGE
    lists = -(-records // page) if fits_url(asked) else -(-records // PAGE) - (-records // page)
    return lists + len(kind.links) * -(-records // ASSOCIATIONS)


def _stamp(text: object) -> int | None:
    try:
        at = moment(text)
    except ValueError:
        return None
    return None if at is None else milliseconds(at)


def _bound(found: Found, lower: int) -> int | None:
    """Where the next search begins: at the first moment of the last page, which may be cut in half. None
    where the search got no further than where it began.
    """
    return min((hit.stamp for hit in found.last if hit.stamp > lower), default=None)
