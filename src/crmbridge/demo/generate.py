"""A sample organisation: a believable B2B sales team over three years, with planted truths.

The organisation is made of blocks of at most a few thousand leads, each with accounts, deals, activities
and orders of its own, so that memory is bounded at any size. Every block has its own stream of the seed's
random numbers: the same seed, moment and sizes give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from crmbridge.demo import planted
from crmbridge.demo.accounts import account_table, contact_table, make_accounts
from crmbridge.demo.activities import activity_table, make_activities
from crmbridge.demo.columns import NEVER, Floats, Mask, Span, ids, records
from crmbridge.demo.deals import change_table, deal_table, make_deals
from crmbridge.demo.exports import FILES, FOLDER, SETTINGS, Export
from crmbridge.demo.leads import lead_table, make_leads
from crmbridge.demo.orders import make_orders, order_table
from crmbridge.demo.people import Reps, make_reps, rep_table
from crmbridge.demo.planted import DAY, Truth, Wrong
from crmbridge.model.records import ObjectName

YEARS: Final = 3
_BLOCK: Final[Mapping[str, int]] = {"leads": 20_000, "deals": 12_000, "activities": 200_000, "orders": 15_000}
_EARLY_ON_LEADS, _EARLY_ON_DEALS = 1.5, 2.0
_BAD: Final[Mapping[ObjectName, tuple[Wrong, ...]]] = {
    "lead": ("date", "missing id", "id twice"),
    "deal": ("number",),
    "activity": ("date", "kind"),
}


def generate(
    directory: Path,
    *,
    seed: int,
    moment: datetime,
    leads: int = 4000,
    deals: int = 2500,
    activities: int = 40_000,
    orders: int = 3000,
    reps: int = 12,
) -> Truth:
    """Write the organisation as of `moment` (aware) below `directory`: exports in `crm/`, and
    `crmbridge.toml`.

    The numbers are those of good records. There are at least two thirds as many deals as converted leads,
    and more activities than asked for where the first days alone need more; with the default proportions
    neither matters. Raises ValueError for a naive moment, a negative number or no rep, OSError where it
    can't write.
    """
    if moment.tzinfo is None:
        raise ValueError("the moment must be aware")
    wanted = {"leads": leads, "deals": deals, "activities": activities, "orders": orders}
    if reps < 1 or min(wanted.values()) < 0:
        raise ValueError("numbers can't be negative, and there must be a rep")
    end = int(moment.astimezone(UTC).timestamp())
    span = Span(end - (365 * YEARS + 1) * DAY, end)
    folder = directory / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    team_rng = _stream(seed, 0)
    team = make_reps(team_rng, reps)
    found = _Found()
    with ExitStack() as stack:
        exports = {name: stack.enter_context(Export(name, folder)) for name in FILES}
        exports["rep"].write(rep_table(team_rng, team, span))
        for number, sizes in enumerate(_blocks(wanted), 1):
            _block(_stream(seed, number), sizes, team, span, exports, found)
        bad = [row for name, wrongs in _BAD.items() for row in exports[name].spoil(wrongs)]
    (directory / "crmbridge.toml").write_text(SETTINGS, encoding="utf-8")
    return Truth(
        lead_intercept=planted.LEAD_INTERCEPT,
        lead_coefficients=planted.LEAD_COEFFICIENTS,
        lead_auc=_auc(found.lead_chances, found.lead_outcomes),
        deal_intercept=planted.DEAL_INTERCEPT,
        deal_coefficients=planted.DEAL_COEFFICIENTS,
        deal_auc=_auc(found.deal_chances, found.deal_outcomes),
        communication_efficiency=_by_rep(team, team.communication_efficiency()),
        fulfilment_days=_by_rep(team, team.fulfilment_days),
        stage_days=dict(zip(planted.STAGES, planted.STAGE_DAYS, strict=True)),
        bottleneck=planted.BOTTLENECK,
        leaks=planted.LEAKS,
        bad_rows=tuple(bad),
        stale_deals=tuple(found.stale_deals),
        counts={name: export.rows for name, export in exports.items()},
    )


class _Found:
    """What is kept of all blocks."""

    def __init__(self) -> None:
        self.lead_chances: list[Floats] = []
        self.lead_outcomes: list[Mask] = []
        self.deal_chances: list[Floats] = []
        self.deal_outcomes: list[Mask] = []
        self.stale_deals: list[str] = []


def _stream(seed: int, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))


def _blocks(wanted: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Sizes of the blocks: as few as hold the numbers, and as equal as can be."""
    number = max(1, *(-(-wanted[name] // most) for name, most in _BLOCK.items()))
    for block in range(number):
        yield {name: all_ * (block + 1) // number - all_ * block // number for name, all_ in wanted.items()}


def _block(
    rng: np.random.Generator,
    sizes: Mapping[str, int],
    team: Reps,
    span: Span,
    exports: Mapping[ObjectName, Export],
    found: _Found,
) -> None:
    """Make one block and append it to the files."""
    # Where few activities are asked for, the first days must leave some for later.
    few = min(
        1.0,
        0.5
        * sizes["activities"]
        / max(_EARLY_ON_LEADS * sizes["leads"] + _EARLY_ON_DEALS * sizes["deals"], 1),
    )
    leads = make_leads(rng, sizes["leads"], few * _EARLY_ON_LEADS, team, span)
    accounts, contacts = make_accounts(rng, max(1, sizes["deals"] // 5), leads, team, span)
    deals = make_deals(rng, sizes["deals"], few * _EARLY_ON_DEALS, accounts, leads, team, span)
    orders = make_orders(rng, sizes["orders"], accounts, deals, team, span)
    activities = make_activities(rng, sizes["activities"], leads, deals, accounts, span)

    lead_ids = ids("L", exports["lead"].rows, len(leads))
    account_ids = ids("A", exports["account"].rows, len(accounts))
    contact_ids = ids("C", exports["contact"].rows, len(contacts))
    deal_ids = ids("D", exports["deal"].rows, len(deals))

    account_of_lead = np.full(len(leads), -1)
    account_of_lead[accounts.lead[accounts.lead >= 0]] = np.flatnonzero(accounts.lead >= 0)
    deal_of_lead = np.full(len(leads), -1)
    deal_of_lead[deals.lead[deals.lead >= 0]] = np.flatnonzero(deals.lead >= 0)

    exports["account"].write(account_table(accounts, team, account_ids))
    exports["contact"].write(
        contact_table(rng, contacts, accounts, team, contact_ids=contact_ids, account_ids=account_ids)
    )
    exports["lead"].write(
        lead_table(
            rng, leads, team, span,
            lead_ids=lead_ids,
            accounts=records(account_ids, account_of_lead),
            contacts=records(contact_ids, account_of_lead),
            deals=records(deal_ids, deal_of_lead),
        )
    )  # fmt: skip
    exports["deal"].write(
        deal_table(
            rng, deals, accounts, team, span,
            deal_ids=deal_ids, account_ids=account_ids, contact_ids=contact_ids, lead_ids=lead_ids,
        )
    )  # fmt: skip
    exports["stage_change"].write(
        change_table(deals, team, span, deal_ids=deal_ids, first=exports["stage_change"].rows)
    )
    exports["activity"].write(
        activity_table(
            rng, activities, leads, deals, accounts, team, span, first=exports["activity"].rows,
            lead_ids=lead_ids, deal_ids=deal_ids, account_ids=account_ids, contact_ids=contact_ids,
        )
    )  # fmt: skip
    exports["order"].write(
        order_table(
            orders, team, span, first=exports["order"].rows, account_ids=account_ids, deal_ids=deal_ids
        )
    )
    found.lead_chances.append(leads.chance)
    found.lead_outcomes.append(leads.converted_at < NEVER)
    found.deal_chances.append(deals.chance)
    found.deal_outcomes.append(deals.won)
    found.stale_deals += deal_ids.filter(pa.array(deals.abandoned)).to_pylist()


def _by_rep(team: Reps, values: Floats) -> dict[str, float]:
    return dict(zip(team.ids.to_pylist(), values.tolist(), strict=True))


def _auc(chances: list[Floats], outcomes: list[Mask]) -> float | None:
    """The chance that a success had a higher chance than a failure; None without both."""
    chance, outcome = np.concatenate(chances), np.concatenate(outcomes)
    good, bad = int(outcome.sum()), int((~outcome).sum())
    if not good or not bad:
        return None
    return float((rankdata(chance)[outcome].sum() - good * (good + 1) / 2) / (good * bad))
