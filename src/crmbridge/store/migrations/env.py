"""What Alembic runs: it works on the connection it is given, within its transaction."""

from __future__ import annotations

from alembic import context

from crmbridge.store.ledger import tables

context.configure(connection=context.config.attributes["connection"], target_metadata=tables.metadata)
with context.begin_transaction():
    context.run_migrations()
