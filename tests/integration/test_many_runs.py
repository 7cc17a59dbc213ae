"""The scheduled job over months: exports and commands at random, and what must hold after every step."""

from __future__ import annotations

import csv
import io
import random
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crmbridge.errors import CRMBridgeError, SettingsError
from crmbridge.model.fields import CORE
from crmbridge.store.ledger import Run
from crmbridge.writeback.scores import ScoresFile
from crmbridge.writeback.values import differing, holds
from tests.conftest import Clock
from tests.integration.many_runs import Installation
from tests.organisation import read_csv, write_csv, write_organisation

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
OBJECTS = {"rep": "reps.csv", "lead": "leads.csv", "activity": "calls.csv"}  # in the order they are pulled
IDS = {"rep": "Rep ID", "lead": "Lead ID", "activity": "Call ID"}
DATES = {"lead": "Created", "activity": "Started"}
MAPPED = {"rep": "Name", "lead": "Source", "activity": "Result"}
EDITS = (
    *("cell", "row", "row", "vanish", "many", "swap", "columns", "dialect", "touch"),
    *("date", "duplicate", "anonymous", "cut", "empty", "header", "rename", "attribute", "repair", "repair"),
)
COMMANDS = (
    *("sync", "sync", "sync", "sync", "full", "ask", "dry"),
    *("pull", "score", "plan", "apply", "undo"),
)
FINAL = ("done", "partly", "failed", "stopped", "awaiting_approval", "interrupted")


@dataclass
class Export:
    """An exported file: its rows as a person thinks of them, and how they are written."""

    path: Path
    identity: str
    rows: list[dict[str, str]]
    delimiter: str = ","
    encoding: str = "utf-8"
    renamed: str | None = None
    damage: str | None = None
    columns: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.columns = list(self.rows[0])

    def write(self) -> None:
        columns = self.columns
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=self.delimiter)
        writer.writerow([f"{name} (old)" if name == self.renamed else name for name in columns])
        for row in self.rows if self.damage != "header" else ():
            writer.writerow([row[name] for name in columns])
        whole = text.getvalue()
        if self.damage == "cut":
            last = len(",".join(self.rows[-1][name] for name in columns)) + len("\r\n")
            whole = whole[: 1 - last]  # one character of the last row, or its first delimiter, is left
        content = whole.encode(self.encoding)
        if self.damage == "empty":
            content = b""
        self.path.write_bytes(content)

    def read(self, date: str | None) -> tuple[dict[str, dict[str, str]], set[str], bool]:
        """Good rows by id, the ids of rows set aside, and whether what is missing is gone."""
        if self.damage in ("empty", "header"):
            return {}, set(), self.damage == "header"
        good: dict[str, dict[str, str]] = {}
        aside: set[str] = set()
        whole = self.damage is None
        for row in self.rows[:-1] if self.damage == "cut" else self.rows:
            identity = row[self.identity]
            if not identity:
                whole = False
            elif (date and row[date].startswith("31.02.")) or identity in good:
                aside.add(identity)
            else:
                good[identity] = row
        return good, aside, whole


