"""Activities: what the reps did with leads, deals and customers, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from crmbridge.demo import words as said
from crmbridge.demo.accounts import Accounts
from crmbridge.demo.columns import Ints, Span, choose, ids, maybe, moments, office, records, spread, words
from crmbridge.demo.deals import Deals
from crmbridge.demo.leads import Leads
from crmbridge.demo.people import (
    CALL_MEASURED,
    CALLS,
    EMAILS,
    MEETING_HOURS,
    MEETING_MEASURED,
    MEETINGS,
    NOTES,
    RING_HOURS,
    TALK_HOURS,
    TASKS,
    WAITING_HOURS,
    Reps,
)
from crmbridge.demo.planted import DAY, FIRST_DAYS

_CALL, _MEETING, _EMAIL, _TASK, _NOTE = range(5)
KINDS = ("Call", "Meeting", "Email", "Task", "Note")
OUTCOMES = ("Connected", "No answer", "Left voicemail", "Held", "No-show", "Replied", "Sent")
_CONNECTED, _NO_ANSWER, _VOICEMAIL, _HELD, _NO_SHOW, _REPLIED, _SENT = range(7)
LEAD_DAYS, DEAL_DAYS = 60, 150
"""How long a lead or a deal is worked on at most."""


@dataclass(frozen=True)
class Activities:
    """One entry per activity, in order of time: on a lead, a deal, or an account alone (-1: not on it)."""

    lead: Ints
    deal: Ints
    account: Ints
    at: Ints

    def __len__(self) -> int:
        return len(self.at)


def make_activities(
    rng: np.random.Generator, number: int, leads: Leads, deals: Deals, accounts: Accounts, span: Span
) -> Activities:
    """The first days' activities that leads and deals have already, and others up to `number`."""
    early_lead = leads.early_at <= span.moment
    early_deal = deals.early_at <= span.moment
    rest = number - int(early_lead.sum()) - int(early_deal.sum())

    lead_begin = leads.created_at + FIRST_DAYS * DAY
    lead_end = np.minimum(np.minimum(leads.resolved_at(), span.moment), leads.created_at + LEAD_DAYS * DAY)
    deal_begin = deals.created_at + FIRST_DAYS * DAY
    deal_end = np.minimum(np.minimum(deals.closed_at, span.moment), deals.created_at + DEAL_DAYS * DAY)
    account_begin = np.maximum(accounts.created_at, span.start)
    begin = np.concatenate([lead_begin, deal_begin, account_begin])
    end = np.concatenate([lead_end, deal_end, np.full(len(accounts), span.moment)])
    # Neglected leads and abandoned deals are what they are because nobody cares for them.
    eagerness = np.concatenate(
        [
            np.where(leads.neglected, 0.15, 1.0),
            np.where(deals.abandoned, 0.5, 2.2),
            np.full(len(accounts), 0.05),
        ]
    )
    weights = np.maximum(end - begin, 0) * eagerness * rng.gamma(2.0, 0.5, len(begin))
    target = np.repeat(np.arange(len(begin)), spread(rng, weights, rest))
    at = office(rng, begin[target] + (rng.random(len(target)) * (end - begin)[target]).astype(np.int64))
    at = np.where(
        at > end[target], np.maximum(end[target] - rng.integers(600, 7200, len(at)), begin[target]), at
    )

    on_lead = target < len(leads)
    on_deal = ~on_lead & (target < len(leads) + len(deals))
    lead = np.concatenate(
        [
            leads.early_lead[early_lead],
            np.full(int(early_deal.sum()), -1),
            np.where(on_lead, target, -1),
        ]
    )
    deal = np.concatenate(
        [
            np.full(int(early_lead.sum()), -1),
            deals.early_deal[early_deal],
            np.where(on_deal, target - len(leads), -1),
        ]
    )
    alone = np.where(on_lead | on_deal, -1, target - len(leads) - len(deals))
    account = np.concatenate([np.full(len(lead) - len(alone), -1), alone])
    if len(deals):
        account = np.where(deal >= 0, deals.account[np.maximum(deal, 0)], account)
    at = np.concatenate([leads.early_at[early_lead], deals.early_at[early_deal], at])
    order = np.argsort(at, kind="stable")
    return Activities(lead[order], deal[order], account[order], at[order])


