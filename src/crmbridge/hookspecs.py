"""Every hook of crmbridge. A plugin implements any of them and returns classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from crmbridge.alerts.base import AlertChannel
    from crmbridge.connectors.base import Connector
    from crmbridge.metrics.base import Metric
    from crmbridge.writeback.base import Writer

__all__ = ["hookimpl"]

PROJECT = "crmbridge"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def crmbridge_connectors() -> Sequence[type[Connector]]:  # type: ignore[empty-body]
    """Connectors, by their `name`, for `connector = "..."` in the settings."""


@hookspec
def crmbridge_writers() -> Sequence[type[Writer]]:  # type: ignore[empty-body]
    """Writers; each serves the connections of the connector of the same `name`."""


@hookspec
def crmbridge_metrics() -> Sequence[type[Metric]]:  # type: ignore[empty-body]
    """Metrics; each runs on every connection whose objects it needs."""


@hookspec
def crmbridge_alerts() -> Sequence[type[AlertChannel]]:  # type: ignore[empty-body]
    """Alert channels, by their `name`, for `[alerts.NAME]` in the settings."""
