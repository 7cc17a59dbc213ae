"""The conformance suite on the Zoho stand-in: by query and Bulk Read, and by lists alone."""

from __future__ import annotations

import pytest

from crmbridge.testing import ConnectorConformance, Subject, WriterConformance
from tests.vendors.zoho import ZohoServer
from tests.vendors.zoho_subject import ZohoSubject


class TestZoho(ConnectorConformance, WriterConformance):
    @pytest.fixture
    def subject(self, zoho: ZohoServer) -> Subject:
        return ZohoSubject(zoho)


class TestZohoByList(ConnectorConformance):
    @pytest.fixture
    def subject(self, zoho: ZohoServer) -> Subject:
        return ZohoSubject(zoho, read_by="list")


class TestZohoOfAnotherKind(ConnectorConformance, WriterConformance):
    """The other answer to each open question."""

    @pytest.fixture
    def subject(self, zoho: ZohoServer) -> Subject:
        switches = zoho.org.switches
        switches.coql_shows_converted = switches.bulk_shows_converted = False
        switches.coql_limit = 200
        switches.coql_se_module, switches.list_se_module = True, False
        switches.since_is_inclusive = switches.unchanged_put_bumps = False
        switches.suffixed_names, switches.id_header = True, "id"
        switches.busy_status = 400
        return ZohoSubject(zoho)
