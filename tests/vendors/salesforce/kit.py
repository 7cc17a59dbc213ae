"""What the tests of Salesforce share: an org that is served, and short words for what is done to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from crmbridge.connectors.salesforce import SalesforceConnector
from crmbridge.testing.trial import Pulled, pulled
from crmbridge.writeback.base import Change
from crmbridge.writeback.salesforce import SalesforceWriter
from tests.vendors.salesforce.org import Fault, Org
from tests.vendors.salesforce.server import Stand, serve
from tests.vendors.salesforce.subject import SalesforceSubject, no_sleep, world

FIELDS = ("score", "grade", "reasons_up")
HTML = b"<html><body>Login to Salesforce</body></html>"


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serve(Org()) as stand:
        yield stand


@pytest.fixture
def org(stand: Stand) -> Org:
    return stand.org


def leads(org: Org, number: int, **values: Any) -> list[str]:
    ids = [
        org.put("Lead", {"LastName": f"Last {n}", "Company": f"Company {n}", **values}) for n in range(number)
    ]
    org.advance(minutes=30)
    return ids


def read(stand: Stand, cursor: Any = None, name: Any = "lead", **options: Any) -> Pulled:
    connector = SalesforceConnector(world(stand, options=options, fields=FIELDS), sleep=no_sleep)
    found = pulled(connector.pull(name, None if cursor is None else json.loads(json.dumps(cursor))))
    connector.close()
    return found


def on(word: str, how: str = "answer", method: str = "", **more: Any) -> Fault:
    return Fault(lambda verb, path, body: word in path and method in ("", verb), how, **more)


def writer(stand: Stand, **options: Any) -> SalesforceWriter:
    SalesforceSubject.writes = FIELDS
    subject = SalesforceSubject(stand)
    if not stand.org.created:
        list(subject.writer().install(dry_run=False))
    return SalesforceWriter(world(stand, options=options, fields=FIELDS), sleep=no_sleep)


@pytest.fixture(autouse=True)
def own_fields() -> Iterator[None]:
    former = SalesforceSubject.writes
    yield
    SalesforceSubject.writes = former


def changes(ids: list[str], score: float | None = 50.0) -> list[Change]:
    return [
        Change("lead", identifier, {"score": score, "grade": "B", "reasons_up": "x"}) for identifier in ids
    ]
