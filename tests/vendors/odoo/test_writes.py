"""Writing to Odoo: what is made, shown, written, and by whom."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from crmbridge.errors import AuthError, SettingsError
from crmbridge.testing import Trial, pulled
from crmbridge.writeback import Change
from crmbridge.writeback.values import differing
from crmbridge_odoo import views
from crmbridge_odoo.own import EMPTY, odoo_name
from crmbridge_odoo.writer import QUIET
from tests.vendors.odoo.database import ALL_LEADS, REP
from tests.vendors.odoo.subject import OdooSubject

SCORED = {"score": 63.5, "grade": "B", "reasons_up": "because"}


@pytest.fixture(params=[pytest.param(11, marks=pytest.mark.slow), 18])
def odoo(request: pytest.FixtureRequest) -> OdooSubject:
    return OdooSubject(request.param)


def deals(odoo: OdooSubject, number: int = 1, **values: Any) -> list[str]:
    values = {"name": "A deal", "type": "opportunity", "stage_id": odoo.database.stage("New"), **values}
    return [str(odoo.database.put("crm.lead", **values)) for _ in range(number)]


def install(odoo: OdooSubject) -> None:
    assert {step.state for step in odoo.writer().install(dry_run=False)} <= {"done", "present"}


def write_calls(odoo: OdooSubject) -> int:
    return sum(call == ("crm.lead", "write") for call in odoo.database.calls)


def test_equal_values_go_in_one_call(odoo):
    ids = deals(odoo, 7)
    install(odoo)
    scores = dict.fromkeys(ids[:5], 10.0) | dict.fromkeys(ids[5:], 20.0)
    changes = [Change("deal", each, {**SCORED, "score": score}) for each, score in scores.items()]
    odoo.database.calls.clear()
    assert {outcome.state for outcome in odoo.writer().write("deal", changes)} == {"sent"}
    assert write_calls(odoo) == 2


def test_a_hundred_records_with_values_of_their_own_go_in_one_call(odoo):
    ids = deals(odoo, 150)
    install(odoo)
    common = {**SCORED, "scored_at": "2026-03-29T01:00:00Z", "stuck": False}
    changes = [Change("deal", each, {**common, "score": place / 4}) for place, each in enumerate(ids)]
    odoo.database.calls.clear()
    assert {outcome.state for outcome in odoo.writer().write("deal", changes)} == {"sent"}
    assert [call[1] for call in odoo.database.calls if call[1] in ("load", "write")] == ["load"] * 2
    held = odoo.writer().read("deal", ids)
    for change in changes:
        assert not differing(change.values, held[change.id])


def test_a_refused_record_among_others_of_their_own_values_is_found(odoo):
    ids = deals(odoo, 20)
    install(odoo)
    odoo.database.faults.append(f"reject {ids[13]}")
    changes = [Change("deal", each, {"score": float(place)}) for place, each in enumerate(ids)]
    outcomes = odoo.writer().write("deal", changes)
    assert {each.id: each.code for each in outcomes if each.state != "sent"} == {ids[13]: "ValidationError"}
    assert odoo.held("deal", ids[14])["score"] == 14.0


def test_every_write_is_quiet(odoo):
    ids = deals(odoo, 3)
    install(odoo)
    odoo.database.writes.clear()
    odoo.writer().write("deal", [Change("deal", each, SCORED) for each in ids])
    odoo.writer().write("deal", [Change("deal", each, {"score": float(each)}) for each in ids])
    assert len(odoo.database.writes) > 1
    for context in odoo.database.writes:
        assert context.items() >= QUIET.items()


def test_one_refused_record_of_a_group_leaves_the_others_written(odoo):
    ids = deals(odoo, 9)
    install(odoo)
    odoo.database.faults.append(f"reject {ids[4]}")
    changes = [Change("deal", each, SCORED) for each in ids]
    outcomes = {each.id: each for each in odoo.writer().write("deal", changes)}
    assert [identifier for identifier, each in outcomes.items() if each.state != "sent"] == [ids[4]]
    assert (outcomes[ids[4]].state, outcomes[ids[4]].code) == ("rejected", "ValidationError")
    assert "rule of the administrator" in str(outcomes[ids[4]].message)
    assert odoo.held("deal", ids[3])["score"] == 63.5
    assert not odoo.held("deal", ids[4])["score"]


def test_a_zero_and_nothing_are_told_apart(odoo):
    zero, nothing, never = deals(odoo, 3)
    install(odoo)
    odoo.writer().write("deal", [Change("deal", zero, {"score": 0.0, "score_low": None, "grade": "D"})])
    odoo.writer().write("deal", [Change("deal", nothing, {"score": None, "grade": None})])
    held = odoo.writer().read("deal", [zero, nothing, never])
    assert (held[zero]["score"], held[zero]["score_low"]) == (0.0, None)
    assert (held[nothing]["score"], held[never]["score"]) == (None, None)
    page = pulled(odoo.connector().pull("deal", None))
    assert (page.held[zero]["score"], page.held[nothing]["score"]) == (0.0, None)


def test_a_number_written_alone_leaves_the_others_empty(odoo):
    (identifier,) = deals(odoo)
    install(odoo)
    odoo.writer().write("deal", [Change("deal", identifier, {"score": 5.0, "score_low": 0.0})])
    odoo.writer().write("deal", [Change("deal", identifier, {"score": None})])
    held = odoo.writer().read("deal", [identifier])[identifier]
    numbers = ("score", "score_low", "score_high", "expected_revenue")
    assert [held[key] for key in numbers] == [None, 0.0, None, None]


def test_a_person_may_set_a_number_we_left_empty(odoo):
    (identifier,) = deals(odoo)
    install(odoo)
    odoo.writer().write("deal", [Change("deal", identifier, {"score": None})])
    odoo.edit("deal", identifier, "score", 50.0)
    assert odoo.writer().read("deal", [identifier])[identifier]["score"] == 50.0


def test_lead_and_deal_share_their_fields_and_company_and_person_theirs(odoo):
    install(odoo)
    names = {(row["model"], row["name"]) for row in odoo.database.rows["ir.model.fields"].values()}
    assert ("crm.lead", odoo_name("stuck")) in names
    assert ("res.partner", odoo_name("segment")) in names
    assert ("res.partner", odoo_name("stuck")) not in names
    assert ("crm.lead", EMPTY) in names


def test_fields_can_be_edited_on_no_screen_and_are_not_copied(odoo):
    install(odoo)
    made = odoo.database.rows["ir.model.fields"].values()
    rows = [row for row in made if row["name"].startswith("x_crmbridge_")]
    assert rows
    for row in rows:
        assert row["readonly"] is True
        assert row["copied" if odoo.database.version >= 18 else "copy"] is False
    for view in ours(odoo):
        shown = list(Xml.fromstring(view["arch"]).iter("field"))
        assert shown
        if view["type"] != "kanban":
            assert {each.get("readonly") for each in shown} == {"1"}


def ours(odoo: OdooSubject) -> list[dict[str, Any]]:
    return [row for row in odoo.database.rows["ir.ui.view"].values() if row["name"].startswith("crmbridge.")]


def test_views_show_score_grade_reasons_and_next_action_in_form_list_and_card(odoo):
    install(odoo)
    listed = "list" if odoo.database.version >= 18 else "tree"
    kinds = {(view["model"], view["type"]) for view in ours(odoo)}
    assert kinds == {("crm.lead", kind) for kind in ("form", listed, "kanban")} | {("res.partner", "form")}
    for view in ours(odoo):
        names = {each.get("name") for each in Xml.fromstring(view["arch"]).iter("field")}
        also = {"next_action"} if view["model"] == "crm.lead" else set()
        wanted = {"score", "grade", "reasons_up", *also}
        assert {odoo_name(key) for key in wanted} <= names, view["name"]
    bases = [view["inherit_id"] for view in ours(odoo)]
    quick = next(row["id"] for row in odoo.database.rows["ir.ui.view"].values() if row["priority"] == 1000)
    assert quick not in bases, "the form in which a record is quickly made stays quick"


def test_a_rep_reads_no_name_of_the_program_on_any_screen(odoo):
    install(odoo)
    for view in ours(odoo):
        root = Xml.fromstring(view["arch"])
        labels = [each.get("string") for each in root.iter("field")] if view["type"] != "kanban" else []
        assert all(labels), view["name"]
        assert "crmbridge" not in " ".join(map(str, labels)).lower()


def test_a_list_shows_no_score_of_zero_where_there_is_none(odoo):
    install(odoo)
    (view,) = [view for view in ours(odoo) if view["type"] in ("list", "tree")]
    fields = {each.get("name"): each for each in Xml.fromstring(view["arch"]).iter("field")}
    score = fields[odoo_name("score")]
    assert odoo_name("grade") in str(score.get("invisible") or score.get("attrs"))


def test_where_a_view_has_lost_its_landmark_the_next_place_is_taken(odoo, monkeypatch):
    real = views.places

    def with_a_place_that_is_gone(base: views.Base) -> list[tuple[str, str]]:
        found = real(base)
        return [("//nowhere", "after"), *found] if found else []

    monkeypatch.setattr(views, "places", with_a_place_that_is_gone)
    install(odoo)
    assert len(ours(odoo)) == 4


def test_installing_other_fields_later_renews_the_views(odoo):
    odoo.writes = ("score", "grade")
    install(odoo)
    before = {view["name"]: view["arch"] for view in ours(odoo)}
    odoo.writes = ("score", "grade", "next_action")
    install(odoo)
    after = {view["name"]: view["arch"] for view in ours(odoo)}
    assert before.keys() == after.keys()
    changed = [name for name in after if before[name] != after[name]]
    assert len(changed) == 3, "the partner's form has no next action"
    assert {step.state for step in odoo.writer().install(dry_run=False)} == {"present"}


def test_uninstalling_leaves_somebody_elses_view_in_the_way_told(odoo):
    install(odoo)
    base = next(row for row in odoo.database.rows["ir.ui.view"].values() if row["type"] == "form")
    theirs = f'<xpath expr="//sheet" position="inside"><field name="{odoo_name("score")}"/></xpath>'
    values = {"name": "own crm.lead view", "model": "crm.lead", "type": "form", "active": True}
    values |= {"inherit_id": base["id"], "priority": 16, "arch": f"<data>{theirs}</data>"}
    odoo.database.put("ir.ui.view", **values)
    steps = list(odoo.writer().uninstall(dry_run=False))
    stuck = [step for step in steps if step.state == "conflict"]
    assert [step.what for step in stuck] == [f"crm.lead.{odoo_name('score')}"]
    assert "Take it out of the views" in str(stuck[0].remedy)


def test_a_user_without_the_right_is_told_who_may_install(odoo):
    odoo.database.groups[REP] = {ALL_LEADS}
    with pytest.raises(AuthError) as told:
        list(odoo.writer(login="demo").install(dry_run=False))
    assert "--as" in str(told.value.remedy)
    assert "Settings" in str(told.value.remedy)
    missing = [item for item in odoo.writer(login="demo").check() if item.state == "failed"]
    assert missing
    assert all("--as" in str(item.remedy) for item in missing)


def test_the_daily_user_writes_without_the_right_to_install(odoo):
    ids = deals(odoo, 2, user_id=1)
    install(odoo)
    odoo.database.groups[REP] = {ALL_LEADS}
    outcomes = odoo.writer(login="demo").write("deal", [Change("deal", each, SCORED) for each in ids])
    assert {outcome.state for outcome in outcomes} == {"sent"}


def test_a_record_the_user_does_not_see_is_rejected(odoo):
    (mine,), (theirs,) = deals(odoo, user_id=REP), deals(odoo, user_id=1)
    install(odoo)
    changes = [Change("deal", each, SCORED) for each in (mine, theirs)]
    outcomes = {each.id: each.state for each in odoo.writer(login="demo").write("deal", changes)}
    assert outcomes == {mine: "sent", theirs: "rejected"}


def test_writing_before_installing_says_what_to_do(odoo):
    ids = deals(odoo)
    with pytest.raises(SettingsError) as told:
        odoo.writer().write("deal", [Change("deal", ids[0], SCORED)])
    assert "crmbridge install" in str(told.value.remedy)


def test_no_message_is_posted_and_no_version_made_by_our_writes(odoo, tmp_path):
    ids = deals(odoo, 3)
    install(odoo)
    with Trial.of(odoo, tmp_path) as trial:
        trial.pull("deal")
        odoo.writer().write("deal", [Change("deal", each, SCORED) for each in ids])
        assert trial.pull("deal") == (0, 0, 0)
    assert odoo.database.rows.get("mail.message", {}) == {}
