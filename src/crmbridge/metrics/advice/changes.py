"""For the manager: the changes worth most, each with its price, its interval and its evidence.

Each is read from what other metrics said in the same run, or from what was learned of leads. A price is never
more than the difference the organisation itself shows, and says whether it is an association only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import numpy as np
import pyarrow as pa

from crmbridge.metrics.advice.events import History, one
from crmbridge.metrics.advice.learn import Response
from crmbridge.metrics.arrays import truths
from crmbridge.metrics.base import Frame
from crmbridge.model.records import ObjectName

Z90: Final = 1.6448536269514722
YEAR: Final = 365
FEWEST_AMOUNTS: Final = 20
FEWEST_REPS: Final = 3
UNITS: Final = ("money", "deals", "conversions", "outcomes", "nats")
"""In the order in which changes of different units stand: what is priced in money comes first."""
SCHEMA: Final = pa.schema(
    [
        ("rank", pa.int64()),
        ("change", pa.string()),
        ("subject", pa.string()),
        ("worth", pa.float64()),
        ("worth_low", pa.float64()),
        ("worth_high", pa.float64()),
        ("unit", pa.string()),
        ("currency", pa.string()),
        ("is_association", pa.bool_()),
        ("evidence", pa.string()),
    ]
)


@dataclass(frozen=True)
class Change:
    """One change: what, where, its worth with 90 % interval in `unit`, and the sentence it rests on."""

    change: str
    subject: str
    worth: float
    low: float
    high: float
    unit: str
    is_association: bool
    evidence: str


@dataclass(frozen=True)
class Money:
    """Mean amount of a won deal and of what a converted lead brings, each with its standard error; None
    where it is not known or in several currencies."""

    currency: str | None
    per_deal: tuple[float, float] | None
    per_lead: tuple[float, float] | None


def changes(
    frame: Frame, response: Response | None, money: Money, window_days: int, text: ModuleType
) -> pa.Table:
    """All changes that surely are worth something, the most valuable first, in money before other units."""
    found = [
        *_bottleneck(frame, text),
        *_response(response, money, text),
        *_reps(frame, money, window_days, text),
        *_channels(frame, window_days, text),
        *_repairs(frame, text),
    ]
    found = [
        each for each in found if each.worth > 0 and np.isfinite([each.worth, each.low, each.high]).all()
    ]
    found.sort(key=lambda each: (UNITS.index(each.unit), -each.worth, each.change, each.subject))
    rows = [
        {
            "rank": rank,
            "change": each.change,
            "subject": each.subject,
            "worth": each.worth,
            "worth_low": each.low,
            "worth_high": each.high,
            "unit": each.unit,
            "currency": money.currency if each.unit == "money" else None,
            "is_association": each.is_association,
            "evidence": each.evidence,
        }
        for rank, each in enumerate(found, start=1)
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def money_of(leads: History, deals: History) -> Money:
    """What a won deal and a converted lead bring."""
    records, outcomes = deals.records, deals.outcomes
    amount = np.array(one(records, "amount").cast(pa.float64()).fill_null(np.nan))
    won = outcomes.positive & np.isfinite(amount)
    currencies = one(records, "currency").filter(pa.array(won)).drop_null().unique().to_pylist()
    if len(currencies) > 1 or int(won.sum()) < FEWEST_AMOUNTS:
        return Money(None, None, None)
    currency = currencies[0] if currencies else None
    # A lost deal brings nothing; one won without an amount says nothing.
    brought = np.where(outcomes.positive, amount, 0.0)
    ended = outcomes.closed & np.isfinite(brought)
    of = one(leads.records, "converted_deal_id").filter(pa.array(leads.outcomes.positive))
    linked = truths(pa.compute.is_in(outcomes.ids, value_set=of.drop_null()), unknown=False) & ended
    share = 1.0 if len(of) == 0 else len(of.drop_null()) / len(of)
    per_lead = None
    if int(linked.sum()) >= FEWEST_AMOUNTS:
        mean, error = _mean(brought[linked])
        per_lead = (share * mean, share * error)
    return Money(currency, _mean(amount[won]), per_lead)


def _mean(values: Any) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def _rows(
    frame: Frame, metric: str, object_name: ObjectName, name: str, columns: Sequence[str]
) -> list[dict[str, Any]]:
    table = frame.tables(metric, object_name, name, columns)
    return [] if table is None else table.to_pylist()


def _bottleneck(frame: Frame, text: ModuleType) -> list[Change]:
    """The bottleneck brought to its best quarter, at what the pipeline metric says it delays."""
    columns = (
        *("stage", "stays", "best_days", "typical_days", "deal_days_lost"),
        *("money_delayed", "money_delayed_low", "money_delayed_high", "is_bottleneck", "is_sure"),
    )
    return [
        Change(
            "bottleneck",
            row["stage"],
            row["money_delayed"],
            row["money_delayed_low"],
            row["money_delayed_high"],
            "money",
            False,
            text.bottleneck(
                row["stage"],
                row["stays"],
                row["deal_days_lost"],
                row["best_days"],
                row["typical_days"],
                row["is_sure"],
            ),
        )
        for row in _rows(frame, "pipeline", "deal", "bottlenecks", columns)
        if row["is_bottleneck"] and row["money_delayed"] is not None
    ]


def _response(response: Response | None, money: Money, text: ModuleType) -> list[Change]:
    """Later contacted leads x difference of the conversion rates x what a converted lead brings, where the
    rates surely differ."""
    if response is None or not response.quick.surely_above(response.late):
        return []
    quick, late, number = response.quick, response.late, response.later_per_year
    gain = quick.rate - late.rate
    error = float(np.sqrt(sum(each.rate * (1 - each.rate) / each.n for each in (quick, late))))
    value, unit = (1.0, 0.0), "conversions"
    if money.per_lead is not None:
        value, unit = money.per_lead, "money"
    # First order: relative variances of a product add up.
    worth = number * gain * value[0]
    spread = Z90 * number * float(np.hypot(gain * value[1], error * value[0]))
    said = text.response(response.minutes, quick, late, number)
    return [
        Change("first_response", "lead", worth, max(worth - spread, 0.0), worth + spread, unit, True, said)
    ]


def _reps(frame: Frame, money: Money, window_days: int, text: ModuleType) -> list[Change]:
    """Reps whose follow-up efficiency surely lies below the median rep's, brought to that median."""
    columns = (
        *("record_id", "name", "follow_up_hours"),
        *(f"follow_up_efficiency{end}" for end in ("", "_low", "_high")),
    )
    rows = [
        row
        for row in _rows(frame, "efficiency", "rep", "efficiency_by_rep", columns)
        if row["follow_up_efficiency"] is not None and row["follow_up_hours"]
    ]
    if len(rows) < FEWEST_REPS:
        return []
    middle = float(np.median([row["follow_up_efficiency"] for row in rows]))
    value, unit = (money.per_deal[0], "money") if money.per_deal is not None else (1.0, "deals")
    found = []
    for row in rows:
        rate, low, high = (row[f"follow_up_efficiency{end}"] for end in ("", "_low", "_high"))
        if high >= middle:
            continue
        scale = row["follow_up_hours"] * YEAR / window_days * value
        worth, least, most = ((middle - each) * scale for each in (rate, high, low))
        name = row["name"] or row["record_id"]
        said = text.efficiency(name, rate, low, high, middle, row["follow_up_hours"])
        found.append(Change("follow_up", name, worth, least, most, unit, True, said))
    return found


