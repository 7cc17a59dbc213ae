"""What a connector is: it signs in, says what it can see, and yields pages of records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal, Protocol
from zoneinfo import ZoneInfo

import pyarrow as pa
from pydantic import BaseModel, JsonValue, SecretStr

from crmbridge.connectors.http import MemoryVault, Vault
from crmbridge.model.fields import FieldValue
from crmbridge.model.records import ObjectName, Record

Cursor = Mapping[str, JsonValue]
"""Where a pull goes on: the connector's own words, stored as JSON, never looked into by anybody else."""


@dataclass(frozen=True)
class SetAside:
    """A row that does not fit the model: kept with its reason, never dropped in silence.

    `place` is where the admin finds it (`leads.csv:17`, or the CRM's record URL or id), `raw` the row as it
    came, shortened to what a person needs to repair it.
    """

    object: ObjectName
    place: str
    reason: str
    id: str | None = None
    raw: str | None = None


@dataclass(frozen=True)
class Page:
    """One page of a pull.

    `records` are validated models, or a table in the columns of `model.columns` (`schema(object)` and
    attribute columns) where the connector decodes in bulk; both follow the same rules. `cursor` is where the
    next pull goes on once this page is stored. `held` gives the values of our own fields as the CRM holds
    them now, by record id, where the page shows them (they are never inputs). `complete` on the last page
    means: all pages since this call of `pull` together are all records there are, so a record that was not
    among them is gone.
    """

    object: ObjectName
    records: Sequence[Record] | pa.Table
    cursor: Cursor
    deleted: Sequence[str] = ()
    set_aside: Sequence[SetAside] = ()
    held: Mapping[str, Mapping[str, FieldValue]] = field(default_factory=dict)
    complete: bool = False


@dataclass(frozen=True)
class Org:
    """Which CRM this is. `id` never changes for one org; a connection refuses to work on another one."""

    id: str
    label: str


@dataclass(frozen=True)
class CheckItem:
    """One line of `crmbridge check`: what was looked at, whether it holds, what was seen, what to do."""

    name: str
    state: Literal["ok", "warning", "failed"]
    detail: str
    remedy: str | None = None


class CallCounter:
    """Counts API calls by kind (`read`, `write`, `verify`, `poll`, `auth`, ...), for budgets and reports."""

    def __init__(self) -> None:
        self.by_kind: dict[str, int] = {}
        self._told = 0

    daily_limit: int | None = None
    """What the vendor says all integrations together may make in a day, once a call has told."""

    def add(self, kind: str, number: int = 1) -> None:
        self.by_kind[kind] = self.by_kind.get(kind, 0) + number

    def learn_limit(self, limit: int) -> None:
        """Take the vendor's word for its daily limit."""
        self.daily_limit = limit

    def new(self) -> int:
        """How many calls there were since this was last asked."""
        new, self._told = self.total - self._told, self.total
        return new

    @property
    def total(self) -> int:
        return sum(self.by_kind.values())


class Notes(Protocol):
    """Small things a connector must find again after a crash, such as the id of a job it has begun. Not for
    secrets.
    """

    def read(self, name: str) -> str | None:
        """What was written under the name, or None."""

    def write(self, name: str, text: str | None) -> None:
        """Keep a text, durable when this returns; None takes it away."""


class MemoryNotes:
    """Notes of this process alone."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def read(self, name: str) -> str | None:
        return self._texts.get(name)

    def write(self, name: str, text: str | None) -> None:
        if text is None:
            self._texts.pop(name, None)
        else:
            self._texts[name] = text


@dataclass(frozen=True)
class Context:
    """What a connector or writer is given: its settings and the world it may touch.

    `options` is the connection's own part of the settings, validated by the connector's `Options`.
    `secret(name)` returns a secret or raises SettingsError with the ways to set it. `clock` is the only
    clock. `log` takes an event name and plain values (ids, counts; no names, no tokens). `api_budget` is the
    connection's share of the vendor's daily limit, `api_reserve` the share that is left for the customer's
    other integrations, `spent_today` the calls its runs of the last 24 hours made. `vault` is where a token
    lies that all workers and processes of the connection share, `notes` what must be found again after a
    crash. `install_for` is the CRM user for whom `install` works, where that is not the one who signs in.
    """

    connection: str
    options: BaseModel
    secret: Callable[[str], SecretStr]
    clock: Callable[[], datetime]
    zone: ZoneInfo
    fields: tuple[str, ...] = ()
    api_budget: float = 0.25
    api_reserve: float = 0.0
    spent_today: int = 0
    vault: Vault = field(default_factory=MemoryVault)
    notes: Notes = field(default_factory=MemoryNotes)
    install_for: str | None = None
    calls: CallCounter = field(default_factory=CallCounter)
    log: Callable[..., None] = lambda event, **values: None


class Connector(ABC):
    """Reads one CRM. One instance serves one run; it may keep open connections until `close`."""

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]]
    """The connector's own settings under `[connections.NAME]`; unknown ones must be forbidden."""
    secrets: ClassVar[tuple[str, ...]] = ()
    """Names of the secrets it may ask for."""

    def __init__(self, context: Context) -> None:
        self.context = context

    @abstractmethod
    def objects(self) -> Sequence[ObjectName]:
        """The objects this connection can pull, in an order in which referred-to objects come first."""

    @abstractmethod
    def org(self) -> Org:
        """Sign in and say which CRM this is. Raises AuthError or TransientError."""

    def user(self) -> str | None:
        """The CRM's id of the user who signs in, where that is one."""
        return None

    @abstractmethod
    def check(self) -> Iterator[CheckItem]:
        """Look at everything a run needs: sign-in, permissions, limits, fields, one sample page. Changes
        nothing.
        """

    @abstractmethod
    def pull(self, object_name: ObjectName, cursor: Cursor | None) -> Iterator[Page]:
        """Yield what has changed since `cursor`, or everything where it is None.

        A pull of something unchanged may yield no page at all. A page's cursor must only cover what that page
        and those before it hold: a run that is killed goes on from the last page stored. The same record may
        come twice; nothing may be left out. Our own fields (`model.fields.is_own_name`) never go into
        attributes. Raises SettingsError, AuthError, QuotaError, TransientError.
        """

    def close(self) -> None:  # noqa: B027 - nothing to close is a fine default
        """Give back connections and files."""
