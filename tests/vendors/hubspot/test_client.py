"""The client: transport, sign-in and limits, each fault a test."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
from datetime import timedelta

import pytest
from pydantic import ValidationError

from crmbridge.connectors.http import MemoryVault
from crmbridge.connectors.hubspot import Options
from crmbridge.connectors.hubspot.client import Client
from crmbridge.connectors.hubspot.pace import Pace
from crmbridge.errors import AuthError, QuotaError, TransientError
from tests.vendors.hubspot.conftest import Hub, Timer
from tests.vendors.hubspot.portal import Portal, Problem
from tests.vendors.hubspot.server import TOKEN, Fault, Server

LIST = "GET /crm/objects/2026-09/contacts"
OAUTH = {"auth": "oauth", "client_id": "client"}
SECRETS = {"client_secret": "secret", "refresh_token": "refresh-1"}


@pytest.fixture
def contacts(portal: Portal) -> list[str]:
    return [portal.add("contacts", {"lastname": f"Last {place}"}) for place in range(5)]


TRANSPORT = {
    "truncated JSON": Fault(LIST, raw=b'{"results": [{"id": "1", '),
    "HTML": Fault(LIST, raw=b"<html>maintenance</html>"),
    "a body cut short": Fault(LIST, raw=b'{"results"', headers={"Content-Length": "500"}),
    "no answer": Fault(LIST, drops=True),
    "no results": Fault(LIST, body={"status": "ok"}),
    "results that are no list": Fault(LIST, body={"results": None}),
    "an empty body": Fault(LIST, raw=b""),
    "502 three times": Fault(LIST, 502, raw=b"<html>bad gateway</html>", times=3),
    "524": Fault(LIST, 524, raw=b""),
    "500": Fault(LIST, 500, Problem(500, "INTERNAL_ERROR", "internal error").body),
    "a lock": Fault(LIST, 423, Problem(423, "LOCKED", "locked").body),
    "a short migration": Fault(LIST, 477, headers={"Retry-After": "5"}),
    "a burst": Fault(LIST, 429, {"policyName": "TEN_SECONDLY_ROLLING"}, times=2),
    "a burst that says when": Fault(LIST, 429, {"errorType": "RATE_LIMIT"}, headers={"Retry-After": "3"}),
}


@pytest.mark.parametrize("fault", TRANSPORT.values(), ids=TRANSPORT)
def test_what_may_pass_is_asked_for_again_and_nothing_is_lost(
    hub: Hub, contacts: list[str], fault: Fault
) -> None:
    hub.server.faults.append(fault)
    found = hub.pull("contact")
    assert set(found.records) == set(contacts)
    assert not hub.server.faults


def test_what_does_not_pass_ends_with_the_words_of_the_crm(hub: Hub, contacts: list[str]) -> None:
    hub.server.faults.append(Fault(LIST, 503, Problem(503, "X", "down for the day").body, times=99))
    with pytest.raises(TransientError, match="down for the day"):
        hub.pull("contact")
    assert hub.server.count(LIST) == 6


def test_a_long_migration_is_left_to_a_later_run(hub: Hub, contacts: list[str], timer: Timer) -> None:
    hub.server.faults.append(Fault(LIST, 477, headers={"Retry-After": "3600"}))
    with pytest.raises(TransientError, match="60 minutes"):
        hub.pull("contact")
    assert hub.server.count(LIST) == 1


def test_nobody_listening_is_no_traceback(hub: Hub) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    with pytest.raises(TransientError, match="NewConnectionError"):
        hub.connector(base_url=url).org()


def test_gzip_is_understood(hub: Hub, contacts: list[str]) -> None:
    body = {"results": [{"id": "7", "properties": {"lastname": "Zip"}, "createdAt": "2026-01-01T00:00:00Z"}]}
    raw = gzip.compress(json.dumps(body).encode())
    hub.server.faults.append(Fault(LIST, raw=raw, headers={"Content-Encoding": "gzip"}))
    assert set(hub.pull("contact").records) == {"7"}


def test_a_redirect_is_not_followed_and_takes_no_token_along(hub: Hub, portal: Portal) -> None:
    other = Server(portal)
    try:
        fault = Fault(
            "/account-info/", 302, headers={"Location": f"{other.url}/account-info/2026-09/details"}
        )
        hub.server.faults.append(fault)
        with pytest.raises(Exception, match="302"):
            hub.connector().org()
        assert other.calls == []
    finally:
        other.close()


def test_one_connection_carries_all_calls(hub: Hub, portal: Portal) -> None:
    for place in range(40):
        portal.add("contacts", {"lastname": str(place)})
    hub.pull("contact", page=2, block=2)
    assert len(hub.server.calls) > 40
    assert hub.server.connections == 1


def test_the_connector_and_the_writer_of_a_run_share_one_client(hub: Hub) -> None:
    given = hub.context()
    assert Client.of(given) is not Client.of(hub.context())
    held = Client.of(given)
    assert Client.of(given) is held


@pytest.mark.parametrize("url", ["http://api.hubapi.com", "ftp://x", "https://user@api.hubapi.com", "api"])
def test_a_token_is_only_sent_where_nobody_reads_it_on_the_way(url: str) -> None:
    with pytest.raises(ValidationError):
        Options(base_url=url)


# Sign-in


def test_a_wrong_token_is_an_auth_error_and_is_asked_once(hub: Hub) -> None:
    with pytest.raises(AuthError, match="service key"):
        hub.connector(secrets={"access_token": "pat-wrong"}).org()
    assert len(hub.server.calls) == 1


@pytest.mark.parametrize("token", ["pat-na1\nX-Evil: 1", "pat-ü", "päť", "pat na1"])
def test_a_token_that_was_copied_badly_is_not_sent(hub: Hub, token: str) -> None:
    with pytest.raises(AuthError, match="access_token"):
        hub.connector(secrets={"access_token": token}).org()
    assert not hub.server.calls


def test_a_token_with_a_line_end_behind_it_is_the_token(hub: Hub) -> None:
    assert hub.connector(secrets={"access_token": f" {TOKEN}\n"}).org().id == "4242"


def test_a_malformed_token_is_an_auth_error(hub: Hub) -> None:
    hub.server.faults.append(Fault("/account-info/", 530, raw=b"error code: 1016"))
    with pytest.raises(AuthError):
        hub.connector().org()


def test_an_access_token_that_ends_in_the_middle_is_renewed_once(hub: Hub, contacts: list[str]) -> None:
    hub.server.faults.append(Fault(LIST, skips=1, does=lambda: hub.server.access_tokens.clear()))
    found = hub.pull("contact", page=2, block=2, secrets=SECRETS, **OAUTH)
    assert set(found.records) == set(contacts)
    assert hub.server.refreshes == 2


def test_a_token_near_its_end_is_renewed_before_it_is_refused(hub: Hub, contacts: list[str]) -> None:
    connector = hub.connector(secrets=SECRETS, **OAUTH)
    connector.org()
    hub.clock.now += timedelta(minutes=26)
    list(connector.pull("contact", None))
    assert hub.server.refreshes == 2
    assert all(call.path.startswith("/oauth/") or call.headers["authorization"] for call in hub.server.calls)


def test_eight_workers_renew_a_token_once(hub: Hub) -> None:
    client = Client.of(hub.context(secrets=SECRETS, **OAUTH))
    barrier = threading.Barrier(8)

    def ask(_: int) -> None:
        barrier.wait(timeout=10)
        client.get(client.paths.account)

    list(client.each(ask, range(8)))
    client.close()
    assert hub.server.refreshes == 1


def test_a_refresh_token_that_changes_is_kept_and_used(hub: Hub) -> None:
    hub.server.rotates = True
    given = hub.context(secrets=SECRETS, **OAUTH)
    assert isinstance(given.vault, MemoryVault)
    client = Client.of(given)
    client.get(client.paths.account)
    hub.clock.now += timedelta(hours=1)
    client.get(client.paths.account)
    assert hub.server.refreshes == 2


@pytest.mark.parametrize(
    ("secrets", "words"),
    [
        ({"client_secret": "secret", "refresh_token": "gone"}, "revoked"),
        ({"client_secret": "wrong", "refresh_token": "refresh-1"}, "client_secret"),
    ],
)
def test_a_refused_sign_in_says_what_to_do_and_is_not_repeated(
    hub: Hub, secrets: dict[str, str], words: str
) -> None:
    with pytest.raises(AuthError, match=words):
        hub.connector(secrets=secrets, **OAUTH).org()
    assert len(hub.server.calls) == 1


def test_a_sign_in_that_fails_for_now_is_repeated(hub: Hub) -> None:
    hub.server.faults.append(Fault("POST /oauth/", 503, raw=b"", times=2))
    assert hub.connector(secrets=SECRETS, **OAUTH).org().id == "4242"


def test_no_token_and_no_name_is_in_the_log(
    hub: Hub, portal: Portal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    portal.add("contacts", {"lastname": "Wolkenstein", "email": "anna@example.com"})
    hub.pull("contact", secrets=SECRETS, **OAUTH)
    said = caplog.text + repr(hub.events)
    for secret in ("access-1", "refresh-1", "secret", "Wolkenstein", "anna@"):
        assert secret not in said


# Limits


def test_the_daily_limit_stops_the_run_at_once(hub: Hub, contacts: list[str]) -> None:
    hub.server.faults.append(Fault(LIST, 429, {"policyName": "DAILY", "message": "daily limit"}))
    with pytest.raises(QuotaError, match="midnight"):
        hub.pull("contact")
    assert hub.server.count(LIST) == 1


def test_the_connection_keeps_to_its_share_of_the_daily_limit(hub: Hub, portal: Portal) -> None:
    hub.server.daily = 40
    for place in range(60):
        portal.add("contacts", {"lastname": str(place)})
    with pytest.raises(QuotaError, match="share"):
        hub.pull("contact", page=1, block=1)
    assert len(hub.server.calls) == 10


@pytest.mark.parametrize("limit", [100, 110, 190])
def test_the_pace_is_the_limits_and_is_never_refused(
    hub: Hub, portal: Portal, timer: Timer, limit: int
) -> None:
    hub.server.limit, hub.server.now = limit, timer.now
    for place in range(900):
        portal.add("contacts", {"lastname": str(place)})
    hub.pull("contact", page=2, block=1_000)
    calls = len(hub.server.calls)
    assert hub.server.refused == 0
    assert calls / timer.at >= 0.95 * limit / 10


def test_another_app_at_the_same_limit_slows_us_down_and_nothing_is_lost(
    hub: Hub, portal: Portal, timer: Timer
) -> None:
    hub.server.limit, hub.server.now = 100, timer.now
    ids = [portal.add("contacts", {"lastname": str(place)}) for place in range(600)]
    stolen = hub.server._window  # the other app's calls go into the same window
    hub.server.faults.append(
        Fault(LIST, times=10_000, does=lambda: stolen.append(timer.now()) if len(stolen) < 99 else None)
    )
    assert set(hub.pull("contact", page=2).records) == set(ids)


def test_a_refused_search_pauses_searches_for_all(hub: Hub, portal: Portal, timer: Timer) -> None:
    pace = Pace(now=timer.now, sleep=timer.sleep)
    pace.searches.pause(3)
    pace.take(search=False)
    assert timer.at == 0
    pace.take(search=True)
    assert timer.at == pytest.approx(3, abs=0.3)


def test_no_window_holds_more_than_the_limit(timer: Timer) -> None:
    pace = Pace(now=timer.now, sleep=timer.sleep)
    pace.learn({"X-HubSpot-RateLimit-Max": "190", "X-HubSpot-RateLimit-Interval-Milliseconds": "10000"})
    left = []
    for _ in range(1_000):
        pace.take(search=False)
        left.append(timer.at)
    assert max(sum(1 for at in left if start <= at < start + 10) for start in left) <= 190
