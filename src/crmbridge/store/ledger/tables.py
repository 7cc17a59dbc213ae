"""The ledger's tables. A change needs a migration in `store/migrations/versions`; a test holds both equal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from pydantic_core import PydanticSerializationError, from_json, to_json


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware moment, in UTC on the way in and out, on both databases."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment in the ledger needs a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Json(sa.types.TypeDecorator[Any]):
    """A JSON value as text, its keys in the order given."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else json_text(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        return None if value is None else from_json(value)


class Words(sa.types.TypeDecorator[str]):
    """Text from anywhere: what a database can't hold (NUL, half of a surrogate pair) becomes `\\ufffd`."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else storable(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return value


def json_text(value: Any) -> str:
    """Compact JSON. What is not valid Unicode takes the plain library's way, four times slower."""
    try:
        return to_json(value).decode()
    except PydanticSerializationError:
        return storable(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def storable(text: str) -> str:
    """The text without what a database refuses."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = "".join("\ufffd" if "\ud800" <= sign <= "\udfff" else sign for sign in text)
    return text


metadata: Final = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Number: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite counts only INTEGER keys up


def _id() -> sa.Column[int]:
    return sa.Column("id", _Number, primary_key=True, autoincrement=True)


orgs: Final = sa.Table(
    "orgs",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("org_id", sa.Text, nullable=False),
    sa.Column("label", Words, nullable=False),
    sa.Column("bound_at", Moment, nullable=False),
)

leases: Final = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("token", _Number, nullable=False),
    sa.Column("host", sa.Text),
    sa.Column("machine", sa.Text),
    sa.Column("pid", sa.Integer),
    sa.Column("process_start", sa.Text),
    sa.Column("since", Moment),
    sa.Column("renewed_at", Moment),
)

runs: Final = sa.Table(
    "runs",
    metadata,
    _id(),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("moment", Moment, nullable=False),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("summary", Json, nullable=False),
    sa.Column("error", Words),
    # The scheduled moment the run is for; null where a person started it and none was due.
    sa.Column("slot", Moment),
    # Of all attempts; a run that was killed has counted up to its last checkpoint.
    sa.Column("api_calls", _Number, nullable=False, server_default="0"),
    sa.Index(None, "connection", "status"),
    sa.Index(None, "connection", "started_at"),
    sa.Index(None, "connection", "slot"),
)

cursors: Final = sa.Table(
    "cursors",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("object", sa.Text, primary_key=True),
    sa.Column("cursor", Json, nullable=False),
    sa.Column("run", sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
)

parts: Final = sa.Table(
    "parts",
    metadata,
    _id(),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("object", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("path", sa.Text, nullable=False, unique=True),
    sa.Column("rows", _Number, nullable=False),
    sa.Column("updates", _Number, nullable=False),
    sa.Column("tombstones", _Number, nullable=False),
    sa.Column("live", _Number, nullable=False),
    sa.Column("first_seq", _Number, nullable=False),
    sa.Column("last_seq", _Number, nullable=False),
    sa.Column("oldest", Moment, nullable=False),
    sa.Column("newest", Moment, nullable=False),
    sa.Column("bytes", _Number, nullable=False),
    # blake2b (16 bytes) of the file; null for parts written before it was kept.
    sa.Column("digest", sa.LargeBinary),
    sa.Column("run", sa.ForeignKey("runs.id"), nullable=False),
    sa.UniqueConstraint("connection", "object", "number"),
    sqlite_autoincrement=True,  # an id is never used twice: by it a changed set of parts is known
)

set_aside: Final = sa.Table(
    "set_aside",
    metadata,
    _id(),
    sa.Column("run", sa.ForeignKey("runs.id"), nullable=False),
    # Places and reasons can be longer than what PostgreSQL puts into an index: the digest is unique.
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("object", sa.Text, nullable=False),
    sa.Column("place", Words, nullable=False),
    sa.Column("reason", Words, nullable=False),
    sa.Column("record_id", Words),
    sa.Column("raw", Words),
    sa.UniqueConstraint("run", "digest"),
)

plans: Final = sa.Table(
    "plans",
    metadata,
    _id(),
    sa.Column("run", sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("moment", Moment, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("approved_by", sa.Text),
    sa.Column("approved_at", Moment),
    sa.Column("guards", Json, nullable=False),
    sa.Column("undoes", sa.ForeignKey("runs.id")),
    # Of a plan whose rows were removed: how many were in each state, and when they went.
    sa.Column("counts", Json),
    sa.Column("emptied_at", Moment),
    sa.Index(None, "connection", "status"),
    sa.Index(None, "run"),
)

plan_rows: Final = sa.Table(
    "plan_rows",
    metadata,
    sa.Column("plan", sa.ForeignKey("plans.id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("object", sa.Text, nullable=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("before", Json, nullable=False),
    sa.Column("after", Json, nullable=False),
    sa.Column("reason", Words, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="pending"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("in_flight", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("code", Words),
    sa.Column("message", Words),
    sa.Index(None, "plan", "state", "position"),
)

# Few rows are ever retried: this index holds only those.
sa.Index(
    "ix_plan_rows_retried",
    plan_rows.c.plan,
    plan_rows.c.attempts,
    sqlite_where=plan_rows.c.attempts > 1,
    postgresql_where=plan_rows.c.attempts > 1,
)

models: Final = sa.Table(
    "models",
    metadata,
    _id(),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("metric", sa.Text, nullable=False),
    sa.Column("object", sa.Text, nullable=False),
    sa.Column("run", sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    # Which publication of its metric and object this was, counted from 1; null once it was reverted.
    sa.Column("publication", sa.Integer),
    sa.Column("content", sa.Text, nullable=False),
    sa.UniqueConstraint("connection", "name"),
    sa.Index(None, "connection", "metric", "object"),
)

secrets: Final = sa.Table(
    "secrets",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("ciphertext", sa.LargeBinary, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
)

watches: Final = sa.Table(
    "watches",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("schedule", sa.Text),
    # Slots up to this moment were taken up, or came before the schedule was known.
    sa.Column("served", Moment, nullable=False),
    # Runs up to this id have been looked at for conditions.
    sa.Column("reviewed", _Number, nullable=False),
)

conditions: Final = sa.Table(
    "conditions",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("since", Moment, nullable=False),
    sa.Column("what", Words, nullable=False),
    sa.Column("remedy", Words, nullable=False),
)

alerts: Final = sa.Table(
    "alerts",
    metadata,
    _id(),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("since", Moment, nullable=False),
    sa.Column("what", Words, nullable=False),
    sa.Column("remedy", Words, nullable=False),
    # The channels that have not taken it yet; null as next_attempt_at where there are none.
    sa.Column("undelivered", Json, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_attempt_at", Moment),
    sa.Index(None, "next_attempt_at"),
)

# One row: by it a lake's folder knows whose it is.
identity: Final = sa.Table("identity", metadata, sa.Column("id", sa.Text, primary_key=True))

# What was written out of the store, and may hold a person whom `forget` erases from it.
copies: Final = sa.Table(
    "copies",
    metadata,
    _id(),
    sa.Column("connection", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("place", Words, nullable=False),
    sa.Column("made_at", Moment, nullable=False),
    sa.UniqueConstraint("place"),
)

upkeep: Final = sa.Table(
    "upkeep",
    metadata,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("done_at", Moment, nullable=False),
)
