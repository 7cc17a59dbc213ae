"""Training: fit the design to the cases, and test on what was not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from crmbridge.metrics.need.arrays import Flags, Floats, Ints, distinct
from crmbridge.metrics.need.card import first_cases
from crmbridge.metrics.need.design import AGE, AGE_DAYS, Matrix, band
from crmbridge.metrics.need.ids import uniform
from crmbridge.metrics.need.logistic import EXACT, ROUGH, Fit, Prior, fit
from crmbridge.metrics.need.publish import NEEDED
from crmbridge.metrics.need.rows import EmbeddedRows, Rows
from crmbridge.metrics.need.scales import learn_scales, precision_of, with_unsure_scales
from crmbridge.metrics.need.snapshots import Refusal, Training
from crmbridge.metrics.need.tested import Level, Tested
from crmbridge.model.records import ObjectName

PRIOR_RATES: Final[dict[ObjectName, float]] = {"lead": 0.10, "deal": 0.25, "account": 0.30}
PRIOR_OUTCOMES: Final = 2.0
TEST_SHARE: Final = 0.2
_FOLDS: Final = 5
_FOLD_STREAM: Final = 9
_HALF_STREAM: Final = 10
_THIN: Final = 60_000
"""Cases of the sample that a climb starts on."""


@dataclass(frozen=True)
class Fitted:
    """A fit, the centre (the means of the matrix columns, where reasons start), and each field's scale."""

    fit: Fit
    centre: Floats
    scales: Floats


