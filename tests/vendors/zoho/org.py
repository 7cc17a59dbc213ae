"""The org behind the stand-in: its records, fields, users, limits, and what a test may do to it."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from tests.vendors.zoho.metadata import FIELDS, MODULE_FLAGS

OFFSET = timezone(timedelta(hours=5, minutes=30))
ALL_SCOPES = frozenset({"modules", "coql", "bulk", "files", "settings", "profiles", "users", "org"})
EDITIONS = {"free": (5_000, 0, 5), "professional": (50_000, 500, 15), "enterprise": (50_000, 1_000, 20)}


@dataclass
class Switches:
    """What is not known for sure, and what differs between orgs."""

    coql_shows_converted: bool = True
    bulk_shows_converted: bool = True
    coql_limit: int = 2_000
    coql_hidden: frozenset[str] = frozenset()
    """Fields that can't be queried in this org."""
    coql_se_module: bool = False
    coql_says_column: bool = True
    """Whether a query with a column that it does not take is told which one."""
    coql_columns: int = 500
    list_se_module: bool = True
    since_is_inclusive: bool = True
    unchanged_put_bumps: bool = True
    suffixed_names: bool = False
    """Whether API names of custom fields get a number at the end."""
    id_header: str = "Id"
    bulk_hidden: frozenset[str] = frozenset()
    """Fields that jobs do not take in this org."""
    jobs_fire: bool = False
    """Whether a Bulk Write job fires automations."""
    token_seconds: int = 3_600
    revoked: bool = False
    """Whether the refresh token was revoked."""
    customizes: bool = True
    """Whether the user's profile has the permission Customize Zoho CRM."""
    counts: bool = True
    """Whether the org tells how many records a module has."""
    deleted_tokens: bool = False
    """Whether the list of deletions has page tokens beside its page numbers."""
    deleted_rows: int = 100_000
    """Deletions that can be paged through."""
    unlisted: frozenset[str] = frozenset()
    """Modules that are there without being listed."""
    undescribed: frozenset[str] = frozenset()
    """Modules whose fields are not told."""
    closed: frozenset[str] = frozenset()
    """Modules that the user's profile does not open."""
    job_lines: int = 25_000
    """Rows that one Bulk Write job takes."""
    job_looks: int = 2
    """Looks at a job before it is done."""
    job_rows: int = 200_000
    list_rows: int = 100_000
    numbered_rows: int = 2_000
    """Rows that can be paged through by number, without a token."""
    busy_status: int = 429
    bulk_read_credits: int = 50
    scopes: frozenset[str] = ALL_SCOPES
    label_length: int = 25
    custom_fields: int = 500
    credits: int | None = None
    """The day's credits, where they are not the edition's."""
    page_tokens: bool = True


@dataclass
class Fault:
    """What happens to the next `times` requests whose `METHOD path` contains `where`.

    `before`: the answer comes instead of the effect; `after`: the effect, then this answer. An answer is
    (status, body, headers); `drop` closes the connection, `half` sends half of the true answer.
    """

    where: str
    answer: tuple[int, Any, dict[str, str]] | None = None
    kind: str = "before"
    times: int = 1
    skip: int = 0
    """Requests that are let by before."""
    drop: bool = False
    half: bool = False


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    json: Any = None


