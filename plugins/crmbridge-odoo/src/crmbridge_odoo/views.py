"""What makes our fields visible: views that inherit Odoo's own.

The base views and their external ids differ from version to version, so they are searched by model and
type, and the place for our part is looked up in the view itself: a list is `tree` before Odoo 18, a card
`kanban-box` before 18 and `card` from then on; what is hidden when empty is `attrs` before 17, an expression
from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree as Xml
from xml.sax.saxutils import quoteattr

from crmbridge.model import Field
from crmbridge_odoo.own import odoo_name

PREFIX: Final = "crmbridge."
"""Names of our views begin so: `crmbridge.crm.lead.form.585`."""
PRIORITY: Final = 99
FORM: Final[Mapping[str, tuple[str, ...]]] = {
    "crm.lead": (
        *("score", "score_low", "score_high", "grade", "score_trend", "next_action", "reasons_up"),
        *("reasons_down", "days_in_stage", "typical_days", "stuck", "expected_revenue", "data_quality"),
        *("data_issues", "scored_at", "model"),
    ),
    "res.partner": (
        *("score", "score_low", "score_high", "grade", "score_trend", "reasons_up", "reasons_down"),
        *("segment", "p_alive", "value_12m", "value_low", "value_high"),
        *("communication_efficiency", "follow_up_efficiency", "order_efficiency", "time_coverage"),
        *("data_quality", "data_issues", "scored_at", "model"),
    ),
}
"""What a form shows, of the fields there are, in this order."""
LIST: Final = ("score", "grade", "next_action", "reasons_up", "reasons_down")
CARD: Final = ("score", "grade", "next_action", "reasons_up")
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "crm.lead": ("form", "tree", "list", "kanban"),
    "res.partner": ("form",),
}
"""Of each model the types of views that show our fields."""
_FEW_LINES: Final = "overflow: hidden; max-height: 4.5em"
"""A card stays a card; the whole text shows under the pointer."""
_EXPRESSIONS_FROM: Final = 17
_OPTIONAL_FROM: Final = 13


@dataclass(frozen=True)
class Base:
    """A view of Odoo's that ours inherits."""

    id: int
    model: str
    type: str
    arch: str
    priority: int = 16


def name_of(base: Base) -> str:
    """The name of our view on a base view."""
    return f"{PREFIX}{base.model}.{base.type}.{base.id}"


def chosen(bases: Iterable[Base]) -> list[Base]:
    """The views that get ours: whole forms, lists and pipelines of leads; of partners the first form."""
    found = [base for base in bases if places(base)]
    partners = sorted(
        (base for base in found if base.model == "res.partner"), key=lambda b: (b.priority, b.id)
    )
    return [base for base in found if base.model != "res.partner"] + partners[:1]


def places(base: Base) -> list[tuple[str, str]]:
    """Where our part may go in a view, the best first: (xpath, position). Empty where the view is none of
    those that show records whole, such as the one in which a record is quickly made.
    """
    root = Xml.fromstring(base.arch)  # noqa: S314 - of the CRM that is administered
    if base.type == "form":
        if root.find(".//sheet") is None or root.find(".//notebook") is None:
            return []
        found = [("//sheet/group[1]", "before")] if root.find(".//sheet/group") is not None else []
        return [*found, ("//notebook[1]", "before"), ("//sheet", "inside")]
    if base.type in ("tree", "list"):
        return [(f"/{root.tag}", "inside")]
    card = next((each for each in root.iter("t") if each.get("t-name") in ("kanban-box", "card")), None)
    if card is None:
        return []
    start = f"//t[@t-name='{card.get('t-name')}']"
    found = []
    if card.find(".//footer") is not None:
        found.append((f"{start}//footer[1]", "before"))
    if any("o_kanban_record_bottom" in each.get("class", "").split() for each in card.iter("div")):
        found.append((f"{start}//div[hasclass('o_kanban_record_bottom')][1]", "before"))
    inside = (
        f"{start}/div[1]" if card.get("t-name") == "kanban-box" and card.find("div") is not None else start
    )
    return [*found, (inside, "inside")]


