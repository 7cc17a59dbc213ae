"""Stage history: what Odoo tracked, or, where the user may not read that, the entry into the present stage.

`mail.tracking.value` has one row for each tracked change; the message it belongs to says of which record,
when and by whom. Odoo shows it to administrators only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError

from crmbridge.connectors import SetAside
from crmbridge.model import StageChange
from crmbridge_odoo.client import Client, Row
from crmbridge_odoo.faults import Fault
from crmbridge_odoo.mapping import Decoded, moment_text
from crmbridge_odoo.reading import Source
from crmbridge_odoo.related import Related

TRACKED: Final = "mail.tracking.value"
_MESSAGE: Final = "_message"


class Stages:
    """Stage changes of opportunities, from what was tracked or from the opportunities themselves."""

    def __init__(self, client: Client, related: Related) -> None:
        self._client, self._related = client, related

    def is_tracked(self) -> bool:
        """Whether the user may read what was tracked."""
        if not self._client.fields(TRACKED):
            return False
        try:
            self._client.search(TRACKED, [], limit=1)
        except Fault as fault:
            if fault.is_not_allowed:
                return False
            raise
        return True

    def source(self, *, tracked: bool) -> Source:
        """Where stage changes are read from."""
        if not tracked:
            names = ["stage_id", "date_last_stage_update", "create_date"]
            return Source("crm.lead", [["type", "=", "opportunity"]], names)
        names = ["old_value_char", "new_value_char", "mail_message_id", "create_date"]
        domain = [*self._is_stage(), ["mail_message_id.model", "=", "crm.lead"]]
        return Source(TRACKED, domain, names, prepare=self._with_messages)

    def _is_stage(self) -> list[Any]:
        """The condition for the stage's rows: the field was a text, then a reference, then `field_id`."""
        known = self._client.fields(TRACKED)
        if "field_id" in known:
            return [["field_id.name", "=", "stage_id"], ["field_id.model", "=", "crm.lead"]]
        if known["field"].type == "many2one":
            return [["field.name", "=", "stage_id"], ["field.model", "=", "crm.lead"]]
        return [["field", "=", "stage_id"]]

    def _with_messages(self, rows: list[Row], now: str) -> None:
        ids = sorted({row["mail_message_id"][0] for row in rows if row["mail_message_id"]})
        names = ["res_id", "date", "author_id"]
        found = self._client.search_read("mail.message", [["id", "in", ids]], names)
        messages = {row["id"]: row for row in found}
        for row in rows:
            row[_MESSAGE] = messages.get(row["mail_message_id"][0]) if row["mail_message_id"] else None

    def decode(self, model: str, rows: Sequence[Row]) -> Decoded:
        """Rows as stage changes; those of records that are leads, or gone, are none of a deal's."""
        if model == TRACKED:
            self._related.leads(row[_MESSAGE]["res_id"] for row in rows if row[_MESSAGE])
        found = Decoded()
        for row in rows:
            values = self._tracked(row) if model == TRACKED else _entered(row)
            if values is None:
                continue
            try:
                found.records.append(StageChange.model_validate(values))
            except ValidationError as error:
                reason = f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}"
                place = f"{model}/{row['id']}"
                found.set_aside.append(SetAside("stage_change", place, reason, values["id"], str(row)[:500]))
        return found

    def _tracked(self, row: Row) -> dict[str, Any] | None:
        message = row[_MESSAGE]
        place = self._related.leads([message["res_id"]])[message["res_id"]] if message else None
        if place is None or place.deal is None or not row["new_value_char"]:
            return None
        author = message["author_id"]
        return {
            "id": str(row["id"]),
            "created_at": moment_text(row["create_date"]),
            "modified_at": moment_text(row["write_date"]),
            "deal_id": place.deal,
            "from_stage": row["old_value_char"] or None,
            "to_stage": row["new_value_char"],
            "at": moment_text(message["date"]),
            "rep_id": self._related.internal.get(author[0]) if author else None,
        }


def _entered(row: Row) -> dict[str, Any] | None:
    """The entry into the stage an opportunity is in; an id of its own for each stage and moment."""
    stage, at = row["stage_id"], row["date_last_stage_update"] or row["create_date"]
    if not stage or not at:
        return None
    return {
        "id": f"crm.lead,{row['id']},{stage[0]},{str(at)[:19]}",
        "created_at": moment_text(at),
        "modified_at": moment_text(at),
        "deal_id": str(row["id"]),
        "to_stage": stage[1],
        "at": moment_text(at),
    }
