"""Leads: who they are, what becomes of them, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from crmbridge.demo import words as said
from crmbridge.demo.columns import (
    NEVER,
    Floats,
    Ints,
    Mask,
    Span,
    choose,
    logistic,
    maybe,
    moments,
    office,
    records,
    words,
)
from crmbridge.demo.people import Companies, People, Reps, companies, people
from crmbridge.demo.planted import (
    BY_EMPLOYEES,
    BY_WAIT,
    DAY,
    FIRST_DAYS,
    IF_BUDGET,
    INDUSTRIES,
    LEAD_INTERCEPT,
    MOST_EARLY,
    PER_EARLY_ACTIVITY,
    SOURCES,
)

SOURCE_NAMES: Final = tuple(SOURCES)
INDUSTRY_NAMES: Final = tuple(INDUSTRIES)
NEGLECTED: Final = 0.15
"""Share of the leads that come to nothing and that nobody closes."""
_UNKNOWN_EMPLOYEES, _UNKNOWN_BUDGET = 0.12, 0.4


@dataclass(frozen=True)
class Leads:
    """One entry per lead, in order of creation. Times are seconds since 1970, NEVER where it does not come.

    `early_lead` and `early_at` are the activities of the first days (those on leads that are too new may
    lie after the moment); `converted_at` and `disqualified_at` may too: then the lead is open.
    """

    owner: Ints
    source: Ints
    industry: Ints
    employees: Ints
    employees_known: Mask
    budget: Mask
    budget_known: Mask
    company: Companies
    person: People
    created_at: Ints
    early_lead: Ints
    early_at: Ints
    chance: Floats
    converted_at: Ints
    disqualified_at: Ints
    neglected: Mask

    def __len__(self) -> int:
        return len(self.created_at)

    def resolved_at(self) -> Ints:
        return np.minimum(self.converted_at, self.disqualified_at)


def make_leads(rng: np.random.Generator, number: int, activities: float, reps: Reps, span: Span) -> Leads:
    """Leads whose outcome follows the planted chances; `activities` is their mean number early on."""
    created = span.times(rng, number)
    owner = choose(rng, reps.share, number)
    source = choose(rng, [share for share, _ in SOURCES.values()], number)
    industry = choose(rng, [share for share, _ in INDUSTRIES.values()], number)
    employees = np.clip(np.exp(rng.normal(np.log(60), 1.4, number)), 1, 60_000).astype(np.int64)
    employees_known = rng.random(number) >= _UNKNOWN_EMPLOYEES
    budget_known = rng.random(number) >= _UNKNOWN_BUDGET
    budget = budget_known & (rng.random(number) < 0.4)

    early_lead, early_at, hours = _first_days(rng, created, owner, activities, reps)
    early = np.bincount(early_lead[early_at <= created[early_lead] + FIRST_DAYS * DAY], minlength=number)
    log_odds = LEAD_INTERCEPT + np.array([effect for _, effect in SOURCES.values()])[source]
    log_odds = log_odds + np.array([effect for _, effect in INDUSTRIES.values()])[industry]
    log_odds += BY_EMPLOYEES * np.where(employees_known, np.log(employees / 60), 0.0) + IF_BUDGET * budget
    log_odds += PER_EARLY_ACTIVITY * np.minimum(early, MOST_EARLY) + BY_WAIT * np.log1p(hours)
    chance = logistic(log_odds)

    converts = rng.random(number) < chance
    neglected = ~converts & (rng.random(number) < NEGLECTED)
    # Decided after the first days, and well within the 90 days that the chance is about.
    deciding = np.minimum(FIRST_DAYS + 1 + np.exp(rng.normal(np.log(18), 0.7, number)), 86.0)
    giving_up = FIRST_DAYS + 3 + rng.gamma(1.6, 54.0, number)
    company = companies(rng, number)
    return Leads(
        owner=owner,
        source=source,
        industry=industry,
        employees=employees,
        employees_known=employees_known,
        budget=budget,
        budget_known=budget_known,
        company=company,
        person=people(rng, company.country, company.domain),
        created_at=created,
        early_lead=early_lead,
        early_at=early_at,
        chance=chance,
        converted_at=np.where(converts, office(rng, created + (deciding * DAY).astype(np.int64)), NEVER),
        disqualified_at=np.where(
            converts | neglected, NEVER, office(rng, created + (giving_up * DAY).astype(np.int64))
        ),
        neglected=neglected,
    )


def _first_days(
    rng: np.random.Generator, created: Ints, owner: Ints, activities: float, reps: Reps
) -> tuple[Ints, Ints, Floats]:
    """Activities of the first days (lead, time), and the hours to the first one of each lead."""
    number = rng.poisson(activities, len(created))
    lead = np.repeat(np.arange(len(created)), number)
    first = np.ones(len(lead), bool)
    first[1:] = lead[1:] != lead[:-1]
    wait = np.clip(np.exp(rng.normal(np.log(5), 1.2, len(lead))) * reps.hesitation[owner[lead]], 0.05, 90.0)
    answered = office(rng, created[lead] + (wait * 3600).astype(np.int64))
    answer = np.zeros(len(created), np.int64)
    answer[lead[first]] = answered[first]
    end = created[lead] + FIRST_DAYS * DAY
    later = answer[lead] + (rng.random(len(lead)) * np.maximum(end - answer[lead], 1)).astype(np.int64)
    at = np.where(first, answered, office(rng, later))
    hours = np.where(number > 0, (answer - created) / 3600, FIRST_DAYS * 24.0)
    return lead, at, np.minimum(hours, FIRST_DAYS * 24.0)


def lead_table(
    rng: np.random.Generator,
    leads: Leads,
    reps: Reps,
    span: Span,
    *,
    lead_ids: pa.Array,
    accounts: pa.Array,
    contacts: pa.Array,
    deals: pa.Array,
) -> pa.Table:
    """The leads as the CRM exports them; `accounts`, `contacts` and `deals` are what each became."""
    number = len(leads)
    resolved = leads.resolved_at()
    converted, closed = leads.converted_at <= span.moment, resolved <= span.moment
    age = span.moment - leads.created_at
    touched = leads.created_at + (rng.random(number) * np.minimum(age, 30 * DAY)).astype(np.int64)
    status = np.where(
        closed, np.where(converted, 3, 4), np.where(age < 5 * DAY, 0, np.where(leads.neglected, 2, 1))
    )
    reason = rng.integers(0, len(said.DISQUALIFIED), number)
    result = np.where(converted, 0, 1 + reason)
    revenue = (leads.employees * np.exp(rng.normal(np.log(140_000), 0.5, number))).round(-3)
    revenue_known = leads.employees_known & (rng.random(number) < 0.7)
    in_campaign = rng.random(number) < 0.6
    return pa.table(
        {
            "Lead ID": lead_ids,
            "First Name": leads.person.first,
            "Last Name": leads.person.last,
            "Company": leads.company.name,
            "Title": words(said.TITLES, rng.integers(0, len(said.TITLES), number), rng.random(number) < 0.85),
            "Email": leads.person.email,
            "Phone": records(leads.person.phone, np.arange(number), rng.random(number) < 0.7),
            "Industry": words(INDUSTRY_NAMES, leads.industry),
            "Employees": maybe(leads.employees, leads.employees_known),
            "Annual Revenue": maybe(revenue.astype(np.int64), revenue_known),
            "Country": words([country.name for country in said.COUNTRIES], leads.company.country),
            "Lead Source": words(SOURCE_NAMES, leads.source),
            "Campaign": words(said.CAMPAIGNS, rng.integers(0, len(said.CAMPAIGNS), number), in_campaign),
            "Annual Budget Approved": maybe(leads.budget, leads.budget_known),
            "Lead Status": words(("New", "Working", "Nurturing", "Converted", "Disqualified"), status),
            "Owner ID": records(reps.ids, leads.owner),
            "Created Date": moments(leads.created_at),
            "Last Modified Date": moments(np.where(closed, resolved, touched)),
            "Converted": pa.array(converted),
            "Converted Date": moments(leads.converted_at, converted),
            "Converted Account ID": accounts,
            "Converted Contact ID": contacts,
            "Converted Opportunity ID": deals,
            "Disqualified": pa.array(closed & ~converted),
            "Closed Date": moments(resolved, closed),
            "Qualification Result": words(
                ("Accepted by sales", *said.DISQUALIFIED), result, closed & (rng.random(number) < 0.96)
            ),
        }
    )
