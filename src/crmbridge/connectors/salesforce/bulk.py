"""Reading by Bulk API 2.0: a query job, its state, its result pages.

Bulk API 2.0 Developer Guide: "Query". The end of the pages is the header `Sforce-Locator: null`. Results live
for seven days and may be read again by locator, so a pull that was cut short goes on with the same job.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.csv
import requests

from crmbridge.connectors.http import Passing, retrying
from crmbridge.connectors.salesforce.client import Client
from crmbridge.connectors.salesforce.errors import Refused

PAGE_ROWS: Final = 50_000
BLOCK_BYTES: Final = 1 << 20
LONGEST_ROW: Final = 128 << 20
IN_MEMORY: Final = 1 << 20
_UNSUPPORTED: Final = (
    "not supported by the bulk api",
    "compound data not supported",
    "not supported in bulk",
    "invalidentity",
)


class Unsupported(Exception):
    """Bulk API 2.0 does not read this object."""


class JobGone(Exception):
    """The job or its results are not there any more."""


def is_unsupported(said: str) -> bool:
    """Whether an error says that the object must be read by REST."""
    return any(words in said.lower() for words in _UNSUPPORTED)


def create(client: Client, soql: str) -> str:
    """Start a query job; returns its id. Raises Unsupported."""
    try:
        job = client.post(
            "jobs/query",
            {
                "operation": "queryAll",
                "query": soql,
                "contentType": "CSV",
                "columnDelimiter": "COMMA",
                "lineEnding": "LF",
            },
            kind="read",
        )
    except Refused as error:
        if error.policy == "schema" and not is_unsupported(f"{error.code}: {error.message}"):
            raise
        # Objects, fields, editions and users may be shut out of the Bulk API: REST tells what else is wrong.
        client.context.log("salesforce.no_bulk", code=error.code, status=error.status)
        raise Unsupported from error
    return str(job["id"])


def wait(client: Client, job: str) -> None:
    """Wait until the job's results are there. Raises Unsupported, JobGone, or Refused with its error."""
    for _ in client.waiting():
        try:
            info = client.get(f"jobs/query/{job}", kind="poll")
        except Refused as error:
            if error.status == 404:
                raise JobGone from error
            raise
        if info["state"] == "JobComplete":
            return
        if info["state"] in ("Failed", "Aborted"):
            said = str(info.get("errorMessage") or f"the job is {info['state']}")
            if is_unsupported(said):
                raise Unsupported
            code = "INVALID_FIELD" if "INVALID_FIELD" in said or "No such column" in said else info["state"]
            raise Refused(200, code, said)


@contextmanager
def results(
    client: Client, job: str, locator: str | None, rows: int = PAGE_ROWS
) -> Iterator[tuple[IO[bytes], int | None, str | None]]:
    """One result page, whole, in a file: the file, how many rows it should have, the next page's locator.

    Raises JobGone.
    """
    path = f"jobs/query/{job}/results?maxRecords={rows}"
    if locator:
        path += f"&locator={quote(locator, safe='')}"
    with download(client, path) as (file, headers):
        following = headers.get("Sforce-Locator", "").strip().strip('"')
        number = headers.get("Sforce-NumberOfRecords", "")
        yield (
            file,
            int(number) if number.isdigit() else None,
            None if following in ("", "null") else following,
        )


@contextmanager
def download(client: Client, path: str) -> Iterator[tuple[IO[bytes], Mapping[str, str]]]:
    """A CSV of a job, whole, in a file, and the answer's headers. Raises JobGone."""
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:

        def fetch() -> Mapping[str, str]:
            file.seek(0)
            file.truncate()
            with client.stream(path, kind="result") as answer:
                _download(answer, file)
                return answer.headers

        try:
            headers = retrying(fetch, connection=client.context.connection)
        except Refused as error:
            if error.status in (400, 404):
                raise JobGone from error
            raise
        file.seek(0)
        yield file, headers


def _download(answer: requests.Response, file: IO[bytes]) -> None:
    """The whole body, or Passing: compressed data that breaks off is found out here."""
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    # 47: gzip or zlib, whichever the data begin with.
    unpack = zlib.decompressobj(wbits=47) if encoding in ("gzip", "x-gzip", "deflate") else None
    if unpack is None and encoding not in ("", "identity"):
        raise Passing(f"a result page packed by {encoding}, which was not asked for")
    try:
        for piece in answer.raw.stream(1 << 18, decode_content=False):
            rest = piece
            while unpack is not None and rest:
                if unpack.eof:  # several packed pieces, one after the other, are one file
                    unpack = zlib.decompressobj(wbits=47)
                file.write(unpack.decompress(rest))
                rest = unpack.unused_data
            file.write(rest)
    # urllib3's errors come as they are when the raw stream is read.
    except (requests.RequestException, requests.packages.urllib3.exceptions.HTTPError, zlib.error) as error:  # type: ignore[attr-defined]
        raise Passing(f"{type(error).__name__}: a result page broke off") from error
    if unpack is not None and not unpack.eof and file.tell():
        raise Passing("a result page broke off")
    if "html" in answer.headers.get("Content-Type", ""):
        raise Passing("a result page that is HTML")


def batches(file: IO[bytes], block: int = BLOCK_BYTES) -> Iterator[pa.RecordBatch]:
    """The rows of a result page, all cells text, in bounded memory. Values may hold line ends and quotes."""
    given = 0
    try:
        for batch in _batches(file, block):
            yield batch
            given += batch.num_rows
    except pa.ArrowInvalid as error:
        if "straddl" not in str(error) or block >= LONGEST_ROW:
            raise
    else:
        return
    # A row is longer than a block: the long text areas of one record may hold millions of characters.
    for batch in batches(file, min(block * 8, LONGEST_ROW)):
        rest = batch.slice(given)
        given -= batch.num_rows - rest.num_rows
        if rest.num_rows:
            yield rest


def _batches(file: IO[bytes], block: int) -> Iterator[pa.RecordBatch]:
    file.seek(0)
    names = header(file)
    if not file.read(1):
        return  # nothing, or names alone
    file.seek(0)
    reader = pyarrow.csv.open_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=block),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )
    for batch in reader:
        if batch.num_rows:
            yield batch


def header(file: IO[bytes]) -> list[str]:
    """The names in the first line: fields' API names, which hold no commas or quotes of their own."""
    line: Any = file.readline()
    return [name.strip().strip('"') for name in line.decode("utf-8-sig").rstrip("\r\n").split(",")]
