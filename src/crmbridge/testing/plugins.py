"""What every distribution with a plugin must hold, as a whole."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from crmbridge.hookspecs import PROJECT
from crmbridge.plugins import Plugins
from crmbridge.testing.guide import guide
from crmbridge.testing.public import beyond_public


class PluginConformance:
    """Subclass it as `TestX` and give the fixture `project`: the folder with the `pyproject.toml`."""

    @pytest.fixture
    def project(self) -> Path:
        """The folder of the distribution, its code under `src`."""
        raise NotImplementedError("give the fixture `project`")

    @guide("The distribution")
    def test_its_entry_points_load_and_bring_what_they_promise(self, project: Path) -> None:
        """`pyproject.toml` has an entry point of the group `crmbridge` that loads and brings something."""
        before = Plugins.load(found=[])
        plugins = Plugins.load(found=_entry_points(project))
        ours = [info for info in plugins.infos if info.source != "built in"]
        assert ours, "pyproject.toml has no [project.entry-points.crmbridge]"
        assert [info.error for info in ours if info.error] == []
        brought = (plugins.connectors.keys() | plugins.metrics.keys()) - before.connectors.keys()
        assert brought - before.metrics.keys(), "the hooks bring nothing"

    @guide("The distribution")
    def test_a_writer_has_the_connector_it_writes_for(self, project: Path) -> None:
        """A writer serves the connections of the connector of its own name."""
        plugins = Plugins.load(found=_entry_points(project))
        assert plugins.writers.keys() <= plugins.connectors.keys()

    @guide("The distribution")
    def test_it_rests_on_public_names_alone(self, project: Path) -> None:
        """A plugin uses nothing of crmbridge but its public names: others change without notice."""
        folder = project / "src"
        assert list(folder.rglob("*.py")), f"there is no code under {folder}"
        assert beyond_public(folder) == []

    @guide("Objects and settings")
    def test_required_settings_are_described_and_no_secret_is_a_setting(self, project: Path) -> None:
        """Required settings have a description, by which `crmbridge init` asks; secrets are not settings."""
        known = Plugins.load(found=[]).connectors
        for name, connector in Plugins.load(found=_entry_points(project)).connectors.items():
            if name in known:
                continue
            fields = connector.Options.model_fields
            assert [key for key, each in fields.items() if each.is_required() and not each.description] == []
            assert [secret for secret in connector.secrets if secret in fields] == []


def _entry_points(project: Path) -> list[EntryPoint]:
    """As the distribution declares them, installed or not."""
    declared = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    points = declared["project"].get("entry-points", {}).get(PROJECT, {})
    return [EntryPoint(name, value, PROJECT) for name, value in points.items()]
