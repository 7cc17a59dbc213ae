"""Settings: what is read, and what a mistake says."""

from __future__ import annotations

from pathlib import Path

import pytest

from crmbridge import config
from crmbridge.errors import SettingsError
from crmbridge.plugins import Plugins

GOOD = """
[connections.acme]
connector = "files"
path = "exports"
timezone = "Europe/Berlin"

[connections.acme.lead]
file = "leads.csv"

[connections.acme.metrics]
horizon_days = { lead = 30 }
"""


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return Plugins.load([])


def written(folder: Path, text: str) -> Path:
    path = folder / "crmbridge.toml"
    path.write_text(text, encoding="utf-8")
    return path


def mistake(folder: Path, text: str, plugins: Plugins) -> str:
    with pytest.raises(SettingsError) as caught:
        config.load(written(folder, text)).connection("acme", plugins)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_paths_count_from_the_settings_file(tmp_path, plugins):
    settings = config.load(written(tmp_path, GOOD))
    assert settings.lake == tmp_path / "lake"
    assert settings.ledger_url == f"sqlite:///{tmp_path}/crmbridge.db"
    assert settings.connection("acme", plugins).options.path == tmp_path / "exports"  # type: ignore[attr-defined]


def test_metric_settings_keep_the_defaults_of_what_is_not_named(tmp_path, plugins):
    metrics = config.load(written(tmp_path, GOOD)).connection("acme", plugins).settings.metrics
    assert (metrics.horizon_days.lead, metrics.horizon_days.deal, metrics.window_days) == (30, 180, 90)


def test_the_environment_overrides_the_file(tmp_path, monkeypatch, plugins):
    monkeypatch.setenv("CRMBRIDGE_STORE__LEDGER", "postgresql+psycopg://somewhere/ledger")
    monkeypatch.setenv("CRMBRIDGE_CONNECTIONS__ACME__API_BUDGET", "0.5")
    settings = config.load(written(tmp_path, GOOD))
    assert settings.ledger_url == "postgresql+psycopg://somewhere/ledger"
    assert settings.connection("acme", plugins).settings.api_budget == 0.5


def test_the_environment_finds_a_connection_whatever_letters_its_name_has(tmp_path, monkeypatch, plugins):
    monkeypatch.setenv("CRMBRIDGE_CONNECTIONS__ACME_EU__API_BUDGET", "0.5")
    settings = config.load(written(tmp_path, GOOD.replace("connections.acme", "connections.Acme-EU")))
    assert settings.names == ["Acme-EU"]
    assert settings.connection("Acme-EU", plugins).settings.api_budget == 0.5


@pytest.mark.parametrize("key", ["API_BUDGET", "OUTPUT"])
def test_a_mistake_in_the_environment_names_the_variable(tmp_path, monkeypatch, plugins, key):
    monkeypatch.setenv(f"CRMBRIDGE_CONNECTIONS__ACME__{key}", "abc")
    said = mistake(tmp_path, GOOD, plugins)
    assert said.startswith(f"CRMBRIDGE_CONNECTIONS__ACME__{key} in the environment: ")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('path = "exports"', 'path = "exports"\npaht = "x"', "paht is not a setting. Did you mean path?"),
        ("lead = 30", "leed = 30", "[connections.acme.metrics.horizon_days] leed is not a setting"),
        ("lead = 30", 'lead = "soon"', "[connections.acme.metrics.horizon_days] lead:"),
        ("Europe/Berlin", "Berlin", "'Berlin' is not a time zone"),
        ('"files"', '"filez"', "there is no connector 'filez'; installed are files"),
        ("[connections.acme.metrics]", "[store]\nlack = 1\n[connections.acme.metrics]", "[store] lack"),
        ('path = "exports"', 'paht = "exports"', "paht is not a setting. Did you mean path? (1 more"),
        (
            '[connections.acme.lead]\nfile = "leads.csv"',
            "lead = 3",
            "[connections.acme] lead: it must be a table",
        ),
        ('path = "exports"', 'path = "exports"\nfields = ["skore"]', "'skore' is not one of score"),
    ],
)
def test_a_mistake_names_its_place(tmp_path, plugins, old, new, said):
    assert said in mistake(tmp_path, GOOD.replace(old, new, 1), plugins)


def test_a_secret_in_the_file_is_refused_with_the_right_way(tmp_path, plugins):
    said = mistake(tmp_path, GOOD.replace('path = "exports"', 'client_secret = "hunter2"'), plugins)
    assert "CRMBRIDGE_ACME_CLIENT_SECRET" in said
    assert "hunter2" not in said


def test_broken_toml_names_the_line(tmp_path, plugins):
    assert "line 3" in mistake(tmp_path, "[store]\nlake = 'a'\nledger = \n", plugins)


def test_a_connection_that_is_not_there_lists_those_that_are(tmp_path, plugins):
    settings = config.load(written(tmp_path, GOOD))
    with pytest.raises(SettingsError, match="Did you mean acme"):
        settings.connection("acne", plugins)


def test_without_a_file_the_error_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="crmbridge init"):
        config.find(environment={})


def test_two_connections_that_would_share_a_secret_are_refused(tmp_path):
    text = '[connections.a-b]\nconnector = "files"\n[connections.a_b]\nconnector = "files"\n'
    with pytest.raises(SettingsError, match="would share"):
        config.load(written(tmp_path, text))


@pytest.mark.parametrize("text", ["connections = 3", "[connections]\nacme = 3", "store = []"])
def test_what_should_be_a_table_and_is_not_is_said(tmp_path, text):
    with pytest.raises(SettingsError, match="it must be a table"):
        config.load(written(tmp_path, text))
