"""The scheduled job: what is due runs once, outages are told once, and nothing that happens loses a run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crmbridge.connectors.base import CheckItem
from crmbridge.errors import AuthError, BusyError, QuotaError, SettingsError, StoppedError, TransientError
from tests.conftest import Clock
from tests.memory_crm import MemoryConnector, MemoryCrm
from tests.unattended import Recorder, Unattended


class Killed(BaseException):
    """A kill: nothing of the process runs after it."""


@pytest.fixture
def job(tmp_path: Path, clock: Clock) -> Unattended:
    made = Unattended(tmp_path, clock)
    made.look()  # the schedule is known from now on: 12:00, a slot itself
    return made


def break_query(monkeypatch: pytest.MonkeyPatch, error: BaseException | Callable[[], None]) -> None:
    whole = MemoryCrm.query

    def query(self: MemoryCrm, *arguments: Any) -> Any:
        if isinstance(error, BaseException):
            raise error
        error()
        return whole(self, *arguments)

    monkeypatch.setattr(MemoryCrm, "query", query)


def test_what_is_due_runs_once_whoever_asks_how_often(job: Unattended, clock: Clock) -> None:
    assert job.run() is None
    clock.advance(minutes=16)
    run = job.run()
    assert run is not None
    assert (run.kind, run.status, run.slot) == ("sync", "done", clock() - timedelta(minutes=1))
    assert job.run() is None
    with job.open() as first, job.open() as second:
        clock.advance(minutes=15)
        assert first.is_due("acme")
        assert first.run_due("acme") is not None
        assert not second.is_due("acme")
        assert second.run_due("acme") is None


def test_a_run_that_a_person_starts_while_one_is_due_is_that_run(job: Unattended, clock: Clock) -> None:
    clock.advance(minutes=15)
    run = job.do(lambda bridge: bridge.sync("acme"))
    assert run.slot == clock()
    assert job.run() is None
    clock.advance(minutes=1)
    assert job.do(lambda bridge: bridge.sync("acme")).slot is None
    clock.advance(minutes=14)
    looked = job.do(lambda bridge: bridge.sync("acme", dry_run=True))
    assert looked.slot is None
    assert job.run() is not None


def test_slots_that_passed_while_nobody_could_run_are_one_run_and_said(job: Unattended, clock: Clock) -> None:
    clock.advance(minutes=61)
    run = job.run()
    assert run is not None
    assert run.slot == clock() - timedelta(minutes=1)
    assert job.run() is None


def test_that_nothing_runs_is_noticed_by_any_command_told_once_and_its_end_too(
    job: Unattended, clock: Clock
) -> None:
    clock.advance(minutes=15 + 9)
    job.look()
    assert job.told == []
    clock.advance(minutes=20)
    for _ in range(3):
        job.look()
    assert job.told == [("did_not_run", "raised")]
    alert = Recorder.told[0]
    assert "due at 2026-11-24 12:15:00 UTC did not happen, nor did 1 after it" in alert.what
    assert "crmbridge serve" in alert.remedy
    job.run()
    job.look()
    assert job.told == [("did_not_run", "raised"), ("did_not_run", "cleared")]


def test_a_scheduler_that_comes_back_says_that_it_was_away(job: Unattended, clock: Clock) -> None:
    clock.advance(hours=5)
    with job.open() as bridge:
        bridge.look()  # as `serve` does when it starts
        bridge.run_due("acme")
    assert job.told == [("did_not_run", "raised"), ("did_not_run", "cleared")]


def test_a_run_that_takes_longer_than_its_period_is_no_outage(
    job: Unattended, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.advance(minutes=15)

    def long() -> None:
        clock.advance(minutes=40)
        job.look()

    break_query(monkeypatch, long)
    assert job.run() is not None
    job.look()
    assert job.told == []


def test_a_changed_schedule_counts_from_now_on(job: Unattended, clock: Clock) -> None:
    clock.advance(minutes=14)
    text = job.settings.read_text(encoding="utf-8")
    job.settings.write_text(text.replace("every 15 minutes", "every 1 minute"), encoding="utf-8")
    assert job.run() is None
    clock.advance(minutes=1)
    assert job.run() is not None


def test_an_outage_is_told_once_with_its_reason_and_its_end_once(
    job: Unattended, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        break_query(broken, TransientError("the network is gone.", remedy="Look at the cable."))
        for _ in range(4):
            clock.advance(minutes=15)
            assert isinstance(job.run_or_fail(), TransientError)
    assert job.told == [("failing", "raised")]
    alert = Recorder.told[0]
    assert "the network is gone. Look at the cable." in alert.what
    assert "crmbridge check acme" in alert.remedy
    assert (alert.since, alert.at) == (job.runs()[0].started_at, job.runs()[0].finished_at)
    clock.advance(minutes=15)
    run = job.run()
    assert run is not None
    assert run.status == "done"
    assert job.told == [("failing", "raised"), ("failing", "cleared")]
    assert Recorder.told[1].since == alert.since
    assert [run.status for run in job.runs()] == ["failed"] * 4 + ["done"]


def test_a_guard_is_told_with_the_command_that_passes_it(job: Unattended, clock: Clock) -> None:
    clock.advance(minutes=15)
    job.run()
    job.crm.org_id = "another"
    clock.advance(minutes=15)
    job.run_or_fail()
    assert job.told == [("guard", "raised")]
    assert "wrong_org" in Recorder.told[0].what
    job.crm.org_id = "org-1"
    clock.advance(minutes=15)
    job.run()
    assert job.told[1:] == [("guard", "cleared")]


def test_a_run_that_used_up_its_share_keeps_what_it_read_stops_and_goes_on_later(
    job: Unattended, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        job.crm.put("lead", f"more{number}", {"created_at": job.crm.now})
    calls = 0

    def spend() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise QuotaError("this run has used its share.", remedy="It goes on.")

    break_query(monkeypatch, spend)
    clock.advance(minutes=15)
    assert isinstance(job.run_or_fail(), QuotaError)
    stopped = job.runs()[0]
    assert (stopped.status, stopped.summary["stopped_by"]) == ("stopped", "budget")
    assert stopped.summary["pulled"] == {"lead": 20}
    assert stopped.api_calls == 3
    assert job.told == [("budget", "raised")]
    assert job.crm.calls[-1] == ("query", 10)
    clock.advance(minutes=15)
    run = job.run()
    assert run is not None
    assert (run.status, run.summary["pulled"]) == ("done", {"lead": 14})
    assert job.told[1:] == [("budget", "cleared")]


def test_a_killed_run_is_taken_up_as_of_its_moment_by_whoever_is_next(
    job: Unattended, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.advance(minutes=15)
    moment = clock()
    with monkeypatch.context() as patch:
        break_query(patch, Killed())
        with pytest.raises(Killed):
            job.run()
    clock.advance(minutes=2)
    run = job.run()
    assert run is not None
    assert (run.slot, run.moment, run.attempts, run.status) == (moment, moment, 2, "done")
    assert len(job.runs()) == 1
    assert job.run() is None


def test_a_run_that_was_cut_off_and_that_nobody_takes_up_is_told(
    job: Unattended, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.advance(minutes=15)
    with monkeypatch.context() as patch:
        break_query(patch, Killed())
        with pytest.raises(Killed):
            job.run()
    clock.advance(minutes=11)
    job.look()
    assert job.told == [("did_not_run", "raised")]
    assert "cut off" in Recorder.told[0].what
    job.run()
    assert job.told[1:] == [("did_not_run", "cleared")]


def test_a_run_asked_to_stop_keeps_its_checkpoint_and_goes_on_from_there(
    job: Unattended, clock: Clock
) -> None:
    for number in range(30):
        job.crm.put("lead", f"more{number}", {"created_at": job.crm.now})
    clock.advance(minutes=15)
    begun = len(job.crm.calls)
    with pytest.raises(StoppedError, match="Nothing is lost"):
        job.do(lambda bridge: bridge.run_due("acme"), stopping=lambda: len(job.crm.calls) >= begun + 2)
    left = job.runs()[0]
    assert (left.status, left.api_calls) == ("running", 2)
    assert job.told == []
    run = job.run()
    assert run is not None
    assert (run.id, run.attempts, run.status) == (left.id, 2, "done")
    assert run.summary["pulled"] == {"lead": 34}
    sizes = [number for kind, number in job.crm.calls[begun:] if kind == "query"]
    assert sum(sizes) == 34, "nothing was read twice"


def test_a_clock_set_back_an_hour_loses_no_run_and_is_said(job: Unattended, clock: Clock) -> None:
    job.metrics = lambda known: {"need": known["need"]}
    clock.advance(minutes=75)
    ahead = job.run()
    assert ahead is not None
    clock.advance(minutes=-60)
    assert job.run() is None
    found = []
    for _ in range(4):
        job.crm.put("lead", "l0", {"lead_source": f"at {clock()}"})
        clock.advance(minutes=15)
        run = job.run()
        assert run is not None, "the next slot by the clock as it is now runs"
        assert run.status == "awaiting_approval"
        found.append((run.summary["pulled"], run.moment))
    assert found == [({"lead": 1}, ahead.moment)] * 3 + [({"lead": 1}, clock())]
    assert job.told == [("clock", "raised"), ("clock", "cleared")]
    assert "0:45:00 behind" in Recorder.told[0].what


def test_a_clock_set_forward_an_hour_is_one_late_run(job: Unattended, clock: Clock) -> None:
    clock.advance(minutes=15)
    job.run()
    clock.advance(hours=1)
    assert job.run() is not None
    assert job.run() is None
    assert [run.status for run in job.runs()] == ["done", "done"]


def test_a_clock_that_is_days_behind_is_refused_in_words(job: Unattended, clock: Clock) -> None:
    job.metrics = lambda known: {"need": known["need"]}
    job.do(lambda bridge: bridge.sync("acme", at=clock() + timedelta(days=3)))
    clock.advance(minutes=15)
    error = job.run_or_fail()
    assert isinstance(error, SettingsError)
    assert "clock" in str(error)
    assert job.told == [("failing", "raised")]


def test_two_machines_whose_clocks_differ_a_little_run_a_slot_once(job: Unattended, clock: Clock) -> None:
    clock.advance(minutes=15)
    assert job.run() is not None
    clock.advance(seconds=-2)
    assert job.run() is None
    clock.advance(seconds=3)
    assert job.run() is None


def test_what_a_channel_refuses_is_told_later_once(job: Unattended, clock: Clock) -> None:
    Recorder.refuses = True
    clock.advance(minutes=30)
    job.look()
    assert job.told == []
    assert any(event == "alert not delivered" for event, _ in job.lines)
    Recorder.refuses = False
    job.look()
    assert job.told == [], "not before its next try is due"
    clock.advance(seconds=15)
    job.look()
    job.look()
    assert job.told == [("did_not_run", "raised")]


def test_an_alert_survives_a_process_that_dies_before_it_is_told(
    job: Unattended, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.advance(minutes=30)
    with monkeypatch.context() as patch:

        def die(self: Recorder, alert: object) -> None:
            raise Killed

        patch.setattr(Recorder, "send", die)
        with pytest.raises(Killed):
            job.look()
    job.look()
    assert job.told == [("did_not_run", "raised")]


def test_kinds_that_the_settings_leave_out_are_not_told(tmp_path: Path, clock: Clock) -> None:
    job = Unattended(tmp_path, clock)
    text = job.settings.read_text(encoding="utf-8")
    job.settings.write_text(text + '\n[alerts]\nkinds = ["failing"]\n', encoding="utf-8")
    job.look()
    clock.advance(hours=3)
    job.look()
    assert job.told == []


def test_a_secret_that_is_about_to_expire_is_told_once(tmp_path: Path, clock: Clock) -> None:
    job = Unattended(tmp_path, clock, extra="expires = { client_secret = 2026-12-20 }")
    job.look()
    assert job.told == []
    clock.advance(days=13)
    job.look()
    job.look()
    assert [each for each in job.told if each[0] == "expiry"] == [("expiry", "raised")]
    told = next(alert for alert in Recorder.told if alert.kind == "expiry")
    assert "client_secret on 2026-12-20" in told.what
    assert "crmbridge secret set acme" in told.remedy


def test_a_connection_that_another_process_runs_is_left_to_it(job: Unattended, clock: Clock) -> None:
    clock.advance(minutes=15)
    with job.open() as first, first.ledger.lease("connection/acme"), pytest.raises(BusyError):
        job.run()
    assert job.run() is not None


def test_a_sign_in_that_is_refused_is_an_outage(
    job: Unattended, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: MemoryConnector) -> None:
        raise AuthError("the CRM refused the sign-in.", remedy="Make a new secret.")

    clock.advance(minutes=15)
    monkeypatch.setattr(MemoryConnector, "org", refuse)
    job.run_or_fail()
    assert job.told == [("failing", "raised")]
    assert "Make a new secret" in Recorder.told[0].what


def test_check_plan_and_runs_show_what_runs_will_need_of_the_api(
    job: Unattended, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(self: MemoryConnector) -> Any:
        self.context.calls.learn_limit(1000)
        yield CheckItem("sign-in", "ok", "org-1")

    monkeypatch.setattr(MemoryConnector, "check", check)
    clock.advance(minutes=15)
    job.run()
    items = job.do(lambda bridge: bridge.check("acme"))
    assert (items[-1].name, items[-1].state) == ("API budget", "ok")
    assert items[-1].detail == (
        "about 2 calls a run (busy: 2), 192 a day in 96 runs, 2 in the last 24 hours, "
        "share 250 of 1,000 a day"
    )
    found = job.do(lambda bridge: bridge.forecast("acme"))
    assert (found.calls_a_day, found.spent_today, found.share) == (192, 2, None)


def test_a_network_that_is_gone_for_ten_minutes_in_the_middle_of_a_run_loses_and_doubles_nothing(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Unattended(tmp_path, clock, schedule="every minute", leads=45)
    job.look()
    clock.advance(minutes=1)
    began, pages = clock(), 0

    def fail() -> None:
        nonlocal pages
        pages += 1
        if pages > 2 and clock() - began < timedelta(minutes=10):
            raise TransientError("the network is gone.")

    break_query(monkeypatch, fail)
    for _ in range(12):
        job.run_or_fail()
        clock.advance(minutes=1)
    found = job.runs()
    assert [run.status for run in found] == ["failed"] * 10 + ["done"] * 2
    assert [run.summary["pulled"]["lead"] for run in found] == [20] + [0] * 9 + [25, 0]
    assert len({run.slot for run in found}) == 12
    assert job.told == [("failing", "raised"), ("failing", "cleared")]
    assert Recorder.told[1].at - Recorder.told[0].since == timedelta(minutes=10)
