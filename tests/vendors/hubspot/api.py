"""The API of the portal: each endpoint checks what HubSpot checks and answers as HubSpot answers."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.vendors.hubspot.portal import Json, Portal, Problem, Record, millis

Query = Mapping[str, list[str]]
Endpoint = Callable[["Api", list[str], Query, Json], tuple[int, Json]]
_ISO = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?Z)?")


def bad(message: str, **more: Any) -> Problem:
    return Problem(400, "VALIDATION_ERROR", message, **more)


class Api:
    """Answers requests on a portal. `handle` gets the path without the host."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self._found: tuple[object, list[Record]] = (None, [])

    def handle(self, method: str, path: str, query: Query, body: Json) -> tuple[int, Json]:
        """Status and body. Raises Problem."""
        for verb, pattern, endpoint in ROUTES:
            if verb == method and (match := pattern.fullmatch(path)):
                return endpoint(self, list(match.groups()), query, body)
        raise Problem(404, "OBJECT_NOT_FOUND", f"no such path: {method} {path}")

    # Objects

    def _kind(self, kind: str) -> str:
        switches = self.portal.switches
        if kind not in self.portal.records:
            raise bad(f"Unable to infer object type from: {kind}")
        if (kind == "leads" and not switches.leads) or (kind == "orders" and not switches.orders):
            if switches.lead_refusal == 403:
                raise Problem(
                    403,
                    "MISSING_SCOPES",
                    "This app hasn't been granted all required scopes to make this call.",
                    errors=[
                        {
                            "message": "One or more of the following scopes are required.",
                            "context": {"requiredGranularScopes": [f"crm.objects.{kind}.read"]},
                        }
                    ],
                )
            raise Problem(switches.lead_refusal, "VALIDATION_ERROR", f"no {kind} here")
        return kind

    def list(self, groups: list[str], query: Query, body: Json) -> tuple[int, Json]:
        kind = self._kind(groups[0])
        _known(query, "limit", "after", "properties", "propertiesWithHistory", "archived", "associations")
        history = _names(query, "propertiesWithHistory")
        limit = int(_one(query, "limit", "10"))
        if not 1 <= limit <= (50 if history else 100):
            raise bad(f"limit {limit} is not allowed")
        after = _one(query, "after", "0")
        if not after.isdigit():
            raise bad("invalid after")
        all_ = self.portal.live(kind, archived=_one(query, "archived", "false") == "true")
        start = bisect_left(all_, int(after), key=lambda each: int(each.id))
        page, beyond = all_[start : start + limit], all_[start + limit : start + limit + 1]
        asked = _names(query, "properties")
        self._shown(asked)
        answer: Json = {"results": [self.portal.shown(kind, each, asked, history) for each in page]}
        if beyond:
            answer["paging"] = {"next": {"after": beyond[0].id, "link": "https://api.hubapi.com/next"}}
        return 200, answer

    def batch_read(self, groups: list[str], query: Query, body: Json) -> tuple[int, Json]:
        kind = self._kind(groups[0])
        _known(query, "archived")
        _only(body, "inputs", "properties", "propertiesWithHistory", "idProperty")
        history = body.get("propertiesWithHistory") or []
        inputs = _inputs(body, 50 if history else 100)
        found: dict[str, Record] = {}
        missing = []
        for each in inputs:
            identifier = _text(each, "id")
            merged = self.portal.merged[kind].get(identifier)
            if merged is not None and self.portal.switches.merged_redirects:
                identifier = merged
            record = self.portal.records[kind].get(identifier)
            if record is None or record.archived is not None:
                missing.append(identifier)
            else:
                found[identifier] = record
        asked = body.get("properties") or []
        self._shown(asked)
        results = [self.portal.shown(kind, each, asked, history) for each in found.values()]
        return self._batch(results, [_not_found(kind, missing)] if missing else [])

    def _batch(self, results: Sequence[Json], errors: Sequence[Json], status: int = 200) -> tuple[int, Json]:
        now = "2026-06-01T12:00:00.000Z"
        answer: Json = {"status": "COMPLETE", "results": list(results), "startedAt": now, "completedAt": now}
        if errors:
            return 207, {**answer, "errors": list(errors), "numErrors": len(errors)}
        return status, answer

    def search(self, groups: list[str], query: Query, body: Json) -> tuple[int, Json]:
        kind = self._kind(groups[0])
        _only(body, "filterGroups", "sorts", "properties", "limit", "after", "query")
        if len(json.dumps(body)) > 3_000:
            raise bad("the query is too long")
        limit, after = int(body.get("limit", 10)), int(body.get("after", 0))
        if not 1 <= limit <= 200:
            raise bad("limit")
        if after + limit > 10_000:
            raise bad("The total number of results is limited to 10,000")
        groups_ = body.get("filterGroups") or []
        if len(groups_) > 5 or any(len(group["filters"]) > 6 for group in groups_):
            raise bad("too many filters")
        sorts = [
            {"propertyName": each, "direction": "ASCENDING"} if isinstance(each, str) else each
            for each in body.get("sorts") or []
        ]
        if len(sorts) > 1:
            raise bad("only one sort")
        found = self._searched(kind, groups_, sorts)
        page = found[after : after + limit]
        asked = body.get("properties") or []
        answer: Json = {
            "total": len(found),
            "results": [self.portal.shown(kind, each, asked) for each in page],
        }
        at_end = after + limit >= 10_000 and self.portal.switches.last_search_page_ends
        if after + limit < len(found) and not at_end:
            answer["paging"] = {"next": {"after": str(after + limit)}}
        return 200, answer

    def _shown(self, asked: Sequence[str]) -> None:
        """Refuses what may not be shown."""
        switches = self.portal.switches
        refused = sorted(switches.refused_properties & set(asked))
        if refused:
            context = {"propertyName": refused} if switches.names_refused else {}
            error = {"message": "no access to a sensitive property", "context": context}
            raise Problem(403, "MISSING_SCOPES", "This app may not read a property.", errors=[error])

    def _searched(self, kind: str, groups: Sequence[Json], sorts: Sequence[Json]) -> list[Record]:
        """All that pass, in order; kept for the next page of the same search."""
        lag = self.portal.switches.search_lag
        asked = json.dumps([kind, groups, sorts, self.portal.version])
        if self._found[0] == asked and not lag:
            return self._found[1]
        horizon = self.portal.clock() - lag
        found = [
            each
            for each in self.portal.live(kind)
            if each.updated <= horizon
            and (not groups or any(self._passes(kind, each, group["filters"]) for group in groups))
        ]
        for sort in sorts:
            found.sort(
                key=lambda each: self._sortable(kind, each, sort["propertyName"]),
                reverse=sort.get("direction") == "DESCENDING",
            )
        self._found = asked, found
        return found

    def _comparable(self, name: str, text: str, *, sorting: bool) -> Any:
        switches = self.portal.switches
        if name == "hs_object_id":
            as_text = switches.ids_as_text if not switches.mixed_ids else sorting
            return text if as_text else int(text)
        if _ISO.fullmatch(text):
            return millis(datetime.fromisoformat(text).astimezone(UTC))
        return int(text) if text.isdigit() else text

    def _sortable(self, kind: str, record: Record, name: str) -> Any:
        return self._comparable(name, self.portal.value(kind, record, name) or "0", sorting=True)

    def _passes(self, kind: str, record: Record, filters: Sequence[Json]) -> bool:
        for each in filters:
            _only(each, "propertyName", "operator", "value")
            name, operator = _text(each, "propertyName"), _text(each, "operator")
            if name not in self.portal.properties[kind]:
                raise bad(f"There was a problem with the request: property {name}")
            if name.endswith("lastmodifieddate") and int(_text(each, "value")) <= 0:
                raise Problem(500, "INTERNAL_ERROR", "internal error")
            held = self.portal.value(kind, record, name)
            if held is None:
                return False
            left = self._comparable(name, held, sorting=False)
            right = self._comparable(name, _text(each, "value"), sorting=False)
            tests = {"EQ": left == right, "GT": left > right, "GTE": left >= right, "LT": left < right}
            if operator not in tests:
                raise bad(f"operator {operator}")
            if not tests[operator]:
                return False
        return True

    def batch_update(self, groups: list[str], query: Query, body: Json) -> tuple[int, Json]:
        kind = self._kind(groups[0])
        _only(body, "inputs")
        inputs = _inputs(body, 100)
        if self.portal.switches.trace_refused and any("objectWriteTraceId" in each for each in inputs):
            raise bad('Invalid input JSON: Unrecognized field "objectWriteTraceId"')
        ids = [_text(each, "id") for each in inputs]
        twice = sorted({each for each in ids if ids.count(each) > 1})
        if twice:
            raise bad(
                f"Duplicate IDs found in batch input: [{', '.join(twice)}]. IDs must be unique",
                context={"ids": twice},
            )
        traces = [each.get("objectWriteTraceId") for each in inputs]
        traced = (
            self.portal.switches.trace_on_update and None not in traces and len(set(traces)) == len(traces)
        )
        errors: list[Json] = []
        missing: list[str] = []
        good: list[tuple[str, Mapping[str, str]]] = []
        for each in inputs:
            _only(each, "id", "properties", "idProperty", "objectWriteTraceId")
            identifier = self.portal.merged[kind].get(each["id"], each["id"])
            record = self.portal.records[kind].get(identifier)
            if record is None or record.archived is not None:
                missing.append(each["id"])
                continue
            problems = self._problems(kind, identifier, each["properties"])
            if not problems:
                good.append((identifier, each["properties"]))
            elif traced:
                first = problems[0]
                context = {"objectWriteTraceId": [each["objectWriteTraceId"]], **first.get("context", {})}
                errors.append(
                    {"status": "error", "category": "VALIDATION_ERROR", **first, "context": context}
                )
            else:
                told = json.dumps(
                    [{"isValid": False, "message": one["message"], "error": one["code"]} for one in problems]
                )
                raise bad(f"Property values were not valid: {told}", errors=problems)
        for identifier, properties in good:
            self.portal.set(kind, identifier, properties, source="INTEGRATION")
        results = [
            self.portal.shown(kind, self.portal.records[kind][each], properties) for each, properties in good
        ]
        results.reverse()  # not in the order of the inputs
        return self._batch(results, errors + ([_not_found(kind, missing)] if missing else []))

    def _problems(self, kind: str, identifier: str, properties: Mapping[str, Any]) -> list[Json]:
        if identifier in self.portal.rejects:
            code = self.portal.rejects[identifier]
            return [{"message": "a rule of the admin refuses this record", "code": code}]
        found = []
        for name, value in properties.items():
            known = self.portal.properties[kind].get(name)
            if known is None:
                problem = "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist'
            elif not isinstance(value, str):
                raise bad(f"{name} is not a text")
            elif known["modificationMetadata"]["readOnlyValue"]:
                problem = "READ_ONLY_VALUE", f'"{name}" is a read only property; its value cannot be set.'
            else:
                wrong = _wrong(known, value)
                if wrong is None:
                    continue
                problem = wrong, f"{value!r} was not valid"
            found.append({"message": problem[1], "code": problem[0], "context": {"propertyName": [name]}})
        return found

    # Properties

    def properties(self, groups: list[str], query: Query, body: Json) -> tuple[int, Json]:
        kind = self._kind(groups[0])
        _known(query, "archived", "dataSensitivity", "locale", "properties")
        archived = _one(query, "archived", "false") == "true"
        known = self.portal.archived_properties[kind] if archived else self.portal.properties[kind]
        return 200, {"results": list(known.values())}

    def create_properties(self, groups: list[str], query: Query, body: Json) -> tuple[int, Json]:
        kind = self._kind(groups[0])
        known = self.portal.properties[kind]
        made, errors = [], []
        for each in _inputs(body, 100):
            for name in ("name", "label", "type", "fieldType", "groupName"):
                _text(each, name)
            if each["groupName"] not in self.portal.groups[kind]:
                raise bad(f"Property group {each['groupName']} does not exist")
            if each["type"] == "enumeration" and not each.get("options"):
                raise bad("an enumeration needs options")
            if each["name"] in known:
                errors.append(
                    {
                        "status": "error",
                        "category": "OBJECT_ALREADY_EXISTS",
                        "subCategory": "Properties.PROPERTY_WITH_NAME_EXISTS",
                        "message": f"A property named '{each['name']}' already exists.",
                        "context": {"name": [each["name"]]},
                    }
                )
            elif len(known) >= self.portal.property_limit:
                raise Problem(400, "PROPERTY_LIMIT_REACHED", "the limit of properties is reached")
            else:
                former = self.portal.archived_properties[kind].pop(each["name"], None)
                if not self.portal.switches.restored_values:
                    for record in self.portal.records[kind].values():
                        record.properties.pop(each["name"], None)
                body_ = {**each, "type": former["type"]} if former else dict(each)
                kept = {key: value for key, value in body_.items() if key not in ("name", "type")}
                full = {**_definition(each["name"], body_["type"]), **kept}
                known[each["name"]] = full
                made.append(full)
        return self._batch(made, errors, 201)

    def delete_property(self, groups: list[str], query: Query, body: Json) -> tuple[int, Json]:
        kind, name = self._kind(groups[0]), groups[1]
        if name not in self.portal.properties[kind]:
            raise Problem(404, "OBJECT_NOT_FOUND", f"no property {name}")
        if name in self.portal.in_use:
            raise bad("is used by a workflow", subCategory="CANNOT_DELETE_PROPERTY_IN_USE")
        self.portal.archived_properties[kind][name] = self.portal.properties[kind].pop(name)
        return 204, {}

    def groups(self, groups: list[str], query: Query, body: Json) -> tuple[int, Json]:
        return 200, {"results": list(self.portal.groups[self._kind(groups[0])].values())}

    def create_group(self, groups: list[str], query: Query, body: Json) -> tuple[int, Json]:
        kind, name = self._kind(groups[0]), _text(body, "name")
        _text(body, "label")
        if name in self.portal.groups[kind]:
            raise Problem(409, "OBJECT_ALREADY_EXISTS", f"Property group {name} already exists")
        made = {"name": name, "label": body["label"], "displayOrder": 9, "archived": False}
        self.portal.groups[kind][name] = made
        return 201, made

    def delete_group(self, groups: list[str], query: Query, body: Json) -> tuple[int, Json]:
        kind, name = self._kind(groups[0]), groups[1]
        if name not in self.portal.groups[kind]:
            raise Problem(404, "OBJECT_NOT_FOUND", f"no group {name}")
        if any(each["groupName"] == name for each in self.portal.properties[kind].values()):
            raise bad("the group has active properties")
        del self.portal.groups[kind][name]
        return 204, {}

    # The rest

    def associations(self, groups: list[str], query: Query, body: Json) -> tuple[int, Json]:
        kind, to = self._kind(groups[0]), self._kind(groups[1])
        known = self.portal.associations.get((kind, to), {})
        results, errors = [], []
        for each in _inputs(body, 1_000):
            identifier = _text(each, "id")
            others = [
                other
                for other in known.get(identifier, [])
                if (record := self.portal.records[to].get(str(other["toObjectId"])))
                and record.archived is None
            ]
            if others:
                results.append({"from": {"id": identifier}, "to": others})
            else:
                errors.append(
                    {
                        "status": "error",
                        "category": "OBJECT_NOT_FOUND",
                        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                        "message": f"No {to} is associated with {kind} {identifier}.",
                        "context": {"fromObjectId": [identifier]},
                    }
                )
        return self._batch(results, errors)

    def all_pipelines(self, groups: list[str], query: Query, body: Json) -> tuple[int, Json]:
        return 200, {"results": self.portal.pipelines.get(self._kind(groups[0]), [])}

    def all_owners(self, groups: list[str], query: Query, body: Json) -> tuple[int, Json]:
        _known(query, "limit", "after", "archived", "email")
        archived = _one(query, "archived", "false") == "true"
        found = [each for each in self.portal.owners if each["archived"] == archived]
        at, limit = int(_one(query, "after", "0")), int(_one(query, "limit", "100"))
        answer: Json = {"results": found[at : at + limit]}
        if at + limit < len(found):
            answer["paging"] = {"next": {"after": str(at + limit)}}
        return 200, answer

    def account(self, groups: list[str], query: Query, body: Json) -> tuple[int, Json]:
        return 200, {
            "portalId": self.portal.portal_id,
            "accountType": "DEVELOPER_TEST",
            "timeZone": "US/Eastern",
            "companyCurrency": "USD",
            "additionalCurrencies": [],
            "utcOffset": "-04:00",
            "utcOffsetMilliseconds": -14_400_000,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        }


