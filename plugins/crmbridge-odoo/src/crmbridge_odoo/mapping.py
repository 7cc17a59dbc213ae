"""Rows of Odoo become records of the common model. Pure but for what `Related` looks up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from pydantic import ValidationError

from crmbridge.connectors import SetAside
from crmbridge.model import RECORDS, Field, FieldValue, ObjectName, Record, Scalar
from crmbridge_odoo.client import Row
from crmbridge_odoo.fields import TAGS, OdooField
from crmbridge_odoo.own import held_in
from crmbridge_odoo.related import NOBODY, Related

LEAD: Final[Mapping[str, tuple[str, ...]]] = {
    "last_name": ("contact_name",),
    "company": ("partner_name",),
    "title": ("function",),
    "email": ("email_from",),
    "phone": ("phone",),
    "country": ("country_id",),
    "lead_source": ("source_id",),
    "status": ("stage_id",),
    "owner_id": ("user_id",),
    "converted_at": ("date_conversion",),
    "closed_at": ("date_closed",),
}
DEAL: Final[Mapping[str, tuple[str, ...]]] = {
    "name": ("name",),
    "amount": ("expected_revenue", "planned_revenue"),
    "stage": ("stage_id",),
    "lead_source": ("source_id",),
    "expected_close": ("date_deadline",),
    "closed_at": ("date_closed",),
    "owner_id": ("user_id",),
}
PARTNER: Final[Mapping[str, tuple[str, ...]]] = {
    "name": ("name",),
    "industry": ("industry_id",),
    "country": ("country_id",),
    "website": ("website",),
    "owner_id": ("user_id",),
}
PERSON: Final[Mapping[str, tuple[str, ...]]] = {
    "last_name": ("name",),
    "title": ("function",),
    "email": ("email",),
    "phone": ("phone",),
    "owner_id": ("user_id",),
}
ORDER: Final[Mapping[str, tuple[str, ...]]] = {
    "amount": ("amount_total",),
    "currency": ("currency_id",),
    "ordered_at": ("confirmation_date", "date_order"),
    "fulfilled_at": ("effective_date",),
    "status": ("state",),
    "owner_id": ("user_id",),
    "deal_id": ("opportunity_id",),
}
"""Of each object, Odoo's field for a field of the model; the first that the version has."""
USER: Final = ("name", "login", "email", "active")

_IDS: Final = frozenset({"owner_id", "account_id", "contact_id", "deal_id", "lead_id"})
_BY_ID: Final = frozenset({"res.partner", "res.users"})
"""Relations that are shown by id: a name is no better an input, and is a person's."""
_RAW: Final = 500


@dataclass
class Decoded:
    """The records of a batch of rows, those set aside, and what our own fields hold."""

    records: list[Record] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    held: dict[str, Mapping[str, FieldValue]] = field(default_factory=dict)


