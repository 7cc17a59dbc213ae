"""The customer metrics on many records: `python -m benchmarks.customers [value ...] [--tenth]`.

Each part runs in a process of its own on simulated records in memory, without the store, and prints how many
records it dealt with, seconds of CPU and peak memory, beside its aim. `--tenth` runs a tenth of the size, to
see that cost grows linearly.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from crmbridge.metrics.arrays import Codes, Floats
from crmbridge.metrics.quality.duplicates import duplicates
from crmbridge.metrics.segments import rfm
from crmbridge.metrics.segments.tally import Sums
from crmbridge.metrics.value import bgnbd
from crmbridge.metrics.value.outlook import Spread, expected_if_there
from tests.unit.test_quality_duplicates import contacts

CUSTOMERS: Final = 1_000_000
ORDERS: Final = 20_000_000
CONTACTS: Final = 100_000
PIECE: Final = 1 << 20


def histories(number: int) -> tuple[Floats, Floats, Floats]:
    """x, t_x and T in weeks, whole days, of customers who buy and leave as BG/NBD says."""
    draw = np.random.default_rng(7)
    age = draw.integers(1, 3 * 365, number) / 7.0
    rate = draw.gamma(0.5, size=number) / 6.0
    leaves = draw.beta(0.8, 2.5, number)
    x, last = np.zeros(number), np.zeros(number)
    here = np.ones(number, bool)
    while here.any():
        rows = np.flatnonzero(here)
        at = last[rows] + draw.exponential(1.0, len(rows)) / rate[rows]
        buys = at < age[rows]
        last[rows[buys]] = np.minimum(np.ceil(at[buys] * 7), np.floor(age[rows[buys]] * 7)) / 7.0
        x[rows[buys]] += 1
        here[rows[~buys]] = False
        here[rows[buys]] = draw.random(int(buys.sum())) >= leaves[rows[buys]]
    return x, last, age


def value(share: float) -> tuple[int, float, str]:
    """BG/NBD fitted, and P(alive), expected orders and intervals of every customer."""
    x, last, age = histories(int(CUSTOMERS * share))
    began = time.process_time()
    fitted = bgnbd.fit(bgnbd.Counts.of(x, last, age))
    between = time.process_time()
    there = bgnbd.alive(fitted.rates, x, last, age)
    expected_if_there(fitted.rates, x, age, 52.0)
    Spread(fitted.rates, None, 52.0, float(x.max()), 0).interval(there, x, age)
    done = time.process_time()
    rates = fitted.rates
    said = f"fit {between - began:.1f} s; r {rates.r:.3f} (0.5), alpha {rates.alpha:.2f} (6), aim 60 s"
    return len(x), done - began, said


def segments(share: float) -> tuple[int, float, str]:
    """RFM and its scores, piece by piece as the metric does it, beside plain numpy on the whole arrays."""
    draw = np.random.default_rng(7)
    number, customers = int(ORDERS * share), int(CUSTOMERS * share)
    customer = draw.integers(0, customers, number)
    day = draw.integers(15_000, 16_000, number)
    amount = draw.lognormal(4, 1, number)
    began = time.process_time()
    plain = _plain_rfm(customer, day, amount, customers)
    between = time.process_time()
    sums = Sums([16_000])
    for start in range(0, number, PIECE):
        part = slice(start, start + PIECE)
        sums.add(customer[part], day[part], amount[part], customers)
    now = sums.standing(0)
    measures = (-now.quiet, now.orders.astype(np.float64), now.spent)
    found = [rfm.scores(values, rfm.bounds(values)) for values in measures]
    done = time.process_time()
    assert all((one == other).all() for one, other in zip(plain, found, strict=True))
    ratio = (done - between) / (between - began)
    return number, done - between, f"plain numpy {between - began:.1f} s, ratio {ratio:.2f}, aim 1.5"


def _plain_rfm(customer: Codes, day: Codes, amount: Floats, customers: int) -> list[Codes]:
    """The same scores, as one would write them for arrays that fit into memory."""
    orders = np.bincount(customer, minlength=customers)
    spent = np.bincount(customer, amount, customers)
    last = np.zeros(customers, np.int64)
    np.maximum.at(last, customer, day)
    found = []
    for values in (last, orders, spent):
        values = values[orders > 0]
        order = np.sort(values)
        places = [-(-k * len(values) // 5) - 1 for k in range(1, 5)]
        found.append(1 + np.searchsorted(order[places], values, side="left"))
    return found


def duplicates_found(share: float) -> tuple[int, float, str]:
    """Duplicates among contacts with planted pairs; the same at a quarter of the size tells how it grows."""
    seconds = []
    for size in (0.25, 1.0):
        frame, planted = contacts(int(CONTACTS * share * size), seed=7)
        began = time.process_time()
        found = duplicates(frame, "contact")
        seconds.append(time.process_time() - began)
    ids = found.ids.to_pylist()
    pairs = {(ids[a], ids[b]) for a, b in zip(found.first.tolist(), found.second.tolist(), strict=True)}
    right = len(pairs & planted)
    said = (
        f"found {right / len(planted):.1%} (aim 95 %), right {right / len(pairs):.1%} (aim 99 %), aim 60 s, "
    )
    return (
        len(ids),
        seconds[1],
        said + f"a record costs {seconds[1] / seconds[0] / 4:.2f} x as much as in a quarter",
    )


PARTS: Final[dict[str, Callable[[float], tuple[int, float, str]]]] = {
    "value": value,
    "segments": segments,
    "duplicates": duplicates_found,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="which; all by default")
    parser.add_argument("--tenth", action="store_true", help="a tenth of the size")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    for name in chosen.parts or PARTS:
        if not chosen.alone:
            more = ["--tenth"] if chosen.tenth else []
            subprocess.run([sys.executable, "-m", "benchmarks.customers", name, "--alone", *more], check=True)
            continue
        records, cpu, said = PARTS[name](0.1 if chosen.tenth else 1.0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{name:10}{records:12,} records{cpu:8.1f} s of CPU{peak:8.0f} MiB  {said}", flush=True)


if __name__ == "__main__":
    main()
