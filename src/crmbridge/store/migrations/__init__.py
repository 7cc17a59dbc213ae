"""The ledger's schema, step by step (Alembic).

A new step is the next file in `versions/`, written like those there, and a new `HEAD`; a test compares what
the steps make with `store/ledger/tables.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

HEAD: Final = "0003"
"""The newest revision. Named here so that a ledger that is up to date opens without loading Alembic."""


class UnknownRevision(Exception):
    """The database is at a revision that this crmbridge does not know."""


def revision(db: sa.Connection) -> str | None:
    """The revision the database is at, or None if it is new."""
    if not sa.inspect(db).has_table("alembic_version"):
        return None
    found = db.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def upgrade(db: sa.Connection, to: str = "head") -> None:
    """Bring the database to `HEAD`, or to a revision before it, within the transaction at hand.

    Raises UnknownRevision.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = db
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    for wanted in (revision(db), to):
        if wanted not in (None, "head", *known):
            raise UnknownRevision(wanted)
    command.upgrade(config, to)
