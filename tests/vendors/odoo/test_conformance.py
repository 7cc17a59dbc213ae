"""The conformance suite on the stand-in: Odoo 11, Odoo 18, and the JSON-2 API of Odoo 19."""

from __future__ import annotations

from pathlib import Path

import pytest

from crmbridge.testing import ConnectorConformance, PluginConformance, Subject, WriterConformance
from tests.vendors.odoo.subject import OdooSubject


@pytest.mark.slow
class TestOdoo11(ConnectorConformance, WriterConformance):
    @pytest.fixture
    def subject(self) -> Subject:
        return OdooSubject(11)


class TestOdoo18(ConnectorConformance, WriterConformance):
    @pytest.fixture
    def subject(self) -> Subject:
        return OdooSubject(18)


@pytest.mark.slow
class TestOdoo19(ConnectorConformance, WriterConformance):
    """The same by the JSON-2 API."""

    @pytest.fixture
    def subject(self) -> Subject:
        return OdooSubject(19)


class TestDistribution(PluginConformance):
    @pytest.fixture
    def project(self) -> Path:
        return Path(__file__).parents[3] / "plugins/crmbridge-odoo"
