"""What the vendors' tests share. They never sleep: retries follow at once, paces run on own clocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

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


@pytest.fixture(scope="session")
def private_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The PEM file of an RSA key, as a JWT is signed with."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = tmp_path_factory.mktemp("keys") / "key.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path
