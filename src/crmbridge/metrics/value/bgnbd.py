"""BG/NBD: who is still a customer, and how often will they order.

While a customer is there, orders come as a Poisson process with rate lambda ~ Gamma(r, alpha); after each
repeat order the customer leaves for good with probability p ~ Beta(a, b). Time is in weeks. With x repeat
orders, the last at t_x, observed until T, the log-likelihood is A1 + A2 + log(e^A3 + [x > 0] e^A4):

    A1 = lnG(r + x) - lnG(r) + r ln(alpha)
    A2 = lnG(a + b) + lnG(b + x) - lnG(b) - lnG(a + b + x)
    A3 = -(r + x) ln(alpha + T)
    A4 = ln(a) - ln(b + x - 1) - (r + x) ln(alpha + t_x)

Source: Fader, Hardie and Lee, "Counting Your Customers" the Easy Way, Marketing Science 24, 2005.
Where nobody leaves (a -> 0) it becomes the NBD of Ehrenberg, 1959: A1 + A3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy.special import betaln, digamma, expit, gammaln

from crmbridge.metrics.arrays import Codes, Floats
from crmbridge.metrics.value.maximum import Maximum, maximum

STARTS: Final = ((0.5, 0.5, 1.0), (1.0, 0.1, 3.0), (0.2, 1.5, 1.5), (3.0, 1.0, 10.0))
"""r, a and b to begin with; alpha follows from the mean rate."""
ROUGHLY: Final = 5_000
"""So many distinct histories are enough to choose among the starts."""
LEAST_GAIN: Final = 2.706
"""What leaving must add to the log-likelihood to be sure (99 %): where a = 0 is true, twice the gain is 0 in
half of the cases and else chi-square with one degree of freedom (Self and Liang, JASA 82, 1987)."""


class Counts(NamedTuple):
    """Distinct histories: x, t_x and T (weeks), and how many customers have each.

    `kinds` are the distinct x, `kind` numbers them: what depends on x alone is worked out once for each.
    """

    x: Floats
    last: Floats
    age: Floats
    weight: Floats
    kinds: Floats
    kind: Codes

    @classmethod
    def of(cls, x: Floats, last: Floats, age: Floats) -> Counts:
        """Equal histories are counted once; their order does not matter."""
        rows = np.stack([x, last, age], axis=1)
        rows = rows[np.lexsort((age, last, x))]
        new = np.ones(len(rows), bool)
        new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
        begin = np.flatnonzero(new)
        weight = np.diff(np.append(begin, len(rows))).astype(np.float64)
        x, last, age = np.ascontiguousarray(rows[begin].T)
        return cls._made(x, last, age, weight)

    @classmethod
    def _made(cls, x: Floats, last: Floats, age: Floats, weight: Floats) -> Counts:
        kinds, kind = np.unique(x, return_inverse=True)
        return cls(x, last, age, weight, kinds, kind)

    def sample(self, number: int) -> Counts:
        """An even sample of the distinct histories."""
        if len(self.x) <= number:
            return self
        rows = np.linspace(0, len(self.x) - 1, number).astype(np.int64)
        return self._made(self.x[rows], self.last[rows], self.age[rows], self.weight[rows])


@dataclass(frozen=True)
class Rates:
    """How orders come and customers leave: r, alpha (weeks), a and b. a = 0: nobody leaves."""

    r: float
    alpha: float
    a: float
    b: float


@dataclass(frozen=True)
class Fit:
    """The parameters at the maximum, and whether they can be used.

    `log_likelihood_staying` is that of the NBD, where nobody leaves; `staying` has its parameters.
    `problem` says in a word why the fit can't be used, None where it can: `nobody leaves`, `boundary`,
    `no maximum`.
    """

    rates: Rates
    log_likelihood: float
    staying: Rates
    log_likelihood_staying: float
    problem: str | None


def log_likelihood(theta: Floats, counts: Counts) -> tuple[float, Floats]:
    """The BG/NBD's log-likelihood at (ln r, ln alpha, ln a, ln b), and its gradient there."""
    r, alpha, a, b = np.exp(theta)
    x, last, age, weight, kinds, kind = counts
    some = kinds > 0
    rest = np.where(some, np.maximum(b + kinds - 1, 1e-300), 1.0)
    dead = np.where(some, np.log(a) - np.log(rest), -np.inf)[kind]
    log_age, log_last = np.log(alpha + age), np.log(alpha + last)
    # e^A3 + e^A4 in logarithms; `left` is the second's share: the chance to have left.
    difference = dead + (r + x) * (log_age - log_last)
    left = expit(difference)
    own = gammaln(r + kinds) - gammaln(r) + r * np.log(alpha) + betaln(a, b + kinds) - betaln(a, b)
    total = float(weight @ (own[kind] - (r + x) * log_age + np.logaddexp(0.0, difference)))
    at_r = (digamma(r + kinds) - digamma(r) + np.log(alpha))[kind] - (1 - left) * log_age - left * log_last
    at_alpha = r / alpha - (r + x) * ((1 - left) / (alpha + age) + left / (alpha + last))
    common = digamma(a + b) - digamma(a + b + kinds)
    at_a = common[kind] + left / a
    at_b = (common + digamma(b + kinds) - digamma(b))[kind] - left / rest[kind]
    gradient = np.array([weight @ at_r * r, weight @ at_alpha * alpha, weight @ at_a * a, weight @ at_b * b])
    return total, gradient


