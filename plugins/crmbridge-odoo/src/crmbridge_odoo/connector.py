"""The `odoo` connector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final, cast

import httpx2
from pydantic import BaseModel, ValidationError

from crmbridge.connectors import CheckItem, Connector, Context, Cursor, Org, Page
from crmbridge.errors import AuthError, SettingsError
from crmbridge.model import ObjectName, Rep, fields_on
from crmbridge_odoo import mapping
from crmbridge_odoo.activities import Activities
from crmbridge_odoo.check import check
from crmbridge_odoo.client import Client, Row
from crmbridge_odoo.faults import Fault
from crmbridge_odoo.fields import attributes, first_of
from crmbridge_odoo.mapping import Decoded, Mapper, moment_text, set_aside
from crmbridge_odoo.options import Options
from crmbridge_odoo.own import names_of
from crmbridge_odoo.reading import PAGE, Reader, Source
from crmbridge_odoo.related import Related
from crmbridge_odoo.stages import TRACKED, Stages

ORDER: Final[tuple[ObjectName, ...]] = (
    *("rep", "account", "contact", "lead"),
    *("deal", "stage_change", "activity", "order"),
)
NEEDED: Final = ("crm.lead", "res.partner")
"""Models without which there is nothing to do."""
_MODELS: Final[Mapping[ObjectName, tuple[str, Sequence[Any], Mapping[str, tuple[str, ...]]]]] = {
    "account": ("res.partner", [["is_company", "=", True]], mapping.PARTNER),
    "contact": ("res.partner", [["is_company", "=", False]], mapping.PERSON),
    "lead": ("crm.lead", ["|", ["type", "=", "lead"], ["date_conversion", "!=", False]], mapping.LEAD),
    "deal": ("crm.lead", [["type", "=", "opportunity"]], mapping.DEAL),
    "order": ("sale.order", [["state", "in", ["sale", "done"]]], mapping.ORDER),
}
"""Of each object its model, which of the model's records it is, and the fields that are mapped."""
_ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    "crm.lead": ("type", "active", "date_conversion", "partner_id", "company_id", "stage_id", "mobile"),
    "res.partner": ("mobile",),
    "sale.order": ("partner_id",),
}
"""Fields that others are derived from."""

Decode = Callable[[str, Sequence[Row]], Decoded]


