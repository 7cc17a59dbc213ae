"""The page: what it shows is what the tables hold, as text, without a network."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from crmbridge.report.data import TRENDS, ReportData
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
        self.tables: dict[str, list[list[str]]] = {}
        self._rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "div" and dict(attrs).get("role") == "region":
            self._rows = self.tables[(dict(attrs)["aria-label"] or "").removesuffix(": table")] = []
        if tag == "tr" and "tbody" in self.open:
            self._rows.append([])
        if tag in ("th", "td") and "tbody" in self.open:
            self._rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)
        if "tbody" in self.open and self.open[-1] in ("bdi", "data"):
            self._rows[-1][-1] += data.replace("\u00a0", " ")

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
    assert len(drawings) == 2 * 22
    for attributes in drawings:
        assert attributes["role"] == "img"
        assert len(attributes["aria-label"] or "") > 30
    assert len([tag for tag, _ in page.elements if tag == "details"]) == 22


def test_the_numbers_beside_the_charts_are_those_of_the_tables(page: Page) -> None:
    data = sample()
    funnel = [
        [
            row["stage"],
            *(f"{row[name]:,}" for name in ("entered", "moved_on", "still_open", "moved_back", "lost")),
        ]
        for row in data.funnel.to_pylist()
    ]
    assert [row[:6] for row in page.tables["Funnel"]] == funnel
    shares = [row["moved_on"] / (row["entered"] - row["still_open"]) for row in data.funnel.to_pylist()]
    assert [row[6] for row in page.tables["Funnel"]] == [
        f"{share:.1%}".replace("%", " %") for share in shares
    ]
    money = [
        [row["stage"], "stuck" if row["stuck"] else "moving", str(row["deals"])]
        for row in data.stages.to_pylist()
    ]
    assert [row[:3] for row in page.tables["Where the money stands"]] == money
    for shown, row in zip(page.tables["Where the money stands"], data.stages.to_pylist(), strict=True):
        assert [_number(cell) for cell in shown[3:]] == pytest.approx(
            [row["amount"], row["expected"]], rel=0.006
        )
    bins = [
        [f"{row['low']} to {row['low'] + 5}", row["grade"], f"{row['records']:,}"]
        for row in data.scores[0].bins.to_pylist()
    ]
    assert page.tables["Scores of leads"] == bins
    for shown, found in zip(page.tables["Calibration for leads"], data.cards[0].calibration, strict=True):
        low, high = shown[2].split(" to ")
        figures = [float(cell.split(" ")[0]) / 100 for cell in (shown[0], shown[1], low, high)]
        assert figures == pytest.approx([found.predicted, found.observed, found.low, found.high], abs=0.0006)
        assert shown[3] == str(found.records)
    for title, key in (
        ("Communication", "communication_efficiency"),
        ("Follow-up", "follow_up_efficiency"),
        ("Orders", "order_efficiency"),
    ):
        best_first = sorted(data.reps.to_pylist(), key=lambda row: -row[key])
        assert [row[0] for row in page.tables[title]] == [row["name"] for row in best_first]
        for shown, row in zip(page.tables[title], best_first, strict=True):
            figures = [float(cell) for cell in (shown[1], *shown[2].split(" to "))]
            assert figures == pytest.approx([row[key], row[f"{key}_low"], row[f"{key}_high"]], rel=0.006)
            assert shown[4] == row[TRENDS[key]]

    teams = sorted(data.groups["team"].to_pylist(), key=lambda row: -row["order_efficiency"])
    assert [row[0] for row in page.tables["Orders by team"]] == [row["name"] for row in teams]
    for shown, row in zip(page.tables["Orders by month"], data.months.to_pylist(), strict=True):
        assert shown[0] == row["period"]
        assert float(shown[1]) == pytest.approx(row["order_efficiency"], rel=0.006)


def test_the_numbers_in_the_text_are_those_of_the_data(page: Page) -> None:
    data = sample()
    assert data.written is not None
    counts = data.written.counts
    for words in (
        f"{sum(data.records.values()):,}",
        f"{data.scored:,}",
        f"The first {data.deals.num_rows} of {data.deals_open} open deals",
        f"The first {data.leads.num_rows} of {data.leads_open:,} open leads",
        (
            f"{counts.planned:,} records planned, {counts.sent:,} sent, {counts.same} already up to date, "
            f"{counts.rejected} rejected, {counts.pending} pending"
        ),
        f"{data.figures['won']:,.0f} won, {data.figures['lost']:,.0f} lost",
        "Left out because they did not fit: 1 lead.",
    ):
        assert words in page.text
    expected = sum(row["expected"] for row in data.stages.to_pylist())
    stuck = sum(row["expected"] for row in data.stages.to_pylist() if row["stuck"])
    shown = re.search(
        r"(€\S+ \S+) is to be expected from the open deals. (€\S+ \S+) of it \((\d+) %\)", page.text
    )
    assert shown is not None
    assert [_number(shown[1]), _number(shown[2])] == pytest.approx([expected, stuck], rel=0.006)
    assert int(shown[3]) == round(100 * stuck / expected)
    assert [row[1:] for row in page.tables["Rejected records"]] == [
        list(row.values())[1:] for row in data.written.rejected.to_pylist()
    ]
    assert page.tables["Data set aside"] == [
        [row["place"], row["object"], row["id"], row["reason"]] for row in data.set_aside.to_pylist()
    ]


def _number(text: str) -> float:
    """`€1.2 M` as a number."""
    size, _, step = text.removeprefix("€").partition(" ")
    return float(size.replace(",", "")) * {"": 1, "k": 1e3, "M": 1e6}[step]


def test_lines_are_not_filled() -> None:
    """A path without a fill of its own takes its group's, and black where no group has one."""
    fills: list[str | None] = []
    text = render(sample())
    for closing, tag, attributes in re.findall(r"<(/?)(g|path)\b([^>]*)>", text):
        fill = re.search(r' fill="([^"]*)"', attributes)
        if closing and tag == "g":
            fills.pop()
        elif tag == "g":
            fills.append(fill[1] if fill else fills[-1] if fills else None)
        elif not closing:
            assert fill or fills[-1] == "none"
    assert fills == []


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
