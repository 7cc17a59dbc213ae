"""Next actions: advice first, then its evidence, so that a day counter alone never writes a record again."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from crmbridge.metrics.need.texts import en
from crmbridge.writeback.rule import compare

TODAY_AND_TOMORROW = {
    "planned": (en.planned("call", date(2026, 11, 27), 3), en.planned("call", date(2026, 11, 27), 2)),
    "first contact": (en.first_contact(1), en.first_contact(2)),
    "call again": (en.call_again(22), en.call_again(23)),
    "try again": (en.try_again(0), en.try_again(1)),
    "in touch": (en.in_touch(1), en.in_touch(2)),
}


def written(before: str, after: str) -> bool:
    tables = [pa.table({"id": ["1"], "next_action": [text]}) for text in (after, before)]
    return bool(compare(tables[0], tables[1], 1.0).write[0])


@pytest.mark.parametrize(("today", "tomorrow"), TODAY_AND_TOMORROW.values(), ids=TODAY_AND_TOMORROW)
def test_the_same_advice_a_day_later_is_not_written_again(today, tomorrow):
    assert today != tomorrow
    assert not written(today, tomorrow)


def test_other_advice_is_written():
    advice = [today for today, _ in TODAY_AND_TOMORROW.values()]
    assert all(written(one, other) for one in advice for other in advice if one != other)
