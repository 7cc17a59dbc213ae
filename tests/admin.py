"""An admin at the command line, for tests: runs commands on one settings file and keeps what came out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crmbridge.cli import main


class Admin:
    """`said` is the last command's standard output, `complained` its standard error, `code` its exit code."""

    def __init__(self, settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.settings, self.capsys = settings, capsys
        self.code, self.said, self.complained = 0, "", ""

    def run(self, *arguments: str) -> Admin:
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["--config", str(self.settings), *arguments])
        self.code = int(ended.value.code or 0)
        self.said, self.complained = self.capsys.readouterr()
        return self

    def json(self, *arguments: str) -> Any:
        """The command's JSON: one document, and nothing else on standard output."""
        self.run(*arguments, "--json")
        assert self.said, self.complained
        return json.loads(self.said)
