"""The docs can't drift: every hook, setting, field and command stands in them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import typer

from crmbridge import hookspecs
from crmbridge.alerts.email import EmailOptions
from crmbridge.alerts.webhook import WebhookOptions
from crmbridge.cli import app
from crmbridge.config import AlertSettings, ConnectionSettings, ServeSettings, StoreSettings
from crmbridge.connectors.files import FilesConnector
from crmbridge.connectors.hubspot import HubSpotConnector
from crmbridge.connectors.salesforce import SalesforceConnector
from crmbridge.errors import SettingsError
from crmbridge.metrics.base import MetricSettings
from crmbridge.metrics.calendar import Calendar
from crmbridge.model.fields import CATALOGUE
from crmbridge.model.records import OBJECTS
from crmbridge.store.ledger import ConditionKind
from crmbridge.writeback.guards import GUARDS, GuardSettings

ROOT = Path(__file__).resolve().parents[2]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("hook", [name for name in vars(hookspecs) if name.startswith("crmbridge_")])
def test_every_hook_is_in_the_plugin_guide(hook):
    assert f"`{hook}`" in text("docs/plugins.md")


SETTINGS = [StoreSettings, ConnectionSettings, MetricSettings, Calendar, GuardSettings]
SETTINGS += [AlertSettings, ServeSettings, WebhookOptions, EmailOptions]


@pytest.mark.parametrize("model", SETTINGS)
def test_every_setting_is_in_the_settings_page(model):
    page = text("docs/settings.md")
    missing = [name for name in model.model_fields if f"`{name}`" not in page and f".{name}]" not in page]
    assert not missing


def test_every_setting_of_the_files_connector_is_in_the_settings_page():
    page = text("docs/settings.md")
    names = set(FilesConnector.Options.model_fields)
    for field in FilesConnector.Options.model_fields.values():
        for part in getattr(field.annotation, "__args__", (field.annotation,)):
            names |= set(getattr(part, "model_fields", {}))
    assert [name for name in names if f"`{name}`" not in page] == []


def test_every_setting_and_secret_of_the_hubspot_connector_is_in_the_settings_page():
    page = text("docs/settings.md")
    names = {*HubSpotConnector.Options.model_fields, *HubSpotConnector.secrets}
    assert [name for name in names if f"`{name}`" not in page] == []


def test_every_setting_of_the_salesforce_connector_is_in_the_settings_page():
    page = text("docs/settings.md")
    assert [name for name in SalesforceConnector.Options.model_fields if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize("key", CATALOGUE)
def test_every_field_is_in_the_settings_page(key):
    assert f"| `{key}` |" in text("docs/settings.md")


@pytest.mark.parametrize("guard", GUARDS)
def test_every_guard_is_in_the_admin_page(guard):
    assert f"`{guard}`" in text("docs/admin.md")


@pytest.mark.parametrize("kind", get_args(ConditionKind))
def test_every_kind_of_alert_is_explained(kind):
    assert f"| `{kind}` |" in text("docs/serve.md")


@pytest.mark.parametrize("object_name", OBJECTS)
def test_every_object_is_named_in_the_settings_page(object_name):
    assert f"`{object_name}`" in text("docs/settings.md")


def commands() -> list[tuple[str, list[str]]]:
    group = typer.main.get_command(app)
    found = []

    def walk(command, name):
        inner = getattr(command, "commands", None)
        if inner is None:
            options = [flag for one in command.params for flag in one.opts if flag.startswith("--")]
            found.append((name, options))
        else:
            for key, each in inner.items():
                walk(each, f"{name} {key}")

    walk(group, "crmbridge")
    return found


@pytest.mark.parametrize(("command", "options"), commands())
def test_every_command_and_option_is_in_the_commands_page(command, options):
    lines = [line for line in text("docs/commands.md").splitlines() if line.startswith(f"| `{command}")]
    lines = [line for line in lines if re.match(rf"\| `{command}[ `\[]", line)]
    assert lines, f"{command} is not in docs/commands.md"
    shown = " ".join(lines)
    assert [flag for flag in options if flag not in shown and flag not in ("--help", "--json")] == []


def test_the_readme_has_one_command_for_the_main_job_and_one_for_the_tests():
    lines = text("README.md").splitlines()
    assert lines.count("pip install . && crmbridge demo") == 1
    assert len([line for line in lines if line.startswith("pip install -e") and "pytest" in line]) == 1


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=lambda path: path.name)
def test_every_example_is_valid(path):
    from crmbridge import config
    from crmbridge.plugins import Plugins

    settings = config.load(path)
    for name in settings.names:
        try:
            settings.connection(name, Plugins.load([]))
        except SettingsError as error:
            pytest.fail(str(error))
    assert tomllib.loads(path.read_text(encoding="utf-8"))["connections"]


def test_links_between_the_pages_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