@dataclass(frozen=True)
class Learner:
    """Fits models of one object's training cases."""

    object_name: ObjectName
    training: Training
    matrix: Matrix

    @property
    def independence(self) -> float:
        """What a case counts for: together the cases of one record count as one outcome."""
        cases = self.training.cases
        if self.object_name == "account":
            return 1.0  # its cases are different outcomes: whole horizons that do not overlap
        return self.training.records / max(len(cases), 1)

    def fit(
        self, matrix: Matrix, rows: Ints | None, *, start: Fitted | None = None, until: float = EXACT
    ) -> Fitted:
        """The maximum on these cases (all where None).

        Undecided cases have their age and are average in all else, so they do not move the other means.
        """
        chosen = np.arange(len(matrix)) if rows is None else rows
        undecided = self.training.undecided[chosen]
        ages = matrix.narrowed((AGE,))
        centre, image = _centre(matrix, ages, chosen, chosen[~undecided])
        y, weight = self.training.cases.y, self.independence

        def parts(step: int) -> list[Rows]:
            decided, open_still = chosen[~undecided][::step], chosen[undecided][::step]
            with_age_only = (EmbeddedRows(part, image) for part in ages.parts(open_still, y))
            return [*matrix.parts(decided, y), *with_age_only]

        def prior(precision: Floats) -> Prior:
            return Prior(precision, centre, PRIOR_OUTCOMES, PRIOR_RATES[self.object_name])

        # A thin sample tells the scales well enough, and where to start; the maximum does not depend on that.
        thin = parts(max(len(chosen) // _THIN, 1))
        scales, found = learn_scales(
            lambda precision, begin: fit(thin, prior(precision), start=begin, weight=weight, until=ROUGH),
            matrix.design.field_of_column,
            centre != 0.0,
            scales=None if start is None else start.scales,
            start=None if start is None else start.fit,
        )
        full = fit(
            parts(1),
            prior(precision_of(scales, matrix.design.field_of_column)),
            start=found if start is None else start.fit,
            weight=weight,
            until=until,
            fresh=until == EXACT,
        )
        if until == EXACT:
            full = with_unsure_scales(full, matrix.design.field_of_column, centre != 0.0, scales)
        return Fitted(full, centre, scales)

    def narrowed(self, level: Level) -> Matrix:
        """The matrix of the fields that a level uses."""
        if level == "full":
            return self.matrix
        return self.matrix.narrowed((AGE,) if level == "age" else ())

    def test(self, seed: int) -> tuple[Tested | None, dict[Level, Fitted]]:
        """Predictions for cases not learned from, and the models by level; None where there is too little."""
        cases = self.training.cases
        if self.training.records < 2 * NEEDED or not 0.0 < float(cases.y.mean()) < 1.0:
            return None, {}
        newest, cut, refused = self._newest()
        if newest is None:
            fold = np.floor(uniform(cases.ids, seed, _FOLD_STREAM) * _FOLDS)[cases.record]
            parts = [fold == each for each in range(_FOLDS) if bool((fold == each).any())]
        else:
            parts = [newest]
        tested = np.flatnonzero(np.any(parts, axis=0))
        levels: list[Level] = ["base", "full"]
        if any(field.name == AGE for field in self.matrix.design.fields):
            levels.append("age")
        logits = {level: np.zeros(len(cases)) for level in levels}
        models: dict[Level, Fitted] = {}
        for level in levels:
            matrix = self.narrowed(level)
            for part in parts:
                models[level] = self.fit(matrix, np.flatnonzero(~part), start=models.get(level), until=ROUGH)
                held_out = np.flatnonzero(part)
                logits[level][held_out] = matrix.logit(models[level].fit.theta, held_out)
        kind: Literal["time", "period", "folds"]
        kind = "folds" if newest is None else "period" if self.object_name == "account" else "time"
        trained = distinct(cases.record[~parts[0]])
        tests = Tested(
            kind,
            refused,
            cut,
            trained,
            cases.y[tested],
            cases.record[tested],
            band(cases.age[tested].astype(np.float64), np.array(AGE_DAYS)),
            self.training.undecided[tested],
            logits["base"][tested],
            logits["age"][tested] if "age" in logits else None,
            logits["full"][tested],
            tested,
            self.half(seed)[cases.record[tested]],
        )
        return tests, models

    def predicted(self, level: Level, rows: Ints, seed: int, start: Fitted | None) -> Floats:
        """What models of a level predict (log-odds) for these cases, each half of their records by one that
        learned from all cases but those.
        """
        matrix, cases = self.narrowed(level), self.training.cases
        half = self.half(seed)[cases.record]
        among = np.zeros(len(cases), np.bool_)
        among[rows] = True
        found = np.zeros(len(cases))
        for own in (0, 1):
            held_out = np.flatnonzero(among & (half == own))
            if len(held_out):
                learned = self.fit(matrix, np.flatnonzero(~among | (half != own)), start=start, until=ROUGH)
                found[held_out] = matrix.logit(learned.fit.theta, held_out)
        return found[rows]

    def half(self, seed: int) -> Ints:
        """0 or 1 per record, by chance."""
        return (uniform(self.training.cases.ids, seed, _HALF_STREAM) < 0.5).astype(np.int64)

    def _newest(self) -> tuple[Flags | None, int | None, Refusal | None]:
        """The cases of the newest fifth of the records, since when they are, or why there is no such
        fifth.
        """
        cases = self.training.cases
        if self.training.mode != "moments":
            return None, None, self.training.why
        order = np.sort(cases.order[first_cases(self.training)])
        if self.object_name == "account":
            cut = int(cases.order.max())
            if cut == int(cases.order.min()):
                return None, None, "one_horizon"
        else:
            cut = int(order[int((1.0 - TEST_SHARE) * len(order))])
            later = order[order > cut]
            if len(later) and 2 * int((order >= cut).sum()) > len(order):
                cut = int(later[0])
            if 2 * int((order >= cut).sum()) > len(order):
                return None, None, "one_moment"
        newest = cases.order >= cut
        older = cases.y[~newest]
        if len(older) == 0 or not 0.0 < float(older.mean()) < 1.0:
            return None, None, "ended_alike"
        return newest, cut, None


def _centre(matrix: Matrix, ages: Matrix, every: Ints, decided: Ints) -> tuple[Floats, Floats]:
    """The means of the matrix columns (of the age over every case, of all else over decided ones), and the
    linear image that puts a row of the ages' matrix there in all but its age.
    """
    centre = matrix.means(decided)
    image = np.zeros((ages.design.width, matrix.design.width))
    centre[0] = 1.0
    image[0] = centre
    for field, offset in zip(matrix.design.fields, matrix.design.offsets, strict=True):
        if field.name == AGE:
            own = slice(offset, offset + field.width)
            centre[own] = ages.means(every)[1:]
            image[0, own] = 0.0
            image[1:, own] = np.eye(field.width)
    return centre, image
