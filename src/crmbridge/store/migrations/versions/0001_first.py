"""The first ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token", number, nullable=False),
        sa.Column("host", sa.Text(), nullable=True),
        sa.Column("machine", sa.Text(), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("process_start", sa.Text(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "orgs",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("bound_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("connection", name="pk_orgs"),
    )
    op.create_table(
        "runs",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("moment", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_index("ix_runs_connection_status", "runs", ["connection", "status"], unique=False)
    op.create_table(
        "secrets",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("connection", "name", name="pk_secrets"),
    )
    op.create_table(
        "cursors",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.Column("run", number, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fk_cursors_run"),
        sa.PrimaryKeyConstraint("connection", "object", name="pk_cursors"),
    )
    op.create_table(
        "models",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("run", number, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("publication", sa.Integer(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fk_models_run"),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("connection", "name", name="uq_models_connection_name"),
    )
    op.create_index(
        "ix_models_connection_metric_object", "models", ["connection", "metric", "object"], unique=False
    )
    op.create_table(
        "parts",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("rows", number, nullable=False),
        sa.Column("updates", number, nullable=False),
        sa.Column("tombstones", number, nullable=False),
        sa.Column("live", number, nullable=False),
        sa.Column("first_seq", number, nullable=False),
        sa.Column("last_seq", number, nullable=False),
        sa.Column("oldest", sa.DateTime(timezone=True), nullable=False),
        sa.Column("newest", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bytes", number, nullable=False),
        sa.Column("run", number, nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fk_parts_run"),
        sa.PrimaryKeyConstraint("id", name="pk_parts"),
        sa.UniqueConstraint("connection", "object", "number", name="uq_parts_connection_object_number"),
        sa.UniqueConstraint("path", name="uq_parts_path"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "plans",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("run", number, nullable=False),
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("moment", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("guards", sa.Text(), nullable=False),
        sa.Column("undoes", number, nullable=True),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fk_plans_run"),
        sa.ForeignKeyConstraint(["undoes"], ["runs.id"], name="fk_plans_undoes"),
        sa.PrimaryKeyConstraint("id", name="pk_plans"),
    )
    op.create_index("ix_plans_connection_status", "plans", ["connection", "status"], unique=False)
    op.create_index("ix_plans_run", "plans", ["run"], unique=False)
    op.create_table(
        "set_aside",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("run", number, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("record_id", sa.Text(), nullable=True),
        sa.Column("raw", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fk_set_aside_run"),
        sa.PrimaryKeyConstraint("id", name="pk_set_aside"),
        sa.UniqueConstraint("run", "digest", name="uq_set_aside_run_digest"),
    )
    op.create_table(
        "plan_rows",
        sa.Column("plan", number, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("in_flight", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["plan"], ["plans.id"], name="fk_plan_rows_plan"),
        sa.PrimaryKeyConstraint("plan", "position", name="pk_plan_rows"),
    )
    op.create_index(
        "ix_plan_rows_plan_state_position", "plan_rows", ["plan", "state", "position"], unique=False
    )
    op.create_index(
        "ix_plan_rows_retried",
        "plan_rows",
        ["plan", "attempts"],
        unique=False,
        sqlite_where=sa.text("attempts > 1"),
        postgresql_where=sa.text("attempts > 1"),
    )
