from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from crmbridge.errors import SettingsError, StoreError
from crmbridge.store import migrations
from crmbridge.store.ledger import Ledger, PlanRow, tables
from tests.conftest import Clock

MOMENT = datetime(2026, 3, 31, 8, tzinfo=UTC)


def test_the_migrations_make_exactly_the_tables_the_code_uses(ledger: Ledger) -> None:
    with ledger._read() as db:
        assert compare_metadata(MigrationContext.configure(db), tables.metadata) == []


def test_the_newest_migration_is_the_head_the_code_names() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def test_opening_again_finds_what_was_kept(ledger: Ledger, ledger_url: str, clock: Clock) -> None:
    run = ledger.start_run("acme", "pull", MOMENT)
    with Ledger.open(ledger_url, clock=clock) as again:
        assert again.run(run.id) == run


def test_a_ledger_that_is_up_to_date_opens_without_loading_alembic(ledger: Ledger, ledger_url: str) -> None:
    code = (
        "import sys; from datetime import UTC, datetime; from crmbridge.store.ledger import Ledger;"
        "Ledger.open(sys.argv[1], clock=lambda: datetime.now(UTC)).close();"
        "assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, ledger_url], check=True)


def test_a_ledger_of_a_newer_crmbridge_is_refused_with_the_reason(
    ledger: Ledger, ledger_url: str, clock: Clock
) -> None:
    with ledger._write() as db:
        db.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"newer crmbridge \(revision 9999\).*Upgrade crmbridge"):
        Ledger.open(ledger_url, clock=clock)


def test_sqlite_is_set_up_to_survive_a_power_cut_and_to_wait_for_others(tmp_path: Path, clock: Clock) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/l.db", clock=clock) as ledger, ledger._read() as db:
        wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}
        assert {name: db.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted} == wanted


OPEN = """
import sys
from datetime import UTC, datetime
from crmbridge.store.ledger import Ledger
sys.stdin.readline()
Ledger.open(sys.argv[1], clock=lambda: datetime.now(UTC)).close()
"""


def test_processes_may_open_a_new_ledger_at_once(tmp_path: Path, clock: Clock) -> None:
    url = f"sqlite:///{tmp_path}/crmbridge.db"
    open_at_once(url, 4)
    Ledger.open(url, clock=clock).close()


def open_at_once(url: str, number: int) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, url], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(number)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        assert process.communicate()[1] == ""
        assert process.returncode == 0


def test_a_missing_folder_is_named(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(StoreError, match=r"does not exist: .*/nowhere\. Make it"):
        Ledger.open(f"sqlite:///{tmp_path}/nowhere/crmbridge.db", clock=clock)


def test_a_file_that_is_no_ledger_is_named(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    with pytest.raises(
        StoreError, match=r"notes\.txt can't be used: file is not a database.*Name another file"
    ):
        Ledger.open(f"sqlite:///{tmp_path}/notes.txt", clock=clock)


def test_a_damaged_ledger_is_reported_with_the_way_out(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "crmbridge.db"
    with Ledger.open(f"sqlite:///{path}", clock=clock) as ledger:
        for _ in range(200):
            ledger.start_run("acme", "pull", MOMENT, resume=False)
    content = bytearray(path.read_bytes())
    content[8192:] = os.urandom(len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"crmbridge\.db can't be used: .*Restore the file from a backup"):
        Ledger.open(f"sqlite:///{path}", clock=clock).runs()


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "taken.db"
    folder.mkdir()
    with pytest.raises(StoreError, match=r"taken\.db can't be used: unable to open.*right to write"):
        Ledger.open(f"sqlite:///{folder}", clock=clock)


def test_a_full_disk_keeps_the_ledger_whole(tmp_path: Path, clock: Clock) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/crmbridge.db", clock=clock) as ledger:
        run = ledger.start_run("acme", "plan", MOMENT)
        with ledger._read() as db:
            pages = db.exec_driver_sql("PRAGMA page_count").scalar_one()
        sa.event.listen(
            ledger._engine, "begin", lambda db: db.exec_driver_sql(f"PRAGMA max_page_count = {pages + 5}")
        )
        rows = [PlanRow("lead", str(i), {}, {"reasons_up": "x" * 1000}, "new") for i in range(1000)]
        with pytest.raises(StoreError, match=r"database or disk is full.*Free space"):
            ledger.store_plan(run.id, "acme", "write", MOMENT, rows, status="stopped", guards={})
        assert ledger.plans("acme") == []
        assert ledger.run(run.id) == run


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("crmbridge.db", "not a database URL"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("mysql://root@localhost/crm", "can't live in mysql"),
    ],
)
def test_a_wrong_address_is_a_mistake_in_the_settings(url: str, says: str, clock: Clock) -> None:
    with pytest.raises(SettingsError, match=f"{says}.*sqlite:///crmbridge.db"):
        Ledger.open(url, clock=clock)


def test_the_password_never_shows(clock: Clock) -> None:
    with pytest.raises(StoreError) as caught:
        Ledger.open("postgresql+psycopg://crm:hunter2@127.0.0.1:1/crm", clock=clock)
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert "Check that the database server runs" in str(caught.value)


def test_a_missing_driver_is_named_with_the_way_to_install_it(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingsError, match=r"needs the Python package psycopg.*crmbridge\[postgresql\]"):
        Ledger.open("postgresql+psycopg://crm@127.0.0.1/crm", clock=clock)
