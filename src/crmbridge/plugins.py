"""The plugin manager. The built-ins use the same hooks as everybody; a broken plugin is named."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import pluggy

from crmbridge import hookspecs
from crmbridge.alerts.base import AlertChannel
from crmbridge.connectors.base import Connector
from crmbridge.errors import SettingsError
from crmbridge.hookspecs import PROJECT, hookimpl
from crmbridge.metrics.base import Metric
from crmbridge.writeback.base import Writer

Kind = TypeVar("Kind", Connector, Writer, Metric, AlertChannel)
"""What a hook brings."""


class _Files:
    """The built-in plugin for exported files."""

    @hookimpl
    def crmbridge_connectors(self) -> Sequence[type[Connector]]:
        from crmbridge.connectors.files import FilesConnector

        return [FilesConnector]

    @hookimpl
    def crmbridge_writers(self) -> Sequence[type[Writer]]:
        from crmbridge.writeback.files import FilesWriter

        return [FilesWriter]


class _Zoho:
    """The built-in plugin for Zoho CRM."""

    @hookimpl
    def crmbridge_connectors(self) -> Sequence[type[Connector]]:
        from crmbridge.connectors.zoho import ZohoConnector

        return [ZohoConnector]

    @hookimpl
    def crmbridge_writers(self) -> Sequence[type[Writer]]:
        from crmbridge.writeback.zoho import ZohoWriter

        return [ZohoWriter]


class _HubSpot:
    """The built-in plugin for HubSpot."""

    @hookimpl
    def crmbridge_connectors(self) -> Sequence[type[Connector]]:
        from crmbridge.connectors.hubspot import HubSpotConnector

        return [HubSpotConnector]

    @hookimpl
    def crmbridge_writers(self) -> Sequence[type[Writer]]:
        from crmbridge.writeback.hubspot import HubSpotWriter

        return [HubSpotWriter]


class _Salesforce:
    """The built-in plugin for Salesforce."""

    @hookimpl
    def crmbridge_connectors(self) -> Sequence[type[Connector]]:
        from crmbridge.connectors.salesforce import SalesforceConnector

        return [SalesforceConnector]

    @hookimpl
    def crmbridge_writers(self) -> Sequence[type[Writer]]:
        from crmbridge.writeback.salesforce import SalesforceWriter

        return [SalesforceWriter]


class _Metrics:
    """The built-in plugin with crmbridge's own metrics."""

    @hookimpl
    def crmbridge_metrics(self) -> Sequence[type[Metric]]:
        from crmbridge.metrics.advice import AdviceMetric
        from crmbridge.metrics.efficiency import EfficiencyMetric
        from crmbridge.metrics.forecast import ForecastMetric
        from crmbridge.metrics.market import MarketMetric
        from crmbridge.metrics.need import NeedMetric
        from crmbridge.metrics.pipeline import PipelineMetric
        from crmbridge.metrics.quality import QualityMetric
        from crmbridge.metrics.segments import SegmentsMetric
        from crmbridge.metrics.value import ValueMetric

        return [
            NeedMetric,
            EfficiencyMetric,
            PipelineMetric,
            ForecastMetric,
            ValueMetric,
            SegmentsMetric,
            QualityMetric,
            MarketMetric,
            AdviceMetric,  # last: it reads what the others said
        ]


class _Alerts:
    """The built-in plugin with crmbridge's own ways to tell people."""

    @hookimpl
    def crmbridge_alerts(self) -> Sequence[type[AlertChannel]]:
        from crmbridge.alerts.email import EmailChannel
        from crmbridge.alerts.log import LogChannel
        from crmbridge.alerts.webhook import WebhookChannel

        return [LogChannel, WebhookChannel, EmailChannel]


BUILT_IN = {
    "files": _Files,
    "hubspot": _HubSpot,
    "salesforce": _Salesforce,
    "zoho": _Zoho,
    "metrics": _Metrics,
    "alerts": _Alerts,
}


@dataclass(frozen=True)
class PluginInfo:
    """One plugin: where it comes from, what it brings, and its error where it failed."""

    name: str
    source: str
    connectors: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    error: str | None = None


