"""The lake: every version of every record, in immutable Parquet parts that the ledger registers.

A part that is not registered does not exist. Each row is one version of a record: the record's columns (see
`model.columns`) and the lake's own:

| column | type | what |
|---|---|---|
| key | int64 | a hash of the id |
| hash | binary(16) | a hash of the content (`content.py`); zeros in a tombstone |
| valid_from | timestamp | since when the version held, as far as is known |
| seen_at | timestamp | when it was pulled |
| deleted | bool | a tombstone: since valid_from the record is gone |
| seq | int64 | the version's number; grows over all parts of the object |
| replaces | int64 | the seq of the record's version before; null in its first |

So what the lake knew at a moment is: the rows with valid_from up to it, without those that such a row
replaces. No row has to be compared with any other for that, and memory is needed only for the replaced.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pydantic import JsonValue

from crmbridge.errors import StoreError
from crmbridge.store.lake import files, reading, retention, upkeep
from crmbridge.store.lake.appending import Appended, Appender
from crmbridge.store.lake.retention import Rule
from crmbridge.store.lake.roll import Roll
from crmbridge.store.lake.table import Table
from crmbridge.store.ledger import Ledger, Part, SetAsideRow

__all__ = ["Appended", "Lake", "Roll", "Rule"]

SMALL: Final = 250_000
LARGEST: Final = 1_000_000
MANY: Final = 8
REMEMBERED: Final = (
    2  # objects whose latest versions stay in memory: a pull alternates between records and held
)


class Lake:
    """A lake below the folder `root`, its parts registered in `ledger`.

    `object` is an object of the model ("lead"), or a table derived from one ("result/lead"). Who appends,
    compacts, cleans or forgets holds the connection's lease; reading needs none. All methods raise
    StoreError.
    """

    def __init__(self, root: Path, ledger: Ledger) -> None:
        self.root, self.ledger = Path(root), ledger
        self._appenders: dict[tuple[str, str], Appender] = {}

    def append(
        self,
        connection: str,
        object: str,
        table: pa.Table,
        *,
        run: int,
        seen_at: datetime,
        cursor: Mapping[str, JsonValue] | None = None,
        deleted: Sequence[str] = (),
        set_aside: Sequence[SetAsideRow] = (),
        stamps: Collection[str] = (),
    ) -> Appended:
        """Keep what is new or different among these records, and tombstones for live ones that are `deleted`.

        What is new becomes one part; it, the cursor and the rows set aside start to exist in one transaction.
        A column named in `stamps`, and modified_at, is kept but is no content: a record that differs only
        there is unchanged. An id that comes twice has two versions, if they differ, the later row the later
        one.
        """
        return self._appender(connection, object).append(
            table,
            run=run,
            seen_at=seen_at,
            cursor=cursor,
            deleted=deleted,
            set_aside=set_aside,
            stamps=stamps,
        )

    def scan(
        self, connection: str, object: str, columns: Sequence[str], *, at: datetime
    ) -> Iterator[pa.RecordBatch]:
        """The live records as known at a moment, each once, in the columns asked for, as a stream.

        A column that no version has comes as nulls; the lake's own `valid_from` and `seen_at` can be asked
        for.
        """
        return reading.scan(self._table(connection, object), columns, at)

    def versions(
        self, connection: str, object: str, columns: Sequence[str], *, at: datetime
    ) -> Iterator[pa.RecordBatch]:
        """Every version known up to a moment, of live and of deleted records, in no order; no tombstones."""
        return reading.versions(self._table(connection, object), columns, at)

    def live_ids(self, connection: str, object: str) -> pa.Array:
        """The ids of all records that are not deleted, in no order."""
        return reading.live_ids(self._table(connection, object))

    def roll(self, connection: str, object: str) -> Roll:
        """A roll call: `meet` all the records that there are, then `missing` gives those that are no more.

        For who appends: it shares the latest versions that appending keeps in memory.
        """
        return Roll(self._appender(connection, object))

    def live_count(self, connection: str, object: str) -> int:
        """How many records are not deleted; nothing is read for it."""
        return self.ledger.parts_state(connection, object).live

    def attribute_names(self, connection: str, object: str) -> list[str]:
        """The names of all attributes that any version has, sorted."""
        return reading.attribute_names(self._table(connection, object))

    def history(self, connection: str, object: str, id: str) -> list[dict[str, Any]]:
        """All versions of one record, oldest first: its columns, `valid_from`, `seen_at` and `deleted`."""
        return reading.history(self._table(connection, object), id)

    def compact(
        self,
        connection: str,
        object: str,
        *,
        at_least: int = MANY,
        small: int = SMALL,
        largest: int = LARGEST,
    ) -> int:
        """Merge small parts into larger ones, keeping every version; returns by how many parts there are
        fewer.

        Done where at least `at_least` neighbouring parts have fewer than `small` rows, up to `largest` rows a
        part.
        """
        return upkeep.compact(
            self._table(connection, object), at_least=at_least, small=small, largest=largest
        )

    def thin(self, connection: str, object: str, rules: Sequence[Rule]) -> int:
        """Remove versions that the rules let go (see `retention`); returns how many; none under a hold."""
        if self.ledger.legal_hold:
            return 0
        return retention.thin(self._table(connection, object), rules)

    def claim(self) -> None:
        """Mark the folder as the ledger's, or raise StoreError where it is another one's.

        Two ledgers on one folder would take each other's parts for strays.
        """
        ours = self.ledger.identity()
        theirs = files.owner(self.root)
        if theirs is None:
            files.set_owner(self.root, ours)
        elif theirs != ours:
            raise StoreError(
                f"The lake {self.root} belongs to another ledger than {self.ledger.place}.",
                remedy="Give each ledger a folder of its own as `lake` under [store]. If the ledger was "
                "lost, restore it from a backup, or name a new folder.",
            )

    def clean(self, connection: str) -> int:
        """Remove the connection's files that no registered part names; returns how many.

        Raises StoreError, and removes nothing, where lake and ledger do not belong together: registered parts
        are gone, or the ledger knows none of the parts there are.
        """
        found = list(files.ours(self.root / connection))  # before what is registered: nothing is missed
        registered = [part.path for part in self.ledger.parts(connection)]
        strays = upkeep.strays(self.root, connection, found, registered)
        token = self.ledger.fencing_token(connection)
        if token is not None:  # a later holder's files are its own, registered yet or not
            strays = [path for path in strays if files.token_of(path) <= token]
        for path in strays:
            with files.in_words("remove", path):
                path.unlink(missing_ok=True)
        return len(strays)

    def forget(self, connection: str, object: str, id: str) -> int:
        """Erase a record, and what was derived from it; returns how many versions there were.

        Raises SettingsError under a legal hold.
        """
        self.ledger.refuse_under_hold("forget")
        objects = {part.object for part in self.ledger.parts(connection)}
        own = [name for name in sorted(objects) if name == object or name.endswith(f"/{object}")]
        erased = sum(upkeep.forget(self._table(connection, name), id) for name in own)
        # A metric's tables are about the organisation; those with records in their rows name them so.
        tables = [name for name in sorted(objects) if name.startswith("table/")]
        for name in tables:
            column = "record_id" if name.split("/")[2] == object else f"{object}_id"
            erased += upkeep.forget(self._table(connection, name), id, column)
        return erased

    def check(self, connection: str) -> list[str]:
        """What is wrong with the connection's parts, a sentence each; empty if all is as registered."""
        return self.problems(self.ledger.parts(connection))

    def problems(self, parts: Sequence[Part]) -> list[str]:
        """What is wrong with these parts, a sentence each."""
        return upkeep.problems(self.root, parts)

    def _appender(self, connection: str, object: str) -> Appender:
        appender = self._appenders.pop((connection, object), None)
        self._appenders[connection, object] = appender or Appender(self._table(connection, object))
        while len(self._appenders) > REMEMBERED:
            del self._appenders[next(iter(self._appenders))]
        return self._appenders[connection, object]

    def _table(self, connection: str, object: str) -> Table:
        return Table(self.root, self.ledger, connection, object)
