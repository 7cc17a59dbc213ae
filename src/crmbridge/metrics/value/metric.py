"""The value metric: who will order again, how often, and what that brings in twelve months."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, ClassVar, Final, cast

import numpy as np
import pyarrow as pa
from pydantic import JsonValue
from scipy.stats import rankdata

from crmbridge.metrics.arrays import Codes, Floats, Ids
from crmbridge.metrics.base import Frame, Metric, MetricSettings
from crmbridge.metrics.value import contract
from crmbridge.metrics.value.learn import FEWEST_REPEATERS, Learned, learn, shortened
from crmbridge.metrics.value.predict import YEAR, Prediction, predict
from crmbridge.metrics.value.purchases import Histories, Purchases
from crmbridge.metrics.value.texts import LANGUAGES
from crmbridge.model.fields import result_schema
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model, Results

FEWEST_TESTED: Final = 100
SURE: Final = 100
"""Customers with a second order from which on the model is not provisional."""
_MEASURES: Final = (
    "orders_12m",
    "order_chance_12m",
    "mean_order",
    "clv_12m",
    "orders_so_far",
    "days_since_order",
)


class ValueMetric(Metric):
    """The chance that a customer orders again, and the value of the next 12 months with its 90 % interval.

    From the orders alone: BG/NBD and Gamma-Gamma, a renewal model where customers have contracts, the
    empirical rate where the fit degenerates. See docs/metrics-value.md.
    """

    name: ClassVar[str] = "value"
    objects: ClassVar[tuple[ObjectName, ...]] = ("account",)
    needs: ClassVar[tuple[ObjectName, ...]] = ("order",)
    needs_records: ClassVar[bool] = False
    produces: ClassVar[tuple[str, ...]] = ("p_alive", "value_12m", "value_low", "value_high")

    def __init__(self, settings: MetricSettings) -> None:
        super().__init__(settings)
        self._last: tuple[Frame, Purchases] | None = None

    @property
    def _text(self) -> ModuleType:
        return LANGUAGES[self.settings.language]

    def outcomes(self, object_name: ObjectName, frame: Frame) -> int:
        """The purchases known."""
        return len(self._purchases(frame).day)

    def fit(self, object_name: ObjectName, frame: Frame) -> Model:
        """Learn from all orders. With too few repeat orders the model abstains and says so."""
        purchases = self._purchases(frame)
        histories = purchases.histories()
        learned = learn(purchases, self.settings.customers)
        repeaters = int((histories.repeats > 0).sum())
        test = _test(purchases, learned, self.settings)
        card: dict[str, Any] = {
            "verdict": self._verdict(purchases, learned, histories, test),
            "kind": learned.kind,
            "customers": len(histories),
            "repeaters": repeaters,
            "purchases": len(purchases.day),
            "currency": purchases.currency,
            "left_out": dict(purchases.left_out),
            "bg_nbd": _bg_nbd_card(learned),
            "gamma_gamma": _gamma_gamma_card(learned),
            "contracts": None if learned.renewals is None else vars(learned.renewals),
            "test": test,
        }
        return Model(
            metric=self.name,
            object=object_name,
            parameters=learned.to_json(),
            card=cast("Mapping[str, JsonValue]", shortened(card)),
            provisional=learned.kind == "none" or repeaters < SURE,
        )

    def apply(self, object_name: ObjectName, frame: Frame, model: Model) -> Results:
        """The figures of every live account; none for those without orders, or where the metric abstains."""
        purchases = self._purchases(frame)
        learned = Learned.from_json(model.parameters)
        predicted = predict(learned, purchases, seed=self.settings.seed)
        histories = purchases.histories()
        live = frame.table("account", ("id",))["id"].combine_chunks()
        rows = _rows_of(Ids(purchases.ids).find(live), histories.customer, len(purchases.ids))
        columns = _columns(predicted, histories)
        types = result_schema(object_name, self.produces)
        values = {name: _taken(columns[name], rows) for name in types.names if name != "id"}
        details: dict[str, pa.Array] = {name: _taken(columns[name], rows) for name in _MEASURES}
        details["value_from"] = _names(predicted, rows)
        details["value_note"] = self._notes(predicted, rows)
        return Results(
            object=object_name,
            values=pa.table({"id": live, **values}, schema=types),
            details=pa.table(details),
            tables=_tables(purchases, predicted, columns, live),
        )

    def _purchases(self, frame: Frame) -> Purchases:
        """The purchases of a frame, read once for fitting and applying."""
        if self._last is None or self._last[0] is not frame:
            self._last = (frame, Purchases.of(frame))
        return self._last[1]

    def _notes(self, predicted: Prediction | None, rows: Codes) -> pa.Array:
        """Why an account has no value."""
        known = rows >= 0
        if predicted is None:
            return pa.array(np.where(known, self._text.NO_MODEL, self._text.NO_ORDER), pa.string())
        unpriced = known & np.isnan(np.append(predicted.value, 0.0)[rows])
        notes = np.where(known, self._text.OTHER_CURRENCY, self._text.NO_ORDER)
        return pa.array(notes, pa.string(), mask=known & ~unpriced)

    def _verdict(
        self, purchases: Purchases, learned: Learned, histories: Histories, test: Mapping[str, Any] | None
    ) -> list[str]:
        text = self._text
        repeaters = int((histories.repeats > 0).sum())
        if learned.kind == "none":
            return [text.too_few(repeaters, FEWEST_REPEATERS)]
        if learned.renewals is not None:
            share = contract.regular_share(purchases)[0] if self.settings.customers == "auto" else None
            said = [text.contracts(share, learned.renewals.period, learned.renewals.problem)]
        elif learned.bg_nbd is not None and learned.bg_nbd.problem is not None:
            said = [text.nobody_leaves(learned.bg_nbd.problem)]
        else:
            said = [text.by_model(len(histories), repeaters)]
        if learned.typical is None:
            said.append(text.no_amounts())
        elif learned.gamma_gamma is not None:
            about = text.spending(learned.gamma_gamma.problem, _correlation(histories))
            said += [about] if about else []
        if purchases.other_currencies and purchases.currency is not None:
            said.append(text.other_currencies(purchases.other_currencies, purchases.currency))
        if test is None:
            said.append(text.not_tested())
        else:
            said.append(text.tested(test["predicted"], test["actual"], test["days"], test["coverage"]))
        return said


def _test(purchases: Purchases, learned: Learned, settings: MetricSettings) -> dict[str, Any] | None:
    """What a model fitted on the older orders expected of the newest, and what came.

    The last year is kept apart, or the last half of a shorter history. None where fewer than 100 customers
    or too few repeat orders are left to learn from.
    """
    if learned.kind == "none" or not len(purchases.day):
        return None
    days = int(min(YEAR, (purchases.today - int(purchases.day.min())) // 2))
    before = purchases.until(purchases.today - days)
    histories = before.histories()
    if days < 28 or len(histories) < FEWEST_TESTED:
        return None
    found = predict(learn(before, settings.customers), before, float(days), settings.seed)
    if found is None:
        return None
    later = purchases.day > before.today
    of, number = purchases.customer[later], len(purchases.ids)
    came = np.bincount(of, minlength=number)[found.customer]
    brought = np.bincount(of, np.nan_to_num(purchases.amount[later]), minlength=number)[found.customer]
    priced = np.isfinite(found.value)
    inside = (found.low <= brought) & (brought <= found.high)
    return {
        "days": days,
        "customers": len(histories),
        "predicted": float(found.orders.sum()),
        "actual": int(came.sum()),
        "mean_absolute_error": float(np.abs(found.orders - came).mean()),
        "value_predicted": float(found.value[priced].sum()) if priced.any() else None,
        "value_actual": float(brought[priced].sum()) if priced.any() else None,
        "coverage": float(inside[priced].mean()) if priced.any() else None,
    }


def _correlation(histories: Histories) -> float | None:
    """Rank correlation of how often and how much, over the customers with a repeat order of known value."""
    rows = (histories.priced >= 1) & (np.nan_to_num(histories.mean) > 0)
    if rows.sum() < 3:
        return None
    often, much = rankdata(histories.priced[rows]), rankdata(histories.mean[rows])
    if often.std() == 0 or much.std() == 0:
        return None
    return float(np.corrcoef(often, much)[0, 1])


def _bg_nbd_card(learned: Learned) -> dict[str, Any] | None:
    fitted = learned.bg_nbd
    if fitted is None:
        return None
    return {
        "r": fitted.rates.r,
        "alpha_weeks": fitted.rates.alpha,
        "a": fitted.rates.a,
        "b": fitted.rates.b,
        "log_likelihood": fitted.log_likelihood,
        "log_likelihood_nobody_leaves": fitted.log_likelihood_staying,
        "problem": fitted.problem,
    }


def _gamma_gamma_card(learned: Learned) -> dict[str, Any] | None:
    fitted = learned.gamma_gamma
    if fitted is None:
        return None
    mean = fitted.mean if fitted.problem is None else None
    return {"p": fitted.p, "q": fitted.q, "v": fitted.v, "mean_order": mean, "problem": fitted.problem}


def _columns(predicted: Prediction | None, histories: Histories) -> dict[str, Floats]:
    nothing = np.full(len(histories), np.nan)
    of = predicted
    return {
        "p_alive": of.p_alive if of else nothing,
        "value_12m": of.value if of else nothing,
        "value_low": of.low if of else nothing,
        "value_high": of.high if of else nothing,
        "orders_12m": of.orders if of else nothing,
        "order_chance_12m": of.order_chance if of else nothing,
        "mean_order": of.mean_order if of else nothing,
        "clv_12m": of.clv if of else nothing,
        "orders_so_far": histories.repeats + 1,
        "days_since_order": histories.age - histories.last,
    }


def _rows_of(codes: Codes, customers: Codes, number: int) -> Codes:
    """The row of each customer number; -1 where it has no purchase."""
    row = np.full(number + 1, -1, np.int64)
    row[customers] = np.arange(len(customers))
    return row[codes]


def _taken(column: Floats, rows: Codes) -> pa.Array:
    taken = np.append(column, np.nan)[rows]
    return pa.array(taken, pa.float64(), mask=~np.isfinite(taken))


def _names(predicted: Prediction | None, rows: Codes) -> pa.Array:
    if predicted is None:
        return pa.nulls(len(rows), pa.string())
    return pa.array(np.append(predicted.how, np.array([None], object))[rows], pa.string())


def _tables(
    purchases: Purchases, predicted: Prediction | None, columns: Mapping[str, Floats], live: pa.Array
) -> dict[str, pa.Table]:
    """The organisation's figures, and the customers that have orders but no account record."""
    customers = len(columns["p_alive"])
    figures: list[tuple[str, float | None]] = [("customers", float(customers))]
    for name in ("p_alive", "orders_12m", "value_12m", "clv_12m"):
        total = columns[name][np.isfinite(columns[name])]
        figures.append((name, float(total.sum()) if predicted is not None and len(total) else None))
    summary = pa.table(
        [pa.array(column) for column in zip(*figures, strict=True)],
        schema=pa.schema([("figure", pa.string()), ("value", pa.float64())]),
    )
    tables = {"value_summary": summary}
    numbers = _rows_of(np.arange(len(purchases.ids)), purchases.histories().customer, len(purchases.ids))
    recorded = Ids(live).find(purchases.ids) >= 0
    strange = np.flatnonzero(~recorded & (numbers >= 0))
    if len(strange):
        rows = numbers[strange]
        tables["customers_without_record"] = pa.table(
            {"id": purchases.ids.take(pa.array(strange))}
            | {name: _taken(column, rows) for name, column in columns.items()}
        )
    return tables
