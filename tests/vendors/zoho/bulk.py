"""Bulk Read and Bulk Write of the stand-in."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from typing import Any

from tests.vendors.zoho.coql import id_key
from tests.vendors.zoho.org import Org, Request, show

Answer = tuple[int, Any, dict[str, str]]
READ_FIELDS = 200
WRITE_MODULES = ("Leads", "Contacts", "Accounts", "Deals", "Tasks")


def error(status: int, code: str, message: str = "", **details: Any) -> Answer:
    return status, {"code": code, "details": details, "message": message or code, "status": "error"}, {}


def answer(org: Org, request: Request, parts: list[str]) -> tuple[Answer, int]:
    """The answer and its credits."""
    match (request.method, parts):
        case ("POST", ["read"]):
            return _submit_read(org, request)
        case ("GET", ["read", job]):
            return _read_state(org, job), 1
        case ("GET", [("read" | "write") as kind, job, "result"]):
            return _result(org, kind, job), 1
        case ("POST", ["write"]):
            return _submit_write(org, request)
        case ("GET", ["write", job]):
            return _write_state(org, job), 1
    return error(404, "INVALID_URL_PATTERN"), 1


def _submit_read(org: Org, request: Request) -> tuple[Answer, int]:
    query = (request.json or {}).get("query") or {}
    begin = 0
    if "page_token" in query:
        if set(query) != {"page_token"} or f"bulk:{query['page_token']}" not in org.files:
            return error(400, "INVALID_DATA", api_name="page_token"), 1
        saved = json.loads(org.files[f"bulk:{query['page_token']}"])
        query, begin = saved["query"], saved["begin"]
    module = (query.get("module") or {}).get("api_name")
    if module not in org.modules or module == "DealHistory" or module in org.switches.closed:
        return error(400, "INVALID_MODULE", "the module name given seems to be invalid"), 1
    names = query.get("fields") or [each["api_name"] for each in org.modules[module].fields]
    if len(names) > READ_FIELDS:
        return error(400, "LIMIT_EXCEEDED", limit=READ_FIELDS), 1
    for name in names:
        known = name in ("id", "Id") or org.modules[module].field(name) is not None
        if not known or name in org.switches.bulk_hidden:
            return error(400, "INVALID_DATA", api_name=name), 1
    rows = org.visible(module, "both" if org.switches.bulk_shows_converted else "false")
    rows = sorted(rows, key=lambda row: id_key(row["id"]))
    size = org.switches.job_rows
    begin = begin or (int(query.get("page") or 1) - 1) * size
    part = rows[begin : begin + size]
    job = org.new_id()
    result: dict[str, Any] = {
        "page": begin // size + 1,
        "per_page": size,
        "count": len(part),
        "download_url": f"/crm/bulk/v8/read/{job}/result",
        "more_records": begin + size < len(rows),
    }
    if result["more_records"] and org.switches.page_tokens:
        org.files[f"bulk:{job}"] = json.dumps({"query": query, "begin": begin + size}).encode()
        result["next_page_token"] = job
    org.jobs[job] = {"state": 0, "result": result, "module": module}
    org.files[f"read:{job}"] = _csv(org, [name for name in names if name.lower() != "id"], part, job)
    details = {"id": job, "operation": "read", "state": "ADDED", "created_by": {"id": "1", "name": "Ada"}}
    details["created_time"] = show(org.now)
    row = {"status": "success", "code": "ADDED_SUCCESSFULLY", "message": "Added successfully."}
    return (201, {"data": [{**row, "details": details}], "info": {}}, {}), org.switches.bulk_read_credits


def _csv(org: Org, names: list[str], rows: list[dict[str, Any]], job: str) -> bytes:
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    lines.writerow([org.switches.id_header, *names])
    lines.writerows([row["id"], *(cell(row.get(name)) for name in names)] for row in rows)
    return zipped(f"{job}.csv", "﻿" + text.getvalue())


def zipped(name: str, text: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text.encode())
    return target.getvalue()


def cell(value: Any) -> str:
    """A value in Bulk Read's CSV: lookups are bare ids, booleans are words, lists are joined."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return str(value.get("id", ""))
    if isinstance(value, list):
        named = [each["name"] for each in value if isinstance(each, dict) and "name" in each]
        return ",".join(named) if named else ";".join(map(str, value))
    return str(show(value))


def _state(org: Org, looks: int) -> str:
    if looks >= org.switches.job_looks:
        return "COMPLETED"
    return "IN PROGRESS" if looks else "ADDED"


