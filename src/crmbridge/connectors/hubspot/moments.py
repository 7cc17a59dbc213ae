"""Moments as HubSpot spells them: ISO 8601 with or without milliseconds, or milliseconds since 1970."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment(text: object) -> datetime | None:
    """The moment; None for null and the empty text. Raises ValueError."""
    if text is None or text == "":
        return None
    spelling = str(text)
    if spelling.isdigit() or (spelling[:1] == "-" and spelling[1:].isdigit()):
        try:
            return EPOCH + timedelta(milliseconds=int(spelling))
        except OverflowError as error:
            raise ValueError(f"{spelling!r} is not a moment") from error
    found = datetime.fromisoformat(spelling)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def day(text: object) -> date | None:
    """The date of a property of type `date`, or of a moment's day in UTC. Raises ValueError."""
    found = moment(text)
    return None if found is None else found.date()


def milliseconds(at: datetime) -> int:
    """Since 1970."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def from_milliseconds(number: int) -> datetime:
    """The moment so many milliseconds after 1970 began."""
    return EPOCH + timedelta(milliseconds=number)
