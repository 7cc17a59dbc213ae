"""Tests of vendors never sleep: retries follow at once, and paces run on a clock of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina


@pytest.fixture(autouse=True)
def _retries_follow_at_once() -> Iterator[None]:
    with stamina.set_testing(True, attempts=6):
        yield