def _definition(name: str, kind: str) -> Json:
    from tests.vendors.hubspot.portal import definition

    return definition(name, kind)


def _routes() -> list[tuple[str, re.Pattern[str], Endpoint]]:
    objects = r"/crm/(?:objects/2026-0[39]|v3/objects)/([a-z]+)"
    properties = r"/crm/(?:properties/2026-0[39]|v3/properties)/([a-z]+)"
    associations = r"/crm/(?:associations/2026-0[39]|v4/associations)/([a-z]+)/([a-z]+)/batch/read"
    table: list[tuple[str, str, Endpoint]] = [
        ("GET", objects, Api.list),
        ("POST", objects + "/batch/read", Api.batch_read),
        ("POST", objects + "/batch/update", Api.batch_update),
        ("POST", objects + "/search", Api.search),
        ("GET", properties, Api.properties),
        ("POST", properties + "/batch/create", Api.create_properties),
        ("DELETE", properties + r"/(\w+)", Api.delete_property),
        ("GET", properties + "/groups", Api.groups),
        ("POST", properties + "/groups", Api.create_group),
        ("DELETE", properties + r"/groups/(\w+)", Api.delete_group),
        ("POST", associations, Api.associations),
        ("GET", r"/crm/(?:pipelines/2026-0[39]|v3/pipelines)/([a-z]+)", Api.all_pipelines),
        ("GET", r"/crm/(?:owners/2026-0[39]|v3/owners)/?", Api.all_owners),
        ("GET", r"/account-info/(?:2026-0[39]|v3)/details", Api.account),
    ]
    return [(method, re.compile(pattern), endpoint) for method, pattern, endpoint in table]


