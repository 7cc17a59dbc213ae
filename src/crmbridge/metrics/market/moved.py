"""What moved between two quarters, and how much of it is mix.

A rate of all is the sum of its groups' shares w times their rates r. Between two quarters,

    R1 - R0 = sum (w1 - w0) ((r0 + r1) / 2 - (R0 + R1) / 2)  +  sum (w0 + w1) / 2 (r1 - r0)
              mix: other deals than before                      within: the same deals going otherwise

exactly (Marshall and Edgeworth weights). A group that is there in one of the quarters only counts as mix.
What was won, V = closed deals n x win rate p x mean value m, moved by

    V1 - V0 = L ln(n1 / n0) + L ln(p1 / p0) + L ln(m1 / m0),   L = (V1 - V0) / ln(V1 / V0)

(logarithmic mean). Sources: Kitagawa, JASA 50, 1955; Ang, Energy Policy 33, 2005.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crmbridge.metrics.arrays import Codes, Floats


@dataclass(frozen=True)
class Moved:
    """A rate of all before and after, what of the change is mix and what lies within the groups; `groups` has
    for each group its shares, rates (NaN of none) and both parts.
    """

    before: float
    after: float
    mix: float
    within: float
    shares: tuple[Floats, Floats]
    rates: tuple[Floats, Floats]
    mix_of: Floats
    within_of: Floats


def moved(group: tuple[Codes, Codes], values: tuple[Floats, Floats], groups: int) -> Moved | None:
    """Split the change of a mean. `group` numbers the groups (what is in none: `groups` - 1), `values` are
    what is averaged (for a win rate 1 and 0), each before and after. None where one of the quarters is empty.
    """
    if not len(values[0]) or not len(values[1]):
        return None
    number = [np.bincount(codes, minlength=groups).astype(np.float64) for codes in group]
    total = [np.bincount(codes, own, groups) for codes, own in zip(group, values, strict=True)]
    share = [counts / counts.sum() for counts in number]
    rate = [
        np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        for counts, sums in zip(number, total, strict=True)
    ]
    whole = [float(own.mean()) for own in values]
    # A group that is there once has the same rate in both quarters: all it does is mix.
    filled = [np.where(np.isnan(one), other, one) for one, other in (rate, rate[::-1])]
    filled = [np.nan_to_num(one) for one in filled]
    mix = (share[1] - share[0]) * ((filled[0] + filled[1]) / 2 - sum(whole) / 2)
    within = (share[0] + share[1]) / 2 * (filled[1] - filled[0])
    return Moved(
        before=whole[0],
        after=whole[1],
        mix=float(mix.sum()),
        within=float(within.sum()),
        shares=(share[0], share[1]),
        rates=(rate[0], rate[1]),
        mix_of=mix,
        within_of=within,
    )


def won_value_moved(
    before: tuple[float, float, float], after: tuple[float, float, float]
) -> tuple[float, float, float] | None:
    """The parts of the change in what was won: by closed deals, win rate and mean value, each given for both
    quarters. None where one of them is 0.
    """
    if min(*before, *after) <= 0:
        return None
    first, second = float(np.prod(before)), float(np.prod(after))
    ratio = np.log(np.array(after) / np.array(before))
    # The logarithmic mean of equal values is that value.
    change = np.log(second / first)
    weight = first if abs(change) < 1e-12 else (second - first) / change
    return tuple(float(weight * each) for each in ratio)  # type: ignore[return-value]
