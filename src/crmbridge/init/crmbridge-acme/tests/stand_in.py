"""A stand-in of Acme's API: what it refuses is what Acme refuses. Nothing here knows of crmbridge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

TOKEN = "a-token"
TYPES = {"number", "text", "choice", "datetime", "boolean"}


@dataclass
class StandIn:
    """One Acme: give `handle` to `httpx2.MockTransport`. `faults` are what happens next, each once."""

    rows: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    seq: int = 0
    now: datetime = datetime(2026, 1, 5, 8, tzinfo=UTC)

    def put(self, kind: str, identifier: str, values: dict[str, Any]) -> None:
        """Make or change a record, as a user of Acme would."""
        self.seq += 1
        self.now += timedelta(seconds=1)
        row = self.rows.setdefault(kind, {}).setdefault(identifier, {"id": identifier, "deleted": False})
        row.update(values, seq=self.seq, modified=self.now.isoformat())

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one request."""
        if request.headers.get("Authorization") != f"Bearer {TOKEN}" or "denied" in self.faults:
            return httpx2.Response(401, text="unknown token")
        if self._strikes("throttled"):
            return httpx2.Response(429, text="too many calls a second")
        _, what, *rest = request.url.path.split("/")
        kind, name = (*rest, "", "")[:2]
        sent = json.loads(request.content) if request.content else {}
        if what == "org":
            return _ok(id="acme-1", name="Acme of the tests")
        if what == "changes":
            return self._changes(kind, **{key: int(value) for key, value in request.url.params.items()})
        if what == "read":
            rows = self.rows.get(kind, {})
            found = [rows[each] for each in sent["ids"] if each in rows and not rows[each]["deleted"]]
            return _ok(rows=found)
        if what == "fields":
            return self._fields(request.method, kind, name, sent)
        return self._write(kind, sent["rows"])

    def _changes(self, kind: str, after: int, limit: int) -> httpx2.Response:
        if after and self._strikes("read_quota"):
            return httpx2.Response(429, text="daily limit reached")
        rows = sorted(self.rows.get(kind, {}).values(), key=lambda row: int(row["seq"]))
        return _ok(rows=[row for row in rows if row["seq"] > after][:limit])

    def _fields(self, method: str, kind: str, name: str, sent: dict[str, Any]) -> httpx2.Response:
        fields = self.fields.setdefault(kind, {})
        if method == "POST":
            if sent["name"] in fields or sent["type"] not in TYPES:
                return httpx2.Response(400, text="a field of this name is there, or there is no such type")
            fields[sent["name"]] = sent["type"]
        elif method == "DELETE":
            del fields[name]
            for row in self.rows.get(kind, {}).values():
                row.pop(name, None)
        return _ok(fields=[{"name": each, "type": of} for each, of in fields.items()])

    def _write(self, kind: str, rows: list[dict[str, Any]]) -> httpx2.Response:
        if len(rows) > 100:
            return httpx2.Response(400, text="at most 100 rows")
        if self._strikes("quota"):
            return httpx2.Response(429, text="daily limit reached")
        if self._strikes("lost_request"):
            raise httpx2.ReadTimeout("no answer")
        answers = [{"id": row["id"], **self._write_one(kind, row)} for row in rows]
        if self._strikes("lost_answer"):
            raise httpx2.ReadTimeout("no answer")
        return _ok(rows=answers)

    def _write_one(self, kind: str, sent: dict[str, Any]) -> dict[str, str]:
        row = self.rows.get(kind, {}).get(sent["id"])
        if row is None or row["deleted"]:
            return {"status": "error", "code": "NOT_FOUND", "message": "there is no such record"}
        if f"reject {sent['id']}" in self.faults:
            return {"status": "error", "code": "REFUSED", "message": "a rule of the admin says no"}
        if self._strikes(f"locked {sent['id']}"):
            return {"status": "error", "code": "LOCKED", "message": "somebody edits it"}
        unknown = sent.keys() - {"id"} - self.fields.get(kind, {}).keys()
        if unknown:
            return {"status": "error", "code": "NO_FIELD", "message": ", ".join(sorted(unknown))}
        self.put(kind, sent["id"], sent)
        return {"status": "ok"}

    def _strikes(self, fault: str) -> bool:
        if fault in self.faults:
            self.faults.remove(fault)
            return True
        return False

    def live(self, kind: str) -> Iterator[dict[str, Any]]:
        """The records that are not deleted."""
        return (row for row in self.rows.get(kind, {}).values() if not row["deleted"])


def _ok(**body: Any) -> httpx2.Response:
    return httpx2.Response(200, json=body)
