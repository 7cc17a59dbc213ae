"""The report speaks every language of the settings, and says everything in each."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

from crmbridge.metrics.base import MetricSettings
from crmbridge.report.changes import TITLES
from crmbridge.report.html import render
from crmbridge.report.texts import LANGUAGES, en, zh
from crmbridge.report.words import Words
from tests.unit.report_sample import sample

REPORT = Path(__file__).parents[2] / "src/crmbridge/report"
FIELD = re.compile(r"\{(\w+)\}")


def sentences() -> set[str]:
    """What the code and the templates say."""
    found: set[str] = set()
    for path in REPORT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                text = {"text": 0, "sentence": 1}.get(name)
                said = node.args[text : text + 1] if text is not None else []
                found |= {each.value for each in said if isinstance(each, ast.Constant)}
    for path in REPORT.rglob("*.j2"):
        for match in re.finditer(
            r"\bt\((?:\"([^\"]*)\"|'([^']*)')|words\.text\(\"([^\"]*)\"", path.read_text()
        ):
            found.add(next(filter(None, match.groups())))
    return found


def test_every_language_of_the_settings_is_there() -> None:
    assert set(get_args(MetricSettings.model_fields["language"].annotation)) == set(LANGUAGES)


def test_every_sentence_of_the_report_is_translated_with_the_same_numbers_in_it() -> None:
    assert zh.SENTENCES is not None
    assert len(sentences()) > 150
    assert (sentences() | set(TITLES.values())) - set(zh.SENTENCES) == set()
    for english, chinese in zh.SENTENCES.items():
        assert sorted(FIELD.findall(english)) == sorted(FIELD.findall(chinese)), english


def test_every_thing_has_its_name_in_every_language() -> None:
    for name in ("THINGS", "OUTCOMES", "EFFICIENCIES", "GROUPINGS", "COVERAGES"):
        assert set(getattr(zh, name)) == set(getattr(en, name)), name


@pytest.fixture(scope="module")
def chinese() -> str:
    return render(sample(), Words("zh"))


def test_a_page_in_chinese_says_so_and_keeps_its_numbers(chinese: str) -> None:
    assert '<html lang="zh-Hans">' in chinese
    assert "最有价值的改变" in chinese
    values = re.compile(r'<data value="([^"]+)"')
    assert values.findall(chinese) == values.findall(render(sample()))


def test_a_page_in_chinese_has_no_english_sentence_left(chinese: str) -> None:
    shown = re.sub(r"<style>.*?</style>", "", chinese, flags=re.DOTALL)
    for english in sentences():
        longest = max(FIELD.sub("\n", english).split("\n"), key=len).strip()
        if len(longest) > 12:
            assert longest not in shown, english


def test_money_is_counted_in_ten_thousands_in_chinese() -> None:
    words = Words("zh")
    assert words.money(1_830_000, "EUR") == "€183\u00a0万"
    assert words.money(250_000_000, "CNY") == "CN¥2.5\u00a0亿"
    assert words.many(3, "lead") == "3 条线索"
    assert words.month("2026-03") == "2026年3月"
