"""simple-salesforce as a second client: it judges the stand-in as it is, without crmbridge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceExpiredSession, SalesforceMalformedRequest

from crmbridge.connectors.salesforce.client import Client, Gate
from tests.vendors.salesforce.org import ADMIN, Org
from tests.vendors.salesforce.server import Stand, serve
from tests.vendors.salesforce.subject import world


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serve(Org()) as stand:
        stand.org.tokens["second"] = ADMIN
        for place in range(2_086):
            stand.org.put("Lead", {"LastName": f"Größe {place}", "Company": "x", "AnnualRevenue": 1.5})
        yield stand


@pytest.fixture
def other(stand: Stand) -> Salesforce:
    session = requests.Session()
    session.mount("https://", Gate("http"))  # the library knows only https
    return Salesforce(session_id="second", instance_url=stand.url, session=session, version="65.0")


def test_it_reads_describes_pages_and_limits(stand, other):
    rows = list(other.query_all_iter("SELECT Id, LastName FROM Lead"))
    assert len({row["Id"] for row in rows}) == 2_086
    assert {field["name"] for field in other.Lead.describe()["fields"]} >= {"Id", "SystemModstamp"}
    assert other.limits()["DailyApiRequests"]["Max"] == 100_000
    assert other.api_usage["api-usage"].total == 100_000


def test_it_reads_and_writes_by_bulk(stand, other):
    (text,) = other.bulk2.Lead.query("SELECT Id, LastName FROM Lead", max_records=50_000)
    assert len(text.splitlines()) == 2_087
    (identifier, *_) = stand.org.rows["Lead"]
    (told,) = other.bulk2.Lead.update(records=[{"Id": identifier, "Title": "Head"}], wait=1)
    assert (told["numberRecordsProcessed"], told["numberRecordsFailed"]) == (1, 0)
    assert stand.org.rows["Lead"][identifier]["Title"] == "Head"


def test_its_errors_are_those_it_knows(stand, other):
    with pytest.raises(SalesforceMalformedRequest, match="No such column"):
        other.query("SELECT Nothing__c FROM Lead")
    stand.org.tokens.clear()
    with pytest.raises(SalesforceExpiredSession):
        other.query("SELECT Id FROM Lead")


def test_our_own_client_keeps_the_library_usable(stand):
    """Its typed calls go through the same hook: they are renewed, and none asks for pretty printing."""
    client = Client(world(stand))
    client.query("SELECT Id FROM User")
    stand.org.tokens.clear()
    assert client.salesforce.query("SELECT Id FROM User")["totalSize"] == 2
    assert client.salesforce.Lead.describe()["name"] == "Lead"
    assert not any("x-prettyprint" in headers for _, _, headers, _ in stand.org.requests)
