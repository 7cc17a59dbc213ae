"""What came out when models were tested on cases they had not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from crmbridge.metrics.need.arrays import Flags, Floats, Ints, distinct
from crmbridge.metrics.need.evaluate import Estimate, auc, gain
from crmbridge.metrics.need.snapshots import Refusal

Level = Literal["none", "base", "age", "full"]
"""What a model knows: nothing, the base rate, the base rate of the record's age, or all inputs."""


@dataclass(frozen=True)
class Tested:
    """Predictions (log-odds) per tested case, by the model's level; `age` is None where age is no input.

    `kind`: the test cases are the newest fifth of the records ("time"), the last whole horizon ("period"),
    or every case held out once ("folds"), and then `refused` says why. `cut` is since when they are new, in
    microseconds. `group` is the case's record, `stratum` its band of age. `undecided` cases say nothing
    about the inputs. `rows` are the cases' places in the training; `half` (0 or 1) cuts the records in two.
    """

    kind: Literal["time", "period", "folds"]
    refused: Refusal | None
    cut: int | None
    trained_on: int
    y: Floats
    group: Ints
    stratum: Ints
    undecided: Flags
    base: Floats
    age: Floats | None
    full: Floats
    rows: Ints
    half: Ints

    @property
    def records(self) -> int:
        """How many records were tested."""
        return distinct(self.group)

    @property
    def gain_of_inputs(self) -> Estimate | None:
        """How much better all inputs do than the base rate (of the same age, where age is an input)."""
        rows = np.flatnonzero(~self.undecided)
        if len(rows) == 0:
            return None
        known = self.base if self.age is None else self.age
        return gain(self.full[rows], known[rows], self.y[rows], self.group[rows])

    @property
    def gain_of_age(self) -> Estimate | None:
        """How much better the base rate of the age does than one for all."""
        return None if self.age is None else gain(self.age, self.base, self.y, self.group)

    @property
    def auc_at_same_age(self) -> Estimate | None:
        """The AUC of all inputs among records of about the same age: what they tell beyond it."""
        rows = np.flatnonzero(~self.undecided)
        return auc(self.full[rows], self.y[rows], self.group[rows], self.stratum[rows])

    def published(self, level: Level) -> Floats:
        """The predictions of the model of a level."""
        if level == "full":
            return self.full
        return self.age if level == "age" and self.age is not None else self.base
