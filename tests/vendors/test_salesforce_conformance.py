"""The conformance suite on Salesforce: by REST and Collections, and by Bulk API 2.0."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

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


def test_the_table_of_faults_names_tests_that_there_are():
    here = Path(__file__).parent
    named = re.findall(r"`(test_\w+)(?:\[\d+\])?`", (here / "salesforce" / "README.md").read_text("utf-8"))
    there = "".join(path.read_text("utf-8") for path in here.glob("test_salesforce_*.py"))
    assert len(named) > 60
    assert [name for name in named if f"def {name}(" not in there] == []
