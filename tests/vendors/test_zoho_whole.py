"""The whole job on a Zoho org: credits, echoes, the same scores as from files, the vendor's own words."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from crmbridge.bridge import Bridge
from crmbridge.connectors.zoho import limits
from crmbridge.connectors.zoho.forecast import first_pull
from crmbridge.model.columns import from_table
from crmbridge.model.records import RECORDS
from crmbridge.testing import samples
from tests.shared_data import shared
from tests.vendors.zoho import Org, ZohoServer
from tests.vendors.zoho.org import Request
from tests.vendors.zoho.server import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from tests.vendors.zoho_subject import ZohoSubject

MOMENT = datetime(2026, 11, 24, 12, tzinfo=UTC)
OBJECTS = ("rep", "account", "contact", "lead", "deal", "stage_change", "activity", "order")


def organisation(org: Org, leads: int = 240) -> None:
    """Leads of which half are resolved, calls and meetings about them, deals with their history, orders."""
    draw = np.random.default_rng(5)
    start = datetime(2025, 6, 1, tzinfo=UTC)
    account = org.put("Accounts", {"Account_Name": "Zylker", "Industry": "Ümläut & Co", "Employees": 7})
    for number in range(leads):
        resolved = number < leads // 2
        created = start + timedelta(days=int(draw.integers(0, 300 if resolved else 500)))
        source = ["Referral", "Web", "Fair"][int(draw.integers(3))]
        won = resolved and draw.random() < {"Referral": 0.7, "Web": 0.3, "Fair": 0.1}[source]
        closed = created + timedelta(days=int(draw.integers(5, 80)))
        lead = org.put(
            "Leads",
            {
                "Created_Time": created,
                "Last_Name": f"Lead {number}",
                "Lead_Source": source,
                "Lead_Status": "Converted" if won else "Lost Lead" if resolved else "Contacted",
                "Annual_Revenue": int(draw.integers(1, 50)) * 1000,
                "Converted__s": bool(won),
                "Converted_Date_Time": closed if won else None,
            },
        )
        for _ in range(int(draw.integers(0, 3))):
            begun = created + timedelta(days=1, hours=int(draw.integers(0, 9)))
            org.put(
                "Calls",
                {
                    "Created_Time": begun,
                    "What_Id": {"id": lead, "name": "L"},
                    "$se_module": "Leads",
                    "Call_Type": "Outbound",
                    "Call_Start_Time": begun,
                    "Call_Duration_in_seconds": int(draw.integers(20, 900)),
                    "Call_Status": "Completed",
                    "Call_Result": "Interested" if draw.random() < 0.4 else "No response/Busy",
                },
            )
    for number in range(40):
        stage = ["Closed Won", "Closed Lost", "Qualification"][number % 3]
        deal = org.put(
            "Deals",
            {
                "Created_Time": start + timedelta(days=number),
                "Deal_Name": f"D{number}",
                "Account_Name": {"id": account, "name": "Zylker"},
                "Amount": 100.25 + number,
                "Stage": stage,
                "Closing_Date": f"{start + timedelta(days=60 + number):%Y-%m-%d}",
            },
        )
        org.put("DealHistory", {"Potential_Name": {"id": deal, "name": "D"}, "Stage": stage})
        org.put(
            "Sales_Orders",
            {"Account_Name": {"id": account, "name": "Z"}, "Grand_Total": 10, "Status": "Open"},
        )


@pytest.fixture
def bridge(zoho: ZohoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bridge]:
    organisation(zoho.org)
    zoho.org.now = MOMENT - timedelta(hours=1)
    settings = tmp_path / "crmbridge.toml"
    settings.write_text(
        f'[connections.acme]\nconnector = "zoho"\nclient_id = "{CLIENT_ID}"\n'
        f'accounts_url = "{zoho.url}"\ntimezone = "Europe/Berlin"\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("CRMBRIDGE_ACME_CLIENT_SECRET", CLIENT_SECRET)
    monkeypatch.setenv("CRMBRIDGE_ACME_REFRESH_TOKEN", REFRESH_TOKEN)
    with Bridge.open(settings, clock=lambda: MOMENT) as opened:
        yield opened


def test_a_first_sync_scores_and_writes_and_the_second_writes_nothing(bridge, zoho):
    assert {step.state for step in bridge.install("acme")} == {"done"}
    first = bridge.sync("acme", at=MOMENT, approve="yes")
    assert first.status == "done"
    assert first.summary["sent"] > 100
    assert first.summary["rejected"] == first.summary["pending"] == 0
    before = len(zoho.org.calls("PUT"))
    spent = zoho.org.credits
    second = bridge.sync("acme", at=MOMENT, approve="yes")
    assert (second.status, second.summary["planned"]) == ("done", 0)
    assert set(second.summary["pulled"].values()) <= {0, 3}, "nothing is read anew but the users"
    assert len(zoho.org.calls("PUT")) == before
    assert zoho.org.credits - spent < 80
    assert zoho.org.workflows == zoho.org.cadences == 0
    held = [row for row in zoho.org.modules["Leads"].rows.values() if row.get("CRMBridge_Score") is not None]
    assert len(held) > 100


def test_the_credits_counted_are_those_spent(bridge, zoho):
    run = bridge.pull("acme", at=MOMENT)
    counted = run.summary["api_calls"] - len(zoho.org.calls("oauth"))
    assert counted == zoho.org.credits
    objects = len(zoho.org.modules)
    # org, modules, fields and deletions aside, each module is one query, three credits at most.
    assert counted < 10 * objects


def test_a_pull_costs_what_the_check_has_forecast(bridge, zoho):
    detail = next(item.detail for item in bridge.check("acme") if item.name == "credits")
    first, following = (
        int(re.search(rf"{words} ([\d,]+)", detail)[1].replace(",", ""))
        for words in ("takes about", "nothing new")
    )
    for forecast in (first, following):
        before = zoho.org.credits
        run = bridge.pull("acme", at=MOMENT)
        spent = zoho.org.credits - before
        assert abs(spent - forecast) <= 0.05 * forecast
        assert run.summary["api_calls"] - spent in (0, 1), "reported afterwards; a token costs none"


@pytest.mark.parametrize("counts", [True, False])
def test_without_counts_the_check_still_says_what_jobs_cost(bridge, zoho, counts):
    zoho.org.switches.counts = counts
    item = next(item for item in bridge.check("acme") if item.name == "credits")
    assert item.state == "ok"
    assert ("for every 200,000 records" in item.detail) is not counts


@pytest.mark.parametrize("polls", [0, 4])
def test_a_backfill_by_bulk_read_costs_what_was_forecast(zoho, monkeypatch, polls):
    """In an org with few records to a job and to a query, as the stand-in need not hold 400,000."""
    monkeypatch.setattr(limits, "COQL_PAGE", 10)
    subject = ZohoSubject(zoho)
    subject.seed(samples.leads(50))
    zoho.org.switches.job_rows = 25
    zoho.org.switches.job_looks = polls
    connector = subject.connector()
    expected = first_pull({"Leads": 50}, job_rows=25)
    before = zoho.org.credits
    connector.org()
    _ = connector.schema.stages
    list(connector.pull("rep", None))
    assert sum(len(page.records) for page in connector.pull("lead", None)) == 50
    spent = zoho.org.credits - before
    assert len(zoho.org.calls("POST /crm/bulk/v8/read")) == 2
    assert spent == sum(connector.context.calls.by_kind.values()) - 1, "a token costs none"
    assert abs(spent - expected) <= 0.05 * expected


def test_what_was_pulled_and_exported_is_scored_the_same_through_files(bridge, tmp_path):
    bridge.pull("acme", at=MOMENT)
    bridge.score("acme", at=MOMENT)
    zoho_scores = scores(bridge, "acme")
    folder = tmp_path / "exports"
    folder.mkdir()
    tables = ""
    for object_name in OBJECTS:
        rows = export(bridge, object_name, folder / f"{object_name}.csv")
        if rows:
            tables += f'[connections.copy.{object_name}]\nfile = "{object_name}.csv"\n'
    settings = tmp_path / "copy.toml"
    settings.write_text(
        f'[store]\nledger = "sqlite:///copy.db"\nlake = "copy"\n[connections.copy]\nconnector = "files"\n'
        f'path = "exports"\ntimezone = "Europe/Berlin"\n{tables}',
        encoding="utf-8",
    )
    with Bridge.open(settings, clock=lambda: MOMENT) as copy:
        copy.pull("copy", at=MOMENT)
        copy.score("copy", at=MOMENT)
        file_scores = scores(copy, "copy")
    assert len(zoho_scores) > 100
    assert zoho_scores.keys() == file_scores.keys()
    for identifier, score in zoho_scores.items():
        assert score == pytest.approx(file_scores[identifier], abs=1e-9)


def scores(bridge: Bridge, name: str) -> dict[str, float]:
    found = {}
    for batch in bridge.lake.scan(name, "result/need/lead", ["id", "score"], at=MOMENT):
        found |= dict(zip(batch["id"].to_pylist(), batch["score"].to_pylist(), strict=True))
    return {identifier: score for identifier, score in found.items() if score is not None}


def export(bridge: Bridge, object_name, path: Path) -> int:
    names = [f"attributes.{name}" for name in bridge.lake.attribute_names("acme", object_name)]
    own = [name for name in RECORDS[object_name].model_fields if name != "attributes"]
    rows = []
    for batch in bridge.lake.scan("acme", object_name, [*own, "absent", *names], at=MOMENT):
        for record in from_table(object_name, pa.Table.from_batches([batch])):
            values = {name: getattr(record, name) for name in record.model_fields_set if name != "attributes"}
            rows.append({**values, **record.attributes})
    if rows:
        header = list(dict.fromkeys(name for row in rows for name in row))
        with path.open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(header)
            lines.writerows([cell(row.get(name)) for name in header] for row in rows)
    return len(rows)


def cell(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


# -- against the vendor's own description and client --


@pytest.mark.slow
def test_every_request_is_one_the_vendors_description_takes(bridge, zoho):
    from openapi_core import Config, OpenAPI
    from openapi_core.datatypes import RequestParameters
    from werkzeug.datastructures import Headers, ImmutableMultiDict

    path = shared("vendors/zoho/mock/zoho-crm-v8.mock.json")
    description = json.loads(path.read_text(encoding="utf-8"))
    description["servers"] = [{"url": zoho.url}]
    api = OpenAPI.from_dict(description, config=Config(spec_validator_cls=None))
    bridge.check("acme")
    list(bridge.install("acme"))
    bridge.sync("acme", at=MOMENT, approve="yes")

    class Asked:
        def __init__(self, request):
            self.host_url, self.path, self.method = zoho.url, request.path, request.method.lower()
            self.full_url_pattern = zoho.url + request.path
            self.content_type = request.headers.get("content-type", "").partition(";")[0]
            self.body = request.body or None
            self.parameters = RequestParameters(
                query=ImmutableMultiDict(request.query), header=Headers(request.headers)
            )

    asked = [each for each in zoho.org.requests if each.path.startswith("/crm/")]
    assert {each.method for each in asked} == {"GET", "POST", "PUT"}
    problems = []
    for request in asked:
        errors = list(api.iter_request_errors(Asked(request)))
        problems += [f"{request.method} {request.path} {request.query}: {error!r}" for error in errors]
    assert problems == []
    put = next(each for each in asked if each.method == "PUT")
    for wrong in ({**put.json, "trigger": ["everything"]}, {"trigger": []}):
        broken = Request(put.method, put.path, put.query, put.headers, json.dumps(wrong).encode())
        assert list(api.iter_request_errors(Asked(broken))), "the description is not looked at"
