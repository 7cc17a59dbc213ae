"""What became of each row of a write, in Zoho's codes.

Source: the error tables of https://www.zoho.com/crm/developer/docs/api/v8/update-records.html and
https://www.zoho.com/crm/developer/docs/api/v8/bulk-write/download-result.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from crmbridge.writeback.base import Outcome

LATER: Final = frozenset(
    {
        "RECORD_LOCKED",
        "NOT_APPROVED",
        "NOT_REVIEWED",
        "ALREADY_MODIFIED",
        "DEPENDENT_SERVICE_ERROR",
        "INTERNAL_ERROR",
        "TOO_MANY_REQUESTS",
        "BLOCKED_RECORD",
        "CANNOT_PROCESS",
    }
)
"""Refused for now: locked by a person or a process, under approval or review, changed at this moment."""

_ROW: Final = re.compile(r"\$\.data\[(\d+)\]")


def outcomes(ids: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    """One outcome for each id of a call, by the rows of its answer.

    Rows come in the order of the call, and say so: a success names its id, an error its place. What does not
    agree, or is missing, is unknown: only reading back tells.
    """
    found: dict[str, Outcome] = {}
    doubtful: set[str] = set()
    for place, row in enumerate(rows):
        identifier = _whose(ids, place, row, whole=len(rows) == len(ids))
        if identifier is None:
            continue
        if identifier in found:
            doubtful.add(identifier)
        found[identifier] = outcome(identifier, row)
    return [
        found[identifier]
        if identifier in found and identifier not in doubtful
        else Outcome(identifier, "unknown", "UNANSWERED", "the answer does not say what became of it")
        for identifier in ids
    ]


def outcome(identifier: str, row: Mapping[str, Any]) -> Outcome:
    """The outcome one row tells."""
    code = str(row.get("code") or "UNANSWERED")
    if code == "SUCCESS":
        return Outcome(identifier, "sent")
    codes, message = _explained(row)
    state = "retry" if set(codes) <= LATER else "rejected"
    return Outcome(identifier, state, ", ".join(codes), message)  # type: ignore[arg-type]


def bulk_outcome(identifier: str, status: str, errors: str) -> Outcome:
    """The outcome one line of a Bulk Write result tells: `CODE-Field,Field:CODE-Field`."""
    if status.upper() in ("UPDATED", "ADDED"):
        return Outcome(identifier, "sent")
    parts = [part for part in errors.split(":") if part]
    codes = tuple(dict.fromkeys(part.partition("-")[0] for part in parts)) or (
        status.upper() or "UNANSWERED",
    )
    if status.upper() == "UNPROCESSED" or set(codes) <= LATER:
        return Outcome(identifier, "retry", ", ".join(codes), errors or None)
    return Outcome(identifier, "rejected", ", ".join(codes), errors or None)


def _whose(ids: Sequence[str], place: int, row: Mapping[str, Any], *, whole: bool) -> str | None:
    details = row.get("details")
    details = details if isinstance(details, Mapping) else {}
    named = details.get("id")
    if row.get("code") == "SUCCESS":
        if named is not None:
            return str(named) if str(named) in ids else None
        return ids[place] if whole else None
    path = _ROW.match(_path(details))
    if path and int(path[1]) < len(ids):
        return ids[int(path[1])]
    if named is not None and str(named) in ids:
        return str(named)
    return ids[place] if whole else None


def _path(details: Mapping[str, Any]) -> str:
    nested = details.get("errors")
    if isinstance(nested, Sequence) and nested and isinstance(nested[0], Mapping):
        found = nested[0].get("details")
        details = found if isinstance(found, Mapping) else details
    return str(details.get("json_path") or "")


def _explained(row: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """The codes of a refusal, nested ones too, and its sentence."""
    details = row.get("details")
    details = details if isinstance(details, Mapping) else {}
    nested = [each for each in details.get("errors") or () if isinstance(each, Mapping)]
    if nested:
        explained = [_explained(each) for each in nested]
        codes = tuple(dict.fromkeys(code for each, _ in explained for code in each))
        return codes, "; ".join(message for _, message in explained)
    rule = details.get("layout_rule") or details.get("validation_rule") or {}
    parts = [
        str(row.get("message") or row.get("code")),
        f"field {details['api_name']}" if details.get("api_name") else "",
        f"rule {rule['name']}" if isinstance(rule, Mapping) and rule.get("name") else "",
    ]
    return (str(row.get("code") or "UNANSWERED"),), ", ".join(part for part in parts if part)
