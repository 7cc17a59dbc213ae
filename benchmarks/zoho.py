"""Zoho: CPU, memory and throughput of reading 200,000 leads into the lake, by Bulk Read and by list.

    python -m benchmarks.zoho [--records 200000]

Pages are made beforehand and served by another process without checking anything, so that what is measured is
the client's work: HTTP, decoding, the lake. Each way runs in a process of its own. Limits are off.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa

PAGE = 200
FIELDS = {
    "Owner": "ownerlookup",
    "Created_Time": "datetime",
    "Modified_Time": "datetime",
    "First_Name": "text",
    "Last_Name": "text",
    "Company": "text",
    "Designation": "text",
    "Email": "email",
    "Phone": "phone",
    "Industry": "picklist",
    "No_of_Employees": "integer",
    "Annual_Revenue": "currency",
    "Country": "text",
    "Lead_Source": "picklist",
    "Lead_Status": "picklist",
    "Converted__s": "boolean",
    "Converted_Date_Time": "datetime",
    "Description": "textarea",
    **{f"Custom_{number}": "text" for number in range(8)},
    "Points": "double",
    "Visits": "integer",
    "Opted_Out": "boolean",
    "Interests": "multiselectpicklist",
}
START = datetime(2024, 1, 1, tzinfo=UTC)


def lead(number: int) -> dict[str, Any]:
    """One lead as JSON."""
    moment = (START + timedelta(seconds=137 * number)).isoformat(timespec="seconds")
    values: dict[str, Any] = {name: f"{name} {number % 977}" for name in FIELDS}
    values |= {
        "id": str(4_876_000_000_000_000_000 + number),
        "Owner": {"id": f"48760000000000{number % 12:02}", "name": "Ada", "email": "ada@example.com"},
        "Created_Time": moment,
        "Modified_Time": moment,
        "No_of_Employees": number % 5_000,
        "Annual_Revenue": number % 9_999 * 100.25,
        "Converted__s": False,
        "Converted_Date_Time": None,
        "Points": number % 1_000 / 8,
        "Visits": number % 50,
        "Opted_Out": number % 2 == 0,
        "Interests": ["a", "b"],
    }
    return values


def serve(records: int) -> None:
    """Serve prebuilt answers on a free port, which is printed."""
    pages = []
    text = io.StringIO()
    text.write("Id," + ",".join(FIELDS) + "\r\n")
    for begin in range(0, records, PAGE):
        rows = [lead(number) for number in range(begin, min(begin + PAGE, records))]
        info = {"more_records": begin + PAGE < records, "next_page_token": str(begin // PAGE + 1)}
        pages.append(json.dumps({"data": rows, "info": info}).encode())
        for row in rows:
            cells = [row["id"], row["Owner"]["id"], *(_cell(row[name]) for name in list(FIELDS)[1:])]
            text.write(",".join(cells) + "\r\n")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.csv", text.getvalue())
    fields = [
        {"id": str(n), "api_name": name, "field_label": name, "data_type": kind}
        for n, (name, kind) in enumerate(FIELDS.items())
    ]
    licence = {"paid": True, "paid_type": "ultimate", "users_license_purchased": 1_000}
    result = {"count": records, "download_url": "/result", "more_records": False, "page": 1}
    fixed: dict[str, Any] = {
        "/crm/v8/org": {"org": [{"zgid": "1", "company_name": "Bench", "license_details": licence}]},
        "/crm/v8/settings/modules": {"modules": [{"api_name": "Leads"}]},
        "/crm/v8/settings/fields": {"fields": fields},
        "/crm/bulk/v8/read": {"data": [{"status": "success", "details": {"id": "1"}}]},
        "/crm/bulk/v8/read/1": {"data": [{"state": "COMPLETED", "result": result}]},
        # Much: the first query says so, and Bulk Read takes over.
        "/crm/v8/coql": {"data": [], "info": {"more_records": True}},
    }
    answers = {path: json.dumps(body).encode() for path, body in fixed.items()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the terminal."""

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = parse_qs(parts.query)
            if parts.path == "/oauth/v2/token":
                url = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
                body = json.dumps({"access_token": "t", "api_domain": url, "expires_in": 3600}).encode()
            elif parts.path == "/result":
                body = packed.getvalue()
            elif parts.path in answers:
                body = answers[parts.path]
            elif query.get("converted") == ["true"] or parts.path.endswith("/deleted"):
                body = b'{"data": []}'
            else:
                body = pages[int(query.get("page_token", ["0"])[0])]
            self.send_response_only(200)
            self.send_header("Date", self.date_time_string())
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ";".join(value) if isinstance(value, list) else str(value)


def measure(way: str, port: int) -> dict[str, float]:
    """Read everything into a lake; CPU in microseconds a record, peak memory, records a second."""
    from crmbridge.connectors.zoho import Options, ZohoConnector
    from crmbridge.store.lake import Lake
    from crmbridge.store.ledger import Ledger
    from crmbridge.sync.pull import PART_ROWS
    from crmbridge.testing import context

    def clock() -> datetime:
        return datetime.now(UTC)

    given = context(
        Options(client_id="c", accounts_url=f"http://127.0.0.1:{port}"),
        secrets={"client_secret": "s", "refresh_token": "r"},
        clock=clock,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger.open(f"sqlite:///{folder}/l.db", clock=clock) as ledger,
    ):
        lake, connector = Lake(Path(folder) / "lake", ledger), ZohoConnector(given, read_by=way)  # type: ignore[arg-type]
        run = ledger.start_run("bench", "pull", clock(), resume=False)
        before, begun, rows = time.process_time(), time.perf_counter(), 0
        gathered: list[pa.Table] = []
        for page in connector.pull("lead", None):
            gathered.append(page.records)
            if sum(table.num_rows for table in gathered) >= PART_ROWS or page.complete:
                table = pa.concat_tables(gathered, promote_options="default")
                lake.append("bench", "lead", table, run=run.id, seen_at=clock(), cursor=page.cursor)
                rows, gathered = rows + table.num_rows, []
        if gathered:
            table = pa.concat_tables(gathered, promote_options="default")
            lake.append("bench", "lead", table, run=run.id, seen_at=clock())
            rows += table.num_rows
        cpu, wall = time.process_time() - before, time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"records": rows, "cpu_us": cpu / rows * 1e6, "peak_mib": peak, "per_second": rows / wall}


def main() -> None:
    """Run each way in a process of its own and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "PORT"))
    given = parser.parse_args()
    if given.serve:
        serve(given.records)
    elif given.measure:
        print(json.dumps(measure(given.measure[0], int(given.measure[1]))))
    else:
        command = [sys.executable, "-m", "benchmarks.zoho"]
        with subprocess.Popen(
            [*command, "--serve", "--records", str(given.records)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stdout
            assert server.stdin
            port = server.stdout.readline().strip()
            for way, name, bound in (("auto", "Bulk Read", 40), ("list", "list", 60)):
                out = subprocess.run(
                    [*command, "--measure", way, port], capture_output=True, text=True, check=True
                )
                found = json.loads(out.stdout)
                print(
                    f"{name:10} {found['records']:>9,.0f} records  {found['cpu_us']:5.1f} us CPU a record "
                    f"(aim {bound})  {found['per_second']:>8,.0f} records/s  {found['peak_mib']:.0f} MiB peak"
                )
            server.stdin.close()


if __name__ == "__main__":
    main()
