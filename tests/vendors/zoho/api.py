"""The answers of the stand-in: one function per operation of /crm/v8."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.vendors.zoho import bulk
from tests.vendors.zoho.coql import CoqlError, Query, id_key, key
from tests.vendors.zoho.metadata import STAGES, field
from tests.vendors.zoho.org import Org, Request, module_flags, show

Answer = tuple[int, Any, dict[str, str]]
PROFILE = "4876000000000801"
CUSTOMIZE = "Crm_Implied_Customize_Zoho_CRM"
WRITABLE = {"double", "integer", "text", "textarea", "picklist", "datetime", "boolean"}


class Refuse(Exception):
    """An error of the whole request."""

    def __init__(self, status: int, code: str, message: str = "", **details: Any) -> None:
        self.status = status
        self.body = {"code": code, "details": details, "message": message or code, "status": "error"}
        super().__init__(code)


def answer(org: Org, request: Request) -> tuple[Answer, int]:
    """The answer to a signed request, and the credits it costs."""
    parts = request.path.strip("/").split("/")
    if parts[:2] == ["crm", "bulk"] and parts[2] == "v8":
        _scope(org, "bulk")
        return bulk.answer(org, request, parts[3:])
    if parts[:2] != ["crm", "v8"]:
        raise Refuse(404, "INVALID_URL_PATTERN", "Please check if the URL trying to access is a correct one")
    match (request.method, parts[2:]):
        case ("GET", ["org"]):
            _scope(org, "org")
            return ok(_organisation(org)), 1
        case ("GET", ["users"]):
            _scope(org, "users")
            return _users(org, request), 1
        case ("GET", ["settings", "modules"]):
            _scope(org, "settings")
            listed = [name for name in org.modules if name not in org.switches.unlisted]
            return ok({"modules": [module_flags(name) for name in listed]}), 1
        case ("GET", ["settings", "profiles", profile]):
            _scope(org, "profiles")
            return ok(_profile(org, profile)), 1
        case ("GET", ["settings", "layouts"]):
            return ok({"layouts": [{"id": "4876000000000091055", "name": "Standard"}]}), 1
        case ("GET", ["settings", "pipeline"]):
            return _pipeline(request), 1
        case (_, ["settings", "fields", *rest]):
            _scope(org, "settings")
            return _fields(org, request, rest), 1
        case ("POST", ["coql"]):
            _scope(org, "coql")
            return _coql(org, request)
        case ("POST", ["upload"]):
            _scope(org, "files")
            return bulk.upload(org, request), 1
        case ("GET", [module, "actions", "count"]):
            _scope(org, "modules")
            return _count(org, _module(org, module), request), 1
        case ("GET", [module, "deleted"]):
            return _deleted(org, _module(org, module), request), 1
        case ("GET", [module]):
            _scope(org, "modules")
            return _list(org, _module(org, module), request), 1
        case ("PUT", [module]):
            _scope(org, "modules")
            return _put(org, _module(org, module), request)
    raise Refuse(404, "INVALID_URL_PATTERN", "Please check if the URL trying to access is a correct one")


def ok(body: Any, status: int = 200) -> Answer:
    return status, body, {}


def empty(status: int = 204) -> Answer:
    return status, None, {}


def _scope(org: Org, name: str) -> None:
    if name not in org.switches.scopes:
        raise Refuse(401, "OAUTH_SCOPE_MISMATCH", "Unauthorized")


def _module(org: Org, name: str) -> str:
    if name not in org.modules:
        raise Refuse(
            400, "INVALID_MODULE", "the module name given seems to be invalid", resource_path_index=0
        )
    if name in org.switches.closed:
        raise Refuse(403, "NO_PERMISSION", "permission denied", permissions=[f"Crm_Implied_View_{name}"])
    return name


def _organisation(org: Org) -> dict[str, Any]:
    licence = {
        "paid": True,
        "paid_type": org.edition,
        "trial_type": None,
        "users_license_purchased": org.users_bought,
        "paid_expiry": None,
        "trial_expiry": None,
    }
    found = {
        "id": "4876000000000001",
        "zgid": org.zgid,
        "company_name": "Zylker",
        "time_zone": "Asia/Kolkata",
        "iso_code": "EUR",
        "license_details": licence,
    }
    return {"org": [found]}


def _count(org: Org, module: str, request: Request) -> Answer:
    if not org.switches.counts:
        raise Refuse(404, "INVALID_URL_PATTERN", "Please check if the URL trying to access is a correct one")
    return ok({"count": len(org.visible(module, request.query.get("converted", "false")))})


def _profile(org: Org, identifier: str) -> dict[str, Any]:
    if identifier != PROFILE:
        raise Refuse(400, "INVALID_DATA", "the id given seems to be invalid", resource_path_index=2)
    names = ["Crm_Implied_View_Leads", "Crm_Implied_Edit_Leads", CUSTOMIZE]
    details = [
        {
            "name": name,
            "id": f"48760000000{place:05}",
            "enabled": name != CUSTOMIZE or org.switches.customizes,
        }
        for place, name in enumerate(names)
    ]
    moments = {"created_time": None, "modified_time": None, "type": "normal_profile", "custom": False}
    names_of = {"api_name": "Administrator", "name": "Administrator", "display_label": "Administrator"}
    return {"profiles": [{"id": identifier, **names_of, **moments, "permissions_details": details}]}


def _users(org: Org, request: Request) -> Answer:
    kinds = {
        "AllUsers": lambda user: user["status"] != "deleted",
        "DeactiveUsers": lambda user: user["status"] == "disabled",
        "DeletedUsers": lambda user: user["status"] == "deleted",
        "ActiveUsers": lambda user: user["status"] == "active",
        "CurrentUser": lambda user: user["id"] == "4876000000001001",
    }
    kind = request.query.get("type", "AllUsers")
    if kind not in kinds:
        raise Refuse(400, "INVALID_DATA", "invalid data", param_name="type")
    found = [user for user in org.users if kinds[kind](user)]
    page, size = int(request.query.get("page", 1)), int(request.query.get("per_page", 200))
    shown = found[(page - 1) * size : page * size]
    if not shown:
        return empty()
    more = page * size < len(found)
    return ok(
        {"users": shown, "info": {"per_page": size, "count": len(shown), "page": page, "more_records": more}}
    )


def _pipeline(request: Request) -> Answer:
    if not request.query.get("layout_id"):
        raise Refuse(400, "REQUIRED_PARAM_MISSING", "required param is missing", param_name="layout_id")
    maps = [
        {
            "display_value": name,
            "actual_value": name,
            "sequence_number": place,
            "forecast_type": kind,
            "forecast_category": {"name": "Pipeline", "id": "4876000000000111"},
            "id": f"48760000000{place:05}",
        }
        for place, (name, kind) in enumerate(STAGES, start=1)
    ]
    standard = {"display_value": "Standard", "actual_value": "Standard", "default": True, "id": "48760000009"}
    return ok({"pipeline": [{**standard, "maps": maps}]})


# -- fields --


def _fields(org: Org, request: Request, rest: list[str]) -> Answer:
    name = request.query.get("module")
    if not name:
        raise Refuse(400, "REQUIRED_PARAM_MISSING", "required param is missing", param_name="module")
    module = org.modules[_module(org, name)]
    if request.method == "GET" and name in org.switches.undescribed:
        return empty()
    if request.method == "GET":
        found = [each for each in module.fields if not rest or each["id"] == rest[0]]
        return ok({"fields": [shown for each in found if (shown := dict(each)).pop("hidden", None) is None]})
    if request.method == "DELETE" and rest:
        target = next((each for each in module.fields if each["id"] == rest[0]), None)
        if target is None or not target["custom_field"]:
            raise Refuse(400, "INVALID_DATA", "invalid data", resource_path_index=2)
        module.fields.remove(target)
        for row in module.rows.values():
            row.pop(target["api_name"], None)
        row = {"code": "SUCCESS", "details": {"id": rest[0]}, "message": "field deleted", "status": "success"}
        return ok({"fields": [row]})
    if request.method != "POST":
        raise Refuse(400, "INVALID_REQUEST_METHOD")
    if not org.switches.customizes:
        raise Refuse(403, "NO_PERMISSION", "permission denied", permissions=[CUSTOMIZE])
    wanted = request.json["fields"]
    if len(wanted) > 5:
        raise Refuse(400, "LIMIT_EXCEEDED", "limit exceeded", limit=5)
    rows = [_create(org, module, each, place) for place, each in enumerate(wanted)]
    good = sum(row["code"] == "SUCCESS" for row in rows)
    return ok({"fields": rows}, 201 if good == len(rows) else 207 if good else 400)


def _create(org: Org, module: Any, wanted: dict[str, Any], place: int) -> dict[str, Any]:
    def refuse(code: str, **details: Any) -> dict[str, Any]:
        return {"code": code, "details": details, "message": code.lower(), "status": "error"}

    label, kind = wanted.get("field_label", ""), wanted.get("data_type")
    if "api_name" in wanted or not label or len(label) > org.switches.label_length:
        return refuse("INVALID_DATA", api_name="field_label", json_path=f"$.fields[{place}].field_label")
    if kind not in WRITABLE:
        return refuse("INVALID_DATA", api_name="data_type", json_path=f"$.fields[{place}].data_type")
    if any(each["field_label"] == label for each in module.fields):
        return refuse("DUPLICATE_DATA", api_name="field_label", json_path=f"$.fields[{place}].field_label")
    if sum(each["custom_field"] for each in module.fields) >= org.switches.custom_fields:
        return refuse("LIMIT_EXCEEDED", limit=org.switches.custom_fields)
    number = int(org.new_id()[-5:])
    name = label.replace(" ", "_") + ("1" if org.switches.suffixed_names else "")
    small = {"textarea": 2_000 if (wanted.get("textarea") or {}).get("type") == "small" else 32_000}
    made = field(number, name, kind, label, custom_field=True)
    made["profiles"] = [{"id": PROFILE, "name": "Administrator", "permission_type": "read_write"}]
    made["length"] = small.get(kind, wanted.get("length", made["length"]))
    made["decimal_place"] = wanted.get("decimal_place")
    made["pick_list_values"] = wanted.get("pick_list_values", [])
    module.fields.append(made)
    return {"code": "SUCCESS", "details": {"id": made["id"]}, "message": "field created", "status": "success"}


# -- records --


def _coql(org: Org, request: Request) -> tuple[Answer, int]:
    text = (request.json or {}).get("select_query")
    if not text:
        raise Refuse(400, "MANDATORY_NOT_FOUND", "mandatory key not found", api_name="select_query")
    try:
        query = Query(text)
        if query.module not in org.modules:
            raise CoqlError("INVALID_MODULE", "the given module is not supported in api")
        if query.module in org.switches.closed:
            raise CoqlError("NO_PERMISSION", "permission denied")
        if query.limit > org.switches.coql_limit:
            raise CoqlError("LIMIT_EXCEEDED", "limit exceeded", limit=org.switches.coql_limit)
        if len(query.columns) > org.switches.coql_columns:
            raise CoqlError("LIMIT_EXCEEDED", "limit exceeded", limit=org.switches.coql_columns)
        module = org.modules[query.module]
        for name in [*query.columns, *query.where]:
            known = name == "id" or (module.field(name) and "hidden" not in module.field(name))  # type: ignore[operator]
            known = known or (name == "$se_module" and org.switches.coql_se_module)
            if (not known or name in org.switches.coql_hidden) and not org.switches.coql_says_column:
                raise CoqlError("SYNTAX_ERROR", "error occured while parsing the query", near=name)
            if not known or name in org.switches.coql_hidden:
                raise CoqlError(
                    "INVALID_QUERY", "Invalid query formed", column_name=name, reason="unsupported column"
                )
        for name in query.where:
            if (module.field(name) or {}).get("data_type") == "textarea":
                raise CoqlError("INVALID_QUERY", "Invalid query formed", column_name=name)
    except CoqlError as error:
        return (400, error.body, {}), 1
    rows = org.visible(query.module, "both" if org.switches.coql_shows_converted else "false")
    rows = [row for row in rows if query.test(row)]
    for name, down in reversed(query.order or [("id", True)]):
        rows.sort(key=lambda row: id_key(row["id"]) if name == "id" else key(row.get(name)), reverse=down)
    found = rows[query.offset : query.offset + query.limit]
    credits = 1 if len(found) <= 200 else 2 if len(found) <= 1000 else 3
    if not found:
        return empty(), 1
    # Null columns are left out by COQL of some orgs, and lookups are ids alone.
    shown = [{name: _bare(value) for name, value in org.shown(row, query.columns).items()} for row in found]
    more = query.offset + query.limit < len(rows)
    return ok({"data": shown, "info": {"count": len(shown), "more_records": more}}), credits


def _bare(value: Any) -> Any:
    return {"id": value["id"]} if isinstance(value, dict) and "id" in value else value


def _list(org: Org, module: str, request: Request) -> Answer:
    query = request.query
    names = [name for name in query.get("fields", "").split(",") if name]
    if not names:
        raise Refuse(400, "REQUIRED_PARAM_MISSING", "required param is missing", param_name="fields")
    if len(names) > 50:
        raise Refuse(400, "LIMIT_EXCEEDED", "limit exceeded", limit=50, param_name="fields")
    size = int(query.get("per_page", 200))
    if not 1 <= size <= 200:
        raise Refuse(400, "INVALID_DATA", "invalid data", param_name="per_page")
    if "page" in query and "page_token" in query:
        raise Refuse(400, "AMBIGUITY_DURING_PROCESSING", "page and page_token")
    bound = json.dumps({k: v for k, v in query.items() if k not in ("page", "page_token")}, sort_keys=True)
    begin = (int(query.get("page", 1)) - 1) * size
    if "page_token" in query:
        token = org.files.get(f"token:{query['page_token']}")
        if token is None:
            raise Refuse(400, "EXPIRED_VALUE", "Page token expired", api_name="page_token")
        begin_text, _, of = token.decode().partition("|")
        if of != bound:
            raise Refuse(400, "TOKEN_BOUND_DATA_MISMATCH", "The page_token given seems to be invalid")
        begin = int(begin_text)
        if begin >= org.switches.list_rows:
            raise Refuse(400, "PAGINATION_LIMIT_EXCEEDED", "You can only get upto 100000 records")
    elif begin >= org.switches.numbered_rows:
        code, limit = "DISCRETE_PAGINATION_LIMIT_EXCEEDED", org.switches.numbered_rows
        raise Refuse(400, code, f"You can only get the first {limit}", limit=limit)
    rows = org.visible(module, query.get("converted", "false"))
    if "ids" in query:
        wanted = set(query["ids"].split(","))
        if len(query["ids"]) > 1024:
            raise Refuse(400, "LIMIT_EXCEEDED", "limit exceeded", param_name="ids")
        rows = [row for row in rows if row["id"] in wanted]
    since = _since(request)
    if since is not None:
        inclusive = timedelta(0) if org.switches.since_is_inclusive else timedelta(seconds=1)
        rows = [row for row in rows if row["Modified_Time"] >= since + inclusive]
        if not rows:
            return empty(304)
    name = query.get("sort_by", "id")
    if name not in ("id", "Created_Time", "Modified_Time"):
        raise Refuse(400, "INVALID_DATA", "invalid data", param_name="sort_by")
    down = query.get("sort_order", "desc") == "desc"
    rows.sort(key=lambda row: id_key(row["id"]))
    if name != "id":
        rows.sort(key=lambda row: row[name])
    if down:
        rows.reverse()
    found = rows[begin : begin + size]
    if not found:
        return empty()
    known = {each["api_name"] for each in org.modules[module].fields if "hidden" not in each}
    shown = [org.shown(row, [each for each in names if each in known]) for row in found]
    for each, row in zip(shown, found, strict=True):
        if org.switches.list_se_module and "$se_module" in row:
            each["$se_module"] = row["$se_module"]
    more = begin + size < len(rows)
    info: dict[str, Any] = {
        "per_page": size,
        "count": len(found),
        "page": begin // size + 1,
        "more_records": more,
    }
    info |= {"sort_by": name, "sort_order": "desc" if down else "asc"}
    info |= {"next_page_token": None, "previous_page_token": None, "page_token_expiry": None}
    if more and org.switches.page_tokens:
        token = f"t{len(org.files)}"
        org.files[f"token:{token}"] = f"{begin + size}|{bound}".encode()
        info["next_page_token"] = token
    return ok({"data": shown, "info": info})


def _since(request: Request) -> datetime | None:
    text = request.headers.get("if-modified-since")
    if text is None:
        return None
    return datetime.fromisoformat(text).astimezone(UTC)


def _deleted(org: Org, module: str, request: Request) -> Answer:
    if module == "DealHistory":
        raise Refuse(400, "INVALID_MODULE", "the module name given seems to be invalid")
    if request.query.get("type", "all") not in ("all", "recycle", "permanent"):
        raise Refuse(400, "INVALID_DATA", "invalid data", param_name="type")
    since = _since(request)
    rows = sorted(org.modules[module].deleted, key=lambda row: row["deleted_time"], reverse=True)
    rows = [row for row in rows if since is None or row["deleted_time"] >= since]
    if {"page", "page_token"} <= request.query.keys():
        raise Refuse(400, "AMBIGUITY_DURING_PROCESSING", "page and page_token")
    page = int(request.query.get("page_token") or request.query.get("page", 1))
    size = int(request.query.get("per_page", 200))
    if (page - 1) * size >= org.switches.deleted_rows:
        raise Refuse(400, "DISCRETE_PAGINATION_LIMIT_EXCEEDED", "no more pages")
    found = rows[(page - 1) * size : page * size]
    if not found:
        return empty(304 if since else 204)
    shown = [{name: show(value) for name, value in row.items()} for row in found]
    more = page * size < len(rows)
    info: dict[str, Any] = {"per_page": size, "count": len(found), "page": page, "more_records": more}
    if more and org.switches.deleted_tokens:
        info["next_page_token"] = str(page + 1)
    return ok({"data": shown, "info": info})


def _put(org: Org, module: str, request: Request) -> tuple[Answer, int]:
    body = request.json
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        raise Refuse(400, "MANDATORY_NOT_FOUND", "required field not found", api_name="data")
    data = body["data"]
    if len(data) > 100:
        raise Refuse(
            400, "LIMIT_EXCEEDED", "count of records in your request exceeds the limit", api_name="data"
        )
    rows = [write(org, module, each, place) for place, each in enumerate(data)]
    good = sum(row["code"] == "SUCCESS" for row in rows)
    if body.get("trigger") != []:
        org.workflows += good
    if {"name": "cadences"} not in (body.get("skip_feature_execution") or []):
        org.cadences += good
    status = 200 if good == len(rows) else 207 if good else 400
    return (status, {"data": rows}, {}), max(1, -(-len(data) // 10))


def write(org: Org, module: str, values: dict[str, Any], place: int) -> dict[str, Any]:
    """Write one record; the row of the answer."""
    identifier = str(values.get("id", ""))
    path = f"$.data[{place}]"

    def refuse(code: str, message: str, **details: Any) -> dict[str, Any]:
        return {"code": code, "details": details, "message": message, "status": "error"}

    row = org.modules[module].rows.get(identifier)
    if not identifier:
        return refuse(
            "MANDATORY_NOT_FOUND", "required field not found", api_name="id", json_path=f"{path}.id"
        )
    if row is None:
        return refuse("INVALID_DATA", "the id given seems to be invalid", id=identifier)
    if identifier in org.rejected:
        code, details = org.rejected[identifier]
        return refuse(code, "not possible", **json.loads(json.dumps(details).replace("$PATH", path)))
    if identifier in org.locked:
        code = org.locked.pop(identifier)
        return refuse(code, "the record is locked", api_name="id", json_path=f"{path}.id")
    for name, value in values.items():
        problem = name != "id" and _problem(org, module, name, value)
        if problem:
            return refuse(
                "INVALID_DATA", "invalid data", api_name=name, json_path=f"{path}.{name}", **problem
            )
    changed = any(row.get(name) != value for name, value in values.items())
    if changed or org.switches.unchanged_put_bumps:
        row.update(values)
        row["Modified_Time"] = row["Last_Activity_Time"] = org.tick()
        row["Modified_By"] = {"name": "API", "id": "4876000000001001"}
    details = {
        "id": identifier,
        "Modified_Time": show(row["Modified_Time"]),
        "Created_Time": show(row["Created_Time"]),
        "Modified_By": {"name": "API", "id": "4876000000001001"},
        "Created_By": {"name": "API", "id": "4876000000001001"},
    }
    return {"code": "SUCCESS", "details": details, "message": "record updated", "status": "success"}


def _problem(org: Org, module: str, name: str, value: Any) -> dict[str, Any] | None:
    known = org.modules[module].field(name)
    if known is None or value is None:
        return None  # unknown fields are ignored
    kind = known["data_type"]
    if kind == "boolean" and not isinstance(value, bool):
        return {"expected_data_type": "boolean"}
    if kind in ("double", "integer") and (isinstance(value, bool) or not isinstance(value, (int, float))):
        return {"expected_data_type": kind}
    if kind == "datetime":
        try:
            good = datetime.fromisoformat(value).tzinfo is not None and not value.endswith("Z")
        except (TypeError, ValueError):
            good = False
        return None if good else {"expected_data_type": "datetime"}
    if kind in ("text", "textarea", "picklist") and not isinstance(value, str):
        return {"expected_data_type": "text"}
    if isinstance(value, str) and len(value) > known["length"]:
        return {"maximum_length": known["length"]}
    return None
