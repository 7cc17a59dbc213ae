"""The metric: from a frame to a model and its card, from a model to scores with their reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.base import Frame, Metric
from crmbridge.metrics.days import micros
from crmbridge.metrics.need.arena import arena, arena_table
from crmbridge.metrics.need.arrays import Floats, Ints, distinct
from crmbridge.metrics.need.calibrate import Recalibration, recalibration
from crmbridge.metrics.need.card import (
    Inventory,
    base_rate,
    first_cases,
    metrics,
    outcome_counts,
    split_json,
    verdicts,
)
from crmbridge.metrics.need.choose import choose_inputs
from crmbridge.metrics.need.closing import Closings
from crmbridge.metrics.need.design import AGE, Design, Field, Matrix
from crmbridge.metrics.need.drift import drift
from crmbridge.metrics.need.evaluate import Z90
from crmbridge.metrics.need.explain import GroupRates, contributions, group_rates, phrases, reasons
from crmbridge.metrics.need.inputs import Inputs, Reader, is_of_record
from crmbridge.metrics.need.logistic import covariance, probability
from crmbridge.metrics.need.outcomes import Outcomes, read_outcomes
from crmbridge.metrics.need.publish import Comparison, Decision, compare, decide, enough_to_compare
from crmbridge.metrics.need.scales import START
from crmbridge.metrics.need.snapshots import (
    Cases,
    Training,
    account_cases,
    open_cases,
    training_cases,
)
from crmbridge.metrics.need.tested import Tested
from crmbridge.metrics.need.texts import LANGUAGES
from crmbridge.metrics.need.train import PRIOR_OUTCOMES, PRIOR_RATES, Fitted, Learner
from crmbridge.metrics.need.whatif import best_changes, next_stages
from crmbridge.model.fields import result_schema
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model, Results

_DIGITS = 12
_NOW_SAMPLE = 100_000
"""Open records that closed ones are compared with, to find what only the outcome fills in."""


class NeedMetric(Metric):
    """P(x) for leads (converts), deals (is won) and accounts (orders again), each within its horizon.

    See docs/metrics.md, section Need, for what is learned from what, and for the model card.
    """

    name: ClassVar[str] = "need"
    produces: ClassVar[tuple[str, ...]] = (
        "score",
        "score_low",
        "score_high",
        "grade",
        "score_trend",
        "reasons_up",
        "reasons_down",
    )
    objects: ClassVar[tuple[ObjectName, ...]] = ("lead", "deal", "account")
    needs: ClassVar[tuple[ObjectName, ...]] = (
        "lead",
        "deal",
        "account",
        "activity",
        "stage_change",
        "order",
        "rep",
    )

    @property
    def _text(self) -> ModuleType:
        return LANGUAGES[self.settings.language]

    def _horizon(self, object_name: ObjectName) -> int:
        return int(getattr(self.settings.horizon_days, object_name))

    def outcomes(self, object_name: ObjectName, frame: Frame) -> int:
        """Closed leads or deals; for accounts, the orders placed."""
        if object_name == "account":
            return sum(batch.num_rows for batch in frame.scan("order", ["id"]))
        return int(read_outcomes(frame, object_name).closed.sum())

    # Fit

    def fit(self, object_name: ObjectName, frame: Frame) -> Model:
        """Learn from the frame. With too little to learn from, the model is the base rate or abstains."""
        return self._fit(object_name, frame, None)

    def refit(self, object_name: ObjectName, frame: Frame, published: Model) -> Model:
        """Learn anew; the card says whether the model may replace the published one."""
        return self._fit(object_name, frame, published)

    def _fit(self, object_name: ObjectName, frame: Frame, published: Model | None) -> Model:
        text, limit = self._text, self.settings.max_calibration_error
        learner, inventory, past, follows_contacts = self._learner(object_name, frame)
        training = learner.training
        tested, models = learner.test(self.settings.seed)
        counts = outcome_counts(training)
        decision = decide(tested, counts["used_positives"], counts["used_negatives"], limit)
        level = decision.level
        parameters: dict[str, Any] = {
            "format": 1,
            "mode": training.mode,
            "level": level,
            "window_days": self.settings.window_days,
            "follows_contacts": follows_contacts,
        }
        changed = drift(learner.matrix, training, tested, level, self._label) if level != "none" else None
        if level != "none":
            matrix = learner.narrowed(level)
            found = learner.fit(matrix, None, start=models.get(level))
            parameters |= self._parameters(learner, matrix, found, decision.recalibration, tested)
            parameters["next_stages"] = next_stages(frame, matrix.design)
            inventory.learned(matrix.design, found.scales)
        previous = None
        if published is not None and level != "none":
            previous = _compared(published, learner, past, decision, self.settings.seed, models.get(level))
        said = verdicts(text, object_name, training, tested, decision, changed)
        if previous is not None and previous.worse:
            said.append(text.verdict_held_back(previous.name, previous.records))
        recalibrated = decision.recalibration
        card = {
            "target": text.outcome(object_name, self._horizon(object_name)),
            "verdict": said,
            "published": level,
            "horizon_days": self._horizon(object_name),
            "window_days": self.settings.window_days,
            "seed": self.settings.seed,
            "outcomes": counts,
            "assumed": sum(row["assumed"] for row in inventory.used),
            "base_rate": base_rate(training),
            "split": split_json(text, tested, training),
            **(metrics(tested, decision.shown, self.settings.grades) if tested is not None else _NO_TEST),
            "recalibration": None if recalibrated is None else recalibrated.as_json(),
            "drift": changed,
            "previous": None if previous is None else previous.as_json(),
            "gate": {
                "publish": previous is None or not previous.worse,
                "max_calibration_error": limit,
                "miscalibrated": [
                    {"level": refused, "ece": error.as_json()} for refused, error in decision.miscalibrated
                ],
            },
            "arena": arena(inventory.rivals, tested, decision.shown),
            "inputs": inventory.used,
            "blocked": inventory.blocked,
            "dropped": inventory.dropped,
            "excluded": inventory.excluded,
            "included": inventory.included,
            "prior": {
                "rate": PRIOR_RATES[object_name],
                "outcomes": PRIOR_OUTCOMES,
                "coefficient_sd": START,
                "text": text.prior(PRIOR_RATES[object_name], PRIOR_OUTCOMES, START),
            },
        }
        return Model(
            metric=self.name,
            object=object_name,
            parameters=parameters,
            card=_finite(card),
            provisional=decision.provisional,
        )

    def _label(self, name: str) -> str:
        return str(self._text.label(name, self.settings.window_days))

    def _learner(self, object_name: ObjectName, frame: Frame) -> tuple[Learner, Inventory, Inputs, bool]:
        """The cases in the design's terms, what became of every input, the inputs, and whether activities
        filed with contacts alone count.
        """
        training, current, created, outcomes = self._cases(object_name, frame)
        reader = Reader(frame, object_name, self.settings.window_days, training.mode, outcomes)
        past, now = reader.past(training.cases, created), reader.fields(current.sample(_NOW_SAMPLE))
        closings = Closings() if outcomes is None else reader.closings(outcomes, self.settings.seed)
        design, inventory = choose_inputs(
            object_name, self.settings, self._text, training.cases, past, now, closings
        )
        matrix = design.encode(past.columns, len(training.cases))
        return Learner(object_name, training, matrix), inventory, past, reader.follows_contacts

    def _cases(self, object_name: ObjectName, frame: Frame) -> tuple[Training, Cases, Ints, Outcomes | None]:
        """The cases to learn from, those to score, when each of the former was created, and the outcomes
        where records have an end.
        """
        horizon = self._horizon(object_name)
        if object_name == "account":
            training, current = account_cases(frame, _all_ids(frame, "account"), horizon)
            return training, current, training.cases.order, None
        outcomes = read_outcomes(frame, object_name)
        training = training_cases(outcomes, frame, horizon, self.settings.seed)
        return training, open_cases(outcomes, frame), outcomes.created[training.cases.record], outcomes

    def _parameters(
        self,
        learner: Learner,
        matrix: Matrix,
        found: Fitted,
        recalibrated: Recalibration | None,
        tested: Tested | None,
    ) -> dict[str, Any]:
        """The final fit on all cases, put right where its test was off, as JSON."""
        theta, factor, more = found.fit.theta, found.fit.factor, {}
        if recalibrated is not None and tested is not None:
            # The final fit has seen the newest outcomes too: it needs the slope, and what is left to add.
            newest = matrix.logit(theta, tested.rows)
            weight = tested.records / len(tested.y)
            left = recalibration(newest, tested.y, weight, slope=recalibrated.b)
            theta, factor = theta * recalibrated.b, factor / recalibrated.b
            theta[0] += left.a
            covariance_ = [float(f"{each:.{_DIGITS}g}") for each in recalibrated.covariance]
            more = {"recalibration": {"a": left.a, "b": recalibrated.b, "covariance": covariance_}}
        cases, undecided = learner.training.cases, learner.training.undecided
        first = first_cases(learner.training)
        rates = []
        for field, group in zip(matrix.design.fields, matrix.groups, strict=True):
            if field.name == AGE:
                rows = np.arange(len(cases))
            else:
                rows = first[~undecided[first]] if is_of_record(field.name) else np.flatnonzero(~undecided)
            rates.append(group_rates(field, group, cases.record, cases.y, rows).as_json())
        return {
            "fields": [field.as_json() for field in matrix.design.fields],
            "theta": _rounded(theta),
            "centre": _rounded(found.centre),
            "factor": _rounded(factor[np.tril_indices(len(factor))]),
            "rates": rates,
            **_finite(more),
        }

    # Apply

    def apply(self, object_name: ObjectName, frame: Frame, model: Model) -> Results:
        """Score the open records. `score_trend` is "new": who knows the score's history says better."""
        current, outcomes = self._current(object_name, frame)
        fitted = _Parameters(model)
        follows = fitted.follows_contacts
        reader = Reader(
            frame, object_name, fitted.window_days, fitted.mode, outcomes, follows_contacts=follows
        )
        inputs = reader.now(current, {field.name: field.levels for field in fitted.design.fields})
        columns: dict[str, pa.Array] = {"id": current.ids}
        details: dict[str, pa.Array] = {"id": current.ids}
        if fitted.level == "none":
            size = len(current)
            columns["reasons_up"] = pa.array([self._text.abstains(object_name)] * size, pa.string())
        else:
            self._score(object_name, frame, fitted, current, inputs, columns, details)
        schema = result_schema(object_name, self.produces)
        arrays = [
            columns[field.name] if field.name in columns else pa.nulls(len(current), field.type)
            for field in schema
        ]
        values = pa.Table.from_arrays(arrays, schema=schema)
        return Results(object_name, values, pa.table(details), {"arena": arena_table(model.card)})

    def _current(self, object_name: ObjectName, frame: Frame) -> tuple[Cases, Outcomes | None]:
        if object_name == "account":
            return account_cases(frame, _all_ids(frame, "account"), self._horizon("account"))[1], None
        outcomes = read_outcomes(frame, object_name)
        return open_cases(outcomes, frame), outcomes

    def _score(
        self,
        object_name: ObjectName,
        frame: Frame,
        fitted: _Parameters,
        current: Cases,
        inputs: Inputs,
        columns: dict[str, pa.Array],
        details: dict[str, pa.Array],
    ) -> None:
        matrix = fitted.design.encode(inputs.columns, len(current))
        logit = matrix.logit(fitted.theta)
        spread = covariance(fitted.factor)
        variance = np.concatenate([np.zeros(0), *(part.quadratic(spread) for part in matrix.parts())])
        error = np.sqrt(variance + fitted.variance_of_recalibration(logit))
        score = _percent(logit)
        columns["score"] = pa.array(score)
        columns["score_low"] = pa.array(_percent(logit - Z90 * error))
        columns["score_high"] = pa.array(_percent(logit + Z90 * error))
        columns["grade"] = _grades(score, self.settings.grades)
        columns["score_trend"] = pa.array(["new"], pa.string()).take(
            pa.array(np.zeros(len(current), np.int64))
        )
        given = contributions(matrix, fitted.theta, fitted.centre)
        names = _rep_names(frame)
        said = [
            phrases(
                field,
                rates,
                object_name,
                self._text,
                fitted.window_days,
                names if field.name == "owner_id" else {},
            )
            for field, rates in zip(fitted.design.fields, fitted.rates, strict=True)
        ]
        up, down = reasons(given, matrix.groups, said, len(current), self._text.JOINT)
        columns["reasons_up"], columns["reasons_down"] = up, down
        details["base_logit"] = pa.array(np.full(len(current), float(fitted.theta @ fitted.centre)))
        details["logit"] = pa.array(logit)
        for field, contribution in zip(fitted.design.fields, given, strict=True):
            details[f"contribution.{field.name}"] = pa.array(contribution)
        details |= best_changes(
            matrix,
            fitted.theta,
            logit,
            inputs.columns,
            fitted.rates,
            fitted.next_stages,
            self._text,
            fitted.window_days,
        )


