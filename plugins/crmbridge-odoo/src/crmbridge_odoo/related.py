"""What records refer to, looked up page by page and kept for the run: partners, leads, stages, tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from crmbridge_odoo.client import Client
from crmbridge_odoo.faults import Fault
from crmbridge_odoo.fields import first_of

CHUNK: Final = 1_000


@dataclass(frozen=True)
class Partner:
    """A partner: its account is the company it belongs to, itself where it is one."""

    account: str | None
    contact: str | None


@dataclass(frozen=True)
class Opportunity:
    """What a record of `crm.lead` is: a lead, an opportunity, or an opportunity that was a lead."""

    lead: str | None
    deal: str | None
    partner: Partner


NOBODY: Final = Partner(None, None)


class Related:
    """The look-ups of one run. What the user may not read is nothing."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._partners: dict[int, Partner] = {}
        self._leads: dict[int, Opportunity | None] = {}
        self._tags: dict[str, dict[int, str]] = {}

    def partners(self, ids: Iterable[int]) -> Mapping[int, Partner]:
        """Partners by id; those that are gone or hidden are nobody."""
        wanted = sorted({each for each in ids if each not in self._partners})
        for begin in range(0, len(wanted), CHUNK):
            chunk = wanted[begin : begin + CHUNK]
            names = ["is_company", "commercial_partner_id"]
            found = {row["id"]: row for row in self._read("res.partner", chunk, names)}
            heads = {head[0] for row in found.values() if (head := row["commercial_partner_id"])}
            others = self._read("res.partner", sorted(heads - found.keys()), ["is_company"])
            companies = {row["id"] for row in [*found.values(), *others] if row["is_company"]}
            for each in chunk:
                self._partners[each] = _partner(found.get(each), companies)
        return self._partners

    def leads(self, ids: Iterable[int]) -> Mapping[int, Opportunity | None]:
        """What each record of `crm.lead` is; None for those that are gone or hidden."""
        wanted = sorted({each for each in ids if each not in self._leads})
        for begin in range(0, len(wanted), CHUNK):
            chunk = wanted[begin : begin + CHUNK]
            rows = self._read("crm.lead", chunk, ["type", "date_conversion", "partner_id"])
            partners = self.partners(row["partner_id"][0] for row in rows if row["partner_id"])
            found = {row["id"]: row for row in rows}
            for each in chunk:
                row = found.get(each)
                self._leads[each] = None if row is None else _opportunity(row, partners)
        return self._leads

    def tags(self, model: str) -> Mapping[int, str]:
        """The names of all tags of a model."""
        if model not in self._tags:
            try:
                rows = self._client.search_read(model, [], ["display_name"])
            except Fault as fault:
                if not fault.is_not_allowed:
                    raise
                rows = []
            self._tags[model] = {row["id"]: str(row["display_name"]) for row in rows}
        return self._tags[model]

    @cached_property
    def won_stages(self) -> frozenset[int]:
        """Stages that are won: `is_won`, before Odoo 13 those of a probability of 100."""
        name = first_of(self._client.fields("crm.stage"), "is_won", "probability")
        domain = [["is_won", "=", True]] if name == "is_won" else [["probability", ">=", 100]]
        return frozenset(self._client.search("crm.stage", domain)) if name else frozenset()

    @cached_property
    def currencies(self) -> Mapping[int, str]:
        """The currency of each company the user sees."""
        rows = self._client.search_read("res.company", [], ["currency_id"])
        return {row["id"]: row["currency_id"][1] for row in rows if row["currency_id"]}

    @cached_property
    def currency(self) -> str | None:
        """The currency of records without a company: the user's company's."""
        rows = self._client.search_read("res.users", [["id", "=", self._client.uid]], ["company_id"])
        company = rows[0]["company_id"] if rows else None
        return self.currencies.get(company[0]) if company else None

    @cached_property
    def internal(self) -> Mapping[int, str]:
        """The user of each partner who is one of the organisation's own."""
        rows = self._client.search_read("res.users", [["share", "=", False]], ["partner_id"])
        return {row["partner_id"][0]: str(row["id"]) for row in rows if row["partner_id"]}

    @cached_property
    def internal_subtypes(self) -> frozenset[int]:
        """Kinds of messages that stay inside: notes."""
        return frozenset(self._client.search("mail.message.subtype", [["internal", "=", True]]))

    def _read(self, model: str, ids: list[int], names: list[str]) -> list[dict[str, Any]]:
        return self._client.search_read(model, [["id", "in", ids]], names) if ids else []


def _partner(row: Mapping[str, Any] | None, companies: set[int]) -> Partner:
    if row is None:
        return NOBODY
    head = row["commercial_partner_id"][0] if row["commercial_partner_id"] else None
    account = str(row["id"]) if row["is_company"] else str(head) if head in companies else None
    return Partner(account, None if row["is_company"] else str(row["id"]))


def _opportunity(row: Mapping[str, Any], partners: Mapping[int, Partner]) -> Opportunity:
    identifier = str(row["id"])
    is_deal = row["type"] == "opportunity"
    was_lead = not is_deal or bool(row["date_conversion"])
    partner = partners[row["partner_id"][0]] if row["partner_id"] else NOBODY
    return Opportunity(identifier if was_lead else None, identifier if is_deal else None, partner)
