"""The stand-in is held against what others know of HubSpot: the OpenAPI description derived from HubSpot's
own SDK, HubSpot's own clients, and recorded answers.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.shared_data import shared
from tests.vendors.hubspot.conftest import Hub
from tests.vendors.hubspot.portal import Portal
from tests.vendors.hubspot.server import TOKEN, Call, Fault, Server

OLD = datetime(2026, 1, 1, tzinfo=UTC)
FOLDER = "vendors/hubspot"
RECORDED = f"{FOLDER}/amp-labs-mit/providers/hubspot/test"


@cache
def description(name: str) -> Any:
    from openapi_core import OpenAPI

    path = shared(f"{FOLDER}/specs-apache2/{name}")
    document = json.loads(path.read_text(encoding="utf-8"))
    # The page of associations and the description's own README say 1,000; the schema says 100.
    for schema in document["components"]["schemas"].values():
        inputs = schema.get("properties", {}).get("inputs", {})
        if inputs.get("items", {}).get("$ref", "").endswith("PublicFetchAssociationsBatchRequestParam"):
            inputs["maxItems"] = 1_000
    return OpenAPI.from_dict(document)


def validates(server: Server, name: str) -> None:
    """From now on every call and its answer are held against the description."""
    from openapi_core.testing import MockRequest, MockResponse

    api = description(name)

    def validate(call: Call, status: int, raw: bytes) -> None:
        request = MockRequest(
            "https://api.hubapi.com",
            call.method.lower(),
            call.path,
            args=[(key, value) for key, values in call.query.items() for value in values],
            headers={"Authorization": call.headers.get("authorization", "")},
            data=json.dumps(call.body).encode() if call.body else None,
            content_type="application/json",
        )
        try:
            api.validate_request(request)
            api.validate_response(
                request, MockResponse(raw, status_code=status, content_type="application/json")
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            server.invalid.append(
                f"{call.method} {call.path} {urlencode(call.query, True)}: {error!r} {error.__cause__}"
            )

    server.validator = validate


def small(portal: Portal) -> None:
    company = portal.add("companies", {"name": "Acme"}, created=OLD)
    for kind in ("contacts", "leads", "deals", "orders", "calls", "meetings", "emails", "tasks", "notes"):
        values = {"dealstage": "closedwon"} if kind == "deals" else {}
        one, _ = portal.add(kind, values, created=OLD), portal.add(kind, values, created=OLD)
        portal.link(kind, one, "companies", company, 1)
    portal.owners.append(
        {
            "id": "7",
            "email": None,
            "firstName": "A",
            "lastName": "B",
            "userId": 1,
            "type": "PERSON",
            "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": "2026-01-01T00:00:00Z",
            "archived": False,
        }
    )


@pytest.mark.parametrize("api", ["dated", "legacy"])
def test_every_call_and_answer_of_a_run_is_as_described(hub: Hub, portal: Portal, api: str) -> None:
    names = {
        "dated": "hubspot-crm-core.2026-09.openapi.json",
        "legacy": "hubspot-crm-core.v3-v4.openapi.json",
    }
    validates(hub.server, names[api])
    small(portal)
    connector = hub.connector(api=api, bodies=True)
    connector.org()
    assert {item.state for item in connector.check()} == {"ok"}
    cursors = {name: list(connector.pull(name, None))[-1].cursor for name in connector.objects()}
    writer = hub.writer(api=api)
    (lead, *_) = portal.records["leads"]
    from crmbridge.writeback.base import Change

    writer.write(
        "lead", [Change("lead", lead, {"score": 1.0, "grade": "A"}), Change("lead", "99", {"score": 2.0})]
    )
    writer.read("lead", [lead])
    portal.archive("contacts", next(iter(portal.records["contacts"])))
    hub.clock.now = hub.clock.now.replace(hour=15)
    for name in connector.objects():
        list(hub.connector(api=api, bodies=True).pull(name, cursors[name]))
    hub.clock.now += timedelta(days=2)
    for name in connector.objects():
        list(hub.connector(api=api, bodies=True).pull(name, cursors[name]))
    list(writer.uninstall(dry_run=False))
    assert hub.server.invalid == []
    assert len(hub.server.calls) > 60


def test_the_description_refuses_what_is_wrong(hub: Hub) -> None:
    """Else the test before could not fail."""
    validates(hub.server, "hubspot-crm-core.2026-09.openapi.json")
    client = hub.connector().client
    path = client.paths.objects.format("contacts")
    with pytest.raises(Exception, match="400"):
        client.post(f"{path}/batch/read", {"inputs": []})
    assert len(hub.server.invalid) == 1


# HubSpot's own client


@pytest.fixture
def vendor(server: Server) -> Any:
    """hubspot-api-client with its typed models, on the legacy paths it knows."""
    import hubspot

    client = hubspot.HubSpot(access_token=TOKEN)
    client.config["host"] = server.url
    return client


def test_hubspots_own_client_reads_searches_and_writes(vendor: Any, portal: Portal) -> None:
    from hubspot.crm.contacts import (
        BatchInputSimplePublicObjectBatchInput,
        BatchReadInputSimplePublicObjectId,
        PublicObjectSearchRequest,
    )

    ids = [portal.add("contacts", {"lastname": f"Last {at}"}, created=OLD) for at in range(7)]
    contacts = vendor.crm.contacts
    page = contacts.basic_api.get_page(limit=5, properties=["lastname"])
    assert [each.id for each in page.results] == ids[:5]
    rest = contacts.basic_api.get_page(limit=5, after=page.paging.next.after, properties=["lastname"])
    assert [each.properties["lastname"] for each in rest.results] == ["Last 5", "Last 6"]
    filters = [{"propertyName": "hs_object_id", "operator": "GT", "value": ids[3]}]
    request = PublicObjectSearchRequest(
        filter_groups=[{"filters": filters}], limit=2, after="0", sorts=[], properties=[]
    )
    found = contacts.search_api.do_search(public_object_search_request=request)
    assert (found.total, len(found.results), found.paging.next.after) == (3, 2, "2")
    wanted = BatchReadInputSimplePublicObjectId(
        inputs=[{"id": ids[0]}, {"id": "1"}], properties=["lastname"], properties_with_history=["lastname"]
    )
    read = contacts.batch_api.read(batch_read_input_simple_public_object_id=wanted)
    assert (type(read).__name__, read.num_errors) == ("BatchResponseSimplePublicObjectWithErrors", 1)
    assert read.results[0].properties_with_history["lastname"][0].value == "Last 0"
    update = BatchInputSimplePublicObjectBatchInput(
        inputs=[{"id": ids[0], "properties": {"lastname": "New"}}]
    )
    done = contacts.batch_api.update(batch_input_simple_public_object_batch_input=update)
    assert done.results[0].properties["lastname"] == "New"
    assert portal.records["contacts"][ids[0]].properties["lastname"] == "New"


def test_hubspots_own_client_understands_schema_owners_pipelines_and_associations(
    vendor: Any, portal: Portal
) -> None:
    from hubspot.crm.associations.v4 import BatchInputPublicFetchAssociationsBatchRequest

    small(portal)
    (contact, _) = portal.records["contacts"]
    assert {each.name for each in vendor.crm.properties.core_api.get_all("contacts").results} >= {"lastname"}
    assert [each.id for each in vendor.crm.owners.owners_api.get_page().results] == ["7"]
    stages = vendor.crm.pipelines.pipelines_api.get_all("deals").results[0].stages
    assert {each.id: each.metadata["isClosed"] for each in stages}["closedwon"] == "true"
    inputs = BatchInputPublicFetchAssociationsBatchRequest(inputs=[{"id": contact}])
    found = vendor.crm.associations.v4.batch_api.get_page("contacts", "companies", inputs)
    assert found.results[0].to[0].association_types[0].type_id == 1


def test_hubspots_next_client_reads_searches_and_writes_on_dated_paths(
    server: Server, portal: Portal
) -> None:
    sdk = pytest.importorskip("hubspot_sdk")
    ids = [portal.add("contacts", {"lastname": f"Last {at}"}, created=OLD) for at in range(7)]
    with sdk.HubSpot(access_token=TOKEN, base_url=server.url, max_retries=0) as client:
        contacts = client.crm.objects.contacts
        assert [each.id for each in contacts.list(limit=3, properties=["lastname"])] == ids
        found = contacts.search(
            after="0",
            filter_groups=[
                {"filters": [{"propertyName": "hs_object_id", "operator": "GT", "value": ids[3]}]}
            ],
            limit=2,
            properties=["lastname"],
            sorts=["hs_object_id"],
        )
        assert (found.total, [each.id for each in found.results]) == (3, ids[4:6])
        inputs = [{"id": ids[0], "properties": {"lastname": "New"}}, {"id": "9", "properties": {}}]
        done = contacts.batch.update(inputs=inputs)
        assert [each.id for each in done.results] == [ids[0]]
        assert done.model_extra["numErrors"] == 1
        read = contacts.batch.get(
            inputs=[{"id": ids[0]}], properties=["lastname"], properties_with_history=["lastname"]
        )
        assert read.results[0].properties["lastname"] == "New"
    assert {call.path.split("/")[3] for call in server.calls} == {"2026-03"}


# Recorded answers


def recorded(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(shared(f"{RECORDED}/{name}").read_text(encoding="utf-8"))
    return body


def shape(value: Any) -> Any:
    """Names and types, without values; of a list its first item's."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def stood_in(server: Server, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    import hubspot

    client = hubspot.HubSpot(access_token=TOKEN)
    request = {"method": method, "path": path, "body": body, "base_url": server.url}
    client.config["base_url"] = server.url
    answer = client.api_request(request)
    return answer.status_code, answer.json()


