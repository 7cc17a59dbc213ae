"""Time zones by their names, as settings give them."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator


def _known(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone such as 'Europe/Berlin'") from error
    return name


ZoneName = Annotated[str, AfterValidator(_known)]
"""The name of a zone that this machine knows."""
