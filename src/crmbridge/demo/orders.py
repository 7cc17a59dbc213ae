"""Orders: of won deals, and those that customers repeat until they leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from crmbridge.demo.accounts import Accounts
from crmbridge.demo.columns import NEVER, Floats, Ints, Span, ids, moments, office, records, spread, words
from crmbridge.demo.deals import Deals
from crmbridge.demo.people import Reps
from crmbridge.demo.planted import DAY

CANCELLED = 0.015


@dataclass(frozen=True)
class Orders:
    """One entry per order, in order of time. `fulfilled_at` is NEVER for cancelled ones and may lie after the
    moment: then the order is open."""

    account: Ints
    deal: Ints
    owner: Ints
    amount: Floats
    ordered_at: Ints
    fulfilled_at: Ints

    def __len__(self) -> int:
        return len(self.account)


def make_orders(
    rng: np.random.Generator, number: int, accounts: Accounts, deals: Deals, reps: Reps, span: Span
) -> Orders:
    """`number` orders: one soon after each won deal, the others by how much each customer buys."""
    won = np.flatnonzero(deals.won & (deals.closed_at <= span.moment))
    at = office(rng, deals.closed_at[won] + rng.integers(DAY // 24, 5 * DAY, len(won)))
    in_time = at <= span.moment
    won, at = won[in_time][:number], at[in_time][:number]

    since = np.where(accounts.lead < 0, span.start, NEVER)
    np.minimum.at(since, deals.account[won], at)
    until = np.minimum(since + (rng.exponential(900, len(accounts)) * DAY).astype(np.int64), span.moment)
    buying = np.where(since < NEVER, np.maximum(until - since, 0), 0) * rng.gamma(0.8, 1.0, len(accounts))
    account = np.repeat(np.arange(len(accounts)), spread(rng, buying, number - len(won)))
    again = since[account] + (rng.random(len(account)) * (until[account] - since[account])).astype(np.int64)

    all_account = np.concatenate([deals.account[won], account])
    ordered = np.concatenate([at, span.clip(rng, office(rng, again))])
    order = np.argsort(ordered, kind="stable")
    all_account, ordered = all_account[order], ordered[order]
    deal = np.concatenate([won, np.full(len(account), -1)])[order]
    owner = accounts.owner[all_account]
    days = rng.gamma(3.0, reps.fulfilment_days[owner] / 3.0)
    level = np.exp(rng.normal(np.log(1_800), 0.6, len(accounts)))[all_account]
    repeat = (level * np.exp(rng.normal(0, 0.4, len(order)))).round(2)
    fulfilled = ordered + (days * DAY).astype(np.int64)
    return Orders(
        account=all_account,
        deal=deal,
        owner=owner,
        amount=np.where(deal >= 0, deals.amount[np.maximum(deal, 0)], repeat) if len(deals) else repeat,
        ordered_at=ordered,
        fulfilled_at=np.where(rng.random(len(order)) < CANCELLED, NEVER, fulfilled),
    )


def order_table(
    orders: Orders, reps: Reps, span: Span, *, first: int, account_ids: pa.Array, deal_ids: pa.Array
) -> pa.Table:
    """The orders as the CRM exports them at the moment. `first` is how many orders came before."""
    fulfilled = orders.fulfilled_at <= span.moment
    status = np.where(fulfilled, 0, np.where(orders.fulfilled_at >= NEVER, 2, 1))
    return pa.table(
        {
            "Order ID": ids("S", first, len(orders)),
            "Account ID": records(account_ids, orders.account),
            "Opportunity ID": records(deal_ids, orders.deal),
            "Amount": pa.array(orders.amount),
            "Currency": words(("EUR",), np.zeros(len(orders), np.int64)),
            "Order Date": moments(orders.ordered_at),
            "Fulfilled Date": moments(orders.fulfilled_at, fulfilled),
            "Status": words(("Shipped", "In progress", "Cancelled"), status),
            "Owner ID": records(reps.ids, orders.owner),
            "Last Modified Date": moments(np.where(fulfilled, orders.fulfilled_at, orders.ordered_at)),
        }
    )
