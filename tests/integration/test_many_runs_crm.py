"""The scheduled job on a CRM with an API: own writes come back, people edit, calls cost, answers get lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crmbridge.connectors.base import Org
from crmbridge.errors import AuthError, GuardError, QuotaError
from crmbridge.model.fields import CORE, fields_on, hubspot_name
from crmbridge.store.lake import Lake
from crmbridge.store.ledger import Ledger, PlanRow, Run
from tests.conftest import Clock
from tests.integration.many_runs import Installation
from tests.memory_crm import ORGS, MemoryConnector, MemoryCrm, Row

SETTINGS = """
[connections.acme]
connector = "memory"
org = "acme"
page_size = 10
{extra}
"""
START = MemoryCrm().now + timedelta(days=30)
LEADS = 24


class Killed(BaseException):
    """A kill: nothing of the process runs after it."""


@dataclass
class Crm(MemoryCrm):
    """A CRM whose caller can be killed at a call: before it has any effect, or before the answer is read."""

    kill_at: int = -1
    kill_before: bool = True

    def _call(self, call: Any, *arguments: Any) -> Any:
        fatal = len(self.calls) == self.kill_at
        if fatal and self.kill_before:
            self.calls.append(("killed", 0))
            raise Killed
        answer = call(*arguments)
        if fatal:
            raise Killed
        return answer

    def query(self, *arguments: Any) -> list[tuple[tuple[str, str], Row]]:
        return self._call(super().query, *arguments)  # type: ignore[no-any-return]

    def get(self, *arguments: Any) -> dict[str, dict[str, Any]]:
        return self._call(super().get, *arguments)  # type: ignore[no-any-return]

    def update(self, *arguments: Any) -> list[str]:
        return self._call(super().update, *arguments)  # type: ignore[no-any-return]

    @property
    def leads(self) -> Mapping[str, Mapping[str, Any]]:
        return {identifier: row.fields for identifier, row in self.rows["lead"].items()}

    def score(self, identifier: str) -> Any:
        return self.leads[identifier].get("crmbridge_score")


def organisation() -> Crm:
    """Leads of which every other one is still open."""
    crm = Crm("org-1")
    draw = np.random.default_rng(3)
    for number in range(LEADS):
        created = crm.now - timedelta(
            days=int(draw.integers(150, 400) if number % 2 else draw.integers(1, 30))
        )
        won = bool(number % 2 and draw.random() < 0.5)
        values: dict[str, Any] = {"created_at": created, "lead_source": str(draw.choice(["Web", "Fair"]))}
        values |= {"is_converted": won, "Budget": str(int(draw.integers(1, 9)))}
        if number % 2:
            closed = created + timedelta(days=20)
            values |= {"converted_at": closed} if won else {"is_disqualified": True}
            values |= {"closed_at": closed}
        crm.put("lead", f"L{number:02d}", values)
    for each in fields_on("lead", CORE):
        crm.custom.setdefault("lead", set()).add(hubspot_name(each.key))
    return crm


def installed(folder: Path, crm: Crm, extra: str = "guards = { max_changed = 1 }") -> Installation:
    ORGS["acme"] = crm
    folder.mkdir(exist_ok=True)
    settings = folder / "crmbridge.toml"
    settings.write_text(SETTINGS.format(extra=extra), encoding="utf-8")
    return Installation(settings, Clock(START))


@pytest.fixture
def crm() -> Iterator[Crm]:
    yield organisation()
    ORGS.clear()


@pytest.fixture
def job(tmp_path: Path, crm: Crm) -> Installation:
    return installed(tmp_path, crm)


def later(job: Installation, crm: Crm, **by: float) -> None:
    job.clock.advance(**by)
    crm.calls.clear()


def rows(job: Installation, run: Run) -> list[PlanRow]:
    plan: Any = run.summary["plan"]
    return job.look(lambda ledger, lake: ledger.plan_rows(plan))


def versions(job: Installation, name: str) -> int:
    def count(ledger: Ledger, lake: Lake) -> int:
        at = job.clock() + timedelta(days=999)
        return sum(batch.num_rows for batch in lake.versions("acme", name, ["id"], at=at))

    return job.look(count)


def calls(crm: Crm) -> dict[str, int]:
    names = [name for name, _ in crm.calls]
    return {"read": names.count("query") + names.count("get"), "write": names.count("update")}


# -- echo --


def test_own_writes_come_back_as_nothing_new(job: Installation, crm: Crm) -> None:
    first = job.sync()
    assert first.summary["sent"] == LEADS // 2
    before = {name: versions(job, name) for name in ("lead", "result/need/lead")}
    later(job, crm, minutes=30)
    run = job.sync()
    assert (run.status, run.summary["planned"], run.summary["pulled"]) == ("done", 0, {"lead": 0})
    assert {name: versions(job, name) for name in before} == before
    assert {name for name, _ in crm.calls} == {"query"}, "what is held came with the pages: nothing was read"


def test_a_human_edit_of_an_input_in_the_second_of_our_write_is_seen(job: Installation, crm: Crm) -> None:
    job.sync()
    crm.rows["lead"]["L00"].fields["lead_source"] = "Fair"
    crm.rows["lead"]["L00"].fields["Budget"] = "777"  # the stamp stays the one of our write
    later(job, crm, minutes=30)
    run = job.sync()
    assert run.summary["pulled"] == {"lead": 1}
    assert job.records("lead", ["id", "attributes.Budget"])["L00"]["attributes.Budget"] == '"777'


def test_a_human_edit_of_our_field_is_planned_from_what_the_pull_shows(job: Installation, crm: Crm) -> None:
    job.sync()
    ours = crm.score("L02")
    crm.put("lead", "L02", {"crmbridge_score": 99.0, "crmbridge_grade": "A"})
    later(job, crm, minutes=30)
    run = job.sync(approve=None)
    (row,) = rows(job, run)
    assert (row.id, row.before["score"], row.after["score"]) == ("L02", 99.0, ours)
    assert run.summary["pulled"] == {"lead": 0}, "our fields are no inputs"
    assert [name for name, _ in crm.calls if name != "query"] == ["get"], "one candidate, one read"
    later(job, crm, minutes=30)
    job.apply(run.summary["plan"])
    assert crm.score("L02") == ours


def test_a_human_edit_after_the_plan_is_kept(job: Installation, crm: Crm) -> None:
    waiting = job.sync(approve=None)
    crm.put("lead", "L02", {"crmbridge_grade": "B"})
    applied = job.apply(waiting.summary["plan"])
    assert (applied.status, applied.summary["rejected"]) == ("partly", 1)
    assert crm.leads["L02"]["crmbridge_grade"] == "B"


def test_undo_gives_every_field_back_and_the_next_run_writes_them_again(job: Installation, crm: Crm) -> None:
    before = deepcopy(crm.leads)
    first = job.sync()
    after = deepcopy(crm.leads)
    job.undo(first.id)
    for identifier, fields in crm.leads.items():
        assert {key: value for key, value in fields.items() if value is not None} == before[identifier]
    later(job, crm, seconds=1)
    assert job.sync().summary["sent"] == first.summary["sent"]
    for identifier, fields in crm.leads.items():
        assert fields.get("crmbridge_score") == after[identifier].get("crmbridge_score")


# -- faults --


def test_a_row_the_crm_refuses_is_told_and_tried_again_by_the_next_run(job: Installation, crm: Crm) -> None:
    crm.faults.append("reject:L04")
    run = job.sync()
    assert (run.status, run.summary["rejected"]) == ("partly", 1)
    (row,) = [row for row in rows(job, run) if row.state == "rejected"]
    assert (row.id, row.code, row.message) == ("L04", "VALIDATION", "the admin's rule says no")
    crm.faults.clear()
    later(job, crm, minutes=30)
    run = job.sync()
    assert ([row.id for row in rows(job, run)], run.status) == (["L04"], "done")


@pytest.mark.parametrize(
    "faults", [["locked:L04"] * 2, ["lost_answer"], ["lost_request"], ["lost_answer"] * 2]
)
def test_locks_and_lost_answers_end_in_every_record_written_once(
    job: Installation, crm: Crm, faults: list[str]
) -> None:
    crm.faults += faults
    run = job.sync()
    assert (run.status, run.summary["sent"]) == ("done", LEADS // 2)
    assert crm.faults == []
    later(job, crm, minutes=30)
    assert job.sync().summary["planned"] == 0


def quota_after_one_batch(job: Installation, crm: Crm, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A sync whose first batch is written and whose second finds the quota used up."""

    def then_no_more(*arguments: Any) -> list[str]:
        answers = MemoryCrm.update(crm, *arguments)
        crm.faults.append("quota")
        return answers

    with monkeypatch.context() as patch:
        patch.setattr(crm, "update", then_no_more)
        with pytest.raises(QuotaError):
            job.sync()
    return job.runs()[0]


