"""HubSpot's answers: what an error says, whatever of it is there, and whether an answer is one.

developers.hubspot.com/docs/api-reference/error-handling; every field of an error's body may be missing.
"""

from __future__ import annotations

import json
from typing import Any, Final, Literal, cast

from crmbridge.errors import CRMBridgeError

Json = dict[str, Any]
ABSENT: Final = frozenset({400, 403, 404})
"""How HubSpot refuses a type of object that the portal's edition or the key does not have."""


class Refused(CRMBridgeError):
    """HubSpot refused a request for good. `status` is HTTP's; `body` HubSpot's own words, perhaps empty."""

    def __init__(self, status: int, body: Json, *, connection: str, path: str) -> None:
        self.status, self.body = status, body
        super().__init__(
            f"HubSpot refused {path} ({status} {self.code}).",
            connection=connection,
            said=self.message or None,
            remedy=f"Grant the scopes {', '.join(self.scopes)}." if self.scopes else None,
        )

    @property
    def category(self) -> str:
        return str(self.body.get("category") or self.body.get("errorType") or "")

    @property
    def code(self) -> str:
        """The most telling of HubSpot's words: an error's own code, else the category, else the status."""
        codes = [error.get("code") or error.get("subCategory") for error in errors_of(self.body)]
        return str(next(filter(None, codes), None) or self.category or self.status)

    @property
    def message(self) -> str:
        return str(self.body.get("message") or "")

    @property
    def scopes(self) -> list[str]:
        """The scopes that are missing, where that is the reason."""
        places = [self.body, *errors_of(self.body)]
        found = [context_of(place, "requiredGranularScopes", "requiredScopes") for place in places]
        return list(dict.fromkeys(scope for scopes in found for scope in scopes))


def listed(body: Json) -> str | None:
    """A `Check`: the answer must have a list of results."""
    results = body.get("results")
    good = isinstance(results, list) and all(isinstance(each, dict) for each in results)
    return None if good else "an answer without results"


def errors_of(body: Json) -> list[Json]:
    """The errors an answer lists."""
    errors = body.get("errors")
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def context_of(error: Json, *names: Literal["ids", "id", "name", "objectWriteTraceId"] | str) -> list[str]:
    """What an error says it is about, as texts: HubSpot gives lists, single texts and numbers."""
    context = error.get("context")
    found: list[str] = []
    for name in names if isinstance(context, dict) else ():
        value = cast(Json, context).get(name)
        values = value if isinstance(value, list) else [] if value is None else [value]
        found += [str(each) for each in values]
    return found


def encodable(body: Json) -> Json:
    """Half a character, as JSON's escapes can spell it, becomes a question mark: nothing can store it."""
    found: Json = json.loads(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))
    return found


def tolerant(raw: bytes) -> Json:
    try:
        body = json.loads(raw)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
