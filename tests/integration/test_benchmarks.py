"""The benchmark runs: every step does its work, and the table says whether the aims hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import need
from benchmarks.run import Measured, measure, table
from benchmarks.steps import STEPS, make

LEADS = 400


@pytest.mark.slow
def test_every_step_works_on_a_small_organisation(tmp_path: Path) -> None:
    make(tmp_path, LEADS, 2_000)
    found = {}
    for step in STEPS:
        if step.prepare is not None:
            step.prepare(tmp_path)
        found[step.name] = measure(step, tmp_path)
    records = {name: each.records for name, each in found.items()}
    assert records["pull"] > LEADS + 2_000  # and contacts, accounts, deals ...
    assert records["pull through models"] == records["fit and score x 30"] == LEADS
    assert records["plan, all changed"] == LEADS
    assert 0 < records["plan"] == records["apply and verify"] < records["fit and score"]
    assert all(each.peak_mib > 0 and each.seconds > 0 for each in found.values())


@pytest.mark.slow
def test_scoring_and_fitting_find_what_numpy_and_scikit_learn_find_and_the_ratios_are_told() -> None:
    for found in (need.score(30_000), need.train(30_000)):
        assert found.ratio > 0.0
        assert found.peak_mib < 100
    fast = need.Measured("fit", "lbfgs", 1000, 1.0, 1.0, 1.0)
    slow = need.Measured("fit", "lbfgs", 1000, 1.6, 1.0, 1.0)
    assert need.table([fast], [fast]).splitlines()[1].endswith("yes")
    assert need.table([slow], [fast]).splitlines()[1].endswith("no: ratio, linear")


def test_the_table_names_the_aims_that_do_not_hold() -> None:
    fine = Measured(records=100_000, seconds=1.0, cpu=1.0, peak_mib=100.0)
    full = {step.name: fine for step in STEPS}
    full["pull"] = Measured(records=100_000, seconds=3.0, cpu=2.6, peak_mib=2048.0)
    tenth = {step.name: fine for step in STEPS}
    lines = {line.split("  ")[0]: line for line in table(full, tenth).splitlines()}
    assert lines["pull"].endswith("no: CPU, memory, linear")
    assert all(line.endswith("yes") for name, line in lines.items() if name in full and name != "pull")