class _Parameters:
    """A model's parameters as arrays."""

    def __init__(self, model: Model) -> None:
        found: Mapping[str, Any] = model.parameters
        self.level: str = found["level"]
        self.mode: Any = found["mode"]
        self.window_days = int(found["window_days"])
        self.next_stages: Mapping[str, str] = found.get("next_stages", {})
        self.follows_contacts = bool(found["follows_contacts"])
        self.design = Design(tuple(Field.from_json(field) for field in found.get("fields", ())))
        self.rates = [GroupRates.from_json(rates) for rates in found.get("rates", ())]
        self.theta = np.array(found.get("theta", ()), np.float64)
        self.centre = np.array(found.get("centre", ()), np.float64)
        self.factor = np.zeros((len(self.theta), len(self.theta)))
        self.factor[np.tril_indices(len(self.theta))] = found.get("factor", ())
        put_right = found.get("recalibration")
        self._recalibration = put_right and Recalibration(
            float(put_right["a"]), float(put_right["b"]), tuple(put_right["covariance"]), True
        )

    def variance_of_recalibration(self, logit: Floats) -> Floats:
        """What the recalibration adds to the variance of the log-odds, given these."""
        if self._recalibration is None:
            return np.zeros(len(logit))
        before = (logit - self._recalibration.a) / self._recalibration.b
        return self._recalibration.variance(before)


