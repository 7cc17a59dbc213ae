"""Reading one Salesforce object: from where, by which API, and where to go on.

A read covers everything that was stamped from `since` on. Its upper end, `to`, is the server's clock at its
beginning less a margin; the next read begins `lookback` before that, because a transaction is stamped before
it is committed. Rows that come again are known to the store and cost nothing there. REST goes on after the
last (SystemModstamp, Id) it has given; Bulk API 2.0, which has no order, by job and locator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self
from urllib.parse import quote

import pyarrow as pa

from crmbridge.connectors.salesforce import bulk
from crmbridge.connectors.salesforce.cells import id18
from crmbridge.connectors.salesforce.client import LONGEST_URL, Client
from crmbridge.connectors.salesforce.decode import (
    Cells,
    Decoded,
    Decoder,
    cells_of_rows,
    cells_of_table,
    unreadable,
)
from crmbridge.connectors.salesforce.errors import Refused
from crmbridge.connectors.salesforce.lookups import Lookups
from crmbridge.connectors.salesforce.objects import IDENTITY, SObject
from crmbridge.connectors.salesforce.schema import Schema, read_schema
from crmbridge.errors import TransientError

MARGIN: Final = timedelta(seconds=60)
"""What was stamped within the last minute may not be visible yet."""
BLIND_MARGIN: Final = timedelta(minutes=15)
"""The margin where the server does not tell its time, and ours must do."""
OLDEST_DELETIONS: Final = timedelta(days=29)
"""The log of deletions goes back 30 days; after that only a read of everything tells."""
RESTARTS: Final = 5
"""So many times without getting on."""
JOBS: Final = 2
"""So many query jobs may fail in a row before an object is read by REST."""
BROKEN: Final = frozenset({"Failed", "Aborted"})
"""How a query job ends when it does not end well."""
_NO_COLUMN: Final = re.compile(r"[Nn]o such column '(\w+)'")
_IDS_LENGTH: Final = 12_000


@dataclass(frozen=True)
class Reading:
    """Where a read stands. All moments are text, `2026-05-01T07:25:37Z`; `since` None means everything."""

    since: str | None
    to: str
    at: str | None = None
    id: str | None = None
    job: str | None = None
    locator: str | None = None

    @property
    def is_begun(self) -> bool:
        return self.at is not None or self.job is not None


@dataclass(frozen=True)
class Piece:
    """A page's worth of one Salesforce object, and where its read stands after it; None at its end."""

    decoded: Decoded
    reading: Reading | None


class _TooMany(Exception):
    """More rows than REST is for, or more fields than fit into a URL."""


