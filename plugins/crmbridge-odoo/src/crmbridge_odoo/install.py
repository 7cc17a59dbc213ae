"""Making and removing our fields, and the views that show them.

Fields are records of `ir.model.fields`, views of `ir.ui.view`: both take Administration / Settings. A field
can be written and read as soon as it is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from xml.etree import ElementTree as Xml

from crmbridge.connectors import CheckItem
from crmbridge.errors import AuthError
from crmbridge.model import Field
from crmbridge.writeback import InstallStep
from crmbridge_odoo import views
from crmbridge_odoo.client import Client
from crmbridge_odoo.faults import Fault
from crmbridge_odoo.own import EMPTY, MODELS, OWN, base_definition, definition, odoo_name, problem
from crmbridge_odoo.views import Base

Wanted = Mapping[str, Sequence[Field]]
_EMPTY_LABEL: Final = "CRMBridge Empty Numbers"
_IN_USE: Final = "Take it out of the views, filters and rules that use it, then run uninstall again."


def install(client: Client, wanted: Wanted, *, dry_run: bool) -> Iterator[InstallStep]:
    """Make what is missing; where anything stands in the way, say so and make nothing.

    Raises AuthError where the user may not change the schema.
    """
    conflicts = [
        InstallStep(f"{model}.{odoo_name(field.key)}", "conflict", why)
        for model, fields in wanted.items()
        for field in fields
        if (there := client.fields(model).get(odoo_name(field.key))) and (why := problem(field, there))
    ]
    yield from conflicts
    if conflicts:
        return
    with _naming_the_right(client):
        for model, fields in wanted.items():
            yield from _install_fields(client, model, fields, dry_run=dry_run)
        for model, fields in wanted.items():
            yield from _install_views(client, model, fields, dry_run=dry_run)


def _install_fields(
    client: Client, model: str, fields: Sequence[Field], *, dry_run: bool
) -> Iterator[InstallStep]:
    known = client.fields(model)
    missing = [field for field in fields if odoo_name(field.key) not in known]
    yield from (
        InstallStep(f"{model}.{odoo_name(field.key)}", "present") for field in fields if field not in missing
    )
    needs_empty = EMPTY not in known and any(field.type == "number" for field in fields)
    names = [odoo_name(field.key) for field in missing] + ([EMPTY] if needs_empty else [])
    if dry_run or not names:
        yield from (InstallStep(f"{model}.{name}", "planned") for name in names)
        return
    (row,) = client.search_read("ir.model", [["model", "=", model]], ["id"])
    of_fields = client.fields("ir.model.fields")
    for field in missing:
        client.create("ir.model.fields", definition(field, row["id"], of_fields))
        yield InstallStep(f"{model}.{odoo_name(field.key)}", "done")
    if needs_empty:
        client.create("ir.model.fields", base_definition(EMPTY, "char", _EMPTY_LABEL, row["id"], of_fields))
        yield InstallStep(f"{model}.{EMPTY}", "done")
    client.forget_fields()


def _install_views(
    client: Client, model: str, fields: Sequence[Field], *, dry_run: bool
) -> Iterator[InstallStep]:
    ours = {row["name"]: row for row in our_views(client, model)}
    for base in views.chosen(_bases(client, model)):
        name = views.name_of(base)
        there = ours.get(name)
        possible = [views.arch(base, fields, client.version, place) for place in views.places(base)]
        if there is not None and any(_same(there["arch"], each) for each in possible):
            yield InstallStep(f"view {name}", "present")
        elif dry_run:
            yield InstallStep(f"view {name}", "planned")
        else:
            yield _make_view(client, base, name, there, possible)


def _make_view(
    client: Client, base: Base, name: str, there: Mapping[str, Any] | None, possible: Sequence[str]
) -> InstallStep:
    """Make or renew the view, at the first place that Odoo takes."""
    said = ""
    for arch in possible:
        try:
            if there is not None:
                client.call("ir.ui.view", "write", [there["id"]], {"arch": arch}, kind="install")
            else:
                values = {"name": name, "model": base.model, "type": base.type, "inherit_id": base.id}
                values |= {"mode": "extension", "priority": views.PRIORITY, "arch": arch}
                client.create("ir.ui.view", values)
        except Fault as fault:
            if fault.is_denied or fault.is_passing or fault.is_not_allowed:
                raise
            said = fault.said
        else:
            return InstallStep(f"view {name}", "done")
    remedy = f"Odoo says: {said[:300]}. The field can be put there by hand (docs/odoo.md)."
    return InstallStep(f"view {name}", "conflict", remedy)


def uninstall(client: Client, *, dry_run: bool) -> Iterator[InstallStep]:
    """Remove our views, then our fields with their values, whichever were chosen last."""
    models = list(dict.fromkeys(MODELS.values()))
    with _naming_the_right(client):
        for model in models:
            for row in our_views(client, model):
                if not dry_run:
                    client.call("ir.ui.view", "unlink", [row["id"]], kind="install")
                yield InstallStep(f"view {row['name']}", "planned" if dry_run else "done")
        for model in models:
            yield from _remove_fields(client, model, dry_run=dry_run)


def _remove_fields(client: Client, model: str, *, dry_run: bool) -> Iterator[InstallStep]:
    known = client.fields(model)
    names = [name for name, field in OWN.items() if name in known and problem(field, known[name]) is None]
    names += [EMPTY] if EMPTY in known else []
    if not names:
        return
    domain = [["model", "=", model], ["name", "in", names], ["state", "=", "manual"]]
    for row in client.search_read("ir.model.fields", domain, ["name"]):
        what = f"{model}.{row['name']}"
        if dry_run:
            yield InstallStep(what, "planned")
            continue
        try:
            client.call("ir.model.fields", "unlink", [row["id"]], kind="install")
        except Fault as fault:
            if fault.is_denied or fault.is_passing or fault.is_not_allowed:
                raise
            yield InstallStep(what, "conflict", f"Odoo says: {fault.said[:300]}. {_IN_USE}")
        else:
            yield InstallStep(what, "done")
    client.forget_fields()


def checked(client: Client, wanted: Wanted) -> Iterator[CheckItem]:
    """Whether each of our fields is there, with the right type, and whether views show them."""
    name = client.context.connection
    may = client.may("ir.model.fields", "create")
    remedy = f"Run `crmbridge install {name}`" + (
        "." if may else ", with `--as` a connection of an administrator."
    )
    for model, fields in wanted.items():
        known = client.fields(model)
        for field in fields:
            what = f"{model}.{odoo_name(field.key)}"
            there = known.get(odoo_name(field.key))
            if there is None:
                yield CheckItem(what, "failed", "it is missing", remedy)
            elif why := problem(field, there):
                yield CheckItem(what, "failed", "it can't be written", why)
            else:
                yield CheckItem(what, "ok", "it is there")
        if any(field.type == "number" for field in fields) and EMPTY not in known:
            yield CheckItem(f"{model}.{EMPTY}", "failed", "it is missing", remedy)
    if client.may("ir.ui.view", "read"):
        number = sum(len(our_views(client, model)) for model in wanted)
        yield CheckItem(
            "views",
            "ok" if number else "warning",
            f"{number} views show our fields",
            None if number else remedy,
        )


def our_views(client: Client, model: str) -> list[dict[str, Any]]:
    """The views on a model that `install` made."""
    domain = [["model", "=", model], ["name", "=like", f"{views.PREFIX}%"], ["inherit_id", "!=", False]]
    return client.search_read("ir.ui.view", domain, ["name", "arch"])


def _bases(client: Client, model: str) -> list[Base]:
    domain = [["model", "=", model], ["inherit_id", "=", False], ["active", "=", True]]
    rows = client.search_read("ir.ui.view", domain, ["model", "type", "inherit_id", "arch", "priority"])
    return views.read_bases(rows)


def _same(one: str, other: str) -> bool:
    """Whether two views are the same to a reader of XML: Odoo may lay them out anew."""
    return Xml.canonicalize(one, strip_text=True) == Xml.canonicalize(other, strip_text=True)


@contextmanager
def _naming_the_right(client: Client) -> Iterator[None]:
    """Turns a missing right into an AuthError that names it."""
    try:
        yield
    except Fault as fault:
        if not fault.is_not_allowed:
            raise
        raise AuthError(
            "the user may not change Odoo's fields and views.",
            connection=client.context.connection,
            said=fault.message,
            remedy="Install with `--as` a connection whose user has Administration / Settings.",
        ) from fault