def test_a_quota_used_up_leaves_an_approved_plan_that_the_next_run_finishes_first(
    job: Installation, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = quota_after_one_batch(job, crm, monkeypatch)
    assert (failed.status, failed.summary["stopped_by"]) == ("stopped", "budget")
    assert "daily limit" in str(failed.error)
    assert (failed.summary["sent"], failed.summary["pending"]) == (6, 6)
    assert failed.summary["calls_by_kind"] == calls(crm)
    crm.put("lead", "L00", {"Budget": "500"})
    later(job, crm, hours=1)
    run = job.sync()
    finished = job.look(lambda ledger, lake: ledger.run(failed.id))
    assert (finished.status, finished.error) == ("done", None)
    assert (finished.summary["sent"], finished.summary["pending"]) == (12, 0)
    assert finished.summary["pulled"] == {"lead": LEADS}
    assert run.summary["pulled"] == {"lead": 1}
    assert run.status == "done"
    later(job, crm, minutes=1)
    assert job.sync().summary["planned"] == 0


def test_while_the_quota_is_used_up_every_run_says_so_and_nothing_is_lost(
    job: Installation, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    quota_after_one_batch(job, crm, monkeypatch)
    for _ in range(2):
        later(job, crm, hours=1)
        crm.faults.append("quota")
        with pytest.raises(QuotaError):
            job.sync()
        assert (job.runs()[0].kind, job.runs()[0].status) == ("sync", "stopped")
    later(job, crm, hours=1)
    assert job.sync().status == "done"
    assert all(crm.score(f"L{number:02d}") is not None for number in range(0, LEADS, 2))


def test_a_refused_sign_in_ends_the_run_before_anything_is_read(
    job: Installation, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(connector: MemoryConnector) -> Org:
        raise AuthError("the token was revoked.", remedy="Sign in again.")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryConnector, "org", refused)
        with pytest.raises(AuthError):
            job.sync()
    assert (job.runs()[0].status, crm.calls) == ("failed", [])
    assert job.sync().status == "done"


@pytest.mark.parametrize("command", ["sync", "pull", "plan", "apply", "undo", "finish"])
def test_of_another_org_nothing_is_read_and_into_it_nothing_is_written(
    job: Installation, crm: Crm, command: str
) -> None:
    first = job.sync()
    waiting: Any = 0
    if command == "apply":
        crm.put("lead", "L02", {"crmbridge_score": 99.0})
        later(job, crm, hours=1)
        waiting = job.sync(approve=None).summary["plan"]
    if command == "finish":
        crm.put("lead", "L02", {"crmbridge_score": 99.0})
        later(job, crm, hours=1)
        crm.faults.append("quota")
        with pytest.raises(QuotaError):
            job.sync()
    other = organisation()
    other.org_id = "org-2"
    ORGS["acme"] = other
    later(job, crm, hours=1)
    before = deepcopy(other.leads)
    commands: dict[str, Callable[[], Run]] = {
        "sync": job.sync,
        "finish": job.sync,
        "pull": job.pull,
        "plan": job.plan,
        "apply": lambda: job.apply(waiting),
        "undo": lambda: job.undo(first.id),
    }
    with pytest.raises(GuardError, match="wrong_org") as stopped:
        commands[command]()
    assert stopped.value.exit_code == 3
    assert (other.calls, other.leads) == ([], before)
    assert job.runs()[0].status == "stopped"
    ORGS["acme"] = crm
    later(job, crm, hours=1)
    assert job.sync().status == "done"


# -- what it costs --


def test_the_calls_that_a_run_tells_are_those_it_made(job: Installation, crm: Crm) -> None:
    crm.faults += ["lost_answer", "locked:L08"]
    for _ in range(3):
        run = job.sync()
        assert run.summary["calls_by_kind"] == {kind: number for kind, number in calls(crm).items() if number}
        assert run.summary["api_calls"] == len(crm.calls)
        crm.put("lead", "L06", {"crmbridge_score": 1.0})
        later(job, crm, hours=1)


def test_a_plan_reads_only_the_candidates(job: Installation, crm: Crm) -> None:
    job.sync()
    for identifier in ("L00", "L10"):
        crm.put("lead", identifier, {"crmbridge_score": 1.0})
    later(job, crm, minutes=10)
    job.pull()
    job.score()
    crm.calls.clear()
    assert job.plan().summary["planned"] == 2
    assert crm.calls == [("get", 2)]


# -- kills --


def end(job: Installation, crm: Crm, run: Run) -> dict[str, Any]:
    """All that a run leaves, without what may differ after a kill."""
    volatile = ("seconds", "retried", "api_calls", "calls_by_kind")
    found = [(row.object, row.id, row.before, row.after, row.state, row.reason) for row in rows(job, run)]
    end_of_time = job.clock() + timedelta(days=999)

    def lake_rows(ledger: Any, lake: Any) -> dict[str, list[str]]:
        wanted = {
            "lead": ["id", "valid_from", "lead_source", "attributes.Budget"],
            "result/need/lead": ["id", "valid_from", "score", "grade"],
            "held/lead": ["id", "score", "grade", "model"],
        }
        return {
            name: sorted(
                str(row)
                for batch in getattr(lake, "scan" if name == "held/lead" else "versions")(
                    "acme", name, columns, at=end_of_time
                )
                for row in batch.to_pylist()
            )
            for name, columns in wanted.items()
        }

    return {
        "status": run.status,
        "summary": {key: value for key, value in run.summary.items() if key not in volatile},
        "plan": found,
        "crm": crm.leads,
        "lake": job.look(lake_rows),
        "problems": job.look(lambda ledger, lake: lake.check("acme")),
    }


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False], ids=["before the call", "before its answer is read"])
def test_a_kill_at_any_call_and_the_same_run_again_end_like_an_undisturbed_run(
    tmp_path: Path, before: bool
) -> None:
    crm = organisation()
    job = installed(tmp_path / "undisturbed", crm)
    expected = end(job, crm, job.sync())
    total = len(crm.calls)
    assert total > 10
    for number in range(total):
        crm = organisation()
        crm.kill_at, crm.kill_before = number, before
        job = installed(tmp_path / f"killed-{number}", crm)
        with pytest.raises(Killed):
            job.sync()
        crm.kill_at = -1
        run = job.sync()
        assert run.attempts == 2
        assert end(job, crm, run) == expected, f"killed at call {number}"
    ORGS.clear()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["apply", "undo"])
def test_apply_and_undo_go_on_after_a_kill_at_any_call(tmp_path: Path, command: str) -> None:
    def prepared(name: str) -> tuple[Installation, Crm, Any]:
        crm = organisation()
        job = installed(tmp_path / name, crm)
        run = job.sync(approve=None if command == "apply" else "yes")
        crm.calls.clear()
        return job, crm, run.summary["plan"] if command == "apply" else run.id

    job, crm, argument = prepared("undisturbed")
    expected = getattr(job, command)(argument), deepcopy(crm.leads)
    for number in range(len(crm.calls)):
        job, crm, argument = prepared(f"killed-{number}")
        crm.kill_at, crm.kill_before = number, bool(number % 2)
        with pytest.raises(Killed):
            getattr(job, command)(argument)
        crm.kill_at = -1
        run = getattr(job, command)(argument)
        assert (run.status, run.attempts) == ("done", 2)
        assert run.summary["sent"] == expected[0].summary["sent"]
        assert crm.leads == expected[1], f"killed at call {number}"
    ORGS.clear()
