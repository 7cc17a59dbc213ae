"""What the models of Odoo 11 and 18 have: fields, and the base views that ours inherit."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

Fields = dict[str, dict[str, dict[str, Any]]]
"""By model and name: type, store, relation, selection, readonly."""

_FILE = Path(__file__).with_name("fields_11.json")
_SELECTED = [["A", "A"]]

GONE_18 = {
    "crm.lead": [
        *("planned_revenue", "lost_reason", "opt_out", "kanban_state", "date_action_last", "__last_update"),
        "message_last_post",
    ],
    "crm.stage": ["probability", "on_change"],
    "mail.tracking.value": ["field", "field_desc", "field_type"],
    "ir.model.fields": ["copy", "track_visibility"],
    "sale.order": ["confirmation_date"],
    "res.partner": ["customer", "supplier", "opt_out", "message_last_post", "__last_update"],
}
NEW_18 = {
    "crm.lead": {
        "expected_revenue": ["monetary", "stored"],
        "prorated_revenue": ["monetary", "stored"],
        "recurring_revenue": ["monetary", "stored"],
        "recurring_revenue_prorated": ["monetary", "stored"],
        "recurring_revenue_monthly": ["monetary", "stored"],
        "recurring_revenue_monthly_prorated": ["monetary", "stored"],
        "automated_probability": ["float", "stored"],
        "is_automated_probability": ["boolean", "computed"],
        "lost_reason_id": ["many2one", "stored", "crm.lost.reason"],
        "date_automation_last": ["datetime", "stored"],
        "duration_tracking": ["json", "computed"],
        "lead_properties": ["properties", "stored"],
        "email_normalized": ["char", "stored"],
        "phone_sanitized": ["char", "stored"],
        "description": ["html", "stored"],
    },
    "crm.stage": {"is_won": ["boolean", "stored"]},
    "mail.tracking.value": {"field_id": ["many2one", "stored", "ir.model.fields"]},
    "ir.model.fields": {
        "copied": ["boolean", "stored"],
        "selection_ids": ["one2many", "stored", "ir.model.fields.selection"],
        "tracking": ["integer", "stored"],
    },
    "mail.activity": {"active": ["boolean", "stored"], "date_done": ["date", "stored"]},
    "sale.order": {"effective_date": ["datetime", "stored"]},
    "res.partner": {"customer_rank": ["integer", "stored"]},
}


def fields_of(version: int) -> Fields:
    """The fields of a version, as `fields_get` gives them: 11, or 18 and later."""
    raw = json.loads(_FILE.read_text(encoding="utf-8"))
    if version >= 18:
        raw["crm.tag"] = raw.pop("crm.lead.tag")
        for model in ("crm.lead", "sale.order"):
            raw[model]["tag_ids"] = ["many2many", "stored", "crm.tag"]
        for model, names in GONE_18.items():
            for name in names:
                raw[model].pop(name, None)
        for model, found in NEW_18.items():
            raw[model] |= deepcopy(found)
    return {model: {name: _described(each) for name, each in found.items()} for model, found in raw.items()}


def _described(compact: list[Any]) -> dict[str, Any]:
    kind, store, *more = compact
    made: dict[str, Any] = {"type": kind, "store": store == "stored", "readonly": False}
    if kind == "selection":
        made["selection"] = [[each, each] for each in (more[0] if more else [])]
    elif more:
        made["relation"] = more[0]
    return made


def views_of(version: int) -> list[dict[str, Any]]:
    """The base views: type, model, arch, priority."""
    listed = "list" if version >= 18 else "tree"
    form = (
        "<form><header><field name='stage_id'/></header><sheet><h1><field name='name'/></h1>"
        "<group><group><field name='user_id'/></group></group>"
        "<notebook><page><field name='description'/></page></notebook></sheet></form>"
    )
    quick = "<form><sheet><group><field name='name'/></group></sheet></form>"
    return [
        _view("crm.lead", "form", form),
        _view("crm.lead", "form", quick, 1000),
        _view("crm.lead", listed, f"<{listed}><field name='name'/></{listed}>"),
        _view("crm.lead", "kanban", _CARD_18 if version >= 18 else _CARD_11, 1),
        _view("crm.lead", "search", "<search><field name='name'/></search>"),
        _view("res.partner", "form", form.replace("stage_id", "name").replace("description", "comment"), 1),
        _view("res.partner", "form", form.replace("stage_id", "name").replace("description", "comment"), 20),
    ]


_CARD_11 = (
    "<kanban><field name='stage_id'/><templates><t t-name='kanban-box'>"
    "<div t-attf-class='oe_kanban_global_click'><div class='oe_kanban_content'><field name='name'/>"
    "<div class='o_kanban_record_bottom'><field name='priority'/></div></div></div></t></templates></kanban>"
)
_CARD_18 = (
    "<kanban><field name='stage_id'/><templates><t t-name='menu'/><t t-name='card'><field name='name'/>"
    "<footer><field name='priority'/></footer></t></templates></kanban>"
)


def _view(model: str, kind: str, arch: str, priority: int = 16) -> dict[str, Any]:
    return {"model": model, "type": kind, "arch": arch, "priority": priority, "name": f"{model}.{kind}"}
