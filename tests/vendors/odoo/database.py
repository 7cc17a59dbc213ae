"""A database of Odoo: models, records, users and their rights, manual fields and views."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from tests.vendors.odoo.domains import Row, matches
from tests.vendors.odoo.schema import fields_of, views_of
from tests.vendors.odoo.views import checked

ADMIN, REP = 1, 5
KEYS = {"admin": "admin-key", "demo": "demo-key"}
NUMBERS = {"integer": 0, "float": 0.0, "monetary": 0.0}
DEPENDENT = ("message_type", "state", "type")
MANUAL_TYPES = {"char", "text", "float", "integer", "boolean", "date", "datetime", "selection", "many2one"}
SYSTEM = "base.group_system"
ALL_LEADS = "sales_team.group_sale_salesman_all_leads"
ADMIN_WRITES = {"ir.model.fields", "ir.ui.view", "ir.model", "res.users"}
ADMIN_READS = {"mail.tracking.value"}
OWN_ONLY = {"crm.lead": "user_id", "sale.order": "user_id"}
HAS_ACTIVE = ("active",)


class Refusal(Exception):
    """An exception of Odoo's, by its name."""

    def __init__(self, name: str, message: str) -> None:
        self.name, self.message = name, message
        super().__init__(message)


def access_error(what: str) -> Refusal:
    return Refusal("odoo.exceptions.AccessError", f"Sorry, you are not allowed to {what}.")


def _unloaded(place: int, message: str) -> Row:
    return {"ids": False, "messages": [{"type": "error", "record": place, "message": message}]}