class OdooConnector(Connector):
    """Reads an Odoo database. The cursor of an object is the state of each model it is read from."""

    name: ClassVar[str] = "odoo"
    Options: ClassVar[type[BaseModel]] = Options
    secrets: ClassVar[tuple[str, ...]] = ("api_key",)

    def __init__(
        self, context: Context, *, page: int = PAGE, transport: httpx2.BaseTransport | None = None
    ) -> None:
        super().__init__(context)
        self.options = cast(Options, context.options)
        self.client = Client(context, transport)
        self.related = Related(self.client)
        self._reader = Reader(self.client, overlap=timedelta(minutes=self.options.overlap_minutes), page=page)

    def objects(self) -> Sequence[ObjectName]:
        """All of the model's; orders where Odoo's Sales is installed."""
        return [name for name in ORDER if name != "order" or self.client.fields("sale.order")]

    def org(self) -> Org:
        """The database. Raises AuthError, SettingsError, TransientError."""
        return self.client.org()

    def user(self) -> str | None:
        """The id of the user who signs in."""
        return str(self.client.uid)

    def check(self) -> Iterator[CheckItem]:
        """Sign-in, version, rights on each model and on all records, a sample page."""
        return check(self)

    def pull(self, object_name: ObjectName, cursor: Cursor | None) -> Iterator[Page]:
        """What has changed since `cursor`. An object whose model the user may not read has no pages.

        Raises AuthError where a right was lost since, SettingsError, TransientError.
        """
        if object_name == "rep":
            yield from self._reps()
        elif object_name == "activity":
            activities = Activities(self.client, self.options, self.related)
            yield from self._pages("activity", activities.sources(), activities.decode, cursor)
        elif object_name == "stage_change":
            yield from self._stage_changes(cursor)
        else:
            source, mapper = self.source(object_name)
            yield from self._pages(object_name, [source], lambda model, rows: mapper.decode(rows), cursor)

    def close(self) -> None:
        """Give the connections back."""
        self.client.close()

    # One object

    def source(self, object_name: ObjectName) -> tuple[Source, Mapper]:
        """Where an object is read from, and how its rows become records. Raises SettingsError."""
        model, domain, table = _MODELS[object_name]
        fields = self.client.fields(model)
        mapped = {name: found for name, columns in table.items() if (found := first_of(fields, *columns))}
        chosen = self.options.mapping.get(object_name, {})
        unknown = sorted(column for column in chosen.values() if column not in fields)
        if unknown and fields:
            raise SettingsError(
                f"mapping.{object_name}: {model} has no field {', '.join(unknown)} that this user sees.",
                connection=self.context.connection,
                remedy="Correct the mapping, or give the user the right to see it.",
            )
        mapped |= chosen
        own = fields_on(object_name, self.context.fields)
        also = [name for name in _ALSO[model] if name in fields]
        taken = {*mapped.values(), *also}
        others = attributes(fields, taken)
        names = ["create_date", *mapped.values(), *also, *others, *names_of(own, fields)]
        there = own if names_of(own, fields) else ()
        mapper = Mapper(object_name, model, fields, mapped, others, there, self.related)
        return Source(model, domain, names), mapper

    def _pages(
        self, object_name: ObjectName, sources: Sequence[Source], decode: Decode, cursor: Cursor | None
    ) -> Iterator[Page]:
        """The pages of all models of an object; ids are `model,id` where there are several."""
        states: dict[str, Any] = dict(cursor or {})
        prefixed = object_name == "activity"
        whole = cursor is None
        last: Page | None = None
        for source in sources:
            try:
                for batch in self._reader.read(source, states.get(source.model)):
                    if last is not None:
                        yield last
                    decoded = decode(source.model, batch.rows)
                    states = {**states, source.model: batch.state}
                    gone = [f"{source.model},{each}" if prefixed else str(each) for each in batch.deleted]
                    last = Page(object_name, decoded.records, states, gone, decoded.set_aside, decoded.held)
            except Fault as fault:
                whole = False
                self._without(source.model, fault, was_there=source.model in (cursor or {}))
        if last is not None:
            yield Page(
                object_name, last.records, states, last.deleted, last.set_aside, last.held, complete=whole
            )

    def _without(self, model: str, fault: Fault, *, was_there: bool) -> None:
        """A model that the user may not read is left out, and `check` says so; where it was read before, or
        nothing goes on without it, that must not go on unnoticed.
        """
        if not fault.is_not_allowed:
            raise SettingsError(
                f"Odoo refuses to read {model}.", connection=self.context.connection, said=fault.said
            ) from fault
        if was_there or model in NEEDED:
            raise AuthError(
                f"the user {self.options.username} may not read {model}.",
                connection=self.context.connection,
                said=fault.message,
                remedy="Give the user the rights that `crmbridge check` lists.",
            ) from fault
        self.context.log("odoo.not_allowed", model=model, said=fault.code)

    # Stage changes

    def _stage_changes(self, cursor: Cursor | None) -> Iterator[Page]:
        """What was tracked; where that is hidden, the entries into the present stages, which add up."""
        stages = Stages(self.client, self.related)
        tracked = stages.is_tracked()
        if cursor is not None and TRACKED in cursor and not tracked:
            raise AuthError(
                f"the user {self.options.username} may no longer read the stage history.",
                connection=self.context.connection,
                remedy="Give it back the right Administration / Settings, or start anew with another name.",
            )
        known = cursor if cursor is not None and (TRACKED in cursor) == tracked else None
        source = stages.source(tracked=tracked)
        for page in self._pages("stage_change", [source], stages.decode, known):
            if tracked:
                yield page
            else:  # what a deal went through stays true when it moves on
                yield Page("stage_change", page.records, page.cursor, (), page.set_aside)

    # Reps

    def _reps(self) -> Iterator[Page]:
        fields = self.client.fields("res.users")
        names = [name for name in (*mapping.USER, "create_date", "sale_team_id") if name in fields]
        source = Source("res.users", [["share", "=", False]], names)
        records, aside = [], []
        for batch in self._reader.read(source, None):
            for row in batch.rows:
                try:
                    records.append(_rep(row))
                except ValidationError as error:
                    aside.append(set_aside("rep", "res.users", row, error))
        yield Page("rep", records, {"of": "res.users"}, (), aside, complete=True)


def _rep(row: Row) -> Rep:
    team = row.get("sale_team_id")
    return Rep.model_validate(
        {
            "id": str(row["id"]),
            "created_at": moment_text(row.get("create_date")),
            "modified_at": moment_text(row.get("write_date")),
            "name": row.get("name") or None,
            "email": row.get("email") or row.get("login") or None,
            "is_active": bool(row.get("active")),
            "attributes": {"sale_team_id": team[1]} if team else {},
        }
    )
