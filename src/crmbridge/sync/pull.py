"""Pull: pages become versions in the lake, each part registered with its cursor in one transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Final

import pyarrow as pa

from crmbridge.connectors.base import Cursor, Notes, Page, SetAside
from crmbridge.errors import GuardError, QuotaError, StoppedError, TransientError
from crmbridge.model.chosen import Chosen
from crmbridge.model.columns import to_table
from crmbridge.model.fields import FieldValue, result_schema
from crmbridge.model.records import ObjectName
from crmbridge.store.ledger import SetAsideRow
from crmbridge.sync.session import Session

PART_ROWS: Final = 20_000
"""Pages are gathered to parts of about this many rows: fewer would be many files, more take memory."""
SHRUNK_SHARE: Final = 0.5
_LEFT_OUT: Final = "fields_left_out"


@dataclass
class _Gathered:
    """Pages not stored yet, of one object, without what the settings do not let us read."""

    chosen: Chosen
    tables: list[pa.Table] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    held: dict[str, Mapping[str, FieldValue]] = field(default_factory=dict)
    cursor: Cursor | None = None

    def add(self, page: Page) -> pa.Table:
        records = page.records
        table = records if isinstance(records, pa.Table) else to_table(page.object, records)
        table = self.chosen.kept(page.object, table)
        if table.num_rows:
            self.tables.append(table)
        self.deleted += page.deleted
        # A row that did not fit is not taken apart into fields: where some may not be read, none stay.
        whole = self.chosen.everything
        self.set_aside += page.set_aside if whole else [replace(row, raw=None) for row in page.set_aside]
        self.held |= page.held
        self.cursor = page.cursor
        return table

    @property
    def rows(self) -> int:
        return sum(int(table.num_rows) for table in self.tables) + len(self.deleted)


def refuse_another_org(session: Session) -> None:
    """Raise GuardError where the CRM is not the one the connection was made for: nothing of it is read or
    written.
    """
    org = session.connector.org()
    known = session.ledger.bind_org(session.name, org.id, org.label)
    if known is not None:
        raise GuardError(
            f"guard wrong_org: this is {org.label} ({org.id}), but the connection was made for {known}.",
            connection=session.name,
            remedy="Correct the settings, or give the other CRM a connection of its own name.",
        )


def pull(
    session: Session, run: int, *, seen_at: datetime, full: bool = False, accept_shrunk: bool = False
) -> dict[str, str]:
    """Pull every object of the connection into the lake; returns the guards that tripped, with their
    sentences.
    """
    session.lake.clean(session.name)
    guards: dict[str, str] = {}
    for object_name in session.connector.objects():
        sentence = _pull_object(
            session, run, object_name, seen_at=seen_at, full=full, accept_shrunk=accept_shrunk
        )
        if sentence:
            guards.setdefault("shrunk", sentence)
    chosen = session.connection.chosen
    if chosen.left_out:
        remember_left_out(session.context.notes, chosen)
        session.log("fields not read", number=len(chosen.left_out))
    return guards


def remember_left_out(notes: Notes, chosen: Chosen) -> None:
    """Keep the names of fields that are not read, so that a check can tell a name from a mistake."""
    chosen.left_out |= set(left_out(notes))
    notes.write(_LEFT_OUT, json.dumps(sorted(chosen.left_out)))


def left_out(notes: Notes) -> list[str]:
    """The fields, as `object.name`, that pulls have met and not read."""
    return [str(name) for name in json.loads(notes.read(_LEFT_OUT) or "[]")]


def _pull_object(
    session: Session, run: int, object_name: ObjectName, *, seen_at: datetime, full: bool, accept_shrunk: bool
) -> str | None:
    cursor = None if full else session.ledger.cursor(session.name, object_name)
    chosen = session.connection.chosen
    gathered, roll, total = _Gathered(chosen), session.lake.roll(session.name, object_name), 0
    complete = False
    try:
        for page in session.connector.pull(object_name, cursor):
            table = gathered.add(page)
            roll.meet(table["id"])
            roll.meet(pa.array([row.id for row in page.set_aside if row.id], pa.string()))
            total += table.num_rows
            complete = page.complete
            if complete:
                session.progress(f"pull {object_name}", total, None)  # the end is stored before any stop
            else:
                session.tell(f"pull {object_name}", total, None)
            if gathered.rows >= PART_ROWS and not complete:
                _store(session, run, object_name, gathered, seen_at=seen_at)
                gathered = _Gathered(chosen)
    except (StoppedError, QuotaError, TransientError):
        # What was read has cost calls: it is kept, and the next run goes on from there.
        if gathered.cursor is not None and not complete:
            _store(session, run, object_name, gathered, seen_at=seen_at)
        raise
    if complete:
        gone = roll.missing()
        live = session.lake.live_count(session.name, object_name)
        if live and live - len(gone) < SHRUNK_SHARE * live and not accept_shrunk:
            # What was read is kept; what seems gone is not believed, and the cursor stays, so that the next
            # run looks again.
            gathered.cursor = None
            _store(session, run, object_name, gathered, seen_at=seen_at)
            return (
                f"a read that should see every {object_name} found {live - len(gone):,} of the {live:,} "
                "known; the others were not taken for deleted"
            )
        gathered.deleted += gone.to_pylist()
    if gathered.tables or gathered.cursor is not None or gathered.set_aside:
        _store(session, run, object_name, gathered, seen_at=seen_at)
    return None


def _store(
    session: Session, run: int, object_name: ObjectName, gathered: _Gathered, *, seen_at: datetime
) -> None:
    if gathered.held:
        session.lake.append(
            session.name,
            f"held/{object_name}",
            held_table(object_name, gathered.held, session.connection.settings.fields),
            run=run,
            seen_at=seen_at,
        )
    session.ledger.add_calls(run, session.context.calls.new())
    tables = gathered.tables or [to_table(object_name, [])]
    table = pa.concat_tables(tables, promote_options="default")
    # A page may hold more than a part's rows. The cursor covers all of it, so it comes with the last piece.
    last = max(-(-table.num_rows // PART_ROWS) - 1, 0) * PART_ROWS
    for start in range(0, last, PART_ROWS):
        session.lake.append(
            session.name, object_name, table.slice(start, PART_ROWS), run=run, seen_at=seen_at
        )
    session.lake.append(
        session.name,
        object_name,
        table.slice(last),
        run=run,
        seen_at=seen_at,
        cursor=gathered.cursor,
        deleted=gathered.deleted,
        set_aside=[SetAsideRow(**asdict(row)) for row in gathered.set_aside],
    )


def held_table(
    object_name: ObjectName, held: Mapping[str, Mapping[str, FieldValue]], keys: tuple[str, ...]
) -> pa.Table:
    """Values of our fields by record as a table of `result_schema`."""
    own = result_schema(object_name, keys)
    columns = {name: [values.get(name) for values in held.values()] for name in own.names[1:]}
    return pa.table({"id": list(held), **columns}, schema=own)
