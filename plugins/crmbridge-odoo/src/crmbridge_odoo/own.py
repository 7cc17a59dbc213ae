"""Our fields in Odoo: their definitions, and how a value is spelt.

An Odoo number can't be empty: where nothing was written it reads 0, and clearing it makes it 0. So one field
more, `x_crmbridge_empty`, names the numbers that hold nothing: a 0 in a field it names (or in a record that
was never written) is no value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from crmbridge.model import CATALOGUE, Field, FieldValue, ObjectName, fields_on, plain_name
from crmbridge_odoo.fields import OdooField

MODELS: Final[Mapping[ObjectName, str]] = {
    "lead": "crm.lead",
    "deal": "crm.lead",
    "account": "res.partner",
    "contact": "res.partner",
}
"""Where an object's fields live. Odoo keeps leads with opportunities, and companies with persons."""
EMPTY: Final = "x_crmbridge_empty"
_LINE: Final = 255
_TYPES: Final = {"number": "float", "choice": "selection", "datetime": "datetime", "boolean": "boolean"}


def odoo_name(key: str) -> str:
    """`score_low` -> `x_crmbridge_score_low`: the names of manual fields begin with x_."""
    return f"x_{plain_name(key)}"


OWN: Final[Mapping[str, Field]] = {odoo_name(key): field for key, field in CATALOGUE.items()}
"""Our fields by their name in Odoo."""


def odoo_type(field: Field) -> str:
    """The type of the field: `text` where a text may be long, `char` where it is one line."""
    if field.type == "text":
        return "text" if field.length > _LINE else "char"
    return _TYPES[field.type]


def wanted(keys: Iterable[str]) -> dict[str, list[Field]]:
    """The fields that each model is to carry."""
    chosen = list(keys)
    found: dict[str, dict[str, Field]] = {}
    for object_name, model in MODELS.items():
        for field in fields_on(object_name, chosen):
            found.setdefault(model, {})[field.key] = field
    return {
        model: [fields[key] for key in CATALOGUE if key in fields]
        for model, fields in found.items()
        if fields
    }


def definition(field: Field, model_id: int, known: Collection[str]) -> dict[str, Any]:
    """The `ir.model.fields` record that makes the field; `known` are the fields that such a record has."""
    made = base_definition(odoo_name(field.key), odoo_type(field), field.label, model_id, known)
    made["help"] = field.description
    if field.choices and "selection_ids" in known:
        made["selection_ids"] = [
            [0, 0, {"value": choice, "name": shown(choice), "sequence": place}]
            for place, choice in enumerate(field.choices)
        ]
    elif field.choices:
        made["selection"] = repr([(choice, shown(choice)) for choice in field.choices])
    return made


def base_definition(
    name: str, kind: str, label: str, model_id: int, known: Collection[str]
) -> dict[str, Any]:
    """A manual field that no screen lets anybody edit, and that copies of a record do not take along."""
    return {
        "name": name,
        "model_id": model_id,
        "state": "manual",
        "ttype": kind,
        "field_description": label,
        "readonly": True,
        "copied" if "copied" in known else "copy": False,  # `copy` in Odoo 11
    }


def shown(choice: str) -> str:
    """What a rep sees of a choice: `rising` is Rising, `A` is A."""
    return choice[:1].upper() + choice[1:]


def problem(field: Field, there: OdooField) -> str | None:
    """Why the field that is there can't be ours."""
    if there.type != odoo_type(field):
        return (
            f"A field of this name is there, of type {there.type} instead of {odoo_type(field)}: rename it."
        )
    lacking = [choice for choice in field.choices if choice not in there.choices]
    if lacking:
        return f"Its selection lacks {', '.join(lacking)}: add them, with these values."
    return None


def spelt(field: Field, value: FieldValue) -> Any:
    """A value as Odoo takes it; False is nothing."""
    if value is None or value == "":
        return False
    if field.type == "datetime":
        return str(value).replace("T", " ").removesuffix("Z")
    return value


def understood(field: Field, value: Any, empties: Sequence[str] | None) -> FieldValue:
    """What Odoo holds, as a value of the field. `empties` are the keys of the numbers that hold nothing, None
    where the record was never written.
    """
    if field.type == "boolean":
        return bool(value)
    if field.type == "number":
        if value is None or (not value and (empties is None or field.key in empties)):
            return None
        return float(value)
    if value is None or value is False or value == "":
        return None
    if field.type == "datetime":
        return str(value)[:19].replace(" ", "T") + "Z"
    return str(value)


def empties_of(row: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The keys that a row names as empty; None where it was never written."""
    text = row.get(EMPTY)
    return None if not isinstance(text, str) else tuple(key for key in text.split(",") if key and key != "-")


def empties_text(keys: Iterable[str]) -> str:
    """The keys as `x_crmbridge_empty` holds them; `-` where every number has a value."""
    return ",".join(sorted(keys)) or "-"


def held_in(row: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, FieldValue]:
    """What a row holds in our fields."""
    empties = empties_of(row)
    return {field.key: understood(field, row.get(odoo_name(field.key)), empties) for field in fields}


def names_of(fields: Sequence[Field], known: Mapping[str, OdooField]) -> list[str]:
    """The names to ask for, of those that are there."""
    names = [name for field in fields if (name := odoo_name(field.key)) in known]
    return [*names, EMPTY] if names and EMPTY in known else names
