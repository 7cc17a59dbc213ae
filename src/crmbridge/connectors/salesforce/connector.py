"""The `salesforce` connector: objects, pages and cursors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from crmbridge.connectors.base import CheckItem, Connector, Context, Cursor, Org, Page
from crmbridge.connectors.salesforce import check
from crmbridge.connectors.salesforce.cells import id18
from crmbridge.connectors.salesforce.client import Client
from crmbridge.connectors.salesforce.objects import OBJECTS, SObject, sobjects_of
from crmbridge.connectors.salesforce.options import SalesforceOptions
from crmbridge.connectors.salesforce.pull import ObjectReader, as_json, from_json
from crmbridge.model.columns import to_table
from crmbridge.model.records import ObjectName

ORGANIZATION: Final = "SELECT Id, Name, OrganizationType, IsSandbox FROM Organization"


class SalesforceConnector(Connector):
    """Reads an org by REST, and by Bulk API 2.0 where there are many rows.

    An object's cursor holds, for each Salesforce object it is made of, how far its last read went (`to`), or
    where a read that was cut short stands (`reading`); and a hash of the settings that records depend on.
    """

    name: ClassVar[str] = "salesforce"
    Options: ClassVar[type[BaseModel]] = SalesforceOptions
    secrets: ClassVar[tuple[str, ...]] = ("client_secret", "refresh_token")

    def __init__(self, context: Context, *, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(context)
        self.client = Client(context, sleep=sleep)
        self._readable: set[str] = set()

    def objects(self) -> Sequence[ObjectName]:
        return OBJECTS

    def org(self) -> Org:
        (found,) = self.client.query(ORGANIZATION)
        kind = str(found.get("OrganizationType") or "org") + (", sandbox" if found.get("IsSandbox") else "")
        return Org(id=id18(str(found["Id"])), label=f"{found.get('Name')} ({kind})")

    def user(self) -> str:
        return self.client.user_id()

    def check(self) -> Iterator[CheckItem]:
        yield from check.check(self.client, self.org)

    def pull(self, object_name: ObjectName, cursor: Cursor | None) -> Iterator[Page]:
        """Yield what was stamped since the cursor, and what was deleted.

        Where an org has no such object, or the user may not see it, nothing is yielded (`check` tells).
        """
        digest = self.client.options.digest(self.context.zone.key)
        former: Mapping[str, Any] = cursor or {}
        if former.get("settings") != digest:
            former = {}  # the same row would become another record now
        known: dict[str, Any] = dict(former.get("sobjects") or {})
        whole = True
        last: Page | None = None
        self._readable.clear()
        for sobject in sobjects_of(object_name):
            if sobject.instead_of in self._readable:
                known.pop(sobject.name, None)
                continue
            for page, sees_all in self._pages(object_name, sobject, known, digest):
                whole = whole and sees_all
                if last is not None:
                    yield last
                last = page
        if last is not None:
            yield Page(
                object_name,
                last.records,
                last.cursor,
                last.deleted,
                last.set_aside,
                last.held,
                complete=whole,
            )

    def close(self) -> None:
        self.client.close()

    def _pages(
        self, object_name: ObjectName, sobject: SObject, known: dict[str, Any], digest: str
    ) -> Iterator[tuple[Page, bool]]:
        """The pages of one Salesforce object, and of each whether the read sees every record."""
        reader = ObjectReader.open(self.client, sobject)
        if reader is None:
            self.context.log("salesforce.not_readable", object=sobject.name)
            nothing = to_table(object_name, [])
            # Not seeing an object is no word on its records: they are not taken for deleted.
            yield Page(object_name, nothing, {"settings": digest, "sobjects": dict(known)}), False
            return
        self._readable.add(sobject.name)
        before: Mapping[str, Any] = known.get(sobject.name) or {}
        self._tell_drift(sobject.name, before.get("fields"), reader)
        stored = before.get("reading")
        reading = from_json(stored) if stored else reader.begin(before.get("to"))
        gone = reader.deletions(reading)
        sees_all = not stored and reading.since is None
        if gone is None:
            self.context.log("salesforce.read_whole", object=sobject.name, why="deletions are not known")
            reading, gone, sees_all = reader.begin(None), [], True
        live: set[str] = set()
        for piece in reader.pieces(reading):
            found = piece.decoded
            deleted = list(found.deleted)
            if piece.reading is not None:
                known[sobject.name] = {**before, "reading": as_json(piece.reading)}
            else:
                known[sobject.name] = {"to": reading.to, "fields": list(reader.schema.types)}
            if gone:
                # What was deleted and restored since is among the rows.
                live.update(found.records["id"].to_pylist())
                if piece.reading is None:
                    deleted += [identifier for identifier in gone if identifier not in live]
            cursor: Cursor = {"settings": digest, "sobjects": dict(known)}
            yield (
                Page(object_name, found.records, cursor, deleted, found.set_aside, found.held),
                sees_all,
            )

    def _tell_drift(self, name: str, former: list[str] | None, reader: ObjectReader) -> None:
        if former is None or list(reader.schema.types) == former:
            return
        now = set(reader.schema.types)
        self.context.log(
            "salesforce.fields_changed",
            object=name,
            added=sorted(now - set(former)),
            removed=sorted(set(former) - now),
        )
