"""HubSpot: what a record costs us, and whether the pace is the limit's.

    python -m benchmarks.hubspot [--records 200000]

A process of its own serves pages built beforehand, without looking at requests; each step runs in another
one, so that its CPU and its peak memory are its own. `pull` reads contacts of 30 properties with their
companies into the lake, `write` writes scores, and `paced` reads with a limit of 190 calls in 10 seconds, in
real time.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pyarrow as pa

from crmbridge.connectors.base import Context
from crmbridge.connectors.hubspot import HubSpotConnector, Options
from crmbridge.connectors.hubspot.client import Client
from crmbridge.model.fields import CORE, FieldValue
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger
from crmbridge.sync.pull import PART_ROWS
from crmbridge.testing import Clock, context
from crmbridge.writeback.base import Change
from crmbridge.writeback.hubspot import HubSpotWriter

PROPERTIES = 30
PAGE = 100
MOMENT = "2026-01-05T09:30:00.000Z"
REFUSED = "/refused"
"""Where the server says how many calls it has answered with 429."""
UNLIMITED, LIMIT, WINDOW = 1_000_000, 190, 10.0
VALUES: dict[str, FieldValue] = {
    "score": 61.25,
    "grade": "B",
    "reasons_up": "Referral: 41 % of 320 became customers, of all 18 %",
    "reasons_down": "No call in the first two days: 9 % of 540",
    "next_action": "Call this week: such leads are reached on Tuesdays",
    "scored_at": "2026-06-01T12:00:00Z",
    "model": "need-lead-2026-06-01",
}


# The server's process


class Pages:
    """Answers built beforehand: a page of contacts is one text with ids put into it."""

    def __init__(self, records: int) -> None:
        self.records = records
        names = [f"property_{place}" for place in range(PROPERTIES - 6)]
        self.schema = json.dumps(
            {
                "results": [
                    {"name": name, "type": "string", "groupName": "g", "modificationMetadata": {}}
                    for name in [
                        "firstname", "lastname", "email", "phone", "hubspot_owner_id", "lastmodifieddate",
                        *names,
                    ]
                ]
            }
        ).encode()  # fmt: skip
        record = {
            "id": "@ID@",
            "properties": {
                "firstname": "First", "lastname": "Last @ID@", "email": "person@ID@@example.com",
                "phone": "+49 30 1234567", "hubspot_owner_id": "77", "lastmodifieddate": MOMENT,
                "hs_object_id": "@ID@",
                **{
                    name: None if place % 3 == 2 else f"value {place} @ID@"
                    for place, name in enumerate(names)
                },
            },
            "createdAt": MOMENT, "updatedAt": MOMENT, "archived": False,
            "url": "https://app.hubspot.com/contacts/1/record/0-1/@ID@",
        }  # fmt: skip
        self.record = json.dumps(record)

    def page(self, start: int) -> bytes:
        ids = range(start, min(start + PAGE, self.records))
        body = ",".join(self.record.replace("@ID@", str(1_000_000 + each)) for each in ids)
        following = (
            f',"paging":{{"next":{{"after":"{start + PAGE}"}}}}' if start + PAGE < self.records else ""
        )
        return f'{{"results":[{body}]{following}}}'.encode()

    def linked(self, body: Any) -> bytes:
        results = [
            {
                "from": {"id": each["id"]},
                "to": [{"toObjectId": 5, "associationTypes": [{"typeId": 1, "category": "HUBSPOT_DEFINED"}]}],
            }
            for each in body["inputs"]
        ]
        return json.dumps({"status": "COMPLETE", "results": results}).encode()

    def written(self, body: Any) -> bytes:
        results = [
            {"id": each["id"], "properties": each["properties"], "createdAt": MOMENT, "updatedAt": MOMENT}
            for each in body["inputs"]
        ]
        return json.dumps({"status": "COMPLETE", "results": results}).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pages: Pages
    limited: bool
    window: deque[float]
    lock: threading.Lock
    refused = 0

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == REFUSED:
            self.wfile.write(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n%9d" % Handler.refused)
        elif "/properties/" in parts.path:
            self.answer(self.pages.schema)
        else:
            self.answer(self.pages.page(int(parse_qs(parts.query).get("after", ["0"])[0])))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(self.pages.linked(body) if "/associations/" in self.path else self.pages.written(body))

    def answer(self, content: bytes) -> None:
        status, most, left = 200, UNLIMITED, UNLIMITED
        if self.limited:
            with self.lock:
                now = time.monotonic()
                while self.window and self.window[0] <= now - WINDOW:
                    self.window.popleft()
                if len(self.window) >= LIMIT:
                    status, content = 429, b'{"policyName":"TEN_SECONDLY_ROLLING"}'
                    Handler.refused += 1
                else:
                    self.window.append(now)
                most, left = LIMIT, LIMIT - len(self.window)
        head = (
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
            f"X-HubSpot-RateLimit-Max: {most}\r\nX-HubSpot-RateLimit-Remaining: {left}\r\n"
            "X-HubSpot-RateLimit-Interval-Milliseconds: 10000\r\n\r\n"
        )
        self.wfile.write(head.encode() + content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""


def serve(records: int, limited: bool) -> None:
    Handler.pages, Handler.limited = Pages(records), limited
    Handler.window, Handler.lock = deque(), threading.Lock()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(http.server_address[1], flush=True)
    http.serve_forever()


@contextmanager
def serving(records: int, *, limited: bool = False) -> Iterator[str]:
    arguments = [sys.executable, "-m", __spec__.name, "serve", "--records", str(records)]
    process = subprocess.Popen(
        [*arguments, *(["--limited"] if limited else [])], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


# The steps


def made(url: str) -> Context:
    options = Options(base_url=url, lead_object="leads")
    return context(options, fields=CORE, secrets={"access_token": "x"}, clock=Clock())


def pull(url: str, records: int) -> int:
    """Contacts into the lake, in parts as a run makes them."""
    connector = HubSpotConnector(made(url))
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        with Ledger.open(f"sqlite:///{folder}/ledger.db", clock=clock) as ledger:
            lake = Lake(Path(folder) / "lake", ledger)
            run = ledger.start_run("acme", "pull", datetime(2026, 6, 1, tzinfo=UTC)).id
            tables, rows, total = [], 0, 0
            for page in connector.pull("contact", None):
                tables.append(page.records)
                rows += page.records.num_rows
                if rows >= PART_ROWS or page.complete:
                    table = pa.concat_tables(tables, promote_options="default")
                    appended = lake.append(
                        "acme", "contact", table, run=run, seen_at=clock(), cursor=page.cursor
                    )
                    total += appended.new
                    tables, rows = [], 0
    assert total == records
    return records


def write(url: str, records: int) -> int:
    writer = HubSpotWriter(made(url))
    sent = 0
    for start in range(0, records, writer.batch_size):
        ids = range(start, min(start + writer.batch_size, records))
        changes = [Change("lead", str(each), VALUES) for each in ids]
        outcomes = writer.write("lead", changes)
        sent += sum(outcome.state == "sent" for outcome in outcomes)
    assert sent == records
    return sent


STEPS = {"pull": pull, "write": write, "paced": pull}
BUDGETS = {"pull": 60.0, "write": 20.0}
"""CPU microseconds a record may cost us."""


def step(name: str, url: str, records: int) -> None:
    """One step in this process; prints its figures as JSON."""
    Client.of(made(url)).close()  # the vendor's package is imported once, whatever the number of records
    before, began = time.process_time(), time.monotonic()
    STEPS[name](url, records)
    cpu, wall = time.process_time() - before, time.monotonic() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": cpu, "wall": wall, "memory": memory}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", nargs="?", choices=["serve", *STEPS])
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--url")
    parser.add_argument("--limited", action="store_true")
    chosen = parser.parse_args()
    if chosen.step == "serve":
        serve(chosen.records, chosen.limited)
    elif chosen.step:
        step(chosen.step, chosen.url, chosen.records)
    else:
        print(f"{'step':8} {'records':>9} {'us CPU/record':>14} {'records/s':>10} {'MiB':>6}")
        for name in STEPS:
            records = 60_000 if name == "paced" else chosen.records
            with serving(records, limited=name == "paced") as url:
                command = [sys.executable, "-m", __spec__.name, name, "--url", url, "--records", str(records)]
                found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                with urlopen(url + REFUSED) as answer:
                    refused = int(answer.read())
            cost = 1e6 * found["cpu"] / records
            over = " OVER BUDGET" if cost > BUDGETS.get(name, cost) else ""
            speed = records / found["wall"]
            print(f"{name:8} {records:9,} {cost:14.1f} {speed:10,.0f} {found['memory']:6.0f}{over}")
            if name == "paced":
                calls = records / PAGE + records / 1_000 + 1
                allowed = found["wall"] * LIMIT / WINDOW
                print(
                    f"         {calls / allowed:.1%} of the limit's rate, the first window's start included; "
                    f"{refused} calls refused"
                )


if __name__ == "__main__":
    main()
