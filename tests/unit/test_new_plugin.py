"""`crmbridge plugin new`, and the worked connector of the guide: what is shown comes out, and works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import crmbridge
from crmbridge.errors import SettingsError
from crmbridge.init.plugins import new_plugin
from crmbridge.plugins import Plugins
from crmbridge.testing import Subject

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))


def made(name: str, folder: Path) -> Path:
    return new_plugin(name, folder, plugins=Plugins.load(found=[]))


def run(project: Path, *arguments: str) -> str:
    """pytest in the project, in a process of its own."""
    source = Path(crmbridge.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{source}:{project / 'src'}"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_guide_shows_what_comes_out(tmp_path: Path) -> None:
    project = made("acme", tmp_path)
    files = {str(path.relative_to(project)) for path in project.rglob("*.py")}
    assert BLOCKS.keys() >= {path for path in files if path != "tests/stand_in.py"}
    for path, text in BLOCKS.items():
        assert (project / path).read_text(encoding="utf-8") == text, path


def test_a_new_plugin_has_the_name_everywhere_and_loads(tmp_path: Path) -> None:
    project = made("my_crm", tmp_path)
    assert project.name == "crmbridge-my-crm"
    for path in project.rglob("*"):
        assert "acme" not in path.name
        if path.is_file():
            assert "acme" not in path.read_text(encoding="utf-8").lower(), path
    assert "passed" in run(project, "-k", "TestDistribution or unknown_settings or whatever_the_page_size")


@pytest.mark.slow
def test_the_guides_connector_passes_the_whole_suite_as_written(tmp_path: Path) -> None:
    said = run(made("acme", tmp_path), "-rs")
    assert "skipped" not in said
    assert "failed" not in said


@pytest.mark.parametrize("name", ["My_CRM", "my-crm", "2crm", "class", "", "../crm", "files"])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        made(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "crmbridge-acme").mkdir()
    with pytest.raises(SettingsError, match="already there"):
        made("acme", tmp_path)
    assert list((tmp_path / "crmbridge-acme").iterdir()) == []


def test_every_fault_of_a_subject_is_in_the_guide() -> None:
    faults = re.findall(r"- `(\w+)`", (ROOT / "src/crmbridge/testing/subject.py").read_text(encoding="utf-8"))
    assert len(faults) > 10
    table = GUIDE.partition("## The conformance suite")[2]
    assert [fault for fault in faults if f"`{fault}`" not in table] == []
    assert Subject.faults == frozenset()
