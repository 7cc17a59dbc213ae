"""Bulk Read: jobs that write a module into a CSV file, 200,000 records a job.

Source: https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html and the pages beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from crmbridge.connectors.base import Context
from crmbridge.connectors.zoho import cells, limits
from crmbridge.connectors.zoho.client import VERSION, Client, Refused
from crmbridge.errors import TransientError

POLLS: Final = 120
SHORTEST, LONGER, LONGEST = 4.0, 2.0, 60.0
"""Seconds before the first two looks at a job, how much longer each wait is than the one before, and the
longest: a look costs a credit, so that a job of minutes should not be looked at every second.
"""
KEPT: Final = timedelta(hours=23)
"""Zoho keeps a result for a day."""
JOBS: Final = 2
"""Jobs begun for one page before giving up for now."""
_RUNNING: Final = frozenset({"ADDED", "QUEUED", "IN PROGRESS", "INPROGRESS"})
_GONE: Final = frozenset({"RESOURCE_NOT_FOUND", "INVALID_DATA", "HTTP 404", "HTTP 410", "EXPIRED_VALUE"})

Position = Mapping[str, Any]


class _Failed(Exception):
    """A job ended without a result that can be used."""


class BulkRead:
    """Reads a module by jobs. `sleep` waits between two looks."""

    def __init__(self, client: Client, context: Context, sleep: Callable[[float], None]) -> None:
        self._client, self._context, self._sleep = client, context, sleep

    def read(
        self, module: str, names: Sequence[str], position: Position
    ) -> Iterator[tuple[pa.Table | None, Position | None]]:
        """Yield (table, position after it), and (None, position) where a job was begun, so that a run that
        is killed does not pay for it again. The position is None after the last table.

        A job's rows may come twice where its file was broken. Raises Refused where Bulk Read is not open to
        this module or token.
        """
        here = dict(position)
        failures = 0
        while True:
            if "job" in here and self._is_stale(here):
                self._context.log("zoho.job_given_up", module=module, job=here.pop("job"))
            if "job" not in here:
                here["job"] = self._submit(module, names, here)
                here["begun"] = self._context.clock().isoformat()
                yield None, dict(here)
            try:
                result = self._wait(here["job"])
                after = _next(here, result)
                yield from self._tables(module, names, result, dict(here), after)
            except (_Failed, Refused, ValueError) as error:
                if isinstance(error, Refused) and error.code not in _GONE:
                    raise
                failures += 1
                if failures >= JOBS:
                    raise TransientError(
                        f"Zoho's Bulk Read of {module} failed {failures} times.",
                        connection=self._context.connection,
                        said=str(error),
                        remedy="Nothing is lost; the next run goes on from here.",
                    ) from error
                self._context.log("zoho.job_failed", module=module, said=str(error)[:200])
                del here["job"]
                continue
            if after is None:
                return
            here, failures = dict(after), 0

    def _is_stale(self, here: Position) -> bool:
        """Whether a job is so old that its result is gone, or that it will never have one."""
        begun = str(here.get("begun") or self._context.clock().isoformat())
        return self._context.clock() - datetime.fromisoformat(begun) > KEPT

    def _submit(self, module: str, names: Sequence[str], position: Position) -> str:
        fields = [name for name in names if not name.startswith("$")]
        by_page = {"module": {"api_name": module}, "fields": ["id", *fields], "page": position["page"]}
        if "token" not in position:
            return self._begin(by_page)
        try:
            return self._begin({"page_token": position["token"]})
        except Refused as error:
            # Tokens end after a day; page numbers do not.
            self._context.log("zoho.job_token_ended", module=module, said=error.code)
            return self._begin(by_page)

    def _begin(self, query: Mapping[str, Any]) -> str:
        answer = self._client.request(
            "POST",
            f"/crm/bulk/{VERSION}/read",
            json={"query": query},
            credits=limits.BULK_READ_CREDITS,
            kind="job",
        )
        try:
            row = answer.rows[0]
            if row.get("status") == "error":
                raise Refused(answer.status, row)
            return str(row["details"]["id"])
        except (IndexError, KeyError, TypeError) as error:
            raise _unexpected(answer.body) from error

    def _wait(self, job: str) -> Mapping[str, Any]:
        """The result of the job once it is done."""
        pause = SHORTEST
        for _ in range(POLLS):
            answer = self._client.request("GET", f"/crm/bulk/{VERSION}/read/{job}", kind="poll")
            if not answer.rows:
                raise _Failed(f"job {job} is not known any more")
            state = str(answer.rows[0].get("state", "")).upper()
            if state == "COMPLETED":
                result: Mapping[str, Any] = answer.rows[0].get("result") or {}
                return result
            if state not in _RUNNING:
                raise _Failed(f"job {job} ended as {state or 'unknown'}")
            self._sleep(pause)
            pause = min(pause * LONGER, LONGEST)
        raise TransientError(
            f"Zoho's job {job} is not done yet.",
            connection=self._context.connection,
            remedy="The next run takes up the same job.",
        )

    def _tables(
        self,
        module: str,
        names: Sequence[str],
        result: Mapping[str, Any],
        here: Position,
        after: Position | None,
    ) -> Iterator[tuple[pa.Table, Position | None]]:
        """The job's rows; only the last table moves the position on."""
        expected, url = result.get("count"), result.get("download_url")
        if expected == 0:
            yield cells.from_rows([], names), after
            return
        if not url:
            raise _Failed(f"the job of {module} has no result to download")
        held, rows = None, 0
        with self._client.download(str(url)) as file:
            for table in cells.from_zip(file):
                if held is not None:
                    yield held, here
                held, rows = table, rows + table.num_rows
        if held is None or rows < int(expected or 0):
            raise _Failed(f"the file of {module} holds {rows} of {expected} records")
        yield held, after


def _next(here: Position, result: Mapping[str, Any]) -> Position | None:
    if not result.get("more_records"):
        return None
    after: dict[str, Any] = {"page": int(here.get("page") or result.get("page") or 1) + 1}
    if result.get("next_page_token"):
        after["token"] = str(result["next_page_token"])
    return after


def _unexpected(body: Mapping[str, Any]) -> TransientError:
    return TransientError("Zoho's answer to a bulk job has no job in it.", said=str(body)[:200])
