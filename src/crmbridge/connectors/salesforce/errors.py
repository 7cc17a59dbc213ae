"""What Salesforce's refusals mean: one table, by code, and the readers of its envelopes.

Codes: REST API Developer Guide, "Status Codes and Error Responses"; SOAP API Developer Guide, "Core Data
Types Used in API Calls: StatusCode".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from crmbridge.errors import CRMBridgeError

Policy = Literal["session", "passing", "quota", "schema", "permanent", "gone", "locator"]

POLICIES: Final[Mapping[str, Policy]] = {
    "INVALID_SESSION_ID": "session",
    "InvalidSessionId": "session",
    "INVALID_AUTH_HEADER": "session",
    "SERVER_UNAVAILABLE": "passing",
    "UNABLE_TO_LOCK_ROW": "passing",
    "QUERY_TIMEOUT": "passing",
    "OPERATION_TOO_LARGE": "permanent",
    "TXN_SECURITY_METERING_ERROR": "passing",
    "UNKNOWN_EXCEPTION": "passing",
    "REQUEST_LIMIT_EXCEEDED": "quota",
    "API_DISABLED_FOR_ORG": "permanent",
    "INVALID_FIELD": "schema",
    "INVALID_TYPE": "schema",
    "NOT_FOUND": "gone",
    "ENTITY_IS_DELETED": "gone",
    "INVALID_CROSS_REFERENCE_KEY": "gone",
    "CANNOT_UPDATE_CONVERTED_LEAD": "gone",
    "INVALID_QUERY_LOCATOR": "locator",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "permanent",
    "REQUIRED_FIELD_MISSING": "permanent",
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": "permanent",
    "DUPLICATES_DETECTED": "permanent",
    "FIELD_INTEGRITY_EXCEPTION": "permanent",
    "STRING_TOO_LONG": "permanent",
    "MALFORMED_ID": "permanent",
    "INVALID_FIELD_FOR_INSERT_UPDATE": "permanent",
    "INSUFFICIENT_ACCESS_OR_READONLY": "permanent",
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": "permanent",
}
PASSING_STATUS: Final = frozenset({406, 408, 420, 429, 500, 502, 503, 504})
"""Statuses that say nothing about the request itself."""


def policy(code: str | None, message: str = "") -> Policy:
    """What to do about a code; what the table does not know is refused for good."""
    known = POLICIES.get(code or "", "permanent")
    # One code for two limits: too many long requests at once passes, the day's limit does not.
    return "passing" if known == "quota" and "concurrent" in message.lower() else known


_FAULT: Final = re.compile(
    rb"<faultcode[^>]*>\s*(?:\w+:)?(\w+)\s*</faultcode>.*?<faultstring[^>]*>(.*?)</faultstring>", re.DOTALL
)


class Refused(CRMBridgeError):
    """Salesforce refused a request for good; `code` is its own code, `status` the HTTP status."""

    def __init__(self, status: int, code: str | None, message: str) -> None:
        self.status, self.code, self.message = status, code, message
        super().__init__(
            "Salesforce refused a request.", said=f"{code or f'HTTP {status}'}: {message}".strip()
        )

    @property
    def policy(self) -> Policy:
        return policy(self.code, self.message)


class Lost(CRMBridgeError):
    """A request left and no answer came that says what became of it."""


def is_fault(body: bytes) -> bool:
    """Whether a body is a fault of SOAP."""
    return _FAULT.search(body) is not None


def read_error(body: bytes) -> tuple[str | None, str]:
    """The code and message of an error's body, in any of its envelopes; no code for HTML and the like."""
    fault = _FAULT.search(body)
    if fault:
        return fault[1].decode(), " ".join(fault[2].decode("utf-8", "replace").split())
    try:
        found: Any = json.loads(body)
    except ValueError:
        return None, " ".join(body[:300].decode("utf-8", "replace").split())
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict):
        return None, str(found)[:300]
    code = next(
        (found[key] for key in ("errorCode", "statusCode", "exceptionCode", "error") if found.get(key)), None
    )
    message = next(
        (found[key] for key in ("message", "exceptionMessage", "error_description") if found.get(key)), ""
    )
    return (str(code) if code else None), str(message)


def split_row_error(text: str) -> tuple[str, str]:
    """`CODE:message:fields --`, as Bulk API 2.0 tells a row's error, as code and message."""
    code, mark, rest = text.partition(":")
    if not mark or not code.replace("_", "").isalnum():
        return "REFUSED", text
    return code, rest.removesuffix("--").rstrip().removesuffix(":").strip()
