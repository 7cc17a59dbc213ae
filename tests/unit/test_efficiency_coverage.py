"""Over organisations whose truth is drawn from the stated prior, nine intervals in ten hold the truth.

Each organisation is made of activities, deals and orders and goes through the whole metric. For E and R the
hours are given and the successes are Poisson; for O the orders are given and each takes an exponential time:
both are what the Gamma-Poisson model takes them for. Only organisations with 20 to 3,000 events are looked
at; to choose by the data does not change the coverage of a posterior.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from crmbridge.metrics.base import Frame, MetricSettings
from crmbridge.metrics.days import DAY, HOUR, micros
from crmbridge.metrics.efficiency import EfficiencyMetric
from crmbridge.metrics.efficiency.metric import TYPICAL
from crmbridge.metrics.efficiency.pooling import LOG_MEAN_SD, SPREAD_SCALE, SPREADS
from crmbridge.metrics.efficiency.sums import Kind
from crmbridge.model.columns import schema
from crmbridge.model.records import ObjectName
from tests.unit.efficiency_kit import NOW

SEED = 20_261_124
REPS = 10
ORGANISATIONS = 210
EVENTS = (20, 3000)
LONGEST_DAYS = 20_000
FULFILLED = micros(NOW - timedelta(days=2))
Floats = np.ndarray


def true_rates(rng: np.random.Generator, kind: Kind) -> Floats:
    """The reps' true rates, as the stated prior has them."""
    spread = np.inf
    while not SPREADS[0] <= spread <= SPREADS[-1]:
        spread = abs(rng.standard_cauchy()) * SPREAD_SCALE
    mean = TYPICAL[kind] * np.exp(rng.normal(0, LOG_MEAN_SD))
    return rng.gamma(spread**-2, mean * spread**2, REPS)


def successes(rng: np.random.Generator, kind: Kind) -> tuple[Floats, Floats, Floats]:
    """Rates, successes and hours of each rep."""
    while True:
        rates, hours = true_rates(rng, kind), rng.gamma(2, 20 / TYPICAL[kind], REPS)
        counts = rng.poisson(np.minimum(rates * hours, 1e6))
        if EVENTS[0] <= counts.sum() <= EVENTS[1]:
            return rates, counts, hours


def orders(rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Rates of each rep, and rep and days of each order."""
    while True:
        rates, rep = true_rates(rng, "order"), np.repeat(np.arange(REPS), 1 + rng.poisson(8, REPS))
        with np.errstate(divide="ignore", over="ignore"):
            days = rng.exponential(1 / rates[rep])
        if EVENTS[0] <= len(rep) and days.max() < LONGEST_DAYS:
            return rates, rep, days


def table(object_name: ObjectName, columns: dict[str, Any]) -> pa.Table:
    rows = len(next(iter(columns.values())))
    return pa.table(
        {
            field.name: pa.array(columns[field.name]).cast(field.type)
            if field.name in columns
            else pa.nulls(rows, field.type)
            for field in schema(object_name)
        }
    )


def texts(prefix: str, numbers: Floats) -> list[str]:
    return [f"{prefix}{number}" for number in numbers]


def organisation(rng: np.random.Generator) -> tuple[dict[Kind, Floats], Frame]:
    """The true rates, and the records they left behind: every rep has one failure beside the successes."""
    e_rates, e_counts, e_hours = successes(rng, "communication")
    r_rates, r_counts, r_hours = successes(rng, "follow_up")
    o_rates, o_rep, o_days = orders(rng)

    e_rep, r_rep = (np.repeat(np.arange(REPS), counts + 1) for counts in (e_counts, r_counts))
    failed_e, failed_r = (np.diff(rep, append=REPS) > 0 for rep in (e_rep, r_rep))
    deal = np.arange(len(r_rep))
    begun = micros(NOW - timedelta(days=9))
    calls = {
        "id": texts("c", np.arange(len(e_rep))),
        "kind": ["call"] * len(e_rep),
        "owner_id": texts("r", e_rep),
        "deal_id": [None] * len(e_rep),
        "started_at": [begun] * len(e_rep),
        "duration": 3600 * (e_hours / (e_counts + 1))[e_rep],
        "outcome": np.where(failed_e, "no_answer", "connected"),
    }
    # The first e-mail is not measured; then the work on the deal.
    mails, work = (
        {
            "id": texts(kind[0], deal),
            "kind": [kind] * len(deal),
            "owner_id": [None] * len(deal),
            "deal_id": texts("d", deal),
            "started_at": [begun + after] * len(deal),
            "duration": duration,
            "outcome": [None] * len(deal),
        }
        for kind, after, duration in (
            ("email", 0, [None] * len(deal)),
            ("task", HOUR, 3600 * (r_hours / (r_counts + 1))[r_rep]),
        )
    )
    tables: dict[ObjectName, pa.Table] = {
        "activity": pa.concat_tables([table("activity", each) for each in (calls, mails, work)]),
        "deal": table(
            "deal",
            {
                "id": texts("d", deal),
                "owner_id": texts("r", r_rep),
                "is_closed": np.full(len(deal), True),
                "is_won": ~failed_r,
                "closed_at": [FULFILLED] * len(deal),
            },
        ),
        "order": table(
            "order",
            {
                "id": texts("o", np.arange(len(o_rep))),
                "owner_id": texts("r", o_rep),
                "ordered_at": FULFILLED - np.round(o_days * DAY).astype(np.int64),
                "fulfilled_at": [FULFILLED] * len(o_rep),
            },
        ),
        "rep": table("rep", {"id": texts("r", np.arange(REPS))}),
    }
    rates: dict[Kind, Floats] = {"communication": e_rates, "follow_up": r_rates, "order": o_rates}
    return rates, Frame.of(tables, moment=NOW, zone=ZoneInfo("UTC"))


@pytest.mark.slow
def test_intervals_of_e_r_and_o_hold_the_truth_in_87_to_93_percent() -> None:
    rng = np.random.default_rng(SEED)
    inside: dict[Kind, int] = {"communication": 0, "follow_up": 0, "order": 0}
    number = 0
    for _ in range(ORGANISATIONS):
        rates, known = organisation(rng)
        metric = EfficiencyMetric(MetricSettings())
        values = metric.apply("rep", known, metric.fit("rep", known)).values
        for kind, truth in rates.items():
            low, high = (values[f"{kind}_efficiency_{end}"].to_numpy() for end in ("low", "high"))
            assert np.isfinite(low).all()
            inside[kind] += int(((low <= truth) & (truth <= high)).sum())
        number += REPS
    assert number >= 2000
    shares = {kind: count / number for kind, count in inside.items()}
    assert all(0.87 <= share <= 0.93 for share in shares.values()), shares
