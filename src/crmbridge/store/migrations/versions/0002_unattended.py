"""What unattended operation keeps: the slot and API calls of a run, what is watched, conditions, alerts."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    moment = sa.DateTime(timezone=True)
    op.add_column("runs", sa.Column("slot", moment, nullable=True))
    op.add_column("runs", sa.Column("api_calls", number, nullable=False, server_default="0"))
    op.create_index("ix_runs_connection_started_at", "runs", ["connection", "started_at"], unique=False)
    op.create_index("ix_runs_connection_slot", "runs", ["connection", "slot"], unique=False)
    _count_calls_of_former_runs()
    op.create_table(
        "watches",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=True),
        sa.Column("served", moment, nullable=False),
        sa.Column("reviewed", number, nullable=False),
        sa.PrimaryKeyConstraint("connection", name="pk_watches"),
    )
    op.create_table(
        "conditions",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("since", moment, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "kind", name="pk_conditions"),
    )
    op.create_table(
        "alerts",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("since", moment, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("undelivered", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_index("ix_alerts_next_attempt_at", "alerts", ["next_attempt_at"], unique=False)


def _count_calls_of_former_runs() -> None:
    """Former runs have their calls in the summary alone."""
    runs = sa.table("runs", sa.column("id"), sa.column("summary"), sa.column("api_calls"))
    db = op.get_bind()
    for row in db.execute(sa.select(runs.c.id, runs.c.summary)).all():
        calls = json.loads(row.summary).get("api_calls")
        if isinstance(calls, int) and calls:
            db.execute(sa.update(runs).where(runs.c.id == row.id).values(api_calls=calls))
