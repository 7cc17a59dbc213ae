"""Bulk Write: one job for up to 25,000 records, which costs less than calls of 100 from 5,000 on.

Source: https://www.zoho.com/crm/developer/docs/api/v8/bulk-write/create-job.html and the pages beside it.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Final

from crmbridge.connectors.zoho import limits
from crmbridge.connectors.zoho.bulk import LONGER, LONGEST, POLLS, SHORTEST
from crmbridge.connectors.zoho.client import VERSION, Client, Lost, Refused
from crmbridge.errors import CRMBridgeError
from crmbridge.writeback.base import Change, Outcome
from crmbridge.writeback.zoho.answers import bulk_outcome
from crmbridge.writeback.zoho.values import cell

FILE: Final = "crmbridge"
FILE_BYTES: Final = 25_000_000
_RUNNING: Final = frozenset({"ADDED", "QUEUED", "INPROGRESS", "IN PROGRESS"})


def write(
    client: Client,
    module: str,
    names: Mapping[str, str],
    changes: Sequence[Change],
    *,
    org: str,
    sleep: Callable[[float], None],
) -> list[Outcome]:
    """Write changes that all have the same keys; `names` gives the API name of each key.

    What the result does not tell is unknown. Raises Refused, QuotaError and TransientError before the job was
    made.
    """
    file = client.upload(f"{FILE}.zip", packed(names, changes), org)
    file_id = str((file.body.get("details") or {}).get("file_id") or "")
    body = {
        "operation": "update",
        "resource": [
            {
                "type": "data",
                "module": {"api_name": module},
                "file_id": file_id,
                "find_by": "id",
                "ignore_empty": False,
                "field_mappings": [
                    {"api_name": name, "index": place} for place, name in enumerate(["id", *names.values()])
                ],
            }
        ],
    }
    unknown = [Outcome(change.id, "unknown") for change in changes]
    try:
        answer = client.request(
            "POST",
            f"/crm/bulk/{VERSION}/write",
            json=body,
            credits=limits.BULK_WRITE_CREDITS,
            kind="write",
            once=True,
        )
    except Lost:
        return unknown
    try:
        result = _wait(client, str(answer.body["details"]["id"]), sleep)
        if result is None:
            return unknown
        with client.download(str(result["download_url"])) as told:
            rows = unpacked(told)
    except (CRMBridgeError, Refused, KeyError, ValueError):
        # The job is on its way, whatever was said of its result: reading back tells.
        return unknown
    return [rows.get(change.id, known) for change, known in zip(changes, unknown, strict=True)]


def packed(names: Mapping[str, str], changes: Sequence[Change]) -> bytes:
    """The ZIP of one CSV: the id, then our fields."""
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\r\n")
    lines.writerow(["id", *names.values()])
    lines.writerows([change.id, *(cell(key, change.values[key]) for key in names)] for change in changes)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(f"{FILE}.csv"), text.getvalue().encode(), zipfile.ZIP_DEFLATED)
    return target.getvalue()


def unpacked(content: IO[bytes]) -> dict[str, Outcome]:
    """The outcomes a result ZIP tells, by id. Raises ValueError for what is none."""
    try:
        with zipfile.ZipFile(content) as archive:
            found: dict[str, Outcome] = {}
            for name in archive.namelist():
                lines = csv.DictReader(io.StringIO(archive.read(name).decode("utf-8-sig"), newline=""))
                for line in lines:
                    identifier = line.get("id") or line.get("RECORD_ID") or ""
                    if identifier:
                        told = bulk_outcome(identifier, line.get("STATUS") or "", line.get("ERRORS") or "")
                        found[identifier] = told
            return found
    except zipfile.BadZipFile as error:
        raise ValueError("the result is no ZIP file") from error


def _wait(client: Client, job: str, sleep: Callable[[float], None]) -> Mapping[str, Any] | None:
    pause = SHORTEST
    for _ in range(POLLS):
        body = client.request("GET", f"/crm/bulk/{VERSION}/write/{job}", kind="poll").body
        state = str(body.get("status") or body.get("state") or "").upper()
        if state not in _RUNNING:
            result: Mapping[str, Any] | None = body.get("result")
            return result
        sleep(pause)
        pause = min(pause * LONGER, LONGEST)
    return None
