"""Plugins: the built-ins come through the hooks, and a broken one is named while the rest works."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from crmbridge.connectors.base import Connector
from crmbridge.connectors.files import FilesConnector
from crmbridge.errors import SettingsError
from crmbridge.hookspecs import hookimpl
from crmbridge.plugins import Plugins


class Stranger(FilesConnector):
    name = "stranger"


class Good:
    @hookimpl
    def crmbridge_connectors(self):
        return [Stranger]


class Raising:
    @hookimpl
    def crmbridge_metrics(self):
        raise ZeroDivisionError("of all things")


class Abstract:
    @hookimpl
    def crmbridge_connectors(self):
        return [Connector]


class Misspelt:
    @hookimpl
    def crmbridge_conectors(self):
        return []


class Taken:
    @hookimpl
    def crmbridge_connectors(self):
        return [FilesConnector]


def test_the_built_ins_are_plugins():
    plugins = Plugins.load([])
    assert "files" in plugins.connectors
    assert "files" in plugins.writers
    assert {"need", "efficiency", "pipeline"} <= set(plugins.metrics)


def test_a_strangers_connector_stands_beside_ours():
    plugins = Plugins.load([])
    plugins.add("good", Good(), source="test")
    assert plugins.connector("stranger") is Stranger


def test_a_plugin_that_can_not_be_imported_is_named_and_the_rest_works():
    point = EntryPoint(name="gone", value="no_such_module.plugin", group="crmbridge")
    plugins = Plugins.load([point])
    info = next(info for info in plugins.infos if info.name == "gone")
    assert info.error is not None
    assert "no_such_module" in info.error
    assert "files" in plugins.connectors
    with pytest.raises(SettingsError, match="no_such_module"):
        plugins.connector("gone")


@pytest.mark.parametrize(
    ("plugin", "said"),
    [(Raising, "of all things"), (Abstract, "Connector lacks"), (Taken, "already there")],
)
def test_a_plugin_whose_hook_is_wrong_is_named_and_the_rest_works(plugin, said):
    plugins = Plugins.load([])
    plugins.add("broken", plugin(), source="test")
    error = plugins.infos[-1].error
    assert error is not None
    assert said in error
    assert plugins.connector("files") is FilesConnector