def arch(base: Base, fields: Sequence[Field], version: int, place: tuple[str, str]) -> str:
    """The XML of our view on a base view. `fields` are those of ours that the model has."""
    there = {field.key: field for field in fields}
    xpath, position = place
    if base.type == "form":
        body = _form(base.model, there, version)
    elif base.type in ("tree", "list"):
        body = _list(there, version)
    else:
        body = _card(there)
    parts = [f"<xpath expr={quoteattr(xpath)} position={quoteattr(position)}>{body}</xpath>"]
    if base.type == "kanban":
        declared = "".join(f'<field name="{odoo_name(key)}"/>' for key in CARD if key in there)
        parts.insert(0, f'<xpath expr="//templates" position="before">{declared}</xpath>')
    return f"<data>{''.join(parts)}</data>"


def _form(model: str, there: Mapping[str, Field], version: int) -> str:
    shown = [key for key in FORM[model] if key in there]
    hides = "grade" in there
    fields = []
    for key in shown:
        numbers_of_score = key in ("score", "score_low", "score_high")
        hidden = _unless("grade", version) if hides and numbers_of_score else ""
        label = f' string="{label_of(there[key])}"'
        fields.append(f'<field name="{odoo_name(key)}"{label} readonly="1"{hidden}/>')
    return f'<group name="crmbridge" string="Score">{"".join(fields)}</group>'


def _list(there: Mapping[str, Field], version: int) -> str:
    columns = []
    for key in LIST:
        if key not in there:
            continue
        hidden = _unless("grade", version) if key == "score" and "grade" in there else ""
        optional = ""
        if version >= _OPTIONAL_FROM:
            optional = f' optional="{"hide" if key == "reasons_down" else "show"}"'
        label = f' string="{label_of(there[key])}"'
        columns.append(f'<field name="{odoo_name(key)}"{label} readonly="1"{hidden}{optional}/>')
    return "".join(columns)


def _card(there: Mapping[str, Field]) -> str:
    """A line with grade and score, then what to do, then why; each only where there is something."""
    lines = []
    if "score" in there:
        condition = odoo_name("grade" if "grade" in there else "score")
        grade = f'<field name="{odoo_name("grade")}"/> ' if "grade" in there else ""
        score = f'<b>{grade}<field name="{odoo_name("score")}"/></b>'
        lines.append(f'<div t-if="record.{condition}.raw_value">{score}</div>')
    for key in ("next_action", "reasons_up"):
        if key in there:
            name = odoo_name(key)
            given = f't-if="record.{name}.raw_value" t-att-title="record.{name}.value"'
            lines.append(f'<div {given} class="text-muted" style="{_FEW_LINES}"><field name="{name}"/></div>')
    return f'<div name="crmbridge">{"".join(lines)}</div>'


def label_of(field: Field) -> str:
    """What a rep reads: the field's name without that of the program."""
    return field.label.removeprefix("CRMBridge ").capitalize()


def _unless(key: str, version: int) -> str:
    """Hidden while another field is empty."""
    name = odoo_name(key)
    if version >= _EXPRESSIONS_FROM:
        return f' invisible="not {name}"'
    return f""" attrs="{{'invisible': [('{name}', '=', False)]}}\""""


def read_bases(rows: Iterable[Mapping[str, Any]]) -> list[Base]:
    """Rows of `ir.ui.view` that are views of their own; broken XML is none of ours."""
    found = []
    for row in rows:
        if row["inherit_id"] or row["type"] not in KINDS.get(str(row["model"]), ()):
            continue
        try:
            Xml.fromstring(row["arch"])  # noqa: S314 - as above
        except Xml.ParseError:
            continue
        found.append(Base(row["id"], row["model"], row["type"], row["arch"], row["priority"]))
    return found
