"""Our values as Zoho takes them, in JSON and in the CSV of Bulk Write."""

from __future__ import annotations

from crmbridge.model.fields import CATALOGUE, FieldValue


def sent(key: str, value: FieldValue) -> FieldValue:
    """The value in JSON. Zoho's check boxes are never empty: nothing is false."""
    kind = CATALOGUE[key].type
    if value is None:
        return False if kind == "boolean" else None
    if kind == "datetime":
        return str(value).replace("Z", "+00:00")
    return value


def cell(key: str, value: FieldValue) -> str:
    """The value in CSV: an empty cell clears the field."""
    found = sent(key, value)
    if found is None:
        return ""
    if isinstance(found, bool):
        return "true" if found else "false"
    return repr(found) if isinstance(found, float) else str(found)
