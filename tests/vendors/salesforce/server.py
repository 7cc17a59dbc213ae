"""The stand-in's HTTP side: REST, Bulk API 2.0, OAuth and the Metadata API, on loopback."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jwt

from tests.vendors.salesforce import metadata, soql
from tests.vendors.salesforce.org import ADMIN, INTEGRATION, ApiError, Fault, Job, Org

DATA = re.compile(r"^/services/data/v\d{2}\.0/(.*)$")
Answer = tuple[int, bytes, dict[str, str]]


def numbers_unquoted(text: str) -> bytes:
    """JSON with the numbers that stood in marks: no float in between."""
    return re.sub(r'"@@(-?[\d.E+]+)@@"', r"\1", text).encode()


def shown(value: Any, each: dict[str, Any], *, as_csv: bool) -> Any:
    """A value as the two APIs spell it: they differ in moments, and in how nothing looks."""
    kind = each["type"]
    if value is None:
        return "" if as_csv else None
    if kind == "datetime":
        return value[:19] + (".000Z" if as_csv else ".000+0000")
    if kind in ("double", "currency", "percent"):
        number = str(value) if isinstance(value, Decimal) else repr(float(value))
        if "." not in number and "E" not in number:
            number += ".0"
        return number if as_csv else f"@@{number}@@"
    if isinstance(value, bool):
        return str(value).lower() if as_csv else value
    return str(value) if as_csv else value


class Stand:
    """A running stand-in. `url` is what goes into the settings as `instance_url`."""

    def __init__(self, org: Org) -> None:
        self.org = org
        stand = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                stand.handle(self)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that went away is nothing to tell."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    # -- a request --

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self.org.lock:
            self.org.requests.append((handler.command, handler.path, headers, body))
            fault = self.org.fault_for(handler.command, handler.path, body)
            if fault is not None and fault.how == "drop":
                handler.close_connection = True
                return
            if fault is not None and fault.how == "answer":
                status, content, more = fault.status, fault.body, dict(fault.headers)
            else:
                status, content, more = self.answer(handler.command, handler.path, headers, body)
                for change in self.org.otherwise:
                    status, content, more = change(handler.path, status, content, more)
            if fault is not None and fault.how == "lost":
                handler.close_connection = True
                return
        self.send(handler, status, content, more, headers, fault)

    def send(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        content: bytes,
        more: dict[str, str],
        headers: dict[str, str],
        fault: Fault | None,
    ) -> None:
        if self.org.packs and "gzip" in headers.get("accept-encoding", "") and len(content) > 1_000:
            content, more = gzip.compress(content, 1), {**more, "Content-Encoding": "gzip"}
        handler.send_response_only(status)
        handler.send_header("Date", format_datetime(self.org.now, usegmt=True))
        for name, value in more.items():
            handler.send_header(name, value)
        if fault is not None and fault.how == "chunk_cut":
            handler.send_header("Transfer-Encoding", "chunked")
        elif status != 204:
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if fault is not None and fault.how in ("cut", "chunk_cut"):
            content, handler.close_connection = content[: len(content) // 2], True
        if fault is not None and fault.how == "chunk_cut":
            content = f"{len(content):x}\r\n".encode() + content + b"\r\nff\r\n"
        if status != 204:
            step = 40 if fault is not None and fault.how == "drip" else len(content) or 1
            for start in range(0, len(content), step):
                handler.wfile.write(content[start : start + step])
        handler.wfile.flush()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        try:
            status, found, more = self.route(method, path, headers, body)
        except ApiError as error:
            refusal = [{"message": error.message, "errorCode": error.code}]
            status, found, more = error.status, refusal, {}
        content = found if isinstance(found, bytes) else b""
        if found is not None and not isinstance(found, bytes):
            content = numbers_unquoted(json.dumps(found, ensure_ascii=False))
            more = {"Content-Type": "application/json;charset=UTF-8", **more}
        if path.startswith("/services/data/") and status != 204:
            more["Sforce-Limit-Info"] = f"api-usage={self.org.used}/{self.org.limit}"
        return status, content, more

    def route(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        parts = urlsplit(path)
        if len(path) > 16_384:
            raise ApiError(414, "URI_TOO_LONG", "URI Too Long")
        if parts.path == "/services/oauth2/token" and method == "POST":
            return self.token(body)
        if parts.path.startswith("/services/Soap/m/"):
            self.org.used += 1
            return metadata.handle(self.org, body, headers)
        user = self.signed_in(headers)
        if parts.path == "/services/oauth2/userinfo":
            return 200, {"user_id": user, "organization_id": self.org.id}, {}
        found = DATA.match(parts.path)
        if not found:
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
        self.org.used += 1
        if self.org.used > self.org.limit:
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        if method in ("POST", "PATCH") and not headers.get("content-type", "").startswith("application/json"):
            raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "Content type is not JSON")
        query = {
            name: values[0]
            for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()
        }
        for verb, pattern, action in self.routes():
            match = re.fullmatch(pattern, found[1])
            if match and verb == method:
                return action(user, query, headers, body, *map(unquote, match.groups()))
        raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")

    def routes(self) -> list[tuple[str, str, Callable[..., tuple[int, Any, dict[str, str]]]]]:
        return [
            ("GET", r"", self.root),
            ("GET", r"query/?", self.query),
            ("GET", r"tooling/query/?", self.tooling),
            ("GET", r"queryAll/?", self.query_all),
            ("GET", r"query/([\w-]+)", self.query_more),
            ("GET", r"sobjects/(\w+)/describe/?", self.describe),
            ("GET", r"sobjects/(\w+)/deleted/?", self.deleted),
            ("POST", r"sobjects/(\w+)/?", self.create),
            ("GET", r"limits/?", self.limits),
            ("PATCH", r"composite/sobjects/?", self.collections),
            ("POST", r"jobs/query/?", self.new_query_job),
            ("GET", r"jobs/query/(\w+)/?", self.job),
            ("GET", r"jobs/query/(\w+)/results/?", self.query_results),
            ("POST", r"jobs/ingest/?", self.new_ingest_job),
            ("GET", r"jobs/ingest/?", self.ingest_jobs),
            ("PUT", r"jobs/ingest/(\w+)/batches/?", self.upload),
            ("PATCH", r"jobs/ingest/(\w+)/?", self.close_job),
            ("GET", r"jobs/ingest/(\w+)/?", self.job),
            (
                "GET",
                r"jobs/ingest/(\w+)/(successfulResults|failedResults|unprocessed[rR]ecords)/?",
                self.ingest_results,
            ),
        ]

    # -- signing in --

    def token(self, body: bytes) -> tuple[int, Any, dict[str, str]]:
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        kind = form.get("grant_type")
        user = ADMIN if form.get("client_id") == "admin-app" else INTEGRATION
        refresh = None
        if kind in ("client_credentials", "refresh_token") and form.get("client_secret") != "hush":
            return 400, {"error": "invalid_client", "error_description": "invalid client credentials"}, {}
        if kind == "refresh_token":
            if form.get("refresh_token") not in self.org.refresh_tokens:
                return (
                    400,
                    {"error": "invalid_grant", "error_description": "expired access/refresh token"},
                    {},
                )
            if self.org.rotates:
                self.org.refresh_tokens = {f"refresh-{self.org.numbers['token'] + 1}"}
                (refresh,) = self.org.refresh_tokens
        elif kind == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            claims = jwt.decode(form["assertion"], options={"verify_signature": False})
            if not {"iss", "sub", "aud", "exp"} <= set(claims):
                return 400, {"error": "invalid_grant", "error_description": "claims are missing"}, {}
            if not 0 < claims["exp"] - self.org.now.timestamp() <= 300:
                return 400, {"error": "invalid_grant", "error_description": "expired authorization code"}, {}
        elif kind != "client_credentials":
            return (
                400,
                {"error": "unsupported_grant_type", "error_description": "grant type not supported"},
                {},
            )
        self.org.numbers["token"] += 1
        token = f"{self.org.id[:15]}!token{self.org.numbers['token']}"
        self.org.tokens[token] = user
        found = {
            "access_token": token,
            "instance_url": self.org.instance_url or self.url,
            "token_type": "Bearer",
            "id": f"{self.url}/id/x",
        }
        return 200, {**found, **({"refresh_token": refresh} if refresh else {})}, {}

    def signed_in(self, headers: dict[str, str]) -> str:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind != "Bearer" or token not in self.org.tokens:
            raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")
        return self.org.tokens[token]

    # -- REST --

    def root(self, user: str, *_: Any) -> tuple[int, Any, dict[str, str]]:
        identity = f"https://login.salesforce.com/id/{self.org.id}/{user}"
        return 200, {"identity": identity, "query": "/services/data/v65.0/query"}, {}

    def parsed(self, user: str, text: str) -> tuple[soql.Query, dict[str, dict[str, Any]]]:
        try:
            query = soql.parse(text)
        except soql.Malformed as error:
            raise ApiError(400, "MALFORMED_QUERY", str(error)) from error
        if not self.org.exists(query.sobject):
            raise ApiError(400, "INVALID_TYPE", f"sObject type '{query.sobject}' is not supported.")
        fields = self.org.visible(query.sobject, user)
        for name in [*query.fields, *query.used]:
            if name not in fields and name != "COUNT()":
                raise ApiError(400, "INVALID_FIELD", f"No such column '{name}' on entity '{query.sobject}'.")
        if len(set(query.fields)) != len(query.fields):
            raise ApiError(400, "INVALID_FIELD", "duplicate field selected")
        return query, fields

    def found(self, query: soql.Query, *, everything: bool) -> list[str]:
        rows = [
            row
            for row in self.org.rows[query.sobject].values()
            if (everything or not (row.get("IsDeleted") or row.get("IsArchived"))) and query.matches(row)
        ]
        for name, descending in reversed(query.order):
            rows.sort(key=lambda row: (row.get(name) is not None, row.get(name) or ""), reverse=descending)
        return [row["Id"] for row in rows[: query.limit]]

    def query(
        self, user: str, given: dict[str, str], *_: Any, everything: bool = False
    ) -> tuple[int, Any, dict[str, str]]:
        query, _fields = self.parsed(user, given.get("q", ""))
        ids = self.found(query, everything=everything)
        if query.fields == ["COUNT()"]:
            return 200, {"totalSize": len(ids), "done": True, "records": []}, {}
        return 200, self.page(user, query.sobject, query.fields, ids, 0), {}

    def tooling(self, user: str, given: dict[str, str], *_: Any) -> tuple[int, Any, dict[str, str]]:
        """The Tooling API's rows of CustomField, those of the bin among them, by the object's name."""
        if user != ADMIN:
            raise ApiError(403, "INSUFFICIENT_ACCESS", "insufficient access rights on cross-reference id")
        if not re.match(r"SELECT [\w, ]+ FROM CustomField WHERE TableEnumOrId IN \(", given["q"]):
            raise ApiError(400, "MALFORMED_QUERY", "the stand-in does not know this query")
        asked = re.findall(r"'(\w+)'", given["q"])
        names = [
            (table, name)
            for table in asked
            for name, each in self.org.fields[table].items()
            if each["custom"]
        ]
        names += [
            (table, f"{name.removesuffix('__c')}_del__c")
            for table, _, name in (full.partition(".") for full in self.org.in_bin)
            if table in asked
        ]
        records = []
        for table, name in names:
            prefix, _, plain = name.removesuffix("__c").rpartition("__")
            records.append(
                {"DeveloperName": plain, "NamespacePrefix": prefix or None, "TableEnumOrId": table}
            )
        return 200, {"totalSize": len(records), "done": True, "records": records}, {}

    def query_all(self, user: str, given: dict[str, str], *_: Any) -> tuple[int, Any, dict[str, str]]:
        return self.query(user, given, everything=True)

    def page(self, user: str, sobject: str, names: list[str], ids: list[str], start: int) -> dict[str, Any]:
        fields = self.org.visible(sobject, user)
        end = start + self.org.page_rows
        records = []
        for identifier in ids[start:end]:
            row = self.org.rows[sobject].get(identifier)
            if row is not None:
                values = {name: shown(row.get(name), fields[name], as_csv=False) for name in names}
                records.append({"attributes": {"type": sobject}, **values})
        answer: dict[str, Any] = {"totalSize": len(ids), "done": end >= len(ids), "records": records}
        if end < len(ids):
            locator = f"0r8{len(self.org.cursors):012}-{end}"
            self.org.cursors[locator] = (sobject, names, ids, end)
            answer["nextRecordsUrl"] = f"/services/data/v65.0/query/{locator}"
        return answer

    def query_more(
        self, user: str, given: Any, headers: Any, body: Any, locator: str
    ) -> tuple[int, Any, dict[str, str]]:
        if locator not in self.org.cursors:
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        sobject, names, ids, start = self.org.cursors[locator]
        return 200, self.page(user, sobject, names, ids, start), {}

    def describe(
        self, user: str, given: Any, headers: Any, body: Any, sobject: str
    ) -> tuple[int, Any, dict[str, str]]:
        if not self.org.exists(sobject):
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
        fields = list(self.org.visible(sobject, user).values())
        replicates = not sobject.endswith("History")
        return 200, {"name": sobject, "queryable": True, "replicateable": replicates, "fields": fields}, {}

    def deleted(
        self, user: str, given: dict[str, str], headers: Any, body: Any, sobject: str
    ) -> tuple[int, Any, dict[str, str]]:
        start, end = (datetime.fromisoformat(given[name]).replace(second=0) for name in ("start", "end"))
        if (self.org.now - start).days >= 30:
            raise ApiError(400, "INVALID_REPLICATION_DATE", "startDate before org replication enabled date")
        if (end - start).total_seconds() <= 60:
            raise ApiError(
                400, "INVALID_REPLICATION_DATE", "startDate must be at least one minute before endDate"
            )
        records = [
            {"id": identifier, "deletedDate": when[:19] + ".000+0000"}
            for name, identifier, when in self.org.deleted_log
            if name == sobject and start <= datetime.fromisoformat(when) <= end
        ]
        return 200, {"deletedRecords": records, "latestDateCovered": f"{end:%Y-%m-%dT%H:%M:00.000+0000}"}, {}

    def create(
        self, user: str, given: Any, headers: Any, body: bytes, sobject: str
    ) -> tuple[int, Any, dict[str, str]]:
        values = json.loads(body)
        if sobject != "PermissionSetAssignment":
            raise ApiError(403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights")
        label = next(
            (name for name, each in self.org.sets.items() if each["id"] == values["PermissionSetId"]), None
        )
        if label is None:
            raise ApiError(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if (label, values["AssigneeId"]) in self.org.assigned:
            raise ApiError(
                400, "DUPLICATE_VALUE", "Duplicate PermissionSetAssignment. Assignee: x; Permission Set: y"
            )
        self.org.assigned.add((label, values["AssigneeId"]))
        self.org.put(sobject, values)
        return 201, {"id": self.org.new_id(sobject), "success": True, "errors": []}, {}

    def limits(self, *_: Any) -> tuple[int, Any, dict[str, str]]:
        left = self.org.limit - self.org.used
        return 200, {"DailyApiRequests": {"Max": self.org.limit, "Remaining": left}}, {}

    def collections(
        self, user: str, given: Any, headers: dict[str, str], body: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        sent = json.loads(body)
        records = sent["records"]
        if len(records) > 200:
            raise ApiError(
                400, "EXCEEDED_ID_LIMIT", "record limit reached. cannot submit more than 200 records"
            )
        assign = headers.get("sforce-auto-assign", "TRUE").upper() != "FALSE"
        answers = []
        seen: set[str] = set()
        for record in records:
            identifier = record.get("id") or record.get("Id") or ""
            problem: tuple[str, str] | None = ("DUPLICATE_VALUE", "duplicate id specified")
            if identifier not in seen:
                problem = self.org.update(record["attributes"]["type"], record, user, assign=assign)
            seen.add(identifier)
            if problem is None:
                answers.append({"id": identifier, "success": True, "errors": []})
            else:
                error = {"statusCode": problem[0], "message": problem[1], "fields": []}
                answers.append({"success": False, "errors": [error]})
        return 200, answers, {}

    # -- Bulk API 2.0 --

    def made(self, kind: str, sobject: str, operation: str, user: str) -> Job:
        job = Job(f"750{len(self.org.jobs):012}AAA", kind, sobject, operation, created_by=user)
        self.org.jobs[job.id] = job
        return job

    def new_query_job(
        self, user: str, given: Any, headers: Any, body: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        sent = json.loads(body)
        if re.search(r"\b(ORDER BY|LIMIT|GROUP BY)\b", sent["query"]):
            raise ApiError(400, "API_ERROR", "the stand-in's bulk queries are without order and limit")
        query, fields = self.parsed(user, sent["query"])
        if query.sobject in self.org.not_in_bulk:
            message = f"Entity '{query.sobject}' is not supported by the Bulk API."
            raise ApiError(400, "INVALIDENTITY", message)
        if any(fields[name]["type"] in ("address", "location") for name in query.fields):
            raise ApiError(400, "FEATURENOTENABLED", "Selecting compound data not supported in Bulk Query")
        job = self.made("query", query.sobject, sent["operation"], user)
        job.fields, job.state = query.fields, "UploadComplete"
        ids = self.found(query, everything=sent["operation"] == "queryAll")
        # Bulk API 2.0 has no order: parts of a key range come as they are done.
        job.rows = ids[1::2] + ids[::2]
        return 200, self.told(job), {}

    def told(self, job: Job) -> dict[str, Any]:
        done = job.succeeded, job.failed
        return {
            "id": job.id,
            "operation": job.operation,
            "object": job.sobject,
            "state": job.state,
            "createdById": job.created_by,
            "numberRecordsProcessed": sum(map(len, done)),
            "numberRecordsFailed": len(job.failed),
            **({"errorMessage": job.error} if job.error else {}),
            **(
                {"contentUrl": f"services/data/v65.0/jobs/ingest/{job.id}/batches"}
                if job.kind == "ingest"
                else {}
            ),
        }

    def job_of(self, identifier: str) -> Job:
        if identifier not in self.org.jobs:
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
        return self.org.jobs[identifier]

    def job(
        self, user: str, given: Any, headers: Any, body: Any, identifier: str
    ) -> tuple[int, Any, dict[str, str]]:
        job = self.job_of(identifier)
        if job.state in ("UploadComplete", "InProgress"):
            job.polls += 1
            job.state = "InProgress"
            if job.polls >= self.org.polls_needed:
                self.finish(job)
        return 200, self.told(job), {}

    def finish(self, job: Job) -> None:
        if job.error:
            job.state = "Failed"
            return
        job.state = "JobComplete"
        if job.kind == "ingest":
            self.process(job)

    def query_results(
        self, user: str, given: dict[str, str], headers: Any, body: Any, identifier: str
    ) -> tuple[int, Any, dict[str, str]]:
        job = self.job_of(identifier)
        if job.state != "JobComplete":
            raise ApiError(400, "INVALIDJOBSTATE", "results are not there yet")
        start = int(given.get("locator", "0"))
        size = min(int(given["maxRecords"]), self.org.bulk_rows or 10**9)
        fields = self.org.fields[job.sobject]
        rows = [self.org.rows[job.sobject][each] for each in job.rows[start : start + size]]
        text = io.StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(job.fields)
        writer.writerows(
            [shown(row.get(name), fields[name], as_csv=True) for name in job.fields] for row in rows
        )
        following = str(start + size) if start + size < len(job.rows) else "null"
        more = {
            "Content-Type": "text/csv",
            "Sforce-Locator": following,
            "Sforce-NumberOfRecords": str(len(rows)),
        }
        return 200, text.getvalue().encode(), more

    def new_ingest_job(
        self, user: str, given: Any, headers: Any, body: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        sent = json.loads(body)
        if sent.get("operation") != "update" or sent.get("contentType") != "CSV":
            raise ApiError(400, "INVALIDJOB", "the stand-in takes updates in CSV")
        return 200, self.told(self.made("ingest", sent["object"], "update", user)), {}

    def ingest_jobs(self, user: str, *_: Any) -> tuple[int, Any, dict[str, str]]:
        jobs = [self.told(job) for job in self.org.jobs.values() if job.kind == "ingest"]
        return 200, {"done": True, "records": jobs, "nextRecordsUrl": None}, {}

    def upload(
        self, user: str, given: Any, headers: dict[str, str], body: bytes, identifier: str
    ) -> tuple[int, Any, dict[str, str]]:
        job = self.job_of(identifier)
        if job.state != "Open" or job.content is not None:
            raise ApiError(400, "INVALIDJOBSTATE", f"the job is {job.state}")
        if not headers.get("content-type", "").startswith("text/csv"):
            raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "Content type is not CSV")
        job.content = body
        return 201, None, {}

    def close_job(
        self, user: str, given: Any, headers: Any, body: bytes, identifier: str
    ) -> tuple[int, Any, dict[str, str]]:
        job, state = self.job_of(identifier), json.loads(body)["state"]
        if job.state != "Open":
            raise ApiError(400, "INVALIDJOBSTATE", f"the job is {job.state}")
        if state == "UploadComplete" and job.content is None:
            raise ApiError(400, "INVALIDJOBSTATE", "nothing was uploaded")
        job.state = state
        return 200, self.told(job), {}

    def process(self, job: Job) -> None:
        rows = list(csv.DictReader(io.StringIO((job.content or b"").decode("utf-8"), newline="")))
        known = self.org.visible(job.sobject, job.created_by)
        unknown = [name for name in (rows[0] if rows else {}) if name not in known]
        if unknown:
            job.state, job.error = "Failed", f"InvalidBatch : Field name not found : {unknown[0]}"
            job.unprocessed = rows
            return
        job.unprocessed = rows[len(rows) if self.org.stops_after is None else self.org.stops_after :]
        for row in reversed(rows[: self.org.stops_after]):  # no order is promised
            # An empty cell leaves the field as it is; #N/A clears it.
            values = {name: None if value == "#N/A" else value for name, value in row.items() if value != ""}
            problem = self.org.update(job.sobject, values, job.created_by, assign=False)
            if problem is None:
                job.succeeded.append((row["Id"], row))
            else:
                job.failed.append((row["Id"], f"{problem[0]}:{problem[1]}:--", row))

    def ingest_results(
        self, user: str, given: Any, headers: Any, body: Any, identifier: str, which: str
    ) -> tuple[int, Any, dict[str, str]]:
        job = self.job_of(identifier)
        if which.startswith("unprocessed") and which != self.org.unprocessed_path:
            raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
        text = io.StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        if which == "successfulResults":
            rows = [{"sf__Id": key, "sf__Created": "false", **row} for key, row in job.succeeded]
            header = ["sf__Id", "sf__Created"]
        elif which == "failedResults":
            rows = [{"sf__Id": key, "sf__Error": said, **row} for key, said, row in job.failed]
            header = ["sf__Id", "sf__Error"]
        else:
            rows, header = job.unprocessed, []
        names = list(rows[0]) if rows else header
        writer.writerow(names)
        writer.writerows([row[name] for name in names] for row in rows)
        return 200, text.getvalue().encode(), {"Content-Type": "text/csv"}


@contextmanager
def serve(org: Org) -> Iterator[Stand]:
    """The stand-in, running until the block ends."""
    stand = Stand(org)
    stand.thread.start()
    try:
        yield stand
    finally:
        stand.server.shutdown()
        stand.server.server_close()
        stand.thread.join()
