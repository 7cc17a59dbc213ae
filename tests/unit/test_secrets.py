"""Secrets: where they come from, and where they never may be."""

from __future__ import annotations

import keyring
import pytest
from keyring.backend import KeyringBackend
from pydantic import SecretStr

from crmbridge.errors import SettingsError
from crmbridge.secrets import Secrets, new_key
from crmbridge.store.ledger import Ledger


class Safe(KeyringBackend):
    priority = 1

    def __init__(self):
        self.kept = {}

    def get_password(self, service, username):
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self.kept[service, username] = password


class PlaintextKeyring(Safe):
    pass


PlaintextKeyring.__module__ = "keyrings.alt.file"


@pytest.fixture
def backend():
    before = keyring.get_keyring()
    safe = Safe()
    keyring.set_keyring(safe)
    yield safe
    keyring.set_keyring(before)


@pytest.fixture
def ledger(tmp_path, clock):
    found = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=clock)
    yield found
    found.close()


def secrets(ledger=None, files=None, **environment):
    return Secrets("acme", files=files or {}, ledger=ledger, environment=environment)


def test_the_environment_comes_first(backend):
    backend.set_password("crmbridge", "acme/client_secret", "from the keyring")
    assert secrets(CRMBRIDGE_ACME_CLIENT_SECRET="here").get("client_secret").get_secret_value() == "here"
    assert secrets().get("client_secret").get_secret_value() == "from the keyring"


def test_a_secret_that_is_nowhere_names_every_way(backend):
    with pytest.raises(SettingsError) as caught:
        secrets().get("client_secret")
    for way in (
        "CRMBRIDGE_ACME_CLIENT_SECRET",
        "crmbridge secret set acme client_secret",
        "client_secret_file",
    ):
        assert way in str(caught.value)


def test_a_file_that_others_can_read_is_refused(tmp_path, backend):
    path = tmp_path / "secret"
    path.write_text("s3cret\n")
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        secrets(files={"client_secret": path}).get("client_secret")
    path.chmod(0o600)
    assert secrets(files={"client_secret": path}).get("client_secret").get_secret_value() == "s3cret"


def test_the_ledger_keeps_a_secret_encrypted(ledger, backend):
    key = new_key()
    secrets(ledger, CRMBRIDGE_KEY=key).set("refresh_token", SecretStr("tok-en"), store="ledger")
    stored = ledger.secret("acme", "refresh_token")
    assert stored is not None
    assert b"tok-en" not in stored
    assert secrets(ledger, CRMBRIDGE_KEY=key).get("refresh_token").get_secret_value() == "tok-en"
    with pytest.raises(SettingsError, match="can't be decrypted"):
        secrets(ledger, CRMBRIDGE_KEY=new_key()).get("refresh_token")


def test_a_keyring_that_keeps_plain_text_is_refused(backend):
    keyring.set_keyring(PlaintextKeyring())
    with pytest.raises(SettingsError, match="plain text"):
        secrets().set("client_secret", SecretStr("x"), store="keyring")
