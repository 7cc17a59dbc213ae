"""Need's arithmetic beside what everybody knows: scoring beside plain numpy, fitting beside scikit-learn.

    python -m benchmarks.need [--score 10000000] [--fit 1000000]

Both sides get the same rows in memory, work in this process, one after the other, and are told by their CPU.
Scoring is P(x) of 20 inputs; numpy computes 1 / (1 + exp(-x theta)) over the same pieces of a million rows.
Fitting is 50 inputs under the same prior as `LogisticRegression(C=1, solver="lbfgs")`, as `train` does it: a
climb on a sample, then one on all rows. It goes on to the maximum itself, where lbfgs stops at its default
tolerance, and has the curvature for the intervals. That both find the same is checked. Memory: what ours adds
to the rows, by tracemalloc.

Aims: at most 1.5 times the CPU of the other, and a cost per row that does not grow with the rows.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from crmbridge.metrics.need.arrays import Floats
from crmbridge.metrics.need.design import BLOCK
from crmbridge.metrics.need.logistic import ROUGH, Prior, fit, probability
from crmbridge.metrics.need.rows import DenseRows

SCORE_INPUTS, FIT_INPUTS = 20, 50
PIECE: Final = 1_000_000
RATIO: Final = 1.5
LINEAR: Final = 1.25
SAMPLE: Final = 60_000
"""Rows that a climb starts on."""
_ROUNDS: Final = 3


@dataclass(frozen=True)
class Measured:
    """CPU seconds of ours and of the other, the most that ours added to memory, and rows."""

    name: str
    other: str
    rows: int
    ours_cpu: float
    other_cpu: float
    peak_mib: float

    @property
    def ratio(self) -> float:
        return self.ours_cpu / max(self.other_cpu, 1e-9)


def score(rows: int) -> Measured:
    """P(x) of so many rows, a piece of them after the other."""
    draw = np.random.default_rng(7)
    size = min(rows, PIECE)
    x, theta = draw.normal(size=(size, SCORE_INPUTS)), draw.normal(size=SCORE_INPUTS)
    pieces = max(rows // size, 1)
    nothing = np.zeros(0)

    def ours() -> Floats:
        found = np.empty(size)
        for _ in range(pieces):
            for start in range(0, size, BLOCK):
                part = slice(start, start + BLOCK)
                found[part] = probability(DenseRows(x[part], nothing).logit(theta))
        return found

    def plain() -> Floats:
        for _ in range(pieces):
            found = 1.0 / (1.0 + np.exp(-(x @ theta)))
        return np.asarray(found)

    return _measured("score", "numpy", rows, ours, plain)


def train(rows: int) -> Measured:
    """The maximum of the penalised likelihood."""
    draw = np.random.default_rng(8)
    x = draw.normal(size=(rows, FIT_INPUTS))
    x[:, 0] = 1.0
    theta = draw.normal(scale=0.3, size=FIT_INPUTS)
    y = (draw.uniform(size=rows) < probability(x @ theta)).astype(np.float64)
    parts = [DenseRows(x[at : at + BLOCK], y[at : at + BLOCK]) for at in range(0, rows, BLOCK)]
    precision = np.ones(FIT_INPUTS)
    precision[0] = 0.0

    thin = parts[:: max(rows // SAMPLE, 1)]

    def ours() -> Floats:
        begin = fit(thin, Prior(precision), until=ROUGH)
        return fit(parts, Prior(precision), start=begin).theta

    def lbfgs() -> Floats:
        found = LogisticRegression(C=1.0, solver="lbfgs").fit(x[:, 1:], y)
        return np.concatenate([found.intercept_, found.coef_[0]])

    return _measured("fit", "lbfgs", rows, ours, lbfgs)


def _measured(
    name: str, other: str, rows: int, ours: Callable[[], Floats], theirs: Callable[[], Floats]
) -> Measured:
    """The best of a few rounds, in turn: other work on the machine slows down whatever it meets."""
    with threadpool_limits(1):
        tracemalloc.start()
        found = ours()
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        if not np.allclose(found, theirs(), atol=2e-3):
            raise AssertionError(f"{name}: ours and {other} differ")
        cpu = [(_cpu(ours), _cpu(theirs)) for _ in range(_ROUNDS)]
    return Measured(name, other, rows, min(a for a, _ in cpu), min(b for _, b in cpu), peak)


def _cpu(work: Callable[[], Any]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def table(full: list[Measured], tenth: list[Measured]) -> str:
    """The figures beside each other, and whether the aims hold."""
    lines = [
        f"{'':8}{'rows':>12}{'CPU s':>9}{'other':>9}{'CPU s':>9}{'ratio':>8}{'linear':>8}{'MiB':>7}  holds"
    ]
    for whole, part in zip(full, tenth, strict=True):
        linear = (whole.ours_cpu / whole.rows) / max(part.ours_cpu / part.rows, 1e-12)
        failed = [
            aim for aim, missed in (("ratio", whole.ratio > RATIO), ("linear", linear > LINEAR)) if missed
        ]
        lines.append(
            f"{whole.name:8}{whole.rows:12,}{whole.ours_cpu:9.2f}{whole.other:>9}{whole.other_cpu:9.2f}"
            f"{whole.ratio:8.2f}{linear:8.2f}{whole.peak_mib:7.0f}  "
            f"{'no: ' + ', '.join(failed) if failed else 'yes'}"
        )
    return "\n".join([*lines, f"aims: ratio <= {RATIO}, linear <= {LINEAR}"])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--score", type=int, default=10_000_000, help="rows to score")
    parser.add_argument("--fit", type=int, default=1_000_000, help="rows to fit")
    chosen = parser.parse_args(arguments)
    tenth = [score(chosen.score // 10), train(chosen.fit // 10)]
    print(table([score(chosen.score), train(chosen.fit)], tenth))


if __name__ == "__main__":
    main()
