"""Installing into Salesforce: told before done, safe to repeat, removing only what is ours."""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from crmbridge.connectors.salesforce.client import Client
from crmbridge.errors import CRMBridgeError
from crmbridge.model.fields import CATALOGUE, CORE
from crmbridge.writeback.salesforce import SalesforceWriter
from tests.shared_data import shared
from tests.vendors.salesforce.org import ADMIN, INTEGRATION, Fault, Org
from tests.vendors.salesforce.server import Stand, serve
from tests.vendors.salesforce.subject import no_sleep, world

METADATA = "{http://soap.sforce.com/2006/04/metadata}"


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serve(Org()) as stand:
        yield stand


@pytest.fixture
def org(stand: Stand) -> Org:
    return stand.org


def admin(stand: Stand, fields: tuple[str, ...] = CORE) -> SalesforceWriter:
    context = world(stand, fields=fields, options={"client_id": "admin-app"})
    return SalesforceWriter(replace(context, install_for=INTEGRATION), sleep=no_sleep)


def daily(stand: Stand, fields: tuple[str, ...] = CORE) -> SalesforceWriter:
    return SalesforceWriter(world(stand, fields=fields), sleep=no_sleep)


def states(steps: Any) -> set[str]:
    return {step.state for step in steps}


def test_after_install_the_integration_user_can_write_and_nobody_else_was_given_anything(stand, org):
    assert states(admin(stand).install(dry_run=False)) == {"done"}
    assert {item.state for item in daily(stand).check()} == {"ok"}
    assert org.assigned == {("CRMBridge_Integration", INTEGRATION)}
    flags = {each["editable"] for each in org.sets["CRMBridge_Score_Read"]["fields"].values()}
    assert flags == {False}


def test_no_call_of_the_metadata_api_holds_more_than_ten_components(stand, org):
    assert "conflict" not in states(admin(stand, tuple(CATALOGUE)).install(dry_run=False))
    assert len(org.calls("/Soap/m/")) > 10


def test_what_others_put_into_the_permission_sets_survives(stand, org):
    list(admin(stand, ("score",)).install(dry_run=False))
    org.add_field("Lead", "Theirs__c")
    org.sets["CRMBridge_Integration"]["fields"]["Lead.Theirs__c"] = {"readable": True, "editable": False}
    list(admin(stand, ("score", "grade")).install(dry_run=False))
    fields = org.sets["CRMBridge_Integration"]["fields"]
    assert fields["Lead.Theirs__c"] == {"readable": True, "editable": False}
    assert fields["Lead.CRMBridge_Grade__c"] == {"readable": True, "editable": True}
    list(admin(stand).uninstall(dry_run=False))
    assert set(org.sets["CRMBridge_Integration"]["fields"]) == {"Lead.Theirs__c"}


def test_fields_added_later_are_installed_beside_those_that_are_there(stand, org):
    list(admin(stand, ("score",)).install(dry_run=False))
    steps = list(admin(stand, ("score", "grade")).install(dry_run=False))
    assert {step.what: step.state for step in steps}["field Lead.CRMBridge_Score__c"] == "present"
    assert {step.what: step.state for step in steps}["field Lead.CRMBridge_Grade__c"] == "done"


@pytest.mark.parametrize("how", ["drop", "lost"])
def test_an_install_that_breaks_off_at_any_call_is_finished_by_the_next(stand, org, how):
    calls = 0
    while True:
        org.fields["Lead"].pop("CRMBridge_Score__c", None)
        for store in (org.sets, org.definitions, org.created, org.assigned):
            store.clear()
        for rows in ("PermissionSet", "PermissionSetAssignment"):
            org.rows[rows].clear()
        org.requests.clear()
        fault = Fault(lambda method, path, body: "/services/" in path, how, skip=calls, times=6)
        org.faults[:] = [fault]
        with contextlib.suppress(CRMBridgeError):
            list(admin(stand, ("score",)).install(dry_run=False))
        done = fault in org.faults
        org.faults.clear()
        assert states(admin(stand, ("score",)).install(dry_run=False)) <= {"present", "done"}
        assert {item.state for item in daily(stand, ("score",)).check()} == {"ok"}
        if done:
            break
        calls += 1
    assert calls > 5


