from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from crmbridge.errors import NotFoundError
from crmbridge.store.ledger import Ledger, PlanRow
from tests.conftest import Clock

MOMENT = datetime(2026, 3, 31, 8, tzinfo=UTC)


def test_a_run_keeps_what_it_was_given(ledger: Ledger, clock: Clock) -> None:
    run = ledger.start_run("acme", "sync", MOMENT)
    assert (run.connection, run.kind, run.moment, run.status) == ("acme", "sync", MOMENT, "running")
    assert (run.started_at, run.finished_at, run.attempts) == (clock.moment, None, 1)
    clock.advance(seconds=90)
    done = ledger.finish_run(
        run.id, "partly", {"pulled": {"lead": 3}, "seconds": 1.5}, error="two rows \0 refused"
    )
    assert done == ledger.run(run.id)
    assert (done.status, done.finished_at) == ("partly", clock.moment)
    assert done.summary == {"pulled": {"lead": 3}, "seconds": 1.5}
    assert done.error == "two rows \ufffd refused"


def test_moments_come_back_in_utc_whatever_zone_they_were_given_in(ledger: Ledger) -> None:
    berlin = datetime(2026, 3, 31, 10, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    run = ledger.run(ledger.start_run("acme", "pull", berlin).id)
    assert run.moment == berlin
    assert run.moment.utcoffset() == timedelta(0)


def test_a_moment_without_a_zone_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Exception, match="time zone"):
        ledger.start_run("acme", "pull", datetime(2026, 3, 31))  # noqa: DTZ001


def test_an_unfinished_run_of_the_same_kind_and_moment_is_taken_up_again(ledger: Ledger) -> None:
    first = ledger.start_run("acme", "sync", MOMENT)
    again = ledger.start_run("acme", "sync", MOMENT)
    assert (again.id, again.attempts) == (first.id, 2)
    ledger.finish_run(first.id, "done", {})
    assert ledger.start_run("acme", "sync", MOMENT).id != first.id


def test_other_unfinished_runs_of_the_connection_become_interrupted(ledger: Ledger, clock: Clock) -> None:
    earlier = ledger.start_run("acme", "sync", MOMENT)
    other = ledger.start_run("globex", "sync", MOMENT)
    later = ledger.start_run("acme", "sync", MOMENT + timedelta(hours=1))
    assert later.id != earlier.id
    assert ledger.run(earlier.id).status == "interrupted"
    assert ledger.run(earlier.id).finished_at == clock.moment
    assert ledger.run(other.id).status == "running"


def test_without_resume_a_new_run_begins(ledger: Ledger) -> None:
    first = ledger.start_run("acme", "sync", MOMENT)
    second = ledger.start_run("acme", "sync", MOMENT, resume=False)
    assert second.id != first.id
    assert ledger.run(first.id).status == "interrupted"


def test_a_run_whose_approved_plan_is_not_written_yet_stays_open(ledger: Ledger) -> None:
    run = ledger.start_run("acme", "sync", MOMENT)
    row = PlanRow("lead", "1", {"score": None}, {"score": 50.0}, "new")
    plan = ledger.store_plan(run.id, "acme", "write", MOMENT, [row], status="awaiting_approval", guards={})
    ledger.approve(plan.id, "person")
    ledger.start_run("acme", "sync", MOMENT + timedelta(hours=1))
    assert ledger.run(run.id).status == "running"
    ledger.record(plan.id, [(0, "sent", None, None)])
    ledger.start_run("acme", "sync", MOMENT + timedelta(hours=2))
    assert ledger.run(run.id).status == "running", "written, but nobody has closed the plan and the run"
    ledger.close_plan(plan.id)
    ledger.start_run("acme", "sync", MOMENT + timedelta(hours=3))
    assert ledger.run(run.id).status == "interrupted"


def test_a_run_is_only_taken_up_by_one_about_the_same_thing(ledger: Ledger) -> None:
    first = ledger.start_run("acme", "apply", MOMENT, about={"plan": 1})
    assert ledger.start_run("acme", "apply", MOMENT, about={"plan": 1}).id == first.id
    other = ledger.start_run("acme", "apply", MOMENT, about={"plan": 2})
    assert other.id != first.id
    assert ledger.run(other.id).summary == {"plan": 2}
    assert ledger.run(first.id).status == "interrupted"


def test_runs_are_listed_newest_first(ledger: Ledger) -> None:
    ids = []
    for connection in ("acme", "globex", "acme"):
        run = ledger.start_run(connection, "pull", MOMENT)
        ledger.finish_run(run.id, "done", {})
        ids.append(run.id)
    assert [run.id for run in ledger.runs()] == ids[::-1]
    assert [run.id for run in ledger.runs("acme")] == [ids[2], ids[0]]
    assert [run.id for run in ledger.runs(limit=1)] == [ids[2]]


def test_an_unknown_run_is_named(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="no run 77"):
        ledger.run(77)
    with pytest.raises(NotFoundError, match="no run 77"):
        ledger.finish_run(77, "done", {})


def test_a_connection_is_bound_to_the_first_org_it_met(ledger: Ledger) -> None:
    assert ledger.bind_org("acme", "00D1", "Acme Inc.") is None
    assert ledger.bind_org("acme", "00D1", "Acme renamed") is None
    assert ledger.bind_org("acme", "00D2", "Acme sandbox") == "00D1"
    assert ledger.bind_org("globex", "00D2", "Globex") is None


def test_secrets_are_kept_replaced_and_deleted(ledger: Ledger) -> None:
    assert ledger.secret("acme", "refresh_token") is None
    ledger.set_secret("acme", "refresh_token", b"\x00\xff1")
    ledger.set_secret("acme", "refresh_token", b"\x00\xff2")
    ledger.set_secret("globex", "refresh_token", b"other")
    assert ledger.secret("acme", "refresh_token") == b"\x00\xff2"
    ledger.delete_secret("acme", "refresh_token")
    ledger.delete_secret("acme", "refresh_token")
    assert ledger.secret("acme", "refresh_token") is None
    assert ledger.secret("globex", "refresh_token") == b"other"
