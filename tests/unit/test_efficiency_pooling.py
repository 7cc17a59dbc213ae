"""Partial pooling: against integration by brute force, and against simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from crmbridge.metrics.efficiency.pooling import (
    LOG_MEAN_SD,
    SPREAD_SCALE,
    SPREADS,
    Prior,
    fit_prior,
    pooled,
    raw,
)
from crmbridge.metrics.efficiency.ranking import surpassed, tiers

Array = np.ndarray


def brute_force(counts: Array, times: Array, typical: float) -> tuple[Array, Array, Array]:
    """Posterior mean and 90 % interval on a dense grid of mean and spread, straight from the definitions."""
    log_spread = np.linspace(np.log(SPREADS[0]), np.log(SPREADS[-1]), 60)
    log_mean = np.linspace(np.log(typical) - 12, np.log(typical) + 12, 241)
    spread, mean = (grid.ravel() for grid in np.meshgrid(np.exp(log_spread), np.exp(log_mean)))
    alpha = spread**-2
    beta = alpha / mean
    log_weight = stats.norm.logpdf(np.log(mean), np.log(typical), LOG_MEAN_SD)
    log_weight += stats.halfcauchy.logpdf(spread, scale=SPREAD_SCALE) + np.log(spread)
    for x, t in zip(counts, times, strict=True):
        log_weight += stats.nbinom.logpmf(x, alpha, beta / (beta + t))
    weight = np.exp(log_weight - log_weight.max())
    weight[np.isclose(spread, SPREADS[0]) | np.isclose(spread, SPREADS[-1])] /= 2
    weight /= weight.sum()
    kept = weight > 1e-6
    alpha, beta, weight = alpha[kept], beta[kept], weight[kept]
    means, lows, highs = [], [], []
    for x, t in zip(counts, times, strict=True):
        means.append(weight @ ((alpha + x) / (beta + t)))
        rates = np.geomspace(means[-1] / 1e4, means[-1] * 100, 300)
        below = np.array([weight @ stats.gamma.cdf(rate, alpha + x, scale=1 / (beta + t)) for rate in rates])
        lows.append(np.interp(0.05, below, rates))
        highs.append(np.interp(0.95, below, rates))
    return np.array(means), np.array(lows), np.array(highs)


@pytest.mark.parametrize(
    ("counts", "times"),
    [
        ([1, 1], [0.5, 1 / 12]),
        ([4, 0, 9, 2, 30], [3.0, 0.2, 5.0, 4.0, 11.0]),
    ],
)
def test_the_posterior_is_that_of_integration_by_brute_force(counts: list[int], times: list[float]) -> None:
    x, t = np.array(counts, float), np.array(times)
    prior = fit_prior(x, t, 1.0)
    assert prior is not None
    found = pooled(prior, x, t)
    mean, low, high = brute_force(x, t, 1.0)
    assert found.rate == pytest.approx(mean, rel=0.01)
    assert found.low == pytest.approx(low, rel=0.01)
    assert found.high == pytest.approx(high, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("peers", "hours"), [(3, 4.0), (12, 15.0), (12, 60.0)])
def test_intervals_cover_the_truth_in_87_to_93_percent_over_organisations_of_the_stated_prior(
    peers: int, hours: float
) -> None:
    rng = np.random.default_rng(20_260_331 + peers + int(hours))
    inside, number = 0, 0
    while number < 2000:
        spread = abs(rng.standard_cauchy()) * SPREAD_SCALE
        if not SPREADS[0] <= spread <= SPREADS[-1]:
            continue
        mean = np.exp(rng.normal(0, LOG_MEAN_SD))
        rates = rng.gamma(spread**-2, mean * spread**2, peers)
        times = rng.gamma(2, hours / 2, peers)
        counts = rng.poisson(rates * times).astype(float)
        if counts.sum() < 5:
            continue
        prior = fit_prior(counts, times, 1.0)
        assert prior is not None
        found = pooled(prior, counts, times)
        inside += int(((found.low <= rates) & (rates <= found.high)).sum())
        number += peers
    assert 0.87 <= inside / number <= 0.93


def test_one_lucky_call_does_not_top_the_ranking() -> None:
    counts, times = np.array([1.0, 60, 25, 30, 20]), np.array([0.05, 20.0, 20.0, 20.0, 20.0])
    prior = fit_prior(counts, times, 1.0)
    assert prior is not None
    found = pooled(prior, counts, times)
    assert raw(counts, times).rate[0] == 20
    assert found.rate[0] < found.rate[1]
    assert tiers(found.low, found.high)[0] == tiers(found.low, found.high)[1]


def test_peers_that_are_alike_are_drawn_together_and_peers_that_differ_are_not() -> None:
    times = np.full(8, 10.0)
    alike = np.array([9.0, 11, 10, 12, 8, 10, 9, 11])
    different = np.array([1.0, 40, 5, 80, 2, 20, 60, 3])
    for counts, shrunk in ((alike, True), (different, False)):
        prior = fit_prior(counts, times, 1.0)
        assert prior is not None
        found = pooled(prior, counts, times)
        kept = np.ptp(found.rate) / np.ptp(counts / times)
        assert kept < 0.6 if shrunk else kept > 0.9


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e6, 1e12])
def test_no_scale_gives_infinity_or_nan(scale: float) -> None:
    counts = np.array([0.0, 3, 100, 7])
    times = np.array([1.0, 2.0, 50.0, 0.0]) * scale
    prior = fit_prior(counts, times, 1.0)
    assert prior is not None
    found = pooled(prior, counts, times)
    for values in (found.rate, found.low, found.high):
        assert np.isfinite(values[:3]).all()
        assert np.isnan(values[3])
    assert (found.low[:3] <= found.rate[:3]).all()
    assert (found.rate[:3] <= found.high[:3]).all()


def test_nobody_with_any_time_gives_no_prior() -> None:
    assert fit_prior(np.array([3.0, 0.0]), np.zeros(2), 1.0) is None
    assert fit_prior(np.zeros(0), np.zeros(0), 1.0) is None


def test_the_prior_survives_the_model_unchanged() -> None:
    prior = fit_prior(np.array([3.0, 5.0]), np.array([2.0, 9.0]), 1.0)
    assert prior is not None
    again = Prior.from_rows(prior.to_rows())
    assert again.weight.sum() == pytest.approx(1.0)
    for one, other in zip(again.to_rows(), prior.to_rows(), strict=True):
        assert one == other


def test_raw_rates_are_counts_over_time_with_jeffreys_intervals() -> None:
    found = raw(np.array([0.0, 4.0, 2.0]), np.array([2.0, 8.0, 0.0]))
    assert found.rate[:2].tolist() == [0.0, 0.5]
    assert found.low[0] == 0.0
    assert found.high[1] == pytest.approx(stats.gamma.ppf(0.95, 4.5) / 8)
    assert np.isnan([found.rate[2], found.low[2], found.high[2]]).all()


def test_overlapping_intervals_share_a_tier_and_separate_ones_do_not() -> None:
    low = np.array([1.0, 5.0, 1.5, 4.0, 10.0])
    high = np.array([2.0, 6.0, 3.0, 5.5, 11.0])
    assert tiers(low, high).tolist() == [3, 2, 3, 2, 1]
    assert surpassed(low, high).tolist() == [0, 2, 0, 2, 4]
    rng = np.random.default_rng(3)
    for _ in range(50):
        low = rng.random(12)
        high = low + rng.random(12) * 0.2
        tier = tiers(low, high)
        for i in range(12):
            for j in range(12):
                if low[i] <= high[j] and low[j] <= high[i]:
                    assert tier[i] == tier[j]
                elif tier[i] < tier[j]:
                    assert low[i] > high[j]
