"""What the vendors' tests share. They never sleep: retries follow at once, paces run on own clocks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina

from tests.vendors.zoho import Org, ZohoServer


@pytest.fixture(autouse=True)
def _retries_follow_at_once() -> Iterator[None]:
    with stamina.set_testing(True, attempts=6, cap=True):
        yield


@pytest.fixture(scope="session")
def zoho_server() -> Iterator[ZohoServer]:
    server = ZohoServer()
    yield server
    server.close()


@pytest.fixture
def zoho(zoho_server: ZohoServer) -> ZohoServer:
    """The Zoho stand-in with a new org."""
    zoho_server.org, zoho_server.api_domain = Org(), None
    return zoho_server
