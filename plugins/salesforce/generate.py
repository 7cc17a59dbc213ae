"""Writes the source tree that an admin can deploy instead of running `crmbridge install`.

    python plugins/salesforce/generate.py

It follows from the catalogue: a test fails where the committed tree is not what this makes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from crmbridge.model.fields import CATALOGUE, salesforce_name
from crmbridge.writeback.salesforce.fields import MARK, field_children, placed
from crmbridge.writeback.salesforce.install import INTEGRATION, SETS

ROOT = Path(__file__).resolve().parent
MAIN = "force-app/main/default"
XMLNS = 'xmlns="http://soap.sforce.com/2006/04/metadata"'
API = "65.0"
BYPASS = "CRMBridge_Bypass_Automation"
"""A custom permission that the org's own flows, triggers and rules may ask for, to pass over our writes."""


def component(kind: str, children: list[tuple[str, str]]) -> str:
    inner = "".join(f"    <{tag}>{content}</{tag}>\n" for tag, content in children)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{kind} {XMLNS}>\n{inner}</{kind}>\n'


def files() -> Iterator[tuple[str, str]]:
    """Every file of the tree: its path and its text."""
    project = {
        "packageDirectories": [{"path": "force-app", "default": True, "package": "CRMBridge"}],
        "name": "crmbridge",
        "sourceApiVersion": API,
    }
    yield "sfdx-project.json", json.dumps(project, indent=2) + "\n"
    everything = list(placed(tuple(CATALOGUE)))
    for each in everything:
        children = [("fullName", each.name), *field_children(each)]
        yield (
            f"{MAIN}/objects/{each.sobject}/fields/{each.name}.field-meta.xml",
            component("CustomField", children),
        )
    about_it = f"Held by whom crmbridge writes as: automations may ask for it and do nothing. {MARK}"
    yield (
        f"{MAIN}/customPermissions/{BYPASS}.customPermission-meta.xml",
        component(
            "CustomPermission",
            [("description", about_it), ("isLicensed", "false"), ("label", "CRMBridge Bypass Automation")],
        ),
    )
    for name, (label, description, edits) in SETS.items():
        flags = f"<editable>{str(edits).lower()}</editable>"
        entries = [
            ("fieldPermissions", f"{flags}<field>{each.full_name}</field><readable>true</readable>")
            for each in sorted(everything, key=lambda each: each.full_name)
        ]
        about = [("description", f"{description} {MARK}"), *entries, ("hasActivationRequired", "false")]
        if name == INTEGRATION:
            bypass = f"<enabled>true</enabled><name>{BYPASS}</name>"
            about.insert(0, ("customPermissions", bypass))
        path = f"{MAIN}/permissionsets/{name}.permissionset-meta.xml"
        yield path, component("PermissionSet", [*about, ("label", label)])
    score, grade = salesforce_name("score"), salesforce_name("grade")
    yield (
        f"{MAIN}/objects/Lead/listViews/CRMBridge_Leads_to_Call.listView-meta.xml",
        component(
            "ListView",
            [
                ("fullName", "CRMBridge_Leads_to_Call"),
                *(("columns", column) for column in ("FULL_NAME", "LEAD.COMPANY", score, grade)),
                ("columns", salesforce_name("next_action")),
                ("filterScope", "Mine"),
                ("filters", f"<field>{grade}</field><operation>equals</operation><value>A,B</value>"),
                ("filters", "<field>LEAD.CONVERTED</field><operation>equals</operation><value>0</value>"),
                ("label", "Leads to call (CRMBridge)"),
            ],
        ),
    )


def main() -> None:
    for path, text in files():
        target = ROOT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
