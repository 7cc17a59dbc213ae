"""The ledger: what ran, what was planned, what was written, record by record. SQLite (WAL) or PostgreSQL.

States of a plan's rows are counted from the rows themselves, never kept beside them, so that
`pending + sent + same + rejected = planned` can't be broken, by a kill either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import JsonValue

from crmbridge.model.fields import FieldValue
from crmbridge.model.results import Model

RunKind = Literal["pull", "score", "plan", "apply", "verify", "undo", "sync"]
RunStatus = Literal["running", "done", "partly", "failed", "stopped", "awaiting_approval", "interrupted"]
PlanKind = Literal["write", "undo"]
PlanStatus = Literal["awaiting_approval", "stopped", "approved", "done", "superseded", "dry_run"]
RowState = Literal["pending", "sent", "same", "rejected"]


@dataclass(frozen=True)
class Run:
    """One run. `summary` is what `sync --json` prints beyond these (counts per object and so on)."""

    id: int
    connection: str
    kind: RunKind
    moment: datetime
    started_at: datetime
    finished_at: datetime | None
    status: RunStatus
    attempts: int
    summary: Mapping[str, JsonValue]
    error: str | None


@dataclass(frozen=True)
class PlanRow:
    """One record's change. `before` is what the CRM held when it was planned; keys are catalogue keys."""

    object: str
    id: str
    before: Mapping[str, FieldValue]
    after: Mapping[str, FieldValue]
    reason: str
    position: int = -1
    state: RowState = "pending"
    attempts: int = 0
    in_flight: bool = False
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Counts:
    """`pending + sent + same + rejected = planned`. `retried` counts further attempts and stands beside them."""

    planned: int
    pending: int
    sent: int
    same: int
    rejected: int
    retried: int


@dataclass(frozen=True)
class Plan:
    """`guards` maps each guard that stopped the plan to the sentence that says why; `undoes` is a run's id."""

    id: int
    run: int
    connection: str
    kind: PlanKind
    moment: datetime
    created_at: datetime
    status: PlanStatus
    approved_by: Literal["person", "policy"] | None
    guards: Mapping[str, str]
    undoes: int | None


@dataclass(frozen=True)
class Part:
    """One registered Parquet file. `replaces` an id means a record in it had an earlier version."""

    connection: str
    object: str
    number: int
    path: str
    rows: int
    updates: int
    bytes: int
    run: int
