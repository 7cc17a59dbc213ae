"""Segment, value and data quality reach the CRM where `fields` chooses them, and only there."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crmbridge.bridge import Bridge
from crmbridge.demo.generate import generate
from crmbridge.model.fields import CORE
from tests.organisation import read_csv

MOMENT = datetime(2026, 11, 24, 12, tzinfo=UTC)
CUSTOMER = ("segment", "p_alive", "value_12m", "value_low", "value_high")
QUALITY = ("data_quality", "data_issues")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object], dict[str, object]]:
    """An organisation synced twice, the second time with nothing changed."""
    folder = tmp_path_factory.mktemp("fields")
    generate(folder, seed=3, moment=MOMENT, leads=300, deals=400, activities=900, orders=900, reps=4)
    settings = folder / "crmbridge.toml"
    chosen = ", ".join(f'"{key}"' for key in (*CORE, *CUSTOMER, *QUALITY))
    text, found = re.subn(
        r"(?s)\nfields = \[\n.*?\n\]\n", f"\nfields = [{chosen}]\n", settings.read_text("utf-8"), count=1
    )
    assert found
    settings.write_text(text, "utf-8")
    with Bridge.open(settings, clock=lambda: MOMENT) as bridge:
        first = bridge.sync("demo", at=MOMENT, approve="yes").summary
        second = bridge.sync("demo", at=MOMENT, approve="yes").summary
    return folder / "crm" / "scores", dict(first), dict(second)


def test_accounts_carry_segment_and_value_and_all_four_objects_their_quality(synced) -> None:
    scores, first, _ = synced
    assert first["sent"] == first["planned"]
    accounts = read_csv(scores / "account.csv")
    worth = [row for row in accounts if row["crmbridge_value_12m"]]
    assert len(worth) > 50
    for row in worth:
        assert row["crmbridge_segment"]
        assert 0 <= float(row["crmbridge_p_alive"]) <= 1
        low, middle, high = (float(row[f"crmbridge_value_{end}"]) for end in ("low", "12m", "high"))
        assert 0 <= low <= high
        assert middle >= 0
    for name in ("lead", "contact", "account", "deal"):
        rows = read_csv(scores / f"{name}.csv")
        graded = [row for row in rows if row["crmbridge_data_quality"]]
        assert graded
        assert all(0 <= float(row["crmbridge_data_quality"]) <= 100 for row in graded)
        assert any(row["crmbridge_data_issues"] for row in graded)


def test_contacts_carry_nothing_but_their_quality(synced) -> None:
    scores, _, _ = synced
    own = {name for name in read_csv(scores / "contact.csv")[0] if name.startswith("crmbridge_")}
    assert own == {"crmbridge_data_quality", "crmbridge_data_issues"}


def test_a_second_run_on_unchanged_data_writes_nothing(synced) -> None:
    assert synced[2]["planned"] == 0
