"""The conformance suite on Salesforce: by REST and Collections, and by Bulk API 2.0."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crmbridge.testing import ConnectorConformance, Subject, WriterConformance
from tests.vendors.salesforce.org import Org
from tests.vendors.salesforce.server import serve
from tests.vendors.salesforce.subject import SalesforceSubject


class TestSalesforce(ConnectorConformance, WriterConformance):
    @pytest.fixture
    def subject(self) -> Iterator[Subject]:
        with serve(Org()) as stand:
            yield SalesforceSubject(stand)
