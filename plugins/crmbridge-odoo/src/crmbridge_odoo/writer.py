"""The writer: our fields in leads, opportunities and partners.

`write` gives many records the same values, so changes are grouped by what they write. Values of one record
alone go by `load`, Odoo's import, a hundred records a call: it takes a fraction of the time of a call each. A
call that Odoo refuses wrote nothing; it is cut in halves until the records that it is about are known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, cast

import httpx2

from crmbridge.connectors import CheckItem, Context
from crmbridge.errors import AuthError, CRMBridgeError, SettingsError, TransientError
from crmbridge.model import CATALOGUE, FieldValue, ObjectName, fields_on
from crmbridge.writeback import Change, InstallStep, Outcome, Writer
from crmbridge_odoo import install, own
from crmbridge_odoo.client import Client
from crmbridge_odoo.faults import Fault, Lost
from crmbridge_odoo.options import Options
from crmbridge_odoo.own import EMPTY, MODELS, odoo_name, spelt

READ_IDS: Final = 1_000
LOADED: Final = 100
"""Records in one call of `load`: few enough to be one short transaction."""
QUIET: Final = {"tracking_disable": True, "mail_notrack": True, "mail_create_nosubscribe": True}
"""No message, no follower and no mail by a write of ours. Odoo has no switch for automation rules."""

Values = dict[str, Any]
Group = tuple[Values, list[str]]


class OdooWriter(Writer):
    """Writes our fields by record id."""

    name: ClassVar[str] = "odoo"
    objects: ClassVar[tuple[ObjectName, ...]] = tuple(MODELS)
    batch_size: ClassVar[int] = 500

    def __init__(self, context: Context, *, transport: httpx2.BaseTransport | None = None) -> None:
        super().__init__(context)
        self.options = cast(Options, context.options)
        self.client = Client(context, transport)

    def install(self, *, dry_run: bool) -> Iterator[InstallStep]:
        """Make the missing fields and the views that show them. Raises AuthError."""
        return install.install(self.client, own.wanted(self.context.fields), dry_run=dry_run)

    def uninstall(self, *, dry_run: bool) -> Iterator[InstallStep]:
        """Remove our views and fields. Raises AuthError."""
        return install.uninstall(self.client, dry_run=dry_run)

    def check(self) -> Iterator[CheckItem]:
        """Whether each field is there, and views show them."""
        return install.checked(self.client, own.wanted(self.context.fields))

    def read(self, object_name: ObjectName, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        """What our fields hold; records that are gone are left out."""
        fields = fields_on(object_name, self.context.fields)
        names = own.names_of(fields, self.client.fields(MODELS[object_name]))
        return {
            str(row["id"]): own.held_in(row, fields) for row in self._rows(object_name, ids, names or ["id"])
        }

    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        """Write, equal values together. Raises SettingsError where a field is not installed."""
        model = MODELS[object_name]
        known = self.client.fields(model)
        keys = {key for change in changes for key in change.values}
        missing = sorted(key for key in keys if odoo_name(key) not in known)
        if missing or EMPTY not in known:
            raise SettingsError(
                f"Odoo's {model} has no field for {', '.join(missing) or 'empty numbers'}.",
                connection=self.context.connection,
                remedy=f"Run `crmbridge install {self.context.connection}`.",
            )
        rows = {
            str(row["id"]): row for row in self._rows(object_name, [each.id for each in changes], [EMPTY])
        }
        outcomes = [
            Outcome(
                change.id, "rejected", "MissingError", "Odoo has no such record, or hides it from the user."
            )
            for change in changes
            if change.id not in rows
        ]
        steps = _steps(_grouped([change for change in changes if change.id in rows], rows))
        sent = False
        for number, step in enumerate(steps):
            try:
                outcomes += self._step(model, step)
            except (AuthError, TransientError) as error:
                if not sent:
                    raise
                # Something was sent: what was not, is told as such.
                for rest in steps[number:]:
                    ids = [identifier for _, each in rest for identifier in each]
                    outcomes += _all(ids, "retry", type(error).__name__, error.said or error.what)
                break
            sent = True
        return outcomes

    def close(self) -> None:
        """Give the connections back."""
        self.client.close()

    def _step(self, model: str, groups: Sequence[Group]) -> list[Outcome]:
        """One group of equal values, or records whose values are their own."""
        if len(groups) == 1:
            ((values, ids),) = groups
            return self._write(model, ids, values)
        return self._load(model, groups)

    def _load(self, model: str, groups: Sequence[Group]) -> list[Outcome]:
        ids = [identifier for _, (identifier,) in groups]
        names = list(groups[0][0])
        data = [
            [ids[row], *(_text(values[name]) for name in names)] for row, (values, _) in enumerate(groups)
        ]
        context = {**QUIET, "tz": "UTC"}  # moments in an import are of the user's zone
        try:
            answer = self.client.call(
                model, "load", [".id", *names], data, kind="write", once=True, context=context
            )
        except Lost as error:
            return _all(ids, "unknown", "NO_ANSWER", str(error))
        except Fault as fault:
            self.client.context.log("odoo.load_refused", model=model, said=fault.code)
            answer = {}
        if answer.get("ids"):
            return _all(ids, "sent")
        half = len(groups) // 2
        return self._step(model, groups[:half]) + self._step(model, groups[half:])

    def _write(self, model: str, ids: Sequence[str], values: Mapping[str, Any]) -> list[Outcome]:
        numbers = [int(each) for each in ids]
        try:
            self.client.call(model, "write", numbers, dict(values), kind="write", once=True, context=QUIET)
        except Lost as error:
            return _all(ids, "unknown", "NO_ANSWER", str(error))
        except Fault as fault:
            if len(ids) > 1:
                half = len(ids) // 2
                return self._write(model, ids[:half], values) + self._write(model, ids[half:], values)
            return _all(ids, "retry" if fault.is_passing else "rejected", fault.code, fault.message)
        return _all(ids, "sent")

    def _rows(
        self, object_name: ObjectName, ids: Sequence[str], names: Sequence[str]
    ) -> list[dict[str, Any]]:
        numbers = [int(each) for each in ids if each.isascii() and each.isdigit()]
        found: list[dict[str, Any]] = []
        for begin in range(0, len(numbers), READ_IDS):
            domain = [["id", "in", numbers[begin : begin + READ_IDS]]]
            try:
                found += self.client.search_read(MODELS[object_name], domain, names)
            except Fault as fault:
                raise self._refused(object_name, fault) from fault
        return found

    def _refused(self, object_name: ObjectName, fault: Fault) -> CRMBridgeError:
        return AuthError(
            f"the user {self.options.username} may not read {MODELS[object_name]}.",
            connection=self.context.connection,
            said=fault.said,
            remedy="Give the user the rights that `crmbridge check` lists.",
        )


def _grouped(changes: Sequence[Change], rows: Mapping[str, Mapping[str, Any]]) -> list[Group]:
    """The records by what they are to hold; empty numbers are named in a field of their own."""
    groups: dict[str, Group] = {}
    for change in changes:
        values = {odoo_name(key): spelt(CATALOGUE[key], value) for key, value in change.values.items()}
        empties = own.empties_of(rows[change.id])
        numbers = {key: value for key, value in change.values.items() if CATALOGUE[key].type == "number"}
        if numbers:
            before = _NUMBERS[change.object] if empties is None else set(empties)
            still = before - {key for key, value in numbers.items() if value is not None}
            values[EMPTY] = own.empties_text(still | {key for key, value in numbers.items() if value is None})
        group = groups.setdefault(repr(sorted(values.items())), (values, []))
        group[1].append(change.id)
    return list(groups.values())


def _steps(groups: Sequence[Group]) -> list[list[Group]]:
    """What goes in one call: a group of several records, or records with values of their own in the same
    fields.
    """
    steps = [[group] for group in groups if len(group[1]) > 1]
    alone: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        if len(group[1]) == 1:
            alone.setdefault(tuple(group[0]), []).append(group)
    for same in alone.values():
        steps += [same[begin : begin + LOADED] for begin in range(0, len(same), LOADED)]
    return steps


def _text(value: Any) -> str:
    """A value as an import takes it: always a text, nothing as the empty one."""
    if isinstance(value, bool):
        return "1" if value else ""
    return str(value)


def _numbers(object_name: ObjectName) -> set[str]:
    """The keys of all numbers that share the object's model: none of them was ever written."""
    model = MODELS[object_name]
    return {
        field.key
        for other, of in MODELS.items()
        if of == model
        for field in fields_on(other, CATALOGUE)
        if field.type == "number"
    }


_NUMBERS: Final = {object_name: _numbers(object_name) for object_name in MODELS}


def _all(
    ids: Sequence[str], state: Any, code: str | None = None, message: str | None = None
) -> list[Outcome]:
    return [Outcome(each, state, code, message) for each in ids]
