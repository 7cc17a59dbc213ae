"""What connectors over HTTP share: one token for all, retries that end, a share of the API that is kept."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import stamina

from crmbridge.connectors.http import MemoryVault, Passing, Share, Token, TokenSource, retrying
from crmbridge.errors import BusyError, QuotaError, TransientError
from crmbridge.secrets import LedgerVault, Secrets, new_key
from crmbridge.store.ledger import Ledger


@pytest.fixture(autouse=True)
def _no_waiting():
    with stamina.set_testing(True, attempts=6, cap=True):
        yield


class Vendor:
    """Gives a new token at every call and counts them."""

    def __init__(self, clock, minutes=60):
        self.clock, self.minutes, self.calls = clock, minutes, 0

    def __call__(self, former):
        self.calls += 1
        return Token(access=f"token-{self.calls}", expires_at=self.clock() + timedelta(minutes=self.minutes))


def test_sixteen_workers_with_a_refused_token_fetch_one(clock):
    vendor = Vendor(clock)
    source = TokenSource(vendor, vault=MemoryVault(), clock=clock)
    refused = source.token()
    together = threading.Barrier(16)

    def work(_):
        together.wait()
        return source.renewed(refused).access

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(work, range(16))) == {"token-2"}
    assert vendor.calls == 2


def test_a_token_is_renewed_before_it_ends(clock):
    vendor = Vendor(clock)
    source = TokenSource(vendor, vault=MemoryVault(), clock=clock)
    assert source.token() == source.token()
    clock.advance(minutes=56)
    assert source.token().access == "token-2"


def test_another_process_uses_the_token_in_the_vault_and_a_rotated_refresh_token(tmp_path, clock):
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=clock)
    secrets = Secrets("acme", files={}, ledger=ledger, environment={"CRMBRIDGE_KEY": new_key()})
    seen = []

    def fetch(former):
        seen.append(former.refresh if former else None)
        return Token(access=f"a{len(seen)}", refresh=f"r{len(seen)}", expires_at=clock() + timedelta(hours=1))

    first = TokenSource(fetch, vault=secrets.vault(), clock=clock)
    second = TokenSource(fetch, vault=secrets.vault(), clock=clock)
    assert first.token() == second.token()
    clock.advance(hours=2)
    second.token()
    first.token()
    assert seen == [None, "r1"]
    assert b"r2" not in (ledger.secret("acme", "token") or b"")
    ledger.close()


def test_a_vault_that_stays_busy_says_so(tmp_path, clock):
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", clock=clock)
    secrets = Secrets("acme", files={}, ledger=ledger, environment={"CRMBRIDGE_KEY": new_key()})
    waited = []
    vault = LedgerVault(secrets, ledger, sleep=waited.append)
    with ledger.lease("token/acme"), pytest.raises(BusyError), vault.alone():
        pass
    assert waited
    with vault.alone():
        pass
    ledger.close()


def test_what_passes_is_tried_again_and_what_does_not_is_said_once():
    answers = iter([Passing("503"), Passing("429", wait=2.0), None])

    def call():
        answer = next(answers)
        if answer is not None:
            raise answer
        return "done"

    assert retrying(call, connection="acme") == "done"

    def never():
        raise Passing("the edge said 502")

    with pytest.raises(TransientError, match="the edge said 502"):
        retrying(never, connection="acme")


def test_a_share_of_the_limit_is_never_passed():
    share = Share(budget=0.25, spent_today=20, connection="acme")
    share.spend(1)
    share.learn(limit=100, used=50)
    assert share.left == 4
    share.spend(4)
    with pytest.raises(QuotaError):
        share.spend()


def test_other_integrations_may_leave_less_than_the_share():
    share = Share(budget=0.5, spent_today=0, connection="acme")
    share.learn(limit=100, used=97)
    assert share.left == 3
