"""The `hubspot` connector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import ClassVar, Final, cast

from pydantic import BaseModel, JsonValue

from crmbridge.connectors.base import CheckItem, Connector, Context, Cursor, Org, Page, SetAside
from crmbridge.connectors.hubspot import objects
from crmbridge.connectors.hubspot.answers import ABSENT, Json, Refused
from crmbridge.connectors.hubspot.check import check
from crmbridge.connectors.hubspot.client import Client
from crmbridge.connectors.hubspot.feed import BLOCK, Block, Feed, State
from crmbridge.connectors.hubspot.leads import lead_kind
from crmbridge.connectors.hubspot.mapping import Facts, Mapper
from crmbridge.connectors.hubspot.moments import milliseconds, moment
from crmbridge.connectors.hubspot.objects import HubSpotObject
from crmbridge.connectors.hubspot.options import Options
from crmbridge.connectors.hubspot.reading import PAGE, Reader
from crmbridge.connectors.hubspot.schema import Property, read_properties
from crmbridge.connectors.hubspot.spool import Spool
from crmbridge.connectors.hubspot.stages import Stages, is_cut, read_stages, stage_changes
from crmbridge.errors import AuthError, SettingsError
from crmbridge.model.columns import to_table
from crmbridge.model.records import ObjectName, Rep, StageChange

_KINDS: Final[Mapping[ObjectName, HubSpotObject]] = {
    "account": objects.COMPANIES,
    "contact": objects.CONTACTS,
    "deal": objects.DEALS,
    "order": objects.ORDERS,
}
_HOUR: Final = 3_600_000
_MINUTE: Final = 60_000


class HubSpotConnector(Connector):
    """Reads a HubSpot portal.

    The cursor of an object is its type's `State` and the type's name; of activities, one for each type.
    `page` and `block` are how many records a call and a page of the pull hold.
    """

    name: ClassVar[str] = "hubspot"
    Options: ClassVar[type[BaseModel]] = Options
    secrets: ClassVar[tuple[str, ...]] = ("access_token", "client_secret", "refresh_token")

    def __init__(self, context: Context, *, page: int = PAGE, block: int = BLOCK) -> None:
        super().__init__(context)
        self.options = cast(Options, context.options)
        self.client = Client.of(context)
        self.reader = Reader(self.client, page=page)
        self._block = block
        self._properties: dict[str, Mapping[str, Property]] = {}
        self._spool: Spool | None = None
        self._is_cut = False

    def objects(self) -> Sequence[ObjectName]:
        """All of the model's; without contacts where they are the leads."""
        return [name for name in objects.ORDER if name != "contact" or not self._lead_is_contact]

    def org(self) -> Org:
        """The portal. Raises AuthError, QuotaError, TransientError."""
        account = self._account
        portal = str(account["portalId"])
        return Org(portal, f"HubSpot portal {portal} ({account.get('uiDomain') or self.options.base_url})")

    def check(self) -> Iterator[CheckItem]:
        """Sign-in, limits, what a lead is, and of each object its properties and a sample page."""
        return check(self.client, self.reader)

    def pull(self, object_name: ObjectName, cursor: Cursor | None) -> Iterator[Page]:
        """What has changed since `cursor`. An object that the portal or the key does not have has no pages.

        Raises SettingsError where leads are another type of object than before, AuthError, QuotaError,
        TransientError.
        """
        if object_name == "rep":
            yield from self._reps(cursor)
        elif object_name == "stage_change":
            yield from self._stage_changes(cursor)
        elif object_name == "activity":
            yield from self._activities(cursor or {})
        elif object_name == "lead":
            yield from self._pages("lead", self._lead, cursor)
        else:
            yield from self._pages(object_name, _KINDS[object_name], cursor)

    def close(self) -> None:
        self.client.close()
        if self._spool is not None:
            self._spool.close()

    # One type of object

    def _pages(self, object_name: ObjectName, kind: HubSpotObject, cursor: Cursor | None) -> Iterator[Page]:
        if cursor is not None and cursor.get("of") != kind.name:
            raise SettingsError(
                f"leads were read from HubSpot's {cursor.get('of')}, and now would be from its {kind.name}.",
                connection=self.context.connection,
                remedy=f'Set lead_object = "{cursor.get("of")}", and look at the scopes of the key.',
            )
        spool = Spool() if object_name == "deal" else None
        after: Cursor | None = cursor
        for block, page in self._decoded(object_name, kind, _state(cursor)):
            if spool is not None:
                spool.add(*self._changes_of(block))
            after = {"of": kind.name, **block.state.stored()}
            yield Page(
                object_name, page.records, after, page.deleted, page.set_aside, page.held, block.is_all
            )
        if spool is not None:
            spool.finish(cursor, after)
            self._spool = spool

    def _activities(self, cursor: Cursor) -> Iterator[Page]:
        kinds = [kind for kind in objects.ACTIVITIES if self.options.bodies or kind is not objects.NOTES]
        after: dict[str, JsonValue] = dict(cursor)
        is_all = not cursor
        last: Page | None = None
        for kind in kinds:
            stored = cast(Mapping[str, JsonValue] | None, cursor.get(kind.name))
            for block, page in self._decoded("activity", kind, State.read(stored) if stored else None):
                after = {**after, kind.name: block.state.stored()}
                if last is not None:
                    yield last
                last = Page("activity", page.records, after, page.deleted, page.set_aside, page.held)
            is_all = is_all and kind.name in after
        if last is not None:
            # All there are, where each type was read from its beginning and none was refused.
            yield Page("activity", last.records, after, last.deleted, last.set_aside, last.held, is_all)

    def _decoded(
        self, object_name: ObjectName, kind: HubSpotObject, state: State | None
    ) -> Iterator[tuple[Block, Page]]:
        was_there = state is not None
        try:
            mapper = self._mapper(object_name, kind)
            feed = self._feed(kind, mapper.asked, kind.history)
            links = [link for link in kind.links if link.to != "leads" or not self._lead_is_contact]
            for block in feed.blocks(state, self._now()):
                linked = self.reader.links(kind, [str(raw["id"]) for raw in block.records], links)
                if object_name == "activity" and self._lead_is_contact:
                    for ids in linked.values():
                        if "contact_id" in ids:
                            ids["lead_id"] = ids["contact_id"]
                decoded = mapper.decode(block.records, linked)
                deleted = [mapper.identity({"id": identifier}) for identifier in block.deleted]
                was_there = True
                yield block, Page(object_name, decoded.table, {}, deleted, decoded.set_aside, decoded.held)
        except Refused as error:
            self._without(kind.name, error, was_there=was_there)

    def _without(self, kind: str, error: Refused, *, was_there: bool) -> None:
        """403 at the first read: the key has no such object, and `check` says so; so do 400 and 404 of what
        not every edition has. Later, the key has lost its rights: that must not go on unnoticed.
        """
        may_lack = {403} if was_there or kind in objects.EVERYWHERE else ABSENT
        if error.status not in may_lack:
            raise error
        if was_there:
            scopes = ", ".join(error.scopes) or f"crm.objects.{kind}.read"
            raise AuthError(
                f"the key may no longer read {kind}.",
                connection=self.context.connection,
                said=error.message or None,
                remedy=f"Grant {scopes} again.",
            ) from error
        self.context.log("hubspot.no_object", object=kind, status=error.status, scopes=error.scopes)

    def _feed(self, kind: HubSpotObject, asked: Sequence[str], history: Sequence[str]) -> Feed:
        return Feed(
            self.reader,
            kind,
            asked,
            history=history,
            overlap=int(self.options.overlap_minutes * _MINUTE),
            deletions=int(self.options.deletions_hours * _HOUR),
            reconcile=int(self.options.reconcile_hours * _HOUR),
            block=self._block,
        )

    def _mapper(self, object_name: ObjectName, kind: HubSpotObject) -> Mapper:
        if kind.name not in self._properties:
            self._properties[kind.name] = read_properties(self.client, kind.name)
        stages = Stages()
        if object_name == "deal":
            stages = self._deal_stages
        elif object_name == "lead" and not self._lead_is_contact:
            stages = read_stages(self.client, objects.LEADS.name)
        facts = Facts(self.context.zone, stages, self._currency(object_name), self._lead_is_contact)
        return Mapper(
            object_name,
            kind,
            self._properties[kind.name],
            facts,
            fields=self.context.fields,
            chosen=self.options.properties.get(object_name, {}),
            bodies=self.options.bodies,
        )

    # Stage changes

    def _stage_changes(self, cursor: Cursor | None) -> Iterator[Page]:
        """From the deals just pulled, where the two stood at the same place; else read anew."""
        spool = self._spool
        if spool is not None and spool.start == cursor:
            if spool.end is None or spool.end == cursor:
                return
            for table, aside in spool.parts():
                yield Page("stage_change", table, cursor or {}, set_aside=aside)
            is_all = cursor is None and not self._is_cut
            yield Page("stage_change", to_table("stage_change", []), spool.end, complete=is_all)
            return
        feed = self._feed(objects.DEALS, ("hs_object_id",), objects.DEALS.history)
        was_there = cursor is not None
        try:
            for block in feed.blocks(_state(cursor), self._now()):
                changes, aside = self._changes_of(block)
                after: Cursor = {"of": objects.DEALS.name, **block.state.stored()}
                table = to_table("stage_change", changes)
                was_there = True
                is_all = block.is_all and not self._is_cut
                yield Page("stage_change", table, after, set_aside=aside, complete=is_all)
        except Refused as error:
            self._without(objects.DEALS.name, error, was_there=was_there)

    def _changes_of(self, block: Block) -> tuple[list[StageChange], list[SetAside]]:
        changes: list[StageChange] = []
        aside: list[SetAside] = []
        for raw in block.records:
            found, unfit = stage_changes(raw, self._users, self._deal_stages)
            changes += found
            aside += unfit
            # What HubSpot has forgotten is not gone.
            self._is_cut = self._is_cut or is_cut(raw)
        return changes, aside

    # Reps

    def _reps(self, cursor: Cursor | None) -> Iterator[Page]:
        """All owners; there are few, and HubSpot does not say which have changed."""
        if isinstance(self._owners, Refused):
            self._without("owners", self._owners, was_there=cursor is not None)
            return
        reps: list[Rep] = []
        aside: list[SetAside] = []
        for raw in self._owners:
            try:
                reps.append(_rep(raw))
            except ValueError as error:
                aside.append(SetAside("rep", f"owner {raw['id']}", str(error), str(raw["id"])))
        yield Page("rep", to_table("rep", reps), {"of": "owners"}, set_aside=aside, complete=True)

    @cached_property
    def _owners(self) -> list[Json] | Refused:
        """The owners, or why the key may not see them."""
        try:
            return self.reader.owners()
        except Refused as error:
            return error

    @cached_property
    def _users(self) -> Mapping[str, str]:
        """The owner of each user's id."""
        found = {}
        for raw in () if isinstance(self._owners, Refused) else self._owners:
            user = raw.get("userIdIncludingInactive") or raw.get("userId")
            if user is not None:
                found[str(user)] = str(raw["id"])
        return found

    # What is known once per run

    @cached_property
    def _account(self) -> Json:
        return self.client.get(
            self.client.paths.account,
            check=lambda body: None if body.get("portalId") else "an answer without a portal",
        )

    @cached_property
    def _lead(self) -> HubSpotObject:
        return lead_kind(self.client)

    @property
    def _lead_is_contact(self) -> bool:
        return self._lead is objects.CONTACTS_AS_LEADS

    def _currency(self, object_name: ObjectName) -> str | None:
        if object_name != "deal":
            return None
        currency = self._account.get("companyCurrency")
        return str(currency) if currency else None

    @cached_property
    def _deal_stages(self) -> Stages:
        return read_stages(self.client, objects.DEALS.name)

    def _now(self) -> int:
        """The earlier one of the two clocks: what is later by either may not be known yet."""
        ours, theirs = self.context.clock(), self.client.dated
        return milliseconds(ours if theirs is None else min(ours, theirs))


def _state(cursor: Cursor | None) -> State | None:
    return None if cursor is None else State.read(cursor)


def _rep(raw: Json) -> Rep:
    name = " ".join(str(raw[key]) for key in ("firstName", "lastName") if raw.get(key))
    return Rep(
        id=str(raw["id"]),
        created_at=moment(raw.get("createdAt")),
        modified_at=moment(raw.get("updatedAt")),
        name=name or raw.get("email") or None,
        email=raw.get("email") or None,
        is_active=raw.get("archived") is not True,
    )
