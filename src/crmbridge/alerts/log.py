"""Alerts as log lines."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from crmbridge.alerts.base import AlertChannel, as_json
from crmbridge.store.ledger import Alert


class LogOptions(BaseModel):
    """`[alerts.log]` has no settings; it is always there."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LogChannel(AlertChannel):
    """A warning in the log where something begins, a line where it has ended."""

    name: ClassVar[str] = "log"
    Options: ClassVar[type[BaseModel]] = LogOptions

    def send(self, alert: Alert) -> None:
        level = "warning" if alert.state == "raised" else "info"
        self.context.log("alert", level=level, **as_json(alert))
