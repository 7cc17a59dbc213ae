"""The leak guard: inputs that are known only after the outcome, told by how they look.

Only values that were not known at the moment of the snapshot but are assumed to have held then can leak; so a
field is judged on those, closed records against each other and against the open ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crmbridge.metrics.need.arrays import Codes, Flags, Floats
from crmbridge.metrics.need.columns import SINCE, Column
from crmbridge.metrics.need.design import Field, Groups, encode
from crmbridge.metrics.need.evaluate import Z90, Z99
from crmbridge.metrics.need.snapshots import Cases

FEWEST = 20
"""Records below which nothing is said about a group."""
FILL_GAP = 0.2
SURPRISE = 10.0
"""Records that should be filled by their share; that none is can't be chance."""
TOO_GOOD = 0.9
TOO_GOOD_ALONE = 0.95
SHIFT = 0.25
"""Population stability index from which on two distributions count as different, by custom."""
_PRIOR = 5.0


@dataclass(frozen=True)
class Suspect:
    """Why an input is blocked: a code for programs, figures for the sentence."""

    code: str
    figures: dict[str, float]


def find_leak(field: Field, past: Column, cases: Cases, assumed: Flags, current: Column) -> Suspect | None:
    """Whether the input gives the outcome away.

    `past` and `assumed` are per case; `current` is the same input for the records open now.
    """
    # One case of each record: its others would only say the same again.
    first = np.concatenate([[True], cases.record[1:] != cases.record[:-1]])[: len(cases)]
    assumed = assumed & first
    y, closed = cases.y, cases.closed
    doubtful = np.flatnonzero(assumed)
    if len(doubtful) < FEWEST:
        return None
    filled, truth, ended = past.present[doubtful], y[doubtful] == 1.0, closed[doubtful]
    compared = len(current) >= FEWEST
    if compared and int(ended.sum()) >= FEWEST:
        share, now = float(filled[ended].mean()), float(current.present.mean())
        never = now == 0.0 and share * len(current) >= SURPRISE
        if never or surely_fewer(now, len(current), share, int(ended.sum())):
            return Suspect("filled_at_closing", {"closed": share, "open": now})
        if field.name.startswith(SINCE) and (later := _dated_later(past.take(doubtful[ended]), current)):
            return later
    suspect = _filled_for_one_outcome(filled[ended], truth[ended])
    if suspect is not None:
        return suspect
    positives = int(truth.sum())
    if min(positives, len(truth) - positives) < FEWEST:
        return None
    fine = finely_cut(field, past)
    area, error = separation_of(fine, past.take(doubtful), truth.astype(np.float64))
    if area - Z90 * error <= TOO_GOOD:
        return None
    if not compared:
        return Suspect("too_good", {"auc": area}) if area - Z90 * error > TOO_GOOD_ALONE else None
    group = encode(fine, past).group[doubtful]
    shift = stability(group, encode(fine, current).group, fine.groups)
    return Suspect("too_good", {"auc": area, "psi": shift}) if shift > SHIFT else None


def surely_fewer(now: float, open_records: int, share: float, closed_records: int) -> bool:
    """Whether clearly fewer open records are filled than closed ones: by more than FILL_GAP, chance apart."""
    error = np.sqrt(now * (1.0 - now) / open_records + share * (1.0 - share) / closed_records)
    return bool(share - now - Z99 * error > FILL_GAP)


def _dated_later(past: Column, current: Column) -> Suspect | None:
    """Dates that lie after the moment much more often than those of open records lie ahead of now: they were
    set by what came later. Both columns are days since the date."""
    then, now = past.known_numbers() < 0.0, current.known_numbers() < 0.0
    if min(len(then), len(now)) < FEWEST:
        return None
    share, ahead = float(then.mean()), float(now.mean())
    if not surely_fewer(ahead, len(now), share, len(then)):
        return None
    return Suspect("dated_later", {"later": share, "ahead": ahead})


def separation_of(field: Field, column: Column, truth: Floats) -> tuple[float, float]:
    """`separation` of a column's values in the field's groups; `truth` is 0 or 1 per row, some of both."""
    group = encode(field, column).group
    seen = np.bincount(group, minlength=field.groups).astype(np.float64)
    hits = np.bincount(group, truth, minlength=field.groups).astype(np.float64)
    return separation(hits, seen - hits)


def finely_cut(field: Field, column: Column) -> Field:
    """A number in twentieths instead of quarters: few cases may be enough to give the outcome away."""
    if field.kind != "number":
        return field
    known = column.known_numbers()
    cuts = np.unique(np.quantile(known, np.arange(1, 20) / 20.0))
    return replace(field, edges=tuple(cuts[cuts < known.max()].tolist()))


def _filled_for_one_outcome(filled: Flags, truth: Flags) -> Suspect | None:
    """Filled for one outcome only, where by its share it should have been for at least ten of the other."""
    total = int(filled.sum())
    for outcome in (True, False):
        size = int((truth == outcome).sum())
        expected = total * size / max(len(truth), 1)
        if expected >= SURPRISE and not filled[truth == outcome].any():
            return Suspect("one_outcome", {"positive": float(not outcome), "filled": float(total)})
    return None


def separation(positives: Floats, negatives: Floats) -> tuple[float, float]:
    """How well groups tell positives from negatives: the AUC, and its standard error (DeLong), when cases are
    ranked by their group's share of positives, drawn towards the share of all where the group is small.

    `positives` and `negatives` count the cases of each group; there must be some of both.
    """
    total, base = positives + negatives, positives.sum() / (positives.sum() + negatives.sum())
    order = np.argsort((positives + _PRIOR * base) / (total + _PRIOR), kind="stable")
    up, down = positives[order], negatives[order]
    below = (np.cumsum(down) - down / 2.0) / down.sum()
    above = 1.0 - (np.cumsum(up) - up / 2.0) / up.sum()
    area = float(up @ below / up.sum())
    spread = up @ (below - area) ** 2 / up.sum() ** 2 + down @ (above - area) ** 2 / down.sum() ** 2
    return area, float(np.sqrt(spread))


def stability(before: Codes | Groups, after: Codes | Groups, groups: int) -> float:
    """The population stability index of two samples: sum (p - q) ln(p / q) over the groups, less what chance
    alone makes of it at most (99 %); 0 when alike.

    Half a case is added to each group, so that an empty one stays finite. By chance the index is about a
    chi-square of the groups - 1, times 1 / n + 1 / m.
    """
    p = np.bincount(before, minlength=groups) + 0.5
    q = np.bincount(after, minlength=groups) + 0.5
    free = float(np.count_nonzero((p > 1.0) | (q > 1.0)) - 1)
    chance = (free + Z99 * np.sqrt(2.0 * free)) * (1.0 / p.sum() + 1.0 / q.sum()) if free > 0.0 else 0.0
    p, q = p / p.sum(), q / q.sum()
    return max(float(np.sum((p - q) * np.log(p / q))) - float(chance), 0.0)
