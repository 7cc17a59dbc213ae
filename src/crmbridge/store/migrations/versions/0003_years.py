"""What years need: counts of plans without rows, hashes of parts, whose the lake is, copies, upkeep."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    moment = sa.DateTime(timezone=True)
    op.add_column("parts", sa.Column("digest", sa.LargeBinary(), nullable=True))
    op.add_column("plans", sa.Column("counts", sa.Text(), nullable=True))
    op.add_column("plans", sa.Column("emptied_at", moment, nullable=True))
    op.create_table(
        "identity",
        sa.Column("id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_identity"),
    )
    op.create_table(
        "copies",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("connection", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("made_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_copies"),
        sa.UniqueConstraint("place", name="uq_copies_place"),
    )
    op.create_table(
        "upkeep",
        sa.Column("connection", sa.Text(), nullable=False),
        sa.Column("done_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("connection", name="pk_upkeep"),
    )
