"""The market metric: figures of the organisation as a whole; it writes no field."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, ClassVar, Final, cast

import numpy as np
import pyarrow as pa
from pydantic import JsonValue

from crmbridge.metrics.arrays import Codes, Floats, Mask
from crmbridge.metrics.base import Frame, Metric, MetricSettings
from crmbridge.metrics.market import compare
from crmbridge.metrics.market.compare import FALSE_DISCOVERIES, MEASURES, Estimate
from crmbridge.metrics.market.groups import Closed, Dimension, closed_deals, current_quarter, quarter_name
from crmbridge.metrics.market.moved import Moved, moved, won_value_moved
from crmbridge.metrics.market.texts import LANGUAGES
from crmbridge.model.fields import result_schema
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model, Results


class MarketMetric(Metric):
    """Win rate, value, days to close and growth by industry, country, source, product, size, type and team;
    and what moved between the last two whole quarters. See docs/metrics-market.md.
    """

    name: ClassVar[str] = "market"
    objects: ClassVar[tuple[ObjectName, ...]] = ("deal",)
    needs: ClassVar[tuple[ObjectName, ...]] = ("deal", "account", "rep")
    produces: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: MetricSettings) -> None:
        super().__init__(settings)
        self._last: tuple[Frame, Closed, list[dict[str, Any]]] | None = None

    @property
    def _text(self) -> ModuleType:
        return LANGUAGES[self.settings.language]

    def outcomes(self, object_name: ObjectName, frame: Frame) -> int:
        """The closed deals."""
        return len(self._read(frame)[0])

    def fit(self, object_name: ObjectName, frame: Frame) -> Model:
        """There is nothing to learn: the card says what is compared."""
        closed, rows = self._read(frame)
        said = [row for row in rows if row["p_value"] is not None]
        verdict = []
        if not len(closed):
            verdict.append(self._text.none_closed())
        else:
            verdict.append(self._text.compared(len(said), sum(row["stands_out"] is not None for row in said)))
        if closed.several_currencies:
            verdict.append(self._text.several_currencies())
        last = current_quarter(frame) - 1
        change = _win_rate_change(closed, last)
        if change is not None:
            verdict.append(self._text.win_rate_moved(quarter_name(last), *change))
        card: dict[str, Any] = {
            "verdict": verdict,
            "closed": len(closed),
            "won": int(closed.won.sum()),
            "dimensions": {each.name: len(each.names) for each in closed.dimensions},
            "comparisons": len(said),
            "false_discovery_rate": FALSE_DISCOVERIES,
            "last_quarter": quarter_name(last),
        }
        return Model(
            metric=self.name,
            object=object_name,
            parameters={},
            card=cast("Mapping[str, JsonValue]", card),
            provisional=not len(closed),
        )

    def apply(self, object_name: ObjectName, frame: Frame, model: Model) -> Results:
        """The tables; deals carry no field of this metric."""
        closed, compared = self._read(frame)
        last = current_quarter(frame) - 1
        groups, whole = _moved_tables(closed, last, self._text.OTHERS)
        return Results(
            object=object_name,
            values=result_schema(object_name, self.produces).empty_table(),
            tables={
                "market": pa.Table.from_pylist(compared, _MARKET),
                "quarters": pa.Table.from_pylist(_quarters(closed), _QUARTERS),
                "moved": pa.Table.from_pylist(whole, _MOVED),
                "moved_groups": pa.Table.from_pylist(groups, _GROUPS),
            },
        )

    def _read(self, frame: Frame) -> tuple[Closed, list[dict[str, Any]]]:
        """The closed deals of a frame and all comparisons, made once for fitting and applying."""
        if self._last is None or self._last[0] is not frame:
            closed = closed_deals(frame)
            self._last = (frame, closed, _compared(closed, current_quarter(frame) - 1))
        return self._last[1:]


def _compared(closed: Closed, last: int) -> list[dict[str, Any]]:
    """One row per dimension, group and measure; `stands_out` is above or below where that is sure."""
    rows: list[dict[str, Any]] = []
    for dimension in closed.dimensions:
        for number, name in enumerate(dimension.names):
            inside = dimension.group == number
            for measure, found in _measured(closed, inside, last).items():
                rows.append(
                    {
                        "dimension": dimension.name,
                        "group": name,
                        "closed": int(inside.sum()),
                        "won": int(closed.won[inside].sum()),
                        "measure": measure,
                        **vars(found),
                    }
                )
    for row, q_value in zip(rows, compare.corrected([row["p_value"] for row in rows]), strict=True):
        row["q_value"] = q_value
        sure = q_value is not None and q_value <= FALSE_DISCOVERIES
        differs = sure and row["value"] is not None and row["others"] is not None
        row["stands_out"] = ("above" if row["value"] > row["others"] else "below") if differs else None
    return rows


def _measured(closed: Closed, inside: Mask, last: int) -> dict[str, Estimate]:
    found = (
        compare.win_rate(closed, inside),
        compare.value(closed, inside),
        compare.days(closed, inside),
        compare.growth(closed, inside, last),
    )
    return dict(zip(MEASURES, found, strict=True))


def _quarters(closed: Closed) -> list[dict[str, Any]]:
    """One row per calendar quarter in which a deal was closed, oldest first."""
    rows = []
    for quarter in np.unique(closed.quarter[closed.quarter >= 0]).tolist():
        own = closed.quarter == quarter
        won = closed.won & own
        rate, low, high = compare.share(int(won.sum()), int(own.sum()))
        amounts, days = closed.amount[won], closed.days[won]
        amounts, days = amounts[np.isfinite(amounts)], days[np.isfinite(days)]
        rows.append(
            {
                "quarter": quarter_name(quarter),
                "closed": int(own.sum()),
                "won": int(won.sum()),
                "win_rate": rate,
                "win_rate_low": low,
                "win_rate_high": high,
                "won_value": float(amounts.sum()) if len(amounts) else None,
                "mean_value": float(amounts.mean()) if len(amounts) else None,
                "median_days": float(np.median(days)) if len(days) else None,
            }
        )
    return rows


def _win_rate_change(closed: Closed, last: int) -> tuple[float, float, float | None] | None:
    """Win rate of the quarter before and of the last, and Fisher's p-value; None without deals in both."""
    won, number = [], []
    for quarter in (last - 1, last):
        own = closed.quarter == quarter
        won.append(int(closed.won[own].sum()))
        number.append(int(own.sum()))
    if not all(number):
        return None
    p_value = compare.fisher(won[0], number[0] - won[0], won[1], number[1] - won[1])
    return won[0] / number[0], won[1] / number[1], p_value


