"""Tokens, data centres, simultaneous calls and currencies: where one Zoho org differs from another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from crmbridge.bridge import Bridge
from crmbridge.connectors.zoho import ZohoConnector
from crmbridge.errors import BusyError
from crmbridge.testing import context, pulled, samples
from tests.vendors.zoho import ZohoServer
from tests.vendors.zoho.server import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from tests.vendors.zoho_subject import SECRETS, ZohoSubject


@pytest.fixture
def subject(zoho: ZohoServer) -> ZohoSubject:
    return ZohoSubject(zoho)


@pytest.fixture
def other(zoho: ZohoServer) -> Iterator[ZohoServer]:
    """Another host of the same org."""
    server = ZohoServer(zoho.org)
    yield server
    server.close()


def made(subject: ZohoSubject, **more) -> ZohoConnector:
    given = context(subject.options(), secrets=SECRETS, clock=subject.clock)
    return ZohoConnector(given, sleep=lambda seconds: None, **more)


def test_requests_go_to_the_host_that_the_sign_in_names(subject, zoho, other):
    zoho.api_domain = other.url
    ids = set(subject.seed(samples.leads(3)))
    connector = made(subject)
    assert set(pulled(connector.pull("lead", None)).records) == ids
    hosts = {each.headers["host"] for each in zoho.org.requests if each.path.startswith("/crm")}
    assert hosts == {other.url.removeprefix("http://")}


def test_an_org_that_moves_is_followed_with_the_next_token(subject, zoho, other):
    connector = made(subject)
    connector.org()
    zoho.api_domain = other.url
    zoho.org.refused_tokens |= zoho.org.tokens.keys()
    assert connector.client.get("org").rows == []
    assert zoho.org.requests[-1].headers["host"] == other.url.removeprefix("http://")


def test_a_sign_in_that_names_no_host_is_taken_for_its_own_data_centre(subject, zoho):
    zoho.api_domain = ""
    assert made(subject).org().id == zoho.org.zgid


def test_short_lived_tokens_are_used_for_half_their_life(subject, zoho):
    zoho.org.switches.token_seconds = 120
    connector = made(subject)
    connector.org()
    for _ in range(20):
        connector.client.get("org")
    assert len(zoho.org.calls("oauth")) == 1
    zoho.org.tick(70)
    connector.client.get("org")
    assert len(zoho.org.calls("oauth")) == 2


def test_a_token_that_ends_between_two_pages_is_renewed(subject):
    ids = subject.seed(samples.leads(60))
    pages = made(subject, read_by="list", page_size=7).pull("lead", None)
    found = [next(pages)]
    subject.org.tick(2 * 3600)
    found += pages
    assert set(pulled(found).records) == set(ids)
    assert len(subject.org.calls("oauth")) == 2


def test_a_token_killed_by_fifteen_younger_ones_is_replaced(subject, zoho):
    connector = made(subject)
    connector.org()
    form = {"grant_type": "refresh_token", "client_id": CLIENT_ID}
    form |= {"client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN}
    for _ in range(15):
        assert "access_token" in zoho.token(form)[1]
        zoho.org.tick(90)
    assert zoho.org.refused_tokens
    assert connector.client.get("org").status == 200


@pytest.mark.parametrize("status", [200, 400, 401])
def test_a_refused_token_is_known_by_its_code_whatever_the_status(subject, status):
    refusal = {"code": "INVALID_TOKEN", "details": {}, "message": "invalid oauth token", "status": "error"}
    subject.org.fault("GET /crm/v8/org", answer=(status, refusal, {}))
    assert made(subject).org().id == subject.org.zgid
    assert len(subject.org.calls("oauth")) == 2


# -- simultaneous calls --


def test_queries_and_large_writes_stay_below_the_sub_pool_of_ten(subject):
    connector = made(subject)
    connector.org()
    arrived = threading.Barrier(4, timeout=5)
    subject.org.before_query = lambda: arrived.wait()
    with ThreadPoolExecutor(16) as pool:
        select = "select id from Leads where id is not null limit 1"
        list(pool.map(lambda _: connector.client.query(select), range(16)))
    assert subject.org.most_active == 4


def test_two_runs_of_a_connection_never_call_at_the_same_time(subject, tmp_path, monkeypatch):
    """The connection's lease in the ledger holds for all processes and machines."""
    settings = tmp_path / "crmbridge.toml"
    settings.write_text(
        f'[connections.acme]\nconnector = "zoho"\nclient_id = "{CLIENT_ID}"\n'
        f'accounts_url = "{subject.server.url}"\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("CRMBRIDGE_ACME_CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.setenv("CRMBRIDGE_ACME_REFRESH_TOKEN", REFRESH_TOKEN)
    subject.seed(samples.leads(3))
    refused = []

    def meanwhile():
        subject.org.before_query = lambda: None
        with Bridge.open(settings, clock=subject.clock) as second, pytest.raises(BusyError):
            second.pull("acme")
        refused.append(subject.org.active)

    subject.org.before_query = meanwhile
    with Bridge.open(settings, clock=subject.clock) as first:
        assert first.pull("acme").status == "done"
    assert refused
    assert subject.org.most_active == 1


# -- money --


def test_amounts_have_the_currency_of_their_record_or_of_the_org(subject):
    subject.org.put("Deals", {"Deal_Name": "D", "Amount": 10.5, "Currency": "JPY"}, identifier="1")
    subject.org.put("Deals", {"Deal_Name": "D", "Amount": 10.5}, identifier="2")
    found = pulled(made(subject).pull("deal", None)).records
    assert {identifier: deal.currency for identifier, deal in found.items()} == {"1": "JPY", "2": "EUR"}
    subject.org.modules["Deals"].fields.remove(subject.org.modules["Deals"].field("Currency"))
    found = pulled(made(subject).pull("deal", None)).records
    assert found["1"].currency == "EUR", "an org with one currency has no such field"


# -- moments --


def test_moments_without_a_zone_are_of_the_connections_zone(subject):
    subject.org.put(
        "Calls", {"Call_Type": "Outbound", "Call_Start_Time": "2026-05-01T09:00:00"}, identifier="1"
    )
    (call,) = pulled(made(subject).pull("activity", None)).records.values()
    assert call.started_at.isoformat() == "2026-05-01T07:00:00+00:00"
