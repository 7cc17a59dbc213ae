"""What the vendors' tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina

from tests.vendors.zoho import Org, ZohoServer


@pytest.fixture(scope="session")
def zoho_server() -> Iterator[ZohoServer]:
    server = ZohoServer()
    yield server
    server.close()


@pytest.fixture
def zoho(zoho_server: ZohoServer) -> Iterator[ZohoServer]:
    """The Zoho stand-in with a new org; retries do not wait."""
    zoho_server.org, zoho_server.api_domain = Org(), None
    with stamina.set_testing(True, attempts=6, cap=True):
        yield zoho_server
