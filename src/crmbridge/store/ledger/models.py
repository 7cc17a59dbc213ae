"""Fitted models: candidates, the published one, and those before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from crmbridge.errors import NotFoundError
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model
from crmbridge.store.ledger import tables
from crmbridge.store.ledger.database import Database, insert_new

ModelStatus = Literal["candidate", "published", "retired"]


@dataclass(frozen=True)
class StoredModel:
    """A model of a connection: `status`, when it was fitted, and by which run."""

    model: Model
    status: ModelStatus
    created_at: datetime
    run: int
    connection: str

    @property
    def is_held_back(self) -> bool:
        """Whether the publish gate kept it from replacing the one in use, and nobody has put it into use."""
        return self.status == "candidate" and not self.model.may_publish


class Models(Database):
    """The ledger's models. At most one per connection, metric and object is published."""

    def store_model(
        self, run_id: int, connection: str, model: Model, status: Literal["candidate", "published"]
    ) -> None:
        """Keep a model. The same model again is not kept twice, and stays published if it is."""
        models = tables.models
        with self._write() as db:
            self._fence(db, connection)
            values = {
                "connection": connection,
                "name": model.name,
                "metric": model.metric,
                "object": model.object,
                "run": run_id,
                "created_at": self.clock(),
                "status": "candidate",
                "content": model.to_bytes().decode(),
            }
            db.execute(insert_new(db, models).values(**values).on_conflict_do_nothing())
            if status == "published":
                _publish(db, _row(db, connection, model.name))

    def published(self, connection: str, metric: str, object_name: ObjectName) -> StoredModel | None:
        """The model in use, if there is one."""
        found = self._models(connection, metric, object_name, tables.models.c.status == "published")
        return found[0] if found else None

    def models(
        self, connection: str, metric: str, object_name: ObjectName, limit: int | None = None
    ) -> list[StoredModel]:
        """The models of the metric and object, newest first: all, or the last few."""
        return self._models(connection, metric, object_name, limit=limit)

    def publish(self, connection: str, name: str) -> StoredModel:
        """Put the model of this name into use; the former is retired. Raises NotFoundError."""
        with self._write() as db:
            self._fence(db, connection)
            _publish(db, _row(db, connection, name))
            return _stored(_row(db, connection, name))

    def revert(self, connection: str, metric: str, object_name: ObjectName) -> StoredModel:
        """Go back to the model that was published before. Raises NotFoundError where there is none."""
        models = tables.models
        with self._write() as db:
            self._fence(db, connection)
            published = db.execute(
                sa.select(models)
                .where(*_which(connection, metric, object_name), models.c.publication.is_not(None))
                .order_by(models.c.publication.desc())
                .limit(2)
            ).all()
            if len(published) < 2:
                raise NotFoundError(
                    f"No {metric} model for {object_name} was published before the one in use.",
                    connection=connection,
                    remedy=f"`crmbridge model {connection} {object_name}` lists the models there are.",
                )
            current, former = published
            _set(db, current.id, status="retired", publication=None)
            _set(db, former.id, status="published")
            return _stored(_row(db, connection, former.name))

    def _models(
        self, connection: str, metric: str, object_name: str, *more: Any, limit: int | None = None
    ) -> list[StoredModel]:
        models = tables.models
        query = sa.select(models).where(*_which(connection, metric, object_name), *more)
        with self._read() as db:
            return [_stored(row) for row in db.execute(query.order_by(models.c.id.desc()).limit(limit))]


def _which(connection: str, metric: str, object_name: str) -> list[sa.ColumnElement[bool]]:
    models = tables.models
    return [models.c.connection == connection, models.c.metric == metric, models.c.object == object_name]


def _row(db: sa.Connection, connection: str, name: str) -> Any:
    models = tables.models
    query = sa.select(models).where(models.c.connection == connection, models.c.name == name)
    row = db.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no model {name}.", connection=connection)
    return row


def _publish(db: sa.Connection, row: Any) -> None:
    if row.status == "published":
        return
    models = tables.models
    which = _which(row.connection, row.metric, row.object)
    last = db.execute(sa.select(sa.func.max(models.c.publication)).where(*which)).scalar() or 0
    db.execute(sa.update(models).where(*which, models.c.status == "published").values(status="retired"))
    _set(db, row.id, status="published", publication=last + 1)


def _set(db: sa.Connection, row_id: int, **values: Any) -> None:
    db.execute(sa.update(tables.models).where(tables.models.c.id == row_id).values(**values))


def _stored(row: Any) -> StoredModel:
    return StoredModel(
        Model.model_validate_json(row.content), row.status, row.created_at, row.run, row.connection
    )
