"""The worked examples of the pages on deals give what they say."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize(("page", "fewest"), [("advice", 18), ("forecast", 6), ("pipeline", 12)])
def test_the_worked_examples_give_what_the_page_says(page: str, fewest: int) -> None:
    path = DOCS / f"metrics-{page}.md"
    text = re.sub(r"^```.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest(text, {}, path.name, str(path), 0)
    assert len(examples.examples) > fewest
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(examples, out=said.append)
    assert not said, "".join(said)
