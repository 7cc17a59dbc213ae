"""Where tests find the real data sets, which are never copied into the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared(path: str) -> Path:
    """A file below the shared folder; without it the test is skipped, or fails where CI is set."""
    found = SHARED / path
    if not found.exists():
        message = f"the shared data are not here: {path}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found
