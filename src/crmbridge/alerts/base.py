"""What an alert channel is, and an alert in words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from pydantic import BaseModel, SecretStr

from crmbridge.store.ledger import Alert, ConditionKind

TITLES: Final[Mapping[ConditionKind, tuple[str, str]]] = {
    "failing": ("runs fail", "runs work again"),
    "guard": ("a guard stopped the run", "no guard stops the runs any more"),
    "budget": ("the API budget is short", "the API budget suffices again"),
    "drift": ("a model has drifted", "the models are as good as before again"),
    "expiry": ("a secret is about to expire", "no secret is about to expire any more"),
    "did_not_run": ("a scheduled run did not happen", "scheduled runs happen again"),
    "clock": ("the clock went back", "the clock is right again"),
}
"""What each kind is called when it begins and when it has ended."""


@dataclass(frozen=True)
class ChannelContext:
    """What a channel is given: its settings, its secrets (raises SettingsError), the clock, the log."""

    options: BaseModel
    secret: Callable[[str], SecretStr]
    clock: Callable[[], datetime]
    log: Callable[..., None]


class AlertChannel(ABC):
    """A way to tell people. It is used where the settings have a table `[alerts.NAME]`."""

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]]
    """The settings under `[alerts.NAME]`; unknown ones must be forbidden."""
    secrets: ClassVar[tuple[str, ...]] = ()
    """Names of the secrets it may ask for; `secret` of the channel `webhook` is `alerts webhook_secret`."""

    def __init__(self, context: ChannelContext) -> None:
        self.context = context

    @abstractmethod
    def send(self, alert: Alert) -> None:
        """Tell it. Raises CRMBridgeError where nobody took it: it is tried again later.

        After a crash the same alert may be sent again; its `id` is the same then.
        """


def title(alert: Alert) -> str:
    """One line: which connection, and what has changed."""
    return f"{alert.connection}: {TITLES[alert.kind][alert.state == 'cleared']}"


def text(alert: Alert) -> str:
    """What happened, since when, what to do."""
    if alert.state == "cleared":
        return (
            f"{title(alert)}.\n\nIt lasted from {_at(alert.since)} to {_at(alert.at)}. It had been:\n"
            f"{alert.what}\n\nNothing has to be done.\n"
        )
    return f"{title(alert)}.\n\n{alert.what}\n\nSince: {_at(alert.since)}\nWhat to do: {alert.remedy}\n"


def as_json(alert: Alert) -> dict[str, object]:
    """The alert with stable keys, for machines."""
    return {
        "id": alert.id,
        "connection": alert.connection,
        "kind": alert.kind,
        "state": alert.state,
        "title": title(alert),
        "at": alert.at.isoformat(),
        "since": alert.since.isoformat(),
        "what": alert.what,
        "remedy": alert.remedy,
    }


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