def _moved_tables(
    closed: Closed, last: int, others: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Per dimension and measure what moved between the last two whole quarters: by group, and in all."""
    groups: list[dict[str, Any]] = []
    whole: list[dict[str, Any]] = []
    quarters = {"quarter": quarter_name(last), "before_quarter": quarter_name(last - 1)}
    for dimension in closed.dimensions:
        for measure, rows, values in (
            ("win_rate", np.ones(len(closed), bool), closed.won.astype(np.float64)),
            ("value", closed.won & np.isfinite(closed.amount), closed.amount),
        ):
            found = _moved_by(closed, dimension, rows, values, last)
            if found is None:
                continue
            key = {"dimension": dimension.name, "measure": measure}
            whole.append(
                {
                    **quarters,
                    **key,
                    "before": found.before,
                    "after": found.after,
                    "change": found.after - found.before,
                    "mix": found.mix,
                    "within": found.within,
                }
            )
            for number, name in enumerate((*dimension.names, others)):
                if found.shares[0][number] or found.shares[1][number]:
                    groups.append({**quarters, **key, "group": name, **_of_group(found, number)})
    return groups, [*whole, *_won_value(closed, last, quarters)]


def _moved_by(closed: Closed, dimension: Dimension, rows: Mask, values: Floats, last: int) -> Moved | None:
    number = len(dimension.names) + 1
    group: Codes = np.where(dimension.group < 0, number - 1, dimension.group)
    before, after = (rows & (closed.quarter == quarter) for quarter in (last - 1, last))
    return moved((group[before], group[after]), (values[before], values[after]), number)


def _of_group(found: Moved, number: int) -> dict[str, float | None]:
    rates = [None if np.isnan(rates[number]) else float(rates[number]) for rates in found.rates]
    return {
        "share_before": float(found.shares[0][number]),
        "share_after": float(found.shares[1][number]),
        "before": rates[0],
        "after": rates[1],
        "mix": float(found.mix_of[number]),
        "within": float(found.within_of[number]),
    }


def _won_value(closed: Closed, last: int, quarters: Mapping[str, str]) -> list[dict[str, Any]]:
    """What of the change in the value won comes from the number of deals, the win rate and the mean value."""
    parts = []
    for quarter in (last - 1, last):
        own = closed.quarter == quarter
        won = closed.won & own
        amounts = closed.amount[won & np.isfinite(closed.amount)]
        rate = won.sum() / own.sum() if own.any() else 0.0
        parts.append((float(own.sum()), float(rate), float(amounts.mean()) if len(amounts) else 0.0))
    found = won_value_moved(parts[0], parts[1])
    if found is None:
        return []
    before, after = (float(np.prod(each)) for each in parts)
    return [
        {
            **quarters,
            "dimension": name,
            "measure": "won_value",
            "before": before,
            "after": after,
            "change": change,
        }
        for name, change in zip(("closed deals", "win rate", "mean value"), found, strict=True)
    ]


_MARKET: Final = pa.schema(
    [
        ("dimension", pa.string()),
        ("group", pa.string()),
        ("closed", pa.int64()),
        ("won", pa.int64()),
        ("measure", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("others", pa.float64()),
        ("p_value", pa.float64()),
        ("q_value", pa.float64()),
        ("stands_out", pa.string()),
    ]
)
_QUARTERS: Final = pa.schema(
    [
        ("quarter", pa.string()),
        ("closed", pa.int64()),
        ("won", pa.int64()),
        *((name, pa.float64()) for name in ("win_rate", "win_rate_low", "win_rate_high")),
        *((name, pa.float64()) for name in ("won_value", "mean_value", "median_days")),
    ]
)
_CHANGE: Final = [
    ("quarter", pa.string()),
    ("before_quarter", pa.string()),
    ("dimension", pa.string()),
    ("measure", pa.string()),
]
_MOVED: Final = pa.schema(
    [*_CHANGE, *((name, pa.float64()) for name in ("before", "after", "change", "mix", "within"))]
)
_GROUPS: Final = pa.schema(
    [
        *_CHANGE,
        ("group", pa.string()),
        *((n, pa.float64()) for n in ("share_before", "share_after", "before", "after", "mix", "within")),
    ]
)
