"""What other objects tell about a record: the role of a user, the moment at which a lead was converted.

It is joined to the cells as columns named `Object.Field`. Where the org has no such object, or the user may
not see it, the columns are not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.connectors.salesforce.cells import id18
from crmbridge.connectors.salesforce.client import Client
from crmbridge.connectors.salesforce.errors import Refused
from crmbridge.errors import TransientError

ROLE: Final = "UserRole.Name"
CONVERSION: Final = "LeadHistory.CreatedDate"
IDS_AT_ONCE: Final = 500
"""Ids in one query's URL."""
FEW: Final = 1_000
"""So many leads are asked for by their ids; for more, or for all leads, the whole history is read once."""

Cells = Mapping[str, pa.Array]


class Lookups:
    """The lookups of one read of one object. Nothing is asked for before a row needs it.

    `reads_all` says that the read covers every record.
    """

    def __init__(self, client: Client, sobject: str, *, reads_all: bool) -> None:
        self._client, self._reads_all = client, reads_all
        known = {"User": self._roles, "Lead": self._conversions}
        self._join: Callable[[Cells], Cells] | None = known.get(sobject)
        self._known: dict[str, str] | None = None
        self._is_refused = False

    def joined(self, cells: Cells) -> Cells:
        """The cells, with what other objects tell. Raises QuotaError and AuthError."""
        if self._join is None or self._is_refused or not len(cells["Id"]):
            return cells
        return self._join(cells)

    def _roles(self, cells: Cells) -> Cells:
        """All roles of the org are a page or two. They are asked for even where no user here has one: whether
        a role is null or not known does not depend on who else is on the page.
        """
        if "UserRoleId" not in cells:
            return cells
        if self._known is None:
            self._known = self._asked("SELECT Id, Name FROM UserRole", "Id", "Name")
        return self._with(cells, ROLE, cells["UserRoleId"])

    def _conversions(self, cells: Cells) -> Cells:
        """Lead.ConvertedDate is a day; the lead's history has the moment."""
        if "IsConverted" not in cells:
            return cells
        is_converted = pc.fill_null(pc.equal(pc.ascii_lower(cells["IsConverted"]), "true"), False)
        ids = pc.if_else(is_converted, cells["Id"], pa.scalar(None, pa.string()))
        wanted = ids.drop_null().to_pylist()
        if not wanted:
            return cells
        soql = "SELECT LeadId, CreatedDate FROM LeadHistory WHERE Field = 'leadConverted'"
        if self._known is None and (self._reads_all or len(wanted) > FEW):
            self._known, self._reads_all = self._asked(soql, "LeadId", "CreatedDate"), True
        if not self._reads_all:
            self._known = {}
            for start in range(0, len(wanted), IDS_AT_ONCE):
                some = ",".join(f"'{each}'" for each in wanted[start : start + IDS_AT_ONCE])
                self._known |= self._asked(f"{soql} AND LeadId IN ({some})", "LeadId", "CreatedDate")
            found, self._known = self._with(cells, CONVERSION, ids), None
            return found
        return self._with(cells, CONVERSION, ids)

    def _with(self, cells: Cells, column: str, keys: pa.Array) -> Cells:
        if self._is_refused:
            return cells
        known = self._known or {}
        values = [known.get(id18(key)) if key else None for key in keys.to_pylist()]
        return {**cells, column: pa.array(values, pa.string())}

    def _asked(self, soql: str, key: str, value: str) -> dict[str, str]:
        """A query's rows by key, the latest of a key. What is refused, or does not come about, is not asked
        for again in this read.
        """
        found: dict[str, str] = {}
        if self._is_refused:
            return found
        try:
            for rows in self._client.query_pages(soql):
                self._keep(found, rows, key, value)
        except (Refused, TransientError) as error:
            # A history may be too long to be searched in time; records are read without it all the same.
            self._is_refused = True
            self._client.context.log("salesforce.no_lookup", query=soql[:80], said=error.said)
            return {}
        return found

    @staticmethod
    def _keep(found: dict[str, str], rows: Sequence[Mapping[str, str]], key: str, value: str) -> None:
        for row in rows:
            if row.get(key) and row.get(value):
                name = id18(row[key])
                found[name] = max(row[value], found.get(name, ""))
