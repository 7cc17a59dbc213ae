"""`crmbridge serve` as a process: it runs on schedule, answers, takes new settings, stops cleanly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from crmbridge.bridge import Bridge
from crmbridge.store.ledger import Run
from tests.organisation import write_organisation

START = "import sys; from crmbridge.cli import main; main(sys.argv[1:])"
WAIT = 120.0


class Serving:
    """A `crmbridge serve` of its own process; `until` waits for a line of its log."""

    def __init__(self, settings: Path, start: str = START, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", start, "--config", str(settings), "--log-format", "json", "serve"],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "CRMBRIDGE_SERVE__PORT": "0", **environment},
        )
        self.lines: list[dict[str, Any]] = []
        self._queue: Queue[str | None] = Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.port = self.until(lambda line: line["event"] == "health and metrics")["port"]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._queue.put(line)
        self._queue.put(None)

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            try:
                text = self._queue.get(timeout=WAIT)
            except Empty:
                raise AssertionError(f"not said in {WAIT} s; so far: {self.lines}") from None
            assert text is not None, f"it ended: {self.lines}"
            line = json.loads(text)
            self.lines.append(line)
            if wanted(line):
                return line

    def event(self, event: str, **values: object) -> dict[str, Any]:
        wanted = {"event": event, **values}
        return self.until(lambda line: wanted.items() <= line.items())

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return str(answer.read().decode())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> int:
        code = self.process.wait(WAIT)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


def runs(settings: Path) -> list[Run]:
    with Bridge.open(settings) as bridge:
        return bridge.ledger.runs(None, 1000)[::-1]


def test_serve_runs_on_schedule_answers_takes_new_settings_and_stops_cleanly(tmp_path: Path) -> None:
    settings = write_organisation(tmp_path, leads=12, extra='schedule = "every second"')
    text = settings.read_text(encoding="utf-8")
    serving = Serving(settings)
    try:
        for _ in range(2):
            serving.event("run finished", status="awaiting_approval")
        assert json.loads(serving.get("/health")) == {
            "live": True,
            "ready": True,
            "checks": {"scheduler": True, "ledger": True},
        }
        metrics = serving.get("/metrics")
        assert 'crmbridge_records_total{connection="acme",object="lead",what="pulled"} 12.0' in metrics
        assert 'crmbridge_score_age_seconds{connection="acme"}' in metrics
        settings.write_text(text.replace("every second", "every now and then"), encoding="utf-8")
        serving.process.send_signal(signal.SIGHUP)
        assert "not a schedule" in serving.event("settings not taken")["error"]
        serving.event("run finished", status="awaiting_approval")
        settings.write_text(text.replace("acme", "globex"), encoding="utf-8")
        serving.process.send_signal(signal.SIGHUP)
        serving.event("settings taken")
        serving.event("run started", connection="globex")
        assert serving.stop() == 0
    finally:
        serving.process.kill()
    found = runs(settings)
    assert {run.status for run in found} <= {"awaiting_approval", "running"}
    slots = [(run.connection, run.slot) for run in found]
    assert len(set(slots)) == len(slots), "no slot ran twice"
    assert all(run.slot is not None and run.started_at >= run.slot for run in found)


def test_a_second_process_on_the_port_is_told_so(tmp_path: Path) -> None:
    settings = write_organisation(tmp_path, leads=1)
    command = [sys.executable, "-c", START, "--config", str(settings), "serve"]
    with_port = {**os.environ, "CRMBRIDGE_SERVE__HOST": "0.0.0.0"}
    done = subprocess.run(command, env=with_port, capture_output=True, text=True, timeout=WAIT, check=False)
    assert done.returncode == 2
    assert "CRMBRIDGE_SERVE_TOKEN" in done.stderr
