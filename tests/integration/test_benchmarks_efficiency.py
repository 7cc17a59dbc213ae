"""The benchmark of the efficiencies: both engines do the same work, or their times would say nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.efficiency import CHECKED, make, same, with_metric, with_polars

pytestmark = pytest.mark.slow


def test_the_metric_and_polars_have_the_same_sums(tmp_path: Path) -> None:
    make(tmp_path, 20_000)
    own, other = with_metric(tmp_path), with_polars(tmp_path)
    assert min(own[name] for name in CHECKED) > 0
    assert same(own, other)
    assert not same(own, other | {"won": other["won"] + 1})
