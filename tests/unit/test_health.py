from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from crmbridge.errors import SettingsError, StoreError
from crmbridge.schedule.health import HealthServer


def unreachable() -> bytes:
    raise StoreError("The ledger can't be used: gone.")


@contextmanager
def serving(**more: Any) -> Iterator[str]:
    world: dict[str, Any] = {"ready": lambda: {"ledger": True}, "metrics": lambda: b"up 1\n", **more}
    server = HealthServer(world.pop("host", "127.0.0.1"), 0, **world)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.address[1]}"
    finally:
        server.close()


def get(url: str, token: str | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_live_and_ready_are_told_apart() -> None:
    checks = {"scheduler": True, "ledger": True}
    with serving(ready=lambda: checks) as url:
        assert get(f"{url}/health/ready")[0] == get(f"{url}/health")[0] == 200
        checks["ledger"] = False
        status, body = get(f"{url}/health/ready")
        assert (status, json.loads(body)["checks"]) == (503, checks)
        assert get(f"{url}/health/live")[0] == 200


def test_metrics_of_a_ledger_that_is_away_are_an_error_and_not_zero() -> None:
    with serving(metrics=unreachable) as url:
        status, body = get(f"{url}/metrics")
        assert status == 503
        assert "gone" in body


def test_anything_else_is_not_found() -> None:
    with serving() as url:
        assert get(f"{url}/")[0] == get(f"{url}/../etc/passwd")[0] == 404
        assert get(f"{url}/metrics?x=1") == (200, "up 1\n")


def test_with_a_token_nothing_is_told_without_it() -> None:
    with serving(token="correct") as url:
        for path in ("/health", "/health/live", "/metrics", "/"):
            assert get(url + path)[0] == get(url + path, "wrong")[0] == 401
        assert get(f"{url}/metrics", "correct") == (200, "up 1\n")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "bridge.example.org"])
def test_other_machines_are_not_let_in_without_a_token(host: str) -> None:
    with pytest.raises(SettingsError, match="CRMBRIDGE_SERVE_TOKEN"):
        HealthServer(host, 0, ready=dict, metrics=bytes)


def test_a_port_that_is_taken_is_named() -> None:
    with serving() as url, pytest.raises(SettingsError, match="Set another port"):
        HealthServer("127.0.0.1", int(url.rpartition(":")[2]), ready=dict, metrics=bytes)