def test_recorded_refusals_of_updates_are_refused_alike(server: Server, portal: Portal) -> None:
    one = portal.add("contacts", {}, created=OLD)
    path = "/crm/objects/2026-09/contacts/batch/update"
    twice = {"inputs": [{"id": one, "properties": {}}, {"id": one, "properties": {}}]}
    status, body = stood_in(server, "POST", path, twice)
    assert (status, shape(body)) == (400, shape(recorded("batch/update/contacts/err-duplicate-ids.json")))
    unknown = {"inputs": [{"id": one, "properties": {"first000name": "x", "last000name": "y"}}]}
    status, body = stood_in(server, "POST", path, unknown)
    assert (status, shape(body)) == (
        400,
        shape(recorded("batch/update/contacts/err-many-invalid-properties.json")),
    )
    assert body["errors"][0]["code"] == "PROPERTY_DOESNT_EXIST"
    partly = {"inputs": [{"id": one, "properties": {}}, {"id": "888", "properties": {}}]}
    status, body = stood_in(server, "POST", path, partly)
    expected = recorded("batch/update/contacts/err-partial-success.json")
    assert (status, body.keys()) == (207, expected.keys())
    assert shape(body["errors"]) == shape(expected["errors"])


def test_recorded_answers_to_making_properties_are_answered_alike(server: Server, portal: Portal) -> None:
    group = recorded("custom/create/1-payload-create-property-group.json")
    status, body = stood_in(server, "POST", "/crm/properties/2026-09/contacts/groups", group)
    assert (status, shape(body)) == (
        201,
        shape(recorded("custom/create/2-response-create-property-group.json")),
    )
    asked = recorded("custom/create/3-payload-batch-create-properties.json")
    path = "/crm/properties/2026-09/contacts/batch/create"
    status, body = stood_in(server, "POST", path, asked)
    expected = recorded("custom/create/4-response-batch-create-properties.json")
    assert (status, body["results"][0].keys()) == (201, expected["results"][0].keys())
    status, body = stood_in(server, "POST", path, asked)
    again = recorded("custom/update/3-response-batch-create-properties.json")
    assert (status, shape(body["errors"])) == (207, shape(again["errors"]))


