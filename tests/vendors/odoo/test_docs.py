"""The admin's page of Odoo can't drift: settings, secrets, fields and rights stand in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crmbridge_odoo import OdooConnector, Options
from crmbridge_odoo.check import READ
from crmbridge_odoo.fields import RIVALS
from crmbridge_odoo.own import EMPTY

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/odoo.md").read_text(encoding="utf-8")
SETTINGS = (ROOT / "docs/settings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*Options.model_fields, *OdooConnector.secrets])
def test_every_setting_and_secret_is_in_the_admins_page_and_among_the_settings(name: str) -> None:
    assert re.search(rf"\b{name}\b", PAGE)
    assert f"`{name}`" in SETTINGS


@pytest.mark.parametrize("model", READ)
def test_every_model_that_is_checked_is_in_the_admins_page(model: str) -> None:
    assert f"`{model}`" in PAGE


def test_what_is_a_rival_and_the_field_of_empty_numbers_are_told() -> None:
    assert [name for name in (*RIVALS, EMPTY) if f"`{name}`" not in PAGE] == []
