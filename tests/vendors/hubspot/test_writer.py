"""Writing, installing and uninstalling; each fault a test."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from crmbridge.errors import AuthError, QuotaError
from crmbridge.model.fields import CORE, hubspot_name
from crmbridge.writeback.base import Change, InstallStep, Outcome
from tests.vendors.hubspot.conftest import Hub
from tests.vendors.hubspot.portal import Portal, Problem, definition
from tests.vendors.hubspot.server import Fault

OLD = datetime(2026, 1, 1, tzinfo=UTC)
UPDATE = "POST /crm/objects/2026-09/companies/batch/update"
SCORE = hubspot_name("score")


@pytest.fixture
def companies(portal: Portal) -> list[str]:
    return [portal.add("companies", {"name": str(at)}, created=OLD) for at in range(250)]


def changes(ids: Sequence[str], **values: Any) -> list[Change]:
    return [Change("account", each, values or {"score": 61.25, "grade": "B"}) for each in ids]


def write(hub: Hub, changes: Sequence[Change]) -> dict[str, Outcome]:
    outcomes = hub.writer().write("account", changes)
    assert sorted(each.id for each in outcomes) == sorted(each.id for each in changes)
    return {each.id: each for each in outcomes}


def states(outcomes: dict[str, Outcome]) -> Counter[str]:
    return Counter(each.state for each in outcomes.values())


def held(portal: Portal, identifier: str) -> str | None:
    return portal.records["companies"][identifier].properties.get(SCORE)


def test_a_hundred_records_go_in_a_call(hub: Hub, portal: Portal, companies: list[str]) -> None:
    assert states(write(hub, changes(companies))) == {"sent": 250}
    assert hub.server.count(UPDATE) == math.ceil(250 / 100)
    assert {held(portal, each) for each in companies} == {"61.25"}
    sent = next(call for call in hub.server.calls if call.is_at(UPDATE))
    assert all(isinstance(value, str) for one in sent.body["inputs"] for value in one["properties"].values())


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("bad", [1, 3])
def test_only_the_records_to_blame_are_rejected(
    hub: Hub, portal: Portal, companies: list[str], trace: bool, bad: int
) -> None:
    portal.switches.trace_on_update = trace
    for each in companies[:bad]:
        portal.rejects[each] = "MISSING_CONDITIONAL_REQUIRED_PROPERTY"
    outcomes = write(hub, changes(companies[:100]))
    assert states(outcomes) == {"sent": 100 - bad, "rejected": bad}
    assert outcomes[companies[0]].code == "MISSING_CONDITIONAL_REQUIRED_PROPERTY"
    assert held(portal, companies[0]) is None
    assert hub.server.count(UPDATE) <= (1 if trace else 1 + 2 * bad * math.ceil(math.log2(100)))


def test_where_updates_do_not_take_trace_ids_they_go_without(
    hub: Hub, portal: Portal, companies: list[str]
) -> None:
    portal.switches.trace_refused = True
    portal.switches.trace_on_update = False
    portal.rejects[companies[0]] = "INVALID_INTEGER"
    writer = hub.writer()
    outcomes = {each.id: each for each in writer.write("account", changes(companies[:4]))}
    assert states(outcomes) == {"sent": 3, "rejected": 1}
    before = hub.server.count(UPDATE)
    assert states({each.id: each for each in writer.write("account", changes(companies[4:104]))}) == {
        "sent": 100
    }
    assert hub.server.count(UPDATE) == before + 1


def test_a_property_that_is_missing_is_told_by_its_name_without_asking_for_each(
    hub: Hub, portal: Portal, companies: list[str]
) -> None:
    portal.switches.trace_on_update = False
    writer = hub.writer()
    del portal.properties["companies"][hubspot_name("grade")]
    mixed = [*changes(companies[:50]), *changes(companies[50:60], score=12.0)]
    outcomes = {each.id: each for each in writer.write("account", mixed)}
    assert states(outcomes) == {"rejected": 50, "sent": 10}
    assert outcomes[companies[0]].code == "PROPERTY_DOESNT_EXIST"
    assert hub.server.count(UPDATE) == 2


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda known: known["modificationMetadata"].update(readOnlyValue=True), "READ_ONLY_VALUE"),
        (lambda known: known.update(type="enumeration", options=[{"value": "x"}]), "INVALID_OPTION"),
    ],
)
def test_a_property_that_changed_since_refuses_with_the_code_of_the_crm(
    hub: Hub, portal: Portal, companies: list[str], edit: Any, code: str
) -> None:
    writer = hub.writer()
    edit(portal.properties["companies"][SCORE])
    (outcome,) = writer.write("account", changes(companies[:1]))
    assert (outcome.state, outcome.code) == ("rejected", code)


def test_archived_and_unknown_records_are_rejected_and_the_others_written(
    hub: Hub, portal: Portal, companies: list[str]
) -> None:
    portal.archive("companies", companies[0])
    outcomes = write(hub, changes([*companies[:3], "999999999"]))
    assert states(outcomes) == {"rejected": 2, "sent": 2}
    assert outcomes["999999999"].code == "OBJECT_NOT_FOUND"


def test_errors_without_a_name_are_found_by_halving(hub: Hub, portal: Portal, companies: list[str]) -> None:
    portal.rejects[companies[5]] = "INVALID_INTEGER"

    def nameless(body: dict[str, Any]) -> None:
        for error in body.get("errors", ()):
            error.pop("context", None)

    hub.server.faults.append(Fault(UPDATE, edit=nameless, times=99))
    outcomes = write(hub, changes(companies[:10]))
    assert states(outcomes) == {"sent": 9, "rejected": 1}
    assert outcomes[companies[5]].state == "rejected"


@pytest.mark.parametrize("errors", [[], None])
def test_an_answer_that_leaves_records_out_is_unknown(
    hub: Hub, companies: list[str], errors: list[Any] | None
) -> None:
    def silent(body: dict[str, Any]) -> None:
        body.update(results=[], errors=errors)

    hub.server.faults.append(Fault(UPDATE, edit=silent))
    assert states(write(hub, changes(companies[:7]))) == {"unknown": 7}


def test_fewer_results_than_inputs_leave_the_others_unknown(hub: Hub, companies: list[str]) -> None:
    hub.server.faults.append(Fault(UPDATE, edit=lambda body: body.update(results=body["results"][:4])))
    assert states(write(hub, changes(companies[:7]))) == {"sent": 4, "unknown": 3}


UNKNOWN = {
    "no answer": Fault(UPDATE, drops=True, takes_effect=True),
    "502": Fault(UPDATE, 502, raw=b"", takes_effect=True),
    "504": Fault(UPDATE, 504, raw=b"<html>", takes_effect=True),
    "500": Fault(UPDATE, 500, takes_effect=True),
    "HTML with 200": Fault(UPDATE, raw=b"<html>", takes_effect=True),
    "truncated JSON": Fault(UPDATE, raw=b'{"results": [', takes_effect=True),
    "cut short": Fault(UPDATE, raw=b'{"re', headers={"Content-Length": "99"}, takes_effect=True),
}


@pytest.mark.parametrize("fault", UNKNOWN.values(), ids=UNKNOWN)
def test_a_write_whose_answer_is_lost_is_never_sent_twice_blindly(
    hub: Hub, portal: Portal, companies: list[str], fault: Fault
) -> None:
    hub.server.faults.append(fault)
    assert states(write(hub, changes(companies[:3]))) == {"unknown": 3}
    assert hub.server.count(UPDATE) == 1


@pytest.mark.parametrize("status", [423, 429, 477, 503])
def test_a_write_that_was_certainly_refused_is_sent_again(
    hub: Hub, companies: list[str], status: int
) -> None:
    hub.server.faults.append(Fault(UPDATE, status, {"message": "later"}, times=2))
    assert states(write(hub, changes(companies[:3]))) == {"sent": 3}


def test_a_write_that_goes_on_being_refused_is_left_for_later(hub: Hub, companies: list[str]) -> None:
    hub.server.faults.append(Fault(UPDATE, 423, Problem(423, "LOCKED", "locked").body, times=99))
    outcomes = write(hub, changes(companies[:3]))
    assert states(outcomes) == {"retry": 3}
    assert "locked" in (outcomes[companies[0]].message or "")


def test_a_quota_used_up_between_two_calls_keeps_what_was_sent(hub: Hub, companies: list[str]) -> None:
    hub.server.faults.append(Fault(UPDATE, 429, {"policyName": "DAILY"}, skips=1))
    assert states(write(hub, changes(companies[:200]))) == {"sent": 100, "retry": 100}


def test_a_quota_used_up_before_the_first_call_is_raised(hub: Hub, companies: list[str]) -> None:
    hub.server.faults.append(Fault(UPDATE, 429, {"policyName": "DAILY"}, times=9))
    with pytest.raises(QuotaError):
        hub.writer().write("account", changes(companies))


def test_a_missing_write_scope_is_an_auth_error_that_names_it(hub: Hub, companies: list[str]) -> None:
    body = Problem(403, "MISSING_SCOPES", "no").body
    body["context"] = {"requiredGranularScopes": ["crm.objects.companies.write"]}
    hub.server.faults.append(Fault(UPDATE, 403, body, times=9))
    with pytest.raises(AuthError, match=r"Grant crm\.objects\.companies\.write"):
        hub.writer().write("account", changes(companies[:3]))


@pytest.mark.parametrize("redirects", [True, False])
def test_a_merged_record_is_gone_to_who_reads_it(
    hub: Hub, portal: Portal, companies: list[str], redirects: bool
) -> None:
    portal.switches.merged_redirects = redirects
    portal.merge("companies", companies[0], companies[1])
    assert set(hub.writer().read("account", companies[:3])) == {companies[0], companies[2]}


def test_reading_costs_a_call_for_a_hundred(hub: Hub, companies: list[str]) -> None:
    assert set(hub.writer().read("account", companies)) == set(companies)
    assert hub.server.count("batch/read") == 3


@pytest.mark.parametrize("spelling", ["2026-03-31T08:00:00Z", "2026-03-31T08:00:00.000Z", "1774944000000"])
def test_a_moment_is_understood_however_it_is_spelt(
    hub: Hub, portal: Portal, companies: list[str], spelling: str
) -> None:
    writer = hub.writer()
    portal.set("companies", companies[0], {hubspot_name("scored_at"): spelling})
    assert writer.read("account", companies[:1])[companies[0]]["scored_at"] == "2026-03-31T08:00:00Z"


# Installing


def steps(found: Any) -> Counter[str]:
    return Counter(step.state for step in found)


def test_installing_makes_a_group_and_the_properties_in_one_call_for_each_object(
    hub: Hub, portal: Portal
) -> None:
    hub.writer(fields=(*CORE, "data_quality"))
    assert hub.server.count("batch/create") == 4
    for kind, name in (
        ("leads", "next_action"),
        ("companies", "score"),
        ("deals", "next_action"),
        ("contacts", "data_quality"),
    ):
        assert portal.properties[kind][f"crmbridge_{name}"]["groupName"] == "crmbridge"
    assert portal.properties["companies"]["crmbridge_reasons_up"]["fieldType"] == "textarea"
    assert [each["value"] for each in portal.properties["deals"]["crmbridge_grade"]["options"]] == list(
        "ABCD"
    )


def test_some_of_the_properties_being_there_is_no_trouble(hub: Hub, portal: Portal) -> None:
    hub.writer(fields=("score", "grade"))
    made = steps(hub.writer(fields=CORE).install(dry_run=True))
    assert set(made) == {"present"}


def test_a_property_made_by_somebody_meanwhile_is_compared(hub: Hub, portal: Portal) -> None:
    def meanwhile() -> None:
        portal.properties["companies"][SCORE] = definition(SCORE, "number")
        portal.properties["companies"][hubspot_name("model")] = definition(hubspot_name("model"), "number")

    hub.server.faults.append(Fault("companies/batch/create", does=meanwhile))
    from crmbridge.writeback.hubspot import HubSpotWriter

    found = {step.what: step.state for step in HubSpotWriter(hub.context()).install(dry_run=False)}
    assert found[f"companies.{SCORE}"] == "done"
    assert found["companies.crmbridge_model"] == "conflict"


def test_a_group_that_is_there_is_used(hub: Hub, portal: Portal) -> None:
    portal.groups["companies"]["crmbridge"] = {
        "name": "crmbridge",
        "label": "x",
        "displayOrder": 1,
        "archived": False,
    }
    hub.server.faults.append(
        Fault("GET /crm/properties/2026-09/companies/groups", edit=lambda body: body.update(results=[]))
    )
    hub.writer()
    assert SCORE in portal.properties["companies"]


def test_an_archived_property_is_told_and_brought_back(hub: Hub, portal: Portal) -> None:
    portal.archived_properties["companies"][SCORE] = definition(SCORE, "number")
    from crmbridge.writeback.hubspot import HubSpotWriter

    planned = [step.what for step in HubSpotWriter(hub.context()).install(dry_run=True)]
    assert f"companies.{SCORE} (brings back the archived one)" in planned
    hub.writer()
    assert portal.properties["companies"][SCORE]["type"] == "number"


def test_an_archived_property_of_another_type_is_a_conflict(hub: Hub, portal: Portal) -> None:
    from crmbridge.writeback.hubspot import HubSpotWriter

    portal.archived_properties["companies"][SCORE] = definition(SCORE, "string")
    found = list(HubSpotWriter(hub.context()).install(dry_run=False))
    (conflict,) = [step for step in found if step.state == "conflict"]
    assert "type string" in (conflict.remedy or "")


def test_an_option_that_a_user_removed_is_a_conflict_that_names_it(hub: Hub, portal: Portal) -> None:
    writer = hub.writer()
    del portal.properties["companies"]["crmbridge_grade"]["options"][3]
    conflicts = [step for step in writer.install(dry_run=False) if step.state == "conflict"]
    assert [("lack D" in (step.remedy or "")) for step in conflicts] == [True]
    (failed,) = [item for item in writer.check() if item.state == "failed"]
    assert "lack D" in (failed.remedy or "")


def test_a_full_portal_says_so(hub: Hub, portal: Portal) -> None:
    from crmbridge.writeback.hubspot import HubSpotWriter

    portal.property_limit = len(portal.properties["companies"]) + 2
    found = [
        step
        for step in HubSpotWriter(hub.context()).install(dry_run=False)
        if step.what.startswith("companies")
    ]
    assert steps(found) == {"done": 2, "conflict": 4}
    assert all("limit" in (step.remedy or "") for step in found if step.state == "conflict")


def test_a_missing_schema_scope_names_it_and_the_way_around(hub: Hub) -> None:
    from crmbridge.writeback.hubspot import HubSpotWriter

    hub.server.faults.append(Fault("batch/create", 403, Problem(403, "MISSING_SCOPES", "no").body))
    with pytest.raises(AuthError, match=r"crm\.schemas\.leads\.write.*--as"):
        list(HubSpotWriter(hub.context()).install(dry_run=False))


def test_objects_the_portal_lacks_are_left_out(hub: Hub, portal: Portal) -> None:
    portal.switches.leads = False
    writer = hub.writer(lead_object="leads")
    assert SCORE in portal.properties["deals"]
    assert {item.state for item in writer.check() if item.name == "leads"} == {"warning"}


def test_uninstalling_leaves_what_is_not_ours_and_what_is_in_use(hub: Hub, portal: Portal) -> None:
    writer = hub.writer()
    portal.in_use.add("crmbridge_grade")
    portal.properties["companies"]["crmbridge_notes_of_ours"] = definition("crmbridge_notes_of_ours")
    portal.properties["deals"][SCORE]["groupName"] = "dealinformation"
    found: list[InstallStep] = list(writer.uninstall(dry_run=False))
    assert {step.what for step in found if step.state == "conflict"} == {
        "companies.crmbridge_grade", "deals.crmbridge_grade", "leads.crmbridge_grade",
    }  # fmt: skip
    assert all("workflows" in (step.remedy or "") for step in found if step.state == "conflict")
    assert "crmbridge_notes_of_ours" in portal.properties["companies"]
    assert SCORE in portal.properties["deals"]
    assert SCORE not in portal.properties["companies"]


@pytest.mark.parametrize("restored", [True, False])
def test_values_that_come_back_with_a_property_are_seen(
    hub: Hub, portal: Portal, companies: list[str], restored: bool
) -> None:
    portal.switches.restored_values = restored
    write(hub, changes(companies[:1]))
    list(hub.writer().uninstall(dry_run=False))
    now = hub.writer().read("account", companies[:1])[companies[0]]["score"]
    assert now == (61.25 if restored else None)


def test_a_batch_is_json_with_trace_ids(hub: Hub, companies: list[str]) -> None:
    write(hub, changes(companies[:2]))
    call = next(call for call in hub.server.calls if call.is_at(UPDATE))
    assert json.loads(json.dumps(call.body)) == {
        "inputs": [
            {
                "id": each,
                "objectWriteTraceId": each,
                "properties": {"crmbridge_score": "61.25", "crmbridge_grade": "B"},
            }
            for each in companies[:2]
        ]
    }