def _channels(frame: Frame, window_days: int, text: ModuleType) -> list[Change]:
    """The time of the channel with the lowest communication efficiency given to that with the highest."""
    columns = (
        *("name", "communication_hours"),
        *(f"communication_efficiency{end}" for end in ("", "_low", "_high")),
    )
    rows = [
        row
        for row in _rows(frame, "efficiency", "rep", "efficiency_by_channel", columns)
        if row["name"] and row["communication_efficiency"] is not None and row["communication_hours"]
    ]
    if len(rows) < 2:
        return []
    worst, top = (pick(rows, key=lambda row: row["communication_efficiency"]) for pick in (min, max))
    if worst["communication_efficiency_high"] >= top["communication_efficiency_low"]:
        return []
    scale = worst["communication_hours"] * YEAR / window_days
    worth, least, most = (
        scale * (top[f"communication_efficiency{up}"] - worst[f"communication_efficiency{down}"])
        for up, down in (("", ""), ("_low", "_high"), ("_high", "_low"))
    )
    said = text.channel(
        worst["name"],
        top["name"],
        worst["communication_efficiency"],
        top["communication_efficiency"],
        worst["communication_hours"],
    )
    return [Change("channel", worst["name"], worth, least, most, "outcomes", True, said)]


def _repairs(frame: Frame, text: ModuleType) -> list[Change]:
    """Fields whose filling would surely tell more about the outcome."""
    columns = ("field", "missing", "known", "gain", "low", "high")
    objects: tuple[ObjectName, ...] = ("lead", "deal")
    found = []
    for name in objects:
        for row in _rows(frame, "quality", name, "repair", columns):
            if row["gain"] is None or not row["missing"]:
                continue
            worth: Mapping[str, float] = {key: row["missing"] * row[key] for key in ("gain", "low", "high")}
            said = text.repair(name, row["field"], row["missing"], row["gain"], row["known"])
            subject = f"{name}.{row['field']}"
            found.append(
                Change(
                    "data_quality", subject, worth["gain"], worth["low"], worth["high"], "nats", True, said
                )
            )
    return found