class Plugins:
    """Everything that is installed. Built once per process by `Plugins.load()`."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.infos: list[PluginInfo] = []
        self.connectors: dict[str, type[Connector]] = {}
        self.writers: dict[str, type[Writer]] = {}
        self.metrics: dict[str, type[Metric]] = {}
        self.alerts: dict[str, type[AlertChannel]] = {}

    @classmethod
    def load(cls, found: Iterable[EntryPoint] | None = None) -> Plugins:
        """Load the built-ins, then every distribution's entry points of group `crmbridge`."""
        plugins = cls()
        for name, built_in in BUILT_IN.items():
            plugins.add(name, built_in(), source="built in")
        for point in entry_points(group=PROJECT) if found is None else found:
            source = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
            try:
                plugin = point.load()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's import may fail in any way
                plugins.infos.append(PluginInfo(point.name, source, error=f"can't be loaded: {error!r}"))
                continue
            plugins.add(point.name, plugin, source=source)
        return plugins

    def add(self, name: str, plugin: Any, *, source: str) -> None:
        """Register one plugin. What it brings is taken whole, or not at all, with the reason in `infos`."""
        try:
            plugin = plugin() if inspect.isclass(plugin) else plugin
            self._register(plugin, name)
            connectors = self._ask(plugin, "crmbridge_connectors", Connector, self.connectors)  # type: ignore[type-abstract]
            writers = self._ask(plugin, "crmbridge_writers", Writer, self.writers)  # type: ignore[type-abstract]
            metrics = self._ask(plugin, "crmbridge_metrics", Metric, self.metrics)  # type: ignore[type-abstract]
            alerts = self._ask(plugin, "crmbridge_alerts", AlertChannel, self.alerts)  # type: ignore[type-abstract]
        except Exception as error:  # noqa: BLE001 - a stranger's hook may fail in any way; it is reported
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            self.infos.append(PluginInfo(name, source, error=str(error) or repr(error)))
            return
        self.connectors |= connectors
        self.writers |= writers
        self.metrics |= metrics
        self.alerts |= alerts
        self.infos.append(
            PluginInfo(name, source, tuple(connectors), tuple(writers), tuple(metrics), tuple(alerts))
        )

    def _register(self, plugin: Any, name: str) -> None:
        self._manager.register(plugin, name)
        self._manager.check_pending()  # raises for a hook that does not exist
        if not self._manager.get_hookcallers(plugin):
            raise TypeError("it has no hook: mark its functions with crmbridge.hookspecs.hookimpl")

    def _ask(
        self, plugin: Any, hook: str, base: type[Kind], known: dict[str, type[Kind]]
    ) -> dict[str, type[Kind]]:
        others = [other for _, other in self._manager.list_name_plugin() if other is not plugin]
        answers = self._manager.subset_hook_caller(hook, remove_plugins=others)()
        classes: dict[str, type[Kind]] = {}
        for answer in answers:
            if not isinstance(answer, Iterable) or isinstance(answer, str | bytes | type):
                raise TypeError(f"{hook} returned {answer!r}, which is not a list of classes")
        for found in (found for answer in answers for found in answer):
            if not (inspect.isclass(found) and issubclass(found, base)):
                raise TypeError(f"{hook} returned {found!r}, which is not a subclass of {base.__name__}")
            if inspect.isabstract(found):
                missing = ", ".join(sorted(found.__abstractmethods__))
                raise TypeError(f"{found.__name__} lacks {missing}")
            if not isinstance(getattr(found, "name", None), str):
                raise TypeError(f"{found.__name__} has no name")
            if found.name in known or found.name in classes:
                raise ValueError(f"{base.__name__.lower()} {found.name!r} is already there")
            classes[found.name] = found
        return classes

    def connector(self, name: str) -> type[Connector]:
        """The connector of this name. Raises SettingsError that lists what there is and what failed."""
        if name in self.connectors:
            return self.connectors[name]
        failed = "; ".join(f"{info.name}: {info.error}" for info in self.infos if info.error)
        raise SettingsError(
            f"there is no connector {name!r}; installed are {', '.join(sorted(self.connectors))}.",
            remedy=f"Failed to load: {failed}." if failed else "Install the plugin that brings it.",
        )
