"""Deals and their way through the stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.demo import words as said
from crmbridge.demo.accounts import Accounts
from crmbridge.demo.columns import (
    NEVER,
    Floats,
    Ints,
    Mask,
    Span,
    choose,
    ids,
    logistic,
    moments,
    office,
    records,
    words,
)
from crmbridge.demo.leads import SOURCE_NAMES, Leads
from crmbridge.demo.people import Reps
from crmbridge.demo.planted import (
    BY_AMOUNT,
    DAY,
    DEAL_INTERCEPT,
    FIRST_DAYS,
    IF_COMPETITOR,
    IF_REFERRED,
    LOST,
    MOST_EARLY,
    PER_EARLY_DEAL_ACTIVITY,
    STAGE_DAYS,
    STAGES,
    TYPES,
    WON,
)

LOST_IN: Final = (0.28, 0.24, 0.24, 0.10, 0.14)
"""In which stage the deals that are not won end."""
ABANDONED: Final = 0.06
"""Share of the deals that are not won and that nobody closes."""
_GOES_BACK, _SKIPS_DISCOVERY = 0.12, 0.08
_DISCOVERY: Final = 1
_ENDS: Final = (*STAGES, WON, LOST)
_WON, _LOST = len(STAGES), len(STAGES) + 1


@dataclass(frozen=True)
class Deals:
    """One entry per deal, in order of creation. Times are seconds since 1970, NEVER where it does not come.

    `lead` is -1 where the deal is not a converted lead's. `closed_at` may lie after the moment: then the
    deal is open. `early_deal` and `early_at` are the activities of the first days.
    """

    account: Ints
    lead: Ints
    owner: Ints
    type: Ints
    source: Ints
    amount: Floats
    competitor: Ints
    created_at: Ints
    early_deal: Ints
    early_at: Ints
    chance: Floats
    won: Mask
    abandoned: Mask
    closed_at: Ints
    changes: Changes

    def __len__(self) -> int:
        return len(self.created_at)


@dataclass(frozen=True)
class Changes:
    """Stage changes by deal and time; stages are positions in STAGES, then won, lost; -1 before the first."""

    deal: Ints
    before: Ints
    after: Ints
    at: Ints


def make_deals(
    rng: np.random.Generator,
    number: int,
    activities: float,
    accounts: Accounts,
    leads: Leads,
    reps: Reps,
    span: Span,
) -> Deals:
    """Deals whose outcome follows the planted chances: one per converted lead, others from the accounts."""
    from_leads = np.flatnonzero(accounts.lead >= 0)[:number]
    others = choose(rng, rng.gamma(0.7, 1.0, len(accounts)), number - len(from_leads))
    begin = np.maximum(accounts.created_at[others], span.start)
    at = begin + (rng.random(len(others)) ** 0.85 * (span.moment - begin)).astype(np.int64)
    created = np.concatenate([accounts.created_at[from_leads], span.clip(rng, office(rng, at))])
    order = np.argsort(created, kind="stable")
    created = created[order]
    account = np.concatenate([from_leads, others])[order]
    lead = np.where(order < len(from_leads), accounts.lead[account], -1)

    of_lead = lead >= 0
    kind = np.where(of_lead, 0, 1 + (rng.random(number) < 0.3))
    source = np.where(of_lead, leads.source[np.maximum(lead, 0)], -1) if len(leads) else np.full(number, -1)
    size = np.log(accounts.employees[account] / 60)
    amount = np.exp(rng.normal(np.log(9_000) + 0.3 * size, 0.7)).round(-1) + 10
    competitor = np.where(rng.random(number) < 0.3, rng.integers(0, len(said.COMPETITORS), number), -1)
    early_deal = np.repeat(np.arange(number), rng.poisson(activities, number))
    early_at = office(rng, created[early_deal] + rng.integers(600, FIRST_DAYS * DAY, len(early_deal)))
    early = np.bincount(early_deal[early_at <= created[early_deal] + FIRST_DAYS * DAY], minlength=number)
    log_odds = DEAL_INTERCEPT + np.array(list(TYPES.values()))[kind] + IF_COMPETITOR * (competitor >= 0)
    log_odds += IF_REFERRED * (source == SOURCE_NAMES.index("Referral")) + BY_AMOUNT * np.log(amount / 10_000)
    log_odds += PER_EARLY_DEAL_ACTIVITY * np.minimum(early, MOST_EARLY)
    chance = logistic(log_odds)

    won = rng.random(number) < chance
    abandoned = ~won & (rng.random(number) < ABANDONED)
    changes, closed_at = _walk(rng, created, won, abandoned)
    return Deals(
        account=account,
        lead=lead,
        owner=np.where(rng.random(number) < 0.9, accounts.owner[account], choose(rng, reps.share, number)),
        type=kind,
        source=source,
        amount=amount,
        competitor=competitor,
        created_at=created,
        early_deal=early_deal,
        early_at=early_at,
        chance=chance,
        won=won,
        abandoned=abandoned,
        closed_at=closed_at,
        changes=changes,
    )


def _walk(rng: np.random.Generator, created: Ints, won: Mask, abandoned: Mask) -> tuple[Changes, Ints]:
    """Every deal's way from the first stage to its end: sometimes past Discovery, sometimes one step back."""
    number = len(created)
    end = np.where(won, len(STAGES) - 1, choose(rng, LOST_IN, number))
    back_from = np.where(rng.random(number) < _GOES_BACK, rng.integers(1, len(STAGES), number), -1)
    back_from = np.where(back_from <= end, back_from, -1)
    skips = (end > _DISCOVERY) & (rng.random(number) < _SKIPS_DISCOVERY)
    mean = np.array(STAGE_DAYS)

    deal, before, after, at = (
        [np.arange(number)],
        [np.full(number, -1)],
        [np.zeros(number, np.int64)],
        [created],
    )
    closed_at = np.full(number, NEVER)
    walking, stage, time = np.arange(number), np.zeros(number, np.int64), created
    while len(walking):
        days = rng.gamma(1.6, mean[stage] / 1.6)
        time = office(rng, time + (days * DAY).astype(np.int64) + 600)
        back = stage == back_from[walking]
        ends = (stage == end[walking]) & ~back
        back_from[walking[back]] = -1
        onward = stage + 1 + ((stage + 1 == _DISCOVERY) & skips[walking])
        following = np.where(ends, np.where(won[walking], _WON, _LOST), np.where(back, stage - 1, onward))
        # Nothing is decided in the first days, whose activities are what the chance is about.
        soonest = created[walking] + FIRST_DAYS * DAY + rng.integers(DAY // 4, 4 * DAY, len(walking))
        time = np.where(ends & (time < soonest), office(rng, soonest), time)
        moves = ~(ends & abandoned[walking])
        deal.append(walking[moves])
        before.append(stage[moves])
        after.append(following[moves])
        at.append(time[moves])
        closed_at[walking[ends & moves]] = time[ends & moves]
        walking, stage, time = walking[~ends], following[~ends], time[~ends]
    all_deal = np.concatenate(deal)
    order = np.argsort(all_deal, kind="stable")
    columns = (np.concatenate(column)[order] for column in (before, after, at))
    return Changes(all_deal[order], *columns), closed_at


def deal_table(
    rng: np.random.Generator,
    deals: Deals,
    accounts: Accounts,
    reps: Reps,
    span: Span,
    *,
    deal_ids: pa.Array,
    account_ids: pa.Array,
    contact_ids: pa.Array,
    lead_ids: pa.Array,
) -> pa.Table:
    """The deals as the CRM exports them at the moment."""
    number = len(deals)
    closed = deals.closed_at <= span.moment
    happened = deals.changes.at <= span.moment
    deal = deals.changes.deal[happened]
    stage, modified = np.zeros(number, np.int64), deals.created_at.copy()
    stage[deal], modified[deal] = (
        deals.changes.after[happened],
        deals.changes.at[happened],
    )  # the last one stays
    expected = deals.created_at + rng.integers(30, 150, number) * DAY
    wanted = ("Rollout", "Extension", "Licences", "Pilot", "Service contract", "Equipment")
    thing = words(wanted, rng.integers(0, len(wanted), number))
    name = pc.binary_join_element_wise(records(accounts.company.name, deals.account), thing, " – ")
    reason = rng.integers(0, len(said.LOSS_REASONS), number)
    return pa.table(
        {
            "Opportunity ID": deal_ids,
            "Opportunity Name": name,
            "Account ID": records(account_ids, deals.account),
            "Contact ID": records(contact_ids, deals.account),
            "Lead ID": records(lead_ids, deals.lead),
            "Amount": pa.array(deals.amount),
            "Currency": words(("EUR",), np.zeros(number, np.int64)),
            "Stage": words(_ENDS, stage),
            "Type": words(tuple(TYPES), deals.type),
            "Lead Source": words(SOURCE_NAMES, np.maximum(deals.source, 0), deals.source >= 0),
            "Competitor": words(said.COMPETITORS, np.maximum(deals.competitor, 0), deals.competitor >= 0),
            "Expected Close": pa.array(expected // DAY, pa.int32()).cast(pa.date32()),
            "Owner ID": records(reps.ids, deals.owner),
            "Created Date": moments(deals.created_at),
            "Last Modified Date": moments(modified),
            "Closed Date": moments(deals.closed_at, closed),
            "Loss Reason": words(
                said.LOSS_REASONS, reason, closed & ~deals.won & (rng.random(number) < 0.95)
            ),
        }
    )


def change_table(deals: Deals, reps: Reps, span: Span, *, deal_ids: pa.Array, first: int) -> pa.Table:
    """The stage history up to the moment. `first` is how many changes came before."""
    changes = deals.changes
    happened = changes.at <= span.moment
    deal, before, after = changes.deal[happened], changes.before[happened], changes.after[happened]
    return pa.table(
        {
            "History ID": ids("H", first, len(deal)),
            "Opportunity ID": records(deal_ids, deal),
            "From Stage": words(_ENDS, np.maximum(before, 0), before >= 0),
            "To Stage": words(_ENDS, after),
            "Changed By ID": records(reps.ids, deals.owner[deal]),
            "Changed Date": moments(changes.at[happened]),
        }
    )
