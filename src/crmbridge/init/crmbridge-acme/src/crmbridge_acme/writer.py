"""The writer: makes our fields in Acme, reads what they hold, and writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import httpx2

from crmbridge.connectors import CheckItem, Context
from crmbridge.errors import SettingsError
from crmbridge.model import CATALOGUE, Field, FieldValue, ObjectName, fields_on, plain_name
from crmbridge.writeback import Change, InstallStep, Outcome, Writer
from crmbridge_acme.client import Client, Lost
from crmbridge_acme.connector import values_held


class AcmeWriter(Writer):
    """Writes our fields by record id; Acme answers for each row."""

    name: ClassVar[str] = "acme"
    objects: ClassVar[tuple[ObjectName, ...]] = ("lead", "deal", "account")
    batch_size: ClassVar[int] = 100

    def __init__(self, context: Context, *, transport: httpx2.BaseTransport | None = None) -> None:
        super().__init__(context)
        self.client = Client(context, transport)

    def install(self, *, dry_run: bool) -> Iterator[InstallStep]:
        """Make the missing fields; a field of another type in the way is told before any is made."""
        conflicts = [step for object_name in self.objects for step in self._conflicts(object_name)]
        yield from conflicts
        for object_name in () if conflicts else self.objects:
            there = self._types(object_name)
            for field in fields_on(object_name, self.context.fields):
                what = f"{object_name}.{plain_name(field.key)}"
                if plain_name(field.key) in there:
                    yield InstallStep(what, "present")
                    continue
                if not dry_run:
                    self.client.call(
                        "POST", f"/fields/{object_name}", kind="install", json=_definition(field)
                    )
                yield InstallStep(what, "planned" if dry_run else "done")

    def uninstall(self, *, dry_run: bool) -> Iterator[InstallStep]:
        """Remove our fields, whichever were chosen last, and nothing else."""
        for object_name in self.objects:
            there = self._types(object_name)
            for field in fields_on(object_name, CATALOGUE):
                name = plain_name(field.key)
                if there.get(name) != field.type:
                    continue
                if not dry_run:
                    self.client.call("DELETE", f"/fields/{object_name}/{name}", kind="install")
                yield InstallStep(f"{object_name}.{name}", "planned" if dry_run else "done")

    def check(self) -> Iterator[CheckItem]:
        """Whether each of our fields is there, with its type."""
        for object_name in self.objects:
            there = self._types(object_name)
            for field in fields_on(object_name, self.context.fields):
                right = there.get(plain_name(field.key)) == field.type
                yield CheckItem(
                    f"{object_name}.{plain_name(field.key)}",
                    "ok" if right else "failed",
                    "it is there" if right else "it is missing, or of another type",
                    None if right else f"Run `crmbridge install {self.context.connection}`.",
                )

    def read(self, object_name: ObjectName, ids: Sequence[str]) -> Mapping[str, Mapping[str, FieldValue]]:
        """What our fields hold; records that are gone are left out."""
        held: dict[str, Mapping[str, FieldValue]] = {}
        for start in range(0, len(ids), self.batch_size):
            asked = {"ids": list(ids[start : start + self.batch_size])}
            for row in self.client.call("POST", f"/read/{object_name}", json=asked)["rows"]:
                held[row["id"]] = values_held(object_name, self.context.fields, row)
        return held

    def write(self, object_name: ObjectName, changes: Sequence[Change]) -> Sequence[Outcome]:
        """Write one batch. Raises SettingsError where a field is not installed."""
        keys = {key for change in changes for key in change.values}
        missing = sorted(key for key in keys if plain_name(key) not in self._types(object_name))
        if missing:
            raise SettingsError(
                f"Acme has no field for {', '.join(missing)} on {object_name}.",
                connection=self.context.connection,
                remedy=f"Run `crmbridge install {self.context.connection}`.",
            )
        rows = [
            {"id": change.id, **{plain_name(key): value for key, value in change.values.items()}}
            for change in changes
        ]
        try:
            answers = self.client.call("PATCH", f"/records/{object_name}", kind="write", json={"rows": rows})
        except Lost as error:
            return [Outcome(change.id, "unknown", "NO_ANSWER", str(error)) for change in changes]
        return [_outcome(answer) for answer in answers["rows"]]

    def close(self) -> None:
        """Give the connections back."""
        self.client.close()

    def _types(self, object_name: ObjectName) -> dict[str, str]:
        found = self.client.call("GET", f"/fields/{object_name}")["fields"]
        return {str(field["name"]): str(field["type"]) for field in found}

    def _conflicts(self, object_name: ObjectName) -> Iterator[InstallStep]:
        there = self._types(object_name)
        for field in fields_on(object_name, self.context.fields):
            name = plain_name(field.key)
            if there.get(name, field.type) != field.type:
                remedy = f"A field of this name is there, of type {there[name]}: rename it."
                yield InstallStep(f"{object_name}.{name}", "conflict", remedy)


def _definition(field: Field) -> dict[str, Any]:
    return {"name": plain_name(field.key), "label": field.label, "type": field.type}


def _outcome(answer: Mapping[str, Any]) -> Outcome:
    if answer["status"] == "ok":
        return Outcome(answer["id"], "sent")
    code, message = answer["code"], answer.get("message")
    return Outcome(answer["id"], "retry" if code == "LOCKED" else "rejected", code, message)