ROUTES = _routes()


def _known(query: Query, *names: str) -> None:
    unknown = sorted(set(query) - set(names))
    if unknown:
        raise bad(f"unknown parameters {unknown}")


def _only(body: Json, *names: str) -> None:
    unknown = sorted(set(body) - set(names))
    if unknown:
        raise bad(f"Invalid input JSON: unknown fields {unknown}")


def _one(query: Query, name: str, default: str) -> str:
    return query[name][0] if name in query else default


def _names(query: Query, name: str) -> list[str]:
    return [each for text in query.get(name, []) for each in text.split(",") if each]


def _text(body: Json, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise bad(f"Invalid input JSON: {name} must be a text")
    return value


def _inputs(body: Json, most: int) -> list[Json]:
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= most:
        raise bad(f"The maximum number of inputs supported in a batch request is {most}")
    return inputs


def _not_found(kind: str, ids: Sequence[str]) -> Json:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": f"Could not get some {kind.upper()} objects, they may be deleted or not exist.",
        "context": {"ids": list(ids)},
    }


def _wrong(known: Json, value: str) -> str | None:
    """The code with which HubSpot refuses a value of this property, or None."""
    if value == "":
        return None
    kind = known["type"]
    if kind == "number":
        try:
            float(value)
        except ValueError:
            return "INVALID_FLOAT"
    elif kind in ("enumeration", "bool"):
        allowed = [option["value"] for option in known["options"]] or (
            ["true", "false"] if kind == "bool" else []
        )
        if allowed and value not in allowed:
            return "INVALID_OPTION"
    elif kind == "datetime" and not (_ISO.fullmatch(value) or value.isdigit()):
        return "INVALID_DATE"
    return "INVALID_TEXT" if len(value) > 65_536 else None
