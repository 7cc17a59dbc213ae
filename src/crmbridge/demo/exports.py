"""The files of the sample organisation: exports, a few bad rows, and the settings to read them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.csv as pacsv

from crmbridge.demo.planted import BadRow, Wrong
from crmbridge.model.records import ObjectName

FOLDER: Final = "crm"
FILES: Final[Mapping[ObjectName, str]] = MappingProxyType(
    {
        "rep": "users.csv",
        "account": "accounts.csv",
        "contact": "contacts.csv",
        "lead": "leads.csv",
        "deal": "opportunities.csv",
        "stage_change": "opportunity_history.csv",
        "activity": "activities.csv",
        "order": "orders.csv",
    }
)
SETTINGS: Final = """\
# The sample organisation. Every other command works on it: crmbridge check demo, crmbridge sync demo, ...

[store]
ledger = "sqlite:///crmbridge.db"
lake = "lake"

[connections.demo]
connector = "files"
path = "crm"
timezone = "Europe/Berlin"
approval = "manual"
fields = [
  "score", "score_low", "score_high", "grade", "score_trend", "reasons_up", "reasons_down", "next_action",
  "scored_at", "model",
  "communication_efficiency", "communication_efficiency_low", "communication_efficiency_high",
  "follow_up_efficiency", "follow_up_efficiency_low", "follow_up_efficiency_high",
  "order_efficiency", "order_efficiency_low", "order_efficiency_high", "time_coverage",
  "days_in_stage", "typical_days", "stuck",
]

[connections.demo.rep]
file = "users.csv"
id = "User ID"
fields = { name = "Name", email = "Email", role = "Role", is_active = "Active", created_at = "Created Date" }

[connections.demo.account]
file = "accounts.csv"
id = "Account ID"
[connections.demo.account.fields]
name = "Account Name"
industry = "Industry"
employees = "Employees"
country = "Country"
website = "Website"
owner_id = "Owner ID"
created_at = "Created Date"
modified_at = "Last Modified Date"

[connections.demo.contact]
file = "contacts.csv"
id = "Contact ID"
[connections.demo.contact.fields]
account_id = "Account ID"
first_name = "First Name"
last_name = "Last Name"
title = "Title"
email = "Email"
phone = "Phone"
lead_source = "Lead Source"
owner_id = "Owner ID"
created_at = "Created Date"
modified_at = "Last Modified Date"

[connections.demo.lead]
file = "leads.csv"
id = "Lead ID"
[connections.demo.lead.fields]      # all other columns become attributes under their own names
first_name = "First Name"
last_name = "Last Name"
company = "Company"
title = "Title"
email = "Email"
phone = "Phone"
industry = "Industry"
employees = "Employees"
annual_revenue = "Annual Revenue"
country = "Country"
lead_source = "Lead Source"
status = "Lead Status"
owner_id = "Owner ID"
created_at = "Created Date"
modified_at = "Last Modified Date"
is_converted = "Converted"
converted_at = "Converted Date"
converted_account_id = "Converted Account ID"
converted_contact_id = "Converted Contact ID"
converted_deal_id = "Converted Opportunity ID"
is_disqualified = "Disqualified"
closed_at = "Closed Date"

[connections.demo.deal]
file = "opportunities.csv"
id = "Opportunity ID"
stages = { won = ["Closed Won"], lost = ["Closed Lost"] }
[connections.demo.deal.fields]
name = "Opportunity Name"
account_id = "Account ID"
contact_id = "Contact ID"
lead_id = "Lead ID"
amount = "Amount"
currency = "Currency"
stage = "Stage"
type = "Type"
lead_source = "Lead Source"
expected_close = "Expected Close"
owner_id = "Owner ID"
created_at = "Created Date"
modified_at = "Last Modified Date"
closed_at = "Closed Date"

[connections.demo.stage_change]
file = "opportunity_history.csv"
id = "History ID"
[connections.demo.stage_change.fields]
deal_id = "Opportunity ID"
from_stage = "From Stage"
to_stage = "To Stage"
at = "Changed Date"
rep_id = "Changed By ID"

[connections.demo.activity]
file = "activities.csv"
id = "Activity ID"
[connections.demo.activity.fields]
kind = "Type"
direction = "Direction"
subject = "Subject"
lead_id = "Lead ID"
contact_id = "Contact ID"
account_id = "Account ID"
deal_id = "Opportunity ID"
started_at = "Start"
ended_at = "End"
duration = "Duration (s)"
outcome = "Outcome"
is_completed = "Completed"
owner_id = "Owner ID"
created_at = "Created Date"
[connections.demo.activity.outcomes]
"Connected" = "connected"
"No answer" = "no_answer"
"Left voicemail" = "voicemail"
"Held" = "held"
"No-show" = "no_show"
"Replied" = "replied"
"Sent" = "sent"

[connections.demo.order]
file = "orders.csv"
id = "Order ID"
[connections.demo.order.fields]
account_id = "Account ID"
deal_id = "Opportunity ID"
amount = "Amount"
currency = "Currency"
ordered_at = "Order Date"
fulfilled_at = "Fulfilled Date"
status = "Status"
owner_id = "Owner ID"
modified_at = "Last Modified Date"
"""


class Export:
    """One CSV file, written table by table. Remembers how many rows it has, and the first one."""

    def __init__(self, object_name: ObjectName, folder: Path) -> None:
        self.object = object_name
        self.name = FILES[object_name]
        self.rows = 0
        self._stream: BinaryIO = (folder / self.name).open("wb")
        self._writer: pacsv.CSVWriter | None = None
        self._sample: dict[str, str] = {}

    def write(self, table: pa.Table) -> None:
        """Append the rows; the first call writes the header."""
        if self._writer is None:
            self._writer = pacsv.CSVWriter(self._stream, table.schema)
        if table.num_rows and not self._sample:
            read = io.BytesIO()
            pacsv.write_csv(table.slice(0, 1), read)
            self._sample = next(csv.DictReader(io.StringIO(read.getvalue().decode())))
        self._writer.write_table(table)
        self.rows += table.num_rows

    def spoil(self, wrongs: Sequence[Wrong]) -> list[BadRow]:
        """Append a bad row for each of the wrongs (none to an empty file) and say where they stand."""
        if not self._sample:
            return []
        # Line 1 is the header.
        bad = [BadRow(self.object, self.name, self.rows + 2 + n, wrong) for n, wrong in enumerate(wrongs)]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(_spoiled(self._sample, row).values() for row in bad)
        self._stream.write(text.getvalue().encode())
        return bad

    def __enter__(self) -> Export:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def _spoiled(sample: Mapping[str, str], row: BadRow) -> dict[str, str]:
    """A good row made bad, with an id of its own unless the id is what is wrong."""
    key = next(iter(sample))
    spoiled = dict(sample) | {key: f"X{row.line:07d}"}
    if row.wrong == "date":
        spoiled["Created Date"] = "2025-02-30"
    elif row.wrong == "missing id":
        spoiled[key] = ""
    elif row.wrong == "id twice":
        spoiled[key] = sample[key]
    elif row.wrong == "kind":
        spoiled["Type"] = "Carrier pigeon"
    else:
        spoiled["Amount"] = "12O.50"  # the letter O
    return spoiled
