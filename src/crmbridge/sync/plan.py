"""Plan: the latest results against what the CRM holds now, stored in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.errors import SettingsError
from crmbridge.model.fields import CATALOGUE, fields_on, result_schema
from crmbridge.model.records import ObjectName
from crmbridge.store.lake.reading import END_OF_TIME
from crmbridge.store.ledger import Plan, PlanStatus
from crmbridge.sync.session import Session, result_object
from crmbridge.writeback.base import Writer
from crmbridge.writeback.plan import Changes, plan_object, rows, tripped


def make_plan(
    session: Session,
    run: int,
    *,
    moment: datetime,
    scored_at: datetime,
    guards: Mapping[str, str],
    dry_run: bool = False,
) -> Plan:
    """Compare the results as of the moment with what the CRM holds now, and store what would be written.

    The plan is `done` where nothing differs and no guard of the pull (`guards`) asks for a person; otherwise
    it waits for its approval.
    """
    writer = require_writer(session)
    changes = [
        _changes(session, run, writer, object_name, moment, scored_at)
        for object_name in writer.objects
        if session.lake.live_count(session.name, object_name)
    ]
    found = [each for each in changes if each is not None]
    planned = any(len(each) for each in found)
    if planned:
        guards = {**guards, **tripped([each.figures for each in found], session.connection.settings.guards)}
    status: PlanStatus = "dry_run" if dry_run else "awaiting_approval" if planned or guards else "done"
    return session.ledger.store_plan(
        run, session.name, "write", moment, rows(found), status=status, guards=guards
    )


def require_writer(session: Session) -> Writer:
    """The connection's writer. Raises SettingsError where its connector only reads."""
    if session.writer is None:
        raise SettingsError(
            f"the connector {session.connector.name} can't write back.",
            connection=session.name,
            remedy="Use `crmbridge report` or `crmbridge export`, or install a plugin with its writer.",
        )
    return session.writer


def remember_held(session: Session, run: int, object_name: str, table: pa.Table) -> None:
    """Keep what the CRM is known to hold, for the next plan."""
    if table.num_rows:
        session.lake.append(session.name, f"held/{object_name}", table, run=run, seen_at=session.now())


def results_table(
    session: Session, object_name: ObjectName, moment: datetime, scored_at: datetime
) -> pa.Table | None:
    """All results of an object as of the moment, in the columns of `result_schema`; None where there are
    none. `scored_at` is the moment they were computed for.
    """
    keys = {field.key for field in fields_on(object_name, session.connection.settings.fields)}
    wanted = result_schema(object_name, keys)
    columns: dict[str, pa.Array] = {}
    ids: pa.Array | None = None
    scorer = ""
    for metric in session.metrics:
        produced = [key for key in metric.produces if key in keys and object_name in CATALOGUE[key].on]
        if object_name not in metric.objects or not produced:
            continue
        table = _scan(session, metric.name, object_name, produced, moment)
        if table is None:
            continue
        if "score" in produced or not scorer:
            published = session.ledger.published(session.name, metric.name, object_name)
            scorer = published.model.name if published else scorer
        if ids is None:
            ids = table["id"].combine_chunks()
        else:
            new = table["id"].filter(pc.invert(pc.is_in(table["id"], value_set=ids))).combine_chunks()
            columns = {
                key: pa.concat_arrays([column, pa.nulls(len(new), column.type)])
                for key, column in columns.items()
            }
            ids = pa.concat_arrays([ids, new])
        position = pc.index_in(ids, value_set=table["id"].combine_chunks())
        for key in produced:
            columns[key] = table[key].combine_chunks().take(position).cast(CATALOGUE[key].arrow_type)
    if ids is None:
        return None
    stamp = f"{scored_at:%Y-%m-%dT%H:%M:%SZ}"
    columns["scored_at"] = pa.repeat(pa.scalar(stamp), len(ids))
    columns["model"] = pa.repeat(pa.scalar(scorer), len(ids))
    present = [name for name in wanted.names if name == "id" or name in columns]
    return pa.table({name: ids if name == "id" else columns[name] for name in present})


def _changes(
    session: Session, run: int, writer: Writer, object_name: ObjectName, moment: datetime, scored_at: datetime
) -> Changes | None:
    results = results_table(session, object_name, moment, scored_at)
    if results is None or not results.num_rows:
        return None
    held = None if writer.reads_are_free else _held(session, object_name)
    session.tell(f"plan {object_name}", 0, results.num_rows)
    found = plan_object(
        object_name,
        results,
        writer=writer,
        held=held,
        fields=session.connection.settings.fields,
        dead_band=session.connection.settings.guards.dead_band,
        on_read=lambda table: remember_held(session, run, object_name, table),
    )
    session.progress(f"plan {object_name}", results.num_rows, results.num_rows)
    return found


def _held(session: Session, object_name: ObjectName) -> pa.Table | None:
    names = result_schema(object_name, session.connection.settings.fields).names
    batches = list(session.lake.scan(session.name, f"held/{object_name}", names, at=END_OF_TIME))
    return pa.Table.from_batches(batches) if batches else None


def _scan(
    session: Session, metric: str, object_name: ObjectName, keys: list[str], moment: datetime
) -> pa.Table | None:
    batches = list(
        session.lake.scan(session.name, result_object(metric, object_name), ["id", *keys], at=moment)
    )
    return pa.Table.from_batches(batches) if batches else None
