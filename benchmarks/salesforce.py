"""How much of the client's CPU a record costs at Salesforce: `python -m benchmarks.salesforce`.

The pages are built beforehand and served by another process, which checks nothing; what is measured is this
process alone. Throughput is printed beside it: on one machine the server's work is in it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import random
import re
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
BULK_PAGE, REST_PAGE, REST_ROWS = 50_000, 2_000, 10**9
TEXTS = (
    "FirstName",
    "LastName",
    "Company",
    "Title",
    "Email",
    "Phone",
    "Industry",
    "Country",
    "City",
    "Street",
)
FIELDS: dict[str, str] = {
    "Id": "id",
    "IsDeleted": "boolean",
    **dict.fromkeys(TEXTS, "string"),
    "LeadSource": "picklist",
    "Status": "picklist",
    "AnnualRevenue": "currency",
    "NumberOfEmployees": "int",
    "OwnerId": "reference",
    "IsConverted": "boolean",
    "ConvertedDate": "date",
    "ConvertedAccountId": "reference",
    "CreatedDate": "datetime",
    "SystemModstamp": "datetime",
    "LastActivityDate": "date",
    "Website": "url",
    "Rating": "picklist",
    "Budget__c": "currency",
    "Region__c": "picklist",
    "Newsletter__c": "boolean",
    "Notes__c": "string",
    "CRMBridge_Score__c": "double",
    "CRMBridge_Grade__c": "picklist",
}
OURS = ("Reasons_Up", "Reasons_Down", "Next_Action", "Scored_At", "Model")
"""Our other fields: written, and not among the 30 that are read."""


def identifier(number: int) -> str:
    return f"00Q{number:012}EAA"


def row(number: int, draw: random.Random, *, as_csv: bool) -> list[Any]:
    zone = ".000Z" if as_csv else ".000+0000"
    texts = [f"{name} {draw.randrange(10_000)}" for name in TEXTS]
    stamp = f"2026-{1 + number % 9:02}-{1 + number % 28:02}T{number % 24:02}:{number % 60:02}:00"
    return [
        identifier(number),
        False,
        *texts,
        draw.choice(("Web", "Fair", "Referral")),
        draw.choice(("Open", "Working", "Unqualified")),
        draw.randrange(10**6) + 0.5,
        draw.randrange(1000),
        "005000000000001AAA",
        False,
        None,
        None,
        f"2025-{1 + number % 12:02}-{1 + number % 28:02}T08:00:00{zone}",
        stamp + zone,
        "2026-05-01",
        None,
        "Hot",
        draw.randrange(1000) * 1.0,
        draw.choice(("North", "South")),
        True,
        "a note",
        None,
        None,
    ]


def cell(value: Any) -> str:
    if value is None:
        return '""'
    return f'"{str(value).lower() if isinstance(value, bool) else value}"'


def bulk_pages(rows: int) -> list[bytes]:
    header = ",".join(f'"{name}"' for name in FIELDS) + "\n"
    pages = []
    for start in range(0, rows, BULK_PAGE):
        draw = random.Random(start)
        lines = [
            ",".join(map(cell, row(number, draw, as_csv=True)))
            for number in range(start, min(start + BULK_PAGE, rows))
        ]
        pages.append(gzip.compress((header + "\n".join(lines) + "\n").encode(), 1))
    return pages


def rest_pages(rows: int) -> list[bytes]:
    pages = []
    for start in range(0, rows, REST_PAGE):
        draw, end = random.Random(start), min(start + REST_PAGE, rows)
        page: dict[str, Any] = {
            "totalSize": rows,
            "done": end == rows,
            "records": [
                {
                    "attributes": {"type": "Lead"},
                    **dict(zip(FIELDS, row(number, draw, as_csv=False), strict=True)),
                }
                for number in range(start, end)
            ],
        }
        if end < rows:
            page["nextRecordsUrl"] = f"/services/data/v65.0/query/01g-{end // REST_PAGE}"
        pages.append(gzip.compress(json.dumps(page).encode(), 1))
    return pages


def serve(kind: str, rows: int, pipe: Connection) -> None:
    """The other process: prebuilt answers."""
    pages = {"bulk": bulk_pages, "rest": rest_pages, "write": lambda rows: []}[kind](rows)
    names = {**FIELDS, **({f"CRMBridge_{name}__c": "string" for name in OURS} if kind == "write" else {})}
    fields = [{"name": name, "type": type_, "updateable": True} for name, type_ in names.items()]
    described = json.dumps({"queryable": True, "replicateable": True, "fields": fields}).encode()
    uploads: dict[str, bytes] = {}
    gzipped = {"Content-Encoding": "gzip"}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> tuple[int, bytes, dict[str, str]]:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if "/oauth2/token" in self.path:
                return 200, b'{"access_token":"x"}', {}
            if "FROM%20Organization" in self.path:
                return 200, b'{"done":true,"records":[{"Id":"00D","Name":"Bench"}]}', {}
            if self.path.endswith("/Lead/describe"):
                return 200, described, {}
            if self.path.endswith("/describe"):
                return 404, b'[{"errorCode":"NOT_FOUND","message":"x"}]', {}
            if "/queryAll/" in self.path:
                empty = {"totalSize": rows, "done": False, "records": [], "nextRecordsUrl": "x"}
                return (200, pages[0], gzipped) if kind == "rest" else (200, json.dumps(empty).encode(), {})
            if found := re.search(r"/query/01g-(\d+)", self.path):
                return 200, pages[int(found[1])], gzipped
            if "/results?" in self.path:
                found = re.search(r"locator=(\d+)", self.path)
                page = int(found[1]) if found else 0
                following = str(page + 1) if page + 1 < len(pages) else "null"
                return 200, pages[page], {**gzipped, "Sforce-Locator": following}
            if self.command == "PUT":
                uploads[self.path.split("/")[-2]] = body
                return 201, b"", {}
            if self.path.endswith("successfulResults"):
                head, *lines = uploads[self.path.split("/")[-2]].decode().splitlines()
                text = "\n".join(
                    [f'"sf__Id","sf__Created",{head}', *(f"{each[:18]},false,{each}" for each in lines)]
                )
                return 200, gzip.compress(text.encode() + b"\n", 1), gzipped
            if self.path.endswith(("failedResults", "unprocessedrecords")):
                return 200, b'"sf__Id","sf__Error"\n', {}
            return 200, json.dumps({"id": f"750{time.time_ns()}", "state": "JobComplete"}).encode(), {}

        def handle_any(self) -> None:
            status, body, more = self.answer()
            self.send_response_only(status)
            self.send_header("Date", format_datetime(NOW, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            for name, value in more.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = handle_any

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_address[1])
    server.serve_forever()


def measured(name: str, rows: int, work: Callable[[], None]) -> None:
    began, cpu = time.monotonic(), time.process_time()
    work()
    used, seconds = time.process_time() - cpu, time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name:28} {rows:>9,} records  {used / rows * 1e6:6.1f} us CPU each  "
        f"{used / rows * 1e5:6.2f} s/100k  {rows / seconds:>9,.0f} records/s  peak {peak:,.0f} MiB"
    )


def pull(url: str, rows: int, name: str, *, by_rest: bool) -> None:
    from crmbridge import config
    from crmbridge.bridge import Bridge
    from crmbridge.plugins import Plugins

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "crmbridge.toml"
        path.write_text(
            f'[connections.bench]\nconnector = "salesforce"\ninstance_url = "{url}"\nclient_id = "x"\n'
            f"rest_rows = {REST_ROWS if by_rest else 2_000}\n",
            "utf-8",
        )
        os.environ["CRMBRIDGE_BENCH_CLIENT_SECRET"] = "x"
        with Bridge(config.load(path), plugins=Plugins.load([]), clock=lambda: NOW) as bridge:
            bridge.ledger.runs()  # opened before the clock runs
            measured(name, rows, lambda: _pulled(bridge, rows))


def _pulled(bridge: Any, rows: int) -> None:
    run = bridge.pull("bench", at=NOW)
    assert run.summary["pulled"]["lead"] == rows, run.summary


def write(url: str, rows: int, name: str) -> None:
    from crmbridge.connectors.salesforce import SalesforceOptions
    from crmbridge.model.fields import CORE, FieldValue
    from crmbridge.testing import context
    from crmbridge.writeback.base import Change
    from crmbridge.writeback.salesforce import SalesforceWriter

    options = SalesforceOptions(instance_url=url, client_id="x")
    keys = CORE
    text = "Referred by a customer: 41 of 60 such leads were converted"
    writer = SalesforceWriter(
        context(options, fields=keys, secrets={"client_secret": "x"}), sleep=lambda _: None
    )

    values: dict[str, FieldValue] = {
        "score": 0.0,
        "grade": "B",
        "reasons_up": text,
        "reasons_down": None,
        "next_action": "Call: nobody has since Monday",
        "scored_at": "2026-11-24T12:00:00Z",
        "model": "need-lead-1",
    }

    def work() -> None:
        for start in range(0, rows, writer.batch_size):
            numbers = range(start, min(start + writer.batch_size, rows))
            changes = [
                Change("lead", identifier(number), {**values, "score": number % 100 + 0.25})
                for number in numbers
            ]
            outcomes = writer.write("lead", changes)
            assert [outcome.state for outcome in outcomes] == ["sent"] * len(changes)

    measured(name, rows, work)


def one(kind: str, rows: int, name: str) -> None:
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(kind, rows, there), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{here.recv()}"
    if kind == "write":
        write(url, rows, name)
    else:
        pull(url, rows, name, by_rest=kind == "rest")
    server.terminate()
    server.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the full size, for a quick look")
    parser.add_argument("--only", choices=("bulk", "rest", "write"))
    given = parser.parse_args()
    steps = [
        ("bulk", 1_000_000, "read by Bulk API 2.0"),
        ("rest", 200_000, "read by REST"),
        ("write", 500_000, "write by Bulk API 2.0"),
    ]
    for kind, rows, name in steps:
        if given.only in (None, kind):
            # A process each, so that the peak of memory is its own.
            job = multiprocessing.get_context("spawn").Process(
                target=one, args=(kind, int(rows * given.share), name)
            )
            job.start()
            job.join()
            if job.exitcode:
                raise SystemExit(job.exitcode)


if __name__ == "__main__":
    main()
