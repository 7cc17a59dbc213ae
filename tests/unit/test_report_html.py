"""The page: what it shows is what the tables hold, as text, without a network."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from crmbridge.report.data import ReportData
from crmbridge.report.html import render, write
from tests.unit.report_sample import AWKWARD, MOMENT, sample

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """The page as a browser sees it: elements, attributes and text; complains of what is not well nested."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(sample()))


def test_names_with_markup_quotes_other_scripts_and_emoji_are_shown_as_text(page: Page) -> None:
    for name in AWKWARD:
        assert name in page.text
    assert not [tag for tag, _ in page.elements if tag == "script"]


def test_the_page_needs_no_network(page: Page) -> None:
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "srcset", "xlink:href", "action", "data"):
                assert value is not None
                assert value.startswith(("#", "data:")), (tag, value)
    style = re.search(r"<style>(.*?)</style>", render(sample()), re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_every_chart_has_a_name_and_the_same_numbers_as_a_table(page: Page) -> None:
    drawings = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert len(drawings) == 2 * 7
    for attributes in drawings:
        assert attributes["role"] == "img"
        assert len(attributes["aria-label"] or "") > 30
    assert len([tag for tag, _ in page.elements if tag == "details"]) == 7


def test_numbers_on_the_page_are_those_of_the_tables(page: Page) -> None:
    data = sample()
    assert f"{sum(data.records.values()):,}" in page.text
    assert f"{data.scored:,}" in page.text
    for row in data.funnel.to_pylist():
        for name in ("entered", "moved_on", "lost", "still_open"):
            assert f"{row[name]:,}" in page.text
    for row in data.reps.to_pylist():
        assert row["name"] in page.text
    assert data.written is not None
    assert f"{data.written.counts.sent:,} sent" in page.text
    for row in data.written.rejected.to_pylist():
        assert row["message"] in page.text
    for row in data.set_aside.to_pylist():
        assert row["place"] in page.text
        assert row["reason"] in page.text


def test_an_organisation_without_anything_still_gives_a_page() -> None:
    empty = ReportData(connection="empty", moment=MOMENT, zone=ZoneInfo("UTC"), records={})
    page = Page(render(empty))
    assert "Nothing has been planned yet." in page.text
    assert not [tag for tag, _ in page.elements if tag == "svg"]


def test_unknown_values_leave_no_trace_of_programming(page: Page) -> None:
    data = sample()
    bare = [dict.fromkeys(data.deals.column_names) | {"id": "D1"}]
    bare = dataclasses.replace(data, deals=data.deals.from_pylist(bare, data.deals.schema))
    text = Page(render(bare)).text
    for word in ("None", "nan", "undefined", "{{", "inf "):
        assert word not in text
        assert word not in page.text


def test_a_page_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.html"
    write(sample(), path)
    first = path.read_bytes()
    write(sample(), path)
    assert path.read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
