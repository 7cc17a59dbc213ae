"""The worked examples of docs/metrics.md give what they say, and the page names what the card has."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

from crmbridge.metrics.base import MetricSettings
from crmbridge.metrics.need import NeedMetric
from tests.unit.need_organisation import calls, frame, leads

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def test_the_worked_examples_give_what_the_page_says() -> None:
    text = re.sub(r"^```.*$", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    assert len(examples.examples) > 20
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(examples, out=said.append)
    assert not said, "".join(said)


def test_the_page_names_every_key_of_the_card_and_every_input() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = leads(1500)
    card: Any = NeedMetric(MetricSettings()).fit("lead", frame({"lead": rows, "activity": calls(rows)})).card
    for key in (*card, *card["outcomes"], *card["split"], *card["metrics"]):
        assert f"`{key}`" in text, key
    for row in card["inputs"]:
        if not row["name"].startswith("attributes.") and row["name"] != "lead_source":
            assert f"`{row['name']}`" in text, row["name"]
