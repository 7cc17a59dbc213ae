"""What a writer is: it makes our own fields, reads what they hold, and writes them row by row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa

from crmbridge.connectors.base import CheckItem, Context
from crmbridge.model.fields import CATALOGUE, FieldValue
from crmbridge.model.records import ObjectName
from crmbridge.writeback.values import table_of


@dataclass(frozen=True)
class Change:
    """One record's write: values by key of the field catalogue. A None clears the field.

    Raises ValueError for a key that is not ours or that the object does not carry: a change of anything else
    can't even be expressed.
    """

    object: ObjectName
    id: str
    values: Mapping[str, FieldValue]

    def __post_init__(self) -> None:
        for key in self.values:
            if key not in CATALOGUE or self.object not in CATALOGUE[key].on:
                raise ValueError(f"{key!r} is not a field of crmbridge on {self.object}")


@dataclass(frozen=True)
class Outcome:
    """What became of one change.

    `sent`: the CRM acknowledged it. `rejected`: the CRM refused this row for good (`code` and `message` are
    its own words). `retry`: refused for now (locked, busy); try again later. `unknown`: the answer was lost
    after the request left; only reading back tells.
    """

    id: str
    state: Literal["sent", "rejected", "retry", "unknown"]
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class InstallStep:
    """One thing `install` or `uninstall` does or would do.

    `state`: `present` (nothing to do), `planned` (dry run), `done`, or `conflict` (it can't be done as it
    stands; `remedy` says what to do).
    """

    what: str
    state: Literal["present", "planned", "done", "conflict"]
    remedy: str | None = None


class Writer(ABC):
    """Writes our own fields into one CRM. Vendor names follow from the catalogue alone."""

    name: ClassVar[str]
    """The connector whose connections it writes to."""
    objects: ClassVar[tuple[ObjectName, ...]]
    """The objects that can carry our fields at this vendor."""
    batch_size: ClassVar[int]
    """How many changes one `write` takes at the most."""
    reads_are_free: ClassVar[bool] = False
    """Whether reading costs no API call: then every plan reads all it compares with."""

    def __init__(self, context: Context) -> None:
        self.context = context

    @abstractmethod
    def install(self, *, dry_run: bool) -> Iterator[InstallStep]:
        """Create the missing fields of `context.fields`; idempotent, conflicts come first."""

    @abstractmethod
    def uninstall(self, *, dry_run: bool) -> Iterator[InstallStep]:
        """Remove only what `install` made."""

    @abstractmethod
    def check(self) -> Iterator[CheckItem]:
        """Whether each of our fields exists, with the right type, and can be written. Changes nothing."""

    @abstractmethod
    def read(self, object_name: ObjectName, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        """What the CRM holds now in our fields (all of `context.fields` the object carries), by id.

        A record that is gone is left out. Raises AuthError, QuotaError, TransientError.
        """

    def read_table(self, object_name: ObjectName, ids: pa.Array) -> pa.Table:
        """`read` in the columns of `fields.result_schema`: for writers whose values lie in columns anyway."""
        held = self.read(object_name, ids.to_pylist())
        return table_of(object_name, self.context.fields, held.items())

    @abstractmethod
    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        """Write at most `batch_size` changes of distinct records; exactly one outcome each, in any order.

        Transient trouble is retried inside by the vendor's rules; what is left of it comes back as `retry` or
        `unknown`. Never fires automations where the vendor has a way not to. Raises AuthError and QuotaError
        only before anything of this call was sent.
        """

    def close(self) -> None:  # noqa: B027 - nothing to close is a fine default
        """Give back connections and files."""