class ObjectReader:
    """Reads one Salesforce object once."""

    def __init__(self, client: Client, sobject: SObject, schema: Schema) -> None:
        self.client, self.sobject = client, sobject
        self._lookups = Lookups(client, sobject.name, reads_all=True)
        self._know(schema)

    @classmethod
    def open(cls, client: Client, sobject: SObject) -> Self | None:
        """A reader by the object's describe; None where the org has no such object for this user, or hides a
        field from the user that makes a record one.
        """
        schema = read_schema(client, sobject, client.context.fields, client.options.ignore)
        return None if schema is None or unreadable(sobject, schema) else cls(client, sobject, schema)

    def _know(self, schema: Schema) -> None:
        context = self.client.context
        self.schema = schema
        self.decoder = Decoder(
            self.sobject, schema, self.client.options, zone=context.zone, keys=context.fields
        )

    def begin(self, former_to: str | None) -> Reading:
        """A new read: of everything, or of what was stamped since shortly before `former_to`."""
        now, margin = self.client.server_now, MARGIN
        if now is None:
            now, margin = self.client.context.clock(), BLIND_MARGIN
        to = spelled(now - margin)
        if former_to is None:
            return Reading(None, to)
        since = moment(former_to) - timedelta(seconds=self.client.options.lookback)
        return Reading(spelled(since), max(to, former_to))

    def pieces(self, reading: Reading) -> Iterator[Piece]:
        """Every piece from where the reading stands to its end; the last one's reading is None.

        Raises Refused, and TransientError where the org does not get on.
        """
        is_bulk_possible, stuck = True, 0
        self._lookups = Lookups(self.client, self.sobject.name, reads_all=reading.since is None)
        while stuck < RESTARTS:
            by_bulk = is_bulk_possible and reading.job is not None
            try:
                for piece in self._bulk(reading) if by_bulk else self._rest(reading, is_bulk_possible):
                    yield piece
                    if piece.reading is None:
                        return
                    if piece.reading != reading:
                        reading, stuck = piece.reading, 0
                stuck += 1  # the answer was neither the last nor named a next one
            except _TooMany:
                job = self._start_job(reading)
                is_bulk_possible = job is not None
                reading = Reading(reading.since, reading.to, job=job) if job is not None else reading
            except bulk.Unsupported:
                is_bulk_possible = False
                reading = replace(reading, job=None, locator=None)
            except bulk.JobGone:
                # What the job gave is stored; where it stood means nothing to another one.
                reading, stuck = replace(reading, job=None, locator=None), stuck + 1
            except Refused as error:
                if error.policy == "schema":
                    self._describe_again(error)
                elif error.policy != "locator" and error.code not in BROKEN:
                    raise
                reading, stuck = replace(reading, job=None, locator=None), stuck + 1
                if error.code in BROKEN and stuck > JOBS:
                    is_bulk_possible = False
            self.client.context.log("salesforce.read_on", object=self.sobject.name)
        raise TransientError(
            f"{self.sobject.name} could not be read to its end, {RESTARTS} times.",
            connection=self.client.context.connection,
            remedy="Nothing is lost; the next run goes on from here.",
        )

    def _describe_again(self, error: Refused) -> None:
        """A field was removed or hidden since it was described. Where the describe, which lags behind, still
        shows it, the refusal's word is taken for it.
        """
        schema = read_schema(
            self.client, self.sobject, self.client.context.fields, self.client.options.ignore
        )
        if schema is None:
            raise error
        if schema.types == self.schema.types:
            named = _NO_COLUMN.search(error.message)
            if named is None or named[1] not in schema.types or named[1] in IDENTITY:
                raise error
            schema = schema.without(named[1])
        self._know(schema)

    def _decoded(self, cells: Cells) -> Decoded:
        return self.decoder.decode(self._lookups.joined(cells))

    # -- REST --

    def _rest(self, reading: Reading, is_bulk_possible: bool) -> Iterator[Piece]:
        began = spelled(self.client.server_now or self.client.context.clock())
        columns, others = self._projections(is_bulk_possible, reading)
        found = self.client.get("queryAll/", q=self._soql(columns, reading, ordered=True))
        if is_bulk_possible and int(found.get("totalSize", 0)) > self.client.options.rest_rows:
            raise _TooMany
        while True:
            rows = [row for row in found["records"] if row]
            following = found.get("nextRecordsUrl")
            is_last = bool(found.get("done", not following))
            reading = self._after(rows, reading, began)
            for more in others:
                rows = self._widened(rows, more)
            decoded = self._decoded(cells_of_rows(rows, self.schema.columns))
            yield Piece(decoded, None if is_last else reading)
            if is_last:
                return
            if not following:
                return  # neither done nor a next page: asked again from where this one ended
            found = self.client.get(following)

    def _after(self, rows: Sequence[Mapping[str, Any]], reading: Reading, began: str) -> Reading:
        """After the last row in order. A row that was changed since the query began shows a stamp that is
        not its place in the order, and is passed over.
        """
        for row in reversed(rows):
            stamp = _seconds(row.get(self.schema.stamp) or "9")
            if stamp < began:
                return replace(reading, at=stamp, id=row["Id"])
        return reading

    def _projections(self, is_bulk_possible: bool, reading: Reading) -> tuple[list[str], list[list[str]]]:
        """The columns of the query, and further ones that do not fit into its URL. Raises _TooMany."""
        columns = self.schema.columns
        length = len(self.client.options.instance_url) + len(self.client.base) + 20
        if length + len(quote(self._soql(columns, reading, ordered=True))) <= LONGEST_URL:
            return columns, []
        if is_bulk_possible:
            raise _TooMany
        first = [name for name in ("Id", self.schema.stamp, "IsDeleted") if name in columns]
        parts: list[list[str]] = [first]
        for name in (name for name in columns if name not in first):
            room = LONGEST_URL - _IDS_LENGTH if len(parts) > 1 else LONGEST_URL - 1_000
            if sum(len(each) + 3 for each in parts[-1]) + len(name) > room:
                parts.append(["Id"])
            parts[-1].append(name)
        return parts[0], parts[1:]

    def _widened(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[dict[str, Any]]:
        """The rows with further columns. One that has gone meanwhile is left to the next read."""
        more: dict[str, dict[str, Any]] = {}
        ids = [row["Id"] for row in rows]
        step = _IDS_LENGTH // 21
        for start in range(0, len(ids), step):
            wanted = ",".join(f"'{identifier}'" for identifier in ids[start : start + step])
            soql = f"SELECT {','.join(columns)} FROM {self.sobject.name} WHERE Id IN ({wanted})"  # noqa: S608 - names and ids from the org
            for page in self.client.query_pages(soql, resource="queryAll/"):
                more |= {row["Id"]: row for row in page}
        return [{**row, **more[row["Id"]]} for row in rows if row["Id"] in more]

    # -- Bulk API 2.0 --

    def _start_job(self, reading: Reading) -> str | None:
        """A query job over all that the read covers; None where this object is for REST alone."""
        try:
            return bulk.create(self.client, self._soql(self.schema.columns, reading, ordered=False))
        except bulk.Unsupported:
            return None
        except Refused as error:
            if error.policy == "schema":
                self._describe_again(error)
                return self._start_job(reading)
            raise

    def _bulk(self, reading: Reading) -> Iterator[Piece]:
        job = str(reading.job)
        bulk.wait(self.client, job)
        while True:
            with bulk.results(self.client, job, reading.locator) as (file, expected, locator):
                count = 0
                for batch in self._read(file):
                    count += batch.num_rows
                    yield Piece(self._decoded(cells_of_table(batch)), reading)
            if expected is not None and count != expected:
                raise Refused(200, "Failed", f"a result page has {count} rows of {expected}")
            if locator is None:
                yield Piece(Decoded(self.decoder.nothing()), None)
                return
            reading = replace(reading, locator=locator)
            yield Piece(Decoded(self.decoder.nothing()), reading)

    def _read(self, file: Any) -> Iterator[pa.RecordBatch]:
        try:
            yield from bulk.batches(file)
        except pa.ArrowInvalid as error:
            raise Refused(200, "Failed", f"a result page is not CSV: {error}") from error

    # -- deletions --

    def deletions(self, reading: Reading) -> list[str] | None:
        """Ids deleted since the read's beginning, hard deletions among them; None where the log does not go
        back that far, and only a read of everything tells.
        """
        if reading.since is None or not self.schema.replicates or not self.schema.is_deleted_shown:
            return []
        now = self.client.server_now or self.client.context.clock()
        since = moment(reading.since)
        if now - since > OLDEST_DELETIONS:
            return None
        # Seconds are cut off, and the two ends must be more than a minute apart.
        end = max(now, since + timedelta(minutes=2))
        try:
            found = self.client.get(
                f"sobjects/{self.sobject.name}/deleted/", start=_with_offset(since), end=_with_offset(end)
            )
        except Refused as error:
            if error.code in ("INVALID_REPLICATION_DATE", "EXCEEDED_ID_LIMIT"):
                return None
            self.client.context.log(
                "salesforce.no_deletions", object=self.sobject.name, code=error.code, status=error.status
            )
            return []
        return [id18(str(row["id"])) for row in found.get("deletedRecords") or ()]

    # -- SOQL --

    def _soql(self, columns: Sequence[str], reading: Reading, *, ordered: bool) -> str:
        stamp = self.schema.stamp
        conditions = []
        if ordered and reading.at is not None and reading.id is not None:
            conditions.append(f"({stamp} > {reading.at} OR ({stamp} = {reading.at} AND Id > '{reading.id}'))")
        elif reading.since is not None:
            conditions.append(f"{stamp} >= {reading.since}")
        if self.sobject.where and self.sobject.where.split()[0] in self.schema.types:
            conditions.append(self.sobject.where)
        soql = f"SELECT {','.join(columns)} FROM {self.sobject.name}"  # noqa: S608 - names from the describe
        if conditions:
            soql += f" WHERE {' AND '.join(conditions)}"
        return soql + (f" ORDER BY {stamp}, Id" if ordered else "")


def spelled(when: datetime) -> str:
    """A moment as SOQL takes it, to the second."""
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def moment(text: str) -> datetime:
    """The moment behind `spelled`."""
    return datetime.fromisoformat(text)


def as_json(reading: Reading) -> dict[str, Any]:
    """A reading as a cursor holds it."""
    return {key: value for key, value in asdict(reading).items() if value is not None}


def from_json(stored: Mapping[str, Any]) -> Reading:
    """The inverse of `as_json`."""
    return Reading(**{"since": None, **stored})


def _seconds(stamp: str) -> str:
    return stamp[:19] + "Z"


def _with_offset(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%S+00:00}"