def staying_log_likelihood(theta: Floats, counts: Counts) -> tuple[float, Floats]:
    """The NBD's log-likelihood at (ln r, ln alpha), and its gradient there."""
    r, alpha = np.exp(theta)
    x, _, age, weight, kinds, kind = counts
    log_age = np.log(alpha + age)
    own = gammaln(r + kinds) - gammaln(r) + r * np.log(alpha)
    total = float(weight @ (own[kind] - (r + x) * log_age))
    at_r = (digamma(r + kinds) - digamma(r) + np.log(alpha))[kind] - log_age
    at_alpha = r / alpha - (r + x) / (alpha + age)
    return total, np.array([weight @ at_r * r, weight @ at_alpha * alpha])


def fit(counts: Counts) -> Fit:
    """Maximum likelihood, from several starts on a sample, the best then on all.

    Raises ValueError where nobody has ordered twice or no time has passed: there is nothing to fit.
    """
    repeats, time = float(counts.weight @ counts.x), float(counts.weight @ counts.age)
    if repeats <= 0 or time <= 0:
        raise ValueError("nobody has ordered a second time")
    rate = repeats / time
    rough = counts.sample(ROUGHLY)
    leaving = _two_steps(log_likelihood, [np.log([r, r / rate, a, b]) for r, a, b in STARTS], rough, counts)
    staying = _two_steps(staying_log_likelihood, [np.log([r, r / rate]) for r in (0.5, 3.0)], rough, counts)
    r, alpha, a, b = (float(value) for value in np.exp(leaving.theta))
    calm_r, calm_alpha = (float(value) for value in np.exp(staying.theta))
    sure = leaving.log_likelihood - staying.log_likelihood >= LEAST_GAIN
    return Fit(
        Rates(r, alpha, a, b),
        leaving.log_likelihood,
        Rates(calm_r, calm_alpha, 0.0, 1.0),
        staying.log_likelihood,
        leaving.problem if sure else "nobody leaves",
    )


def _two_steps(
    objective: Callable[[Floats, Counts], tuple[float, Floats]],
    starts: Sequence[Floats],
    rough: Counts,
    counts: Counts,
) -> Maximum:
    begin = maximum(lambda theta: objective(theta, rough), starts, float(rough.weight.sum()))
    if rough is counts:
        return begin
    return maximum(lambda theta: objective(theta, counts), [begin.theta], float(counts.weight.sum()))


def alive(rates: Rates, x: Floats, last: Floats, age: Floats) -> Floats:
    """P(alive): the chance to be a customer still. 1 where there was no repeat order: the model lets nobody
    leave before. Times in weeks.
    """
    exponent = (
        np.log(rates.a)
        - np.log(np.maximum(rates.b + x - 1, 1e-300))
        + (rates.r + x) * (np.log(rates.alpha + age) - np.log(rates.alpha + last))
    )
    return np.where(x > 0, expit(-exponent), 1.0)
