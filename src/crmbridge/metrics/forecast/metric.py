"""The forecast metric: revenue per month to come with its interval, and what each open deal is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from types import ModuleType
from typing import Any, ClassVar, Final, cast

import numpy as np
import pyarrow as pa
from pydantic import JsonValue

from crmbridge.metrics.arrays import Floats, Ids, numbers
from crmbridge.metrics.base import Frame, Metric, MetricSettings
from crmbridge.metrics.days import month_name
from crmbridge.metrics.forecast.backtest import SCHEMA as BACKTEST
from crmbridge.metrics.forecast.backtest import accuracy, backtest
from crmbridge.metrics.forecast.curves import FEWEST_ENDED, Curves, learn
from crmbridge.metrics.forecast.history import History, first_day, month_of
from crmbridge.metrics.forecast.simulate import Drawn, OpenDeals, simulate, standing
from crmbridge.metrics.forecast.texts import LANGUAGES
from crmbridge.model.fields import result_schema
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model, Results

MONTHS: Final = 12
YEAR: Final = 365.0
QUARTERS: Final = 4
_FORECAST: Final = pa.schema(
    [
        ("month", pa.string()),
        ("p10", pa.float64()),
        ("p50", pa.float64()),
        ("p90", pa.float64()),
        ("mean", pa.float64()),
        ("from_open_deals", pa.float64()),
        ("from_new_deals", pa.float64()),
        ("won_so_far", pa.float64()),
        ("currency", pa.string()),
    ]
)
_VELOCITY: Final = pa.schema(
    [
        ("until", pa.string()),
        ("open_deals", pa.int64()),
        ("win_rate", pa.float64()),
        ("mean_amount", pa.float64()),
        ("days_to_win", pa.float64()),
        ("per_day", pa.float64()),
        ("currency", pa.string()),
    ]
)


class ForecastMetric(Metric):
    """Revenue per calendar month as P10, P50 and P90, and the expected revenue of each open deal.

    Chance x amount x time to closing, simulated. A deal's chance to win is its score's where it has one, else
    what became of deals as long in its stage; when it is won always comes from the latter. See
    docs/metrics-forecast.md.
    """

    name: ClassVar[str] = "forecast"
    objects: ClassVar[tuple[ObjectName, ...]] = ("deal",)
    needs: ClassVar[tuple[ObjectName, ...]] = ("deal", "stage_change")
    produces: ClassVar[tuple[str, ...]] = ("expected_revenue",)

    def __init__(self, settings: MetricSettings) -> None:
        super().__init__(settings)
        self._last: tuple[Frame, History] | None = None

    @property
    def _text(self) -> ModuleType:
        return LANGUAGES[self.settings.language]

    def outcomes(self, object_name: ObjectName, frame: Frame) -> int:
        """The deals that have ended."""
        return int(np.isfinite(self._history(frame).closed).sum())

    def fit(self, object_name: ObjectName, frame: Frame) -> Model:
        """Test on the past months. The curves themselves are read from the history each time."""
        history = self._history(frame)
        curves = learn(history, history.now)
        tested = backtest(history, self.settings.horizon_days.deal, self.settings.seed)
        found = accuracy(tested)
        card: dict[str, Any] = {
            "verdict": self._verdict(history, curves, found),
            "ended": 0 if curves is None else curves.new.ended,
            "open": len(history.open_on(history.now)),
            "currency": history.currency,
            "other_currencies": history.other_currencies,
            "accuracy": [_rounded(asdict(each)) for each in found],
        }
        return Model(
            metric=self.name,
            object=object_name,
            parameters={"backtest": [_rounded(row) for row in tested.to_pylist()]},
            card=cast("Mapping[str, JsonValue]", card),
            provisional=curves is None or not found,
        )

    def apply(self, object_name: ObjectName, frame: Frame, model: Model) -> Results:
        """The expected revenue of every live deal (none for closed ones), the months, the test, the pace."""
        history = self._history(frame)
        curves = learn(history, history.now)
        horizon = self.settings.horizon_days.deal
        live = frame.table("deal", ("id",))["id"].combine_chunks()
        tables = {
            "forecast": _FORECAST.empty_table(),
            "forecast_backtest": pa.Table.from_pylist(
                cast("list[dict[str, Any]]", model.parameters["backtest"]), BACKTEST
            ),
            "velocity": _velocity(history),
        }
        expected = np.full(len(history.ids), np.nan)
        if curves is not None:
            there = standing(history, curves, history.now, MONTHS, horizon)
            there = _by_score(there, _scores(frame, history.ids)[there.deal])
            drawn = simulate(history, curves, there, history.now, MONTHS, self.settings.seed)
            tables["forecast"] = _months(history, drawn)
            expected[there.deal] = there.chance * history.amount[there.deal]
        place = Ids(history.ids).find(live)
        found = np.where(place >= 0, np.append(expected, np.nan)[place], np.nan)
        return Results(
            object=object_name,
            values=pa.table(
                {"id": live, "expected_revenue": pa.array(found, mask=~np.isfinite(found))},
                schema=result_schema(object_name, self.produces),
            ),
            tables=tables,
        )

    def _history(self, frame: Frame) -> History:
        """The history of a frame, read once for fitting and applying."""
        if self._last is None or self._last[0] is not frame:
            self._last = (frame, History.of(frame))
        return self._last[1]

    def _verdict(self, history: History, curves: Curves | None, found: list[Any]) -> list[str]:
        text = self._text
        if curves is None:
            ended = np.isfinite(history.closed) & np.isfinite(history.created)
            return [text.too_few(int(ended.sum()), FEWEST_ENDED)]
        said = [text.by_history(curves.new.ended, len(history.open_on(history.now)))]
        if history.other_currencies and history.currency is not None:
            said.append(text.other_currencies(history.other_currencies, history.currency))
        said += [
            text.tested(each.months, each.forecasts, each.coverage, each.error, each.naive) for each in found
        ]
        return said if found else [*said, text.not_tested()]


def _scores(frame: Frame, ids: pa.Array) -> Floats:
    """The chance to win that each deal's score says; NaN where it has none."""
    known = frame.results("need", "deal", ("id", "score"))
    chances = np.full(len(ids), np.nan)
    if known is not None:
        place = Ids(known["id"].combine_chunks()).find(ids)
        scores = np.append(numbers(known["score"].combine_chunks()), np.nan)
        chances = np.where(place >= 0, scores[place] / 100.0, np.nan)
    return chances


