"""The connector: what Acme has, who it is, and its records as pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import httpx2
from pydantic import BaseModel, ValidationError

from crmbridge.connectors import CheckItem, Connector, Context, Cursor, Org, Page, SetAside
from crmbridge.errors import CRMBridgeError
from crmbridge.model import RECORDS, FieldValue, ObjectName, Record, fields_on, is_own_name, plain_name
from crmbridge_acme.client import Client, Options

FIELDS: Final[Mapping[ObjectName, Mapping[str, str]]] = {
    "account": {"name": "name", "country": "country"},
    "lead": {
        "first_name": "given_name",
        "last_name": "family_name",
        "company": "company",
        "email": "email",
        "status": "status",
        "employees": "headcount",
        "annual_revenue": "turnover",
    },
    "deal": {"name": "title", "amount": "amount", "stage": "stage", "account_id": "account"},
}
"""Of each object, Acme's field for a field of the common model. Every other field is an attribute."""
COMMON: Final = {"created_at": "created", "modified_at": "modified", "owner_id": "owner"}
TECHNICAL: Final = frozenset({"id", "seq", "deleted"})


class AcmeConnector(Connector):
    """Reads Acme by its change feed: every change has a number, and a cursor is the last one read."""

    name: ClassVar[str] = "acme"
    Options: ClassVar[type[BaseModel]] = Options
    secrets: ClassVar[tuple[str, ...]] = ("token",)

    def __init__(
        self, context: Context, *, page_size: int = 500, transport: httpx2.BaseTransport | None = None
    ) -> None:
        super().__init__(context)
        self.client = Client(context, transport)
        self._page_size = page_size

    def objects(self) -> Sequence[ObjectName]:
        """Accounts first: deals refer to them."""
        return list(FIELDS)

    def org(self) -> Org:
        """Which Acme this is. Raises AuthError, QuotaError, TransientError."""
        found = self.client.call("GET", "/org")
        return Org(str(found["id"]), str(found["name"]))

    def check(self) -> Iterator[CheckItem]:
        """Sign-in, and one record of each object."""
        try:
            org = self.org()
        except CRMBridgeError as error:
            yield CheckItem("sign-in", "failed", str(error), error.remedy)
            return
        yield CheckItem("sign-in", "ok", f"{org.label} ({org.id})")
        for object_name in self.objects():
            rows = self._rows(object_name, 0, 1)
            yield CheckItem(object_name, "ok", "records can be read" if rows else "there are none")

    def pull(self, object_name: ObjectName, cursor: Cursor | None) -> Iterator[Page]:
        """What has changed since the cursor, in the order of the changes."""
        last = int(str(cursor["seq"])) if cursor else 0
        while rows := self._rows(object_name, last, self._page_size):
            last = rows[-1]["seq"]
            yield self._page(object_name, rows, {"seq": last})

    def close(self) -> None:
        """Give the connections back."""
        self.client.close()

    def _rows(self, object_name: ObjectName, after: int, limit: int) -> list[dict[str, Any]]:
        found = self.client.call("GET", f"/changes/{object_name}", params={"after": after, "limit": limit})
        return list(found["rows"])

    def _page(self, object_name: ObjectName, rows: Sequence[Mapping[str, Any]], cursor: Cursor) -> Page:
        records: list[Record] = []
        aside: list[SetAside] = []
        held: dict[str, Mapping[str, FieldValue]] = {}
        for row in rows:
            if row["deleted"]:
                continue
            try:
                records.append(record(object_name, row))
            except ValidationError as error:
                first = error.errors()[0]
                reason = f"{first['loc'][0]}: {first['msg']}"
                aside.append(SetAside(object_name, f"{object_name}/{row['id']}", reason, row["id"]))
            held[row["id"]] = values_held(object_name, self.context.fields, row)
        deleted = [row["id"] for row in rows if row["deleted"]]
        return Page(object_name, records, cursor, deleted, aside, held)


def record(object_name: ObjectName, row: Mapping[str, Any]) -> Record:
    """A row of Acme's as a record. Raises ValidationError where it does not fit the model."""
    mapped = {**COMMON, **FIELDS[object_name]}
    known = {field: row[name] for field, name in mapped.items() if name in row}
    taken = {*mapped.values(), *TECHNICAL}
    others = {name: value for name, value in row.items() if name not in taken and not is_own_name(name)}
    return RECORDS[object_name].model_validate({"id": row["id"], **known, "attributes": others})


def values_held(
    object_name: ObjectName, keys: Sequence[str], row: Mapping[str, Any]
) -> dict[str, FieldValue]:
    """What our own fields hold in a row: never attributes, so that our writes are no news."""
    return {field.key: row.get(plain_name(field.key)) for field in fields_on(object_name, keys)}
