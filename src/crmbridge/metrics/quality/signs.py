"""When anything last happened to a record: activities, orders, stage changes.

The date on which the CRM last changed a record says nothing here: what is written back moves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa

from crmbridge.metrics.arrays import UNKNOWN_MOMENT, Ids, moments, pieces
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import Micros, micros
from crmbridge.model.records import ObjectName

OBJECTS: Final[tuple[ObjectName, ...]] = ("lead", "contact", "account", "deal")
_REFERENCE: Final[Mapping[ObjectName, str]] = {
    "lead": "lead_id",
    "contact": "contact_id",
    "account": "account_id",
    "deal": "deal_id",
}


def signs_of_life(frame: Frame) -> dict[str, tuple[pa.Array, Micros]]:
    """One pass over each of the objects that tell of others."""
    sources: tuple[tuple[ObjectName, tuple[ObjectName, ...], str], ...] = (
        ("activity", OBJECTS, "started_at"),
        ("order", ("account",), "ordered_at"),
        ("stage_change", ("deal",), "at"),
    )
    ids = {name: Ids(pa.array([], pa.string())) for name in OBJECTS}
    last: dict[str, Micros] = {name: np.zeros(0, np.int64) for name in OBJECTS}
    now = micros(frame.moment)
    for source, objects, at in sources:
        for batch in pieces(frame, source, (*(_REFERENCE[name] for name in objects), at)):
            when = moments(batch.column(batch.num_columns - 1))
            past = (when != UNKNOWN_MOMENT) & (when <= now)
            for place, name in enumerate(objects):
                number = ids[name].number(batch.column(place))
                known = past & (number >= 0)
                room = np.full(len(ids[name]) - len(last[name]), UNKNOWN_MOMENT)
                last[name] = np.concatenate([last[name], room])
                np.maximum.at(last[name], number[known], when[known])
    return {name: (ids[name].values, last[name]) for name in OBJECTS}
