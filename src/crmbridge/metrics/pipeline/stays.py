"""Stays: how long which deal was in which stage, and where it went from there.

A deal's stay in a stage begins with a change into it (where the history begins with a stage that was left:
with the deal itself) and is complete once the deal has left. Rows that change nothing (a history that notes
every edit) are not changes. Of changes at the same instant the CRM's order holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crmbridge.metrics.arrays import UNKNOWN_MOMENT, Floats, Mask, moments, pieces, truths
from crmbridge.metrics.base import Frame
from crmbridge.metrics.days import SECOND, Micros, days_between, micros
from crmbridge.metrics.pipeline.deals import Deals

Numbers = npt.NDArray[np.int32]
NOWHERE: Final = -1


@dataclass(frozen=True)
class Stays:
    """One entry per stay, by deal and then in time. `since` is UNKNOWN_MOMENT where that is not known.

    `out_of_order` counts deals whose first change is noted before their creation.
    """

    deal: Numbers
    stage: Numbers
    since: Micros
    out_of_order: int

    @cached_property
    def is_last(self) -> Mask:
        """Whether the stay is the one its deal is in now."""
        last = np.ones(len(self.deal), bool)
        last[:-1] = self.deal[1:] != self.deal[:-1]
        return last

    @cached_property
    def next_stage(self) -> Numbers:
        """Where the deal went from there; NOWHERE for the stay it is in now."""
        following = np.append(self.stage[1:], np.int32(NOWHERE)) if len(self.stage) else self.stage
        return np.where(self.is_last, np.int32(NOWHERE), following)

    @cached_property
    def position(self) -> Numbers:
        """The number of the stay among its deal's, from 0."""
        begins = np.flatnonzero(np.roll(self.is_last, 1))
        lengths = np.diff(begins, append=len(self.deal))
        return (np.arange(len(self.deal)) - np.repeat(begins, lengths)).astype(np.int32)

    def days(self, frame: Frame) -> Floats:
        """Days of each completed stay; NaN for the others."""
        complete = np.flatnonzero(~self.is_last & (self.since != UNKNOWN_MOMENT))
        days = np.full(len(self.deal), np.nan)
        days[complete] = days_between(self.since[complete], self.since[complete + 1], frame.zone)
        return days


def stays(frame: Frame, deals: Deals) -> Stays:
    """The stays of the live deals up to the frame's moment; a deal without changes stays where it began."""
    deal, at, source, target = _changes(frame, deals)
    first = np.ones(len(deal), bool)
    first[1:] = deal[1:] != deal[:-1]

    # A history may begin with a stage that was left: the deal was there from its creation on.
    leading = first & (source != NOWHERE) & (source != target)
    created = deals.created_at[deal[leading]]
    backward = (created != UNKNOWN_MOMENT) & (created > at[leading])

    silent = deals.stage != NOWHERE
    silent[deal] = False
    more_deal = np.concatenate([deal[leading], np.flatnonzero(silent)]).astype(np.int32)
    more_stage = np.concatenate([source[leading], deals.stage[silent]]).astype(np.int32)
    more_since = np.concatenate([np.where(backward, UNKNOWN_MOMENT, created), deals.created_at[silent]])
    order = np.argsort(more_deal, kind="stable")
    where = np.searchsorted(deal, more_deal[order])  # before the changes of the deal
    deal = np.insert(deal, where, more_deal[order])
    stage = np.insert(target, where, more_stage[order])
    since = np.insert(at, where, more_since[order])

    changes = np.ones(len(deal), bool)
    changes[1:] = (deal[1:] != deal[:-1]) | (stage[1:] != stage[:-1])
    return Stays(deal[changes], stage[changes], since[changes], int(backward.sum()))


def _changes(frame: Frame, deals: Deals) -> tuple[Numbers, Micros, Numbers, Numbers]:
    """Deal, moment, from and to of every change of a live deal up to the moment, by deal and time."""
    deals_of: list[Numbers] = []
    moments_of: list[Micros] = []
    sources: list[Numbers] = []
    targets: list[Numbers] = []
    for piece in pieces(frame, "stage_change", ("deal_id", "at", "from_stage", "to_stage")):
        deal, at = deals.ids.find(piece["deal_id"]), moments(piece["at"])
        kept = (deal >= 0) & (at <= micros(frame.moment)) & (at != UNKNOWN_MOMENT)
        kept &= truths(piece["to_stage"].is_valid(), unknown=False)
        chosen = pa.array(kept)
        deals_of.append(deal[kept].astype(np.int32))
        moments_of.append(at[kept])
        sources.append(deals.stages.number(piece["from_stage"].filter(chosen)).astype(np.int32))
        targets.append(deals.stages.number(piece["to_stage"].filter(chosen)).astype(np.int32))
    if not deals_of:
        none = np.zeros(0, np.int32)
        return none, none.astype(np.int64), none, none
    where, when = np.concatenate(deals_of), np.concatenate(moments_of)
    order = _by_deal_and_time(where, when, len(deals.ids))
    return where[order], when[order], np.concatenate(sources)[order], np.concatenate(targets)[order]


def _by_deal_and_time(deal: Numbers, at: Micros, number: int) -> npt.NDArray[np.int64]:
    """The order by deal, then by time, then as they came: one sort of a packed key where the bits suffice."""
    if not len(at):
        return np.zeros(0, np.int64)
    elapsed = at - at.min()
    unit = SECOND if not (elapsed % SECOND).any() else 1  # most CRMs keep whole seconds
    elapsed //= unit
    reach = int(elapsed.max()) + 1
    if reach * number >= 2**63:
        return np.lexsort((at, deal))
    elapsed += deal.astype(np.int64) * reach
    order = np.argsort(elapsed)
    ordered = elapsed[order]
    same = np.zeros(len(order) + 1, bool)
    same[1:-1] = ordered[1:] == ordered[:-1]
    tied = np.flatnonzero(same[1:] | same[:-1])
    order[tied] = order[tied][np.lexsort((order[tied], ordered[tied]))]
    return order


def stage_order(stays: Stays, number: int) -> Floats:
    """The mean position at which deals first enter each stage; infinity for stages no path tells about.

    Only deals that were in two stages or more tell about an order.
    """
    alone = stays.is_last & (stays.position == 0)
    counted = ~alone & _first_entries(stays, number)
    visits = np.bincount(stays.stage[counted], minlength=number)
    total = np.bincount(stays.stage[counted], stays.position[counted], minlength=number)
    return np.where(visits > 0, total / np.maximum(visits, 1), np.inf)


def _first_entries(stays: Stays, number: int) -> Mask:
    """The first stay of each deal in each stage."""
    return _first_of_each(stays.deal.astype(np.int64) * number + stays.stage)


def last_stays(stays: Stays, number: int) -> Mask:
    """The last stay of each deal in each stage."""
    return _first_of_each((stays.deal.astype(np.int64) * number + stays.stage)[::-1])[::-1]


def _first_of_each(keys: npt.NDArray[np.int64]) -> Mask:
    found = np.zeros(len(keys), bool)
    found[np.unique(keys, return_index=True)[1]] = True
    return found