class Module:
    """Rows of one module, as JSON, with moments as datetimes until they are shown."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fields: list[dict[str, Any]] = copy.deepcopy(FIELDS[name])
        self.rows: dict[str, dict[str, Any]] = {}
        self.deleted: list[dict[str, Any]] = []

    def field(self, name: str) -> dict[str, Any] | None:
        return next((each for each in self.fields if each["api_name"] == name), None)


@dataclass
class Org:
    """One org. Every change has a second of its own, later than all before."""

    zgid: str = "60001234567"
    edition: str = "enterprise"
    users_bought: int = 5
    now: datetime = datetime(2026, 6, 1, 8, tzinfo=UTC)
    switches: Switches = field(default_factory=Switches)
    faults: list[Fault] = field(default_factory=list)
    rejected: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    """Record id -> the code and details of every write to it."""
    locked: dict[str, str] = field(default_factory=dict)
    """Record id -> the code of the next write to it."""
    requests: list[Request] = field(default_factory=list)
    credits: int = 0
    workflows: int = 0
    cadences: int = 0
    refused_tokens: set[str] = field(default_factory=set)
    before_query: Callable[[], object] = lambda: None
    """Called before each query is answered."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.modules = {name: Module(name) for name in FIELDS}
        self.users: list[dict[str, Any]] = [
            self.user("4876000000001001", "Ada Admin"),
            self.user("4876000000001002", "Bo Gone", status="disabled"),
            self.user("4876000000001003", "Çelik Deleted", status="deleted"),
        ]
        self.tokens: dict[str, datetime] = {}
        self.token_requests: list[datetime] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.active = self.most_active = self.in_sub_pool = 0
        self._next = 4876000000100000

    # -- what a test does --

    def tick(self, seconds: float = 1) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    def new_id(self) -> str:
        self._next += 1
        return str(self._next)

    def put(self, module: str, values: Mapping[str, Any], *, identifier: str | None = None) -> str:
        """Create or change a record as a person would."""
        with self.lock:
            moment = self.tick()
            rows = self.modules[module].rows
            identifier = identifier or self.new_id()
            row = rows.setdefault(
                identifier,
                {
                    "id": identifier,
                    "Created_Time": moment,
                    "Owner": {"name": "Ada Admin", "id": "4876000000001001", "email": "ada@example.com"},
                },
            )
            row.update({"Modified_Time": moment, "Modified_By": {"name": "Ada", "id": "4876000000001001"}})
            row["Last_Activity_Time"] = moment
            row.update(values)
            return identifier

    def lose(self, module: str, name: str) -> None:
        """Remove a field and what it holds, as an admin would."""
        known = self.modules[module].field(name)
        assert known is not None
        self.modules[module].fields.remove(known)
        for row in self.modules[module].rows.values():
            row.pop(name, None)

    def delete(self, module: str, identifier: str, *, permanent: bool = False, silent: bool = False) -> None:
        """Delete a record; `silent`: it is in no list of deleted ones (merged)."""
        with self.lock:
            self.modules[module].rows.pop(identifier)
            moment = self.tick()
            if not silent:
                person = None if permanent else {"name": "Ada", "id": "4876000000001001"}
                self.modules[module].deleted.append(
                    {
                        "id": identifier,
                        "deleted_time": moment,
                        "type": "permanent" if permanent else "recycle",
                        "display_name": None if permanent else "Somebody",
                        "deleted_by": person,
                        "created_by": person,
                    }
                )

    def fault(self, where: str, **more: Any) -> None:
        self.faults.append(Fault(where, **more))

    def busy(
        self, where: str, times: int = 1, status: int | None = None, skip: int = 0, **headers: str
    ) -> None:
        body = {"code": "TOO_MANY_REQUESTS", "details": {}, "message": "too many requests", "status": "error"}
        self.fault(where, answer=(status or self.switches.busy_status, body, headers), times=times, skip=skip)

    @staticmethod
    def user(identifier: str, name: str, status: str = "active") -> dict[str, Any]:
        return {
            "id": identifier,
            "full_name": name,
            "first_name": name.split()[0],
            "last_name": name.split()[-1],
            "email": f"{name.split()[0].lower()}@example.com",
            "status": status,
            "role": {"name": "CEO", "id": "4876000000000901"},
            "profile": {"name": "Administrator", "id": "4876000000000801"},
            "created_time": "2024-01-05T09:00:00+05:30",
            "Modified_Time": "2025-01-05T09:00:00+05:30",
            "country": "IN",
            "time_zone": "Asia/Kolkata",
        }

    # -- what the server asks --

    @property
    def daily(self) -> int:
        base, each, _ = EDITIONS[self.edition]
        return self.switches.credits or base + each * self.users_bought

    def take_fault(self, line: str) -> Fault | None:
        for fault in self.faults:
            if fault.where in line and fault.skip:
                fault.skip -= 1
            elif fault.where in line:
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    def shown(self, row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
        return {"id": row["id"]} | {name: show(row.get(name)) for name in names if name != "id"}

    def calls(self, part: str) -> list[Request]:
        """The requests whose `METHOD path` contains a text."""
        return [each for each in self.requests if part in f"{each.method} {each.path}"]

    def visible(self, module: str, converted: str = "false") -> list[dict[str, Any]]:
        rows = list(self.modules[module].rows.values())
        if module != "Leads" or converted == "both":
            return rows
        return [row for row in rows if bool(row.get("Converted__s")) == (converted == "true")]


def show(value: Any) -> Any:
    """A value in JSON: moments with the org's offset, to the second."""
    if isinstance(value, datetime):
        return value.astimezone(OFFSET).isoformat(timespec="seconds")
    return value


def module_flags(name: str) -> dict[str, Any]:
    return {"api_name": name, "module_name": name, **MODULE_FLAGS}
