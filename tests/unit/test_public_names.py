"""What a plugin may use of crmbridge: it is there, it is in the guide, and anything else is found."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from crmbridge.testing import (
    PUBLIC,
    ConnectorConformance,
    PluginConformance,
    WriterConformance,
    beyond_public,
)
from crmbridge.testing.guide import section_of

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_there_and_its_module_in_the_guide(module: str) -> None:
    loaded = import_module(module)
    assert loaded.__all__
    assert [name for name in loaded.__all__ if not hasattr(loaded, name)] == []
    assert f"`{module}`" in GUIDE


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("from crmbridge.connectors import Connector", []),
        ("from crmbridge import connectors, Bridge", []),
        ("import crmbridge.model\nprint(crmbridge.model.CATALOGUE.keys())", []),
        ("from crmbridge.connectors.base import Connector", ["crmbridge.connectors.base.Connector"]),
        ("from crmbridge.connectors import base", ["crmbridge.connectors.base"]),
        ("from crmbridge.store.ledger import Ledger", ["crmbridge.store.ledger.Ledger"]),
        ("import crmbridge.bridge", ["crmbridge.bridge"]),
        (
            "import crmbridge\ncrmbridge.sync.run.sync()",
            ["crmbridge.sync.run.sync", "crmbridge.sync.run", "crmbridge.sync"],
        ),
        ('import importlib\nimportlib.import_module("crmbridge.secrets")', ["crmbridge.secrets"]),
    ],
)
def test_what_is_not_public_is_found(line: str, names: list[str], tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(line + "\n")
    assert sorted(found.rpartition(" ")[2] for found in beyond_public(tmp_path)) == sorted(names)


@pytest.mark.parametrize("suite", [ConnectorConformance, WriterConformance, PluginConformance])
def test_every_test_of_the_suite_has_its_rule_and_its_section_in_the_guide(suite: type) -> None:
    tests = [getattr(suite, name) for name in dir(suite) if name.startswith("test_")]
    assert tests
    for test in tests:
        assert test.__doc__, f"{test.__name__} does not say its rule"
        assert f"\n### {section_of(test)}\n" in GUIDE, f"{test.__name__}: no section {section_of(test)!r}"


def test_a_failed_test_names_its_rule_and_the_guide() -> None:
    class Broken(PluginConformance):
        pass

    with pytest.raises(FileNotFoundError) as told:
        Broken().test_a_writer_has_the_connector_it_writes_for(Path("/nowhere"))
    (note,) = told.value.__notes__
    assert "A writer serves the connections of the connector of its own name." in note
    assert 'docs/plugins.md, "The distribution"' in note
