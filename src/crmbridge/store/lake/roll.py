"""A roll call: which live records a reading of everything did not meet."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from crmbridge.store.lake import content, reading
from crmbridge.store.lake.appending import Appender
from crmbridge.store.lake.arrays import Int64s


class Roll:
    """Who was met so far, in 8 bytes a record: their keys, not their ids. See `Lake.roll`."""

    def __init__(self, appender: Appender) -> None:
        self._appender = appender
        self._met: list[Int64s] = []

    def meet(self, ids: pa.ChunkedArray | pa.Array) -> None:
        """Note that records with these ids are there. Whether the lake knows them already does not matter."""
        self._met.append(content.keys(ids))

    def missing(self) -> pa.Array:
        """The ids of the live records that were not met, in the order of their versions."""
        index = self._appender.index()
        alive = index.content[: index.size] != 0
        for keys in self._met:
            known = index.find(keys)
            alive[known[known >= 0]] = False
        missed = np.sort(index.key[: index.size][alive])
        if not len(missed):
            return pa.array([], pa.string())
        found = [
            batch.column(0).filter(pa.array(reading.among(batch.column(1).to_numpy(), missed)))
            for batch in reading.scan(self._appender.table, ["id", "key"], reading.END_OF_TIME)
        ]
        return pa.concat_arrays(found)
