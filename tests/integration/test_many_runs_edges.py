"""What changes between two runs: moment, settings, plugins, store; and runs that are cut off."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from crmbridge.errors import GuardError, SettingsError, StoreError
from crmbridge.metrics.base import Frame
from crmbridge.metrics.need import NeedMetric
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model
from crmbridge.store.ledger import Ledger, Plan
from crmbridge.writeback.scores import ScoresFile
from tests.conftest import Clock
from tests.integration.many_runs import Installation
from tests.organisation import MOMENT, read_csv, write_csv, write_organisation

START = MOMENT + timedelta(minutes=10)  # all that the exports tell happens on the hour


@pytest.fixture
def job(tmp_path):
    return Installation(write_organisation(tmp_path, leads=60), Clock(START))


def edit(job: Installation, name: str, change: Callable[[list[dict[str, str]]], object]) -> None:
    path = job.exports / name
    rows = read_csv(path)
    write_csv(path, change(rows) or rows)


def scores(job: Installation) -> dict[str, dict[str, str]]:
    return {row["id"]: row for row in read_csv(job.exports / "scores" / "lead.csv")}


def plan(job: Installation, identity: int) -> Plan:
    return job.look(lambda ledger, lake: ledger.plan(identity))


class Killed(BaseException):
    """A kill: nothing of the process runs after it."""


def cut_off_at(monkeypatch: pytest.MonkeyPatch, method: str, do: Callable[[], object]) -> None:
    """Do something in a process that is killed when it comes to a method of the ledger."""

    def kill(*arguments: object, **options: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, method, kill)
        with pytest.raises(Killed):
            do()


# -- guards --


def test_what_an_export_lost_stays_until_a_person_says_that_it_is_gone(job):
    job.sync()
    edit(job, "calls.csv", lambda rows: rows[:5])  # nobody's score depends on these calls alone
    job.clock.advance(hours=1)
    for _ in range(2):  # every run asks anew
        run = job.sync()
        assert run.status == "stopped"
        assert "shrunk" in run.summary["guards"]
        assert run.summary["deleted"] == {"rep": 0, "lead": 0, "activity": 0}
        job.clock.advance(hours=1)
    with pytest.raises(GuardError, match="shrunk"):
        job.apply(run.summary["plan"])
    applied = job.apply(run.summary["plan"], *run.summary["guards"])
    assert applied.status == "done"
    assert len(job.records("activity")) == 5
    job.clock.advance(hours=1)
    assert job.sync().summary["guards"].keys() <= {"max_changed", "score_shift"}


def test_a_lost_export_asks_even_where_nothing_would_be_written(job):
    job.sync()
    job.change_settings('path = "exports"', 'path = "exports"\nguards = { dead_band = 100.0 }')
    edit(job, "reps.csv", lambda rows: rows[:1])
    job.clock.advance(hours=1)
    run = job.sync()
    assert (run.status, run.summary["planned"]) == ("stopped", 0)
    job.apply(run.summary["plan"], "shrunk")
    assert set(job.records("rep")) == {"rep-0"}
    job.clock.advance(hours=1)
    assert job.sync().status == "done"


def test_a_deletion_that_a_person_accepts_does_not_change_what_was_known_before(job):
    job.sync()
    edit(job, "calls.csv", lambda rows: rows[:5])
    job.clock.advance(days=1)
    stopped = job.sync()
    job.clock.advance(days=1)
    job.pull()
    looked, before = job.clock(), job.records("activity")
    job.clock.advance(days=1)
    job.apply(stopped.summary["plan"], *stopped.summary["guards"])
    job.clock.moment = looked
    assert job.records("activity") == before


def test_a_pull_alone_says_that_an_export_has_shrunk(job):
    job.pull()
    edit(job, "leads.csv", lambda rows: rows[:5])
    job.clock.advance(hours=1)
    run = job.pull()
    assert run.status == "stopped"
    assert "60" in run.summary["guards"]["shrunk"]


# -- moments --


@pytest.mark.parametrize("command", ["sync", "pull", "score"])
def test_no_run_is_as_of_a_moment_before_what_the_lake_knows(job, command):
    job.sync()
    before = job.records("result/need/lead", ["id", "score"])
    edit(job, "leads.csv", lambda rows: rows[:-1])
    with pytest.raises(SettingsError, match="2026-11-24 12:10:00"):
        getattr(job, command)(at=START - timedelta(days=3))
    newest = job.runs()[0]
    assert (newest.status, newest.kind) == ("failed", command)
    assert job.records("result/need/lead", ["id", "score"]) == before
    assert len(job.records("lead")) == 60


def test_a_plan_made_later_says_which_moment_its_scores_hold_for(job):
    job.pull()
    job.score()
    job.clock.advance(days=2)
    job.apply(job.plan().summary["plan"])
    assert {row["crmbridge_scored_at"] for row in scores(job).values()} == {"2026-11-24T12:10:00Z"}


@pytest.mark.slow
@pytest.mark.parametrize("day", [datetime(2027, 3, 28, tzinfo=UTC), datetime(2027, 10, 31, tzinfo=UTC)])
def test_on_days_when_the_clocks_change_every_hour_is_like_any_other(job, day):
    job.clock.moment = day - timedelta(hours=2)
    job.sync()
    assert job.sync().summary["planned"] == 0
    for _ in range(9):
        job.clock.advance(hours=3)
        run = job.sync()
        assert run.status in ("done", "stopped")
        assert set(run.summary["pulled"].values()) == {0}


def test_the_trend_compares_with_the_score_of_a_month_ago(job):
    job.change_settings('path = "exports"', 'path = "exports"\nfields = ["score", "score_trend"]')
    job.sync()
    assert {row["crmbridge_score_trend"] for row in scores(job).values()} == {"new"}
    first = {row["id"]: row["score"] for row in job.records("result/need/lead", ["id", "score"]).values()}
    job.clock.advance(days=31)
    job.sync()
    columns = ["id", "score", "score_trend"]
    for row in job.records("result/need/lead", columns).values():
        moved = row["score"] - first[row["id"]]
        expected = "rising" if moved >= 5 else "falling" if moved <= -5 else "steady"
        assert row["score_trend"] == expected


# -- settings and plugins --


def test_a_field_chosen_later_is_written_at_the_next_run(job):
    job.sync()
    job.change_settings(
        'path = "exports"',
        'path = "exports"\nfields = ["score", "score_low", "scored_at"]\nguards = { max_changed = 1 }',
    )
    job.clock.advance(minutes=1)
    run = job.sync()
    assert run.summary["sent"] == len(scores(job))
    assert all(row["crmbridge_score_low"] for row in scores(job).values())
    job.clock.advance(minutes=1)
    assert job.sync().summary["planned"] == 0


def test_a_field_chosen_no_more_is_left_alone_by_runs_and_by_undo(job):
    first = job.sync()
    job.change_settings('path = "exports"', 'path = "exports"\nfields = ["score", "grade", "scored_at"]')
    job.clock.advance(minutes=1)
    assert job.sync().summary["planned"] == 0
    undone = job.undo(first.id)
    assert (undone.status, undone.summary["rejected"]) == ("done", 0)
    for row in scores(job).values():
        assert (row["crmbridge_score"], row["crmbridge_grade"]) == ("", "")
        assert row["crmbridge_model"]


def test_a_connection_of_a_new_name_starts_anew_and_writes_nothing_that_is_there_already(job):
    job.sync()
    before = {key: row["crmbridge_score"] for key, row in scores(job).items()}
    job.settings.write_text(
        job.settings.read_text(encoding="utf-8").replace("connections.acme", "connections.globex"),
        encoding="utf-8",
    )
    job.name = "globex"
    run = job.sync()
    assert (run.status, run.summary["planned"], run.summary["pulled"]["lead"]) == ("done", 0, 60)
    assert {key: row["crmbridge_score"] for key, row in scores(job).items()} == before


def test_results_of_a_metric_that_is_not_installed_any_more_are_not_planned(job):
    job.change_settings(
        'path = "exports"', 'path = "exports"\nfields = ["score", "communication_efficiency"]'
    )
    job.sync()
    job.metrics = lambda known: {name: known[name] for name in known if name != "efficiency"}
    (job.exports / "scores" / "rep.csv").unlink()
    job.clock.advance(hours=1)
    assert job.sync().summary["planned"] == 0
    job.metrics = lambda known: known
    job.clock.advance(hours=1)
    assert job.sync().summary["planned"] == 3


def test_when_all_records_of_an_object_are_gone_so_are_their_results(job):
    job.sync()
    edit(
        job,
        "leads.csv",
        lambda rows: [{**dict.fromkeys(rows[0], ""), "Lead ID": "x", "Created": "31.02.2026"}],
    )
    header = read_csv(job.exports / "leads.csv")[0]
    (job.exports / "leads.csv").write_text(",".join(header) + "\n", encoding="utf-8")
    job.clock.advance(hours=1)
    run = job.sync()
    job.apply(run.summary["plan"], *run.summary["guards"])
    job.clock.advance(hours=1)
    run = job.sync()
    assert (run.status, run.summary["planned"]) == ("done", 0)
    assert job.records("result/need/lead", ["id"]) == {}
    assert run.summary["scored"] == 3  # the reps


def test_a_model_a_person_went_back_to_stays_until_the_next_refit_is_due(job):
    def published() -> str:
        return job.do(lambda bridge: bridge.model("acme", "lead").model.name)

    job.sync()
    first = published()
    job.clock.advance(days=8)
    job.sync()
    second = published()
    assert second != first
    job.do(lambda bridge: bridge.revert("acme", "lead"))
    job.clock.advance(days=1)
    job.sync()
    assert published() == first
    job.clock.advance(days=7)
    job.sync()
    assert published() not in (first, second)


def test_a_model_that_is_held_back_is_kept_and_the_one_in_use_goes_on_scoring_until_a_person_decides(
    job, monkeypatch
):
    def worse(metric: NeedMetric, object_name: ObjectName, frame: Frame, published: Model) -> Model:
        fitted = metric.fit(object_name, frame)
        gate = {**fitted.card["gate"], "publish": False}
        return fitted.model_copy(update={"card": {**fitted.card, "gate": gate}})

    job.sync()
    first = job.do(lambda bridge: bridge.model("acme", "lead").model.name)
    monkeypatch.setattr(NeedMetric, "refit", worse)
    job.clock.advance(days=8)
    job.sync()
    newest, *_ = job.do(lambda bridge: bridge.models("acme", "lead"))
    assert newest.status == "candidate"
    assert job.do(lambda bridge: bridge.model("acme", "lead").model.name) == first
    job.do(lambda bridge: bridge.publish("acme", "lead", newest.model.name))
    assert job.do(lambda bridge: bridge.model("acme", "lead").model.name) == newest.model.name
    job.do(lambda bridge: bridge.revert("acme", "lead"))
    assert job.do(lambda bridge: bridge.model("acme", "lead").model.name) == first


# -- the store --


def test_plans_nobody_approved_do_not_pile_up_in_the_ledger(job):
    first = job.sync(approve=None)
    job.clock.advance(hours=1)
    second = job.sync(approve=None)
    assert plan(job, first.summary["plan"]).status == "superseded"
    assert job.counts(first.summary["plan"]).planned == first.summary["planned"], "what it would have been"
    assert job.look(lambda ledger, lake: ledger.plan_rows(first.summary["plan"])) == []
    assert job.counts(second.summary["plan"]).planned == second.summary["planned"] > 0


def test_a_ledger_that_was_lost_does_not_cost_the_lake(job):
    job.sync()
    parts = sorted(job.settings.parent.glob("lake/**/*.parquet"))
    for path in job.settings.parent.glob("crmbridge.db*"):
        path.unlink()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"belongs to another ledger") as refused:
            job.sync()
        assert refused.value.remedy
        assert sorted(job.settings.parent.glob("lake/**/*.parquet")) == parts
    shutil.rmtree(job.settings.parent / "lake")
    assert job.sync().status == "done"


@pytest.mark.parametrize("command", ["sync", "pull"])
def test_a_lake_that_was_lost_is_an_error_even_where_no_export_has_changed(job, command):
    job.sync()
    shutil.rmtree(job.settings.parent / "lake")
    with pytest.raises(StoreError, match="of the lake are gone") as refused:
        getattr(job, command)()
    assert refused.value.remedy
    assert job.runs()[0].status == "failed"


@pytest.mark.slow
def test_after_hundreds_of_runs_files_are_few_and_all_is_still_known(job):
    job.change_settings('path = "exports"', 'path = "exports"\nguards = { max_changed = 1 }')
    for number in range(60):
        edit(job, "leads.csv", lambda rows, number=number: rows[-1].update(Budget=str(number)))
        job.sync() if number % 3 else job.pull()
        job.clock.advance(hours=2)
    assert len(list(job.settings.parent.glob("lake/acme/lead/*.parquet"))) <= 8
    history = job.look(lambda ledger, lake: lake.history("acme", "lead", "00Q000059"))
    assert len(history) == 60
    assert job.look(lambda ledger, lake: lake.check("acme")) == []


# -- runs cut off --


def test_a_dry_run_that_was_cut_off_is_not_taken_up_by_a_real_one(job, monkeypatch):
    cut_off_at(monkeypatch, "finish_run", lambda: job.sync(dry_run=True))
    run = job.sync()
    assert (run.status, run.summary["sent"]) == ("done", run.summary["planned"])
    assert run.summary["planned"] > 0
    assert [each.status for each in job.runs()] == ["done", "interrupted"]


def test_an_undo_that_was_cut_off_is_not_taken_up_by_the_undo_of_another_run(job, monkeypatch):
    first = job.sync()
    edit(job, "leads.csv", lambda rows: [{**rows[-1], "Lead ID": "new"}, *rows])
    second = job.sync()
    assert second.summary["sent"] > 0
    cut_off_at(monkeypatch, "approve", lambda: job.undo(second.id))
    undone = job.undo(first.id)
    assert undone.summary["sent"] == first.summary["sent"] - undone.summary["rejected"]
    assert scores(job)["new"]["crmbridge_score"] != ""
    assert job.undo(second.id).summary["sent"] > 0
    assert scores(job)["new"]["crmbridge_score"] == ""


def test_an_apply_that_was_cut_off_is_finished_by_the_next_run_whatever_it_is(job, monkeypatch):
    waiting = job.sync(approve=None)
    cut_off_at(monkeypatch, "begin_attempt", lambda: job.apply(waiting.summary["plan"]))
    job.clock.advance(hours=1)
    run = job.sync()
    assert (run.status, run.summary["planned"]) == ("done", 0)
    assert plan(job, waiting.summary["plan"]).status == "done"
    assert {each.status for each in job.runs()} == {"done", "interrupted"}
    owner = next(each for each in job.runs() if each.id == waiting.id)
    assert (owner.status, owner.summary["sent"]) == ("done", waiting.summary["planned"])
    assert owner.summary["pulled"]["lead"] == 60


def test_an_apply_that_was_cut_off_needs_no_override_again(job, monkeypatch):
    job.sync()
    edit(job, "calls.csv", lambda rows: rows[:5])
    job.clock.advance(hours=1)
    stopped = job.sync()
    identity, guards = stopped.summary["plan"], stopped.summary["guards"]
    cut_off_at(monkeypatch, "close_plan", lambda: job.apply(identity, *guards))
    assert job.apply(identity).status == "done"
    assert [each.status for each in job.runs()] == ["done", "stopped", "done"]
    assert job.runs()[0].attempts == 2


def test_a_run_cut_off_between_its_last_write_and_its_end_is_finished_by_a_later_one(job, monkeypatch):
    cut_off_at(monkeypatch, "close_plan", job.sync)
    job.clock.advance(hours=1)
    job.sync()
    later, first = job.runs()
    assert (first.status, later.status) == ("done", "done")
    assert first.summary["sent"] == first.summary["planned"] > 0
    assert (first.summary["pulled"]["lead"], later.summary["planned"]) == (60, 0)


def test_a_run_taken_up_after_its_plan_was_closed_still_says_that_rows_were_rejected(job, monkeypatch):
    waiting = job.sync(approve=None)
    job.apply(waiting.summary["plan"])
    first = next(iter(scores(job)))
    path = job.exports / "scores" / "lead.csv"
    rows = read_csv(path)
    rows[0]["crmbridge_grade"] = "D" if rows[0]["crmbridge_grade"] != "D" else "A"
    write_csv(path, rows)
    cut_off_at(monkeypatch, "finish_run", lambda: job.undo(waiting.id))
    undone = job.undo(waiting.id)
    assert (undone.status, undone.attempts, undone.summary["rejected"]) == ("partly", 2, 1)
    assert ScoresFile(path).held([first], ["grade"])[first]["grade"] == rows[0]["crmbridge_grade"]


@pytest.mark.parametrize(
    "method", ["store_plan", "approve", "begin_attempt", "record", "close_plan", "finish_run"]
)
def test_a_run_taken_up_again_says_all_that_an_undisturbed_one_says(tmp_path, monkeypatch, method):
    def undisturbed(name: str) -> Installation:
        return Installation(write_organisation(tmp_path / name, leads=60), Clock(START))

    cut = undisturbed("cut")
    cut_off_at(monkeypatch, method, cut.sync)
    again, whole = cut.sync(), undisturbed("whole").sync()
    assert again.attempts == 2
    volatile = {"seconds", "retried"}
    assert {key: value for key, value in again.summary.items() if key not in volatile} == {
        key: value for key, value in whole.summary.items() if key not in volatile
    }
