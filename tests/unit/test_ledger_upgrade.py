"""A ledger of every schema that was released, with rows in it, is brought up to date and loses nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from crmbridge.bridge import Bridge
from crmbridge.store import migrations
from crmbridge.store.ledger import Ledger, tables
from tests.conftest import Clock
from tests.postgresql import Server

MOMENT = datetime(2026, 3, 31, 8, tzinfo=UTC)
ROWS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "0001": [
        (
            """INSERT INTO runs (connection, kind, moment, started_at, finished_at, status, attempts, summary)
            VALUES ('acme', 'sync', :at, :at, :at, 'done', 1, :summary)""",
            {"at": MOMENT, "summary": '{"api_calls":17,"planned":1}'},
        ),
        (
            """INSERT INTO runs (connection, kind, moment, started_at, status, attempts, summary)
            VALUES ('acme', 'sync', :at, :at, 'running', 1, '{}')""",
            {"at": MOMENT + timedelta(hours=1)},
        ),
        (
            """INSERT INTO plans (run, connection, kind, moment, created_at, status, guards)
            VALUES (1, 'acme', 'write', :at, :at, 'done', '{}')""",
            {"at": MOMENT},
        ),
        (
            """INSERT INTO plan_rows (plan, position, object, id, before, after, reason, state)
            VALUES (1, 0, 'lead', 'l1', '{}', :after, 'new', 'sent')""",
            {"after": '{"score":7}'},
        ),
        (
            "INSERT INTO orgs (connection, org_id, label, bound_at) VALUES ('acme', 'org-1', 'Acme', :at)",
            {"at": MOMENT},
        ),
    ]
}
"""Of each released schema, what a ledger of it holds. A new release adds its own."""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/old.db"
        return
    server: Server = request.getfixturevalue("postgresql")
    url = server.database()
    yield url
    server.drop(url)


def make(url: str, revision: str) -> None:
    """A ledger as the release with this schema left it."""
    engine = sa.create_engine(url)
    with engine.begin() as db:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = db
        command.upgrade(config, revision)
        for statement, values in ROWS[revision]:
            binds = [sa.bindparam("at", type_=tables.Moment)] if "at" in values else []
            db.execute(sa.text(statement).bindparams(*binds), values)
    engine.dispose()


@pytest.mark.parametrize("revision", sorted(ROWS))
def test_every_released_schema_is_brought_up_to_date_and_keeps_its_rows(
    empty: str, revision: str, clock: Clock
) -> None:
    make(empty, revision)
    with Ledger.open(empty, clock=clock) as ledger:
        with ledger._read() as db:
            assert compare_metadata(MigrationContext.configure(db), tables.metadata) == []
        done = ledger.run(1)
        assert (done.status, done.moment, done.slot, done.api_calls) == ("done", MOMENT, None, 17)
        assert ledger.calls_since("acme", MOMENT - timedelta(hours=1)) == 17
        assert ledger.counts(1).sent == 1
        assert ledger.bind_org("acme", "org-2", "Another") == "org-1"
        taken_up = ledger.start_run("acme", "sync", MOMENT + timedelta(hours=1))
        assert (taken_up.id, taken_up.attempts) == (2, 2)


def test_no_run_of_before_the_upgrade_counts_as_missed(tmp_path: Path, clock: Clock) -> None:
    make(f"sqlite:///{tmp_path}/crmbridge.db", "0001")
    settings = tmp_path / "crmbridge.toml"
    settings.write_text('[connections.acme]\nconnector = "files"\npath = "."\nschedule = "@hourly"\n')
    with Bridge.open(settings, clock=clock) as bridge:
        bridge.look()
        assert bridge.ledger.conditions() == []