def _compared(
    published: Model, learner: Learner, past: Inputs, decision: Decision, seed: int, start: Fitted | None
) -> Comparison | None:
    """The published model beside the new one on outcomes that came after the former was fitted; each half of
    them is predicted by a model of the new kind that has not seen it.
    """
    stamp: Any = published.card.get("fitted")
    old, cases = _Parameters(published), learner.training.cases
    if not isinstance(stamp, Mapping) or old.level == "none":
        return None
    since = micros(datetime.fromisoformat(str(stamp["moment"])))
    if learner.object_name == "account":
        # Its horizons overlap from week to week: new is only one that began since.
        unseen = cases.moment > since
    else:
        seen = np.zeros(len(cases.ids), np.bool_)
        seen[cases.record[cases.known <= since]] = True
        unseen = ~seen[cases.record]
    rows = np.flatnonzero(unseen)
    y, group = cases.y[rows], cases.record[rows]
    if not enough_to_compare(y, group):
        return Comparison(published.name, distinct(group), None, None)
    new = learner.predicted(decision.level, rows, seed, start)
    if decision.recalibration is not None:
        new = decision.recalibration.apply(new)
    before = old.design.encode(past.columns, len(cases)).logit(old.theta, rows)
    return compare(published.name, before, new, y, group)


_NO_TEST: dict[str, Any] = {"metrics": None, "calibration": [], "lift": [], "confusion": [], "scores": []}


def _all_ids(frame: Frame, object_name: ObjectName) -> pa.Array:
    ids = frame.table(object_name, ["id"])["id"].combine_chunks()
    return ids.take(pc.sort_indices(ids))


def _rep_names(frame: Frame) -> dict[str, str]:
    reps = frame.table("rep", ["id", "name"]).to_pydict()
    return {id_: name for id_, name in zip(reps["id"], reps["name"], strict=True) if name}


def _percent(logit: Floats) -> Floats:
    return np.round(100.0 * probability(logit), 2)


def _grades(score: Floats, bounds: Sequence[float]) -> pa.Array:
    place = sum((score < bound).astype(np.int64) for bound in bounds)
    return pa.array(["A", "B", "C", "D"], pa.string()).take(pa.array(place))


def _rounded(values: Floats) -> list[float]:
    """Twelve digits: what arithmetic in another order can change is not kept, so equal data give equal
    bytes.
    """
    return [float(f"{value:.{_DIGITS}g}") for value in values.tolist()]


def _finite(value: Any) -> Any:
    """The card's figures in ten digits, for the same reason."""
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return value