def activity_table(
    rng: np.random.Generator,
    activities: Activities,
    leads: Leads,
    deals: Deals,
    accounts: Accounts,
    reps: Reps,
    span: Span,
    *,
    first: int,
    lead_ids: pa.Array,
    deal_ids: pa.Array,
    account_ids: pa.Array,
    contact_ids: pa.Array,
) -> pa.Table:
    """The activities as the CRM exports them. `first` is how many activities came before."""
    number = len(activities)
    owner = choose(rng, reps.share, number)
    own = rng.random(number) < 0.92
    for position, owners in (
        (activities.account, accounts.owner),
        (activities.deal, deals.owner),
        (activities.lead, leads.owner),
    ):
        known = own & (position >= 0)
        owner[known] = owners[position[known]]

    kind = choose(rng, (CALLS, MEETINGS, EMAILS, TASKS, NOTES), number)
    chance = rng.random(number)
    good = np.select(
        [kind == _CALL, kind == _MEETING],
        [chance < reps.connects[owner], chance < reps.holds[owner]],
        chance < 0.22,
    )
    bad_call = np.where(rng.random(number) < 0.6, _NO_ANSWER, _VOICEMAIL)
    outcome = np.select(
        [kind == _CALL, kind == _MEETING],
        [np.where(good, _CONNECTED, bad_call), np.where(good, _HELD, _NO_SHOW)],
        np.where(good, _REPLIED, _SENT),
    )
    usual = np.select(
        [kind == _CALL, kind == _MEETING],
        [np.where(good, TALK_HOURS, RING_HOURS), np.where(good, MEETING_HOURS, WAITING_HOURS)],
        np.where(kind == _TASK, 0.25, 0.1),
    )
    # Log-normal about the usual time; the mean stays the usual time.
    hours = usual * reps.slowness[owner] * np.exp(rng.normal(-0.125, 0.5, number))
    seconds = np.maximum((hours * 3600).round().astype(np.int64), 1)
    measured = rng.random(number) < np.select(
        [kind == _CALL, kind == _MEETING, kind == _TASK], [CALL_MEASURED, MEETING_MEASURED, 0.4], 0.0
    )
    is_meeting = kind == _MEETING
    ended = activities.at + seconds
    measured &= ended <= span.moment

    pools = tuple(said.SUBJECTS[name.lower()] for name in KINDS)
    begins = np.cumsum([0, *(len(pool) for pool in pools)])[:-1]
    sizes = np.array([len(pool) for pool in pools])
    subject = begins[kind] + (rng.random(number) * sizes[kind]).astype(np.int64)
    return pa.table(
        {
            "Activity ID": ids("T", first, number),
            "Type": words(KINDS, kind),
            "Direction": words(
                ("Outbound", "Inbound"), (rng.random(number) < 0.18).astype(np.int64), kind < _TASK
            ),
            "Subject": words([subject for pool in pools for subject in pool], subject),
            "Lead ID": records(lead_ids, activities.lead),
            "Contact ID": records(contact_ids, activities.account),
            "Account ID": records(account_ids, activities.account),
            "Opportunity ID": records(deal_ids, activities.deal),
            "Start": moments(activities.at),
            "End": moments(ended, is_meeting & measured),
            "Duration (s)": maybe(seconds, measured & ~is_meeting),
            "Outcome": words(OUTCOMES, outcome, kind < _TASK),
            "Completed": pa.array(np.ones(number, bool)),
            "Owner ID": records(reps.ids, owner),
            "Created Date": moments(activities.at),
        }
    )