def _read_state(org: Org, job: str) -> Answer:
    if job not in org.jobs:
        return error(404, "RESOURCE_NOT_FOUND", resource=job)
    known = org.jobs[job]
    state = known.get("ends") or _state(org, known["state"])
    known["state"] += 0 if known.get("stuck") else 1
    row = {"id": job, "operation": "read", "state": state, "query": {"module": {"api_name": known["module"]}}}
    if state == "COMPLETED":
        row["result"] = known["result"]
    return 200, {"data": [row]}, {}


def _result(org: Org, kind: str, job: str) -> Answer:
    content = org.files.get(f"{kind}:{job}")
    if content is None:
        return error(404, "RESOURCE_NOT_FOUND", resource=job)
    return 200, content, {"Content-Disposition": f"attachment; filename={job}.zip"}


def upload(org: Org, request: Request) -> Answer:
    """The upload server: one ZIP with one CSV."""
    if request.headers.get("feature") != "bulk-write":
        return error(400, "INVALID_DATA", "feature")
    if request.headers.get("x-crm-org") != org.zgid:
        return error(400, "INVALID_DATA", "the org id given seems to be invalid")
    start, end = request.body.find(b"PK"), request.body.rfind(b"\r\n--")
    content = request.body[start:end]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = archive.namelist()
        size = archive.getinfo(name).file_size
    if len(content) > 25_000_000 or size > 250_000_000:
        return error(400, "INVALID_DATA", "file size")
    file_id = org.new_id()
    org.files[f"upload:{file_id}"] = content
    details = {"file_id": file_id, "created_time": show(org.now)}
    row = {"status": "success", "code": "FILE_UPLOAD_SUCCESS", "message": "file uploaded."}
    return 200, {**row, "details": details}, {}


def _submit_write(org: Org, request: Request) -> tuple[Answer, int]:
    from tests.vendors.zoho.api import write

    body = request.json
    (resource,) = body["resource"]
    module = resource["module"]["api_name"]
    content = org.files.get(f"upload:{resource['file_id']}")
    if content is None:
        return error(400, "INVALID_DATA", api_name="file_id"), 1
    if module not in WRITE_MODULES or body["operation"] != "update" or resource.get("find_by") != "id":
        return error(400, "INVALID_DATA", api_name="module"), 1
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    header, *lines = csv.reader(io.StringIO(text, newline=""))
    if len(lines) > org.switches.job_lines:
        return error(400, "LIMIT_EXCEEDED", limit=org.switches.job_lines), 1
    names = {each["index"]: each["api_name"] for each in resource["field_mappings"]}
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([*header[:3], "STATUS", "RECORD_ID", "ERRORS"])
    updated = 0
    for line in lines:
        values = {names[place]: _value(org, module, names[place], text) for place, text in enumerate(line)}
        if resource.get("ignore_empty"):
            values = {name: value for name, value in values.items() if value is not None}
        row = write(org, module, values, 0)
        good = row["code"] == "SUCCESS"
        updated += good
        org.workflows += good and org.switches.jobs_fire
        errors = "" if good else f"{row['code']}-{row['details'].get('api_name', 'id')}"
        writer.writerow([*line[:3], "UPDATED" if good else "SKIPPED", line[0] if good else "", errors])
    job = org.new_id()
    org.jobs[job] = {"state": 0, "resource": {**resource, "updated": updated}, "total": len(lines)}
    org.files[f"write:{job}"] = zipped(f"{module}-bulkwrite.csv", out.getvalue())
    row = {"status": "success", "code": "SUCCESS", "message": "success"}
    return (201, {**row, "details": {"id": job, "created_by": {"id": "1"}}}, {}), 500


def _value(org: Org, module: str, name: str, text: str) -> Any:
    if name == "id":
        return text
    if text == "":
        return None
    kind = (org.modules[module].field(name) or {}).get("data_type")
    if kind in ("double", "integer"):
        return float(text)
    return text == "true" if kind == "boolean" else text


def _write_state(org: Org, job: str) -> Answer:
    if job not in org.jobs:
        return error(404, "RESOURCE_NOT_FOUND", resource=job)
    known = org.jobs[job]
    state = ("ADDED", "INPROGRESS", "COMPLETED")[min(known["state"], 2)]
    known["state"] += 0 if known.get("stuck") else 1
    body: dict[str, Any] = {"status": state, "id": job, "operation": "update", "character_encoding": "UTF-8"}
    if state == "COMPLETED":
        body["result"] = {"download_url": f"/crm/bulk/v8/write/{job}/result"}
    return 200, body, {}