def test_a_limit_on_fields_is_said_before_anything_is_made(stand, org):
    for number in range(499):
        org.add_field("Lead", f"Theirs_{number}__c")
        org.add_field("Account", f"package__Theirs_{number}__c")  # those of packages do not count
    steps = list(admin(stand).install(dry_run=False))
    assert [step.state for step in steps] == ["conflict"]
    assert "Lead, which has" in steps[0].what
    assert "Enterprise Edition allows 500" in steps[0].what
    assert not org.created
    assert not [body for _, path, _, body in org.requests if b"upsertMetadata" in body]
    org.rows["Organization"][org.id]["OrganizationType"] = "Unlimited Edition"
    assert states(admin(stand).install(dry_run=False)) == {"done"}


def test_a_limit_on_fields_is_known_without_the_tooling_api(stand, org):
    org.faults.append(Fault(lambda method, path, body: "/tooling/" in path, status=404, body=b"[]", times=9))
    for number in range(499):
        org.add_field("Lead", f"Theirs_{number}__c")
    assert states(admin(stand).install(dry_run=True)) == {"conflict"}


def test_a_field_in_the_bin_is_told_and_a_new_one_is_made(stand, org):
    list(admin(stand, ("score",)).install(dry_run=False))
    list(admin(stand, ("score",)).uninstall(dry_run=False))
    for dry_run in (True, False):
        steps = list(admin(stand, ("score",)).install(dry_run=dry_run))
        told = [step for step in steps if "in the bin" in step.what]
        assert {step.what.split()[2] for step in told} == {
            f"{sobject}.CRMBridge_Score__c" for sobject in ("Lead", "Account", "Opportunity")
        }
        assert all(step.remedy for step in told)
    assert {item.state for item in daily(stand, ("score",)).check()} == {"ok"}


def test_a_call_that_was_rolled_back_as_a_whole_is_told_field_by_field(stand, org):
    body = shared("vendors/salesforce/amp_labs/metadata/write/object15/bad-request.xml").read_bytes()
    names = re.findall(rb"<fullName>(.*?)</fullName>", body)
    org.faults.append(Fault(lambda method, path, sent: b"upsertMetadata" in sent, status=200, body=body))
    steps = list(admin(stand, ("score",)).install(dry_run=False))
    assert {step.state for step in steps if any(name.decode() in step.what for name in names)} == {"conflict"}
    assert not org.sets


def test_a_field_that_salesforce_refuses_is_told_in_its_words_and_the_rest_waits(stand, org):
    body = shared("vendors/salesforce/amp_labs/metadata/write/object15/bad-request.xml").read_bytes()
    answer = body.replace(b"TestObject15__c.IsReady__c", b"Lead.CRMBridge_Score__c")
    org.faults.append(Fault(lambda method, path, sent: b"upsertMetadata" in sent, status=200, body=answer))
    steps = list(admin(stand, ("score",)).install(dry_run=False))
    (conflict,) = [step for step in steps if step.state == "conflict"]
    assert "Can not specify 'required'" in conflict.what
    assert not org.sets


def test_a_user_without_the_rights_is_told_what_salesforce_says(stand, org):
    with pytest.raises(CRMBridgeError, match="INSUFFICIENT_ACCESS"):
        list(daily(stand).install(dry_run=False))


def test_a_session_that_ends_while_installing_is_renewed_in_the_body_too(stand, org):
    one = admin(stand, ("score",))
    one.client.user_id()
    org.tokens.clear()
    assert states(one.install(dry_run=False)) == {"done"}


def test_a_field_of_somebody_elses_making_is_not_removed(stand, org):
    list(admin(stand, ("score",)).install(dry_run=False))
    theirs = org.definitions["Lead.CRMBridge_Score__c"]
    org.definitions["Lead.CRMBridge_Score__c"] = theirs.replace("Made by crmbridge.", "")
    list(admin(stand).uninstall(dry_run=False))
    assert "CRMBridge_Score__c" in org.fields["Lead"]
    assert "CRMBridge_Score__c" not in org.fields["Account"]


def test_check_names_what_can_not_be_written_and_why(stand, org):
    list(admin(stand, ("score",)).install(dry_run=False))
    org.assigned.clear()
    (lead, *_) = daily(stand, ("score",)).check()
    assert lead.state == "failed"
    assert "CRMBridge_Score__c" in lead.detail
    assert lead.remedy