def _by_score(there: OpenDeals, scored: Floats) -> OpenDeals:
    """The open deals with the chances of their scores, spread over the months as their curves are."""
    known = np.isfinite(scored) & (there.chance > 0)
    ratio = np.where(known, scored / np.where(there.chance > 0, there.chance, 1.0), 1.0)
    most = there.by_month[:, -1]
    ratio = np.minimum(ratio, np.where(most > 0, 1.0 / np.where(most > 0, most, 1.0), 1.0))
    return replace(
        there,
        by_month=there.by_month * ratio[:, None],
        chance=np.where(np.isfinite(scored), scored, there.chance),
    )


def _months(history: History, drawn: Drawn) -> pa.Table:
    low, middle, high = np.round(np.quantile(drawn.total, (0.1, 0.5, 0.9), axis=0), 2)
    so_far = np.zeros(len(drawn.months))
    so_far[0] = history.revenue(first_day(int(drawn.months[0])), history.now)
    columns = {
        "month": [month_name(int(month)) for month in drawn.months],
        "p10": low + so_far,
        "p50": middle + so_far,
        "p90": high + so_far,
        "mean": np.round(drawn.total.mean(axis=0), 2) + so_far,
        "from_open_deals": np.round(drawn.open_deals.mean(axis=0), 2),
        "from_new_deals": np.round(drawn.new_deals.mean(axis=0), 2),
        "won_so_far": so_far,
        "currency": [history.currency] * len(drawn.months),
    }
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in _FORECAST})


def _velocity(history: History) -> pa.Table:
    """Revenue a day that the pipeline makes: open deals x win rate x mean amount won / days to win.

    Rate, amount and days are those of the deals that ended within a year before; now and at the ends of the
    last quarters.
    """
    this = month_of(history.now)
    quarter = this - this % 3
    ends = [first_day(quarter - 3 * back) for back in range(QUARTERS - 1, -1, -1)]
    rows = []
    for day in sorted({*ends, history.now}):
        ended = np.isfinite(history.closed) & (history.closed >= day - YEAR) & (history.closed < day)
        won = ended & history.won
        amounts = history.amount[won & np.isfinite(history.amount)]
        took = (history.closed - history.created)[won]
        took = took[np.isfinite(took)]
        waiting = len(history.open_on(day))
        rate = float(won.sum() / ended.sum()) if ended.any() else None
        mean = float(amounts.mean()) if len(amounts) else None
        days = float(took.mean()) if len(took) else None
        pace = None
        if rate is not None and mean is not None and days:
            pace = waiting * rate * mean / days
        until = str(np.datetime64(int(np.floor(day)), "D"))
        rows.append((until, waiting, rate, mean, days, pace, history.currency))
    names = _VELOCITY.names
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], _VELOCITY)


def _rounded(row: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Figures in ten digits: what arithmetic in another order can change is not kept."""
    return {
        name: float(f"{value:.10g}") if isinstance(value, float) else value for name, value in row.items()
    }
