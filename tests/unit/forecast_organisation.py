"""Organisations with known laws, for tests of the forecast: deals in two stages, and what comes later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crmbridge.metrics.base import Frame
from crmbridge.model.columns import schema
from crmbridge.model.records import ObjectName

NOW = datetime(2026, 11, 1, tzinfo=UTC)
KNOWN_DAYS, LATER_DAYS = 1100, 122
MONTH_ENDS = np.array([30.0, 61.0, 92.0])
"""Days until the ends of November, December and January."""


def table(object_name: ObjectName, rows: list[dict[str, Any]]) -> pa.Table:
    columns = {}
    for column in schema(object_name):
        values = [row.get(column.name) for row in rows]
        if pa.types.is_decimal(column.type):
            values = [None if value is None else round(Decimal(str(value)), 2) for value in values]
        columns[column.name] = pa.array(values, column.type)
    return pa.table(columns)


def frame_of(deals: list[dict[str, Any]], changes: list[dict[str, Any]], now: datetime = NOW) -> Frame:
    tables: dict[ObjectName, pa.Table] = {
        "deal": table("deal", deals),
        "stage_change": table("stage_change", changes),
    }
    return Frame.of(tables, moment=now, zone=ZoneInfo("UTC"))


def organisation(seed: int, per_day: float) -> tuple[Frame, npt.NDArray[np.float64]]:
    """The frame at NOW, and the revenue of the three months that follow."""
    draw = np.random.default_rng(seed)
    number = draw.poisson(per_day * (KNOWN_DAYS + LATER_DAYS))
    chance, first_days, second_days = draw.uniform(0.2, 0.5), draw.uniform(5, 20), draw.uniform(5, 30)
    created = np.sort(draw.uniform(0, KNOWN_DAYS + LATER_DAYS, number)) - KNOWN_DAYS
    first, second = draw.gamma(2, first_days, number), draw.gamma(2, second_days, number)
    dropped = draw.random(number) < 0.4
    won = ~dropped & (draw.random(number) < chance)
    ends = created + first + np.where(dropped, 0.0, second)
    amount = np.round(draw.lognormal(8, 0.6, number), 2)
    later = won & (ends >= 0) & (ends < MONTH_ENDS[-1])
    came = np.bincount(np.searchsorted(MONTH_ENDS, ends[later], side="right"), amount[later], minlength=3)

    def at(day: float) -> datetime:
        return NOW + timedelta(days=day)

    deals: list[dict[str, Any]] = []
    changes: list[dict[str, Any]] = []
    for n in np.flatnonzero(created < 0).tolist():
        closed = bool(ends[n] < 0)
        end = "Won" if won[n] else "Lost"
        steps = [("Qualify", created[n])]
        if not dropped[n]:
            steps.append(("Proposal", created[n] + first[n]))
        steps.append((end, ends[n]))
        seen = [(stage, float(day)) for stage, day in steps if day < 0]
        deals.append(
            {
                "id": f"D{n}",
                "created_at": at(created[n]),
                "closed_at": at(ends[n]) if closed else None,
                "is_closed": closed,
                "is_won": closed and bool(won[n]),
                "amount": float(amount[n]),
                "currency": "EUR",
                "stage": seen[-1][0],
            }
        )
        before: str | None = None
        for stage, day in seen:
            changes.append(
                {
                    "id": f"D{n}/{stage}",
                    "deal_id": f"D{n}",
                    "from_stage": before,
                    "to_stage": stage,
                    "at": at(day),
                }
            )
            before = stage
    return frame_of(deals, changes), came