def test_fields_of_a_package_are_found_by_their_namespace(stand, org):
    list(admin(stand, ("score",)).install(dry_run=False))
    for sobject in ("Lead", "Account", "Opportunity"):
        field = org.fields[sobject].pop("CRMBridge_Score__c")
        org.created.discard(f"{sobject}.CRMBridge_Score__c")
        org.fields[sobject]["acme__CRMBridge_Score__c"] = {**field, "name": "acme__CRMBridge_Score__c"}
    assert {item.state for item in daily(stand, ("score",)).check()} == {"ok"}


def test_an_admin_installs_for_the_user_who_signs_in_every_day(stand, org):
    list(admin(stand, ("score",)).install(dry_run=False))
    assert Client(world(stand, options={"client_id": "admin-app"})).user_id() == ADMIN
    assert {user for _, user in org.assigned} == {INTEGRATION}


# -- judged by Salesforce's own schema --


@cache
def schema() -> etree.XMLSchema:
    """The schema inside the WSDL of the Metadata API, which simple-salesforce's wheel carries."""
    found = importlib.util.find_spec("simple_salesforce")
    assert found is not None
    assert found.origin is not None
    tree = etree.parse(Path(found.origin).parent / "metadata.wsdl")
    (inner,) = tree.iterfind(".//{http://www.w3.org/2001/XMLSchema}schema")
    return etree.XMLSchema(etree.fromstring(etree.tostring(inner)))  # with the prefixes of the whole


def test_every_call_of_the_metadata_api_is_as_its_schema_says(stand, org):
    judge = schema()
    list(admin(stand, tuple(CATALOGUE)).install(dry_run=False))
    list(admin(stand, tuple(CATALOGUE)).install(dry_run=False))
    list(admin(stand, tuple(CATALOGUE)).uninstall(dry_run=False))
    judged = 0
    for method, path, _, body in org.requests:
        if method == "POST" and "/Soap/m/" in path:
            envelope = etree.fromstring(body)
            for part in envelope:
                for element in part:
                    assert judge.validate(element), judge.error_log
                    judged += 1
    assert judged > 50


def test_the_judge_finds_what_is_wrong(stand, org):
    judge = schema()
    list(admin(stand, ("score",)).install(dry_run=False))
    (body, *_) = [body for _, path, _, body in org.requests if b"upsertMetadata" in body]
    broken = re.sub(rb"<type>Number</type>", b"<type>Numbre</type>", body)
    operation = etree.fromstring(broken).find("{http://schemas.xmlsoap.org/soap/envelope/}Body")[0]
    assert not judge.validate(operation)


PLUGIN = Path(__file__).resolve().parents[2] / "plugins" / "salesforce"


def generated() -> dict[str, str]:
    found = importlib.util.spec_from_file_location("generate", PLUGIN / "generate.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return dict(module.files())


def test_the_tree_to_deploy_is_what_the_catalogue_says():
    made = generated()
    there = {str(path.relative_to(PLUGIN)) for path in (PLUGIN / "force-app").rglob("*") if path.is_file()}
    assert there == {path for path in made if path.startswith("force-app")}
    assert [path for path, text in made.items() if (PLUGIN / path).read_text("utf-8") != text] == []


def test_the_tree_to_deploy_is_as_the_schema_says():
    judge = schema()
    for path, text in generated().items():
        if not path.endswith(".xml"):
            continue
        root = etree.fromstring(text.encode())
        # The schema knows components as parts of calls: a file's root becomes one of those.
        call = etree.Element(f"{METADATA}upsertMetadata", nsmap={None: METADATA[1:-1]})
        part = etree.SubElement(call, f"{METADATA}metadata")
        part.set("{http://www.w3.org/2001/XMLSchema-instance}type", etree.QName(root).localname)
        children = list(root)
        if children[0].tag != f"{METADATA}fullName":
            etree.SubElement(part, f"{METADATA}fullName").text = Path(path).name.split(".")[0]
        part.extend(children)
        assert judge.validate(etree.fromstring(etree.tostring(call))), (path, judge.error_log)
