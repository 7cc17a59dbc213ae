"""`crmbridge` on a real terminal: the question before writing, breaking off, progress, colours."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import sys
from pathlib import Path

import pytest

from crmbridge import Bridge
from tests.organisation import MOMENT, write_organisation

START = "import sys; from crmbridge.cli import main; main(sys.argv[1:])"
PATIENCE = 120.0
QUESTION = "Write these 120 records?"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return write_organisation(tmp_path)


def at_a_terminal(
    settings: Path, *arguments: str, when: str = "", then: bytes = b"", **environment: str
) -> tuple[int, str]:
    """Run a command on a terminal of 80 columns; type `then` once it has printed `when`."""
    pid, terminal = pty.fork()
    if pid == 0:
        # A shell ignores Ctrl-C for what it runs in the background, such as these tests; a person's does not.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        surroundings = {**os.environ, "TERM": "xterm", "COLUMNS": "80", **environment}
        command = [sys.executable, "-c", START, "--config", str(settings), *arguments]
        os.execve(sys.executable, command, surroundings)
    seen = b""
    try:
        while True:
            ready, _, _ = select.select([terminal], [], [], PATIENCE)
            assert ready, seen
            try:
                some = os.read(terminal, 1 << 16)
            except OSError:
                break  # the other end is closed
            if not some:
                break
            seen += some
            if when and when.encode() in seen:
                when = ""
                os.write(terminal, then)
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), seen.decode()


def sync(settings: Path, then: bytes) -> tuple[int, str]:
    return at_a_terminal(settings, "sync", "acme", "--at", MOMENT.isoformat(), when=QUESTION, then=then)


def state(settings: Path) -> tuple[str, str, int]:
    """How the newest run and its plan stand, and how many rows were sent."""
    with Bridge.open(settings) as bridge:
        run = bridge.runs()[0]
        plan = bridge.plan_of(run)
        assert plan is not None
        return run.status, plan.status, bridge.ledger.counts(plan.id).sent


def test_yes_writes(settings):
    code, said = sync(settings, b"y\n")
    assert code == 0
    assert "first score" in said
    assert state(settings) == ("done", "done", 120)


@pytest.mark.parametrize("answer", [b"\n", b"\x03", b"\x04"], ids=["nothing", "Ctrl-C", "Ctrl-D"])
def test_anything_else_leaves_the_plan_for_later(settings, answer):
    code, said = sync(settings, answer)
    assert code == 0
    assert "Traceback" not in said
    assert "crmbridge apply 1" in said
    assert state(settings) == ("awaiting_approval", "awaiting_approval", 0)


def test_progress_leaves_nothing_behind(settings):
    _, said = at_a_terminal(settings, "pull", "acme")
    assert "pull rep: 3" in said
    assert said.rpartition("\x1b[K")[2].startswith("Run 1 of acme")


def test_no_color_means_none(settings):
    _, said = at_a_terminal(settings, "check", "acme", NO_COLOR="1")
    assert "\x1b[3" not in said


def test_tables_fit_a_narrow_terminal(settings):
    sync(settings, b"y\n")
    _, said = at_a_terminal(settings, "runs", NO_COLOR="1")
    lines = re.sub(r"\x1b\[[0-9;]*[mK]", "", said).replace("\r", "").split("\n")
    assert lines[0].split()[0] == "run"
    assert "done" in lines[1]
    assert max(map(len, lines)) <= 80


def test_uninstall_asks_and_no_keeps_everything(settings):
    sync(settings, b"y\n")
    scores = settings.parent / "exports" / "scores" / "lead.csv"
    code, said = at_a_terminal(settings, "uninstall", "acme", when="Remove these?", then=b"n\n")
    assert (code, "Nothing was removed." in said, scores.exists()) == (1, True, True)
    code, _ = at_a_terminal(settings, "uninstall", "acme", when="Remove these?", then=b"y\n")
    assert (code, scores.exists()) == (0, False)
