"""JSON made in columns reads back as what it was made of."""

from __future__ import annotations

import json
import math

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from crmbridge.writeback.json_rows import json_rows

ROW = st.tuples(
    st.none() | st.floats(),
    st.none() | st.booleans(),
    st.none() | st.text(st.characters(exclude_categories=["Cs"])),
)


@given(st.lists(ROW, max_size=8))
def test_every_row_reads_back_as_it_was(
    given_rows: list[tuple[float | None, bool | None, str | None]],
) -> None:
    keys = ("score", "stuck", 'a "quoted" key')
    types = (pa.float64(), pa.bool_(), pa.string())
    columns = [
        pa.array([row[place] for row in given_rows], kind, from_pandas=False)
        for place, kind in enumerate(types)
    ]
    texts = json_rows(keys, columns).to_pylist()
    assert len(texts) == len(given_rows)
    for text, (score, *rest) in zip(texts, given_rows, strict=True):
        found = json.loads(text)
        expected = None if score is None or not math.isfinite(score) else score
        assert found == dict(zip(keys, (expected, *rest), strict=True))
        assert expected is None or isinstance(found["score"], float)


def test_signs_that_json_escapes_survive() -> None:
    words = ['say "no"', "back\\slash", "line\nbreak", "nul\0", "\u2028 \x7f 😀"]
    texts = json_rows(["next_action"], [pa.array(words)]).to_pylist()
    assert [json.loads(text)["next_action"] for text in texts] == words
