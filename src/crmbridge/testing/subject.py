"""A subject: a CRM under test, and what the suite may do to it behind the connector's back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel, SecretStr

from crmbridge.connectors.base import Connector, Context
from crmbridge.errors import SettingsError
from crmbridge.model.fields import CATALOGUE, FieldValue
from crmbridge.model.records import ObjectName, Record
from crmbridge.writeback.base import Writer

CONNECTION: Final = "conformance"


class Clock:
    """A clock of the test's own: every look at it is a second later than the one before."""

    def __init__(self, start: datetime = datetime(2026, 6, 1, 12, tzinfo=UTC)) -> None:
        self.now = start

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def context(
    options: BaseModel,
    *,
    fields: Sequence[str] = tuple(CATALOGUE),
    secrets: Mapping[str, str] | None = None,
    clock: Callable[[], datetime] | None = None,
    zone: str = "Europe/Berlin",
) -> Context:
    """A context as a run would give it: validated options, secrets by name, a clock."""

    def secret(name: str) -> SecretStr:
        if name not in (secrets or {}):
            raise SettingsError(f"the test gives no secret {name!r}.")
        return SecretStr((secrets or {})[name])

    return Context(CONNECTION, options, secret, clock or Clock(), ZoneInfo(zone), tuple(fields))


class Subject(ABC):
    """One CRM under test. A test gets a fresh one, without records and without fields of ours.

    The class attributes say what this CRM can do; tests of what it can't are skipped, visibly.
    """

    objects: ClassVar[tuple[ObjectName, ...]] = ("lead", "deal", "account")
    """Objects that `seed` can make records of; leads must be among them."""
    page_sizes: ClassVar[tuple[int | None, ...]] = (None,)
    """Page sizes `connector` can be asked for; None is its usual one."""
    attribute: ClassVar[str | None] = "Campaign_Code"
    """A field of the CRM that is not in the common model and takes text, None where there is none."""
    keeps_ids: ClassVar[bool] = True
    """Whether records get the ids they are seeded with (a real org makes its own)."""
    keeps_created_at: ClassVar[bool] = True
    """Whether records get the moment of creation they are seeded with."""
    needs_install: ClassVar[bool] = True
    """Whether writing needs fields that `install` makes; `check` then fails without them."""
    knows_gone: ClassVar[bool] = True
    """Whether the writer knows that a record no longer exists."""
    writes: ClassVar[tuple[str, ...]] = tuple(CATALOGUE)
    """Keys of the fields that the writer is set up with (those the object carries count)."""
    faults: ClassVar[frozenset[str]] = frozenset()
    """What `fault` can do, of:

    - `reject`: `fault("reject", id)`: writes to this record are refused for good,
    - `locked`: `fault("locked", id)`: the next write to this record is refused for now,
    - `lost_answer`: the next write takes effect, but its answer never arrives,
    - `lost_request`: the next write has no effect, and no answer arrives,
    - `conflict`: something that is not ours is where `install` would make ours,
    - `quota`: the next write is refused, whole, because the API limit is used up,
    - `bad_record`: the CRM gets a record that does not fit the common model,
    - `throttled`: the next read is refused for now, in the CRM's words for too many calls,
    - `read_quota`: the first page of the next pull comes, then a read is refused because the API limit is
      used up; the pull after that one finds a new day,
    - `denied`: from now on the credentials are refused,
    - `new_field`: `fault("new_field", id)`: the CRM gets a text field, and this record `drifted` in it,
    - `lost_field`: the field `attribute` is taken out of the CRM,
    - `lost_own_field`: one of our fields on leads is taken out of the CRM.
    """

    @abstractmethod
    def connector(self, *, page_size: int | None = None) -> Connector:
        """A new connector for this CRM."""

    @abstractmethod
    def writer(self) -> Writer:
        """A new writer for this CRM, with `writes` as its fields."""

    @abstractmethod
    def seed(self, records: Sequence[Record]) -> Sequence[str]:
        """Put records into the CRM; returns their ids there, in order."""

    @abstractmethod
    def update(self, object_name: ObjectName, identifier: str, field: str, value: str) -> None:
        """Change a text field of the common model, as a user of the CRM would."""

    @abstractmethod
    def delete(self, object_name: ObjectName, identifier: str) -> None:
        """Delete a record, as a user of the CRM would."""

    @abstractmethod
    def held(self, object_name: ObjectName, identifier: str) -> Mapping[str, FieldValue]:
        """What a user sees in our fields, by key; None or absent where a field is empty or is not there."""

    @abstractmethod
    def edit(self, object_name: ObjectName, identifier: str, key: str, value: FieldValue) -> None:
        """Change one of our fields, as a user of the CRM would."""

    def fault(self, name: str, identifier: str = "") -> None:
        """Prepare one of the `faults`; `identifier` is a lead's."""
        raise NotImplementedError(name)
