"""Accounts and their contacts: old customers, and what leads were converted into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.demo import words as said
from crmbridge.demo.columns import Ints, Mask, Span, choose, maybe, moments, office, records, words
from crmbridge.demo.leads import INDUSTRY_NAMES, SOURCE_NAMES, Leads
from crmbridge.demo.people import Companies, People, Reps, companies, people
from crmbridge.demo.planted import DAY, INDUSTRIES


@dataclass(frozen=True)
class Accounts:
    """One entry per account: first the old customers, then one per converted lead (`lead`, else -1)."""

    owner: Ints
    industry: Ints
    employees: Ints
    employees_known: Mask
    company: Companies
    created_at: Ints
    lead: Ints

    def __len__(self) -> int:
        return len(self.created_at)


@dataclass(frozen=True)
class Contacts:
    """One entry per contact. The first contact of an account is at the account's own position."""

    account: Ints
    person: People
    created_at: Ints
    source: Ints

    def __len__(self) -> int:
        return len(self.account)


def make_accounts(
    rng: np.random.Generator, old: int, leads: Leads, reps: Reps, span: Span
) -> tuple[Accounts, Contacts]:
    """`old` customers from before the span, and an account and a contact for every lead converted by now."""
    lead = np.flatnonzero(leads.converted_at <= span.moment)
    company = companies(rng, old)
    since = office(rng, span.start - (rng.random(old) * 1500 * DAY).astype(np.int64) - 10 * DAY)
    accounts = Accounts(
        owner=np.concatenate([choose(rng, reps.share, old), leads.owner[lead]]),
        industry=np.concatenate(
            [choose(rng, [share for share, _ in INDUSTRIES.values()], old), leads.industry[lead]]
        ),
        employees=np.concatenate(
            [np.exp(rng.normal(np.log(120), 1.3, old)).astype(np.int64) + 1, leads.employees[lead]]
        ),
        employees_known=np.concatenate([rng.random(old) < 0.95, leads.employees_known[lead]]),
        company=Companies(
            pa.concat_arrays([company.name, leads.company.name.take(pa.array(lead))]),
            pa.concat_arrays([company.domain, leads.company.domain.take(pa.array(lead))]),
            np.concatenate([company.country, leads.company.country[lead]]),
        ),
        created_at=np.concatenate([since, leads.converted_at[lead]]),
        lead=np.concatenate([np.full(old, -1), lead]),
    )
    more = np.repeat(np.arange(old), rng.integers(0, 3, old))
    chief = people(rng, company.country, company.domain)
    others = people(rng, company.country[more], company.domain.take(pa.array(more)))
    joined = since[more] + (rng.random(len(more)) * (span.moment - since[more])).astype(np.int64)
    contacts = Contacts(
        account=np.concatenate([np.arange(len(accounts)), more]),
        person=People(
            *(
                pa.concat_arrays([first, converted.take(pa.array(lead)), other])
                for first, converted, other in zip(
                    _columns(chief), _columns(leads.person), _columns(others), strict=True
                )
            )
        ),
        created_at=np.concatenate([accounts.created_at, span.clip(rng, office(rng, joined))]),
        source=np.concatenate([np.full(old, -1), leads.source[lead], np.full(len(more), -1)]),
    )
    return accounts, contacts


def _columns(person: People) -> tuple[pa.Array, ...]:
    return person.first, person.last, person.email, person.phone


def account_table(accounts: Accounts, reps: Reps, account_ids: pa.Array) -> pa.Table:
    """The accounts as the CRM exports them."""
    site = pc.binary_join_element_wise(pa.scalar("https://www."), accounts.company.domain, "")
    return pa.table(
        {
            "Account ID": account_ids,
            "Account Name": accounts.company.name,
            "Industry": words(INDUSTRY_NAMES, accounts.industry),
            "Employees": maybe(accounts.employees, accounts.employees_known),
            "Country": words([country.name for country in said.COUNTRIES], accounts.company.country),
            "Website": site,
            "Customer Type": words(("Customer", "Prospect"), (accounts.lead >= 0).astype(np.int64)),
            "Owner ID": records(reps.ids, accounts.owner),
            "Created Date": moments(accounts.created_at),
            "Last Modified Date": moments(accounts.created_at),
        }
    )


def contact_table(
    rng: np.random.Generator,
    contacts: Contacts,
    accounts: Accounts,
    reps: Reps,
    *,
    contact_ids: pa.Array,
    account_ids: pa.Array,
) -> pa.Table:
    """The contacts as the CRM exports them."""
    number = len(contacts)
    titled = rng.random(number) < 0.85
    return pa.table(
        {
            "Contact ID": contact_ids,
            "Account ID": records(account_ids, contacts.account),
            "First Name": contacts.person.first,
            "Last Name": contacts.person.last,
            "Title": words(said.TITLES, rng.integers(0, len(said.TITLES), number), titled),
            "Email": contacts.person.email,
            "Phone": contacts.person.phone,
            "Lead Source": words(SOURCE_NAMES, np.maximum(contacts.source, 0), contacts.source >= 0),
            "Owner ID": records(reps.ids, accounts.owner[contacts.account]),
            "Created Date": moments(contacts.created_at),
            "Last Modified Date": moments(contacts.created_at),
        }
    )
