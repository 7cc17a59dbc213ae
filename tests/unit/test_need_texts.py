"""What people read, in every language: nothing is missing or too long, numbers and plurals are right."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import get_args

import numpy as np
import pytest

from crmbridge.metrics.need.explain import Phrases, reasons
from crmbridge.metrics.need.snapshots import Refusal
from crmbridge.metrics.need.texts import LANGUAGES, en
from crmbridge.model.fields import CATALOGUE
from crmbridge.model.records import ObjectName

SCORED: tuple[ObjectName, ...] = ("lead", "deal", "account")
NEED = Path(inspect.getfile(reasons)).parent
FIGURES = {
    "closed": 0.9,
    "open": 0.1,
    "late": 0.8,
    "filled": 1234.0,
    "auc": 0.97,
    "before": 0.55,
    "later": 0.7,
    "ahead": 0.2,
    "positive": 1.0,
    "psi": 0.4,
}
languages = pytest.mark.parametrize("text", LANGUAGES.values(), ids=LANGUAGES)


def leak_codes() -> set[str]:
    """The codes the leak hunter gives, as its source has them."""
    source = "".join(path.read_text(encoding="utf-8") for path in NEED.glob("*.py"))
    found = set(re.findall(r'Suspect\(\s*"(\w+)"', source))
    assert {"too_good", "one_outcome"} <= found
    return found


@languages
def test_every_input_has_its_name(text: ModuleType) -> None:
    assert set(text._LABELS) >= set(en._LABELS)
    assert set(text._NEVER) == set(en._NEVER)


@languages
def test_every_reason_there_is_for_a_block_or_a_refusal_has_its_words(text: ModuleType) -> None:
    for object_name in SCORED:
        said = [text.leak(code, FIGURES, object_name) for code in sorted(leak_codes())]
        assert len(set(said)) == len(said)
        assert all(en.SUCH[object_name] not in each for each in said) or text is en
    assert set(text.REFUSED) == set(get_args(Refusal))


def sentences(text: ModuleType, n: int, subject: str) -> dict[str, str]:
    """Everything that can be said with the number n."""
    found = {}
    for object_name in SCORED:
        found |= {
            f"{name} {object_name}": said
            for name, said in {
                "seldom": text.seldom(subject, object_name, n),
                "with_rate": text.with_rate(subject, object_name, 0.31, n, 0.12),
                "beside_others": text.beside_others(subject, object_name, n),
                "verdict_few": text.verdict_few(object_name, n, n, 10),
                "outcome": text.outcome(object_name, n),
            }.items()
        }
    return found | {
        "verdict_provisional": text.verdict_provisional(n, 200),
        "label": text.label("contacts", n),
        "span": text.span(n),
        "if_number": text.if_number("contacts", 90, n, n + 1.0),
    }


@languages
@pytest.mark.parametrize("n", [2, 12, 1234])
def test_numbers_stand_in_every_sentence_with_their_thousands(text: ModuleType, n: int) -> None:
    for name, said in sentences(text, n, "X").items():
        assert f"{n:,}" in said, name


def test_one_is_singular_in_english() -> None:
    for name, said in sentences(en, 1, "X").items():
        assert not re.search(r"\b1 (such )?(days|leads|deals|accounts|outcomes)\b", said), (name, said)
    assert en.seldom("X", "lead", 1) == "X: only 1 such lead in the history"
    assert en.label("contacts", 1) == "Contacts in the last day"
    assert en.outcome("deal", 1) == "the deal is won within 1 day"
    assert en.verdict_few("account", 1, 1, 10).startswith(
        "Too few outcomes: 1 account that orders again and 1 that doesn't; from 10"
    )


def test_chinese_counts_each_thing_with_its_word() -> None:
    zh = LANGUAGES["zh"]
    assert zh.with_rate("线索来源为“Referral”", "lead", 0.31, 412, 0.12) == (
        "线索来源为“Referral”：412 条这样的线索中 31% 转化，全部为 12%"
    )
    assert (
        zh.with_rate("X", "account", 0.055, 1200, 0.5) == "X：1,200 家这样的客户中 5.5% 再次下单，全部为 50%"
    )
    assert zh.between("employees", 90, 10, 1000) == "员工人数大于 10 且不超过 1,000"


def test_nothing_but_names_is_left_in_english_where_another_language_speaks() -> None:
    allowed = {"AUC", "PSI", "Normal", "created_at", "X"}
    for name, text in LANGUAGES.items():
        if text is en:
            continue
        said = list(sentences(text, 12, "X").values())
        said += [text.label(known, 90) for known in en._LABELS]
        said += [text.missing(known, 90) for known in en._NEVER]
        said += [text.if_filled("phone", 90), text.if_level("stage", 90, "X", "X")]
        said += [text.if_number("days_since_contact", 90, None, 0.0)]
        said += [*text.DROPPED.values(), *text.REFUSED.values(), text.prior(0.1, 2.0, 1.0)]
        said += [text.leak(code, FIGURES, each) for code in leak_codes() for each in SCORED]
        said += [text.verdict_useful(text.auc(0.7, 0.6, 0.8), text.verdict_lift(2.0)), text.abstains("lead")]
        said += [text.verdict_noise(text.TEST_LAST, "x"), text.verdict_none("deal"), text.verdict_folds("x")]
        for each in said:
            left = set(re.findall(r"[A-Za-z_]{2,}", each)) - allowed
            assert not left, f"{name}: {each}"


@languages
def test_texts_fit_their_fields_however_long_the_names_are(text: ModuleType) -> None:
    long = "字" * 200
    longest = max((said for said in sentences(text, 10**9, long).values()), key=len)
    assert text.abstains("account") == text.abstains("account")[: CATALOGUE["reasons_up"].length]
    said = reasons_of([longest] * 3, text.JOINT)
    assert said is not None
    assert len(said) <= CATALOGUE["reasons_up"].length
    assert said == text.JOINT.join([longest] * (2 if len(longest) * 3 > 1022 else 3))


def reasons_of(parts: list[str], joint: str) -> str | None:

    groups = [np.zeros(1, np.int16)] * len(parts)
    given = [np.array([1.0 - 0.1 * place]) for place in range(len(parts))]
    said = [Phrases((part,), (part,)) for part in parts]
    up, _ = reasons(given, groups, said, 1, joint)
    found: str | None = up.to_pylist()[0]
    return found


def test_reasons_that_do_not_fit_go_from_the_end_and_a_single_one_is_cut() -> None:
    assert reasons_of(["a" * 500, "b" * 500, "c" * 500], "; ") == f"{'a' * 500}; {'b' * 500}"
    assert reasons_of(["a" * 2000], "; ") == "a" * 1023 + "…"
