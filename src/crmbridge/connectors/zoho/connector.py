"""The Zoho CRM connector: what the org has, who it is, and its records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

from pydantic import BaseModel

from crmbridge.connectors.base import CheckItem, Connector, Context, Cursor, Org, Page
from crmbridge.connectors.zoho import check, limits
from crmbridge.connectors.zoho.client import Client, Refused, is_hidden
from crmbridge.connectors.zoho.ids import IdSet
from crmbridge.connectors.zoho.lists import IDS
from crmbridge.connectors.zoho.mapping import Decoder, Meaning
from crmbridge.connectors.zoho.objects import HISTORIES, MODULES, ORDER, PARENTS, Module
from crmbridge.connectors.zoho.options import Options
from crmbridge.connectors.zoho.pull import Puller, ReadBy
from crmbridge.connectors.zoho.schema import Schema
from crmbridge.connectors.zoho.source import Source
from crmbridge.connectors.zoho.users import pull_users
from crmbridge.errors import CRMBridgeError
from crmbridge.model.fields import fields_on
from crmbridge.model.records import ObjectName


class ZohoConnector(Connector):
    """Reads a Zoho CRM org by API v8. `page_size`, `read_by` and `sleep` are for tests and benchmarks."""

    name: ClassVar[str] = "zoho"
    Options: ClassVar[type[BaseModel]] = Options
    secrets: ClassVar[tuple[str, ...]] = ("client_secret", "refresh_token")

    def __init__(
        self,
        context: Context,
        *,
        page_size: int | None = None,
        read_by: ReadBy = "auto",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(context)
        self.options = cast("Options", context.options)
        self.client = Client(context, self.options)
        self.schema = Schema(self.client, self.options, context)
        self._puller = Puller(self.client, context, page_size=page_size, read_by=read_by, sleep=sleep)
        self._known: dict[str, IdSet] = {}
        self._parents: dict[str, str] = {}

    def objects(self) -> Sequence[ObjectName]:
        """The objects whose modules the API shows to this user."""
        shown = {module.object for module in self.modules()}
        return [name for name in ORDER if name == "rep" or name in shown]

    def modules(self) -> list[Module]:
        """The modules that are read: those the API lists, and histories, which it need not list."""
        listed = self.schema.modules
        return [module for module in MODULES if module.name in listed or module.name in HISTORIES]

    def org(self) -> Org:
        """The org by its zgid, and its company's name."""
        found = self.schema.organisation
        identifier = str(found.get("zgid") or found.get("id") or "")
        if not identifier:
            raise CRMBridgeError(
                "Zoho does not say which org this is.",
                connection=self.context.connection,
                said=str(dict(found)),
            )
        return Org(identifier, str(found.get("company_name") or identifier))

    def check(self) -> Iterator[CheckItem]:
        """Sign-in, edition and credits, modules, fields, ways of reading, a sample page."""
        return check.check(self)

    def pull(self, object_name: ObjectName, cursor: Cursor | None) -> Iterator[Page]:
        """What has changed since the cursor. Raises AuthError, QuotaError, TransientError."""
        _ = self.schema.organisation
        try:
            if object_name == "rep":
                yield from pull_users(self.client, self.context.zone)
                return
            sources = list(self._sources(object_name))
            yield from self._puller.pull(object_name, sources, cursor)
        except Refused as error:
            raise CRMBridgeError(
                f"Zoho refused to show {object_name}s.",
                connection=self.context.connection,
                said=error.said,
                remedy="Run `crmbridge check`: it shows which scope or permission is missing.",
            ) from error

    def _sources(self, object_name: ObjectName) -> Iterator[Source]:
        """The modules of an object that this user may see. Raises Refused for one that is needed."""
        for module in self.modules():
            if module.object == object_name:
                try:
                    yield self.source(module)
                except Refused as error:
                    if not is_hidden(error, module.name):
                        raise
                    self.context.log("zoho.module_not_shown", module=module.name, said=error.code)

    def source(self, module: Module) -> Source:
        """How one module is read: its fields, their meaning, its decoder."""
        fields = self.schema.fields(module.name)
        mapped = {**module.fields, **self.options.mapping.get(module.object, {})}
        own = fields.own([field.key for field in fields_on(module.object, self.context.fields)])
        decoder = Decoder(module, fields, mapped, own, self._meaning(module))
        known = self._known.setdefault(module.name, IdSet())
        return self._puller.source(module, fields.readable(module, mapped), decoder, known)

    def close(self) -> None:
        """Give the connections back."""
        self.client.close()

    def _meaning(self, module: Module) -> Meaning:
        options = self.options
        return Meaning(
            zone=self.context.zone,
            stages=self.schema.stages if module.object == "deal" else options.stages,
            disqualified=frozenset(options.disqualified),
            outcomes=options.outcomes,
            parents=self.parents,
            currency=str(self.schema.organisation.get("iso_code") or "") or None,
        )

    def parents(self, ids: Sequence[str]) -> Mapping[str, str]:
        """The module of each id that an activity is about: of what was read, else asked for."""
        unknown = []
        for identifier in ids:
            if identifier in self._parents:
                continue
            module = next(
                (name for name in PARENTS if name in self._known and identifier in self._known[name]), None
            )
            if module is None:
                unknown.append(identifier)
            else:
                self._parents[identifier] = module
        for module in PARENTS:
            if module in self.schema.modules and unknown:
                found = set(self._existing(module, unknown))
                self._parents |= dict.fromkeys(found, module)
                unknown = [identifier for identifier in unknown if identifier not in found]
        self._parents |= dict.fromkeys(unknown, "")
        return {identifier: self._parents[identifier] for identifier in ids}

    def _existing(self, module: str, ids: Sequence[str]) -> Iterator[str]:
        for begin in range(0, len(ids), IDS):
            params: dict[str, Any] = {
                "ids": ",".join(ids[begin : begin + IDS]),
                "fields": "Modified_Time",
                "per_page": limits.LIST_PAGE,
            }
            if module == "Leads":
                params["converted"] = "both"
            try:
                rows = self.client.get(module, params).rows
            except Refused as error:
                # An activity without its lead is still an activity.
                self.context.log("zoho.parents_unknown", module=module, said=error.code)
                return
            yield from (str(row["id"]) for row in rows)
