"""A module about to be read: which fields of it, and by which ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from crmbridge.connectors.zoho.ids import IdSet
from crmbridge.connectors.zoho.mapping import Decoder
from crmbridge.connectors.zoho.objects import Module


@dataclass
class Source:
    """A module about to be read: the fields asked for, and how."""

    module: Module
    names: list[str]
    decoder: Decoder
    by_query: bool = True
    by_bulk: bool = True
    known: IdSet = field(default_factory=IdSet)
    """The ids read in this run."""
    left_out: list[str] = field(default_factory=list)
    """Fields that queries were found not to take."""
    read_by_job: bool = False
    """Whether this call has read of it by Bulk Read."""
    from_start: bool = False
    """Whether this call began with the module's first record."""
    log: Callable[..., None] = lambda event, **values: None
    whole: bool = False
    """Whether this call has read all there is, in one piece."""

    def leave_out(self, names: list[str]) -> None:
        """Ask for these fields no more."""
        self.names = [name for name in self.names if name not in names]
        self.left_out += names

    @property
    def tells_conversion(self) -> bool:
        """Whether a lead's row says that it was converted."""
        return not {"Converted__s", "$converted", "Converted_Date_Time"}.isdisjoint(self.names)