def test_recorded_records_are_read_by_the_connector(hub: Hub, portal: Portal) -> None:
    body = recorded("read/objects-api/contacts-response.json")
    ids = {each["id"] for each in body["results"]}
    body.pop("paging", None)
    hub.server.faults.append(Fault("GET /crm/objects/2026-09/contacts", body=body))
    found = hub.pull("contact")
    assert set(found.records) == ids
    assert not found.set_aside


def test_recorded_deals_and_histories_are_read_by_the_connector(hub: Hub) -> None:
    path = shared(f"{FOLDER}/dlt-mock-apache2/mock_deals_data.json")
    body = json.loads(path.read_text(encoding="utf-8"))
    body.pop("paging", None)
    hub.server.faults.append(Fault("GET /crm/objects/2026-09/deals", body=body))
    found = hub.pull("deal")
    assert len(found.records) == len({each["id"] for each in body["results"]}) > 0
    assert not found.set_aside


def test_recorded_pipelines_say_what_is_won(hub: Hub) -> None:
    from crmbridge.connectors.hubspot.stages import read_stages

    body = recorded("metadata-deals-external-pipelines.json")
    hub.server.faults.append(Fault("/pipelines/", body=body))
    stages = read_stages(hub.connector().client, "deals")
    won = {identifier for identifier, stage in stages.by_id.items() if stage.is_won}
    assert "closedwon" in won
    assert stages.by_id["closedlost"].is_closed
    assert "closedlost" not in won


def test_every_fault_and_every_switch_has_the_test_the_readme_names() -> None:
    here = Path(__file__).parent
    told = (here / "README.md").read_text(encoding="utf-8")
    code = "\n".join(path.read_text(encoding="utf-8") for path in here.glob("test_*.py"))
    made = set(re.findall(r"def (test_\w+)\(", code))
    named = set(re.findall(r"`(test_\w+)`", told))
    assert len(named) > 80
    assert named <= made, sorted(named - made)
