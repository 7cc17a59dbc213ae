"""The Metadata API's SOAP side: CustomField and PermissionSet, upsert, read and delete.

Bodies are shaped after recorded ones (`amp_labs/metadata`).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any
from xml.sax.saxutils import escape

from tests.vendors.salesforce.org import ADMIN, Org, digest

NS = "{http://soap.sforce.com/2006/04/metadata}"
SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
KIND = "{http://www.w3.org/2001/XMLSchema-instance}type"
TYPES = {
    "Number": "double",
    "Text": "string",
    "LongTextArea": "textarea",
    "DateTime": "datetime",
    "Checkbox": "boolean",
    "Picklist": "picklist",
}


def handle(org: Org, body: bytes, headers: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
    root = ET.fromstring(body)
    session = root.findtext(f"{SOAP}Header/{NS}SessionHeader/{NS}sessionId")
    if "soapaction" not in headers or not headers.get("content-type", "").startswith("text/xml"):
        return fault("sf:UNSUPPORTED", "a SOAP request has a SOAPAction and is text/xml")
    if session not in org.tokens:
        return fault("sf:INVALID_SESSION_ID", "INVALID_SESSION_ID: Invalid Session ID found in SessionHeader")
    if org.tokens[session] != ADMIN:
        return fault(
            "sf:INSUFFICIENT_ACCESS",
            "INSUFFICIENT_ACCESS: use of the Metadata API requires a user "
            "with the ModifyAllData or ModifyMetadata permissions",
        )
    operation = root.find(f"{SOAP}Body")[0]  # type: ignore[index]
    name = operation.tag.removeprefix(NS)
    if len(operation) > 10 + (name != "upsertMetadata"):
        return fault(
            "sf:EXCEEDED_ID_LIMIT",
            "EXCEEDED_ID_LIMIT: record limit reached. cannot submit more than 10 records",
        )
    results = {"upsertMetadata": upsert, "readMetadata": read, "deleteMetadata": delete}[name](org, operation)
    if name == "readMetadata":
        results = [f"<result>{''.join(results)}</result>"]
    return (
        200,
        envelope(f"<{name}Response>{''.join(results)}</{name}Response>"),
        {"Content-Type": "text/xml;charset=UTF-8"},
    )


def envelope(inner: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
        'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns="http://soap.sforce.com/2006/04/metadata" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<soapenv:Body>{inner}</soapenv:Body></soapenv:Envelope>"
    ).encode()


def fault(code: str, text: str) -> tuple[int, Any, dict[str, str]]:
    inner = f"<soapenv:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring></soapenv:Fault>"
    return 500, envelope(inner), {"Content-Type": "text/xml;charset=UTF-8"}


def result(full_name: str, *, created: bool | None = None, error: tuple[str, str] | None = None) -> str:
    inner = "" if created is None else f"<created>{str(created).lower()}</created>"
    if error:
        inner += f"<errors><message>{escape(error[1])}</message><statusCode>{error[0]}</statusCode></errors>"
    return (
        f"<result>{inner}<fullName>{full_name}</fullName><success>{str(not error).lower()}</success></result>"
    )


def text(component: ET.Element, name: str, default: str = "") -> str:
    return component.findtext(f"{NS}{name}") or default


def upsert(org: Org, operation: ET.Element) -> list[str]:
    results = []
    for component in operation.findall(f"{NS}metadata"):
        kind = (component.get(KIND) or "").rpartition(":")[2]
        if kind == "CustomField":
            results.append(upsert_field(org, component))
        elif kind == "PermissionSet":
            results.append(upsert_set(org, component))
        else:
            results.append(result(text(component, "fullName"), error=("INVALID_TYPE", kind)))
    return results


def upsert_field(org: Org, component: ET.Element) -> str:
    full_name = text(component, "fullName")
    sobject, _, name = full_name.partition(".")
    kind = text(component, "type")
    if sobject not in org.fields:
        return result(full_name, created=False, error=("INVALID_CROSS_REFERENCE_KEY", f"no object {sobject}"))
    if kind not in TYPES:
        return result(full_name, created=False, error=("INVALID_FIELD", f"the stand-in has no {kind}"))
    if kind == "Checkbox" and component.find(f"{NS}required") is not None:
        said = "Can not specify 'required' for a CustomField of type Checkbox"
        return result(full_name, created=False, error=("FIELD_INTEGRITY_EXCEPTION", said))
    if kind == "Checkbox" and component.find(f"{NS}defaultValue") is None:
        said = "Must specify 'defaultValue' for a CustomField of type Checkbox"
        return result(full_name, created=False, error=("FIELD_INTEGRITY_EXCEPTION", said))
    if kind == "LongTextArea" and not (256 <= int(text(component, "length", "0")) <= 131_072):
        return result(full_name, created=False, error=("FIELD_INTEGRITY_EXCEPTION", "bad length"))
    there = org.fields[sobject].get(name)
    made = {
        **digest()["_defaults"],
        "name": name,
        "custom": True,
        "type": TYPES[kind],
        "length": int(text(component, "length", "255" if kind == "Picklist" else "0")),
        "precision": int(text(component, "precision", "0")),
        "scale": int(text(component, "scale", "0")),
        "restrictedPicklist": text(component, "valueSet/" + NS + "restricted") == "true",
        "picklistValues": [
            {"value": value.findtext(f"{NS}fullName"), "active": True}
            for value in component.iterfind(f"{NS}valueSet/{NS}valueSetDefinition/{NS}value")
        ],
        "nillable": kind != "Checkbox",
    }
    if there and there["type"] != made["type"]:
        said = f"Cannot change which type of field {name} is"
        return result(full_name, created=False, error=("FIELD_INTEGRITY_EXCEPTION", said))
    org.fields[sobject][name] = made
    org.definitions[full_name] = definition(component)
    if there is None:
        org.created.add(full_name)
        for row in org.rows[sobject].values():
            row[name] = False if kind == "Checkbox" else None
    return result(full_name, created=there is None)


def definition(component: ET.Element) -> str:
    """What reading the field gives: what was sent."""
    ET.register_namespace("", NS[1:-1])
    inner = "".join(ET.tostring(child, encoding="unicode") for child in component)
    return f'<records xsi:type="CustomField">{inner}</records>'


def upsert_set(org: Org, component: ET.Element) -> str:
    """What a set lists is what it grants: an entry that is left out is taken away."""
    full_name = text(component, "fullName")
    fields = {}
    for entry in component.iterfind(f"{NS}fieldPermissions"):
        field = text(entry, "field")
        sobject, _, name = field.partition(".")
        if name not in org.fields.get(sobject, {}):
            said = f"In field: field - no CustomField named {field} found"
            return result(full_name, created=False, error=("INVALID_CROSS_REFERENCE_KEY", said))
        fields[field] = {flag: text(entry, flag) == "true" for flag in ("readable", "editable")}
        if fields[field]["editable"] and not fields[field]["readable"]:
            return result(full_name, created=False, error=("FIELD_INTEGRITY_EXCEPTION", "edit needs read"))
    created = full_name not in org.sets
    former = org.sets.get(full_name, {"id": org.new_id("PermissionSet")})
    org.sets[full_name] = {
        **former,
        "label": text(component, "label"),
        "description": text(component, "description"),
        "fields": fields,
    }
    org.put(
        "PermissionSet", {"Id": former["id"], "Name": full_name, "Label": text(component, "label")}, ADMIN
    )
    return result(full_name, created=created)


def read(org: Org, operation: ET.Element) -> list[str]:
    records = []
    for wanted in operation.findall(f"{NS}fullNames"):
        if text(operation, "type") == "CustomField":
            records.append(org.definitions.get(wanted.text or "", '<records xsi:nil="true"/>'))
            continue
        found = org.sets.get(wanted.text or "")
        if text(operation, "type") != "PermissionSet" or found is None:
            records.append('<records xsi:nil="true"/>')
            continue
        entries = "".join(
            f"<fieldPermissions><editable>{str(flags['editable']).lower()}</editable><field>{field}</field>"
            f"<readable>{str(flags['readable']).lower()}</readable></fieldPermissions>"
            for field, flags in found["fields"].items()
        )
        records.append(
            f'<records xsi:type="PermissionSet"><fullName>{wanted.text}</fullName>'
            f"<description>{found['description']}</description>{entries}"
            f"<hasActivationRequired>false</hasActivationRequired><label>{found['label']}</label></records>"
        )
    return records


def delete(org: Org, operation: ET.Element) -> list[str]:
    results = []
    for wanted in operation.findall(f"{NS}fullNames"):
        full_name = wanted.text or ""
        if text(operation, "type") == "PermissionSet":
            found = org.sets.pop(full_name, None)
            if found:
                org.rows["PermissionSet"].pop(found["id"])
                org.assigned = {entry for entry in org.assigned if entry[0] != full_name}
                assignments = org.rows["PermissionSetAssignment"]
                for key in [key for key, row in assignments.items() if row["PermissionSetId"] == found["id"]]:
                    del assignments[key]
        else:
            sobject, _, name = full_name.partition(".")
            found = org.remove_field(sobject, name)
        said = ("INVALID_CROSS_REFERENCE_KEY", "This custom field does not exist or is not accessible")
        results.append(result(full_name, error=None if found else said))
    return results
