"""Installing at Zoho and writing into it: every row accounted for, no automation fired, faults survived."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from crmbridge.connectors.http import MemoryVault
from crmbridge.connectors.zoho import Options, limits
from crmbridge.connectors.zoho.bulk import POLLS
from crmbridge.connectors.zoho.client import Refused
from crmbridge.connectors.zoho.hosts import DATA_CENTRES, api_of, content_of, is_api
from crmbridge.connectors.zoho.schema import LABEL_LENGTH, label_of
from crmbridge.errors import AuthError, QuotaError, SettingsError
from crmbridge.model.fields import CATALOGUE, CORE
from crmbridge.testing import context, samples
from crmbridge.testing.trial import Trial
from crmbridge.writeback.base import Change
from crmbridge.writeback.zoho import ZohoWriter
from crmbridge.writeback.zoho.answers import outcomes
from crmbridge.writeback.zoho.writer import QUIET
from tests.shared_data import shared
from tests.vendors.zoho import ZohoServer
from tests.vendors.zoho.metadata import field
from tests.vendors.zoho.org import ALL_SCOPES
from tests.vendors.zoho_subject import SECRETS, ZohoSubject


@pytest.fixture
def subject(zoho: ZohoServer) -> ZohoSubject:
    return ZohoSubject(zoho)


def writer(subject: ZohoSubject, keys=CORE, **settings) -> ZohoWriter:
    options = subject.options().model_copy(update=settings)
    return ZohoWriter(
        context(options, secrets=SECRETS, clock=subject.clock, fields=keys), sleep=lambda seconds: None
    )


def installed(subject: ZohoSubject, number: int, **settings) -> tuple[list[str], ZohoWriter]:
    ids = list(subject.seed(samples.leads(number)))
    made = writer(subject, **settings)
    assert {step.state for step in made.install(dry_run=False)} == {"done"}
    return ids, made


def changes(ids, turn=0):
    return [Change("lead", identifier, samples.values("lead", CORE, turn)) for identifier in ids]


def states(found):
    return {outcome.id: outcome.state for outcome in found}


# -- fields --


def test_labels_fit_and_are_all_different():
    labels = [label_of(key) for key in CATALOGUE]
    assert max(map(len, labels)) <= LABEL_LENGTH
    assert len(set(labels)) == len(labels)


def test_fields_are_made_in_fives_and_their_names_read_back(subject):
    subject.org.switches.suffixed_names = True
    ids, made = installed(subject, 2)
    sizes = [len(each.json["fields"]) for each in subject.org.calls("POST /crm/v8/settings/fields")]
    assert max(sizes) <= 5
    assert states(made.write("lead", changes(ids))) == dict.fromkeys(ids, "sent")
    assert subject.org.modules["Leads"].rows[ids[0]]["CRMBridge_Score1"] == 10.5


def test_a_field_limit_is_told_with_what_to_do(subject):
    subject.org.switches.custom_fields = 3
    steps = list(writer(subject).install(dry_run=False))
    refused = [step for step in steps if step.state == "conflict"]
    assert refused
    assert all("fewer" in (step.remedy or "") for step in refused)


def test_a_lost_answer_of_an_install_makes_nothing_twice(subject):
    subject.org.fault("POST /crm/v8/settings/fields", kind="after", drop=True)
    assert {step.state for step in writer(subject).install(dry_run=False)} == {"done"}
    labels = [each["field_label"] for each in subject.org.modules["Leads"].fields]
    assert labels.count("CRMBridge Score") == 1


def test_a_label_of_another_type_is_a_conflict_and_is_never_removed(subject):
    subject.org.modules["Leads"].fields.append(field(99, "Other", "picklist", "CRMBridge Score"))
    assert [step.state for step in writer(subject).install(dry_run=False)] == ["conflict"]
    list(writer(subject).uninstall(dry_run=False))
    assert subject.org.modules["Leads"].field("Other")


def test_a_field_this_user_may_not_change_fails_the_check(subject):
    _, made = installed(subject, 1)
    subject.org.modules["Leads"].field("CRMBridge_Score")["field_read_only"] = True
    items = list(writer(subject).check())
    assert [item.name for item in items if item.state == "failed"] == ["Leads: CRMBridge Score"]
    made.close()


def test_a_profile_that_only_reads_our_field_fails_the_check(subject):
    _, made = installed(subject, 1)
    for each in subject.org.modules["Leads"].field("CRMBridge_Score")["profiles"]:
        each["permission_type"] = "read_only"
    items = [item for item in writer(subject).check() if item.state == "failed"]
    assert [item.name for item in items] == ["Leads: CRMBridge Score"]
    assert "Administrator" in items[0].remedy
    made.close()


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_profile_that_may_not_make_fields_is_told_so_first(subject, told, dry_run):
    subject.org.switches.customizes = False
    if not told:
        subject.org.switches.scopes = ALL_SCOPES - {"profiles"}
    steps = list(writer(subject).install(dry_run=dry_run))
    assert not any(each["custom_field"] for each in subject.org.modules["Leads"].fields)
    if told or not dry_run:
        assert {step.state for step in steps} == {"conflict"}
        assert all("Customize Zoho CRM" in step.remedy for step in steps)
    if told:
        assert not subject.org.calls("POST /crm/v8/settings/fields")


def test_a_field_that_zoho_does_not_remove_is_told(subject):
    _, made = installed(subject, 1)
    row = {"code": "NOT_ALLOWED", "details": {}, "message": "used in a layout rule", "status": "error"}
    subject.org.fault("DELETE", answer=(200, {"fields": [row]}, {}))
    first, *others = made.uninstall(dry_run=False)
    assert (first.state, "used in a layout rule" in first.remedy) == ("conflict", True)
    assert {step.state for step in others} == {"done"}


def test_a_module_that_the_user_does_not_see_is_installed_without(subject):
    subject.org.switches.closed = frozenset({"Accounts"})
    steps = list(writer(subject).install(dry_run=False))
    assert {step.state for step in steps} == {"done"}
    assert not any(step.what.startswith("Accounts") for step in steps)


def test_a_field_that_an_admin_has_renamed_is_still_ours(subject):
    subject.org.switches.suffixed_names = True
    ids, made = installed(subject, 1)
    subject.org.modules["Leads"].field("CRMBridge_Score1")["field_label"] = "Chance in percent"
    again = ZohoWriter(replace(made.context, vault=MemoryVault()), sleep=lambda seconds: None)
    assert {step.state for step in again.install(dry_run=False)} == {"present"}
    assert states(again.write("lead", changes(ids))) == {ids[0]: "sent"}
    assert {step.state for step in again.uninstall(dry_run=False)} == {"done"}
    assert not any(each["custom_field"] for each in subject.org.modules["Leads"].fields)


def test_writing_without_fields_is_refused_before_anything_is_sent(subject):
    ids = subject.seed(samples.leads(2))
    with pytest.raises(SettingsError, match="install"):
        writer(subject).write("lead", changes(ids))
    assert not subject.org.calls("PUT")


def test_a_field_deleted_meanwhile_is_missed_by_the_next_writer(subject):
    ids, _ = installed(subject, 2)
    module = subject.org.modules["Leads"]
    module.fields.remove(module.field("CRMBridge_Score"))
    with pytest.raises(SettingsError, match="score"):
        writer(subject).write("lead", changes(ids))


# -- rows --


def test_no_automation_is_fired_by_any_write(subject):
    ids, made = installed(subject, 230)
    assert set(states(made.write("lead", changes(ids))).values()) == {"sent"}
    puts = subject.org.calls("PUT")
    assert [len(each.json["data"]) for each in puts] == [100, 100, 30]
    for put in puts:
        assert put.json["trigger"] == []
        assert put.json["skip_feature_execution"] == [{"name": "cadences"}]
    assert subject.org.workflows == subject.org.cadences == 0


def test_writing_costs_a_tenth_of_a_credit_a_record(subject):
    ids, made = installed(subject, 230)
    made.write("lead", changes(ids[:1]))
    before = subject.org.credits
    made.write("lead", changes(ids, turn=1))
    assert subject.org.credits - before == 23 == limits.write_forecast(230)


def test_rows_of_one_call_are_told_apart(subject):
    ids, made = installed(subject, 8)
    nested = {
        "errors": [
            {"code": "DUPLICATE_DATA", "message": "duplicate data", "details": {"json_path": "$PATH.Email"}},
            {"code": "INVALID_DATA", "message": "invalid", "details": {"api_name": "Phone"}},
        ]
    }
    rule = {"layout_rule": {"name": "Rule"}, "api_name": "Phone", "json_path": "$PATH.Phone"}
    subject.org.rejected = {
        ids[1]: ("MULTIPLE_OR_MULTI_ERRORS", nested),
        ids[2]: ("MANDATORY_NOT_FOUND", rule),
        ids[3]: ("NOT_APPROVED", {}),
        ids[4]: ("NOT_REVIEWED", {}),
    }
    subject.org.locked = {ids[5]: "RECORD_LOCKED"}
    subject.org.delete("Leads", ids[6])
    found = {outcome.id: outcome for outcome in made.write("lead", changes(ids))}
    assert [found[each].state for each in ids] == [
        "sent",
        "rejected",
        "rejected",
        "retry",
        "retry",
        "retry",
        "rejected",
        "sent",
    ]
    assert found[ids[1]].code == "DUPLICATE_DATA, INVALID_DATA"
    assert "Rule" in (found[ids[2]].message or "")


def test_a_call_where_all_rows_fail_is_read_row_by_row(subject):
    ids, made = installed(subject, 3)
    subject.org.rejected = {each: ("NOT_APPROVED", {}) for each in ids}
    assert set(states(made.write("lead", changes(ids))).values()) == {"retry"}


def test_a_refusal_without_rows_is_narrowed_down(subject):
    ids, made = installed(subject, 4)
    refusal = {"code": "INVALID_DATA", "details": {}, "message": "invalid data", "status": "error"}
    subject.org.fault("PUT", answer=(400, refusal, {}), times=3)
    found = states(made.write("lead", changes(ids)))
    assert list(found.values()) == ["rejected", "sent", "sent", "sent"]


def test_a_refusal_that_is_about_all_records_is_not_asked_about_one_by_one(subject):
    ids, made = installed(subject, 100)
    refusal = {"code": "INVALID_DATA", "details": {}, "message": "invalid data", "status": "error"}
    subject.org.fault("PUT", answer=(400, refusal, {}), times=999)
    assert set(states(made.write("lead", changes(ids))).values()) == {"rejected"}
    assert len(subject.org.calls("PUT")) < 30


def test_a_record_that_changes_while_it_is_written_is_tried_later(subject):
    ids, made = installed(subject, 1)
    refusal = {"code": "ALREADY_MODIFIED", "details": {}, "message": "already modified", "status": "error"}
    subject.org.fault("PUT", answer=(412, refusal, {}))
    assert states(made.write("lead", changes(ids))) == {ids[0]: "retry"}


def test_what_a_person_writes_in_the_second_of_our_write_is_seen_and_kept(subject, tmp_path):
    subject.writes = CORE
    ids = subject.seed(samples.leads(2))
    list(subject.writer().install(dry_run=False))
    with Trial.of(subject, tmp_path) as trial:
        trial.pull("lead")
        trial.write("lead", {each: samples.values("lead", CORE) for each in ids})
        trial.pull("lead")
        plan = trial.plan("lead", {each: samples.values("lead", CORE, 2) for each in ids})
        module = subject.org.modules["Leads"]
        name = next(each["api_name"] for each in module.fields if each["field_label"] == label_of("score"))
        module.rows[ids[0]][name] = 3.25
        counts = trial.apply(plan)
    assert (counts.sent, counts.rejected) == (1, 1)
    assert subject.held("lead", ids[0])["score"] == 3.25


@pytest.mark.parametrize("fault", ["html", "half", "500", "drop"])
def test_an_answer_that_is_lost_is_unknown_and_not_sent_again(subject, fault):
    ids, made = installed(subject, 3)
    error = {"code": "INTERNAL_ERROR", "details": {}, "message": "Internal Server Error", "status": "error"}
    more = {
        "html": {"answer": (502, b"<html>", {})},
        "half": {"half": True},
        "500": {"answer": (500, error, {})},
        "drop": {"drop": True},
    }[fault]
    subject.org.fault("PUT", kind="after", **more)
    assert set(states(made.write("lead", changes(ids))).values()) == {"unknown"}
    assert len(subject.org.calls("PUT")) == 1


@pytest.mark.parametrize("status", [200, 400, 429])
def test_too_many_requests_is_waited_for(subject, status):
    ids, made = installed(subject, 3)
    subject.org.busy("PUT", times=3, status=status)
    assert set(states(made.write("lead", changes(ids))).values()) == {"sent"}


def test_credits_that_end_in_the_middle_leave_the_rest_for_later(subject):
    ids, made = installed(subject, 230)
    made.read("lead", ids[:1])
    subject.org.switches.credits = subject.org.credits + 12
    found = states(made.write("lead", changes(ids)))
    assert list(found.values()) == ["sent"] * 100 + ["retry"] * 130
    with pytest.raises(QuotaError):
        made.write("lead", changes(ids[100:]))


def test_a_missing_scope_is_told_before_anything_is_sent(subject):
    ids, made = installed(subject, 3)
    subject.org.switches.scopes = ALL_SCOPES - {"modules"}
    with pytest.raises(AuthError, match="scopes"):
        made.write("lead", changes(ids))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [{"code": "SUCCESS", "details": {"id": "b"}}, {"code": "SUCCESS", "details": {"id": "a"}}],
            ["sent", "sent"],
        ),
        ([{"code": "SUCCESS", "details": {"id": "a"}}], ["sent", "unknown"]),
        ([{"code": "SUCCESS", "details": {"id": "a"}}] * 2, ["unknown", "unknown"]),
        (
            [{"code": "SUCCESS", "details": {"id": "x"}}, {"code": "SUCCESS", "details": {"id": "b"}}],
            ["unknown", "sent"],
        ),
        (
            [
                {"code": "INVALID_DATA", "details": {"json_path": "$.data[1].X"}},
                {"code": "SUCCESS", "details": {"id": "a"}},
            ],
            ["sent", "rejected"],
        ),
        ([], ["unknown", "unknown"]),
    ],
)
def test_rows_that_are_out_of_order_or_missing_deceive_nobody(rows, expected):
    assert [outcome.state for outcome in outcomes(["a", "b"], rows)] == expected


def test_the_vendors_own_examples_are_understood():
    path: Path = shared("vendors/zoho/vendor_examples/vendor_examples.json")
    cases = [
        case
        for case in json.loads(path.read_text(encoding="utf-8"))
        if case["operation"] == "updateRecords"
        and isinstance(case["body"].get("data"), list)
        and case["status"]
    ]
    assert len(cases) > 15
    later = {"RECORD_LOCKED", "NOT_APPROVED", "NOT_REVIEWED", "DEPENDENT_SERVICE_ERROR", "ALREADY_MODIFIED"}
    for case in cases:
        rows = case["body"]["data"]
        ids = [str((row.get("details") or {}).get("id") or place) for place, row in enumerate(rows)]
        for row, found in zip(rows, outcomes(ids, rows), strict=True):
            expected = "sent" if row["code"] == "SUCCESS" else "retry" if row["code"] in later else "rejected"
            assert found.state == expected, case["name"]


# -- Bulk Write --


@pytest.fixture
def small_jobs(monkeypatch):
    """Jobs from a few records on, as the stand-in need not hold five thousand."""
    monkeypatch.setattr(limits, "BULK_WRITE_FROM", 10)


@pytest.mark.usefixtures("small_jobs")
def test_much_is_written_by_job_and_its_result_read_row_by_row(subject):
    ids, made = installed(subject, 30, bulk_write=True)
    subject.org.rejected = {ids[3]: ("INVALID_DATA", {"api_name": "Company"})}
    subject.org.delete("Leads", ids[4])
    found = {outcome.id: outcome for outcome in made.write("lead", changes(ids))}
    assert [found[each].state for each in ids[:6]] == ["sent", "sent", "sent", "rejected", "rejected", "sent"]
    assert found[ids[3]].code == "INVALID_DATA"
    assert not subject.org.calls("PUT")
    held = made.read("lead", ids)
    assert held[ids[0]]["score"] == 10.5
    cleared = [Change("lead", each, dict.fromkeys(CORE)) for each in ids[:3] + ids[5:]]
    made.write("lead", cleared)
    assert set(made.read("lead", ids)[ids[0]].values()) == {None}


@pytest.mark.usefixtures("small_jobs")
def test_jobs_can_be_turned_off_and_are_for_equal_fields_only(subject):
    ids, made = installed(subject, 30)
    made.write("lead", changes(ids))
    assert len(subject.org.calls("PUT")) == 1
    made = writer(subject, bulk_write=True)
    partly = [Change("lead", each, {"score": 1.0}) for each in ids[:5]]
    made.write("lead", [*changes(ids[5:]), *partly])
    assert len(subject.org.calls("POST /crm/bulk/v8/write")) == 1
    assert len(subject.org.calls("PUT")) == 2
    assert subject.held("lead", ids[0])["grade"] is not None, "what is not named is not cleared"


@pytest.mark.usefixtures("small_jobs")
@pytest.mark.parametrize("fault", ["lost job", "no result", "half result", "stuck"])
def test_a_job_without_a_result_is_unknown_and_read_back(subject, fault, tmp_path):
    subject.writes, subject.bulk_write = CORE, True
    ids = subject.seed(samples.leads(30))
    list(subject.writer().install(dry_run=False))
    org = subject.org
    if fault == "lost job":
        org.fault("POST /crm/bulk/v8/write", kind="after", drop=True)
    elif fault == "no result":
        error = {"code": "RESOURCE_NOT_FOUND", "details": {}, "message": "gone", "status": "error"}
        org.fault("/result", answer=(404, error, {}))
    elif fault == "half result":
        org.fault("/result", kind="after", half=True, times=99)
    else:
        body = {"status": "INPROGRESS", "id": "1"}
        org.fault("GET /crm/bulk/v8/write", answer=(200, body, {}), times=POLLS)
    with Trial.of(subject, tmp_path) as trial:
        trial.pull("lead")
        plan = trial.plan("lead", {each: samples.values("lead", CORE) for each in ids})
        counts = trial.apply(plan)
        assert (counts.sent, counts.pending) == (30, 0)
    assert len(org.calls("POST /crm/bulk/v8/write")) == 1
    assert org.workflows == 0


@pytest.mark.usefixtures("small_jobs")
@pytest.mark.parametrize("refused", ["org id", "scope", "job"])
def test_where_no_job_can_be_made_calls_of_a_hundred_write(subject, refused):
    ids, made = installed(subject, 30, bulk_write=True)
    org = subject.org
    if refused == "org id":
        made.schema.organisation["zgid"] = "of another org"
    elif refused == "scope":
        org.switches.scopes = ALL_SCOPES - {"files"}
    else:
        error = {"code": "NOT_SUPPORTED", "details": {}, "message": "not in this edition", "status": "error"}
        org.fault("POST /crm/bulk/v8/write", answer=(400, error, {}))
    assert set(states(made.write("lead", changes(ids))).values()) == {"sent"}
    assert len(org.calls("PUT")) == 1
    assert not org.jobs


@pytest.mark.usefixtures("small_jobs")
def test_automations_that_jobs_would_fire_are_not_fired_unless_jobs_are_allowed(subject):
    subject.org.switches.jobs_fire = True
    ids, made = installed(subject, 30)
    assert set(states(made.write("lead", changes(ids))).values()) == {"sent"}
    assert (subject.org.workflows, len(subject.org.jobs)) == (0, 0)
    allowed = writer(subject, bulk_write=True)
    assert set(states(allowed.write("lead", changes(ids, turn=1))).values()) == {"sent"}
    assert subject.org.workflows == 30


def test_a_hundred_and_one_records_go_in_two_calls_and_six_fields_too(subject):
    ids, made = installed(subject, 101)
    assert set(states(made.write("lead", changes(ids))).values()) == {"sent"}
    assert [len(each.json["data"]) for each in subject.org.calls("PUT")] == [100, 1]
    answer = made.client.get("settings/fields", {"module": "Leads"})
    assert answer.body["fields"]
    six = [{"field_label": f"Field {n}", "data_type": "boolean"} for n in range(6)]
    for method, path, body in (
        ("PUT", "/crm/v8/Leads", {"data": [{"id": each} for each in [*ids]], **QUIET}),
        ("POST", "/crm/v8/settings/fields", {"fields": six}),
    ):
        with pytest.raises(Refused, match="LIMIT_EXCEEDED"):
            made.client.request(method, path, params={"module": "Leads"}, json=body)


@pytest.mark.usefixtures("small_jobs")
def test_no_job_has_more_rows_than_zoho_takes(subject, monkeypatch):
    monkeypatch.setattr(limits, "BULK_WRITE_ROWS", 12)
    subject.org.switches.job_lines = 12
    ids, made = installed(subject, 25, bulk_write=True)
    assert set(states(made.write("lead", changes(ids))).values()) == {"sent"}
    assert (len(subject.org.jobs), len(subject.org.calls("PUT"))) == (2, 1)
    assert ZohoWriter.batch_size == 25_000


@pytest.mark.parametrize("length", [16, 25, 50])
def test_labels_longer_than_the_org_allows_are_told(subject, length):
    subject.org.switches.label_length = length
    steps = {step.what: step for step in writer(subject).install(dry_run=False)}
    for what, step in steps.items():
        fits = len(what.partition(": ")[2]) <= length
        assert step.state == ("done" if fits else "conflict")
        assert fits or "INVALID_DATA" in step.remedy


def test_every_data_centre_has_hosts_of_its_own():
    for centre in DATA_CENTRES.values():
        assert content_of(api_of(f"https://{centre.accounts}")) == f"https://{centre.content}"
        assert is_api(f"https://{centre.api}")
    options = Options(client_id="c", content_url="https://content.zohoapis.eu")
    assert options.content_url == "https://content.zohoapis.eu"


def test_every_fault_of_the_stand_ins_table_names_a_test_that_there_is():
    here = Path(__file__).parent
    there = "".join(path.read_text("utf-8") for path in sorted(here.glob("test_zoho*.py")))
    named = set(re.findall(r"`((?:test_|Test)\w+)`", (here / "zoho" / "README.md").read_text("utf-8")))
    assert len(named) > 60
    assert {name for name in named if f"def {name}(" not in there and f"class {name}(" not in there} == set()


def test_every_setting_and_data_centre_is_in_the_docs():
    root = Path(__file__).resolve().parents[2] / "docs"
    settings, page = (root / "settings.md").read_text("utf-8"), (root / "zoho.md").read_text("utf-8")
    assert [name for name in Options.model_fields if f"| `{name}` |" not in settings] == []
    assert [each.accounts for each in DATA_CENTRES.values() if f"https://{each.accounts}" not in page] == []
