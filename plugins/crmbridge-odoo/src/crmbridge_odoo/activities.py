"""Activities: meetings, what is planned, and what was done or sent, from three models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from pydantic import ValidationError

from crmbridge.connectors import SetAside
from crmbridge.model import Activity, ActivityKind, Record
from crmbridge_odoo.client import Client, Row
from crmbridge_odoo.mapping import Decoded, moment_text, set_aside
from crmbridge_odoo.options import Options
from crmbridge_odoo.reading import Source, moment
from crmbridge_odoo.related import NOBODY, Partner, Related

EVENTS: Final = "calendar.event"
PLANNED: Final = "mail.activity"
MESSAGES: Final = "mail.message"
MODELS: Final = (EVENTS, PLANNED, MESSAGES)
ABOUT: Final = ("crm.lead", "res.partner")
"""The documents whose activities count."""
_ENDED: Final = "_ended"
_ICONS: Final[Mapping[str, ActivityKind]] = {
    "fa-phone": "call",
    "fa-envelope": "email",
    "fa-users": "meeting",
    "fa-calendar": "meeting",
}
_CATEGORIES: Final[Mapping[str, ActivityKind]] = {"phonecall": "call", "meeting": "meeting"}
_EVENT: Final = (
    *("name", "start", "stop", "allday", "user_id", "active", "create_date"),
    *("opportunity_id", "res_model", "res_id"),
)


@dataclass(frozen=True)
class Place:
    """What an activity is about."""

    lead: str | None
    deal: str | None
    partner: Partner


class Activities:
    """The sources of activities, and their rows as records. Ids are `model,id`, as Odoo writes references."""

    def __init__(self, client: Client, options: Options, related: Related) -> None:
        self._client, self._options, self._related = client, options, related
        self._kinds: Mapping[int, ActivityKind] | None = None

    def sources(self) -> list[Source]:
        """Those that the database has."""
        made = (self._events(), self._planned(), self._messages())
        return [source for source in made if self._client.fields(source.model)]

    def decode(self, model: str, rows: Sequence[Row]) -> Decoded:
        """Rows of one of the models as records."""
        self._related.leads(lead for row in rows if (lead := self._lead_of(row)) is not None)
        self._related.partners(
            row["res_id"] for row in rows if _document(row) == "res.partner" and row.get("res_id")
        )
        found = Decoded()
        for row in rows:
            try:
                record = {EVENTS: self._event, PLANNED: self._plan, MESSAGES: self._message}[model](row)
            except ValidationError as error:
                aside = set_aside("activity", model, row, error)
                found.set_aside.append(
                    SetAside("activity", aside.place, aside.reason, f"{model},{row['id']}", aside.raw)
                )
            else:
                found.records.append(record)
        return found

    # Meetings

    def _events(self) -> Source:
        known = self._client.fields(EVENTS)
        names = [name for name in _EVENT if name in known]
        return Source(EVENTS, [["active", "=", True]], names, also=_ended_between, prepare=_with_ended)

    def _event(self, row: Row) -> Record:
        """A meeting that has ended is taken as held: Odoo keeps no outcome, cancelled ones are archived."""
        place = self._place(row)
        whole_day = bool(row.get("allday"))
        start, stop = row.get("start"), row.get("stop")
        return Activity(
            **self._common(EVENTS, row, place),
            kind="meeting",
            subject=row.get("name") or None,
            started_at=moment_text(start),
            ended_at=moment_text(stop),
            duration=None if whole_day or not start or not stop else _seconds(start, stop),
            outcome="held" if row[_ENDED] else None,
            is_completed=bool(row[_ENDED]),
        )

    # What is planned

    def _planned(self) -> Source:
        known = self._client.fields(PLANNED)
        domain: list[Any] = [["res_model", "in", list(ABOUT)]]
        if "active" in known:
            domain.append(
                ["active", "=", True]
            )  # done ones may be kept, archived: their message tells of them
        names = ["res_model", "res_id", "activity_type_id", "summary", "user_id", "create_date"]
        return Source(PLANNED, domain, names)

    def _plan(self, row: Row) -> Record:
        kind = self._kind(row.get("activity_type_id"))
        return Activity(
            **self._common(PLANNED, row, self._place(row)),
            kind=kind,
            subject=row.get("summary") or None,
            is_completed=False,
        )

    # What was done or sent

    def _messages(self) -> Source:
        domain = [
            ["model", "in", list(ABOUT)],
            "|",
            ["mail_activity_type_id", "!=", False],
            ["message_type", "in", ["email", "email_outgoing", "comment"]],
        ]
        names = ["model", "res_id", "date", "author_id", "subject", "message_type", "subtype_id"]
        return Source(MESSAGES, domain, [*names, "mail_activity_type_id", "create_date"])

    def _message(self, row: Row) -> Record:
        author = row.get("author_id")
        user = self._related.internal.get(author[0]) if author else None
        values = self._common(MESSAGES, row, self._place(row)) | {"owner_id": user}
        values |= {"subject": row.get("subject") or None, "started_at": moment_text(row.get("date"))}
        if row.get("mail_activity_type_id"):
            kind = self._kind(row["mail_activity_type_id"])
            return Activity(**values, kind=kind, is_completed=True)
        subtype = row.get("subtype_id")
        is_note = row["message_type"] == "comment" and (
            not subtype or subtype[0] in self._related.internal_subtypes
        )
        if is_note:
            return Activity(**values, kind="note", is_completed=True)
        return Activity(
            **values,
            kind="email",
            direction="outbound" if user else "inbound",
            outcome="sent" if user else "replied",
            is_completed=True,
        )

    # What all share

    def _common(self, model: str, row: Row, place: Place) -> dict[str, Any]:
        user = row.get("user_id")
        return {
            "id": f"{model},{row['id']}",
            "created_at": moment_text(row.get("create_date")),
            "modified_at": moment_text(row.get("write_date")),
            "owner_id": str(user[0]) if user else None,
            "lead_id": place.lead,
            "deal_id": place.deal,
            "account_id": place.partner.account,
            "contact_id": place.partner.contact,
        }

    def _place(self, row: Row) -> Place:
        lead = self._lead_of(row)
        found = self._related.leads([lead])[lead] if lead else None
        if found is not None:
            return Place(found.lead, found.deal, found.partner)
        if _document(row) == "res.partner" and row.get("res_id"):
            identifier = row["res_id"]
            return Place(None, None, self._related.partners([identifier])[identifier])
        return Place(None, None, NOBODY)

    def _lead_of(self, row: Row) -> int | None:
        if row.get("opportunity_id"):
            return int(row["opportunity_id"][0])
        return int(row["res_id"]) if _document(row) == "crm.lead" and row.get("res_id") else None

    def _kind(self, activity_type: Sequence[Any] | None) -> ActivityKind:
        if not activity_type:
            return "task"
        if self._kinds is None:
            known = self._client.fields("mail.activity.type")
            names = [name for name in ("name", "icon", "category") if name in known]
            rows = self._client.search_read("mail.activity.type", [], names)
            self._kinds = {row["id"]: kind_of(row, self._options.kinds) for row in rows}
        return self._kinds.get(activity_type[0], "task")


def kind_of(row: Mapping[str, Any], chosen: Mapping[str, ActivityKind]) -> ActivityKind:
    """What a type of activity is: as the settings say, by its category, by its icon; else a task."""
    name = str(row.get("name") or "")
    return (
        chosen.get(name)
        or _CATEGORIES.get(str(row.get("category")))
        or _ICONS.get(str(row.get("icon") or "").split(" ")[-1])
        or "task"
    )


def _document(row: Mapping[str, Any]) -> str:
    return str(row.get("model") or row.get("res_model") or "")


def _ended_between(since: str, until: str) -> list[Any]:
    """Meetings that ended since: nobody wrote to them, but now they have been held."""
    return ["&", ["stop", ">=", since], ["stop", "<=", until]]


def _with_ended(rows: list[Row], now: str) -> None:
    for row in rows:
        stop = str(row.get("stop") or "")
        row[_ENDED] = bool(stop) and stop[:19].ljust(19, ":") <= now


def _seconds(start: str, stop: str) -> float:
    return max((moment(stop) - moment(start)) / timedelta(seconds=1), 0.0)