class Mapper:
    """Turns the rows of one model into records of one object."""

    def __init__(
        self,
        object_name: ObjectName,
        model: str,
        fields: Mapping[str, OdooField],
        mapped: Mapping[str, str],
        attributes: Sequence[str],
        own: Sequence[Field],
        related: Related,
    ) -> None:
        self._object, self._model, self._fields = object_name, model, fields
        self._mapped, self._attributes, self._own, self._related = mapped, attributes, own, related
        self._derive: Callable[[Row, dict[str, Any]], None] = {
            "lead": self._lead,
            "deal": self._deal,
            "account": self._nothing,
            "contact": self._contact,
            "order": self._order,
        }[object_name]

    def decode(self, rows: Sequence[Row]) -> Decoded:
        """The records of these rows; a row that does not fit is set aside with its reason."""
        self._related.partners(row["partner_id"][0] for row in rows if row.get("partner_id"))
        if self._object == "contact":
            self._related.partners(row["id"] for row in rows)
        found = Decoded()
        for row in rows:
            try:
                found.records.append(self._record(row))
            except ValidationError as error:
                found.set_aside.append(set_aside(self._object, self._model, row, error))
            if self._own:
                found.held[str(row["id"])] = held_in(row, self._own)
        return found

    def _record(self, row: Row) -> Record:
        values: dict[str, Any] = {
            "id": str(row["id"]),
            "created_at": moment_text(row.get("create_date")),
            "modified_at": moment_text(row.get("write_date")),
        }
        for name, column in self._mapped.items():
            values[name] = self._value(name, column, row.get(column))
        self._derive(row, values)
        values["attributes"] = {name: self._attribute(name, row.get(name)) for name in self._attributes}
        return RECORDS[self._object].model_validate(values)

    def _value(self, name: str, column: str, value: Any) -> Any:
        kind = self._fields[column].type if column in self._fields else "char"
        if value is None or (value is False and kind != "boolean"):
            return None
        if kind in ("many2one", "many2one_reference") and isinstance(value, list):
            return str(value[0]) if name in _IDS else value[1]
        if kind == "datetime":
            return moment_text(value)
        if kind in ("float", "monetary"):
            return Decimal(str(value))
        return value

    def _attribute(self, name: str, value: Any) -> Scalar:
        field_ = self._fields[name]
        if value is None or (value is False and field_.type != "boolean"):
            return None
        if name in TAGS:
            names = self._related.tags(str(field_.relation))
            return ", ".join(sorted(names[each] for each in value if each in names)) or None
        if isinstance(value, list):
            return str(value[0]) if field_.relation in _BY_ID else str(value[1])
        if field_.type == "datetime":
            return moment_text(value)
        return value if isinstance(value, (str, int, float, bool)) else str(value)

    # What follows from several fields

    def _nothing(self, row: Row, values: dict[str, Any]) -> None:
        """The fields say it all."""

    def _contact(self, row: Row, values: dict[str, Any]) -> None:
        values["account_id"] = self._related.partners([row["id"]])[row["id"]].account
        values["phone"] = values.get("phone") or row.get("mobile") or None

    def _order(self, row: Row, values: dict[str, Any]) -> None:
        partner = row.get("partner_id")
        values["account_id"] = self._related.partners([partner[0]])[partner[0]].account if partner else None

    def _lead(self, row: Row, values: dict[str, Any]) -> None:
        """A lead that was converted is an opportunity now: the same record, which goes on as a deal."""
        is_deal = row["type"] == "opportunity"
        values["phone"] = values.get("phone") or row.get("mobile") or None
        values["is_converted"] = is_deal
        values["is_disqualified"] = not is_deal and not row["active"]
        if is_deal:
            partner = self._partner(row)
            values["closed_at"] = values.get("converted_at")
            values["converted_deal_id"] = str(row["id"])
            values["converted_account_id"], values["converted_contact_id"] = partner.account, partner.contact
        elif row["active"]:
            values["closed_at"] = values["converted_at"] = None

    def _deal(self, row: Row, values: dict[str, Any]) -> None:
        stage = row.get("stage_id")
        partner = self._partner(row)
        is_won = stage[0] in self._related.won_stages if stage else False
        values["is_won"] = is_won
        values["is_closed"] = is_won or not row["active"]
        if not values["is_closed"]:
            values["closed_at"] = None
        if not values.get("amount"):
            values["amount"] = None  # Odoo has 0 where nobody entered anything
        company = row.get("company_id")
        values["currency"] = self._related.currencies.get(company[0]) if company else self._related.currency
        values["account_id"], values["contact_id"] = partner.account, partner.contact
        values["lead_id"] = str(row["id"]) if row.get("date_conversion") else None
        if row.get("date_conversion"):
            values["created_at"] = moment_text(row["date_conversion"])

    def _partner(self, row: Row) -> Any:
        partner = row.get("partner_id")
        return self._related.partners([partner[0]])[partner[0]] if partner else NOBODY


def set_aside(object_name: ObjectName, model: str, row: Row, error: ValidationError) -> SetAside:
    """A row that does not fit, with the reason the model gives."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "record"
    given = {name: value for name, value in row.items() if value not in (False, None, [])}
    return SetAside(
        object_name, f"{model}/{row['id']}", f"{place}: {first['msg']}", str(row["id"]), str(given)[:_RAW]
    )


def moment_text(value: Any) -> str | None:
    """`2026-03-31 08:00:00`, in UTC, as ISO 8601; anything else as it is, for the model to refuse."""
    if value is None or value is False:
        return None
    return f"{str(value).replace(' ', 'T')}Z"
