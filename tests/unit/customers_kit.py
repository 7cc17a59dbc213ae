"""Orders for the tests of the customer metrics: real ones, and simulated ones with a known truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from crmbridge.metrics.base import Frame
from crmbridge.model.columns import to_table
from crmbridge.model.records import Account, Order

UTC_ZONE = ZoneInfo("UTC")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def purchases_file(path: Path, id_column: int) -> pa.Table:
    """A file of purchases in columns between blanks: customer, date as YYYYMMDD, number, amount."""
    ids, days, amounts = [], [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        parts = line.split()
        if parts and parts[-1].replace(".", "").isdigit():
            ids.append(parts[id_column])
            days.append(date.fromisoformat(parts[-3]))
            amounts.append(float(parts[-1]))
    return order_table(ids, [datetime(day.year, day.month, day.day, 12, tzinfo=UTC) for day in days], amounts)


def order_table(ids: Sequence[str], at: Sequence[datetime], amounts: Sequence[float | None]) -> pa.Table:
    return pa.table(
        {
            "id": pa.array([f"O{number}" for number in range(len(ids))], pa.string()),
            "account_id": pa.array(ids, pa.string()),
            "ordered_at": pa.array(at, pa.timestamp("us", tz="UTC")),
            "amount": pa.array(amounts, pa.float64()),
            "currency": pa.array(["USD"] * len(ids), pa.string()),
        }
    )


def frame(orders: pa.Table | Iterable[Order], accounts: Iterable[str] = (), moment: datetime = NOW) -> Frame:
    table = orders if isinstance(orders, pa.Table) else to_table("order", list(orders))
    records = to_table("account", [Account(id=id) for id in accounts])
    return Frame.of({"order": table, "account": records}, moment=moment, zone=UTC_ZONE)


def order(number: int, account: str, days_ago: float, amount: float | None = 100.0, **other: Any) -> Order:
    fields = {"amount": amount, "currency": "USD"} | other
    return Order(id=f"O{number}", account_id=account, ordered_at=NOW - timedelta(days=days_ago), **fields)


def buyers(
    number: int,
    *,
    seed: int,
    years: float = 3.0,
    r: float = 0.8,
    alpha: float = 8.0,
    a: float = 0.6,
    b: float = 2.5,
) -> tuple[pa.Table, np.ndarray]:
    """Orders of customers who buy and leave as BG/NBD says (alpha in weeks), and who is still there."""
    draw = np.random.default_rng(seed)
    ids: list[str] = []
    at: list[datetime] = []
    amounts: list[float] = []
    there = np.zeros(number, bool)
    for customer in range(number):
        rate = draw.gamma(r) / alpha / 7.0
        leaves = draw.beta(a, b)
        nu = draw.gamma(4.0)
        day = draw.uniform(0, years * 365)
        present = True
        while day < years * 365:
            ids.append(f"A{customer:05d}")
            at.append(NOW - timedelta(days=years * 365 - day))
            amounts.append(round(float(draw.gamma(6.0) / nu * 60), 2))
            if present and len(ids) > 1 and ids[-2] == ids[-1] and draw.random() < leaves:
                present = False
                break
            day += draw.exponential(1 / rate)
        there[customer] = present
    return order_table(ids, at, amounts), there
