"""Which of the CRM's fields an organisation lets us read: an allow-list and a deny-list.

A field is named as the CRM names it (`SSN__c`) or as the common model does (`phone`), with `*` for any signs,
and with the object before it (`contact.phone`) where only that object's is meant. What says which record it
is, when it was made and changed, whose it is, and what became of it (`is_always_read`) is read in any case:
without it nothing can be computed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

import pyarrow as pa

from crmbridge.model.columns import ABSENT, ATTRIBUTE_PREFIX, schema
from crmbridge.model.records import OBJECTS, ObjectName

_STATES: Final = frozenset(
    {"id", "at", "kind", "outcome", "status", "stage", "from_stage", "to_stage", ABSENT}
)


def is_always_read(name: str) -> bool:
    """Whether the field of the common model is read in any case: ids, moments, states."""
    return name in _STATES or name.startswith("is_") or name.endswith(("_id", "_at"))


@dataclass
class Chosen:
    """The lists: patterns of fields that are read, and of fields that are not, whatever the former say.

    `left_out` gathers the names that were asked about and are not read, as `object.name`.
    """

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()
    left_out: set[str] = field(default_factory=set)

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.deny and "*" in self.allow

    def reads(self, object_name: ObjectName, name: str) -> bool:
        """Whether the field or attribute is read."""
        if name in schema(object_name).names and is_always_read(name):
            return True
        read = _matches(self.allow, object_name, name) and not _matches(self.deny, object_name, name)
        if not read:
            self.left_out.add(f"{object_name}.{name}")
        return read

    def kept(self, object_name: ObjectName, table: pa.Table) -> pa.Table:
        """The records without what is not read: attributes are left out, the model's own fields are null."""
        if self.everything:
            return table
        own = schema(object_name).names
        for place, name in reversed(list(enumerate(table.column_names))):
            if self.reads(object_name, name.removeprefix(ATTRIBUTE_PREFIX)):
                continue
            if name in own:
                nothing = pa.nulls(table.num_rows, table.schema.field(place).type)
                table = table.set_column(place, table.schema.field(place), nothing)
            else:
                table = table.remove_column(place)
        return table

    def unknown(self, known: Iterable[str]) -> list[str]:
        """Patterns that match no field of the model and none of `known` (`object.name`): likely mistakes."""
        names = {
            *known,
            *self.left_out,
            *(f"{each}.{name}" for each in OBJECTS for name in schema(each).names),
        }
        pairs = [name.split(".", 1) for name in names]
        return [
            pattern
            for pattern in (*self.allow, *self.deny)
            if not any(_matches((pattern,), object_name, name) for object_name, name in pairs)
        ]


def refuse_needed(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns of a deny-list. Raises ValueError for the name of a field that can't be done without."""
    for pattern in patterns:
        object_name, dot, name = pattern.rpartition(".")
        objects = [each for each in OBJECTS if not dot or each == object_name]
        if any(name in schema(each).names and is_always_read(name) for each in objects):
            raise ValueError(f"{pattern!r} is read in any case: without it nothing can be computed")
    return patterns


def _matches(patterns: Iterable[str], object_name: str, name: str) -> bool:
    return any(
        fnmatchcase(name, pattern) or fnmatchcase(f"{object_name}.{name}", pattern) for pattern in patterns
    )
