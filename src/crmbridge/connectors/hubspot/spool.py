"""Stage changes that came with the deals, kept on disk until they are asked for."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from crmbridge.connectors.base import Cursor, SetAside
from crmbridge.model.columns import to_table
from crmbridge.model.records import StageChange


class Spool:
    """Parts of stage changes. `start` and `end` are the cursors of the deals between which they were found;
    there is no reading before `finish`.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._sizes: list[int] = []
        self._aside: list[list[dict[str, Any]]] = []
        self.start: Cursor | None = None
        self.end: Cursor | None = None

    def add(self, changes: Sequence[StageChange], aside: Sequence[SetAside]) -> None:
        """Keep one block's."""
        if not changes and not aside:
            return
        table = to_table("stage_change", changes)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        self._sizes.append(self._file.write(sink.getvalue()))
        self._aside.append([asdict(row) for row in aside])

    def finish(self, start: Cursor | None, end: Cursor | None) -> None:
        """All are here."""
        self.start = start
        self.end = None if end is None else json.loads(json.dumps(dict(end)))

    def parts(self) -> Iterator[tuple[pa.Table, list[SetAside]]]:
        """What was kept, in order."""
        self._file.seek(0)
        for size, aside in zip(self._sizes, self._aside, strict=True):
            table = pa.ipc.open_stream(self._file.read(size)).read_all()
            yield table, [SetAside(**row) for row in aside]

    def close(self) -> None:
        self._file.close()
