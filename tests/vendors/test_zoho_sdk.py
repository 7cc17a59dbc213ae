"""The vendor's own client reads and writes through the stand-in, as it would at Zoho."""

from __future__ import annotations

from pathlib import Path

import pytest

from crmbridge.testing import samples
from tests.vendors.zoho import ZohoServer
from tests.vendors.zoho.server import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from tests.vendors.zoho_subject import ZohoSubject

pytestmark = pytest.mark.slow


@pytest.fixture
def operations(zoho: ZohoServer, tmp_path: Path):
    pytest.importorskip("zohocrmsdk", reason="the vendor's SDK is not installed")
    from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
    from zohocrmsdk.src.com.zoho.api.authenticator.store import FileStore
    from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
    from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
    from zohocrmsdk.src.com.zoho.crm.api.record import RecordOperations

    Initializer.initialize(
        environment=DataCenter.Environment(zoho.url, f"{zoho.url}/oauth/v2/token", zoho.url),
        token=OAuthToken(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, refresh_token=REFRESH_TOKEN),
        store=FileStore(str(tmp_path / "tokens.txt")),
        resource_path=str(tmp_path),
    )
    return RecordOperations("Leads")


def test_the_vendors_client_reads_and_writes_the_stand_in(operations, zoho):
    from zohocrmsdk.src.com.zoho.crm.api import HeaderMap, ParameterMap
    from zohocrmsdk.src.com.zoho.crm.api.record import BodyWrapper, GetRecordsParam, Record

    ids = ZohoSubject(zoho).seed(samples.leads(3))
    parameters = ParameterMap()
    names = "Last_Name,Company,No_of_Employees,Annual_Revenue,Created_Time,Owner,Converted__s"
    parameters.add(GetRecordsParam.fields, names)
    read = operations.get_records(parameters, HeaderMap())
    assert read.get_status_code() == 200
    found = {str(record.get_id()): record for record in read.get_object().get_data()}
    assert set(found) == set(ids)
    assert found[ids[0]].get_key_value("Company") == "Company 0"
    assert found[ids[0]].get_key_value("Owner").get_name() == "Ada Admin"

    def write(company: str, trigger: list[str] | None) -> str:
        record = Record()
        record.set_id(int(ids[0]))
        record.add_key_value("Company", company)
        body = BodyWrapper()
        body.set_data([record])
        if trigger is not None:
            body.set_trigger(trigger)
        answer = operations.update_records(body, HeaderMap()).get_object().get_data()
        return str(answer[0].get_status().get_value())

    assert write("Quietly", []) == "success"
    assert zoho.org.modules["Leads"].rows[ids[0]]["Company"] == "Quietly"
    assert zoho.org.workflows == 0
    assert write("Loudly", None) == "success"
    assert zoho.org.workflows == 1
