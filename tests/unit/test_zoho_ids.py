"""The ids of a module that were read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crmbridge.connectors.zoho.ids import IdSet

IDS = st.one_of(st.integers(0, 10**20).map(str), st.text(max_size=3), st.sampled_from(["007", "7", "٣"]))


@given(st.lists(st.lists(IDS)), st.lists(IDS))
def test_it_holds_what_was_added_and_nothing_else(added, asked):
    known, expected = IdSet(), set()
    for part in added:
        known.update(part)
        expected.update(part)
        for identifier in [*asked, *part]:
            assert (identifier in known) is (identifier in expected)
