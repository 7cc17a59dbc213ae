"""The conformance suite on HubSpot's stand-in, for both of what a lead may be there."""

from __future__ import annotations

import pytest

from crmbridge.testing import Clock, ConnectorConformance, Subject, WriterConformance
from tests.vendors.hubspot.server import Server
from tests.vendors.hubspot.subject import HubSpotSubject


class TestHubSpotLeads(ConnectorConformance, WriterConformance):
    @pytest.fixture
    def subject(self, server: Server, clock: Clock) -> Subject:
        return HubSpotSubject(server, clock, "leads")


class TestHubSpotContactsAsLeads(ConnectorConformance, WriterConformance):
    @pytest.fixture
    def subject(self, server: Server, clock: Clock) -> Subject:
        return HubSpotSubject(server, clock, "contacts")
