"""Stays: how long which deal was in which stage, and where it went from there.

A deal's stay in a stage begins with a change into it (where the history begins with a stage that was left:
with the deal itself) and is complete once the deal has left. Rows that change nothing (a history that notes
every edit) are not changes. Of changes at the same instant the CRM's order holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from crmbridge.metrics.arrays import UNKNOWN_MOMENT, Codes, Floats, Mask, moments, pieces, truths
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import Micros, days_between, micros
from crmbridge.metrics.pipeline.deals import Deals

NOWHERE: Final = -1


@dataclass(frozen=True)
class Stays:
    """One entry per stay, by deal and then in time. `next_stage` is NOWHERE for the stay a deal is in now.

    `since` and `until` are UNKNOWN_MOMENT where that is not known; `position` counts a deal's stays from 0.
    `out_of_order` counts deals whose first change is noted before their creation.
    """

    deal: Codes
    stage: Codes
    next_stage: Codes
    since: Micros
    until: Micros
    position: Codes
    out_of_order: int

    def days(self, frame: Frame) -> Floats:
        """Days of each completed stay; NaN for the others."""
        known = (self.next_stage != NOWHERE) & (self.since != UNKNOWN_MOMENT)
        days = np.full(len(known), np.nan)
        days[known] = days_between(self.since[known], self.until[known], frame.zone)
        return days


def stays(frame: Frame, deals: Deals) -> Stays:
    """The stays of the live deals up to the frame's moment; a deal without changes stays where it began."""
    deal, at, source, target = _changes(frame, deals)
    first = np.ones(len(deal), bool)
    first[1:] = deal[1:] != deal[:-1]

    # A history may begin with a stage that was left: the deal was there from its creation on.
    leading = first & (source != NOWHERE) & (source != target)
    lead_deal = deal[leading]
    lead_since = deals.created_at[lead_deal]
    backward = (lead_since != UNKNOWN_MOMENT) & (lead_since > at[leading])
    lead_since = np.where(backward, UNKNOWN_MOMENT, lead_since)

    silent = np.ones(len(deals.ids), bool)
    silent[deal] = False
    silent &= deals.stage != NOWHERE
    silent_deal = np.flatnonzero(silent)

    all_deal = np.concatenate([lead_deal, deal, silent_deal])
    stage = np.concatenate([source[leading], target, deals.stage[silent]])
    since = np.concatenate([lead_since, at, deals.created_at[silent]])
    order = np.argsort(all_deal, kind="stable")  # leading stays stand before the changes of their deal
    all_deal, stage, since = all_deal[order], stage[order], since[order]

    begins = np.ones(len(all_deal), bool)
    begins[1:] = all_deal[1:] != all_deal[:-1]
    repeated = ~begins
    repeated[1:] &= stage[1:] == stage[:-1]
    all_deal, stage, since, begins = (
        all_deal[~repeated],
        stage[~repeated],
        since[~repeated],
        begins[~repeated],
    )

    last = np.ones(len(all_deal), bool)
    last[:-1] = begins[1:]
    following = np.append(stage[1:], NOWHERE)
    left = np.append(since[1:], UNKNOWN_MOMENT)
    starts = np.flatnonzero(begins)
    return Stays(
        deal=all_deal,
        stage=stage,
        next_stage=np.where(last, NOWHERE, following),
        since=since,
        until=np.where(last, UNKNOWN_MOMENT, left),
        position=np.arange(len(all_deal)) - starts[np.cumsum(begins) - 1],
        out_of_order=int(backward.sum()),
    )


def _changes(frame: Frame, deals: Deals) -> tuple[Codes, Micros, Codes, Codes]:
    """Deal, moment, from and to of every change of a live deal up to the moment, by deal and time."""
    blocks: list[tuple[Codes, Micros, Codes, Codes]] = []
    for piece in pieces(frame, "stage_change", ("deal_id", "at", "from_stage", "to_stage")):
        deal, at = deals.ids.find(piece["deal_id"]), moments(piece["at"])
        kept = (deal >= 0) & (at <= micros(frame.moment)) & (at != UNKNOWN_MOMENT)
        kept &= truths(piece["to_stage"].is_valid(), unknown=False)
        chosen = pa.array(kept)
        source = deals.stages.number(piece["from_stage"].filter(chosen))
        target = deals.stages.number(piece["to_stage"].filter(chosen))
        blocks.append((deal[kept], at[kept], source, target))
    if not blocks:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing, nothing
    deal, at, source, target = (np.concatenate(column) for column in zip(*blocks, strict=True))
    order = np.lexsort((at, deal))
    return deal[order], at[order], source[order], target[order]


def stage_order(stays: Stays, number: int) -> Floats:
    """The mean position at which deals first enter each stage; infinity for stages no path tells about.

    Only deals that were in two stages or more tell about an order.
    """
    entered = _first_entries(stays, number)
    several = np.bincount(stays.deal)[stays.deal] > 1 if len(stays.deal) else entered
    counted = entered & several
    visits = np.bincount(stays.stage[counted], minlength=number)
    total = np.bincount(stays.stage[counted], stays.position[counted], minlength=number)
    return np.where(visits > 0, total / np.maximum(visits, 1), np.inf)


def _first_entries(stays: Stays, number: int) -> Mask:
    found = np.zeros(len(stays.deal), bool)
    _, first = np.unique(stays.deal * number + stays.stage, return_index=True)
    found[first] = True
    return found


def last_stays(stays: Stays, number: int) -> Mask:
    """The last stay of each deal in each stage."""
    found = np.zeros(len(stays.deal), bool)
    _, first = np.unique((stays.deal * number + stays.stage)[::-1], return_index=True)
    found[len(found) - 1 - first] = True
    return found
