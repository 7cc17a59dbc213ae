"""What a pull will cost in credits, before it is made.

Counts come from `GET /{module}/actions/count`, a credit each
(https://www.zoho.com/crm/developer/docs/api/v8/get-record-count.html).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final

from crmbridge.connectors.zoho import limits
from crmbridge.connectors.zoho.client import Client, Refused
from crmbridge.connectors.zoho.objects import BULK_READ_NOT, Module
from crmbridge.connectors.zoho.users import TYPES

METADATA: Final = 4
"""The org, its modules, the layouts of deals and the pipeline of one."""
TRIAL: Final = 1
"""A query that is refused, by which it is seen that queries do not show `$se_module`."""


def counts(client: Client, modules: Sequence[Module]) -> dict[str, int] | None:
    """The records of each module; None where the org does not count them."""
    found = {}
    for module in modules:
        params = {"converted": "both"} if module.object == "lead" else {}
        try:
            count = client.get(f"{module.name}/actions/count", params).body.get("count")
        except Refused:
            count = 0 if module.name in BULK_READ_NOT else None
        if not isinstance(count, int):
            return None
        found[module.name] = count
    return found


def first_pull(records: Mapping[str, int], *, job_rows: int = limits.JOB_PAGE) -> int:
    """Credits of reading everything: `records` of each module, 200 users of a kind at most."""
    return (
        METADATA + TRIAL + len(TYPES) + sum(_first(name, count, job_rows) for name, count in records.items())
    )


def next_pull(records: Mapping[str, int]) -> int:
    """Credits of a pull that finds nothing new: fields, deletions and a query of each module."""
    return METADATA + len(TYPES) + sum(2 if name in BULK_READ_NOT else 3 for name in records)


def _first(name: str, count: int, job_rows: int) -> int:
    # Of leads one converted one is looked at, to see whether queries and jobs show such.
    metadata = 2 if name == "Leads" else 1
    if count <= limits.COQL_PAGE:
        return metadata + limits.query_credits(count)
    if name in BULK_READ_NOT:
        whole, rest = divmod(count, limits.COQL_PAGE)
        return metadata + whole * limits.query_credits(limits.COQL_PAGE) + limits.query_credits(rest)
    jobs = ceil(count / job_rows)
    return metadata + limits.query_credits(limits.COQL_PAGE) + jobs * limits.job_credits()
