"""Records that more than one object tells about: roles, conversions, merges, person accounts."""

from __future__ import annotations

import json
from datetime import datetime, time

from crmbridge.writeback.base import Change
from tests.shared_data import shared
from tests.vendors.salesforce.kit import leads, on, org, own_fields, read, stand, writer
from tests.vendors.salesforce.org import INTEGRATION, Org, digest
from tests.vendors.salesforce.subject import world

__all__ = ["org", "own_fields", "stand"]
BULK = {"rest_rows": 2_000}


def test_a_rep_has_the_name_of_the_role(stand, org):
    role = org.put("UserRole", {"Name": "Sales EMEA"})
    org.put("User", {"Id": INTEGRATION, "UserRoleId": role})
    org.advance(minutes=30)
    records = read(stand, name="rep").records
    assert records[INTEGRATION].role == "Sales EMEA"
    assert {record.role for record in records.values()} == {"Sales EMEA", None}
    org.disabled.add("UserRole")
    assert "role" not in read(stand, name="rep").records[INTEGRATION].model_fields_set


def test_a_conversion_has_its_moment_by_every_way_of_reading(stand, org):
    ids = leads(org, 2_100)
    org.advance(days=1)
    moments = {}
    for each in (ids[0], ids[700]):
        made = org.convert(each)
        moments[each] = org.now.replace(microsecond=0)
        org.advance(minutes=13)
    org.advance(minutes=30)
    by_rest, by_bulk = read(stand), read(stand, **BULK)
    for found in (by_rest, by_bulk):
        converted = {key: each.converted_at for key, each in found.records.items() if each.converted_at}
        assert converted == moments
    assert len(org.calls("FROM%20LeadHistory")) == 2
    # A lead that is read again later, alone, keeps it.
    org.put("Lead", {"Id": ids[0]})
    org.advance(minutes=30)
    assert read(stand, by_rest.cursor).records[ids[0]] == by_rest.records[ids[0]].model_copy(
        update={"modified_at": datetime.fromisoformat(org.rows["Lead"][ids[0]]["SystemModstamp"])}
    )
    record = by_rest.records[ids[700]]
    chain = (record.converted_account_id, record.converted_contact_id, record.converted_deal_id)
    assert chain == tuple(made.values())
    for name, key in (("account", chain[0]), ("contact", chain[1]), ("deal", chain[2])):
        assert key in read(stand, name=name).records


def test_where_no_history_is_kept_a_conversion_stands_on_its_day(stand, org):
    ids = leads(org, 3)
    org.advance(days=2)
    org.convert(ids[0])
    org.disabled.add("LeadHistory")
    org.advance(minutes=30)
    lead = read(stand).records[ids[0]]
    assert lead.converted_at is not None
    assert lead.converted_at.astimezone(world(stand).zone).time() == time()


def test_a_history_too_long_to_be_searched_stops_nothing(stand, org):
    ids = leads(org, 3)
    org.convert(ids[0])
    org.advance(minutes=30)
    body = b'[{"errorCode":"QUERY_TIMEOUT","message":"Your query request was running for too long."}]'
    org.faults.append(on("LeadHistory", status=400, body=body, times=99))
    found = read(stand)
    assert set(found.records) == set(ids)
    assert found.records[ids[0]].converted_at is not None


def test_of_merged_leads_the_loser_goes_and_the_master_comes_again(stand, org):
    master, loser, other = leads(org, 3)
    cursor = read(stand).cursor
    org.merge("Lead", master, loser)
    org.advance(minutes=30)
    found = read(stand, cursor)
    assert set(found.deleted) == {loser}
    assert master in found.records
    assert loser not in found.records
    org.undelete("Lead", loser)
    org.advance(minutes=30)
    assert loser in read(stand, found.cursor).records
    assert other not in found.records


def with_person_accounts(org: Org) -> None:
    """The org's Account becomes that of the recorded org with person accounts."""
    text = shared("vendors/salesforce/describe/Account_PersonAccount_describe.json").read_text("utf-8")
    for each in json.loads(text)["fields"]:
        org.fields["Account"][each["name"]] = {**digest()["_defaults"], **each}


def test_person_accounts_are_accounts_by_either_way_of_reading_and_can_be_written(stand, org):
    with_person_accounts(org)
    org.add_field("Account", "CRMBridge_Data_Quality__pc", "double", scale=2, precision=18)
    person = {"FirstName": "Ada", "LastName": "Lovelace", "Name": "Ada Lovelace", "IsPersonAccount": True}
    more = {
        "PersonEmail": "ada@example.com",
        "PersonBirthdate": "1815-12-10",
        "PersonHasOptedOutOfEmail": True,
    }
    address = {"PersonMailingStreet": "12 St James's Square\r\nLondon"}
    ids = [org.put("Account", {**person, **more, **address, "CRMBridge_Data_Quality__pc": 9.0})]
    ids += [org.put("Account", {"Name": f"Company {number}"}) for number in range(2_100)]
    org.advance(minutes=30)
    by_rest, by_bulk = read(stand, name="account"), read(stand, name="account", **BULK)
    assert set(by_rest.records) == set(ids)
    assert by_bulk.records == by_rest.records
    assert not by_rest.set_aside
    record = by_rest.records[ids[0]]
    assert record.name == "Ada Lovelace"
    told = record.attributes
    assert (told["IsPersonAccount"], told["PersonEmail"]) == (True, "ada@example.com")
    assert told["PersonMailingStreet"] == address["PersonMailingStreet"]
    assert not {"PersonMailingAddress", "BillingAddress"} & set(told), "compound fields are not asked for"
    # What is written to the contact behind it shows on the account: it is ours, and no input.
    assert not [name for name in told if "CRMBridge" in name]
    one = writer(stand)
    given = [Change("account", ids[0], {"score": 50.0, "grade": "B", "reasons_up": "x"})]
    assert [outcome.state for outcome in one.write("account", given)] == ["sent"]
    assert one.read("account", ids[:1])[ids[0]]["score"] == 50.0


def test_the_contact_of_a_person_account_is_a_contact(stand, org):
    with_person_accounts(org)
    account = org.put("Account", {"Name": "Ada Lovelace", "IsPersonAccount": True})
    org.add_field("Contact", "IsPersonAccount", "boolean")
    contact = org.put("Contact", {"LastName": "Lovelace", "AccountId": account, "IsPersonAccount": True})
    org.advance(minutes=30)
    assert read(stand, name="contact").records[contact].account_id == account
