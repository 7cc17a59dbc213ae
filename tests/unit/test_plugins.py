"""Plugins: the built-ins come through the hooks, and a broken one is named while the rest works."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from crmbridge.connectors.base import Connector
from crmbridge.connectors.files import FilesConnector
from crmbridge.errors import SettingsError
from crmbridge.hookspecs import hookimpl
from crmbridge.plugins import Plugins
from crmbridge.writeback.files import FilesWriter


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


class Unmarked:
    def crmbridge_connectors(self):
        return [Stranger]


class NoStart:
    def __init__(self):
        raise RuntimeError("not today")


class NotAList:
    @hookimpl
    def crmbridge_connectors(self):
        return Stranger


class Nameless:
    @hookimpl
    def crmbridge_writers(self):
        return [type("Nameless", (FilesWriter,), {"name": None})]


class Arguments:
    @hookimpl
    def crmbridge_connectors(self, settings):
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
    [
        (Raising, "of all things"),
        (Abstract, "Connector lacks"),
        (Taken, "already there"),
        (Misspelt, "crmbridge_conectors"),
        (Unmarked, "hookimpl"),
        (NoStart, "not today"),
        (NotAList, "a list of classes"),
        (Nameless, "has no name"),
        (Arguments, "settings"),
    ],
)
def test_a_plugin_that_is_wrong_is_named_and_the_rest_works(plugin, said):
    plugins = Plugins.load([])
    plugins.add("broken", plugin, source="test")
    error = plugins.infos[-1].error
    assert error is not None
    assert said in error
    plugins.add("good", Good(), source="test")
    assert plugins.infos[-1].error is None
    assert plugins.connector("files") is FilesConnector


def test_a_built_in_that_is_broken_is_named_and_the_rest_works(monkeypatch):
    monkeypatch.setitem(sys.modules, "crmbridge.connectors.files", None)
    plugins = Plugins.load([])
    errors = {info.name: info.error for info in plugins.infos if info.error}
    assert set(errors) == {"files"}
    assert "crmbridge.connectors.files" in errors["files"]
    assert {"need", "efficiency"} <= set(plugins.metrics)


def test_a_plugin_that_ends_the_process_is_named_too(monkeypatch):
    class Quitting:
        name, value, dist = "quitting", "quitting", None

        def load(self):
            raise SystemExit(3)

    plugins = Plugins.load([Quitting()])
    assert "SystemExit" in (plugins.infos[-1].error or "")
