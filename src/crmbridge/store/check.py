"""Whether ledger and lake agree: every part there and as it was written, no strays, sums of plans true.

It only reads, and may run while runs do: what is being written just then is not called wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from crmbridge.errors import StoreError
from crmbridge.store.lake import Lake, files
from crmbridge.store.lake.reading import END_OF_TIME
from crmbridge.store.ledger import Counts, Ledger, Part

SHOWN: Final = 5
_FROM_BACKUP: Final = "Restore it from a backup with `crmbridge store restore DIR`."


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it holds, what was seen, and what to do where it does not."""

    name: str
    holds: bool
    detail: str
    remedy: str | None = None


def check(ledger: Ledger, lake: Lake) -> Iterator[Finding]:
    """Look at everything the ledger and the lake hold. Raises StoreError where the ledger can't be read."""
    yield _database(ledger)
    yield _owner(ledger, lake)
    for connection in ledger.connections():
        yield _parts(ledger, lake, connection)
        yield _records(ledger, lake, connection)
        yield _strays(ledger, lake, connection)
        yield _plans(ledger, connection)
    yield _foreign(ledger, lake)


def _database(ledger: Ledger) -> Finding:
    problems = ledger.problems()
    return _finding("ledger", ledger.place, problems, _FROM_BACKUP)


def _owner(ledger: Ledger, lake: Lake) -> Finding:
    owner = files.owner(lake.root)
    wrong = [] if owner in (None, ledger.identity()) else ["it belongs to another ledger"]
    remedy = "Name the folder of this ledger, or the ledger of this folder, under [store]."
    return _finding("lake", str(lake.root), wrong, remedy)


def _parts(ledger: Ledger, lake: Lake, connection: str) -> Finding:
    problems: list[str] = []
    rows = 0
    before: Part | None = None
    for part in ledger.parts(connection):
        rows += part.rows
        if before and before.object == part.object and part.first_seq <= before.last_seq:
            problems.append(f"{part.path} and {before.path} overlap")
        before = part
        problems += _problems_of(ledger, lake, part)
    return _finding(f"parts of {connection}", f"{rows:,} versions", problems, _FROM_BACKUP)


def _problems_of(ledger: Ledger, lake: Lake, part: Part) -> list[str]:
    found = lake.problems([part])
    # Compaction may have taken it away since the ledger was asked.
    return found if found and part in ledger.parts(part.connection, part.object) else []


def _records(ledger: Ledger, lake: Lake, connection: str) -> Finding:
    """The live records that a reading meets are as many as the parts' figures say."""
    problems: list[str] = []
    total = 0
    for name in sorted({part.object for part in ledger.parts(connection)}):
        state = ledger.parts_state(connection, name)
        try:
            met = sum(batch.num_rows for batch in lake.scan(connection, name, ["seq"], at=END_OF_TIME))
        except StoreError as error:
            met = -1
            said = str(error)
        if ledger.parts_state(connection, name) != state:
            continue  # a run has added to it meanwhile
        if met < 0:
            problems.append(said)
        elif met != state.live:
            problems.append(f"{name}: {met:,} records are read, and {state.live:,} are registered")
        total += max(met, 0)
    return _finding(f"records of {connection}", f"{total:,} live", problems, _FROM_BACKUP)


def _strays(ledger: Ledger, lake: Lake, connection: str) -> Finding:
    name = f"strays of {connection}"
    found = {path.relative_to(lake.root).as_posix() for path in files.ours(lake.root / connection)}
    left = sorted(found - {part.path for part in ledger.parts(connection)})
    left = [path for path in left if (lake.root / path).exists()]
    if left and ledger.is_held(f"connection/{connection}"):
        return Finding(
            name, True, f"{len(left)} files belong to the run that is under way, or will be removed"
        )
    remedy = f"A kill left them; the next `crmbridge sync {connection}` removes them."
    return _finding(name, "none", [f"{path} is not registered" for path in left], remedy)


def _plans(ledger: Ledger, connection: str) -> Finding:
    problems: list[str] = []
    number = 0
    for plan_id, status, counts in ledger.plan_sums(connection):
        number += 1
        problems += [f"plan {plan_id}: {said}" for said in _sum_problems(status, counts)]
    return _finding(f"plans of {connection}", f"{number:,}, their sums are true", problems, _FROM_BACKUP)


def _sum_problems(status: str, counts: Counts) -> Iterator[str]:
    states = counts.pending + counts.sent + counts.same + counts.rejected
    if states != counts.planned:
        yield f"{counts.planned} rows are planned, and {states} are in a known state"
    if status == "done" and counts.pending:
        yield f"it is done, and {counts.pending} rows are pending"


def _foreign(ledger: Ledger, lake: Lake) -> Finding:
    """Files in the lake's folder that are not ours, or of a connection that the ledger does not know."""
    known = set(ledger.connections())
    strange = []
    for path in sorted(lake.root.rglob("*")) if lake.root.is_dir() else ():
        place = path.relative_to(lake.root)
        if path.is_dir() or place.as_posix() in (files.OWNER, files.OWNER + ".unfinished"):
            continue
        if not files.is_ours(path) or place.parts[0] not in known:
            strange.append(place.as_posix())
    remedy = "Move them to another folder, or restore the ledger that they belong to."
    return _finding("foreign files", "none", strange, remedy)


def _finding(name: str, good: str, problems: list[str], remedy: str) -> Finding:
    if not problems:
        return Finding(name, True, good)
    shown = "; ".join(problem.rstrip(".") for problem in problems[:SHOWN])
    more = f"; and {len(problems) - SHOWN:,} more" if len(problems) > SHOWN else ""
    return Finding(name, False, f"{shown}{more}.", remedy)