class Walk:
    """One organisation, what it should look like, and random steps."""

    def __init__(self, folder: Path, seed: int, leads: int) -> None:
        self.random = random.Random(seed)
        self.clock = Clock(START)
        settings = write_organisation(folder, leads=leads, seed=seed)
        # Nothing goes with the years, so that every run can be undone and every moment be looked at again.
        text = settings.read_text(encoding="utf-8")
        settings.write_text("[store]\nlegal_hold = true\n" + text, encoding="utf-8")
        self.job = Installation(settings, self.clock)
        self.exports = {
            name: Export(path := self.job.exports / file, IDS[name], read_csv(path))
            for name, file in OBJECTS.items()
        }
        self.expected: dict[str, dict[str, dict[str, str]]] = {name: {} for name in OBJECTS}
        self.cursor: dict[str, bytes] = {}
        self.scores: dict[tuple[str, str], dict[str, Any]] = {}
        self.written: dict[int, dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]]] = {}
        self.snapshots: list[tuple[datetime, Any]] = []
        self.new = 0

    # -- what happens to the exports --

    def edit(self) -> str:
        name = self.random.choice(list(OBJECTS))
        export = self.exports[name]
        kind = self.random.choice(EDITS)
        rows = export.rows
        chosen = self.random.choice(rows)
        if kind == "cell":
            changes = {"lead": ("Budget", "Source"), "activity": ("Seconds",), "rep": ("Name",)}[name]
            column = self.random.choice(changes)
            chosen[column] = "Web" if column == "Source" else str(self.random.randrange(1, 900))
        elif kind == "row":
            self.new += 1
            fresh = {**chosen, export.identity: f"new-{self.new}"}
            rows.insert(self.random.randrange(len(rows) + 1), fresh)
        elif kind == "vanish" and len(rows) > 2:
            rows.remove(chosen)
        elif kind == "many" and len(rows) > 4:
            del rows[len(rows) // 3 :]
        elif kind == "swap":
            self.random.shuffle(rows)
        elif kind == "date" and name in DATES:
            chosen[DATES[name]] = "31.02.2026"
        elif kind == "duplicate":
            rows.append(dict(chosen))
        elif kind == "anonymous":
            chosen[export.identity] = ""
        elif kind in ("cut", "empty", "header"):
            export.damage = kind
        elif kind == "rename":
            export.renamed = MAPPED[name]
        elif kind == "attribute" and name == "lead":
            export.renamed = None if export.renamed == "Budget" else "Budget"
        elif kind == "repair":
            for name, export in self.exports.items():
                self.repair(name, export)
        elif kind == "columns":
            self.random.shuffle(export.columns)
        elif kind == "dialect":
            export.delimiter = self.random.choice(",;\t|")
            export.encoding = self.random.choice(["utf-8", "utf-8-sig", "utf-16", "cp1252"])
        for each in self.exports.values():
            each.write()
        return f"{kind} {name}"

    def repair(self, name: str, export: Export) -> None:
        export.damage = export.renamed = None
        once: dict[str, dict[str, str]] = {}
        for row in export.rows:
            if not row[export.identity]:
                self.new += 1
                row[export.identity] = f"found-{self.new}"
            if name in DATES and row[DATES[name]].startswith("31.02."):
                row[DATES[name]] = "2026-10-01T08:00:00+00:00"
            once.setdefault(row[export.identity], row)
        export.rows = list(once.values())

    # -- what should be in the lake after a pull --

    def pulled(self, *, full: bool = False, accept: bool = False) -> tuple[bool, bool]:
        """Bring what is expected up to date; returns whether a file can't be used, and the shrunk guard."""
        shrunk = False
        for name, export in self.exports.items():
            content = export.path.read_bytes()
            if self.cursor.get(name) == content and not full:
                continue
            if export.renamed == MAPPED[name] and export.damage != "empty":
                return True, shrunk
            good, aside, whole = export.read(DATES.get(name))
            live = self.expected[name]
            gone = set(live) - set(good) - aside
            tripped = whole and len(live) - len(gone) < 0.5 * len(live) and not accept
            for identity, row in good.items():
                live[identity] = self.as_stored(name, export, row)
            if tripped:
                shrunk = True
                continue
            if whole:
                for identity in gone:
                    del live[identity]
            self.cursor[name] = content
        return False, shrunk

    @staticmethod
    def as_stored(name: str, export: Export, row: dict[str, str]) -> dict[str, Any]:
        if name == "rep":
            return {"id": row["Rep ID"], "name": row["Name"]}
        if name == "activity":
            return {
                "id": row["Call ID"],
                "lead_id": row["Lead"],
                "started_at": datetime.fromisoformat(row["Started"]),
                "duration": float(row["Seconds"]),
                "outcome": {"Reached": "connected", "Nobody": "no_answer"}[row["Result"]],
            }
        return {
            "id": row["Lead ID"],
            "created_at": datetime.fromisoformat(row["Created"]),
            "owner_id": row["Owner"],
            "lead_source": row["Source"],
            "is_converted": row["Converted"] == "true",
            "attributes.Budget": None if export.renamed == "Budget" else f'"{row["Budget"]}',
        }

    # -- commands --

    def command(self) -> str:
        name = self.random.choice(COMMANDS)
        before = deepcopy(self.scores)
        refused, run = None, None
        try:
            run = getattr(self, f"do_{name}")()
        except SettingsError as error:
            refused = error
        assert (refused is not None) == self.unusable, f"{name}: {refused}"
        if refused is not None:
            newest = self.job.runs()[0]
            assert (newest.status, newest.error) == ("failed", str(refused))
            return f"{name}: {refused.what}"
        if run is None:
            return f"{name}: nothing to do"
        self.account(run, before)
        if name in ("sync", "full") and run.status == "done":
            again = self.job.sync()
            assert (again.status, again.summary["planned"]) == ("done", 0)
            for key in ("pulled", "deleted"):
                assert set(again.summary[key].values()) == {0}, (key, again.summary)
        return f"{name}: {run.status} {run.summary.get('guards') or ''}"

    unusable = False

    def pulling(self, **options: Any) -> bool:
        self.unusable, shrunk = self.pulled(**options)
        return shrunk

    def do_sync(self, full: bool = False) -> Run:
        shrunk = self.pulling(full=full)
        run = self.job.sync(full=full)
        assert ("shrunk" in run.summary["guards"]) == shrunk
        assert (run.status == "stopped") == bool(run.summary["guards"])
        return run

    def do_full(self) -> Run:
        return self.do_sync(full=True)

    def do_ask(self) -> Run:
        self.pulling()
        run = self.job.sync(approve=None)
        assert run.summary["sent"] == 0
        return run

    def do_dry(self) -> Run:
        self.pulling()
        run = self.job.sync(dry_run=True)
        assert (run.status, run.summary["sent"]) == ("done", 0)
        return run

    def do_pull(self) -> Run:
        shrunk = self.pulling()
        run = self.job.pull()
        assert run.status == ("stopped" if shrunk else "done")
        return run

    def do_score(self) -> Run:
        self.unusable = False
        return self.job.score()

    def do_plan(self) -> Run:
        self.unusable = False
        return self.job.plan()

    def do_apply(self) -> Run | None:
        self.unusable = False
        waiting = [
            plan
            for plan in self.job.look(lambda ledger, lake: ledger.plans("acme"))
            if plan.status == "awaiting_approval"
        ]
        assert len(waiting) <= 1
        if not waiting:
            return None
        if "shrunk" in waiting[0].guards:
            self.pulling(accept=True)
        return self.job.apply(waiting[0].id, *waiting[0].guards)

    def do_undo(self) -> Run | None:
        self.unusable = False
        if not self.written:
            return None
        run_id = self.random.choice(list(self.written))
        expected = deepcopy(self.scores)
        for place, (former, ours) in self.written[run_id].items():
            if holds(self.scores[place], ours) and holds(ours, self.scores[place]):
                expected[place] = former
        run = self.job.undo(run_id)
        held = self.held()
        for place, values in expected.items():
            assert not differing(values, held[place]), ("undo", place, values, held[place])
        return run

    # -- what must hold --

    def held(self) -> dict[tuple[str, str], dict[str, Any]]:
        found = {}
        for path in (self.job.exports / "scores").glob("*.csv"):
            ids = [row["id"] for row in read_csv(path)]
            values = ScoresFile(path).held(ids, CORE)
            found |= {(path.stem, identity): values[identity] for identity in ids}
        return found

    def account(self, run: Run, before: dict[tuple[str, str], dict[str, Any]]) -> None:
        """What a run says is what the ledger says, and what it wrote is what the scores files hold."""
        stored = self.job.do(lambda bridge: bridge.plan_of(run))
        if stored is None:
            return
        counts = self.job.counts(stored.id)
        for key in ("planned", "pending", "sent", "same", "rejected", "retried"):
            assert run.summary[key] == getattr(counts, key)
        assert counts.pending + counts.sent + counts.same + counts.rejected == counts.planned
        assert stored.status in ("done", "dry_run", "awaiting_approval")
        if stored.status != "done":
            assert counts.pending == counts.planned
            return
        assert counts.pending == 0
        rows = self.job.look(lambda ledger, lake: ledger.plan_rows(stored.id, state="sent", limit=10**6))
        wrote = {}
        for row in rows:
            place = row.object, row.id
            former = before.get(place, {})
            assert holds(former, row.before), "what the plan says was there was not"
            self.scores[place] = {**former, **row.after}
            wrote[place] = former, dict(self.scores[place])
        if wrote and run.kind != "undo":
            self.written[run.id] = wrote

    def person(self) -> str:
        """Somebody changes a value of ours and adds a column of their own."""
        path = self.job.exports / "scores" / "lead.csv"
        if not path.exists():
            return "nobody"
        rows = read_csv(path)
        row = self.random.choice(rows)
        row["crmbridge_grade"] = self.random.choice("ABCD")
        row["Remark"] = "seen"
        write_csv(path, [{**each, "Remark": each.get("Remark", "")} for each in rows])
        self.scores["lead", row["id"]]["grade"] = row["crmbridge_grade"]
        return f"a person graded {row['id']}"

    def check(self) -> None:
        for name in OBJECTS:
            found, expected = self.job.records(name), self.expected[name]
            wrong = [key for key in {*found, *expected} if found.get(key) != expected.get(key)]
            for key in wrong:
                pytest.fail(f"{len(wrong)} {name}s, such as {found.get(key)}, but {expected.get(key)}")
        held = self.held()
        assert set(held) == set(self.scores)
        for place, values in held.items():
            assert not differing(values, self.scores[place]), (place, values, self.scores[place])
        for run in self.job.runs():
            assert run.status in FINAL
        assert self.job.look(lambda ledger, lake: lake.check("acme")) == []
        pending = self.job.look(lambda ledger, lake: ledger.unfinished_plan("acme"))
        assert pending is None

    def as_of(self, moment: datetime) -> Any:
        def read(ledger: Any, lake: Any) -> Any:
            objects = [*OBJECTS, "result/need/lead", "result/efficiency/rep"]
            wanted = {"result/need/lead": ["id", "score", "grade"], "result/efficiency/rep": ["id"]}
            found = {}
            for name in objects:
                columns = wanted.get(name, ["id", "owner_id", "created_at"] if name == "lead" else ["id"])
                batches = lake.scan("acme", name, columns, at=moment)
                found[name] = sorted(str(row) for batch in batches for row in batch.to_pylist())
            return found

        return self.job.look(read)

    def step(self, history: list[str]) -> None:
        history.append(f"{self.clock():%Y-%m-%d %H:%M}")
        history += [self.edit() for _ in range(self.random.randrange(3))]
        if self.random.random() < 0.2:
            history.append(self.person())
        history.append(self.command())
        self.check()
        if self.random.random() < 0.3:
            self.snapshots.append((self.clock(), self.as_of(self.clock())))
        for moment, found in self.snapshots[-4:]:
            assert self.as_of(moment) == found, f"what was known as of {moment} has changed"
        self.clock.advance(hours=self.random.choice([1, 6, 24, 24, 24 * 8, 24 * 30]))


def walk(folder: Path, seed: int, steps: int, leads: int = 60) -> None:
    walker = Walk(folder, seed, leads)
    history: list[str] = []
    for _ in range(steps):
        try:
            walker.step(history)
        except (AssertionError, CRMBridgeError, pytest.fail.Exception) as error:
            pytest.fail(f"seed {seed}: {error}\n" + "\n".join(history))
    for moment, found in walker.snapshots:
        assert walker.as_of(moment) == found, f"what was known as of {moment} has changed"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_months_of_runs_lose_nothing_and_make_nothing_up(tmp_path, seed):
    walk(tmp_path, seed, steps=25)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 102))
def test_years_of_runs_lose_nothing_and_make_nothing_up(tmp_path, seed):
    walk(tmp_path, seed, steps=120)
