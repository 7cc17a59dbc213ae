"""Values of our fields as the two write paths spell them.

They differ in what nothing means: JSON `null` clears a field; in CSV an empty cell leaves it as it is, and
`#N/A` clears it (Bulk API 2.0 Developer Guide, "Prepare CSV Files").
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from crmbridge.model.fields import CATALOGUE, FieldValue
from crmbridge.writeback.base import Change

CLEAR: Final = "#N/A"
CSV_BYTES: Final = 90_000_000
"""Salesforce takes 150 MB once it has encoded a file in base 64; 100 MB as it is sent."""


def json_record(change: Change, sobject: str, names: Mapping[str, str]) -> dict[str, Any]:
    """One record of a Collections request."""
    record: dict[str, Any] = {"attributes": {"type": sobject}, "id": change.id}
    for key, value in change.values.items():
        _refuse_no_number(key, value)
        # A check box can't be empty.
        record[names[key]] = (
            bool(value) if CATALOGUE[key].type == "boolean" else (None if value == "" else value)
        )
    return record


def csv_files(changes: Sequence[Change], names: Mapping[str, str]) -> Iterator[tuple[bytes, int]]:
    """The changes as CSV files for Bulk API 2.0, and how many each holds."""
    keys = list(dict.fromkeys(key for change in changes for key in change.values))
    header = ["Id", *(names[key] for key in keys)]
    buffer, count = _begun(header), 0
    for change in changes:
        row = [change.id, *(_cell(key, change.values[key]) if key in change.values else "" for key in keys)]
        csv.writer(buffer, lineterminator="\n").writerow(row)
        count += 1
        if buffer.tell() > CSV_BYTES:
            yield buffer.getvalue().encode(), count
            buffer, count = _begun(header), 0
    if count:
        yield buffer.getvalue().encode(), count


def _begun(header: list[str]) -> io.StringIO:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(header)
    return buffer


def _cell(key: str, value: FieldValue) -> str:
    if CATALOGUE[key].type == "boolean":
        return "true" if value else "false"
    if value is None or value == "":
        return CLEAR
    _refuse_no_number(key, value)
    return value if isinstance(value, str) else repr(value)


def _refuse_no_number(key: str, value: FieldValue) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key} = {value} is no number that Salesforce takes")
