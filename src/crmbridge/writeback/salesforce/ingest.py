"""Writing by Bulk API 2.0: one update job for many rows, and what became of each.

Bulk API 2.0 Developer Guide: "Ingest". A job that is complete may have failed rows, and a job that failed has
rows that were done, rows that failed and rows that were not looked at; the three lists together say it all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.csv

from crmbridge.connectors.salesforce import bulk
from crmbridge.connectors.salesforce.client import Client
from crmbridge.connectors.salesforce.errors import Lost, Refused, policy, split_row_error
from crmbridge.errors import TransientError
from crmbridge.writeback.base import Outcome

NOTE: Final = "ingest job"
ENDED: Final = frozenset({"JobComplete", "Failed", "Aborted"})


def settle_former(client: Client) -> None:
    """See a job to its end that a killed run left: it must not overwrite what is written from now on."""
    job = client.context.notes.read(NOTE)
    if job is None:
        return
    try:
        info = client.get(f"jobs/ingest/{job}", kind="poll")
        if info["state"] == "Open":
            _set_state(client, job, "Aborted")
        else:
            _wait(client, job)
    except Refused as error:
        if error.status != 404:  # a job is kept for seven days
            raise
    client.context.notes.write(NOTE, None)


def write(client: Client, sobject: str, content: bytes, ids: Sequence[str]) -> list[Outcome]:
    """Run one job; an outcome for each of the ids. Raises AuthError, QuotaError, TransientError only before
    anything was uploaded.
    """
    made = client.post(
        "jobs/ingest",
        {
            "object": sobject,
            "operation": "update",
            "contentType": "CSV",
            "columnDelimiter": "COMMA",
            "lineEnding": "LF",
        },
        kind="write",
    )
    job = str(made["id"])
    client.context.notes.write(NOTE, job)  # before the upload: a run that is killed now finds the job again
    try:
        client.change(
            "PUT",
            str(made.get("contentUrl") or f"jobs/ingest/{job}/batches"),
            kind="write",
            data=content,
            headers={"Content-Type": "text/csv"},
        )
    except (Lost, Refused, TransientError) as error:
        _abort(client, job)
        return [Outcome(identifier, "retry", "UPLOAD", error.said or error.what) for identifier in ids]
    try:
        _set_state(client, job, "UploadComplete")
        info = _wait(client, job)
        outcomes = _outcomes(client, job, info, ids)
    except (Lost, Refused, TransientError, bulk.JobGone) as error:
        # It may be working still: the note stays, and it is seen to its end before anything else is done.
        client.context.log("salesforce.job_unknown", job=job, error=str(error)[:200])
        return [Outcome(identifier, "unknown") for identifier in ids]
    client.context.notes.write(NOTE, None)
    return outcomes


def _set_state(client: Client, job: str, state: str) -> None:
    """Close or abort a job; a repeated request finds it closed already, which is as good."""
    try:
        client.raw("PATCH", f"jobs/ingest/{job}", kind="write", json={"state": state})
    except Refused:
        if client.get(f"jobs/ingest/{job}", kind="poll")["state"] == "Open":
            raise


def _abort(client: Client, job: str) -> None:
    try:
        _set_state(client, job, "Aborted")
    except (Refused, TransientError) as error:
        client.context.log("salesforce.job_left_open", job=job, error=str(error)[:200])
        return
    client.context.notes.write(NOTE, None)


def _wait(client: Client, job: str) -> dict[str, Any]:
    for _ in client.waiting():
        info: dict[str, Any] = client.get(f"jobs/ingest/{job}", kind="poll")
        if info["state"] in ENDED:
            return info
    raise AssertionError("waiting ends with an error")


def _outcomes(client: Client, job: str, info: dict[str, Any], ids: Sequence[str]) -> list[Outcome]:
    given = set(ids)
    outcomes: dict[str, Outcome] = {}
    for identifier, _ in _rows(client, job, "successfulResults", "sf__Id"):
        outcomes[identifier] = Outcome(identifier, "sent")
    for identifier, said in _rows(client, job, "failedResults", "sf__Error"):
        code, message = split_row_error(said)
        state = "retry" if policy(code, message) == "passing" else "rejected"
        outcomes[identifier] = Outcome(identifier, state, code, message)  # type: ignore[arg-type]
    left = given - outcomes.keys()
    if info["state"] != "JobComplete":
        said = str(info.get("errorMessage") or f"the job was {info['state']}")
        is_final = said.startswith("InvalidBatch")  # a field that is not there: no use in trying again
        for identifier in left:
            outcomes[identifier] = Outcome(
                identifier, "rejected" if is_final else "retry", info["state"], said
            )
    elif left:
        for identifier in left & set(_unprocessed(client, job)):
            outcomes[identifier] = Outcome(
                identifier, "retry", "UNPROCESSED", "Salesforce did not look at it"
            )
    if outcomes.keys() != given:
        client.context.log(
            "salesforce.rows_do_not_add_up", job=job, sent=len(given), accounted=len(outcomes.keys() & given)
        )
    # What no list names is read back.
    return [outcomes.get(identifier, Outcome(identifier, "unknown")) for identifier in ids]


def _unprocessed(client: Client, job: str) -> list[str]:
    """Ids that were not looked at. The guide spells the path in lower case, client libraries do not."""
    try:
        return [identifier for identifier, _ in _rows(client, job, "unprocessedrecords", "Id")]
    except bulk.JobGone:
        return [identifier for identifier, _ in _rows(client, job, "unprocessedRecords", "Id")]


def _rows(client: Client, job: str, which: str, column: str) -> Iterable[tuple[str, str]]:
    """Ids and one column of a result list. The id is the one that was sent; `sf__Id` may be empty."""
    with bulk.download(client, f"jobs/ingest/{job}/{which}") as (file, _):
        if not file.read(1):
            return
        file.seek(0)
        names = bulk.header(file)
        file.seek(0)
        key = "Id" if "Id" in names else "sf__Id"
        if key not in names:
            return
        yield from _pairs(file, names, key, column if column in names else key)


def _pairs(file: IO[bytes], names: list[str], key: str, column: str) -> Iterable[tuple[str, str]]:
    reader = pyarrow.csv.open_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=bulk.BLOCK_BYTES),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=False,
            include_columns=list(dict.fromkeys((key, column))),
        ),
    )
    for batch in reader:
        yield from zip(batch.column(key).to_pylist(), batch.column(column).to_pylist(), strict=True)