@dataclass
class Database:
    """One database. `faults` are what happens next, each once; `writes` are the contexts of all writes."""

    version: int
    clock: Callable[[], datetime]
    name: str = "acme"
    rows: dict[str, dict[int, Row]] = field(default_factory=dict)
    groups: dict[int, set[str]] = field(default_factory=lambda: {ADMIN: {SYSTEM, ALL_LEADS}, REP: set()})
    faults: list[str] = field(default_factory=list)
    writes: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fields = fields_of(self.version)
        self._ids = count(1)
        usd = self.put("res.currency", name="USD", display_name="USD")
        company = self.put("res.company", name="Acme", currency_id=usd)
        self.put("res.country", name="Germany")
        for uid, login in ((ADMIN, "admin"), (REP, "demo")):
            partner = self.put("res.partner", name=login.title(), is_company=False)
            values = {"login": login, "name": login.title(), "partner_id": partner, "share": False}
            values |= {"company_id": company, "company_ids": [company], "active": True}
            self.put("res.users", identifier=uid, **values)
        for name, won in (("New", False), ("Proposition", False), ("Won", True)):
            self.stage(name, won=won)
        self.put("mail.message.subtype", name="Discussions", internal=False)
        self.put("mail.message.subtype", name="Note", internal=True)
        for model in ("crm.lead", "res.partner"):
            self.put("ir.model", model=model, name=model)
        for view in views_of(self.version):
            self.put("ir.ui.view", **view, active=True, inherit_id=False)

    # Behind the API's back

    def put(self, model: str, /, *, identifier: int | None = None, **values: Any) -> int:
        """Make or change a record, as a user of Odoo would; returns its id."""
        rows = self.rows.setdefault(model, {})
        if identifier is None:
            identifier = next(self._ids) + 100
        now = self.clock()
        row = rows.setdefault(identifier, {"id": identifier, "create_date": now})
        if "active" in self.fields[model]:
            row.setdefault("active", True)
        row.update(values, write_date=now.replace(microsecond=now.microsecond or 250_000))
        return identifier

    def stage(self, name: str, *, won: bool = False) -> int:
        """The stage of this name, made where there is none."""
        for row in self.rows.get("crm.stage", {}).values():
            if row["name"] == name:
                return int(row["id"])
        by_version = {"is_won": won} if self.version >= 13 else {"probability": 100.0 if won else 10.0}
        return self.put("crm.stage", name=name, **by_version)

    def manual(self, model: str, name: str, kind: str) -> None:
        """A manual field of somebody else's."""
        (of,) = (row["id"] for row in self.rows["ir.model"].values() if row["model"] == model)
        values = {"name": name, "ttype": kind, "state": "manual", "model_id": of, "model": model}
        self.put("ir.model.fields", **values, field_description=name)
        self.fields[model][name] = {"type": kind, "store": True, "readonly": False, "selection": []}

    def drop(self, model: str, name: str) -> None:
        """An administrator removes a field, its values and its places in views."""
        del self.fields[model][name]
        for identifier, row in list(self.rows.get("ir.model.fields", {}).items()):
            if (row["model"], row["name"]) == (model, name):
                del self.rows["ir.model.fields"][identifier]
        for row in self.rows.get(model, {}).values():
            row.pop(name, None)
        for view in self.rows["ir.ui.view"].values():
            view["arch"] = view["arch"].replace(f'name="{name}"', 'name="id"')

    # The API

    def login(self, login: str, key: str) -> int | bool:
        """The id of the user, or False."""
        if KEYS.get(login) != key or "denied" in self.faults:
            return False
        return ADMIN if login == "admin" else REP

    def execute(self, uid: int, model: str, method: str, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Call a public method of a model. Raises Refusal."""
        self.calls.append((model, method))
        if model not in self.fields:
            raise Refusal("odoo.exceptions.UserError", f"Object {model} doesn't exist")
        call = getattr(self, f"_{method}", None)
        if call is None or (method == "check_access_rights" and self.version >= 18):
            raise Refusal("builtins.AttributeError", f"type object '{model}' has no attribute '{method}'")
        if method == "has_access" and self.version < 18:
            raise Refusal("builtins.AttributeError", f"type object '{model}' has no attribute '{method}'")
        context = named.pop("context", {}) or {}
        return call(uid, model, context, *arguments, **named)

    def _context_get(self, uid: int, model: str, context: Row) -> Row:
        return {"lang": "en_US", "tz": "Europe/Berlin"}

    def _has_group(self, uid: int, model: str, context: Row, *arguments: Any) -> bool:
        if len(arguments) != (2 if self.version >= 18 else 1):
            raise Refusal("builtins.TypeError", "has_group() takes other arguments")
        return arguments[-1] in self.groups[uid]

    def _check_access_rights(
        self, uid: int, model: str, context: Row, operation: str, raise_exception: bool = True
    ) -> bool:
        return self._may(uid, model, operation)

    def _has_access(self, uid: int, model: str, context: Row, ids: list[int], operation: str) -> bool:
        return self._may(uid, model, operation)

    def _may(self, uid: int, model: str, operation: str) -> bool:
        if SYSTEM in self.groups[uid]:
            return True
        return model not in (ADMIN_READS if operation == "read" else ADMIN_READS | ADMIN_WRITES)

    def _fields_get(self, uid: int, model: str, context: Row, names: list[str], attributes: list[str]) -> Row:
        found = self.fields[model]
        return {
            name: {key: value for key, value in each.items() if key in attributes}
            for name, each in found.items()
            if not names or name in names
        }

    def _search(
        self, uid: int, model: str, context: Row, domain: list[Any], order: str = "", limit: int | None = None
    ) -> list[int]:
        return [row["id"] for row in self._found(uid, model, context, domain)][:limit]

    def _search_count(self, uid: int, model: str, context: Row, domain: list[Any]) -> int:
        return len(self._found(uid, model, context, domain))

    def _search_read(
        self,
        uid: int,
        model: str,
        context: Row,
        domain: list[Any],
        fields: list[str],
        order: str = "",
        limit: int | None = None,
    ) -> list[Row]:
        rows = self._found(uid, model, context, domain)[:limit]
        return [self._shown(model, row, fields) for row in rows]

    def _read(self, uid: int, model: str, context: Row, ids: list[int], fields: list[str]) -> list[Row]:
        return self._search_read(uid, model, {**context, "active_test": False}, [["id", "in", ids]], fields)

    def _create(self, uid: int, model: str, context: Row, values: Any) -> Any:
        several = isinstance(values, list)
        made = []
        for each in values if several else [values]:
            if not self._may(uid, model, "create"):
                raise access_error(f"create {model}")
            self._check_values(model, each)
            if model == "ir.model.fields":
                self._new_field(each)
            elif model == "ir.ui.view":
                self._check_view(each["model"], each["inherit_id"], each["arch"])
                each = {"active": True, "mode": "extension", **each}
            sent = {name: value for name, value in each.items() if name != "create_date"}
            made.append(self.put(model, **sent))
        return made if several else made[0]

    def _write(self, uid: int, model: str, context: Row, ids: list[int], values: Row) -> bool:
        if not self._may(uid, model, "write"):
            raise access_error(f"modify {model}")
        self.writes.append(context)
        rows = self.rows.get(model, {})
        self._check_values(model, values)
        for each in ids:
            if each not in rows:
                raise Refusal("odoo.exceptions.MissingError", "Record does not exist or has been deleted.")
            if f"reject {each}" in self.faults:
                raise Refusal("odoo.exceptions.ValidationError", "A rule of the administrator says no.")
            if self._strikes(f"locked {each}"):
                raise Refusal("psycopg2.errors.SerializationFailure", "could not serialize access")
            if uid not in self._visible(uid, model, rows[each]):
                raise access_error(f"modify {model}")
        if model == "ir.ui.view":
            for each in ids:
                self._check_view(rows[each]["model"], rows[each]["inherit_id"], values["arch"])
        stored = {name: self._stored(model, name, value) for name, value in values.items()}
        for each in ids:
            self.put(model, identifier=each, **stored)
        return True

    def _load(self, uid: int, model: str, context: Row, fields: list[str], data: list[list[str]]) -> Row:
        """Odoo's import: all rows or none; `.id` is the record, moments are of the context's zone."""
        if fields[0] != ".id" or any(not isinstance(cell, str) for row in data for cell in row):
            raise Refusal("builtins.TypeError", "an import is of texts")
        written = []
        for place, (identifier, *cells) in enumerate(data):
            found = self._found(uid, model, context, [["id", "=", int(identifier)]])
            if not found:
                return _unloaded(place, f"Unknown database identifier '{identifier}'")
            values = dict(zip(fields[1:], cells, strict=True))
            for name, cell in values.items():
                self._known(model, name)
                values[name] = self._imported(model, name, cell, context)
            written.append((int(identifier), values))
        before = {each: dict(self.rows[model][each]) for each, _ in written}
        try:
            for each, values in written:
                self._write(uid, model, context, [each], values)
        except Refusal as refusal:
            self.rows[model].update(before)
            if refusal.name.startswith("psycopg2."):
                raise
            return _unloaded(0, refusal.message)
        return {"ids": [each for each, _ in written], "messages": []}

    def _imported(self, model: str, name: str, cell: str, context: Row) -> Any:
        kind = self.fields[model][name]["type"]
        if cell == "":
            return False
        if kind == "boolean":
            return cell in ("1", "true", "yes")
        if kind == "datetime":
            zone = ZoneInfo(context.get("tz", "UTC"))
            at = datetime.strptime(cell, "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone)
            return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        return float(cell) if kind in NUMBERS else cell

    def _unlink(self, uid: int, model: str, context: Row, ids: list[int]) -> bool:
        if not self._may(uid, model, "unlink"):
            raise access_error(f"delete {model}")
        for each in ids:
            row = self.rows[model][each]
            if model == "ir.model.fields":
                used = [
                    v["name"] for v in self.rows["ir.ui.view"].values() if f'"{row["name"]}"' in v["arch"]
                ]
                used = [name for name in used if row["model"] in name]
                if used:
                    raise Refusal(
                        "odoo.exceptions.UserError", f"fields that are still present in views: {used}"
                    )
                self.drop(row["model"], row["name"])
            else:
                del self.rows[model][each]
        return True

    # Rules

    def _visible(self, uid: int, model: str, row: Row) -> set[int]:
        """The users, of this one, whom the record rules let see the row."""
        owner = OWN_ONLY.get(model)
        sees = not owner or ALL_LEADS in self.groups[uid] or row.get(owner) in (uid, None, False)
        return {uid} if sees else set()

    def _found(self, uid: int, model: str, context: Row, domain: list[Any]) -> list[Row]:
        if not self._may(uid, model, "read"):
            raise access_error(f"access {model}")
        if context.get("active_test", True) and "active" in self.fields[model]:
            domain = [*domain, ["active", "=", True]]
        rows = sorted(self.rows.get(model, {}).values(), key=lambda row: int(row["id"]))
        return [
            row
            for row in rows
            if self._visible(uid, model, row)
            and matches(domain, row, lambda one, path: self._lookup(model, one, path))
        ]

    def _lookup(self, model: str, row: Row, path: str) -> Any:
        name, _, rest = path.partition(".")
        self._known(model, name)
        value = row.get(name)
        if not rest:
            return value
        relation = self.fields[model][name]["relation"]
        other = self.rows.get(relation, {}).get(value) if value else None
        return self._lookup(relation, other, rest) if other else None

    def _known(self, model: str, name: str) -> None:
        if name not in self.fields[model]:
            raise Refusal("builtins.ValueError", f"Invalid field {model}.{name} in leaf")

    def _shown(self, model: str, row: Row, names: list[str]) -> Row:
        shown: Row = {"id": row["id"]}
        for name in names:
            self._known(model, name)
            shown[name] = self._value(self.fields[model][name], row.get(name))
            if name == "display_name":
                shown[name] = row.get("name") or False
            if name == "commercial_partner_id":
                head = row.get("parent_id") or row["id"]
                shown[name] = [head, "a name"]
        return shown

    def _value(self, described: Row, value: Any) -> Any:
        kind = described["type"]
        if kind == "many2one":
            if not value:
                return False
            other = self.rows.get(described["relation"], {}).get(value, {})
            return [value, other.get("name") or f"{described['relation']},{value}"]
        if kind in NUMBERS:
            return NUMBERS[kind] if value is None or value is False else value
        if isinstance(value, datetime):
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        if isinstance(value, date):
            return value.isoformat()
        if kind in ("one2many", "many2many"):
            return value or []
        return False if value is None or value == "" else value

    def _check_values(self, model: str, values: Row) -> None:
        for name, value in values.items():
            if name not in self.fields[model]:
                raise Refusal("builtins.ValueError", f"Invalid field '{name}' on model '{model}'")
            described = self.fields[model][name]
            kind = described["type"]
            if value is False:
                continue
            good = {
                "float": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
                "boolean": lambda v: isinstance(v, bool),
                "char": lambda v: isinstance(v, str),
                "text": lambda v: isinstance(v, str),
                "datetime": lambda v: bool(datetime.strptime(v, "%Y-%m-%d %H:%M:%S")),  # noqa: DTZ007
            }.get(kind)
            try:
                right = good is None or good(value)
            except ValueError:
                right = False
            if kind == "selection" and described.get("selection"):
                right = value in [choice[0] for choice in described["selection"]]
            if not right:
                raise Refusal("builtins.ValueError", f"Wrong value for {model}.{name}: {value!r}")

    def _stored(self, model: str, name: str, value: Any) -> Any:
        kind = self.fields[model][name]["type"]
        if value is False and kind in NUMBERS:
            return NUMBERS[kind]
        return None if value is False and kind != "boolean" else value

    def _new_field(self, values: Row) -> None:
        model = self.rows["ir.model"][values["model_id"]]["model"]
        name, kind = values["name"], values["ttype"]
        if not name.startswith("x_"):
            raise Refusal(
                "odoo.exceptions.ValidationError", "Custom fields must have a name that starts with 'x_'!"
            )
        if kind not in MANUAL_TYPES or name in self.fields[model]:
            raise Refusal("odoo.exceptions.ValidationError", "The field is there, or of no type there is.")
        choices = [[one["value"], one["name"]] for _, _, one in values.get("selection_ids", [])]
        if "selection" in values:
            if self.version >= 13:
                raise Refusal("builtins.ValueError", "selection is computed; give selection_ids")
            choices = [list(choice) for choice in ast.literal_eval(values["selection"])]
        if kind == "selection" and not choices:
            raise Refusal("odoo.exceptions.ValidationError", "a selection needs choices")
        values["model"] = model
        self.fields[model][name] = {"type": kind, "store": True, "readonly": True, "selection": choices}

    def _check_view(self, model: str, base: int, arch: str) -> None:
        problem = checked(self.rows["ir.ui.view"][base]["arch"], arch, self.fields[model], self.version)
        if problem:
            raise Refusal("odoo.exceptions.ValidationError", problem)

    def _strikes(self, fault: str) -> bool:
        if fault in self.faults:
            self.faults.remove(fault)
            return True
        return False
