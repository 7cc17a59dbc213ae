"""Score: metrics are fitted where it is time, and their results become versions in the lake.

A metric's results for an object are the lake's `result/<metric>/<object>`; its tables about the organisation
as a whole are `table/<metric>/<object>/<name>`, with the row's number as `id`; a column of that name becomes
`record_id`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crmbridge.metrics.base import Frame, Metric
from crmbridge.metrics.trend import TREND_DAYS, score_trends
from crmbridge.model.records import ObjectName
from crmbridge.model.results import Model, Results
from crmbridge.store.ledger import StoredModel
from crmbridge.sync.session import NEW_OUTCOMES, REFIT_AFTER, Session, result_object, table_object


def score(session: Session, run: int, *, moment: datetime) -> None:
    """Apply every metric to every object that has records; fit first where it is time."""
    frame = session.frame(moment)
    present = session.present()
    for metric in session.metrics:
        fed = any(name in present for name in metric.needs)
        for object_name in metric.objects:
            if not fed or (metric.needs_records and object_name not in present):
                _clear(session, run, result_object(metric.name, object_name), moment)
                continue
            session.tell(f"score {object_name}", 0, present.get(object_name))
            model = _model(session, run, metric, object_name, frame)
            results = metric.apply(object_name, frame, model)
            results = _with_trend(session, metric.name, results, moment)
            _store(session, run, metric.name, results, moment)
            session.progress(f"score {object_name}", results.values.num_rows, results.values.num_rows)


def scored_records(session: Session) -> int:
    """How many results there are now, over all metrics and objects."""
    return sum(
        session.lake.live_count(session.name, result_object(metric.name, object_name))
        for metric in session.metrics
        for object_name in metric.objects
    )


def _model(session: Session, run: int, metric: Metric, object_name: ObjectName, frame: Frame) -> Model:
    published = session.ledger.published(session.name, metric.name, object_name)
    outcomes = metric.outcomes(object_name, frame)
    settings = metric.settings.model_dump(mode="json")
    # The last fit counts, in use or not: who went back to an earlier model keeps it until the next is due.
    last = session.ledger.models(session.name, metric.name, object_name, limit=1)
    if published and not _is_due(last[0], outcomes, settings, frame.moment):
        return published.model
    # After a change of the settings the models answer different questions: there is nothing to compare.
    same = published is not None and _settings_of(published) == settings
    if published is not None and same:
        fitted = metric.refit(object_name, frame, published.model)
    else:
        fitted = metric.fit(object_name, frame)
    stamp = {"moment": frame.moment.isoformat(), "outcomes": outcomes, "settings": settings}
    model = fitted.model_copy(update={"card": {**fitted.card, "fitted": stamp}})
    held_back = published is not None and not model.may_publish
    session.ledger.store_model(run, session.name, model, "candidate" if held_back else "published")
    told = {"metric": metric.name, "object": object_name, "model": model.name, "outcomes": outcomes}
    if published is not None and held_back:
        session.log("model fitted and held back", **told, kept=published.model.name)
        return published.model
    session.log("model fitted", **told)
    return model


def _settings_of(stored: StoredModel) -> object:
    stamp = stored.model.card.get("fitted")
    return stamp.get("settings") if isinstance(stamp, dict) else None


def _is_due(last: StoredModel, outcomes: int, settings: object, moment: datetime) -> bool:
    stamp = last.model.card.get("fitted")
    if not isinstance(stamp, dict) or stamp["settings"] != settings:
        return True
    fitted_at = datetime.fromisoformat(str(stamp["moment"]))
    before = int(str(stamp["outcomes"]))
    return abs(moment - fitted_at) >= REFIT_AFTER or outcomes > before * (1 + NEW_OUTCOMES)


def _with_trend(session: Session, metric: str, results: Results, moment: datetime) -> Results:
    """Fill `score_trend` from the score of a month ago, where the metric has one."""
    if "score_trend" not in results.values.column_names:
        return results
    then = moment - timedelta(days=TREND_DAYS)
    batches = list(
        session.lake.scan(session.name, result_object(metric, results.object), ["id", "score"], at=then)
    )
    values = results.values
    now = values["score"].combine_chunks().to_numpy(zero_copy_only=False)
    before = np.full(len(now), np.nan)
    if batches:
        past = pa.Table.from_batches(batches)
        position = pc.index_in(values["id"].combine_chunks(), value_set=past["id"].combine_chunks())
        found = position.is_valid().to_numpy(zero_copy_only=False)
        scores = past["score"].combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False)
        before[found] = scores[position.drop_null().to_numpy()]
    trend = pa.array(score_trends(now, before), pa.string(), mask=np.isnan(now))
    at = values.column_names.index("score_trend")
    return Results(
        results.object, values.set_column(at, "score_trend", trend), results.details, results.tables
    )


def _store(session: Session, run: int, metric: str, results: Results, moment: datetime) -> None:
    table = results.values
    if results.details is not None:
        for name in results.details.column_names:
            if name not in table.column_names:
                table = table.append_column(name, results.details[name])
    _replace(session, run, result_object(metric, results.object), table, moment)
    for name, rows in results.tables.items():
        names = ["record_id" if column == "id" else column for column in rows.column_names]
        numbers = pa.array([str(row) for row in range(rows.num_rows)], pa.string())
        numbered = rows.rename_columns(names).add_column(0, "id", numbers)
        _replace(session, run, table_object(metric, results.object, name), numbered, moment)


def _replace(session: Session, run: int, name: str, table: pa.Table, moment: datetime) -> None:
    """Make the table all there is of this name as of the moment: other ids are gone."""
    live = session.lake.live_ids(session.name, name)
    gone = live.filter(pc.invert(pc.is_in(live, value_set=table["id"].combine_chunks())))
    pieces = list(_slices(table)) or [table]
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        session.lake.append(
            session.name, name, piece, run=run, seen_at=moment, deleted=gone.to_pylist() if last else ()
        )


def _clear(session: Session, run: int, name: str, moment: datetime) -> None:
    """There is nothing of this name any more: what it is about is gone."""
    if session.lake.live_count(session.name, name):
        _replace(session, run, name, pa.table({"id": pa.array([], pa.string())}), moment)


def _slices(table: pa.Table, rows: int = 250_000) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)
