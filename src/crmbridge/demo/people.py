"""Reps, and the names of people and companies."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.demo import words as said
from crmbridge.demo.columns import Floats, Ints, Span, choose, ids, moments, words
from crmbridge.demo.planted import DAY

CALLS, EMAILS, MEETINGS, TASKS, NOTES = 0.42, 0.30, 0.13, 0.12, 0.03
"""Shares of the kinds of activities."""
CALL_MEASURED, MEETING_MEASURED = 0.88, 0.85
TALK_HOURS, RING_HOURS = 9 / 60, 1.2 / 60
MEETING_HOURS, WAITING_HOURS = 45 / 60, 10 / 60


@dataclass(frozen=True)
class Reps:
    """The reps, and how each of them works: the chance that a call connects and that a meeting is held, how
    long they take over it (1 is usual), days to fulfil an order, hours to answer a lead (1 is usual)."""

    ids: pa.Array
    connects: Floats
    holds: Floats
    slowness: Floats
    fulfilment_days: Floats
    hesitation: Floats
    share: Floats

    def __len__(self) -> int:
        return len(self.ids)

    def communication_efficiency(self) -> Floats:
        """Positive outcomes per measured hour of each rep, as planted."""
        calls, meetings = CALLS * CALL_MEASURED, MEETINGS * MEETING_MEASURED
        outcomes = calls * self.connects + meetings * self.holds
        call = self.connects * TALK_HOURS + (1 - self.connects) * RING_HOURS
        meeting = self.holds * MEETING_HOURS + (1 - self.holds) * WAITING_HOURS
        return outcomes / (self.slowness * (calls * call + meetings * meeting))


def make_reps(rng: np.random.Generator, number: int) -> Reps:
    """Reps as different as those of a real team."""
    return Reps(
        ids=ids("R", 0, number),
        connects=rng.beta(14, 24, number),
        holds=rng.beta(30, 7, number),
        slowness=np.exp(rng.normal(0, 0.22, number)),
        fulfilment_days=6.5 * np.exp(rng.normal(0, 0.25, number)),
        hesitation=np.exp(rng.normal(0, 0.5, number)),
        share=rng.gamma(6, 1 / 6, number),
    )


def rep_table(rng: np.random.Generator, reps: Reps, span: Span) -> pa.Table:
    """The reps as the CRM exports them."""
    number = len(reps)
    person = people(rng, choose(rng, _SHARES, number), pa.array(["sales.example"] * number, pa.string()))
    joined = span.start - rng.integers(30, 2000, number) * DAY
    return pa.table(
        {
            "User ID": reps.ids,
            "Name": pc.binary_join_element_wise(person.first, person.last, " "),
            "Email": person.email,
            "Role": words(said.ROLES, rng.integers(0, len(said.ROLES), number)),
            "Active": pa.array(np.ones(number, bool)),
            "Created Date": moments(joined),
        }
    )


@dataclass(frozen=True)
class People:
    """Names and addresses, one entry per person."""

    first: pa.Array
    last: pa.Array
    email: pa.Array
    phone: pa.Array


@dataclass(frozen=True)
class Companies:
    """Names and internet domains, one entry per company; `country` is a position in `words.COUNTRIES`."""

    name: pa.Array
    domain: pa.Array
    country: Ints


def people(rng: np.random.Generator, country: Ints, domain: pa.Array) -> People:
    """A person of each country, with an address at each domain."""
    number = len(country)
    first = _FIRST_BEGIN[country] + (rng.random(number) * _FIRST_SIZE[country]).astype(np.int64)
    last = _LAST_BEGIN[country] + (rng.random(number) * _LAST_SIZE[country]).astype(np.int64)
    local = pc.binary_join_element_wise(words(_FIRST_PLAIN, first), words(_LAST_PLAIN, last), ".")
    digits = pa.array(rng.integers(1000, 9999, number)).cast(pa.string())
    return People(
        first=words(_FIRST, first),
        last=words(_LAST, last),
        email=pc.binary_join_element_wise(local, domain, "@"),
        phone=pc.binary_join_element_wise(words(_DIALLING, country), pa.scalar("555"), digits, " "),
    )


def companies(rng: np.random.Generator, number: int) -> Companies:
    """Companies of all countries."""
    country = choose(rng, _SHARES, number)
    stem = rng.integers(0, len(said.COMPANY_STEMS), number)
    branch = rng.integers(0, len(said.COMPANY_BRANCHES), number)
    place = rng.integers(0, len(said.COMPANY_PLACES), number)
    legal = _LEGAL_BEGIN[country] + (rng.random(number) * _LEGAL_SIZE[country]).astype(np.int64)
    spaced = tuple(f" {place}" if place else "" for place in said.COMPANY_PLACES)
    name = pc.binary_join_element_wise(
        words(said.COMPANY_STEMS, stem), pa.scalar(" "), words(said.COMPANY_BRANCHES, branch),
        words(spaced, place), pa.scalar(" "), words(_LEGAL, legal), "",
    )  # fmt: skip
    site = pc.binary_join_element_wise(words(_STEMS_PLAIN, stem), words(_BRANCHES_PLAIN, branch), "-")
    return Companies(name, pc.binary_join_element_wise(site, pa.scalar(".example"), ""), country)


def _plain(text: str) -> str:
    """Lower case without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))


def _begins(sizes: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)


_SHARES: Final = [country.share for country in said.COUNTRIES]
_DIALLING: Final = [country.dialling for country in said.COUNTRIES]
_FIRST: Final = [shown for country in said.COUNTRIES for shown, _ in country.first]
_FIRST_PLAIN: Final = [plain for country in said.COUNTRIES for _, plain in country.first]
_LAST: Final = [shown for country in said.COUNTRIES for shown, _ in country.last]
_LAST_PLAIN: Final = [plain for country in said.COUNTRIES for _, plain in country.last]
_LEGAL: Final = [legal for country in said.COUNTRIES for legal in country.legal]
_FIRST_SIZE: Final = np.array([len(country.first) for country in said.COUNTRIES])
_LAST_SIZE: Final = np.array([len(country.last) for country in said.COUNTRIES])
_LEGAL_SIZE: Final = np.array([len(country.legal) for country in said.COUNTRIES])
_FIRST_BEGIN, _LAST_BEGIN, _LEGAL_BEGIN = _begins(_FIRST_SIZE), _begins(_LAST_SIZE), _begins(_LEGAL_SIZE)
_STEMS_PLAIN: Final = [_plain(stem) for stem in said.COMPANY_STEMS]
_BRANCHES_PLAIN: Final = [_plain(branch) for branch in said.COMPANY_BRANCHES]
